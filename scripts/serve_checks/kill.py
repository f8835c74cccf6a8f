# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: what was acknowledged is in the journal."""

import http.client
import json
import random
import signal
import sqlite3
import sys
import threading
import time

from .common import Server, make_request


def acknowledged(server, text, seed, ids, lock):
    rng = random.Random(seed)
    while True:
        try:
            request = dict(make_request(rng, text), stream=False)
            status, answer = server.ask("/v1/completions", request)
            if status == 200:
                with lock:
                    ids.append(json.loads(answer)["id"])
        except (OSError, http.client.HTTPException, ValueError):
            return


def run(o, text, state):
    ids, lock, lost, damaged = [], threading.Lock(), 0, 0
    for i in range(o.times):
        server = Server(o, state, ["--kv-budget", str(o.budget)])
        threads = [threading.Thread(target=acknowledged, args=(server, text, o.seed + 100 * i + k, ids, lock)) for k in range(o.clients)]
        for t in threads:
            t.start()
        time.sleep(random.Random(o.seed + i).uniform(0.2, 2))
        server.stop(signal.SIGKILL)
        for t in threads:
            t.join()
        db = sqlite3.connect(f"file:{state}/mqa.sqlite?mode=ro", uri=True)
        damaged += db.execute("PRAGMA integrity_check").fetchone()[0] != "ok"
        there = {row[0] for row in db.execute("SELECT request_id FROM usage")}
        lost = sum(i not in there for i in ids)
        db.close()
        print(f"\r{i + 1} of {o.times}, {len(ids)} answers, {lost} lost", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"check": "kill", "times": o.times, "answers": len(ids), "lost": lost, "damaged": damaged}, lost == 0 and damaged == 0 and len(ids) > 0
