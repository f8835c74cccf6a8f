/* Small models of random weights, written as GGUF, with every key and tensor open to damage.
 *
 * Weights are k / 512 with |k| <= 127, so that F32, F16, BF16 and Q8_0 hold exactly the same numbers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_MODEL_SYNTHETIC_H
#define TESTS_MODEL_SYNTHETIC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/half.h"
#include "gguf/writer.h"
#include "mqa/model.h"

typedef struct synthetic {
    const char *arch; /* "gemma3", "llama" or "deepseek2" */
    uint32_t type;    /* of the matrices: F32, F16, BF16, Q8_0 */
    int n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab, window;
    bool own_head;
    int rope_dims;                    /* 0: not said in the file */
    float rope_factor;                /* of linear scaling; 0: none */
    int kv_rank, q_rank, nope, v_dim; /* deepseek2's; head_dim and n_kv_heads aren't looked at */
    bool unfolded;                    /* the older flavour of its files */
    /* Damage: */
    const char *skip_key, *skip_tensor; /* left out */
    const char *change_key;             /* "block_count" …, set to: */
    uint32_t change_to;
    const char *extra_key; /* a u32 of 1 */
    const char *extra_tensor, *nan_tensor, *narrow_tensor;
} synthetic;

static const synthetic small_gemma3 = {.arch = "gemma3",
                                       .type = MQA_GGUF_Q8_0,
                                       .n_layers = 7,
                                       .n_embd = 96,
                                       .n_ff = 160,
                                       .n_heads = 4,
                                       .n_kv_heads = 1,
                                       .head_dim = 32,
                                       .n_vocab = 300,
                                       .window = 100};
static const synthetic small_llama = {.arch = "llama",
                                      .type = MQA_GGUF_Q8_0,
                                      .n_layers = 2,
                                      .n_embd = 96,
                                      .n_ff = 160,
                                      .n_heads = 6,
                                      .n_kv_heads = 2,
                                      .head_dim = 16,
                                      .n_vocab = 300,
                                      .own_head = true};

/* Ranks and heads that fill neither a block of 32 nor a granule of 64. */
static const synthetic small_deepseek2 = {.arch = "deepseek2",
                                          .type = MQA_GGUF_Q8_0,
                                          .n_layers = 3,
                                          .n_embd = 96,
                                          .n_ff = 160,
                                          .n_heads = 4,
                                          .n_vocab = 300,
                                          .own_head = true,
                                          .rope_dims = 16,
                                          .kv_rank = 96,
                                          .q_rank = 64,
                                          .nope = 32,
                                          .v_dim = 40};

static uint32_t synthetic_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* n values in blocks or words of the type; the caller frees. */
static void *synthetic_values(uint32_t type, size_t n, uint32_t seed)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    uint8_t *out = malloc(n / info->block_values * info->block_bytes);
    for (size_t i = 0; i < n; i++) {
        const int8_t k = (int8_t)((int)(synthetic_random(&seed) % 255) - 127);
        const float x = (float)k / 512;
        if (type == MQA_GGUF_F32) memcpy(out + 4 * i, &x, 4);
        const uint16_t half = type == MQA_GGUF_F16 ? mqa_f32_to_f16(x) : mqa_f32_to_bf16(x);
        if (type == MQA_GGUF_F16 || type == MQA_GGUF_BF16) memcpy(out + 2 * i, &half, 2);
        if (type == MQA_GGUF_Q8_0) {
            const uint16_t d = mqa_f32_to_f16(1.0f / 512);
            memcpy(out + i / 32 * 34, &d, 2);
            out[i / 32 * 34 + 2 + i % 32] = (uint8_t)k;
        }
    }
    return out;
}

typedef struct synthetic_writer {
    const synthetic *model;
    mqa_gguf_writer *w;
    void *blocks[512];
    int n_blocks;
} synthetic_writer;

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static void synthetic_u32(synthetic_writer *s, const char *key, int value)
{
    char full[96];
    if (same(key, s->model->skip_key)) return;
    snprintf(full, sizeof full, "%s.%s", s->model->arch, key);
    mqa_gguf_writer_add_u32(s->w, full,
                            same(key, s->model->change_key) ? s->model->change_to : (uint32_t)value);
}

/* n_out 0: a vector; n_heads above 0: the third dimension. */
static void synthetic_block(synthetic_writer *s, uint32_t type, const char *name, int n_in, int n_out,
                            int n_heads)
{
    if (same(name, s->model->skip_tensor)) return;
    if (same(name, s->model->narrow_tensor)) n_in -= 32;
    const size_t n = (size_t)n_in * (size_t)(n_out ? n_out : 1) * (size_t)(n_heads ? n_heads : 1);
    void *values = synthetic_values(type, n, (uint32_t)(strlen(name) * 7919 + (size_t)s->n_blocks));
    if (n_out == 0) /* norms are near 1 */
        for (size_t i = 0; i < n; i++) ((float *)values)[i] += 1;
    if (same(name, s->model->nan_tensor)) { /* an f32, or the scale of a block */
        const uint32_t nan = 0x7fc07e00;
        memcpy(values, &nan, 4);
    }
    s->blocks[s->n_blocks++] = values;
    const size_t dims[] = {(size_t)n_in, (size_t)n_out, (size_t)n_heads};
    mqa_gguf_writer_add_tensor(s->w, name, type, n_heads ? 3 : n_out ? 2 : 1, dims, values);
}

static void synthetic_tensor(synthetic_writer *s, uint32_t type, const char *name, int n_in, int n_out)
{
    synthetic_block(s, type, name, n_in, n_out, 0);
}

static void synthetic_layer_block(synthetic_writer *s, uint32_t type, int layer, const char *name, int n_in,
                                  int n_out, int n_heads)
{
    char full[96];
    snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    synthetic_block(s, type, full, n_in, n_out, n_heads);
}

static void synthetic_layer_tensor(synthetic_writer *s, uint32_t type, int layer, const char *name, int n_in,
                                   int n_out)
{
    synthetic_layer_block(s, type, layer, name, n_in, n_out, 0);
}

/* Latent attention's tensors but for the output projection. */
static void synthetic_latent(synthetic_writer *s, int i)
{
    const synthetic *m = s->model;
    const int q = m->n_heads * (m->nope + m->rope_dims);
    synthetic_layer_tensor(s, m->type, i, "attn_kv_a_mqa", m->n_embd, m->kv_rank + m->rope_dims);
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "attn_kv_a_norm", m->kv_rank, 0);
    if (m->q_rank) {
        synthetic_layer_tensor(s, m->type, i, "attn_q_a", m->n_embd, m->q_rank);
        synthetic_layer_tensor(s, MQA_GGUF_F32, i, "attn_q_a_norm", m->q_rank, 0);
        synthetic_layer_tensor(s, m->type, i, "attn_q_b", m->q_rank, q);
    } else {
        synthetic_layer_tensor(s, m->type, i, "attn_q", m->n_embd, q);
    }
    if (m->unfolded) {
        synthetic_layer_tensor(s, m->type, i, "attn_kv_b", m->kv_rank, m->n_heads * (m->nope + m->v_dim));
    } else {
        synthetic_layer_block(s, m->type, i, "attn_k_b", m->nope, m->kv_rank, m->n_heads);
        synthetic_layer_block(s, m->type, i, "attn_v_b", m->kv_rank, m->v_dim, m->n_heads);
    }
}

static void synthetic_layer(synthetic_writer *s, int i)
{
    const synthetic *m = s->model;
    const int q = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "attn_norm", m->n_embd, 0);
    if (m->kv_rank) {
        synthetic_latent(s, i);
    } else {
        synthetic_layer_tensor(s, m->type, i, "attn_q", m->n_embd, q);
        synthetic_layer_tensor(s, m->type, i, "attn_k", m->n_embd, kv);
        synthetic_layer_tensor(s, m->type, i, "attn_v", m->n_embd, kv);
    }
    synthetic_layer_tensor(s, m->type, i, "attn_output", m->kv_rank ? m->n_heads * m->v_dim : q, m->n_embd);
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "ffn_norm", m->n_embd, 0);
    synthetic_layer_tensor(s, m->type, i, "ffn_gate", m->n_embd, m->n_ff);
    synthetic_layer_tensor(s, m->type, i, "ffn_up", m->n_embd, m->n_ff);
    synthetic_layer_tensor(s, m->type, i, "ffn_down", m->n_ff, m->n_embd);
    if (strcmp(m->arch, "gemma3") != 0) return;
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "attn_q_norm", m->head_dim, 0);
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "attn_k_norm", m->head_dim, 0);
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "post_attention_norm", m->n_embd, 0);
    synthetic_layer_tensor(s, MQA_GGUF_F32, i, "post_ffw_norm", m->n_embd, 0);
}

/* A vocabulary of three special tokens, the bytes, and fillers. */
static void synthetic_tokenizer(synthetic_writer *s)
{
    const int n = s->model->n_vocab;
    char(*text)[24] = calloc((size_t)n, sizeof *text);
    mqa_gguf_str *strs = calloc((size_t)n, sizeof *strs);
    float *scores = calloc((size_t)n, sizeof *scores);
    int32_t *types = calloc((size_t)n, sizeof *types);
    static const char *const special[] = {"<unk>", "<bos>", "<eos>"};
    for (int i = 0; i < n; i++) {
        if (i < 3)
            strcpy(text[i], special[i]);
        else if (i < 259)
            snprintf(text[i], sizeof text[i], "<0x%02X>", i - 3);
        else
            snprintf(text[i], sizeof text[i], "filler%d", i);
        types[i] = i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1;
        strs[i] = (mqa_gguf_str){text[i], strlen(text[i])};
    }
    mqa_gguf_writer_add_str(s->w, "tokenizer.ggml.model", "llama");
    mqa_gguf_writer_add_strs(s->w, "tokenizer.ggml.tokens", strs, (size_t)n);
    mqa_gguf_writer_add_array(s->w, "tokenizer.ggml.scores", MQA_GGUF_VALUE_F32, scores, (size_t)n);
    mqa_gguf_writer_add_array(s->w, "tokenizer.ggml.token_type", MQA_GGUF_VALUE_I32, types, (size_t)n);
    mqa_gguf_writer_add_u32(s->w, "tokenizer.ggml.bos_token_id", 1);
    mqa_gguf_writer_add_u32(s->w, "tokenizer.ggml.eos_token_id", 2);
    mqa_gguf_writer_add_u32(s->w, "tokenizer.ggml.unknown_token_id", 0);
    s->blocks[s->n_blocks++] = text;
    s->blocks[s->n_blocks++] = strs;
    s->blocks[s->n_blocks++] = scores;
    s->blocks[s->n_blocks++] = types;
}

static void synthetic_latent_keys(synthetic_writer *s)
{
    const synthetic *m = s->model;
    const int key = m->nope + m->rope_dims;
    synthetic_u32(s, "leading_dense_block_count", m->n_layers);
    synthetic_u32(s, "attention.kv_lora_rank", m->kv_rank);
    if (m->q_rank) synthetic_u32(s, "attention.q_lora_rank", m->q_rank);
    synthetic_u32(s, "attention.head_count_kv", m->unfolded ? m->n_heads : 1);
    synthetic_u32(s, "attention.key_length", m->unfolded ? key : m->kv_rank + m->rope_dims);
    synthetic_u32(s, "attention.value_length", m->unfolded ? m->v_dim : m->kv_rank);
    if (m->unfolded) return;
    synthetic_u32(s, "attention.key_length_mla", key);
    synthetic_u32(s, "attention.value_length_mla", m->v_dim);
}

static void synthetic_write(const synthetic *m, const char *path)
{
    synthetic_writer s = {.model = m};
    assert_int_equal(mqa_gguf_writer_create(&s.w, NULL), MQA_OK);
    mqa_gguf_writer_add_str(s.w, "general.architecture", m->arch);
    mqa_gguf_writer_add_str(s.w, "general.name", "synthetic");
    synthetic_u32(&s, "block_count", m->n_layers);
    synthetic_u32(&s, "context_length", 4096);
    synthetic_u32(&s, "embedding_length", m->n_embd);
    synthetic_u32(&s, "feed_forward_length", m->n_ff);
    synthetic_u32(&s, "attention.head_count", m->n_heads);
    if (m->kv_rank) {
        synthetic_latent_keys(&s);
    } else {
        synthetic_u32(&s, "attention.head_count_kv", m->n_kv_heads);
        synthetic_u32(&s, "attention.key_length", m->head_dim);
        synthetic_u32(&s, "attention.value_length", m->head_dim);
    }
    if (m->window) synthetic_u32(&s, "attention.sliding_window", m->window);
    if (m->rope_dims) synthetic_u32(&s, "rope.dimension_count", m->rope_dims);
    if (m->extra_key) synthetic_u32(&s, m->extra_key, 1);
    char key[96];
    if (m->rope_factor != 0) {
        snprintf(key, sizeof key, "%s.rope.scaling.type", m->arch);
        mqa_gguf_writer_add_str(s.w, key, "linear");
        snprintf(key, sizeof key, "%s.rope.scaling.factor", m->arch);
        mqa_gguf_writer_add_f32(s.w, key, m->rope_factor);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", m->arch);
    if (!same("attention.layer_norm_rms_epsilon", m->skip_key)) mqa_gguf_writer_add_f32(s.w, key, 1e-6f);
    synthetic_tokenizer(&s);
    synthetic_tensor(&s, m->type, "token_embd.weight", m->n_embd, m->n_vocab);
    synthetic_tensor(&s, MQA_GGUF_F32, "output_norm.weight", m->n_embd, 0);
    if (m->own_head) synthetic_tensor(&s, m->type, "output.weight", m->n_embd, m->n_vocab);
    for (int i = 0; i < m->n_layers; i++) synthetic_layer(&s, i);
    if (m->extra_tensor) synthetic_tensor(&s, MQA_GGUF_F32, m->extra_tensor, 64, 0);
    mqa_error err = {0};
    if (mqa_gguf_writer_finish(s.w, path, &err) != MQA_OK) fail_msg("%s", err.message);
    mqa_gguf_writer_destroy(&s.w);
    for (int i = 0; i < s.n_blocks; i++) free(s.blocks[i]);
}

#endif
