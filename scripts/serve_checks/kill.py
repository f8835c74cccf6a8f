# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: what was acknowledged is in the journal, and nothing that was spilled stays."""

import http.client
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time

from .common import Server, make_request


def acknowledged(server, o, text, seed, ids, lock):
    rng = random.Random(seed)
    while True:
        try:
            request = dict(make_request(rng, text, o.answer), stream=False)
            status, answer = server.ask("/v1/completions", request)
            if status == 200:
                with lock:
                    ids.append(json.loads(answer)["id"])
        except (OSError, http.client.HTTPException, ValueError):
            return


def wait_for(ready, seconds):
    until = time.time() + seconds
    while time.time() < until:
        if ready():
            return True
        time.sleep(0.02)
    return False


def left_in(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []


def run(o, text, state):
    ids, lock, lost, damaged, spilled, left = [], threading.Lock(), 0, 0, 0, 0
    folder = os.path.join(state, "spill")
    overcommit = o.admission == "overcommit"
    for i in range(o.times):
        server = Server(o, state, ["--kv-budget", str(o.budget), "--admission", o.admission])
        left += len(left_in(folder))
        before = len(ids)
        threads = [threading.Thread(target=acknowledged, args=(server, o, text, o.seed + 100 * i + k, ids, lock)) for k in range(o.clients)]
        for t in threads:
            t.start()
        wait_for(lambda: len(ids) >= before + 3, 120)
        time.sleep(random.Random(o.seed + i).uniform(0, 2))
        if overcommit:
            spilled += wait_for(lambda: json.loads(server.ask("/status")[1])["kv_spilled_bytes"], 5)
        server.stop(signal.SIGKILL)
        for t in threads:
            t.join()
        left += len(left_in(folder))
        if overcommit:  # as it would be where files can't be without a name: the next start removes it
            open(os.path.join(folder, "mqa-unnamed.killed"), "w").close()
        db = sqlite3.connect(f"file:{state}/mqa.sqlite?mode=ro", uri=True)
        damaged += db.execute("PRAGMA integrity_check").fetchone()[0] != "ok"
        there = {row[0] for row in db.execute("SELECT request_id FROM usage")}
        lost = sum(i not in there for i in ids)
        db.close()
        print(f"\r{i + 1} of {o.times}, {len(ids)} answers, {lost} lost, {spilled} times with spilled ones", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    server = Server(o, state, ["--kv-budget", str(o.budget), "--admission", o.admission])
    left += len(left_in(folder))
    server.stop()
    good = lost == 0 and damaged == 0 and left == 0 and len(ids) > 0 and (spilled > 0 or not overcommit)
    report = {"check": "kill", "admission": o.admission, "times": o.times, "answers": len(ids), "lost": lost, "damaged": damaged,
              "killed_when_spilled": spilled, "files_left": left}
    return report, good
