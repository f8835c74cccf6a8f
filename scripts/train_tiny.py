#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes examples/tiny/tiny-mqa.gguf and tests/model/data/tiny_logits.json.

The tiny model is the smallest thing that is really multi-query and writes readable words: architecture
`llama`, 4 layers, width 128, 4 query heads on 1 KV head of 32, SwiGLU 384, RoPE on adjacent pairs, tied
output, a byte-level BPE of 512 tokens. It is trained on little stories that this script makes up itself
(class Stories), so text, weights and file are ours and under the project's licence.

    train_tiny.py train [--minutes 12] [--threads 1] [--out examples/tiny/tiny-mqa.gguf]
    train_tiny.py logits [--model examples/tiny/tiny-mqa.gguf] [--out tests/model/data/tiny_logits.json]
    train_tiny.py text                  a few of the stories, to look at

Needs torch, numpy and gguf (Debian: python3-torch; gguf from PyPI). `train` is limited by time, so its
weights differ from machine to machine; the file in the repository is the one that tests know.

tiny_logits.json, from a float64 PyTorch model on the file's own dequantised weights:

    { "model": "tiny-mqa.gguf",
      "cases": [ { "tokens": [510, 314, …],     what went in, BOS included
                   "text":   "Once upon…",      the same as text without BOS; absent where the ids are random
                   "logits": [512 numbers],     after the last token
                   "greedy": [32 ids]           the most likely continuation (absent for random ids)
                 }, … ] }

The long cases (520 and 1,100 tokens) cross the library's spans of 512 tokens.
"""
import argparse
import json
import math
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
N_LAYERS, WIDTH, HEADS, HEAD_DIM, FF, VOCAB = 4, 128, 4, 32, 384, 512
CONTEXT, ROPE_BASE, EPS = 192, 10000.0, 1e-5
BOS = VOCAB - 1  # also ends a story
PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


class Stories:
    """Little stories from a grammar: enough variety that a model must learn words, names and who is who."""

    people = [("Ada", "she", "her"), ("Tom", "he", "his"), ("Mia", "she", "her"), ("Ben", "he", "his"),
              ("Lily", "she", "her"), ("Max", "he", "his"), ("Nora", "she", "her"), ("Sam", "he", "his"),
              ("Rosa", "she", "her"), ("Leo", "he", "his"), ("Anna", "she", "her"), ("Jack", "he", "his")]
    kinds = ["girl", "boy"]
    animals = ["cat", "dog", "fox", "owl", "frog", "mouse", "bear", "duck", "rabbit", "horse", "hen", "goat"]
    adjectives = ["little", "old", "brave", "quiet", "happy", "clever", "small", "kind", "tired", "hungry", "funny"]
    colours = ["red", "blue", "green", "yellow", "white", "black", "brown", "golden"]
    things = ["ball", "book", "key", "lamp", "boat", "hat", "drum", "kite", "box", "bell", "shell", "letter", "cup"]
    places = ["garden", "forest", "village", "house by the sea", "park", "kitchen", "school", "market",
              "barn", "library", "mill by the river", "tower"]
    hiding = ["under a tree", "behind the door", "in the tall grass", "near the river", "under the bed",
              "on top of the hill", "inside an old box", "between two stones", "beside the well"]
    food = ["bread", "an apple", "warm soup", "cake", "a pear", "cheese", "honey", "some berries"]
    weather = ["It was a sunny day.", "The rain had just stopped.", "Snow fell on the roofs.", "The wind was strong.",
               "The sky was grey.", "The moon was bright.", "It was very warm.", "A soft fog lay on the fields."]
    times = ["One day", "One morning", "One evening", "In the summer", "Late at night", "After school", "On Sunday"]
    endings = ["They were happy, and they all went home.", "And from that day on they were good friends.",
               "That night everyone slept very well.", "It was the best day of the year.",
               "They laughed and sang until the sun went down.", "And so the story ends well for everyone."]

    def __init__(self, seed):
        self.r = random.Random(seed)

    def story(self):
        c = self.r.choice
        name, he, his = c(self.people)
        friend, fhe, _ = c([p for p in self.people if p[0] != name])
        animal, colour, thing, place = c(self.animals), c(self.colours), c(self.things), c(self.places)
        adjective, hiding, food = c(self.adjectives), c(self.hiding), c(self.food)
        kind = "girl" if he == "she" else "boy"
        He, Fhe = he.capitalize(), fhe.capitalize()
        out = [c([f"Once upon a time there was a {adjective} {kind} named {name}.",
                  f"Once upon a time a {adjective} {animal} lived near the {place}.",
                  f"There was once a {kind} called {name}, who had a {adjective} {animal}.",
                  f"{name} was a {adjective} {kind} who lived with a {animal}."])]
        if "animal lived" in out[0] or name not in out[0]:
            out.append(c([f"A {kind} named {name} often came to see it.", f"Its best friend was a {kind} named {name}."]))
        if self.r.random() < 0.6:
            out.append(c(self.weather))
        out.append(c([f"{c(self.times)} {name} went to the {place} with {his} {colour} {thing}.",
                      f"{c(self.times)} {name} could not find {his} {colour} {thing}.",
                      f"{c(self.times)} {name} found a {colour} {thing} {hiding}.",
                      f"{c(self.times)} {name} and {friend} walked to the {place} to look for a {colour} {thing}."]))
        lost = "could not find" in out[-1]
        if lost:
            out.append(c([f"{He} looked everywhere, but the {thing} was gone.",
                          f'"Where is my {thing}?" {he} asked the {animal}.',
                          f"{He} was sad and sat down on a stone."]))
            out.append(c([f'"Do not worry," said {friend}. "We will look for it together."',
                          f'"I can help you," said {friend}, and took a lamp.',
                          f"Then {friend} came and asked what was wrong."]))
            out.append(c([f"They looked in the {place}, and there it was, {hiding}.",
                          f"The {animal} ran ahead and found the {thing} {hiding}.",
                          f"At last they saw something {colour} {hiding}. It was the {thing}!"]))
        else:
            together = f"and {friend} walked" in out[-1]
            out.append(c([f"There they saw a {c(self.adjectives)} {animal}." if together else
                          f"There {he} met {friend}, who was very {c(self.adjectives)}.",
                          f'"Look at my {thing}," {he} said to {friend}.',
                          f"The {animal} came too, because it wanted {food}."]))
            out.append(c([f'"Can I play with it?" asked {friend}. "Yes, you can," said {name}.',
                          f'"It is a very nice {thing}," said {friend}.',
                          f"{friend} smiled and gave {name} {food}.",
                          f"{Fhe} asked for {food}, and {name} gave it to {friend}."]))
            out.append(c([f"They played with the {thing} until it was dark.",
                          f"Then the {animal} took the {thing} and ran away with it. Everyone had to laugh.",
                          f"They put the {thing} {hiding} so that nobody would take it.",
                          f"Together they carried the {thing} back from the {place}."]))
        if self.r.random() < 0.7:
            out.append(c([f"{name} was not sad any more.", f'"Thank you," said {name}.', f"Then they ate {food}.",
                          f"{He} gave the {animal} {food}.", f'"Let us come back tomorrow," said {friend}.']))
        out.append(c(self.endings))
        return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", " ".join(out)) + "\n"


class Bpe:
    """Byte-level BPE in the form that GGUF calls gpt2."""

    def __init__(self, merges):
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [b for b in range(256) if b not in printable]
        self.byte = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
        self.tokens = [self.byte[b] for b in printable + others] + [a + b for a, b in merges]
        self.merges, self.rank = merges, {m: i for i, m in enumerate(merges)}
        self.id = {t: i for i, t in enumerate(self.tokens)}
        self.cache = {}

    def split(self, word):
        parts = [self.byte[b] for b in word.encode()]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), 1 << 30))
            if (parts[best], parts[best + 1]) not in self.rank:
                break
            parts[best:best + 2] = [parts[best] + parts[best + 1]]
        return parts

    def encode(self, text):
        ids = []
        for word in PATTERN.findall(text):
            if word not in self.cache:
                self.cache[word] = [self.id[p] for p in self.split(word)]
            ids += self.cache[word]
        return ids

    def decode(self, ids):
        back = {c: b for b, c in self.byte.items()}
        return bytes(back[c] for i in ids if i < len(self.tokens) for c in self.tokens[i]).decode(errors="replace")

    @staticmethod
    def train(text, n_tokens):
        bpe = Bpe([])
        words = {w: n for w, n in Counter(PATTERN.findall(text)).items()}
        parts = {w: [bpe.byte[b] for b in w.encode()] for w in words}
        merges = []
        while 256 + len(merges) < n_tokens:
            pairs = Counter()
            for w, n in words.items():
                for pair in zip(parts[w], parts[w][1:]):
                    pairs[pair] += n
            best = max(pairs, key=lambda p: (pairs[p], p))
            merges.append(best)
            for w, p in parts.items():
                i = 0
                while i + 1 < len(p):
                    if (p[i], p[i + 1]) == best:
                        p[i:i + 2] = [p[i] + p[i + 1]]
                    i += 1
        return Bpe(merges)


def shapes():
    out = {"token_embd.weight": (VOCAB, WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(N_LAYERS):
        out |= {f"blk.{i}.attn_norm.weight": (WIDTH,), f"blk.{i}.ffn_norm.weight": (WIDTH,),
                f"blk.{i}.attn_q.weight": (HEADS * HEAD_DIM, WIDTH), f"blk.{i}.attn_k.weight": (HEAD_DIM, WIDTH),
                f"blk.{i}.attn_v.weight": (HEAD_DIM, WIDTH), f"blk.{i}.attn_output.weight": (WIDTH, HEADS * HEAD_DIM),
                f"blk.{i}.ffn_gate.weight": (FF, WIDTH), f"blk.{i}.ffn_up.weight": (FF, WIDTH),
                f"blk.{i}.ffn_down.weight": (WIDTH, FF)}
    return out


def norm(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * w


def rope(x):
    """x: [batch, heads, n, d]; pairs (2i, 2i+1)."""
    n, d = x.shape[-2:]
    freq = ROPE_BASE ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def forward(w, ids):
    """ids: [batch, n] -> logits [batch, n, VOCAB]. Written from the formulas: this is the arbiter of a test."""
    b, n = ids.shape
    x = w["token_embd.weight"][ids]
    mask = torch.full((n, n), -math.inf, dtype=x.dtype).triu(1)
    for i in range(N_LAYERS):
        p = lambda name: w[f"blk.{i}.{name}.weight"]
        h = norm(x, p("attn_norm"))
        q = rope((h @ p("attn_q").T).view(b, n, HEADS, HEAD_DIM).transpose(1, 2))
        k = rope((h @ p("attn_k").T)[:, None])  # one K and one V for all heads
        v = (h @ p("attn_v").T)[:, None]
        a = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(HEAD_DIM) + mask, -1) @ v
        x = x + a.transpose(1, 2).reshape(b, n, -1) @ p("attn_output").T
        h = norm(x, p("ffn_norm"))
        x = x + (F.silu(h @ p("ffn_gate").T) * (h @ p("ffn_up").T)) @ p("ffn_down").T
    return norm(x, w["output_norm.weight"]) @ w["token_embd.weight"].T


def train(minutes, threads, out):
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    stories = Stories(1)
    sample = [stories.story() for _ in range(20000)]
    bpe = Bpe.train("".join(sample[:4000]), VOCAB - 1)
    data = torch.tensor([t for s in sample for t in [BOS] + bpe.encode(s)])
    print(f"{len(data)} tokens of text", flush=True)
    w = {}
    for name, shape in shapes().items():
        scale = 0.02 / (math.sqrt(2 * N_LAYERS) if "attn_output" in name or "ffn_down" in name else 1)
        w[name] = (torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * (scale * 2)).requires_grad_()
    opt = torch.optim.AdamW([{"params": [t for t in w.values() if t.dim() == 2], "weight_decay": 0.05},
                             {"params": [t for t in w.values() if t.dim() == 1], "weight_decay": 0.0}],
                            lr=3e-3, betas=(0.9, 0.98))
    start, step, batch = time.time(), 0, 4
    while (done := (time.time() - start) / (60 * minutes)) < 1:
        lr = 3e-3 * min(1, (step + 1) / 40) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in opt.param_groups:
            group["lr"] = lr
        at = torch.randint(len(data) - CONTEXT - 1, (batch,))
        x = torch.stack([data[i:i + CONTEXT] for i in at])
        y = torch.stack([data[i + 1:i + CONTEXT + 1] for i in at])
        loss = F.cross_entropy(forward(w, x).view(-1, VOCAB), y.view(-1))
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
        opt.step()
        step += 1
        if step % 25 == 0:
            print(f"{100 * done:5.1f} %  step {step}  loss {loss.item():.4f}", flush=True)
        if step % 200 == 0:
            write(out, w, bpe)
    write(out, w, bpe)


def write(out, w, bpe):
    import gguf

    out.parent.mkdir(parents=True, exist_ok=True)
    g = gguf.GGUFWriter(str(out), "llama")
    g.add_name("tiny-mqa")
    g.add_description("Four query heads on one K and V; writes little stories. Made by scripts/train_tiny.py.")
    g.add_license("Apache-2.0")
    g.add_context_length(2048)  # trained on 192; longer only serves tests
    g.add_embedding_length(WIDTH)
    g.add_block_count(N_LAYERS)
    g.add_feed_forward_length(FF)
    g.add_head_count(HEADS)
    g.add_head_count_kv(1)
    g.add_key_length(HEAD_DIM)
    g.add_value_length(HEAD_DIM)
    g.add_rope_dimension_count(HEAD_DIM)
    g.add_rope_freq_base(ROPE_BASE)
    g.add_layer_norm_rms_eps(EPS)
    g.add_vocab_size(VOCAB)
    g.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    g.add_tokenizer_model("gpt2")
    g.add_tokenizer_pre("gpt-2")
    tokens = bpe.tokens + ["<|endoftext|>"]
    assert len(tokens) == VOCAB and len(set(tokens)) == VOCAB
    g.add_token_list(tokens)
    g.add_token_types([gguf.TokenType.NORMAL] * (VOCAB - 1) + [gguf.TokenType.CONTROL])
    g.add_token_merges([f"{a} {b}" for a, b in bpe.merges])
    g.add_bos_token_id(BOS)
    g.add_eos_token_id(BOS)
    g.add_add_bos_token(True)
    for name, t in w.items():
        a = t.detach().numpy()
        g.add_tensor(name, a.astype(np.float16) if a.ndim == 2 else a.astype(np.float32))
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()
    print(f"{out}: {out.stat().st_size} bytes")


def load(path):
    import gguf

    reader = gguf.GGUFReader(str(path))
    w = {}
    for t in reader.tensors:
        a = gguf.quants.dequantize(t.data, t.tensor_type)
        w[t.name] = torch.tensor(np.array(a, dtype=np.float64))
    field = reader.fields["tokenizer.ggml.merges"]
    merges = [tuple(bytes(field.parts[i]).decode().split(" ")) for i in field.data]
    return w, Bpe(merges)


def logits(model, out):
    w, bpe = load(model)
    long = "".join(Stories(7).story() for _ in range(20))
    random_ids = [random.Random(3).randrange(VOCAB - 1) for _ in range(40)]
    texts = ["Once upon a time", "One day Ada went to the", '"Where is my', "The cat", long[:2000]]
    cases = [{"text": t, "tokens": [BOS] + bpe.encode(t)} for t in texts]
    ids = [BOS] + bpe.encode(long)
    cases += [{"tokens": [BOS]}, {"tokens": [BOS] + random_ids}, {"tokens": ids[:520]}, {"tokens": ids[:1100]}]
    assert len(cases[-1]["tokens"]) == 1100
    with torch.no_grad():
        for case in cases:
            case["logits"] = [float(f"{x:.7g}") for x in forward(w, torch.tensor([case["tokens"]]))[0, -1].tolist()]
            if "text" in case and len(case["tokens"]) < 100:
                more = list(case["tokens"])
                for _ in range(32):
                    more.append(int(forward(w, torch.tensor([more]))[0, -1].argmax()))
                case["greedy"] = more[len(case["tokens"]):]
                print(repr(case["text"] + bpe.decode(case["greedy"])))
    out.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"model":"{model.name}","cases":[\n{body}\n]}}\n')
    print(f"{out}: {out.stat().st_size} bytes, {len(cases)} cases")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "logits", "text"])
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, default=ROOT / "examples/tiny/tiny-mqa.gguf")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.what == "train":
        train(args.minutes, args.threads, args.out or args.model)
    elif args.what == "logits":
        logits(args.model, args.out or ROOT / "tests/model/data/tiny_logits.json")
    else:
        stories = Stories(int(time.time()))
        sys.stdout.write("\n".join(stories.story() for _ in range(5)))


if __name__ == "__main__":
    main()
