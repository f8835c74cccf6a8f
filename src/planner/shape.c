/* A design from a shape that somebody typed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "planner/design.h"

/* Every size within what can be multiplied. */
static mqa_status check_sizes(const mqa_shape *s, mqa_error *err)
{
    const struct {
        const char *name;
        int64_t value, max;
    } sizes[] = {{"layers", s->layers, MQA_MAX_LAYERS},
                 {"heads", s->heads, MQA_MAX_HEADS},
                 {"kv_heads", s->kv_heads, MQA_MAX_HEADS},
                 {"head_dim", s->head_dim, 1024},
                 {"head_dim_v", s->head_dim_v, 1024},
                 {"vocab", s->vocab, MQA_MAX_WIDTH},
                 {"embd", s->embd, MQA_MAX_WIDTH},
                 {"ff", s->ff, MQA_MAX_WIDTH},
                 {"latent_rank", s->latent_rank, 1024},
                 {"rope_dims", s->rope_dims, 1024},
                 {"query_rank", s->query_rank, MQA_MAX_WIDTH},
                 {"experts", s->experts, MQA_MAX_EXPERTS},
                 {"experts_used", s->experts_used, MQA_MAX_EXPERTS},
                 {"shared_experts", s->shared_experts, MQA_MAX_EXPERTS},
                 {"expert_ff", s->expert_ff, MQA_MAX_WIDTH},
                 {"dense_layers", s->dense_layers, MQA_MAX_LAYERS},
                 {"window", s->window, MQA_MAX_CONTEXT},
                 {"sinks", s->sinks, MQA_MAX_CONTEXT},
                 {"window_pattern", s->window_pattern, MQA_MAX_LAYERS},
                 {"context_length", s->context_length, MQA_MAX_CONTEXT}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < 0 || sizes[i].value > sizes[i].max)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "shape: %s is %" PRId64 ": give 0 (not given) to %" PRId64, sizes[i].name,
                            sizes[i].value, sizes[i].max);
    return MQA_OK;
}

static mqa_status settle(const mqa_shape *given, mqa_shape *s, mqa_error *err)
{
    *s = *given;
    MQA_TRY(check_sizes(s, err));
    if (s->layers == 0 || s->heads == 0 || (s->embd == 0 && s->head_dim == 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "shape: give at least layers, heads, and embd or head_dim");
    if (s->embd == 0) s->embd = s->heads * s->head_dim;
    if (s->head_dim == 0) s->head_dim = s->embd / s->heads;
    if (s->kv_heads == 0) s->kv_heads = s->heads;
    if (s->head_dim_v == 0) s->head_dim_v = s->head_dim;
    if (s->vocab == 0) s->vocab = 32000;
    if (s->ff == 0) s->ff = (8 * s->embd / 3 + 63) / 64 * 64; /* Llama's rule: two thirds of 4 * width */
    if (s->experts > 0 && s->expert_ff == 0) s->expert_ff = s->ff;
    if (s->experts > 0 && s->experts_used == 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "shape: %" PRId64 " experts: give how many of them a token uses", s->experts);
    if (s->sinks > 0 && s->window == 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "shape: sinks without a window");
    return MQA_OK;
}

/* Layers `from` .. `from + layers - 1` in which every window_pattern-th is global. */
static mqa_status add_layers(mqa_design *d, const mqa_shape *s, mqa_error *err)
{
    mqa_layer_group g = {.n_layers = (int)s->layers,
                         .n_heads = (int)s->heads,
                         .n_kv_heads = (int)s->kv_heads,
                         .head_dim_qk = (int)s->head_dim,
                         .head_dim_vo = (int)s->head_dim_v};
    if (s->window == 0) return mqa_design_add_layers(d, g, err);
    g.n_layers = s->window_pattern > 0 ? (int)(s->layers / s->window_pattern) : 0;
    MQA_TRY(mqa_design_add_layers(d, g, err));
    g.n_layers = (int)s->layers - g.n_layers;
    g.window = s->window;
    g.n_sink_tokens = s->sinks;
    return mqa_design_add_layers(d, g, err);
}

static mqa_status add_attention(mqa_design *d, const mqa_shape *s, uint32_t type, mqa_error *err)
{
    if (s->latent_rank > 0) {
        const mqa_latent latent = {.n_heads = s->heads,
                                   .rank = s->latent_rank,
                                   .rope_dims = s->rope_dims,
                                   .query_rank = s->query_rank,
                                   .head_dim_nope = s->head_dim,
                                   .head_dim_v = s->head_dim_v};
        if (s->window > 0)
            return mqa_fail(err, MQA_ERR_UNSUPPORTED, "shape: a latent rank and a window: give one of them");
        return mqa_design_add_latent(d, type, &latent, s->layers, err);
    }
    MQA_TRY(add_layers(d, s, err));
    MQA_TRY(
        mqa_design_add(d, MQA_ROLE_QUERY, type, s->embd, s->heads * s->head_dim, s->layers, s->layers, err));
    MQA_TRY(mqa_design_add(d, MQA_ROLE_KEY_VALUE, type, s->embd, s->kv_heads * s->head_dim, s->layers,
                           s->layers, err));
    MQA_TRY(mqa_design_add(d, MQA_ROLE_KEY_VALUE, type, s->embd, s->kv_heads * s->head_dim_v, s->layers,
                           s->layers, err));
    return mqa_design_add(d, MQA_ROLE_OUT, type, s->heads * s->head_dim_v, s->embd, s->layers, s->layers,
                          err);
}

static mqa_status make(const mqa_shape *s, mqa_design *d, mqa_error *err)
{
    const uint32_t type = MQA_GGUF_BF16;
    d->n_embd = (int)s->embd;
    d->n_vocab = (int)s->vocab;
    d->head_dim = (int)s->head_dim;
    d->context_length = s->context_length;
    MQA_TRY(mqa_design_add_vocabulary(d, type, s->untied, err));
    MQA_TRY(add_attention(d, s, type, err));
    const mqa_feed_forward f = {.ff = s->ff,
                                .experts = s->experts,
                                .experts_used = s->experts_used,
                                .expert_ff = s->expert_ff,
                                .shared_ff = s->expert_ff * s->shared_experts,
                                .dense_layers = s->dense_layers};
    MQA_TRY(mqa_design_add_feed_forward(d, type, type, s->layers, &f, err));
    return mqa_design_add_vectors(d, s->embd, 2 * s->layers + 1, err); /* two norms a layer, one in the end */
}

mqa_status mqa_design_from_shape(const mqa_shape *shape, mqa_design *out, mqa_error *err)
{
    mqa_shape s;
    MQA_TRY(settle(shape, &s, err));
    *out = (mqa_design){.arch = "shape"};
    const char *name = s.name && *s.name ? s.name : "shape";
    mqa_design_text(out->name, sizeof out->name, name, strlen(name));
    MQA_TRY(make(&s, out, err));
    return mqa_design_finish(out, err);
}
