#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/gguf/data/blocks.bin: random blocks of every tensor type we read, and what the gguf
package's numpy reference makes of them.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 && venv/bin/python scripts/golden_gguf_blocks.py

Format, little endian, one record a type: u32 type, u32 n_blocks, u32 block_values, u32 block_bytes,
blocks[n_blocks * block_bytes], f32 values[n_blocks * block_values]. The bytes are random throughout, so
scales are any f16 (or e8m0), zero, denormal, infinite and NaN ones among them.
"""
import pathlib
import struct

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

TYPES = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K,
         T.Q6_K, T.IQ4_NL, T.MXFP4]
# Where each type keeps its f16 scales: given the special values in the first blocks.
SCALES = {T.F16: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0]}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]


def main():
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
    path = pathlib.Path(__file__).parent.parent / "tests/gguf/data/blocks.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out)
    print(path, len(out), "bytes")


if __name__ == "__main__":
    main()
