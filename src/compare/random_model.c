/* SPDX-License-Identifier: Apache-2.0 */
#include "compare/random_model.h"

#include "base/memory.h"
#include "compare/builder.h"

static mqa_status check_range(const char *name, int value, int least, int most, mqa_error *err)
{
    if (value >= least && value <= most) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s is %d: give %d to %d", name, value, least, most);
}

static mqa_status check(const mqa_random_model *m, mqa_error *err)
{
    MQA_TRY(check_range("layers", m->n_layers, 1, 1024, err));
    MQA_TRY(check_range("embd", m->n_embd, 32, 65536, err));
    MQA_TRY(check_range("ff", m->n_ff, 32, 1 << 20, err));
    MQA_TRY(check_range("heads", m->n_heads, 1, 4096, err));
    MQA_TRY(check_range("head-dim", m->head_dim, 2, 1024, err));
    MQA_TRY(check_range("vocab", m->n_vocab, 8, 1 << 24, err));
    if (m->n_embd % 32 != 0 || m->n_ff % 32 != 0 || m->head_dim % 2 != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "embd %d, ff %d, head-dim %d: give multiples of 32, of 32, and an even number",
                        m->n_embd, m->n_ff, m->head_dim);
    const double attention = 4.0 * m->n_embd * m->n_heads * m->head_dim, ff = 3.0 * m->n_embd * m->n_ff;
    const double weights = m->n_layers * (attention + ff) + 2.0 * m->n_embd * m->n_vocab;
    if (weights > 0x1p31)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%.3g weights are too many to make up: the most is %.3g; give a file instead",
                        weights, 0x1p31);
    return MQA_OK;
}

static void add_keys(const mqa_random_model *m, mqa_gguf_writer *w)
{
    mqa_gguf_writer_add_str(w, "general.architecture", "llama");
    mqa_gguf_writer_add_str(w, "general.name", "random");
    mqa_gguf_writer_add_u32(w, "llama.block_count", (uint32_t)m->n_layers);
    mqa_gguf_writer_add_u32(w, "llama.context_length", (uint32_t)m->context_length);
    mqa_gguf_writer_add_u32(w, "llama.embedding_length", (uint32_t)m->n_embd);
    mqa_gguf_writer_add_u32(w, "llama.feed_forward_length", (uint32_t)m->n_ff);
    mqa_gguf_writer_add_u32(w, "llama.attention.head_count", (uint32_t)m->n_heads);
    mqa_gguf_writer_add_u32(w, "llama.attention.head_count_kv", (uint32_t)m->n_heads);
    mqa_gguf_writer_add_u32(w, "llama.attention.key_length", (uint32_t)m->head_dim);
    mqa_gguf_writer_add_u32(w, "llama.attention.value_length", (uint32_t)m->head_dim);
    mqa_gguf_writer_add_u32(w, "llama.rope.dimension_count", (uint32_t)m->head_dim);
    mqa_gguf_writer_add_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-6f);
    /* Nobody writes text with it: three tokens have names. */
    static const mqa_gguf_str pieces[] = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4}};
    static const float scores[3];
    static const int32_t types[] = {2, 3, 3};
    mqa_gguf_writer_add_str(w, "tokenizer.ggml.model", "llama");
    mqa_gguf_writer_add_strs(w, "tokenizer.ggml.tokens", pieces, 3);
    mqa_gguf_writer_add_array(w, "tokenizer.ggml.scores", MQA_GGUF_VALUE_F32, scores, 3);
    mqa_gguf_writer_add_array(w, "tokenizer.ggml.token_type", MQA_GGUF_VALUE_I32, types, 3);
}

static mqa_status add_layer(const mqa_random_model *m, mqa_builder *b, int i, mqa_error *err)
{
    const uint32_t type = m->weights;
    const int q = m->n_heads * m->head_dim;
    MQA_TRY(mqa_builder_ones(b, i, "attn_norm", m->n_embd, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_q", type, m->n_embd, q, 0, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_k", type, m->n_embd, q, 0, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_v", type, m->n_embd, q, 0, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_output", type, q, m->n_embd, 0, err));
    MQA_TRY(mqa_builder_ones(b, i, "ffn_norm", m->n_embd, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "ffn_gate", type, m->n_embd, m->n_ff, 0, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "ffn_up", type, m->n_embd, m->n_ff, 0, err));
    return mqa_builder_layer_random(b, i, "ffn_down", type, m->n_ff, m->n_embd, 0, err);
}

static mqa_status add_tensors(const mqa_random_model *m, mqa_builder *b, mqa_error *err)
{
    MQA_TRY(mqa_builder_layer_random(b, -1, "token_embd", m->weights, m->n_embd, m->n_vocab, 0, err));
    MQA_TRY(mqa_builder_ones(b, -1, "output_norm", m->n_embd, err));
    for (int i = 0; i < m->n_layers; i++) MQA_TRY(add_layer(m, b, i, err));
    return MQA_OK;
}

mqa_status mqa_random_model_write(const mqa_random_model *model, const char *path, mqa_error *err)
{
    MQA_TRY(check(model, err));
    mqa_builder b;
    MQA_TRY(mqa_builder_create(model->seed, &b, err));
    add_keys(model, b.writer);
    mqa_status status = add_tensors(model, &b, err);
    if (status == MQA_OK) status = mqa_gguf_writer_finish(b.writer, path, err);
    mqa_builder_destroy(&b);
    return status;
}
