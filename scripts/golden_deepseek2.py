#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/model/data/deepseek2-*.gguf and deepseek2_logits.json: small random models of transformers'
DeepSeek-V2 and V3 classes, and what those classes make of some tokens, for tests/model/test_deepseek2.c.

    python3 -m venv venv && venv/bin/pip install torch transformers==5.24.0 gguf && venv/bin/python scripts/golden_deepseek2.py

transformers unfolds K and V for every token; we run absorbed: so the two share nothing but the formula. It runs in
float64 here (golden_rope.py says how). Files are written by the `gguf` package with the keys and tensors of
llama.cpp's converter, of which there are two flavours: the present one (attn_k_b, attn_v_b, *_mla keys) and the
older one (attn_kv_b).

deepseek2_logits.json:

    { "cases": [ { "file": "deepseek2-v2.gguf", "tokens": [...], "positions": [...],
                   "logits": [[n_vocab numbers] for each of positions] }, ... ] }
"""
import json
import pathlib

import gguf
import numpy as np
import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

from golden_rope import float64_for_float32

DATA = pathlib.Path(__file__).parent.parent / "tests/model/data"
N_VOCAB, N_TOKENS, POSITIONS = 64, 150, [0, 1, 40, 149]


def yarn(factor, original, mscale):
    return dict(rope_type="yarn", rope_theta=10000.0, factor=factor, original_max_position_embeddings=original,
                beta_fast=32.0, beta_slow=1.0, mscale=mscale, mscale_all_dim=mscale)


PLAIN = dict(rope_type="default", rope_theta=50000.0)
# Widths that are no multiples of 32 or 64 on purpose, in the first two.
CASES = [  # name, version, older flavour, configuration
    ("v2", 2, False, dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
                          q_lora_rank=None, kv_lora_rank=40, qk_nope_head_dim=24, qk_rope_head_dim=8,
                          v_head_dim=20, rope_parameters=yarn(8.0, 64, 0.707), max_position_embeddings=512)),
    ("v3", 3, False, dict(hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=3,
                          q_lora_rank=28, kv_lora_rank=72, qk_nope_head_dim=16, qk_rope_head_dim=12,
                          v_head_dim=36, rope_parameters=yarn(40.0, 32, 1.0), max_position_embeddings=1280)),
    ("v3-older", 3, True, dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                               q_lora_rank=24, kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16,
                               v_head_dim=32, rope_parameters=PLAIN, max_position_embeddings=256)),
]


def make_model(version, config):
    """The model in float64, its weights of a size that makes attention choose, and exact in f16."""
    shared = dict(vocab_size=N_VOCAB, first_k_dense_replace=config["num_hidden_layers"], attn_implementation="eager",
                  num_key_value_heads=config["num_attention_heads"], rms_norm_eps=1e-6, tie_word_embeddings=False)
    if version == 2:
        model = DeepseekV2ForCausalLM(DeepseekV2Config(**shared, **config))
    else:
        model = DeepseekV3ForCausalLM(DeepseekV3Config(**shared, **config))
    generator = torch.Generator().manual_seed(version)
    with torch.no_grad():
        for name, p in model.named_parameters():
            x = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            x = 1.5 + 0.5 * x if "norm" in name else x * 1.2 / p.shape[-1] ** 0.5
            p.copy_(x.half().double())
    return model.eval()


NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "self_attn.q_proj": "attn_q",
         "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
         "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
         "self_attn.o_proj": "attn_output"}
OUTER = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
         "lm_head.weight": "output.weight"}


def tensors_of(model, older):
    c = model.config
    for name, p in model.named_parameters():
        if name in OUTER:
            yield OUTER[name], p
            continue
        _, _, layer, inner = name.removesuffix(".weight").split(".", 3)
        if inner != "self_attn.kv_b_proj":
            yield f"blk.{layer}.{NAMES[inner]}.weight", p
        elif older:
            yield f"blk.{layer}.attn_kv_b.weight", p
        else:
            heads = p.view(c.num_attention_heads, c.qk_nope_head_dim + c.v_head_dim, c.kv_lora_rank)
            yield f"blk.{layer}.attn_k_b.weight", heads[:, :c.qk_nope_head_dim].transpose(1, 2)
            yield f"blk.{layer}.attn_v_b.weight", heads[:, c.qk_nope_head_dim:]


def add_keys(w, c, older):
    w.add_name("random DeepSeek")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_leading_dense_block_count(c.num_hidden_layers)
    w.add_expert_feed_forward_length(c.intermediate_size)
    w.add_expert_shared_count(0)
    w.add_vocab_size(c.vocab_size)
    if c.q_lora_rank:
        w.add_q_lora_rank(c.q_lora_rank)
    w.add_kv_lora_rank(c.kv_lora_rank)
    w.add_rope_dimension_count(c.qk_rope_head_dim)
    key, value = c.qk_nope_head_dim + c.qk_rope_head_dim, c.v_head_dim
    if older:
        w.add_head_count_kv(c.num_attention_heads)
        w.add_key_length(key)
        w.add_value_length(value)
    else:
        w.add_head_count_kv(1)
        w.add_key_length(c.kv_lora_rank + c.qk_rope_head_dim)
        w.add_value_length(c.kv_lora_rank)
        w.add_key_length_mla(key)
        w.add_value_length_mla(value)
    rope = c.rope_parameters
    w.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        w.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])


def write(path, model, older):
    w = gguf.GGUFWriter(path, "deepseek2")
    add_keys(w, model.config, older)
    w.add_tokenizer_model("llama")
    w.add_token_list(["<unk>", "<s>", "</s>"] + [chr(ord("A") + i) for i in range(N_VOCAB - 3)])
    w.add_token_scores([0.0] * N_VOCAB)
    w.add_token_types([2, 3, 3] + [1] * (N_VOCAB - 3))
    for name, p in tensors_of(model, older):
        x = p.detach().contiguous().numpy()
        w.add_tensor(name, x.astype(np.float32 if x.ndim == 1 else np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    cases = []
    for name, version, older, config in CASES:
        with float64_for_float32():
            model = make_model(version, config)
            tokens = torch.randint(0, N_VOCAB, (N_TOKENS,), generator=torch.Generator().manual_seed(5))
            with torch.no_grad():
                logits = model(tokens[None]).logits[0].double()
        write(DATA / f"deepseek2-{name}.gguf", model, older)
        cases.append({"file": f"deepseek2-{name}.gguf", "tokens": tokens.tolist(), "positions": POSITIONS,
                      "logits": [[round(v, 6) for v in logits[p].tolist()] for p in POSITIONS]})
        print(name, "logits' deviation", float(logits.std()))
    (DATA / "deepseek2_logits.json").write_text(json.dumps({"cases": cases}) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
