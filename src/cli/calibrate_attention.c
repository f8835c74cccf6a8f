/* Attention, on the rigs of `mqa bench attention`: memory by few rows over a KV cache beyond the CPU's,
 * arithmetic by few and many rows over one that stays in them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "bench_attention.h"
#include "calibrate.h"

enum { HEAD_DIM = 128, KV_HEADS = 4, MEMORY_BYTES = 256 << 20, CACHED_TOKENS = 2048, WRITTEN = 256 };

static mqa_status run_rig(void *arg, mqa_error *err)
{
    double seconds;
    return attention_rig_run(arg, &seconds, err);
}

/* What a run reads, and takes: arithmetic alone, and in truth. */
typedef struct times {
    double bytes, arithmetic, measured;
} times;

/* One sequence, whose last `rows` tokens ask. Its heads are as many as the KV heads, so that each of those
 * has that many rows. */
static mqa_status measure(attention_rig *rig, attention_work *work, const mqa_machine *roof, int rows,
                          times *out, mqa_error *err)
{
    work->queries = rows;
    rig->items[0].n_queries = rows;
    double seconds;
    MQA_TRY(attention_rig_plan(rig, &seconds, err));
    MQA_TRY(calibrate_time(run_rig, rig, 0.1, &out->measured, err));
    const attention_counts counts = attention_work_count(work);
    const double operations = (counts.scores_ops + counts.pv_ops) / roof->peak[mqa_rate_of_kv(work->k_type)];
    out->bytes = counts.tokens * (double)mqa_cache_page_bytes(&rig->config) / rig->config.page_tokens;
    out->arithmetic = fmax(operations, counts.exps / roof->exp_rate);
    return MQA_OK;
}

/* Packs K and V of WRITTEN tokens again: the queries do for both. */
static mqa_status write_tokens(void *arg, mqa_error *err)
{
    const attention_rig *rig = arg;
    const size_t row = (size_t)KV_HEADS * HEAD_DIM;
    return mqa_sequence_write(rig->sequences[0], 0, 0, WRITTEN, rig->q, row, HEAD_DIM, rig->q, row, HEAD_DIM,
                              err);
}

static attention_work work_of(mqa_kv_type type, int head_dim, int64_t tokens)
{
    return (attention_work){.heads = KV_HEADS,
                            .kv_heads = KV_HEADS,
                            .head_dim_qk = head_dim,
                            .head_dim_vo = head_dim,
                            .k_type = type,
                            .v_type = type,
                            .hadamard = type == MQA_KV_INT8 || type == MQA_KV_INT4,
                            .context = {.at = {tokens}, .n = 1},
                            .requests = 1};
}

/* n numbers of rows over a cache of so many tokens. per_value: what writing takes; NULL: not wanted. */
static mqa_status measure_rows(mqa_context *ctx, const mqa_machine *roof, attention_work work,
                               const int *rows, int n, times *out, double *per_value, mqa_error *err)
{
    work.queries = rows[n - 1];
    attention_rig rig = {.ctx = ctx, .work = &work};
    mqa_status status = attention_rig_make(&rig, err);
    for (int i = 0; status == MQA_OK && i < n; i++)
        status = measure(&rig, &work, roof, rows[i], &out[i], err);
    double seconds = 0;
    if (status == MQA_OK && per_value) {
        status = calibrate_time(write_tokens, &rig, 0.05, &seconds, err);
        *per_value = seconds / (2.0 * WRITTEN * KV_HEADS * HEAD_DIM);
    }
    attention_rig_clear(&rig);
    return status;
}

/* Products grow with the size of a head, what else a score takes doesn't: two sizes tell them apart. `whole`:
 * seconds of SCORE_ROWS rows over CACHED_TOKENS keys of HEAD_DIM values. */
enum { SMALL_HEAD_DIM = 32, SCORE_ROWS = 16 };
static mqa_status measure_score(mqa_context *ctx, mqa_machine *m, mqa_kv_type type, double whole,
                                mqa_error *err)
{
    static const int rows = SCORE_ROWS;
    const double ratio = (double)HEAD_DIM / SMALL_HEAD_DIM, n = (double)KV_HEADS * CACHED_TOKENS * SCORE_ROWS;
    times small;
    MQA_TRY(measure_rows(ctx, m, work_of(type, SMALL_HEAD_DIM, CACHED_TOKENS), &rows, 1, &small, NULL, err));
    m->seconds_per_score[type] = fmax((ratio * small.measured - whole) / (ratio - 1) / n, 0);
    return MQA_OK;
}

/* V in K, beside the same with a V of its own. */
enum { LATENT_DIM_QK = 192, LATENT_DIM_VO = 128 };
static mqa_status measure_turning(mqa_context *ctx, mqa_machine *m, mqa_kv_type type, mqa_error *err)
{
    static const int rows = SCORE_ROWS;
    times apart, within;
    attention_work work = work_of(type, LATENT_DIM_QK, CACHED_TOKENS);
    work.head_dim_vo = LATENT_DIM_VO;
    MQA_TRY(measure_rows(ctx, m, work, &rows, 1, &apart, NULL, err));
    work.v_in_k = true;
    MQA_TRY(measure_rows(ctx, m, work, &rows, 1, &within, NULL, err));
    m->seconds_per_turned_value[type] =
        fmax(within.measured - apart.measured, 0) / ((double)KV_HEADS * CACHED_TOKENS * LATENT_DIM_VO);
    return MQA_OK;
}

/* What products take of the time that was measured, over a cache of so many tokens. */
static double of_products(const mqa_machine *m, mqa_kv_type type, int rows, double measured)
{
    const double scores = (double)KV_HEADS * CACHED_TOKENS * rows;
    return fmax(measured - scores * m->seconds_per_score[type], 0.1 * measured);
}

mqa_status calibrate_attention(mqa_context *ctx, mqa_machine *m, mqa_kv_type type, mqa_error *err)
{
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = KV_HEADS,
                                     .head_dim_qk = HEAD_DIM,
                                     .head_dim_vo = HEAD_DIM,
                                     .k_type = type,
                                     .v_type = type,
                                     .page_tokens = 64};
    const int64_t tokens = MEMORY_BYTES / (int64_t)mqa_cache_page_bytes(&config) * 64;
    mqa_curve *out = &m->attention[type];
    times t[MQA_CURVE_POINTS], far[CALIBRATE_FROM_MEMORY];
    MQA_TRY(measure_rows(ctx, m, work_of(type, HEAD_DIM, CACHED_TOKENS), mqa_curve_rows, MQA_CURVE_POINTS, t,
                         &m->seconds_per_kv_value[type], err));
    int at_score = 0;
    while (mqa_curve_rows[at_score] != SCORE_ROWS) at_score++;
    MQA_TRY(measure_score(ctx, m, type, t[at_score].measured, err));
    MQA_TRY(measure_turning(ctx, m, type, err));
    for (int i = 0; i < MQA_CURVE_POINTS; i++)
        out->share[i] = t[i].arithmetic / of_products(m, type, mqa_curve_rows[i], t[i].measured);
    double before, after;
    MQA_TRY(calibrate_bandwidth(ctx, MEMORY_BYTES, &before, err));
    MQA_TRY(measure_rows(ctx, m, work_of(type, HEAD_DIM, tokens), mqa_curve_rows, CALIBRATE_FROM_MEMORY, far,
                         NULL, err));
    MQA_TRY(calibrate_bandwidth(ctx, MEMORY_BYTES, &after, err));
    for (int i = 0; i < MQA_CURVE_POINTS; i++)
        out->memory[i] =
            i < CALIBRATE_FROM_MEMORY
                ? calibrate_memory_share(m, far[i].bytes, 0.5 * (before + after),
                                         t[i].measured * ((double)tokens / CACHED_TOKENS), far[i].measured)
                : out->memory[i - 1];
    return MQA_OK;
}
