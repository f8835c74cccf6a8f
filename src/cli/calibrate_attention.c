/* Attention, on the rigs of `mqa bench attention`: a few rows over a cache beyond L2 and L3, many over a
 * smaller one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "bench_attention.h"
#include "calibrate.h"

enum { HEAD_DIM = 128, KV_HEADS = 4, FEW_BYTES = 64 << 20, MANY_TOKENS = 4096, FEW_ROWS = 16 };

static mqa_status run_rig(void *arg, mqa_error *err)
{
    double seconds;
    return attention_rig_run(arg, &seconds, err);
}

/* One sequence, whose last `rows` tokens ask. Its heads are as many as the KV heads, so that each of those
 * has that many rows. */
static mqa_status measure(attention_rig *rig, attention_work *work, const mqa_machine *roof, int rows,
                          double *share, mqa_error *err)
{
    work->queries = rows;
    rig->items[0].n_queries = rows;
    double seconds;
    MQA_TRY(attention_rig_plan(rig, &seconds, err));
    MQA_TRY(calibrate_time(run_rig, rig, 0.1, &seconds, err));
    const attention_counts counts = attention_work_count(work);
    const double bytes = counts.tokens * (double)mqa_cache_page_bytes(&rig->config) / rig->config.page_tokens;
    const double memory = bytes / mqa_machine_bandwidth(roof, bytes);
    const double operations = (counts.scores_ops + counts.pv_ops) / roof->peak[mqa_rate_of_kv(work->k_type)];
    const double exps = counts.exps / roof->exp_rate;
    *share = fmax(memory, fmax(operations, exps)) / seconds;
    return MQA_OK;
}

static mqa_status measure_points(mqa_context *ctx, const mqa_machine *roof, mqa_kv_type type, bool few,
                                 int64_t tokens, mqa_curve *out, mqa_error *err)
{
    const int most = few ? FEW_ROWS : mqa_curve_rows[MQA_CURVE_POINTS - 1];
    attention_work work = {.heads = KV_HEADS,
                           .kv_heads = KV_HEADS,
                           .head_dim_qk = HEAD_DIM,
                           .head_dim_vo = HEAD_DIM,
                           .k_type = type,
                           .v_type = type,
                           .hadamard = type == MQA_KV_INT8 || type == MQA_KV_INT4,
                           .context = {.at = {tokens}, .n = 1},
                           .requests = 1,
                           .queries = most};
    attention_rig rig = {.ctx = ctx, .work = &work};
    mqa_status status = attention_rig_make(&rig, err);
    for (int i = 0; status == MQA_OK && i < MQA_CURVE_POINTS; i++)
        if ((mqa_curve_rows[i] <= FEW_ROWS) == few)
            status = measure(&rig, &work, roof, mqa_curve_rows[i], &out->share[i], err);
    attention_rig_clear(&rig);
    return status;
}

mqa_status calibrate_attention(mqa_context *ctx, const mqa_machine *roof, mqa_kv_type type, mqa_curve *out,
                               mqa_error *err)
{
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = KV_HEADS,
                                     .head_dim_qk = HEAD_DIM,
                                     .head_dim_vo = HEAD_DIM,
                                     .k_type = type,
                                     .v_type = type,
                                     .page_tokens = 64};
    const int64_t tokens = FEW_BYTES / (int64_t)mqa_cache_page_bytes(&config) * 64;
    MQA_TRY(measure_points(ctx, roof, type, true, tokens, out, err));
    return measure_points(ctx, roof, type, false, MANY_TOKENS, out, err);
}
