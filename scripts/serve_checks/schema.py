# SPDX-License-Identifier: Apache-2.0
"""schemathesis on /openapi.json: what the server takes, refuses and answers is what it says there, and no more breaks it.

With keys and without. Needs the package schemathesis."""

import json
import os
import subprocess
import sys

from .common import Server, tenant

# What a schema can't say (that a token is of the vocabulary, that a prompt fits, that a grammar can be kept) is refused with
# 400: there a request that the schema allows may be refused.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400"]
"""


def schemathesis(server, folder, name, key, examples, seed):
    report = os.path.join(folder, name + ".ndjson")
    command = [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "--config-file", os.path.join(folder, "config.toml"), "run",
               f"http://127.0.0.1:{server.port}/openapi.json", "--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples),
               "--seed", str(seed), "--request-timeout", "60", "--suppress-health-check", "all", "--continue-on-failure", "--report", "ndjson",
               "--report-ndjson-path", report]
    if key:
        command += ["-H", "Authorization: Bearer " + key]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if not os.path.exists(report):
        sys.exit(f"check-serve: schema: schemathesis didn't run: {done.stderr[-500:]}")
    requests = 0
    with open(report) as f:
        for line in f:
            requests += line.count('"status_code":')
    if done.returncode:
        print(done.stdout[-20000:], done.stderr[-2000:], file=sys.stderr)
    return requests, done.returncode


def run(o, text, state):
    folder = os.path.join(os.path.dirname(state), "schema")
    os.makedirs(folder)
    with open(os.path.join(folder, "config.toml"), "w") as f:
        f.write(CONFIG)
    key = tenant(o, state + "-keys", "schema", "--operator")
    report, good = {"check": "schema"}, True
    for name, where, its_key in (("open", state, None), ("keys", state + "-keys", key)):
        server = Server(o, where, ["-c", "64", "--kv-budget", str(o.budget)])
        before = server.resident()
        requests, code = schemathesis(server, folder, name, its_key, o.examples, o.seed)
        alive = server.process.poll() is None and server.ask("/health")[0] == 200
        report[name] = {"requests": requests, "failed": code != 0, "alive": alive, "resident_grew": server.resident() - before if alive else None}
        good = good and code == 0 and alive and requests > 0
        server.stop()
    return report, good
