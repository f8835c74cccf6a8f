# SPDX-License-Identifier: Apache-2.0
"""Receipts of answers made in a crowd with a warm prefix verify, on other instruction sets too; one changed byte is found."""

import base64
import copy
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

from .common import Server, all_at_once, fresh_text

CROWD = 64
# What the server runs on and says, what verifies it, and whether that may be equal. A set this CPU lacks is left out.
CASES = [("amx-c", "fast", "amx-c", True), ("amx-c", "fast", "reference", False), ("avx512", "portable", "avx2", True), ("amx", "portable", "avx2", True),
         ("avx2", "portable", "avx512", True), ("", "fast", "", True)]


def environment(isa):
    return {**os.environ, "MQA_ISA": isa} if isa else {k: v for k, v in os.environ.items() if k != "MQA_ISA"}


def there(o, isa):
    return subprocess.run([o.mqa, "info", "--json"], env=environment(isa), capture_output=True).returncode == 0


def verify(o, receipt, isa):
    done = subprocess.run([o.mqa, "verify", "-m", o.model, "--json"], env=environment(isa), input=json.dumps(receipt), capture_output=True, text=True)
    return done.returncode == 0 and json.loads(done.stdout)["equal"], (done.stderr or done.stdout).strip()


def most_running(server, stop, out):
    while not stop.is_set():
        out.append(json.loads(server.ask("/status")[1])["running"])
        time.sleep(0.02)


def crowd(o, text, state, isa, numerics):
    """Receipts of CROWD requests at once that share a beginning which was there before; shorter where kernels are plain C."""
    slow = isa.endswith("-c")
    server = Server(o, state, ["--numerics", numerics, "-t", str(o.threads)], environment(isa))
    beginning = fresh_text(text, o.seed, 16 if slow else 1000, server.count_tokens)

    def ask(i):
        body = {"prompt": f"{beginning} {i}", "max_tokens": 3 if slow else 48, "temperature": (0, 0.75)[i % 2], "seed": i, "ignore_eos": True, "receipt": True}
        status, answer = server.ask("/v1/completions", body)
        return json.loads(answer) if status == 200 else sys.exit(f"check-serve: {status}: {answer}")

    ask(CROWD)
    stop, running = threading.Event(), []
    watcher = threading.Thread(target=most_running, args=(server, stop, running))
    watcher.start()
    answers, _ = all_at_once([lambda i=i: ask(i) for i in range(CROWD)])
    stop.set()
    watcher.join()
    server.stop()
    return {"receipts": [a["receipt"] for a in answers], "most_running": max(running),
            "warm": sum(a["usage"]["prompt_tokens_details"]["cached_tokens"] > 0 for a in answers)}


def canonical(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def signed(receipt, state):
    """As the server would sign it: with its key, which is a seed and a public key of Ed25519."""
    receipt = {k: v for k, v in receipt.items() if k != "signature"}
    receipt["hashes"] = {k: hashlib.blake2b(canonical(receipt[k]), digest_size=32).hexdigest() for k in receipt["hashes"]}
    with open(state + "/receipt.key", "rb") as f:
        der = bytes.fromhex("302e020100300506032b657004220420") + f.read(32)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("key", der), ("text", canonical(receipt))):
            with open(f"{folder}/{name}", "wb") as f:
                f.write(data)
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", folder + "/key", "-keyform", "DER", "-rawin", "-in", folder + "/text"],
                                   capture_output=True, check=True).stdout
    return {**receipt, "signature": base64.urlsafe_b64encode(signature).decode().rstrip("=")}


def changed(receipt, state):
    """Receipts that mustn't verify, by what is wrong: one byte of an output, the prompt, the signature; an output the server itself lied about."""
    for where in ("outputs", "prompt", "signature", "outputs, signed"):
        r = copy.deepcopy(receipt)
        if where == "signature":
            r[where] = ("A" if r[where][0] != "A" else "B") + r[where][1:]
        else:
            ids = r["prompt"] if where == "prompt" else r["outputs"][0]
            ids[-1] ^= 1
        yield where, signed(r, state) if "signed" in where else r


def run(o, text, state):
    made, lines, good = {}, [], True
    for isa, numerics, by, equal in CASES:
        line = {"made": isa or "auto", "numerics": numerics, "verified_by": by or "auto"}
        lines.append(line)
        if not there(o, isa) or not there(o, by):
            line["left_out"] = "this CPU lacks it"
            continue
        of = f"{state}-{isa}-{numerics}"
        if of not in made:
            made[of] = crowd(o, text, of, isa, numerics)
        c = made[of]
        drawn = random.Random(o.seed).sample(c["receipts"], min(CROWD, o.sample, 1 if by in ("amx-c", "reference") else 8))
        verdicts = [verify(o, r, by) for r in drawn]
        wrong = [said for yes, said in verdicts if yes != equal]
        missed = [where for where, r in changed(drawn[0], of) if verify(o, r, by)[0]]
        if equal and not verify(o, signed(drawn[0], of), by)[0]:
            missed.append("signing here isn't the server's")
        line.update(recipe=drawn[0]["recipe"], most_running=c["most_running"], warm=c["warm"], receipts=len(drawn), equal=sum(yes for yes, _ in verdicts),
                    expected_equal=equal, wrong=wrong, changed_but_equal=missed)
        good &= not wrong and not missed and c["warm"] == CROWD and c["most_running"] == CROWD
        print(line, file=sys.stderr)
    return {"check": "receipts", "crowd": CROWD, "cases": lines}, good and any("left_out" not in line for line in lines)
