# SPDX-License-Identifier: Apache-2.0
"""One row: ours and theirs alternating on the same inputs, and whether their results agree."""
import json
import os
import statistics
import tempfile
import time

import numpy as np

import inputs
from peer import Process, Unavailable

# Root mean square of the difference over that of the result. Inputs are even in [-1, 1), so a result is a mean of
# thousands of values that cancel, and a format's own rounding stays visible in it.
TOLERANCE = {"f32": 1e-4, "bf16": 1e-2, "int8": 1e-2, "f16": 1e-2, "q8_0": 1e-2}
# ggml adds P.V up in f16, whose error grows with the root of the number of keys.
F16_SUM = 2e-4
# A peer this many times slower than the fastest in the first round is not asked again.
SLOW = 4


def ours(row, mqa, out, threads):
    return [mqa, "bench", "attention", *row.options(), "-t", str(threads), "--json", "--by-line", "--dump",
            os.path.join(out, "ours.f32")]


def difference(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2, dtype=np.float64) / np.mean(b ** 2, dtype=np.float64)))


class Result:
    """What a process computed, beside the exact values of a few rows."""

    def __init__(self, row, exact, path):
        self.values = np.fromfile(path, np.float32).reshape(-1, row.heads, row.dim_v)
        os.remove(path)  # of a large row many would not fit
        mine = np.stack([self.values[token, head] for token, head, _ in exact])
        self.error = difference(mine, np.stack([values for _, _, values in exact]))


def check(row, result, reference, variant):
    """None, or what is wrong with a variant's result."""
    # "bf16" before "f16", which is a part of it
    kind = next((t for t in TOLERANCE if t in variant), "f32" if row.kv_type == "f32" else "bf16")
    tolerance = TOLERANCE[kind] + TOLERANCE[row.kv_type] + (F16_SUM * max(row.contexts) ** 0.5 if kind == "f16" else 0)
    if result.values.shape != reference.values.shape:
        return f"its result has another shape: {result.values.shape}"
    apart = difference(result.values, reference.values)
    return None if apart <= tolerance else f"differs from ours by {apart:.1e}, more than {tolerance:.0e}"


class Contender:
    """A peer's process and what it has measured, by variant."""

    def __init__(self, peer, process, ready, failed):
        self.peer, self.process, self.failed = peer, process, failed
        self.ms = {variant: [] for variant in ready}
        self.errors = {}

    def ask(self, variant):
        if variant not in self.ms:
            return
        try:
            self.ms[variant].append(self.process.ask(variant)["ms"])
        except Unavailable as error:  # its process is gone, and with it what it would have done
            self.failed[variant] = str(error)
            self.ms = {}
        time.sleep(0.02)  # waiting threads of one go to sleep before another's are timed

    def best(self):
        return min(self.ms, key=lambda v: statistics.median(self.ms[v]), default=None)

    def figures(self):
        best = self.best()
        return {"title": self.peer.title, "variant": best, "ms": best and statistics.median(self.ms[best]),
                "rounds": self.ms, "errors": self.errors, "failed": self.failed}


def begin(peer, row, folder, threads, exact, reference):
    out = tempfile.mkdtemp(dir=folder)
    command = peer.command(row, out, threads)
    if command is None:
        return None
    process = Process(command, peer.environment(row))
    try:
        told = process.ready()
    except Unavailable as error:
        return Contender(peer, process, [], {"all": str(error)})
    contender = Contender(peer, process, told["ready"], told["failed"])
    for variant in told["ready"]:
        result = Result(row, exact, os.path.join(out, variant + ".f32"))
        contender.errors[variant] = result.error
        wrong = check(row, result, reference, variant)
        if wrong:
            contender.failed[variant] = wrong
            del contender.ms[variant]
    return contender


def measure(row, peers, mqa, threads, rounds, say):
    """Figures of a row: {"ours": …, "peers": {name: …}}."""
    with tempfile.TemporaryDirectory(prefix="mqa-peers-") as folder:
        say("inputs")
        exact = inputs.exact(row)
        say("ours")
        mine = Process(ours(row, mqa, folder, threads), {"MQA_ISA": row.isa} if row.isa else {})
        contenders = []
        try:
            times = [mine.ask("")["ms"]]
            reference = Result(row, exact, os.path.join(folder, "ours.f32"))
            wrong = reference.error > TOLERANCE[row.kv_type]
            for peer in peers:
                say(peer.title)
                contender = begin(peer, row, folder, threads, exact, reference)
                contenders += [contender] if contender else []
            times.clear()
            for turn in range(rounds):
                say(f"round {turn + 1} of {rounds}")
                times.append(mine.ask("")["ms"])
                fastest = min((min(c.ms[c.best()]) for c in contenders if turn and c.ms), default=None)
                for contender in contenders:
                    if turn == 0:
                        for variant in list(contender.ms):
                            contender.ask(variant)
                    elif contender.ms and min(contender.ms[contender.best()]) <= SLOW * fastest:
                        contender.ask(contender.best())
            for contender in contenders:
                contender.process.close()
            contenders_left, contenders = contenders, []
            say("the limit")
            whole = mine.last()
        finally:
            for contender in contenders:
                contender.process.close()
            mine.close()
    whole["ms"], whole["rounds"], whole["error"] = statistics.median(times), times, reference.error
    whole["of_limit"] = whole["limit_ms"] / whole["ms"]
    if wrong:
        whole["failed"] = f"ours is off by {reference.error:.1e}"
    figures = {c.peer.name: c.figures() for c in contenders_left}
    able = [name for name in figures if figures[name]["ms"]]
    best = min(able, key=lambda name: figures[name]["ms"], default=None)
    return {"id": row.id, "title": row.title, "ours": whole, "peers": figures, "best_peer": best,
            "ratio": figures[best]["ms"] / whole["ms"] if best else None}


def settle(rows):
    """Makes the limits of a run agree: a peak that one row's measurement saw holds for all of its arithmetic. Whatever else ran on the
    machine only ever made it look less."""
    def best(key, rate):
        found = {}
        for row in rows:
            found[key(row["ours"])] = max(found.get(key(row["ours"]), 0), row["ours"][rate])
        return found

    def arithmetic(ours):
        return ours["recipe"], ours["isa"], ours["numerics"], ours["kv_type"], ours["head_dim_v"] / ours["head_dim"]

    def exponentials(ours):
        return ours["isa"]

    def bandwidth(ours):
        return ours["isa"], ours["bytes"]
    for name, key, rate in (("arithmetic_ms", arithmetic, "limit_gflops"), ("exponentials_ms", exponentials, "limit_gexps"),
                            ("bandwidth_ms", bandwidth, "limit_gbps")):
        rates = best(key, rate)
        for row in rows:
            ours, settled = row["ours"], rates[key(row["ours"])]
            ours[name] *= ours[rate] / settled
            ours[rate] = settled
    for row in rows:
        ours = row["ours"]
        ours["limit_ms"], ours["bound"] = max((ours[bound + "_ms"], bound) for bound in ("bandwidth", "arithmetic", "exponentials"))
        ours["of_limit"] = ours["limit_ms"] / ours["ms"]


def machine(mqa):
    """What the figures belong to."""
    import subprocess
    told = json.loads(subprocess.run([mqa, "info", "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    return {key: told[key] for key in ("cpu", "family", "model", "isa", "l2_bytes", "l3_bytes", "read_gbps")}
