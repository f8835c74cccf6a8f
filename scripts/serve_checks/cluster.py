# SPDX-License-Identifier: Apache-2.0
"""Two servers behind HAProxy by examples/cluster: tenants stay where their prefixes are, a server killed under load fails nobody, same bits."""

import os
import random
import signal
import sqlite3
import sys
import threading
import time

from .common import Server, Stream, free_port, make_request, start, tenant, text_of

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "cluster", "haproxy.cfg")


class Cluster:
    def __init__(self, o, state):
        self.o, self.states, self.ports, self.port = o, [state + "-one", state + "-two"], [free_port(), free_port()], free_port()
        self.keys = [tenant(o, self.states[0], f"t{i}") for i in range(o.tenants)]
        self.servers = [self.serve(0), self.serve(1)]
        db = sqlite3.connect(self.states[1] + "/mqa.sqlite")  # as the example's README says, while it runs
        db.execute(f"ATTACH '{self.states[0]}/mqa.sqlite' AS one")
        db.execute("INSERT OR REPLACE INTO tenants SELECT * FROM one.tenants")
        db.commit()
        db.close()
        names = {"MQA_BIND": self.port, "MQA_ONE": self.ports[0], "MQA_TWO": self.ports[1]}
        self.proxy = start(["haproxy", "-q", "-f", CONFIG], env={**os.environ, **{k: f"127.0.0.1:{v}" for k, v in names.items()}})
        time.sleep(3)  # tenants are looked at once a second, servers too

    def serve(self, i):
        return Server(self.o, self.states[i], ["--numerics", "portable", "--kv-budget", str(self.o.budget), "-t", "1"], port=self.ports[i])

    def served(self):
        """For each tenant, how many requests each server has on record."""
        counts = {}
        for i, state in enumerate(self.states):
            db = sqlite3.connect(f"file:{state}/mqa.sqlite?mode=ro", uri=True)
            for name, n in db.execute("SELECT tenant, count(*) FROM usage GROUP BY tenant"):
                counts.setdefault(name, [0, 0])[i] = n
            db.close()
        return counts


def client(cluster, text, seed, until, results, lock):
    """(request, key, text or None, status, whether it was a stream that broke off)"""
    rng = random.Random(seed)
    while time.monotonic() < until:
        request, key = make_request(rng, text, 64), rng.choice(cluster.keys)
        stream = Stream(cluster.port, request, key) if request["stream"] else None
        if stream:
            row = (request, key, stream.text, stream.status, stream.status == 200 and not stream.whole)
        else:
            try:
                status, answer = Server.ask(cluster, "/v1/completions", request, key)
            except OSError:
                status, answer = 0, None
            row = (request, key, text_of(answer, False) if status == 200 else None, status, False)
        with lock:
            results.append(row)


def load(cluster, o, text, seconds, name, meanwhile=lambda: None):
    results, lock, until = [], threading.Lock(), time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(cluster, text, f"{o.seed} {name} {i}", until, results, lock)) for i in range(o.clients)]
    for t in threads:
        t.start()
    time.sleep(seconds / 2)
    meanwhile()
    for t in threads:
        t.join()
    return results


def kill_with_long(cluster, victim, text, result):
    """Kills it while it computes a prompt longer than HAProxy's usual buffer: (status, answer) is the other one's."""
    name = next((n for n, c in cluster.served().items() if c[victim] > 0), None)
    if name is None:
        sys.exit("check-serve: nothing was answered yet: give more --seconds")
    key = cluster.keys[int(name[1:])]
    body = {"prompt": "Long. " + text, "max_tokens": 4, "temperature": 0}
    thread = threading.Thread(target=lambda: result.append((body, key, *Server.ask(cluster, "/v1/completions", body, key))))
    thread.start()
    time.sleep(1)
    cluster.servers[victim].stop(signal.SIGKILL)
    thread.join()


def busiest(cluster):
    counts = cluster.served().values()
    return 0 if sum(c[0] for c in counts) >= sum(c[1] for c in counts) else 1


def run(o, text, state):
    cluster = Cluster(o, state)
    before = load(cluster, o, text, o.seconds / 3, "before")
    moved = sum(min(c) > 0 for c in cluster.served().values())
    used = [any(c[i] for c in cluster.served().values()) for i in (0, 1)]
    victim = busiest(cluster)
    long = []
    during = load(cluster, o, text, o.seconds / 3, "during", lambda: kill_with_long(cluster, victim, text, long))
    survivor = cluster.servers[1 - victim]
    body, key, long_status, answer = long[0]
    long_good = long_status == 200 and text_of(answer, False) == text_of(survivor.ask("/v1/completions", body, key)[1], False)
    cluster.servers[victim] = cluster.serve(victim)
    time.sleep(3)
    count = sum(c[victim] for c in cluster.served().values())
    after = load(cluster, o, text, o.seconds / 3, "after", lambda: cluster.servers[victim].process.send_signal(signal.SIGTERM))
    back = sum(c[victim] for c in cluster.served().values()) - count
    results = before + during + after
    failed = [(r[3], r[0]["stream"]) for r in results if r[3] != 200]
    broken = {n: sum(r[4] for r in rows) for n, rows in (("before", before), ("killed", during), ("drained", after))}
    drawn = random.Random(o.seed).sample(results, min(o.sample, len(results)))
    different = 0
    for request, key, got, status, cut in drawn + [r for r in during if r[4]]:
        if status != 200:
            continue
        again = text_of(survivor.ask("/v1/completions", request, key)[1], request["stream"])
        same = again.startswith(got) if cut else again == got
        different += not same
        if not same:
            print(f"check-serve: not the same: {got!r}\n  {again!r}", file=sys.stderr)
    report = {"check": "cluster", "answers": len(results), "failed": failed, "long_retried": long_good, "streams_broken": broken, "compared": len(drawn), "different": different,
              "both_used": all(used), "tenants_on_both_before": moved, "answers_after_return": back}
    good = not failed and long_good and not different and all(used) and moved == 0 and back > 0 and broken["before"] == broken["drained"] == 0 and len(drawn) > 0
    return report, good
