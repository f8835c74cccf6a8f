#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/gguf/data/blocks.bin, random blocks of every tensor type we read and what the gguf
package's numpy reference makes of them, and tests/gguf/data/package.gguf, a small file by the package's
own writer with every type of metadata (tests/gguf/test_gguf.c knows what is in it), and
tests/gguf/data/corpus, small valid files for the fuzz target to start from.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 && venv/bin/python scripts/golden_gguf_blocks.py

Format, little endian, one record a type: u32 type, u32 n_blocks, u32 block_values, u32 block_bytes,
blocks[n_blocks * block_bytes], f32 values[n_blocks * block_values]. The bytes are random throughout, so
scales are any f16 (or e8m0), zero, denormal, infinite and NaN ones among them.
"""
import pathlib
import struct

import numpy as np
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T, GGUFValueType as V
from gguf.quants import dequantize, quantize

TYPES = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K,
         T.Q6_K, T.IQ4_NL, T.MXFP4]
# Where each type keeps its f16 scales: given the special values in the first blocks.
SCALES = {T.F16: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0]}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]


DATA = pathlib.Path(__file__).parent.parent / "tests/gguf/data"


def write_package_file():
    w = GGUFWriter(DATA / "package.gguf", "testarch")
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_uint64("t.u64", 2**64 - 1)
    w.add_int64("t.i64", -2**63)
    w.add_float32("t.f32", 0.1)
    w.add_float64("t.f64", -2.5)
    w.add_bool("t.bool", True)
    w.add_string("t.str", "gr\u00fc\u00df \u4e16\u754c")
    w.add_array("t.ints", [3, -1, 2000000000])
    w.add_array("t.floats", [0.5, -1.0, 1e10])
    w.add_array("t.bools", [True, False, True])
    w.add_array("t.strs", [f"token {i}" for i in range(40)])
    w.add_key_value("t.u8s", [1, 2, 255], V.ARRAY, V.UINT8)
    ramp = np.arange(64 * 3, dtype=np.float32).reshape(3, 64) / 8 - 7
    w.add_tensor("ramp.f32", ramp)
    w.add_tensor("ramp.f16", ramp.astype(np.float16))
    w.add_tensor("ramp.q8_0", quantize(ramp, T.Q8_0), raw_dtype=T.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_corpus():
    corpus = DATA / "corpus"
    corpus.mkdir(exist_ok=True)
    for version in (2, 3):
        (corpus / f"empty-v{version}.gguf").write_bytes(struct.pack("<4sIQQ", b"GGUF", version, 0, 0))
    w = GGUFWriter(corpus / "types.gguf", "a")
    w.add_custom_alignment(64)
    for t in TYPES:
        values, size = GGML_QUANT_SIZES[t]
        w.add_tensor(t.name, np.full((1, size), 0x35, dtype=np.uint8), raw_dtype=t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    w = GGUFWriter(corpus / "vocabulary.gguf", "llama")
    w.add_token_list([b"<s>", b"\xe2\x96\x81a", b"<0x0A>"] * 7)
    w.add_token_scores([0.0, -1.0, -1000.0] * 7)
    w.add_token_types([3, 1, 6] * 7)
    w.add_uint16("split.no", 0)
    w.add_uint16("split.count", 1)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    (corpus / "package.gguf").write_bytes((DATA / "package.gguf").read_bytes())


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    write_package_file()
    write_corpus()
    rng = np.random.default_rng(20261124)
    out = bytearray()
    np.seterr(all="ignore")
    for t in TYPES:
        values, size = GGML_QUANT_SIZES[t]
        n = max(16, 256 // values) * (2 if values == 32 else 1)
        blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
        for at in SCALES.get(t, []):
            for i, bits in enumerate(SPECIAL):
                blocks[(i + at) % n, at:at + 2] = [bits & 255, bits >> 8]
        if t == T.MXFP4:
            blocks[:6, 0] = [0, 1, 2, 127, 254, 255]
        floats = dequantize(blocks.reshape(n, size), t).astype("<f4")
        assert floats.size == n * values
        out += struct.pack("<4I", t, n, values, size) + blocks.tobytes() + floats.tobytes()
    path = DATA / "blocks.bin"
    path.write_bytes(out)
    print(path, len(out), "bytes")


if __name__ == "__main__":
    main()
