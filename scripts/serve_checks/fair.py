# SPDX-License-Identifier: Apache-2.0
"""One tenant with prompts as long as the context beside seven that chat: what the chats' tokens wait for, with it and without."""

import random
import statistics
import sys
import threading
import time

from .common import Server, Stream, fresh_text, percentile, tenant

CHATS, LONG = 7, 30000  # tenants; tokens of the long prompt


def chat(server, key, text, seed, over, streams):
    """Short questions, one after the other."""
    rng = random.Random(seed)
    while not over.is_set():
        at = rng.randrange(len(text) - 400)
        streams.append(Stream(server.port, {"prompt": text[at : at + rng.randrange(40, 400)], "max_tokens": 64, "temperature": 0.8,
                                            "seed": rng.randrange(1 << 30), "ignore_eos": True}, key))


def long_prompts(server, key, text, seed, until, streams):
    """Each new from its first word, since what was cached would cost nothing."""
    while time.monotonic() < until:
        prompt = fresh_text(text, f"{seed} {len(streams)}", LONG, lambda t: server.count_tokens(t, key))
        streams.append(Stream(server.port, {"prompt": prompt, "max_tokens": 8, "temperature": 0}, key))


def phase(o, server, keys, text, seed, with_long):
    """The chats' streams and the long ones'. A long prompt that has begun is waited for while the others go on chatting."""
    chats, longs, over, until = [], [], threading.Event(), time.monotonic() + o.seconds
    threads = [threading.Thread(target=chat, args=(server, keys[i], text, f"{seed} {i}", over, chats)) for i in range(1, CHATS + 1)]
    for t in threads:
        t.start()
    if with_long:
        long_prompts(server, keys[0], text, seed, until, longs)
    else:
        time.sleep(o.seconds)
    over.set()
    for t in threads:
        t.join()
    return chats, longs


def figures(streams):
    gaps = [g for s in streams for g in s.gaps()]
    first = [s.times[0] for s in streams if s.times]
    return {"answers": len(streams), "failed": sum(not s.good for s in streams), "gap_p50": percentile(gaps, 50), "gap_p95": percentile(gaps, 95),
            "gap_p99": percentile(gaps, 99), "first_p50": percentile(first, 50), "first_p95": percentile(first, 95)}


def run(o, text, state):
    keys = [tenant(o, state, f"t{i}") for i in range(CHATS + 1)]
    server = Server(o, state, ["-t", str(o.threads)])
    alone_long = Stream(server.port, {"prompt": fresh_text(text, f"{o.seed} alone", LONG, lambda t: server.count_tokens(t, keys[0])), "max_tokens": 8,
                                      "temperature": 0}, keys[0])
    without, beside = [], []
    for r in range(o.rounds):
        for with_long, to in ((False, without), (True, beside)):
            chats, longs = phase(o, server, keys, text, f"{o.seed} {r} {with_long}", with_long)
            to.append({"chats": figures(chats), "long_seconds": [s.times[0] for s in longs if s.good], "long_failed": sum(not s.good for s in longs),
                       "long_tokens": [s.usage["prompt_tokens"] for s in longs if s.usage]})
            print(f"{'with' if with_long else 'without'} a long prompt: {to[-1]}", file=sys.stderr)
    server.stop()
    p95 = [statistics.median(r["chats"]["gap_p95"] for r in runs) for runs in (without, beside)]
    failed = sum(r["chats"]["failed"] + r["long_failed"] for r in without + beside)
    long_seconds = [s for r in beside for s in r["long_seconds"]]
    report = {"check": "fair", "gap_p95_without": p95[0], "gap_p95_with": p95[1], "ratio": p95[1] / p95[0], "failed": failed,
              "long_seconds": statistics.median(long_seconds) if long_seconds else None, "long_seconds_alone": alone_long.times[0] if alone_long.times else None,
              "without": without, "with": beside}
    return report, p95[1] <= 2 * p95[0] and failed == 0 and len(long_seconds) > 0
