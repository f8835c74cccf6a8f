# SPDX-License-Identifier: Apache-2.0
"""Ours beside llama-server, in turns, the same text to both: clients with one long beginning, new and seen before.

Many clients, of whom none may fail, are ours alone: theirs would take minutes."""

import http.client
import statistics
import subprocess
import sys
import time

from .common import Server, Stream, all_at_once, free_port, fresh_text, percentile, start

PROMPT, ANSWER, FEW, MANY = 4096, 32, 8, 32  # tokens, tokens, clients, clients


class Llama:
    """llama-server with a slot for each client and room in each for its prompt and answer; the rest is its default."""

    def __init__(self, o, slots):
        self.port = free_port()
        command = [o.llama_server, "-m", o.model, "--port", str(self.port), "-t", str(o.threads), "-np", str(slots), "-c", str(slots * (PROMPT + 1024))]
        self.process = start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > until:
                sys.exit("check-serve: llama-server didn't start: " + " ".join(command))
            time.sleep(0.2)

    def healthy(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            c.request("GET", "/health")
            return c.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            c.close()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(server, beginning, questions):
    calls = [lambda q=q: Stream(server.port, {"prompt": f"{beginning}\n\nQuestion {q}: what does section {q} say? Answer:",
                                              "max_tokens": ANSWER, "temperature": 0, "ignore_eos": True}) for q in questions]
    streams, seconds = all_at_once(calls)
    good = [s for s in streams if s.good and s.times]
    return {"tokens_per_s": sum(s.usage["completion_tokens"] for s in good) / seconds, "seconds": seconds, "failed": len(streams) - len(good),
            "first_p50": percentile([s.times[0] for s in good], 50), "first_p95": percentile([s.times[0] for s in good], 95)}


def median(runs):
    return {k: statistics.median(r[k] if r[k] is not None else float("inf") for r in runs) if k != "failed" else sum(r[k] for r in runs) for k in runs[0]}


def compare(o, text, ours, theirs, clients, rounds):
    """Of each round a new beginning, whose turn comes first changing; then the same beginning again, with other questions."""
    runs = {(case, who): [] for case in ("new", "seen") for who in ("ours", "theirs")}
    for r in range(rounds):
        beginning = fresh_text(text, f"{o.seed} {clients} {r}", PROMPT, ours.count_tokens)
        for case, first in (("new", 0), ("seen", 100)):
            for who, server in (("ours", ours), ("theirs", theirs))[:: 1 if r % 2 else -1]:
                runs[case, who].append(measure(server, beginning, range(first, first + clients)))
                print(f"{clients} clients, {case}, {who}: {runs[case, who][-1]}", file=sys.stderr)
    report = {}
    for case in ("new", "seen"):
        us, they = median(runs[case, "ours"]), median(runs[case, "theirs"])
        report[case] = {"ours": us, "theirs": they, "tokens_ratio": us["tokens_per_s"] / max(they["tokens_per_s"], 1e-9),
                        "first_ratio": they["first_p95"] / us["first_p95"]}
    return report


def run(o, text, state):
    ours, theirs = Server(o, state, ["-t", str(o.threads)]), Llama(o, FEW)
    few = compare(o, text, ours, theirs, FEW, o.rounds)
    theirs.stop()
    many = measure(ours, fresh_text(text, f"{o.seed} many", PROMPT, ours.count_tokens), range(MANY))
    ours.stop()
    new, seen = few["new"], few["seen"]
    failed = many["failed"] + new["ours"]["failed"] + seen["ours"]["failed"]
    report = {"check": "beside", "rounds": o.rounds, "threads": o.threads, "clients": FEW, **few, "many": {"clients": MANY, "ours": many}}
    return report, new["tokens_ratio"] >= 6 and new["first_ratio"] >= 6 and seen["tokens_ratio"] >= 1.5 and failed == 0
