/* Architectures that are Llama's with a difference or two: how they are described here is what transformers'
 * modeling files of the same names do.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "planner/config.h"

/* Which layers have the window, where the config doesn't list them (layer_types). */
typedef enum windows {
    WINDOWS_NONE,
    WINDOWS_ALL,
    WINDOWS_EVEN,    /* layers 0, 2, 4, … */
    WINDOWS_PATTERN, /* all but every sliding_window_pattern-th */
    WINDOWS_ABOVE    /* from max_window_layers on, if use_sliding_window */
} windows;

typedef struct traits {
    int norms;     /* of n_embd values, a layer */
    bool qk_norm;  /* of head_dim values, one for q and one for k */
    bool qkv_bias; /* always; else where attention_bias says so, with one on the output projection */
    windows windows;
    bool tied; /* where tie_word_embeddings isn't said */
    int64_t heads, kv_heads, head_dim, vocab,
        pattern; /* where not said; 0: must be said, or follows from others */
} traits;

static mqa_status read_common(mqa_config *c, const traits *t, mqa_design *d, mqa_error *err)
{
    c->heads = t->heads;
    c->vocab = t->vocab;
    MQA_TRY(mqa_config_int(c, "num_hidden_layers", false, 1, MQA_MAX_LAYERS, &c->layers, err));
    MQA_TRY(mqa_config_int(c, "hidden_size", false, 1, MQA_MAX_WIDTH, &c->embd, err));
    MQA_TRY(mqa_config_int(c, "num_attention_heads", t->heads > 0, 1, MQA_MAX_HEADS, &c->heads, err));
    c->kv_heads = t->kv_heads > 0 ? t->kv_heads : c->heads;
    MQA_TRY(mqa_config_int(c, "num_key_value_heads", true, 1, MQA_MAX_HEADS, &c->kv_heads, err));
    c->head_dim = t->head_dim > 0 ? t->head_dim : c->embd / c->heads;
    MQA_TRY(mqa_config_int(c, "head_dim", true, 1, 1024, &c->head_dim, err));
    MQA_TRY(mqa_config_int(c, "vocab_size", t->vocab > 0, 1, MQA_MAX_WIDTH, &c->vocab, err));
    MQA_TRY(mqa_config_int(c, "intermediate_size", c->ff.ff > 0, 1, MQA_MAX_WIDTH, &c->ff.ff, err));
    MQA_TRY(mqa_config_int(c, "sliding_window", true, 0, MQA_MAX_CONTEXT, &c->window, err));
    bool tied = t->tied;
    MQA_TRY(mqa_config_bool(c, "tie_word_embeddings", &tied, err));
    c->untied = !tied;
    MQA_TRY(mqa_config_int(c, "max_position_embeddings", true, 1, MQA_MAX_CONTEXT, &d->context_length, err));
    d->n_embd = (int)c->embd;
    d->n_vocab = (int)c->vocab;
    d->head_dim = (int)c->head_dim;
    return MQA_OK;
}

/* ---- windows ---- */

static mqa_status count_layer_types(const mqa_config *c, const json_t *types, int64_t *windowed,
                                    mqa_error *err)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)c->layers)
        return mqa_fail(err, MQA_ERR_FORMAT, "layer_types has not one entry for each of %d layers",
                        (int)c->layers);
    for (int64_t i = 0; i < c->layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (!type) return mqa_fail(err, MQA_ERR_FORMAT, "layer_types[%d] is no string", (int)i);
        if (strcmp(type, "sliding_attention") == 0 || strcmp(type, "chunked_attention") == 0)
            ++*windowed;
        else if (strcmp(type, "full_attention") != 0)
            return mqa_fail(err, MQA_ERR_UNSUPPORTED, "layers of '%.40s': no attention over tokens", type);
    }
    return MQA_OK;
}

static mqa_status count_windows(const mqa_config *c, const traits *t, int64_t *windowed, mqa_error *err)
{
    bool use = t->windows != WINDOWS_ABOVE;
    MQA_TRY(mqa_config_bool(c, "use_sliding_window", &use, err));
    if (c->window == 0 || !use) return MQA_OK;
    const json_t *types = json_object_get(c->object, "layer_types");
    if (types && !json_is_null(types)) return count_layer_types(c, types, windowed, err);
    int64_t pattern = t->pattern, above = c->layers;
    MQA_TRY(mqa_config_int(c, "sliding_window_pattern", true, 1, MQA_MAX_LAYERS, &pattern, err));
    MQA_TRY(mqa_config_int(c, "max_window_layers", true, 0, MQA_MAX_LAYERS, &above, err));
    switch (t->windows) {
    case WINDOWS_NONE:
        break;
    case WINDOWS_ALL:
        *windowed = c->layers;
        break;
    case WINDOWS_EVEN:
        *windowed = (c->layers + 1) / 2;
        break;
    case WINDOWS_PATTERN:
        *windowed = c->layers - c->layers / pattern;
        break;
    case WINDOWS_ABOVE:
        *windowed = above < c->layers ? c->layers - above : 0;
        break;
    }
    return MQA_OK;
}

static mqa_status add_groups(const mqa_config *c, const traits *t, mqa_design *d, mqa_error *err)
{
    int64_t windowed = 0;
    MQA_TRY(count_windows(c, t, &windowed, err));
    mqa_layer_group g = {.n_layers = (int)(c->layers - windowed),
                         .n_heads = (int)c->heads,
                         .n_kv_heads = (int)c->kv_heads,
                         .head_dim_qk = (int)c->head_dim,
                         .head_dim_vo = (int)c->head_dim};
    MQA_TRY(mqa_design_add_layers(d, g, err));
    g.n_layers = (int)windowed;
    g.window = c->window;
    return mqa_design_add_layers(d, g, err);
}

/* ---- all of it ---- */

static mqa_status add_vectors(const mqa_config *c, const traits *t, mqa_design *d, mqa_error *err)
{
    bool bias = false, mlp_bias = false;
    MQA_TRY(mqa_config_bool(c, "attention_bias", &bias, err));
    MQA_TRY(mqa_config_bool(c, "mlp_bias", &mlp_bias, err));
    MQA_TRY(mqa_design_add_vectors(d, c->embd, t->norms * c->layers + 1, err));
    if (t->qk_norm) MQA_TRY(mqa_design_add_vectors(d, c->head_dim, 2 * c->layers, err));
    if (bias || t->qkv_bias) {
        MQA_TRY(mqa_design_add_vectors(d, c->heads * c->head_dim, c->layers, err));
        MQA_TRY(mqa_design_add_vectors(d, c->kv_heads * c->head_dim, 2 * c->layers, err));
    }
    if (bias) MQA_TRY(mqa_design_add_vectors(d, c->embd, c->layers, err));
    if (!mlp_bias) return MQA_OK;
    MQA_TRY(mqa_design_add_vectors(d, c->ff.ff, 2 * c->layers, err));
    return mqa_design_add_vectors(d, c->embd, c->layers, err);
}

static mqa_status add_all(mqa_config *c, const traits *t, mqa_design *d, mqa_error *err)
{
    MQA_TRY(mqa_design_add_vocabulary(d, c->type, c->untied, err));
    MQA_TRY(add_groups(c, t, d, err));
    MQA_TRY(mqa_design_add_attention(d, c->type, c->heads, c->kv_heads, c->head_dim, c->layers, err));
    MQA_TRY(add_vectors(c, t, d, err));
    return mqa_design_add_feed_forward(d, c->type, c->expert_type, c->layers, &c->ff, err);
}

static mqa_status read(mqa_config *c, const traits *t, mqa_design *d, mqa_error *err)
{
    MQA_TRY(read_common(c, t, d, err));
    return add_all(c, t, d, err);
}

mqa_status mqa_config_llama(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c, &(traits){.norms = 2}, d, err);
}

mqa_status mqa_config_mistral(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c, &(traits){.norms = 2, .windows = WINDOWS_ALL}, d, err);
}

mqa_status mqa_config_gemma(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c, &(traits){.norms = 2, .tied = true}, d, err);
}

mqa_status mqa_config_gemma2(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c, &(traits){.norms = 4, .tied = true, .windows = WINDOWS_EVEN}, d, err);
}

/* Its configs leave out what is as in the smallest model. */
mqa_status mqa_config_gemma3(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c,
                &(traits){.norms = 4,
                          .qk_norm = true,
                          .tied = true,
                          .windows = WINDOWS_PATTERN,
                          .heads = 8,
                          .kv_heads = 4,
                          .head_dim = 256,
                          .vocab = 262208,
                          .pattern = 6},
                d, err);
}

mqa_status mqa_config_qwen2(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c, &(traits){.norms = 2, .qkv_bias = true, .windows = WINDOWS_ABOVE}, d, err);
}

mqa_status mqa_config_qwen3(mqa_config *c, mqa_design *d, mqa_error *err)
{
    return read(c, &(traits){.norms = 2, .qk_norm = true, .windows = WINDOWS_ABOVE}, d, err);
}

/* ---- mixtures of experts ---- */

static mqa_status read_experts(mqa_config *c, const char *n, const char *width, mqa_error *err)
{
    MQA_TRY(mqa_config_int(c, n, false, 1, MQA_MAX_EXPERTS, &c->ff.experts, err));
    MQA_TRY(mqa_config_int(c, "num_experts_per_tok", false, 1, MQA_MAX_EXPERTS, &c->ff.experts_used, err));
    return mqa_config_int(c, width, false, 1, MQA_MAX_WIDTH, &c->ff.expert_ff, err);
}

mqa_status mqa_config_mixtral(mqa_config *c, mqa_design *d, mqa_error *err)
{
    MQA_TRY(read_experts(c, "num_local_experts", "intermediate_size", err));
    return read(c, &(traits){.norms = 2, .windows = WINDOWS_ALL}, d, err);
}

/* Layers without experts: those listed, and those that the step leaves out. */
static mqa_status read_qwen_experts(mqa_config *c, mqa_error *err)
{
    int64_t step = 1, layers = 0;
    MQA_TRY(read_experts(c, "num_experts", "moe_intermediate_size", err));
    MQA_TRY(mqa_config_int(c, "decoder_sparse_step", true, 1, MQA_MAX_LAYERS, &step, err));
    MQA_TRY(mqa_config_int(c, "num_hidden_layers", false, 1, MQA_MAX_LAYERS, &layers, err));
    const json_t *dense = json_object_get(c->object, "mlp_only_layers");
    c->ff.dense_layers = layers - layers / step + (int64_t)json_array_size(dense);
    return MQA_OK;
}

mqa_status mqa_config_qwen3_moe(mqa_config *c, mqa_design *d, mqa_error *err)
{
    MQA_TRY(read_qwen_experts(c, err));
    return mqa_config_qwen3(c, d, err);
}

mqa_status mqa_config_qwen2_moe(mqa_config *c, mqa_design *d, mqa_error *err)
{
    MQA_TRY(read_qwen_experts(c, err));
    MQA_TRY(
        mqa_config_int(c, "shared_expert_intermediate_size", false, 1, MQA_MAX_WIDTH, &c->ff.shared_ff, err));
    MQA_TRY(mqa_config_qwen2(c, d, err));
    const int64_t sparse = c->layers - c->ff.dense_layers; /* a gate of one output for the shared expert */
    return mqa_design_add(d, MQA_ROLE_ROUTER, c->type, c->embd, 1, sparse, sparse, err);
}

/* Biases everywhere, a sink logit a head, windows in every other layer. */
mqa_status mqa_config_gpt_oss(mqa_config *c, mqa_design *d, mqa_error *err)
{
    MQA_TRY(read_experts(c, "num_local_experts", "intermediate_size", err));
    MQA_TRY(read(c, &(traits){.norms = 2, .head_dim = 64, .windows = WINDOWS_EVEN}, d, err));
    const int64_t n = c->layers * c->ff.experts;
    MQA_TRY(mqa_design_add_vectors(d, c->heads, c->layers, err));
    MQA_TRY(mqa_design_add_vectors(d, c->ff.experts, c->layers, err));
    MQA_TRY(mqa_design_add_vectors(d, 2 * c->ff.expert_ff, n, err));
    return mqa_design_add_vectors(d, c->embd, n, err);
}

/* Its chunked layers keep at most a chunk, which a window of that length holds as well; every fourth layer is
 * global (no_rope_layers lists 0 for those). Experts in every interleave_moe_layer_step-th layer. */
mqa_status mqa_config_llama4(mqa_config *c, mqa_design *d, mqa_error *err)
{
    int64_t step = 1, layers = 0;
    MQA_TRY(read_experts(c, "num_local_experts", "intermediate_size", err));
    MQA_TRY(mqa_config_int(c, "num_hidden_layers", false, 1, MQA_MAX_LAYERS, &layers, err));
    MQA_TRY(mqa_config_int(c, "interleave_moe_layer_step", true, 1, MQA_MAX_LAYERS, &step, err));
    c->ff.dense_layers = layers - layers / step;
    c->ff.shared_ff = c->ff.expert_ff;
    const traits t = {.norms = 2, .windows = WINDOWS_PATTERN, .pattern = 4};
    MQA_TRY(read_common(c, &t, d, err));
    MQA_TRY(mqa_config_int(c, "intermediate_size_mlp", true, 1, MQA_MAX_WIDTH, &c->ff.ff, err));
    MQA_TRY(mqa_config_int(c, "attention_chunk_size", true, 0, MQA_MAX_CONTEXT, &c->window, err));
    return add_all(c, &t, d, err);
}
