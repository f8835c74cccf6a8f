#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/model/data/greedy_<name>.txt: what llama.cpp generates greedily, with the gap at each token.

    scripts/golden_greedy.py LLAMA_SERVER MODEL.gguf OUT.txt

LLAMA_SERVER is llama.cpp's `llama-server`; nothing else is needed. For each prompt three lines:

    prompt  ids of the prompt, BOS included where the model adds it
    ids     the 64 ids that follow (fewer where the model ends its text)
    gaps    for each of them, its log-probability minus that of the second best; all 0 where unknown
"""
import json
import socket
import subprocess
import sys
import time
import urllib.request

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea, there lived",
    "def fibonacci(n):\n    ",
    "The three laws of motion say that",
    "Water boils at a temperature of",
    "Dear Sir or Madam,\n\nI am writing to",
    "Q: What is the largest planet of the solar system?\nA:",
    "1, 1, 2, 3, 5, 8,",
    "In 1969, the first humans",
    "Die Hauptstadt von Deutschland ist",
    "La révolution française a commencé en",
    "The recipe needs two eggs, a cup of flour and",
    "#include <stdio.h>\n\nint main(void)\n{\n",
    "Photosynthesis is the process by which",
    "To be, or not to be, that is",
    "The quick brown fox",
    "Multi-query attention shares one set of keys and values between",
    "My favourite colour is blue because",
    "SELECT name, age FROM users WHERE",
    "日本の首都は",
]
N_PREDICT = 64


def post(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=3600) as answer:
        return json.load(answer)


def wait_until_up(port, server):
    for _ in range(600):
        if server.poll() is not None:
            sys.exit("llama-server has ended")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    sys.exit("llama-server doesn't answer")


def generate(port, prompt):
    ids = post(port, "/tokenize", {"content": prompt, "add_special": True})["tokens"]
    answer = post(port, "/completion", {
        "prompt": ids, "n_predict": N_PREDICT, "temperature": 0, "n_probs": 2, "return_tokens": True,
        "cache_prompt": False, "samplers": ["temperature"], "repeat_penalty": 1.0})
    out, gaps = answer["tokens"], []
    for step in answer["completion_probabilities"]:
        best, second = step["top_logprobs"][:2]
        gaps.append(step["logprob"] - (second["logprob"] if best["id"] == step["id"] else best["logprob"]))
    if [step["id"] for step in answer["completion_probabilities"]] != out:
        gaps = [0] * len(out)  # the server leaves out tokens that end inside a UTF-8 character
    return ids, out, gaps


def main():
    binary, model, path = sys.argv[1:4]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([binary, "-m", model, "-t", "1", "-c", "512", "-np", "1", "--port", str(port), "--no-webui"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_up(port, server)
        with open(path, "w", encoding="ascii") as f:
            for prompt in PROMPTS:
                ids, out, gaps = generate(port, prompt)
                print("prompt", *ids, file=f)
                print("ids", *out, file=f)
                print("gaps", *(f"{g:.4f}" for g in gaps), file=f, flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
