#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/kernels/data/rope.bin: vectors turned by transformers' own code, for tests/kernels/test_rope.c.

    python3 -m venv venv && venv/bin/pip install torch transformers==5.24.0 && venv/bin/python scripts/golden_rope.py

Each case is computed twice by the same code of transformers: as it is, in f32, and with its float32 replaced by
float64. The first shows that we agree as far as f32 goes (at position 131,071 its angles are off by 0.001 to 0.01,
near 2^31 they mean nothing); the second says what was meant.

Format, little endian, one record a case:

    char name[32]
    i32  head_dim, n_dims, first_dim, style, scaling, truncate, has_freq_factors, n_positions
    f64  base, factor, original_context, low_freq_factor, high_freq_factor, beta_fast, beta_slow, attention_factor
    f64  freq_factors[n_dims/2]               where has_freq_factors
    f64  frequencies[n_dims/2], a             by float64: what the configuration must come to
    f32  x[head_dim]                          the vector before
    n_positions times: i64 position, f32 by_float32[head_dim], f32 by_float64[head_dim]
"""
import contextlib
import pathlib
import struct

import numpy as np
import torch
from transformers import GlmConfig, GPTNeoXConfig, LlamaConfig
from transformers.models.glm import modeling_glm
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.gptj import modeling_gptj
from transformers.models.llama import modeling_llama

OUT = pathlib.Path(__file__).parent.parent / "tests/kernels/data/rope.bin"
NEOX, ADJACENT = 0, 1
SCALINGS = {"default": 0, "linear": 1, "llama3": 2, "yarn": 3, "longrope": 0}
POSITIONS = [0, 1, 2, 77, 4095, 32767, 131071, 2**31 - 1]

LLAMA31 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
               original_max_position_embeddings=8192)
CASES = [  # name, model, head_dim, n_dims, first_dim, rope_parameters
    ("llama", "llama", 64, 64, 0, dict(rope_theta=10000.0)),
    ("qwen, base 1e6", "llama", 128, 128, 0, dict(rope_theta=1e6)),
    ("gpt-neox, a quarter", "gpt_neox", 80, 20, 0, dict(rope_theta=10000.0)),
    ("gpt-j, partial", "gptj", 48, 32, 0, dict(rope_theta=10000.0)),
    ("glm, a half", "glm", 64, 32, 0, dict(rope_theta=10000.0)),
    ("from dim 32 on", "llama", 96, 64, 32, dict(rope_theta=10000.0)),
    ("linear, by 8", "llama", 64, 64, 0, dict(rope_theta=1e6, rope_type="linear", factor=8.0)),
    ("linear, by 3, adjacent", "glm", 40, 36, 0, dict(rope_theta=10000.0, rope_type="linear", factor=3.0)),
    ("llama 3.1", "llama", 128, 128, 0, dict(LLAMA31, rope_theta=5e5)),
    ("llama 3.2, adjacent", "glm", 64, 64, 0, dict(LLAMA31, rope_theta=5e5, factor=32.0)),
    ("yarn, qwen 2.5", "llama", 128, 128, 0,
     dict(rope_theta=1e6, rope_type="yarn", factor=4.0, original_max_position_embeddings=32768)),
    ("yarn, gpt-oss", "llama", 64, 64, 0,
     dict(rope_theta=150000.0, rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
          original_max_position_embeddings=4096)),
    ("yarn, deepseek, adjacent", "glm", 64, 64, 0,
     dict(rope_theta=10000.0, rope_type="yarn", factor=40.0, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
          mscale_all_dim=0.707, original_max_position_embeddings=4096)),
    ("yarn, partial, steep", "glm", 48, 16, 0,
     dict(rope_theta=10000.0, rope_type="yarn", factor=10.0, beta_fast=4.0, beta_slow=2.0,
          original_max_position_embeddings=2048)),
    ("yarn, a ramp of one pair", "llama", 16, 16, 0,
     dict(rope_theta=10000.0, rope_type="yarn", factor=8.0, original_max_position_embeddings=6)),
    ("yarn, a ramp past the end", "llama", 16, 16, 0,
     dict(rope_theta=100.0, rope_type="yarn", factor=4.0, beta_fast=20000.0, beta_slow=1.0,
          original_max_position_embeddings=10**6)),
    ("longrope, phi 3.5", "llama", 96, 96, 0,
     dict(rope_theta=10000.0, rope_type="longrope", factor=32.0, original_max_position_embeddings=4096,
          short_factor=[1 + 0.02 * i**2 for i in range(48)], long_factor=[1 + 0.02 * i**2 for i in range(48)])),
]


@contextlib.contextmanager
def float64_for_float32():
    saved = torch.float, torch.float32, torch.Tensor.float
    torch.float = torch.float32 = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    yield
    torch.float, torch.float32, torch.Tensor.float = saved
    torch.set_default_dtype(torch.float32)


def rotary_of(model, head_dim, n_dims, parameters):
    """The model's module of cosines and sines, and its function that applies them."""
    parameters = dict({"rope_type": "default"}, **parameters)
    if model in ("glm", "gpt_neox"):
        parameters["partial_rotary_factor"] = n_dims / head_dim
    context = parameters.get("original_max_position_embeddings", 8192) * parameters.get("factor", 1.0)
    shape = dict(hidden_size=2 * head_dim, num_attention_heads=2, max_position_embeddings=int(context),
                 rope_parameters=parameters)
    if model == "gpt_neox":
        return modeling_gpt_neox.GPTNeoXRotaryEmbedding(GPTNeoXConfig(**shape)), modeling_gpt_neox
    if model == "glm":
        return modeling_glm.GlmRotaryEmbedding(GlmConfig(head_dim=head_dim, **shape)), modeling_glm
    return modeling_llama.LlamaRotaryEmbedding(LlamaConfig(head_dim=n_dims, **shape)), modeling_llama


def turn_gptj(n_dims, x, positions):
    table = modeling_gptj.create_sinusoidal_positions(max(positions) + 1, n_dims)[positions]
    sin, cos = torch.split(table[None], n_dims // 2, dim=-1)
    x = x.expand(1, len(positions), 1, -1)
    turned = modeling_gptj.apply_rotary_pos_emb(x[..., :n_dims], sin, cos)
    return torch.cat([turned, x[..., n_dims:]], dim=-1).reshape(len(positions), -1)


def turn(case, x, positions):
    """Rows of x turned to the positions, the frequencies, and the attention factor."""
    _, model, head_dim, n_dims, first, parameters = case
    if model == "gptj":
        frequencies = 1.0 / (10000 ** (torch.arange(0, n_dims, 2, dtype=torch.int64) / n_dims))
        return turn_gptj(n_dims, x, positions), frequencies, 1.0
    rotary, module = rotary_of(model, head_dim, n_dims, parameters)
    rows = x.expand(1, 1, len(positions), -1)
    cos, sin = rotary(rows, torch.tensor([positions]))
    part = rows[..., first:] if model != "llama" else rows[..., first:first + n_dims]
    turned, _ = module.apply_rotary_pos_emb(part, part, cos, sin)
    turned = torch.cat([rows[..., :first], turned, rows[..., first + part.shape[-1]:]], dim=-1)
    return turned.reshape(len(positions), -1), rotary.inv_freq, rotary.attention_scaling


def record(case, generator):
    name, model, head_dim, n_dims, first, p = case
    positions = [i for i in POSITIONS if model != "gptj" or i < 2**20]
    x = generator.standard_normal(head_dim).astype(np.float32)
    with torch.no_grad():
        single, _, _ = turn(case, torch.from_numpy(x), positions)
        with float64_for_float32():
            double, frequencies, a = turn(case, torch.from_numpy(x.astype(np.float64)), positions)
    assert single.dtype == torch.float32 and double.dtype == frequencies.dtype == torch.float64
    assert single.shape == double.shape == (len(positions), head_dim) and len(frequencies) == n_dims // 2

    kind = p.get("rope_type", "default")
    out = struct.pack("<32s8i", name.encode(), head_dim, n_dims, first, ADJACENT if model in ("glm", "gptj") else NEOX,
                      SCALINGS[kind], p.get("truncate", True), kind == "longrope", len(positions))
    given = a if "mscale" in p or kind == "longrope" else 0.0  # else the default must come to the same
    out += struct.pack("<8d", p["rope_theta"], p.get("factor", 1.0), p.get("original_max_position_embeddings", 0),
                       p.get("low_freq_factor", 1.0), p.get("high_freq_factor", 4.0), p.get("beta_fast", 32.0),
                       p.get("beta_slow", 1.0), given)
    if kind == "longrope":
        out += struct.pack(f"<{n_dims // 2}d", *p["short_factor"])
    out += frequencies.numpy().astype("<f8").tobytes() + struct.pack("<d", a) + x.astype("<f4").tobytes()
    for i, position in enumerate(positions):
        out += struct.pack("<q", position) + single[i].numpy().astype("<f4").tobytes()
        out += double[i].numpy().astype("<f4").tobytes()
    return out


generator = np.random.default_rng(20260)
OUT.write_bytes(b"".join(record(case, generator) for case in CASES))
