# SPDX-License-Identifier: Apache-2.0
"""Answers under load are those of the same request alone; no budget is passed, no memory grows beyond it but by --growth."""

import http.client
import json
import random
import sys
import threading
import time

from .common import Server, make_request, tenant, text_of


def load(server, o, keys, text, until, results, counts, lock, seed):
    rng = random.Random(seed)
    while time.time() < until:
        request, key = make_request(rng, text, o.answer), rng.choice(keys)
        try:
            leaves = rng.random() < 0.1
            status, answer = server.ask("/v1/completions", request, key, rng.randrange(1, 400) if leaves else None)
        except (OSError, http.client.HTTPException) as e:
            with lock:
                counts["broken"] = counts.get("broken", 0) + 1
                print("check-serve: broken:", e, file=sys.stderr)
            continue
        with lock:
            kind = "left" if leaves else str(status)
            counts[kind] = counts.get(kind, 0) + 1
            if status == 200 and not leaves:
                got = text_of(answer, request["stream"])
                if got is None:
                    counts["cut"] = counts.get("cut", 0) + 1
                else:
                    results.append((request, got))


def watch(server, operator, until, seen):
    while time.time() < until:
        try:
            status = json.loads(server.ask("/status", key=operator)[1])
        except (OSError, http.client.HTTPException):
            continue
        seen["samples"] += 1
        seen["resident"] = max(seen["resident"], server.resident())
        seen["kv"] = max(seen["kv"], status["kv_bytes"])
        seen["running"] = max(seen["running"], status["running"])
        seen["over"] += status["kv_bytes"] > status["kv_budget_bytes"]
        seen["over"] += sum(t["kv_bytes"] > t["budget_bytes"] > 0 for t in status["tenants"])
        time.sleep(0.2)


def run(o, text, state):
    budget = o.budget // max(1, o.tenants // 2)
    keys = [tenant(o, state, f"t{i}", "--kv-budget", str(budget)) for i in range(o.tenants)]
    operator = tenant(o, state, "operator", "--operator")
    server = Server(o, state, ["--kv-budget", str(o.budget), "--admission", o.admission])
    idle = server.resident()
    until = time.time() + o.seconds
    results, counts, lock = [], {}, threading.Lock()
    seen = {"samples": 0, "resident": 0, "kv": 0, "running": 0, "over": 0}
    threads = [threading.Thread(target=load, args=(server, o, keys, text, until, results, counts, lock, o.seed + i)) for i in range(o.clients)]
    threads.append(threading.Thread(target=watch, args=(server, operator, until, seen)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    server.stop()
    drawn = random.Random(o.seed).sample(results, min(o.sample, len(results)))
    alone = Server(o, state + "-alone", ["--kv-budget", str(o.budget)])
    different = 0
    for request, got in drawn:
        again = text_of(alone.ask("/v1/completions", request)[1], request["stream"])
        if again != got:
            different += 1
            print(f"check-serve: not the same: {json.dumps(request)[:200]}\n  {got!r}\n  {again!r}", file=sys.stderr)
    alone.stop()
    # What weights and programs take before any request; the engine's own memory comes with the first.
    report = {"check": "equal", "admission": o.admission, "answers": len(results), "compared": len(drawn), "different": different, "counts": counts,
              "resident_idle": idle, "resident_beyond_budget": seen["resident"] - idle - o.budget, **seen}
    bad = different or seen["over"] or report["resident_beyond_budget"] > o.growth or counts.get("broken") or counts.get("cut") or any(k.startswith("5") and k != "503" for k in counts)
    return report, not bad and len(drawn) > 0
