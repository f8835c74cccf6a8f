# SPDX-License-Identifier: Apache-2.0
"""A peer's process, for peers in Python.

usage: worker.py MODULE ROW-AS-JSON OUT-FOLDER THREADS [MODULE'S OWN]

The protocol of every peer's process, ours and those in C too: it prepares, runs each of its variants once, writes what came
of it to OUT-FOLDER/VARIANT.f32 ([token][head][d_v], f32), and prints a line {"ready": [variants], "failed": {variant: why}}.
Then each line of its input is a variant's name, which it answers by {"ms": ...}: one run unmeasured, then the median of at
least 3 runs and 0.2 s, or one run alone if it takes more than a second."""
import importlib
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rows import Row  # noqa: E402


def measure(run):
    def once():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    first = once()
    if first > 1:
        return first * 1e3
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < 0.2:
        times.append(once())
    return statistics.median(times) * 1e3


def main():
    import numpy as np
    module, row, out, threads = sys.argv[1:5]
    row = json.loads(row)
    row["contexts"] = tuple(row["contexts"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    ready, failed = {}, {}
    try:
        # run() computes, result(what it returned) is f32 [token][head][d_v]
        for name, make in importlib.import_module(module).variants(Row(**row), int(threads), *sys.argv[5:]).items():
            try:
                run, result = make()
                np.ascontiguousarray(result(run()), np.float32).tofile(os.path.join(out, name + ".f32"))
                ready[name] = run
            except Exception as error:  # whatever a library throws
                failed[name] = " ".join(str(error).split())[:200] or type(error).__name__
    except NotImplementedError as error:
        failed["cannot"] = str(error)
    except Exception as error:
        failed["all"] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    print(json.dumps({"ready": list(ready), "failed": failed}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps({"ms": measure(ready[line.strip()])}), file=answers, flush=True)


if __name__ == "__main__":
    main()
