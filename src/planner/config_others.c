/* Architectures of their own kind: Falcon, GPT-BigCode (StarCoder), DeepSeek-V2 and V3.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "planner/config.h"

static void set_widths(const mqa_config *c, mqa_design *d, int64_t head_dim)
{
    d->n_embd = (int)c->embd;
    d->n_vocab = (int)c->vocab;
    d->head_dim = (int)head_dim;
}

static mqa_status add_global(const mqa_config *c, mqa_design *d, mqa_error *err)
{
    MQA_TRY(mqa_design_add_layers(d,
                                  (mqa_layer_group){.n_layers = (int)c->layers,
                                                    .n_heads = (int)c->heads,
                                                    .n_kv_heads = (int)c->kv_heads,
                                                    .head_dim_qk = (int)c->head_dim,
                                                    .head_dim_vo = (int)c->head_dim},
                                  err));
    MQA_TRY(mqa_design_add_attention(d, c->type, c->heads, c->kv_heads, c->head_dim, c->layers, err));
    MQA_TRY(mqa_design_add_feed_forward(d, c->type, c->type, c->layers, &c->ff, err));
    return mqa_design_add_vocabulary(d, c->type, c->untied, err);
}

/* ---- Falcon ---- */

/* num_kv_heads counts in the new architecture only; before it there is one KV head or one for each head. */
static mqa_status read_falcon_heads(mqa_config *c, bool new_architecture, mqa_error *err)
{
    bool multi_query = true;
    MQA_TRY(mqa_config_bool(c, "multi_query", &multi_query, err));
    const char *heads = mqa_config_has(c, "n_head") ? "n_head" : "num_attention_heads";
    MQA_TRY(mqa_config_int(c, heads, false, 1, MQA_MAX_HEADS, &c->heads, err));
    c->kv_heads = multi_query && !new_architecture ? 1 : c->heads;
    if (!new_architecture) return MQA_OK;
    const char *kv = mqa_config_has(c, "n_head_kv") ? "n_head_kv" : "num_kv_heads";
    return mqa_config_int(c, kv, true, 1, MQA_MAX_HEADS, &c->kv_heads, err);
}

mqa_status mqa_config_falcon(mqa_config *c, mqa_design *d, mqa_error *err)
{
    bool tied = true, bias = false, parallel = true, new_architecture = false;
    MQA_TRY(mqa_config_bool(c, "tie_word_embeddings", &tied, err));
    MQA_TRY(mqa_config_bool(c, "bias", &bias, err));
    MQA_TRY(mqa_config_bool(c, "parallel_attn", &parallel, err));
    MQA_TRY(mqa_config_bool(c, "new_decoder_architecture", &new_architecture, err));
    const char *layers = mqa_config_has(c, "n_layer") ? "n_layer" : "num_hidden_layers";
    MQA_TRY(mqa_config_int(c, layers, false, 1, MQA_MAX_LAYERS, &c->layers, err));
    MQA_TRY(mqa_config_int(c, "hidden_size", false, 1, MQA_MAX_WIDTH / 4, &c->embd, err));
    MQA_TRY(mqa_config_int(c, "vocab_size", false, 1, MQA_MAX_WIDTH, &c->vocab, err));
    MQA_TRY(read_falcon_heads(c, new_architecture, err));
    c->head_dim = c->embd / c->heads;
    c->untied = !tied;
    c->ff = (mqa_feed_forward){.ff = 4 * c->embd, .plain = true};
    MQA_TRY(mqa_config_int(c, "ffn_hidden_size", true, 1, MQA_MAX_WIDTH, &c->ff.ff, err));
    int64_t norms = new_architecture || !parallel ? 2 : 1;
    if (new_architecture) MQA_TRY(mqa_config_int(c, "num_ln_in_parallel_attn", true, 1, 2, &norms, err));
    MQA_TRY(mqa_config_int(c, "max_position_embeddings", true, 1, MQA_MAX_CONTEXT, &d->context_length, err));
    set_widths(c, d, c->head_dim);
    MQA_TRY(add_global(c, d, err));
    MQA_TRY(mqa_design_add_vectors(d, c->embd, 2 * (norms * c->layers + 1), err)); /* weight and bias */
    if (!bias) return MQA_OK;
    MQA_TRY(mqa_design_add_vectors(d, (c->heads + 2 * c->kv_heads) * c->head_dim, c->layers, err));
    MQA_TRY(mqa_design_add_vectors(d, c->ff.ff, c->layers, err));
    return mqa_design_add_vectors(d, c->embd, 2 * c->layers, err);
}

/* ---- GPT-BigCode ---- */

mqa_status mqa_config_bigcode(mqa_config *c, mqa_design *d, mqa_error *err)
{
    bool tied = true, multi_query = true;
    int64_t positions = 1024;
    MQA_TRY(mqa_config_bool(c, "tie_word_embeddings", &tied, err));
    MQA_TRY(mqa_config_bool(c, "multi_query", &multi_query, err));
    MQA_TRY(mqa_config_int(c, "n_layer", false, 1, MQA_MAX_LAYERS, &c->layers, err));
    MQA_TRY(mqa_config_int(c, "n_embd", false, 1, MQA_MAX_WIDTH / 4, &c->embd, err));
    MQA_TRY(mqa_config_int(c, "n_head", false, 1, MQA_MAX_HEADS, &c->heads, err));
    MQA_TRY(mqa_config_int(c, "vocab_size", false, 1, MQA_MAX_WIDTH, &c->vocab, err));
    MQA_TRY(mqa_config_int(c, "n_positions", true, 1, MQA_MAX_WIDTH, &positions, err));
    c->ff = (mqa_feed_forward){.ff = 4 * c->embd, .plain = true};
    MQA_TRY(mqa_config_int(c, "n_inner", true, 1, MQA_MAX_WIDTH, &c->ff.ff, err));
    c->kv_heads = multi_query ? 1 : c->heads;
    c->head_dim = c->embd / c->heads;
    c->untied = !tied;
    d->context_length = positions;
    set_widths(c, d, c->head_dim);
    MQA_TRY(add_global(c, d, err));
    MQA_TRY(mqa_design_add(d, MQA_ROLE_EMBEDDING, c->type, c->embd, positions, 1, 0, err));
    /* Two norms with biases a layer and one in the end; biases of q, k, v, out, up, down. */
    MQA_TRY(mqa_design_add_vectors(d, c->embd, 2 * (2 * c->layers + 1) + 2 * c->layers, err));
    MQA_TRY(mqa_design_add_vectors(d, (c->heads + 2 * c->kv_heads) * c->head_dim, c->layers, err));
    return mqa_design_add_vectors(d, c->ff.ff, c->layers, err);
}

/* ---- DeepSeek ---- */

static mqa_status read_deepseek_experts(mqa_config *c, mqa_error *err)
{
    mqa_feed_forward *f = &c->ff;
    int64_t shared = 0, every = 1;
    MQA_TRY(mqa_config_int(c, "intermediate_size", false, 1, MQA_MAX_WIDTH, &f->ff, err));
    if (!mqa_config_has(c, "n_routed_experts")) return MQA_OK;
    MQA_TRY(mqa_config_int(c, "n_routed_experts", false, 1, MQA_MAX_EXPERTS, &f->experts, err));
    MQA_TRY(mqa_config_int(c, "num_experts_per_tok", false, 1, MQA_MAX_EXPERTS, &f->experts_used, err));
    MQA_TRY(mqa_config_int(c, "moe_intermediate_size", false, 1, MQA_MAX_WIDTH, &f->expert_ff, err));
    MQA_TRY(mqa_config_int(c, "n_shared_experts", true, 0, MQA_MAX_EXPERTS, &shared, err));
    MQA_TRY(mqa_config_int(c, "first_k_dense_replace", true, 0, MQA_MAX_LAYERS, &f->dense_layers, err));
    MQA_TRY(mqa_config_int(c, "moe_layer_freq", true, 1, 1, &every, err));
    f->shared_ff = shared * f->expert_ff;
    return MQA_OK;
}

mqa_status mqa_config_deepseek(mqa_config *c, mqa_design *d, mqa_error *err)
{
    mqa_latent l = {0};
    bool tied = false;
    MQA_TRY(mqa_config_bool(c, "tie_word_embeddings", &tied, err));
    c->untied = !tied;
    MQA_TRY(mqa_config_int(c, "num_hidden_layers", false, 1, MQA_MAX_LAYERS, &c->layers, err));
    MQA_TRY(mqa_config_int(c, "hidden_size", false, 1, MQA_MAX_WIDTH, &c->embd, err));
    MQA_TRY(mqa_config_int(c, "vocab_size", false, 1, MQA_MAX_WIDTH, &c->vocab, err));
    MQA_TRY(mqa_config_int(c, "num_attention_heads", false, 1, MQA_MAX_HEADS, &l.n_heads, err));
    MQA_TRY(mqa_config_int(c, "kv_lora_rank", false, 1, 1024, &l.rank, err));
    MQA_TRY(mqa_config_int(c, "q_lora_rank", true, 1, MQA_MAX_WIDTH, &l.query_rank, err));
    MQA_TRY(mqa_config_int(c, "qk_rope_head_dim", false, 1, 1024, &l.rope_dims, err));
    MQA_TRY(mqa_config_int(c, "qk_nope_head_dim", false, 1, 1024, &l.head_dim_nope, err));
    MQA_TRY(mqa_config_int(c, "v_head_dim", false, 1, 1024, &l.head_dim_v, err));
    MQA_TRY(mqa_config_int(c, "max_position_embeddings", true, 1, MQA_MAX_CONTEXT, &d->context_length, err));
    MQA_TRY(read_deepseek_experts(c, err));
    set_widths(c, d, l.head_dim_nope);
    MQA_TRY(mqa_design_add_vocabulary(d, c->type, c->untied, err));
    MQA_TRY(mqa_design_add_latent(d, c->type, &l, c->layers, err));
    MQA_TRY(mqa_design_add_feed_forward(d, c->type, c->expert_type, c->layers, &c->ff, err));
    /* V3 corrects the router's scores by a bias for each expert. */
    const char *method = mqa_config_text(c, "topk_method");
    if (method && strcmp(method, "noaux_tc") == 0 && c->ff.experts > 0)
        MQA_TRY(mqa_design_add_vectors(d, c->ff.experts, c->layers - c->ff.dense_layers, err));
    return mqa_design_add_vectors(d, c->embd, 2 * c->layers + 1, err);
}
