# SPDX-License-Identifier: Apache-2.0
"""What no well-behaved client does. After each part the server must live, answer others, and be no larger than is stated."""

import json
import os
import random
import resource
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time

from .common import Server, tenant

GROWTH = 96 << 20  # resident bytes beyond those after a first request, at most, when all is over
HEADER_SECONDS, BODY_SECONDS, IDLE = 3, 3, 10000
SECRET = "the secret of alice is 3141592653"


class Rig:
    """Servers, keys, and raw requests."""

    def __init__(self, o, state, flags):
        self.o, self.state = o, state
        self.keys = {name: tenant(o, state, name, *extra) for name, extra in (("alice", ()), ("bob", ()), ("boss", ("--operator",)))}
        self.server = Server(o, state, ["-c", "256", "--kv-budget", str(o.budget), *flags])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=60)

    def head(self, path, body=b"", key="bob", method="POST", more=""):
        key = self.keys.get(key, key)
        return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n{more}\r\n").encode("utf-8", "surrogateescape")

    def raw(self, data, shut=False, seconds=60):
        """All that comes until the server closes or nothing comes for so long; shut: says that no more is sent."""
        with self.connect() as s:
            try:
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it closed already: what it said is there to be read
            return read_all(s, seconds)

    def post(self, path, body, key="bob", more="", **named):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.raw(self.head(path, body, key, more="Connection: close\r\n" + more) + body, **named)

    def complete(self, prompt="The sea was", key="bob", **fields):
        answer = self.post("/v1/completions", {"prompt": prompt, "max_tokens": 4, "temperature": 0, **fields}, key)
        return status(answer), answer

    def figures(self):
        return json.loads(self.server.ask("/status", key=self.keys["boss"])[1])


def read_all(s, seconds):
    data, s_timeout = bytearray(), s.gettimeout()
    s.settimeout(seconds)
    try:
        while part := s.recv(65536):
            data += part
    except (TimeoutError, OSError):
        pass
    s.settimeout(s_timeout)
    return bytes(data)


def status(answer):
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.split(b"\r\n\r\n", 1)[1]
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def body_of(answer):
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.split(b"\r\n\r\n", 1)[1]
    return answer.split(b"\r\n\r\n", 1)[-1]


def refused(answer, *statuses):
    """One of these statuses, with an error in OpenAI's form."""
    return status(answer) in statuses and json.loads(body_of(answer))["error"]["message"]


def need(ok, *what):
    if not ok:
        raise AssertionError(" ".join(str(w)[:300] for w in what))


# ---- the parts ----


def slow(rig):
    """Headers and bodies a byte at a time: cut off in time, others are served meanwhile."""
    head = rig.head("/v1/completions", b"x" * 100)
    for beginning, limit in ((head[:20], HEADER_SECONDS), (head + b'{"prompt"', BODY_SECONDS)):
        conns = [rig.connect() for _ in range(100)]
        for c in conns:
            c.sendall(beginning)
        start = time.time()
        need(rig.complete()[0] == 200 and time.time() - start < 5, "others wait")
        end = start + limit + 2
        while time.time() < end:
            time.sleep(0.4)
            for c in conns:
                try:
                    c.send(b" ")
                except OSError:
                    pass
        need(all(read_all(c, 1) is not None and closed(c) for c in conns), "slow connections are kept")
        for c in conns:
            c.close()


def closed(c):
    c.settimeout(1)
    try:
        while part := c.recv(65536):
            pass
        return part == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def large(rig):
    """10 MB prompts, in strings, tokens, messages and chunks, where bodies may be so long and where not."""
    text = "All happy families are alike. " * (10_000_000 // 30)
    start = time.time()
    answer = rig.post("/v1/completions", {"prompt": text})
    need(refused(answer, 400), "a prompt that is too long:", answer[:200])
    rig.seconds_for_10_mb = time.time() - start
    need(refused(rig.post("/v1/completions", {"prompt": [7] * 5_000_000}), 400), "tokens")
    need(refused(rig.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}), 400), "a message")
    need(refused(rig.post("/v1/completions", {"prompt": "a", "grammar": text}), 400), "a grammar")
    need(status(rig.post("/tokenize", {"content": text})) == 200, "tokenize")
    need(refused(rig.post("/v1/completions", {"prompt": text * 2}), 413), "20 MB")
    chunk = b"100000\r\n" + b"a" * (1 << 20) + b"\r\n"
    head = rig.head("/v1/completions").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    need(status(rig.raw(head + chunk * 40 + b"0\r\n\r\n", seconds=20)) in (0, 413), "40 MB in chunks")  # 0: cut off while it still sends
    small = Rig(rig.o, rig.state + "-small", ["--max-body", "1MiB"])
    need(refused(small.post("/v1/completions", {"prompt": text}), 413), "10 MB where 1 MiB is allowed")
    need(small.complete()[0] == 200, "the small one lives")
    small.server.stop()


def half_closed(rig):
    """Who sends no more still gets the answer; who is gone is noticed."""
    for stream in (False, True):
        body = json.dumps({"prompt": "The sea", "max_tokens": 200, "ignore_eos": True, "temperature": 0, "stream": stream}).encode()
        answer = rig.raw(rig.head("/v1/completions", body) + body, shut=True)
        need(status(answer) == 200 and (b"[DONE]" in answer or json.loads(body_of(answer))["choices"]), "half-closed:", answer[-300:])
        for reset in (False, True):
            with rig.connect() as s:
                s.sendall(rig.head("/v1/completions", body) + body)
                time.sleep(0.1)
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end = time.time() + 5
    while rig.figures()["running"] + rig.figures()["waiting"] > 0 and time.time() < end:
        time.sleep(0.1)
    need(rig.figures()["running"] == 0, "who has gone is still served")


def bad_text(rig):
    """Bytes that are no UTF-8, halves of surrogate pairs, NULs; in bodies, paths and headers."""
    for piece in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\\ud800", b"\\udc00\\ud800", b"\\ud800\\u0041", b"\x00", b"\x01"):
        for path, body in (("/v1/completions", b'{"prompt":"%s","max_tokens":2}'), ("/v1/completions", b'{"prompt":"a","max_tokens":2,"model":"%s"}'),
                           ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"%s"}],"max_tokens":2}'), ("/tokenize", b'{"content":"%s"}'),
                           ("/v1/completions", b'{"prompt":"a","max_tokens":2,"stop":"%s"}'), ("/v1/completions", b'{"prompt":"a","grammar":"root ::= \\"%s\\""}')):
            answer = rig.post(path, body % piece)
            need(refused(answer, 400), path, piece, answer[:200])
    for path in ("/%ff%fe", "/\udcff", "/%00", "/v1/completions%00", "/%c0%af", "/a\udc80?b=\udcff"):
        answer = rig.raw(rig.head(path, more="Connection: close\r\n"))
        need(status(answer) == 0 or refused(answer, 400, 404, 405), path.encode("utf-8", "replace"), answer[:200])
        body_of(answer).decode("utf-8")
    for value in ("\udcff\udcfe", "mqa-\udc80", "'; DROP TABLE tenants; --"):
        answer = rig.raw(rig.head("/v1/models", key=value, method="GET", more="Connection: close\r\n"))
        need(refused(answer, 401), "key", answer[:200])


def bad_json(rig):
    """Depth, figures without bound, names twice."""
    deep = 100_000
    for body in (b"[" * deep, b'{"a":' * deep, b'{"prompt":' + b"[" * deep + b"]" * deep + b"}", b'{"prompt":"a","response_format":{"type":"json_schema","json_schema":{"schema":'
                 + b'{"items":' * 1500 + b"true" + b"}" * 1500 + b"}}}", json.dumps({"prompt": "a", "grammar": "root ::= " + "(" * 50000 + '"a"' + ")" * 50000}).encode(),
                 json.dumps({"prompt": "a", "json_schema": {"$ref": "#"}}).encode(), b"", b" ", b"null", b"1", b'"', b"{", b"{}" * 2, b"{" + b'"a":1,' * 100000 + b'"a":1}'):
        need(refused(rig.post("/v1/completions", body), 400), "nesting", body[:60], rig.post("/v1/completions", body)[:200])
    for figure in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" + b"0" * 400, b"-" + b"9" * 4000, b"0x10", b"1.", b"--1", b"1e", b"true", b'"1"', b"[]", b"{}"):
        for field in (b"max_tokens", b"temperature", b"seed", b"n", b"top_k", b"logprobs", b"presence_penalty"):
            need(refused(rig.post("/v1/completions", b'{"prompt":"a","max_tokens":2,"%s":%s}' % (field, figure)), 400), field, figure)
    for figure in (b"9223372036854775807", b"-9223372036854775808", b"1e-400", b"-0.0", b"-0"):
        need(status(rig.post("/v1/completions", b'{"prompt":"a","max_tokens":2,"seed":%s,"temperature":1}' % figure)) in (200, 400), figure)
    for n in (b"9223372036854775807", b"4294967297", b"2147483648", b"-1", b"0", b"1e300"):
        need(refused(rig.post("/v1/completions", b'{"prompt":"a","max_tokens":2,"n":%s}' % n), 400), "n", n)
    need(status(rig.post("/v1/completions", b'{"prompt":"a","prompt":"b","max_tokens":2,"max_tokens":3}')) in (200, 400), "names twice")


def idle(rig):
    """10,000 connections that say nothing: others are answered at once, whether there is room for all or not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, IDLE + 1000)), hard))
    n = min(IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    # Headers may take long there: the connections shall stay.
    others = [Rig(rig.o, rig.state + "-few", ["--header-seconds", "600"]), Rig(rig.o, rig.state + "-many", ["--header-seconds", "600", "--max-connections", "12000"])]
    for other in others:
        other.complete()
        before, conns, slowest = other.server.resident(), [], 0
        for i in range(n):
            conns.append(other.connect())
            if i % 1000 == 999:
                start = time.time()
                need(other.complete()[0] == 200, "an answer among", i, "idle ones")
                slowest = max(slowest, time.time() - start)
        need(slowest < 10, "an answer took", slowest, "s")
        grown = other.server.resident() - before
        need(grown < GROWTH, "grew by", grown, "bytes")
        rig.idle = getattr(rig, "idle", []) + [{"connections": n, "slowest_answer_s": round(slowest, 3), "grew": grown}]
        for c in conns:
            c.close()
        need(other.complete()[0] == 200, "afterwards")
        other.server.stop()
    rig.n_idle = n


def keys(rig):
    """Only a whole, known key; one that is taken away or changed ends at once."""
    good = rig.keys["alice"]
    need(rig.complete(key="alice")[0] == 200, "the right one")
    for wrong in ("", " ", good[:-1], good + "x", good[:-1] + ("A" if good[-1] != "A" else "B"), good.swapcase(), good[4:], "mqa-", "mqa-" + "A" * 43, "a" * 20000, good * 2):
        answer = rig.raw(rig.head("/v1/models", key=wrong, method="GET", more="Connection: close\r\n"))
        need(refused(answer, 401), "taken:", repr(wrong[:60]), answer[:100])
    for header in ("Basic " + good, good, "Bearer", "Bearer" + good, "bearer\t" + good):
        answer = rig.raw(f"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {header}\r\n\r\n".encode())
        need(refused(answer, 401), "taken:", header[:12], answer[:100])
    key = tenant(rig.o, rig.state, "carol")
    wait_for(lambda: rig.complete(key=key)[0] == 200, "a new key")
    subprocess.run([rig.o.mqa, "tenant", "remove", "carol", "--state", rig.state], check=True)
    need(rig.complete(key=key)[0] == 401, "a key that was taken away is taken")
    key = tenant(rig.o, rig.state, "dora")
    need(rig.complete(key=key)[0] == 200, "a new key isn't taken at once")
    subprocess.run([rig.o.mqa, "tenant", "set", "dora", "--new-key", "--state", rig.state], check=True, capture_output=True)
    need(rig.complete(key=key)[0] == 401, "a key that was changed is taken")


def wait_for(what, name):
    end = time.time() + 5
    while not what():
        need(time.time() < end, name, "isn't taken")
        time.sleep(0.05)


def names(rig):
    """Tenants of any name: quotes, SQL, markup; no control characters, nothing too long."""
    def add(name):
        return subprocess.run([rig.o.mqa, "tenant", "add", name, "--state", rig.state], capture_output=True)

    good = ["o'brien", '"', "'; DROP TABLE usage; --", "a\\", "a\"} 1\nmqa_x{b=\"".replace("\n", ""), "<script>alert(1)</script>", "名前", "%s%n", "../../etc", "a b", "{}", "x" * 63]
    for name in good:
        added = add(name)
        need(added.returncode == 0, "refused:", name, added.stderr)
        need(rig.complete(key=added.stdout.decode().strip())[0] == 200, "its key:", name)
    for name in ("", "a\nb", "a\rb", "\x1b[31m", "a\tb", "\x7f", "x" * 64, "x" * 100000, b"\xff"):
        added = add(name)
        need(added.returncode in (1, 2) and added.stderr.count(b"\n") == 1 and b"\x1b" not in added.stderr, "taken or told in more than a line:", name[:9], added.stderr[:200])
        removed = subprocess.run([rig.o.mqa, "tenant", "remove", name, "--state", rig.state], capture_output=True)
        need(removed.returncode in (1, 2) and removed.stderr.count(b"\n") == 1 and b"\x1b" not in removed.stderr, "removed:", name[:9], removed.stderr[:200])
    listed = subprocess.run([rig.o.mqa, "tenant", "list", "--json", "--state", rig.state], capture_output=True, text=True, check=True)
    there = {json.loads(line)["name"] for line in listed.stdout.splitlines()}
    need(set(good) <= there, "not listed:", set(good) - there)
    need({t["name"] for t in rig.figures()["tenants"]} >= set(good), "/status lacks some")
    metrics = rig.server.ask("/metrics", key=rig.keys["boss"])[1]
    need(all(line.startswith(("#", "mqa_")) and "{b=" not in line.split("tenant=")[0] for line in metrics.splitlines()), "a line of /metrics")
    db = sqlite3.connect(f"file:{rig.state}/mqa.sqlite?mode=ro", uri=True)
    need(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok" and db.execute("SELECT count(*) FROM usage WHERE tenant = ?", (good[2],)).fetchone()[0] == 1, "the journal")
    db.close()


def injection(rig):
    """Neither headers of the answer nor files are the client's to choose."""
    for path in ("/%0d%0aX-Evil:%201", "/v1/models?a=%0d%0aX-Evil: 1", "/v1/completions%0d%0a%0d%0a<script>"):
        answer = rig.raw(rig.head(path, method="GET", more="Connection: close\r\n"))
        need(b"\nX-Evil" not in answer and b"\n<script>" not in answer, path, answer)
    for path in ("/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/../../../etc/passwd", "//etc/passwd", "/..%5c..%5cetc", "/./page.js", "/mqa.sqlite", "/receipt.key", "/page.js%00.css"):
        answer = rig.raw(rig.head(path, method="GET", more="Connection: close\r\n"))
        need(b"root:" not in answer and b"SQLite" not in answer and (status(answer) in (0, 400, 404) or path == "/page.js%00.css"), path, answer[:200])


def smuggling(rig):
    """Where a request ends is said once: nothing behind that is taken for another one."""
    hidden = rig.head("/v1/models", method="GET")
    for header in ("Content-Length: 6\r\nContent-Length: 400", "Content-Length: 400\r\nContent-Length: 6", "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5",
                   "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding : chunked", "Content-Length : 5",
                   "Content-Length: 5, 5", "Content-Length: +5", "Content-Length: -5", "Content-Length: 5 5", "Content-Length: 18446744073709551621", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding:\tchunked\r\nContent-Length: 5"):
        data = (f"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rig.keys['bob']}\r\n{header}\r\n\r\n0\r\n\r\n").encode() + hidden
        answer = rig.raw(data, shut=True, seconds=5)
        need(b'"object":"list"' not in answer, header, answer[:400])
    for chunk in (b"5\r\nhello", b"ffffffffffffffff1\r\na", b"-1\r\na", b"0x5\r\nhello\r\n0\r\n\r\n", b"5;" + b"a" * 100000 + b"\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n"):
        head = rig.head("/tokenize").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        answer = rig.raw(head + chunk, shut=True, seconds=5)
        # 500 is libmicrohttpd's own word for a line that it has no room for.
        need(status(answer) in (0, 400, 413, 431) or (status(answer) == 500 and chunk.startswith(b"5;")), chunk[:20], answer[:200])


def pipelined(rig):
    """Many requests in one write: each answered, in order, one of a key that isn't known among them."""
    body = json.dumps({"prompt": "The sea was", "max_tokens": 2, "temperature": 0}).encode()
    data = b"".join(rig.head("/v1/completions", body) + body + rig.head("/health", method="GET") + rig.head("/nowhere", method="GET") for _ in range(10))
    answer = rig.raw(data + rig.head("/v1/models", key="mqa-wrong", method="GET", more="Connection: close\r\n"))
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    need([s for s in statuses if s != 100] == [200, 200, 404] * 10 + [401], statuses)


def others_data(rig):
    """Nothing of alice's is told to bob, nor her prompt to anybody."""
    prompt = SECRET + " " + "and so on " * 20
    for _ in range(2):
        need(rig.complete(prompt, key="alice")[0] == 200, "alice")
    eve = tenant(rig.o, rig.state, "eve")  # with nothing of her own in the cache
    answers = [rig.complete(prompt, key=eve)[1]]
    need(json.loads(body_of(answers[0]))["usage"]["prompt_tokens_details"]["cached_tokens"] == 0, "eve finds alice's prompt in the cache")
    answers[0] = b""  # her own prompt is hers to see
    for path in ("/status", "/metrics"):
        answers.append(rig.raw(rig.head(path, method="GET", more="Connection: close\r\n")))
        need(refused(answers[-1], 403), path)
    for path in ("/v1/models", "/health", "/openapi.json", "/", "/nowhere", "/v1/completions"):
        answers.append(rig.raw(rig.head(path, method="GET", more="Connection: close\r\n")))
    for body in ({"prompt": "a", "temperature": 9}, {"prompt": "a" * 5000}, {"prompt": "a", "grammar": "root ::= x"}):
        answers.append(rig.post("/v1/completions", body))
    for answer in answers:
        need(b"alice" not in answer and SECRET.encode() not in answer, "told:", answer[:300])
    for path in ("/status", "/metrics"):
        need(SECRET not in rig.server.ask(path, key=rig.keys["boss"])[1], "the operator reads prompts in", path)


def headers(rig):
    """Headers without end."""
    for more in ("X: " + "a" * 100_000, "\r\n".join(f"X-{i}: a" for i in range(20_000)), "X: a\r\n" + " folded\r\n" * 5000):
        need(status(rig.raw(rig.head("/health", method="GET", more=more + "\r\n"), seconds=10)) in (0, 400, 413, 431), more[:20])
    need(status(rig.raw(rig.head("/" + "a" * 100_000, method="GET"), seconds=10)) in (0, 400, 404, 413, 414, 431), "a long path")


def noise(rig):
    """Random bytes, and requests with random bytes in them."""
    rng = random.Random(rig.o.seed)
    body = json.dumps({"prompt": "The sea was", "max_tokens": 2}).encode()
    good = rig.head("/v1/completions", body) + body

    def some(seed):
        own = random.Random(seed)
        for _ in range(40):
            data = bytearray(good if own.random() < 0.7 else own.randbytes(own.randrange(1, 3000)))
            for _ in range(own.randrange(1, 8)):
                data[own.randrange(len(data))] = own.randrange(256)
            answer = rig.raw(bytes(data[: own.randrange(1, len(data) + 1)] if own.random() < 0.5 else data), shut=True, seconds=20)
            bad.extend([answer] if status(answer) >= 500 and status(answer) != 503 else [])

    bad = []
    threads = [threading.Thread(target=some, args=(rng.random(),)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    need(not bad, "a fault:", bad[:1])


PARTS = [slow, large, half_closed, bad_text, bad_json, idle, keys, names, injection, smuggling, pipelined, others_data, headers, noise]


def run(o, text, state):
    rig = Rig(o, state, ["--header-seconds", str(HEADER_SECONDS), "--body-seconds", str(BODY_SECONDS)])
    need(rig.complete()[0] == 200, "a first request")
    before, failed, grown = rig.server.resident(), [], {}
    for part in PARTS:
        start, why = time.time(), None
        try:
            part(rig)
            need(rig.server.process.poll() is None, "the server is gone:", rig.server.process.returncode)
            start_after = time.time()
            need(rig.complete()[0] == 200 and time.time() - start_after < 20, "it answers no more")
        except (AssertionError, OSError, ValueError, subprocess.CalledProcessError) as e:
            why = f"{type(e).__name__}: {e}"
            failed.append(part.__name__)
        if rig.server.process.poll() is not None:
            print("FAILED", part.__name__, why, "; the server is gone:", rig.server.process.returncode, file=sys.stderr)
            return {"check": "hostile", "failed": failed, "died": part.__name__}, False
        grown[part.__name__] = rig.server.resident() - before
        print("FAILED" if why else "ok    ", part.__name__, f"{time.time() - start:.1f} s, grew by {grown[part.__name__] >> 20} MiB", why or "", file=sys.stderr)
    resident = rig.server.resident() - before
    rig.server.stop()
    report = {"check": "hostile", "parts": len(PARTS), "failed": failed, "grew_mib": {k: v >> 20 for k, v in grown.items()}, "idle": getattr(rig, "idle", None),
              "seconds_for_10_mb": round(getattr(rig, "seconds_for_10_mb", -1), 2), "exit": rig.server.process.returncode}
    return report, not failed and resident < GROWTH and rig.server.process.returncode == 0
