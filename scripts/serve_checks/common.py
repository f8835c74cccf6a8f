# SPDX-License-Identifier: Apache-2.0
"""A server under test, its tenants, and requests of every length."""

import http.client
import json
import signal
import subprocess
import sys

TEXT = "/usr/share/common-licenses/GPL-3"


class Server:
    def __init__(self, o, state, extra=()):
        self.process = subprocess.Popen(
            [o.mqa, "serve", "-m", o.model, "--state", state, "--port", "0", "--quiet", "--json", *extra], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("check-serve: the server didn't start")
        self.port = json.loads(line)["port"]

    def ask(self, path, body=None, key=None, leave_after=None):
        """(status, text of the answer); leave_after: closes after so many bytes, and gives None."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)
        headers = {"Authorization": "Bearer " + key} if key else {}
        try:
            c.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            r = c.getresponse()
            if leave_after is not None:
                r.read(leave_after)
                return r.status, None
            return r.status, r.read().decode()
        finally:
            c.close()

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()


def tenant(o, state, name, *extra):
    out = subprocess.run([o.mqa, "tenant", "add", name, "--state", state, *extra], capture_output=True, text=True, check=True)
    return out.stdout.strip()


def make_request(rng, text, most):
    """A prompt of any length up to some thousand characters, half of them with a common beginning, and up to `most` tokens."""
    shared = text[: rng.choice([0, 0, 2000, 6000])]
    at = rng.randrange(len(text) - 4000)
    return {"model": "any", "prompt": shared + text[at : at + int(20 * 200 ** rng.random())], "max_tokens": rng.randint(1, most),
            "temperature": rng.choice([0, 0.8, 1.2]), "seed": rng.randrange(1 << 30), "stream": rng.random() < 0.5}


def text_of(answer, streamed):
    if not streamed:
        return json.loads(answer)["choices"][0]["text"]
    events = [json.loads(line[6:]) for line in answer.split("\n") if line.startswith("data: {")]
    if any("error" in e for e in events) or "data: [DONE]" not in answer:
        return None
    return "".join(e["choices"][0]["text"] for e in events if e["choices"])
