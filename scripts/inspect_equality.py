#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mqa inspect against transformers' output_attentions (eager), probability by probability.

Both read the same weights: MODEL's, dequantised into a GGUF of float32 (mqa multiplies quantised weights by
rows of int8, which is another arithmetic; float32 weights it multiplies as they are). transformers computes
in float64.

    inspect_equality.py MQA MODEL.gguf [--text FILE] [--tokens N]     exit code 1 if they differ by more than 1e-4
    inspect_equality.py MQA MODEL.gguf --golden OUT [--text FILE] [--tokens N]
                                                                      writes what tests/inspect reads

Needs torch, transformers, gguf and numpy; memory for the model in float64.
"""
import argparse
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TEXT = Path(__file__).resolve().parent.parent / "docs/design.md"
TOLERANCE = 1e-4


def dequantise(source, target):
    """The same file with every matrix in float32."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=sub)
    for t in reader.tensors:
        values = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        writer.add_tensor(t.name, values.reshape([int(n) for n in reversed(t.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def attentions(model, ids):
    import torch
    import transformers

    # eager_attention_forward: the one that gives its probabilities back
    m = transformers.AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32,
                                                          attn_implementation="eager").double().eval()
    with torch.no_grad():
        out = m(torch.tensor([ids]), output_attentions=True, use_cache=False)
    return np.stack([a[0].double().numpy() for a in out.attentions])


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True).stdout


def compare(mqa, model, text, ids, want, folder):
    npy = folder / "p.npy"
    run(mqa, "inspect", "-m", model, "-f", text, "-n", len(ids), "--kv-type", "f32", "--npy", npy, "--json")
    got = np.load(npy, mmap_mode="r")
    assert got.shape == want.shape, (got.shape, want.shape)
    difference = np.abs(got - want).max(axis=(2, 3))
    for layer, worst in enumerate(difference):
        print(f"layer {layer:2}: largest difference", *(f"{x:.1e}" for x in worst))
    print(f"{model.name}: {len(ids)} tokens, {want.size} probabilities, largest difference {difference.max():.2e}")
    return difference.max() <= TOLERANCE


def write_golden(path, ids, want):
    """int32 layers, heads, tokens; ids; the lower triangles in 1/65535ths, 16 bits each."""
    layers, heads, n, _ = want.shape
    rows, columns = np.tril_indices(n)
    values = np.rint(want[:, :, rows, columns] * 65535).astype("<u2")
    path.write_bytes(struct.pack(f"<{3 + n}i", layers, heads, n, *ids) + values.tobytes())
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mqa", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--tokens", type=int, default=700, help="more than the window of 512")
    parser.add_argument("--golden", type=Path)
    args = parser.parse_args()
    ids = json.loads(run(args.mqa, "tokenize", "-m", args.model, "-f", args.text, "--no-parse-special", "--json"))
    ids = ids["ids"][:args.tokens]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        plain = folder / args.model.name
        dequantise(args.model, plain)
        want = attentions(plain, ids)
        if args.golden:
            write_golden(args.golden, ids, want)
        elif not compare(args.mqa, plain, args.text, ids, want, folder):
            sys.exit(f"they differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
