# SPDX-License-Identifier: Apache-2.0
"""A server under test, its tenants, and requests of every length."""

import http.client
import json
import math
import random
import signal
import socket
import subprocess
import sys
import threading
import time

TEXT = "/usr/share/common-licenses/GPL-3"

started = []  # processes, so that none outlives a check that broke off


def start(command, **how):
    started.append(subprocess.Popen(command, **how))
    return started[-1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def kill_started():
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


class Server:
    def __init__(self, o, state, extra=(), env=None, port=0):
        self.process = start([o.mqa, "serve", "-m", o.model, "--state", state, "--port", str(port), "--quiet", "--json", *extra], stdout=subprocess.PIPE,
                             text=True, env=env)
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

    def count_tokens(self, text, key=None):
        return len(json.loads(self.ask("/tokenize", {"content": text}, key)[1])["tokens"])

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def stop(self, how=signal.SIGTERM):
        """Told to end, it must drain and end well: what a sanitizer finds is an exit status."""
        self.process.send_signal(how)
        code = self.process.wait()
        if how == signal.SIGTERM and code != 0:
            sys.exit(f"check-serve: the server ended with {code}")


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


# ---- timing ----


class Stream:
    """A streamed completion and when its text came: seconds from asking. key: of the tenant; chat: to the chat endpoint."""

    def __init__(self, port, body, key=None, chat=False, stop=None):
        self.times, self.text, self.usage, self.status, self.whole = [], "", None, 0, False
        headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})}
        body = json.dumps({"model": "any", "stream": True, "stream_options": {"include_usage": True}, **body})
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
        begin = time.monotonic()
        lines = []
        try:
            c.request("POST", "/v1/chat/completions" if chat else "/v1/completions", body, headers)
            answer = c.getresponse()
            self.status = answer.status
            for line in answer:
                if line.startswith(b"data: "):
                    lines.append((time.monotonic() - begin, line))
                if stop is not None and stop.is_set():
                    break
        except (OSError, http.client.HTTPException):
            self.status = self.status if self.status != 200 else 0
        finally:
            c.close()
        for at, line in lines:  # parsed when it is over, to take no time from the server meanwhile
            self.take(at, line[6:].strip())
        self.good = self.status == 200 and self.whole

    def take(self, at, data):
        if data == b"[DONE]":
            self.whole = True
            return
        event = json.loads(data)
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices", []):
            piece = choice.get("text") or choice.get("delta", {}).get("content")
            if piece:
                self.text += piece
                self.times.append(at)

    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


def all_at_once(calls):
    """Each in a thread of its own: their results, in order, and the seconds that all took."""
    results = [None] * len(calls)

    def work(i):
        results[i] = calls[i]()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    begin = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results, time.monotonic() - begin


def percentile(values, p):
    """The nearest rank, so of 8 values the 95th is the largest. None of none."""
    values = sorted(values)
    return values[max(0, math.ceil(p / 100 * len(values)) - 1)] if values else None


def fresh_text(text, seed, n_tokens, count):
    """Words of the text in an order nobody has seen: n_tokens of them by count(text) -> tokens, within one in a hundred."""
    words = text.split()
    words *= 1 + n_tokens // len(words)
    random.Random(seed).shuffle(words)
    n = n_tokens // 2
    for _ in range(8):
        got = count(" ".join(words[:n]))
        if abs(got - n_tokens) * 100 <= n_tokens:
            break
        n = max(1, n * n_tokens // got)
    return " ".join(words[:n])
