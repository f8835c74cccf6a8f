/* The rig of `mqa bench attention`: caches, plan and queries of a work.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "base/status.h"
#include "bench_attention.h"

enum { CHUNK = 256, PAGE = 64 };

static mqa_status interrupted(mqa_status status)
{
    return status == MQA_OK && cli_stop ? MQA_ERR_CANCELLED : status;
}

/* Random K and V of tokens [from, to) of sequence j in the streams. */
static mqa_status write_tokens(attention_rig *rig, mqa_sequence *sequence, int64_t j, int64_t from,
                               int64_t to, float *kv, mqa_error *err)
{
    const attention_work *work = rig->work;
    const size_t k_row = (size_t)(work->kv_heads * work->head_dim_qk),
                 v_row = work->v_in_k ? 0 : (size_t)(work->kv_heads * work->head_dim_vo);
    float *k = kv, *v = work->v_in_k ? NULL : kv + CHUNK * k_row;
    mqa_status status = MQA_OK;
    for (int64_t at = from; status == MQA_OK && at < to; at += CHUNK) {
        const int64_t n = to - at < CHUNK ? to - at : CHUNK;
        bench_fill_at(2 * (uint64_t)j + 1, (uint64_t)at * k_row, k, (size_t)n * k_row);
        if (v) bench_fill_at(2 * (uint64_t)j + 2, (uint64_t)at * v_row, v, (size_t)n * v_row);
        status = interrupted(mqa_sequence_write(sequence, 0, at, n, k, k_row, (size_t)work->head_dim_qk, v,
                                                v_row, (size_t)work->head_dim_vo, err));
    }
    return status;
}

static mqa_status make_sequence(attention_rig *rig, int64_t request, float *kv, mqa_error *err)
{
    const attention_work *work = rig->work;
    const int64_t context = attention_work_context(work, request);
    mqa_sequence **sequence = &rig->sequences[request];
    if (work->shared > 0)
        MQA_TRY(mqa_sequence_fork(rig->prefix, work->shared, sequence, err));
    else
        MQA_TRY(mqa_sequence_create(rig->cache, sequence, err));
    if (context > work->shared) MQA_TRY(mqa_sequence_extend(*sequence, context - work->shared, err));
    return write_tokens(rig, *sequence, request, work->shared, context, kv, err);
}

static mqa_status make_sequences(attention_rig *rig, float *kv, mqa_error *err)
{
    const attention_work *work = rig->work;
    if (work->shared > 0) {
        MQA_TRY(mqa_sequence_create(rig->cache, &rig->prefix, err));
        MQA_TRY(mqa_sequence_extend(rig->prefix, work->shared, err));
        MQA_TRY(write_tokens(rig, rig->prefix, work->requests, 0, work->shared, kv, err));
    }
    for (int64_t i = 0; i < work->requests; i++) MQA_TRY(make_sequence(rig, i, kv, err));
    return MQA_OK;
}

/* Pages for the shared tokens, and for each request's own and one token more, a copy of a page included. */
static int64_t pages_needed(const attention_work *work)
{
    int64_t pages = work->shared / PAGE + 1;
    for (int64_t i = 0; i < work->requests; i++)
        pages += (attention_work_context(work, i) - work->shared) / PAGE + 3;
    return pages;
}

static mqa_status make_cache(attention_rig *rig, mqa_error *err)
{
    const attention_work *work = rig->work;
    rig->config = (mqa_cache_config){.struct_size = sizeof rig->config,
                                     .n_layers = 1,
                                     .n_kv_heads = (int)work->kv_heads,
                                     .head_dim_qk = (int)work->head_dim_qk,
                                     .head_dim_vo = (int)work->head_dim_vo,
                                     .k_type = work->k_type,
                                     .v_type = work->v_type,
                                     .v_in_k = work->v_in_k,
                                     .k_hadamard = work->hadamard,
                                     .v_hadamard = work->hadamard,
                                     .max_pages = pages_needed(work),
                                     .page_tokens = PAGE};
    MQA_TRY(mqa_cache_create(rig->ctx, &rig->config, &rig->cache, err));
    const size_t token = (size_t)(work->kv_heads * (work->head_dim_qk + work->head_dim_vo));
    float *kv = malloc(CHUNK * token * sizeof *kv);
    rig->token = calloc(token, sizeof *rig->token);
    rig->sequences = calloc((size_t)work->requests, sizeof(mqa_sequence *));
    mqa_status status =
        kv && rig->token && rig->sequences
            ? make_sequences(rig, kv, err)
            : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %d tokens of K and V", CHUNK);
    free(kv);
    return status;
}

static mqa_status make_plan(attention_rig *rig, mqa_error *err)
{
    const attention_work *work = rig->work;
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = (int)work->heads;
    options.sm_scale = 1.0f / sqrtf((float)work->head_dim_qk);
    if (work->window > 0) options.window_left = work->window - 1;
    rig->items = calloc((size_t)work->requests, sizeof *rig->items);
    if (!rig->items)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %lld requests", (long long)work->requests);
    for (int64_t i = 0; i < work->requests; i++)
        rig->items[i] =
            (mqa_plan_item){.sequence = rig->sequences[i], .n_queries = attention_work_queries(work, i)};
    MQA_TRY(mqa_plan_create(rig->cache, &options, &rig->plan, err));
    double seconds;
    return attention_rig_plan(rig, &seconds, err);
}

mqa_status attention_rig_make(attention_rig *rig, mqa_error *err)
{
    const attention_work *work = rig->work;
    MQA_TRY(make_cache(rig, err));
    MQA_TRY(make_plan(rig, err));
    const size_t rows = (size_t)(attention_work_tokens(work) * work->heads),
                 n_q = rows * (size_t)work->head_dim_qk;
    rig->n_out = rows * (size_t)work->head_dim_vo;
    rig->q = malloc(n_q * sizeof *rig->q);
    rig->out = malloc(rig->n_out * sizeof *rig->out);
    if (!rig->q || !rig->out)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY,
                        "no memory for queries and results: give fewer --heads or --queries");
    bench_fill_at(0, 0, rig->q, n_q);
    return MQA_OK;
}

void attention_rig_clear(attention_rig *rig)
{
    mqa_plan_destroy(&rig->plan);
    for (int64_t i = 0; rig->sequences && i < rig->work->requests; i++)
        mqa_sequence_destroy(&rig->sequences[i]);
    mqa_sequence_destroy(&rig->prefix);
    mqa_cache_destroy(&rig->cache);
    free(rig->sequences);
    free(rig->items);
    free(rig->q);
    free(rig->out);
    free(rig->token);
}

mqa_status attention_rig_run(attention_rig *rig, double *seconds, mqa_error *err)
{
    const attention_work *work = rig->work;
    const double t0 = cli_now();
    const mqa_run run = {.struct_size = sizeof run,
                         .q = rig->q,
                         .q_stride_token = (size_t)(work->heads * work->head_dim_qk),
                         .q_stride_head = (size_t)work->head_dim_qk,
                         .out = rig->out,
                         .out_stride_token = (size_t)(work->heads * work->head_dim_vo),
                         .out_stride_head = (size_t)work->head_dim_vo};
    const mqa_status status = mqa_plan_run(rig->plan, &run, err);
    *seconds = cli_now() - t0;
    return interrupted(status);
}

mqa_status attention_rig_plan(attention_rig *rig, double *seconds, mqa_error *err)
{
    const double t0 = cli_now();
    const mqa_status status = mqa_plan_batch(rig->plan, rig->items, (int)rig->work->requests, err);
    *seconds = cli_now() - t0;
    return interrupted(status);
}

mqa_status attention_rig_append(attention_rig *rig, double *seconds, mqa_error *err)
{
    const attention_work *work = rig->work;
    const size_t k_row = (size_t)(work->kv_heads * work->head_dim_qk),
                 v_row = (size_t)(work->kv_heads * work->head_dim_vo);
    *seconds = 0;
    for (int64_t i = 0; i < work->requests; i++) {
        const int64_t end = attention_work_context(work, i);
        mqa_sequence *sequence = rig->sequences[i];
        const double t0 = cli_now();
        MQA_TRY(mqa_sequence_extend(sequence, 1, err));
        MQA_TRY(mqa_sequence_write(sequence, 0, end, 1, rig->token, k_row, (size_t)work->head_dim_qk,
                                   work->v_in_k ? NULL : rig->token + k_row, v_row, (size_t)work->head_dim_vo,
                                   err));
        *seconds += cli_now() - t0;
        MQA_TRY(mqa_sequence_truncate(sequence, end, err));
    }
    return interrupted(MQA_OK);
}
