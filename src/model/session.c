/* Sessions: their making, and what they hold.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model/session.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/take_struct.h"
#include "kvcache/cache.h"

enum { DEFAULT_CHUNK = 512, MAX_CHUNK = 65536, MAX_SEQUENCES = 65536 };
static const int64_t MAX_CONTEXT = (int64_t)1 << 40;

void mqa_session_options_init(mqa_session_options *out, size_t struct_size)
{
    const mqa_session_options defaults = {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16};
    mqa_give_struct(&defaults, sizeof defaults, out, struct_size);
}

static mqa_status settle_options(const mqa_model *model, const mqa_session_options *options,
                                 mqa_session_options *out, mqa_error *err)
{
    *out = mqa_session_options_default();
    if (options) MQA_TRY(MQA_TAKE(mqa_session_options, options, out, err));
    if (out->context == 0) out->context = model->hp.context_length;
    if (out->max_sequences == 0) out->max_sequences = 1;
    if (out->chunk == 0) out->chunk = DEFAULT_CHUNK;
    if (out->context < 1 || out->context > MAX_CONTEXT)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "context is %" PRId64 ": give 1 to %" PRId64,
                        out->context, MAX_CONTEXT);
    if (out->max_sequences < 1 || out->max_sequences > MAX_SEQUENCES)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "max_sequences is %d: give 1 to %d",
                        out->max_sequences, MAX_SEQUENCES);
    if (out->max_on_demand < 0 || out->max_on_demand > MAX_SEQUENCES)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "max_on_demand is %d: give 0 to %d",
                        out->max_on_demand, MAX_SEQUENCES);
    if (out->chunk < 1 || out->chunk > MAX_CHUNK)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chunk is %d: give 1 to %d", out->chunk, MAX_CHUNK);
    return MQA_OK;
}

/* Page ids for the worst case: every sequence at its longest. */
static int64_t max_pages(const mqa_session *s, const mqa_session_kind *kind, const mqa_cache_layout *layout)
{
    int64_t pages =
        mqa_most_pages(layout, kind->config.window, s->options.context, s->options.chunk) * s->n_numbers;
    const size_t budget = s->options.kv_budget_bytes;
    if (budget > 0 && (size_t)pages > budget / kind->page_bytes) pages = (int64_t)(budget / kind->page_bytes);
    return pages > 0 ? pages : 1;
}

/* The formats of few levels and a scale for many values. */
static bool transforms(const mqa_session *s, mqa_kv_type type)
{
    return !s->options.kv_plain && (type == MQA_KV_INT8 || type == MQA_KV_INT4);
}

static mqa_status create_kind(mqa_session *s, mqa_layer_kind which, mqa_error *err)
{
    const mqa_model *model = s->model;
    const mqa_hparams *hp = &model->hp;
    const mqa_allocator *a = model->ctx->allocator;
    mqa_session_kind *kind = &s->kind[which];
    if (model->n_layers_of[which] == 0) return MQA_OK;
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = model->n_layers_of[which],
                                     .n_kv_heads = hp->n_kv_heads,
                                     .head_dim_qk = hp->head_dim,
                                     .head_dim_vo = hp->v_dim,
                                     .v_in_k = hp->latent.kv_rank > 0,
                                     .k_type = s->options.k_type,
                                     .v_type = s->options.v_type,
                                     .k_hadamard = transforms(s, s->options.k_type),
                                     .v_hadamard = transforms(s, s->options.v_type),
                                     .window = which == MQA_LAYER_WINDOW ? hp->window : 0};
    mqa_cache_layout layout;
    MQA_TRY(mqa_cache_layout_make(&config, &kind->config, &layout, err));
    kind->page_bytes = layout.page_bytes;
    kind->page_tokens = layout.page_tokens;
    kind->config.max_pages = max_pages(s, kind, &layout);
    MQA_TRY(mqa_cache_create(model->ctx, &kind->config, &kind->cache, err));
    mqa_plan_options plan = mqa_plan_options_default();
    plan.n_heads = hp->n_heads;
    plan.sm_scale = hp->sm_scale;
    MQA_TRY(mqa_plan_create(kind->cache, &plan, &kind->plan, err));
    const size_t n = (size_t)s->n_numbers;
    kind->sequences = mqa_alloc_array(a, n, sizeof *kind->sequences);
    kind->plan_items = mqa_alloc_array(a, n, sizeof *kind->plan_items);
    if (!kind->sequences || !kind->plan_items)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %zu sequences", n);
    return MQA_OK;
}

static mqa_status create_tables(mqa_session *s, mqa_error *err)
{
    const mqa_allocator *a = s->model->ctx->allocator;
    const size_t n = (size_t)s->n_numbers, chunk = (size_t)s->options.chunk;
    s->segments = mqa_alloc_array(a, n, sizeof *s->segments);
    s->seen = mqa_alloc_array(a, n, sizeof *s->seen);
    s->tokens = mqa_alloc_array(a, chunk, sizeof *s->tokens);
    s->wanted = mqa_alloc_array(a, chunk, sizeof *s->wanted);
    s->logits = mqa_alloc_array(a, chunk, sizeof *s->logits);
    if (!s->segments || !s->seen || !s->tokens || !s->wanted || !s->logits)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a session");
    return MQA_OK;
}

static mqa_status create(mqa_session *s, mqa_error *err)
{
    MQA_TRY(mqa_account_create(s->model->ctx, NULL, s->options.kv_budget_bytes, &s->account, err));
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) MQA_TRY(create_kind(s, (mqa_layer_kind)kind, err));
    for (int i = 0; i < s->options.max_sequences; i++) MQA_TRY(mqa_session_make(s, i, err));
    MQA_TRY(create_tables(s, err));
    MQA_TRY(mqa_workspace_create(s->model, s->options.chunk, &s->ws, err));
    const mqa_plan *plan = s->kind[MQA_LAYER_GLOBAL].plan;
    if (!plan) plan = s->kind[MQA_LAYER_WINDOW].plan;
    const bool transformed = transforms(s, s->options.k_type) || transforms(s, s->options.v_type);
    snprintf(s->recipe, sizeof s->recipe, "%s+int8/1%s", mqa_plan_recipe(plan),
             transformed ? "+hadamard/1" : "");
    return MQA_OK;
}

mqa_status mqa_session_create(mqa_model *model, const mqa_session_options *options, mqa_session **out,
                              mqa_error *err)
{
    if (!model || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_session_create: model or out is NULL");
    *out = NULL;
    mqa_session_options settled;
    MQA_TRY(settle_options(model, options, &settled, err));
    mqa_session *s = mqa_alloc(model->ctx->allocator, sizeof *s);
    if (!s) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a session");
    s->model = model;
    s->options = settled;
    s->n_numbers = settled.max_sequences + settled.max_on_demand;
    const mqa_status status = create(s, err);
    if (status != MQA_OK)
        mqa_session_destroy(&s);
    else
        *out = s;
    return status;
}

static void destroy_kind(const mqa_session *s, mqa_session_kind *kind)
{
    const mqa_allocator *a = s->model->ctx->allocator;
    const size_t n = (size_t)s->n_numbers;
    mqa_plan_destroy(&kind->plan);
    for (size_t i = 0; kind->sequences && i < n; i++) mqa_sequence_destroy(&kind->sequences[i]);
    mqa_cache_destroy(&kind->cache);
    mqa_release(a, kind->sequences, n * sizeof *kind->sequences);
    mqa_release(a, kind->plan_items, n * sizeof *kind->plan_items);
}

void mqa_session_destroy(mqa_session **session)
{
    if (!session || !*session) return;
    mqa_session *s = *session;
    const mqa_allocator *a = s->model->ctx->allocator;
    const size_t n = (size_t)s->n_numbers, chunk = (size_t)s->options.chunk;
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) destroy_kind(s, &s->kind[kind]);
    mqa_account_destroy(&s->account);
    mqa_workspace_destroy(s->model, &s->ws);
    mqa_release(a, s->segments, n * sizeof *s->segments);
    mqa_release(a, s->seen, n * sizeof *s->seen);
    mqa_release(a, s->tokens, chunk * sizeof *s->tokens);
    mqa_release(a, s->wanted, chunk * sizeof *s->wanted);
    mqa_release(a, s->logits, chunk * sizeof *s->logits);
    mqa_release(a, s, sizeof *s);
    *session = NULL;
}

size_t mqa_session_kv_bytes(const mqa_session *s)
{
    size_t bytes = 0;
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++)
        if (s->kind[kind].cache) bytes += mqa_cache_bytes_in_use(s->kind[kind].cache);
    return bytes;
}

size_t mqa_session_bytes_resident(const mqa_session *s)
{
    size_t bytes = 0;
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++)
        if (s->kind[kind].cache) bytes += mqa_cache_bytes_resident(s->kind[kind].cache);
    return bytes;
}

size_t mqa_session_kv_bytes_multi_head(const mqa_session *s)
{
    size_t bytes = 0;
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) {
        if (!s->kind[kind].cache) continue;
        const mqa_hparams *hp = &s->model->hp;
        mqa_cache_config config = s->kind[kind].config;
        config.n_kv_heads = hp->n_heads;
        if (config.v_in_k) {
            config.v_in_k = false;
            config.head_dim_qk = hp->latent.nope + hp->latent.rope;
            config.head_dim_vo = hp->out_dim;
        }
        bytes += mqa_cache_bytes_in_use(s->kind[kind].cache) / s->kind[kind].page_bytes *
                 mqa_cache_page_bytes(&config);
    }
    return bytes;
}

const char *mqa_session_recipe(const mqa_session *s)
{
    return s->recipe;
}
