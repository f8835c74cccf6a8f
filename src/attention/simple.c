/* Attention on plain arrays: a cache of one layer, a sequence, a plan, one run.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "attention/plan.h"
#include "base/status.h"

typedef struct problem {
    mqa_cache_config cache;
    mqa_plan_options plan;
    int64_t n_q, n_kv;
    const float *q, *k, *v;
    float *out;
} problem;

static mqa_status solve(const problem *p, mqa_sequence *seq, mqa_plan *plan, mqa_error *err)
{
    const size_t d = (size_t)p->cache.head_dim_qk;
    const size_t kv_row = (size_t)p->cache.n_kv_heads * d, q_row = (size_t)p->plan.n_heads * d;
    MQA_TRY(mqa_sequence_extend(seq, p->n_kv, err));
    MQA_TRY(mqa_sequence_write(seq, 0, 0, p->n_kv, p->k, kv_row, d, p->v, kv_row, d, err));
    MQA_TRY(mqa_plan_batch(plan, &(mqa_plan_item){.sequence = seq, .n_queries = p->n_q}, 1, err));
    const mqa_run run = {.struct_size = sizeof run,
                         .q = p->q,
                         .q_stride_token = q_row,
                         .q_stride_head = d,
                         .out = p->out,
                         .out_stride_token = q_row,
                         .out_stride_head = d};
    return mqa_plan_run(plan, &run, err);
}

static mqa_status with_plan(const problem *p, mqa_cache *cache, mqa_sequence *seq, mqa_error *err)
{
    mqa_plan *plan;
    MQA_TRY(mqa_plan_create(cache, &p->plan, &plan, err));
    mqa_status status = solve(p, seq, plan, err);
    mqa_plan_destroy(&plan);
    return status;
}

static mqa_status with_sequence(const problem *p, mqa_cache *cache, mqa_error *err)
{
    mqa_sequence *seq;
    MQA_TRY(mqa_sequence_create(cache, &seq, err));
    mqa_status status = with_plan(p, cache, seq, err);
    mqa_sequence_destroy(&seq);
    return status;
}

mqa_status mqa_attention(mqa_context *ctx, int n_heads, int n_kv_heads, int head_dim, int64_t n_q,
                         int64_t n_kv, const float *q, const float *k, const float *v, float sm_scale,
                         float *out, mqa_error *err)
{
    if (!q || !k || !v || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_attention: q, k, v or out is NULL");
    if (n_q < 1 || n_q > n_kv)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_attention: n_q is %lld: give 1 to n_kv, %lld",
                        (long long)n_q, (long long)n_kv);
    problem p = {
        .cache = {.struct_size = sizeof(mqa_cache_config),
                  .n_layers = 1,
                  .n_kv_heads = n_kv_heads,
                  .head_dim_qk = head_dim,
                  .head_dim_vo = head_dim,
                  .k_type = MQA_KV_F32,
                  .v_type = MQA_KV_F32,
                  .max_pages = mqa_pages_for(n_kv, MQA_GRANULE)},
        .plan = mqa_plan_options_default(),
        .n_q = n_q,
        .n_kv = n_kv,
        .q = q,
        .k = k,
        .v = v,
        .out = out,
    };
    p.plan.n_heads = n_heads;
    p.plan.sm_scale = sm_scale;
    mqa_cache *cache;
    MQA_TRY(mqa_cache_create(ctx, &p.cache, &cache, err));
    mqa_status status = with_sequence(&p, cache, err);
    mqa_cache_destroy(&cache);
    return status;
}
