/* mqa bench attention: one layer's attention over a full cache, beside what the machine could do at best.
 *
 * The limit is the larger of bytes / bandwidth and operations / peak: the bytes are those of K and V read
 * once, at the bandwidth measured for a working set of that size; the operations are two per multiply-add of
 * Q.K and P.V, at the peak measured for the arithmetic of K's format.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "bench.h"
#include "mqa/attention.h"
#include "roofline.h"

typedef struct attention_bench {
    cli_common common;
    int64_t heads, kv_heads, head_dim, context, queries, repeats;

    mqa_context *ctx;
    mqa_cache *cache;
    mqa_sequence *sequence;
    mqa_plan *plan;
    float *q, *out;
} attention_bench;

typedef struct attention_times {
    double median, best; /* seconds */
} attention_times;

/* The cache, filled with random K and V. */
static mqa_status fill(attention_bench *b, mqa_error *err)
{
    enum { CHUNK = 256 };
    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = 1,
                               .n_kv_heads = (int)b->kv_heads,
                               .head_dim_qk = (int)b->head_dim,
                               .head_dim_vo = (int)b->head_dim,
                               .k_type = b->common.kv[0],
                               .v_type = b->common.kv[1],
                               .max_pages = (b->context + 63) / 64};
    mqa_status status = mqa_cache_create(b->ctx, &config, &b->cache, err);
    if (status == MQA_OK) status = mqa_sequence_create(b->cache, &b->sequence, err);
    if (status == MQA_OK) status = mqa_sequence_extend(b->sequence, b->context, err);
    if (status != MQA_OK) return status;
    size_t row = (size_t)(b->kv_heads * b->head_dim);
    float *kv = malloc(2 * CHUNK * row * sizeof *kv);
    if (!kv) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %d tokens of K and V", CHUNK);
    uint64_t random = 1;
    for (int64_t at = 0; status == MQA_OK && at < b->context; at += CHUNK) {
        int64_t n = b->context - at < CHUNK ? b->context - at : CHUNK;
        bench_fill(&random, kv, 2 * CHUNK * row);
        status = mqa_sequence_write(b->sequence, 0, at, n, kv, row, (size_t)b->head_dim, kv + CHUNK * row,
                                    row, (size_t)b->head_dim, err);
        if (status == MQA_OK && cli_stop) status = MQA_ERR_CANCELLED;
    }
    free(kv);
    return status;
}

static mqa_status prepare(attention_bench *b, mqa_error *err)
{
    mqa_status status = fill(b, err);
    if (status != MQA_OK) return status;
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = (int)b->heads;
    options.sm_scale = 1.0f / sqrtf((float)b->head_dim);
    mqa_plan_item item = {.sequence = b->sequence, .n_queries = b->queries};
    status = mqa_plan_create(b->cache, &options, &b->plan, err);
    if (status == MQA_OK) status = mqa_plan_batch(b->plan, &item, 1, err);
    if (status != MQA_OK) return status;
    size_t n = (size_t)(b->queries * b->heads * b->head_dim);
    b->q = malloc(n * sizeof *b->q);
    b->out = malloc(n * sizeof *b->out);
    if (!b->q || !b->out)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY,
                        "no memory for queries and results: give fewer --heads or --queries");
    uint64_t random = 2;
    bench_fill(&random, b->q, n);
    return MQA_OK;
}

static mqa_status run_once(attention_bench *b, double *seconds, mqa_error *err)
{
    size_t head = (size_t)b->head_dim, token = (size_t)(b->heads * b->head_dim);
    double t0 = cli_now();
    mqa_run run = {.struct_size = sizeof run,
                   .q = b->q,
                   .q_stride_token = token,
                   .q_stride_head = head,
                   .out = b->out,
                   .out_stride_token = token,
                   .out_stride_head = head};
    mqa_status status = mqa_plan_run(b->plan, &run, err);
    *seconds = cli_now() - t0;
    return status == MQA_OK && cli_stop ? MQA_ERR_CANCELLED : status;
}

/* Without -r: for half a second, at least 5 runs. Half as long before, unmeasured, for clocks and caches. */
static mqa_status measure(attention_bench *b, attention_times *out, mqa_error *err)
{
    double seconds[BENCH_MAX_REPEATS];
    double start = cli_now();
    mqa_status status;
    do status = run_once(b, &seconds[0], err);
    while (status == MQA_OK && cli_now() - start < 0.25);
    int n = 0, most = b->repeats ? (int)b->repeats : BENCH_MAX_REPEATS;
    for (start = cli_now(); status == MQA_OK && n < most; n++) {
        if (!b->repeats && n >= 5 && cli_now() - start > 0.5) break;
        status = run_once(b, &seconds[n], err);
    }
    if (status != MQA_OK) return status;
    bench_sort(seconds, n);
    *out = (attention_times){.median = bench_median(seconds, n), .best = seconds[0]};
    return MQA_OK;
}

static mqa_status report(attention_bench *b, const attention_times *times, mqa_error *err)
{
    int threads = mqa_context_n_threads(b->ctx);
    double bandwidth, peak;
    double bytes = (double)mqa_cache_bytes_in_use(b->cache);
    mqa_status status = roofline_read(b->ctx, threads, (size_t)bytes, &bandwidth, err);
    if (status == MQA_OK) status = roofline_peak(b->ctx, threads, b->common.kv[0], &peak, err);
    if (status != MQA_OK) return status;
    /* Causal, aligned at the end: query i of Q sees context - Q + 1 + i keys. */
    double keys = (double)b->queries * ((double)b->context - 0.5 * ((double)b->queries - 1));
    double ops = 4.0 * (double)b->heads * (double)b->head_dim * keys;
    double limit = fmax(bytes / bandwidth, ops / peak);

    char type[16];
    const char *k = mqa_kv_type_name(b->common.kv[0]), *v = mqa_kv_type_name(b->common.kv[1]);
    snprintf(type, sizeof type, b->common.kv[0] == b->common.kv[1] ? "%s" : "%s/%s", k, v);
    if (b->common.json) {
        cli_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:s}", "bench",
            "attention", "heads", (json_int_t)b->heads, "kv_heads", (json_int_t)b->kv_heads, "head_dim",
            (json_int_t)b->head_dim, "context", (json_int_t)b->context, "queries", (json_int_t)b->queries,
            "kv_type", type, "threads", threads, "ms", times->median * 1e3, "ms_best", times->best * 1e3,
            "gflops", ops / times->median * 1e-9, "gbps", bytes / times->median * 1e-9, "limit_ms",
            limit * 1e3, "of_limit", limit / times->median, "recipe", mqa_plan_recipe(b->plan)));
        return MQA_OK;
    }
    printf(
        "%lld heads : %lld KV heads, head_dim %lld, context %lld, %lld queries, %s, %d threads, %s\n"
        "  %.4f ms (best %.4f), %.1f GFLOP/s, %.1f GB/s\n"
        "  limit %.4f ms by %s (%s at %.1f GB/s; %.3g GFLOP at %.1f GFLOP/s): %.0f %% of the limit's speed\n",
        (long long)b->heads, (long long)b->kv_heads, (long long)b->head_dim, (long long)b->context,
        (long long)b->queries, type, threads, mqa_plan_recipe(b->plan), times->median * 1e3,
        times->best * 1e3, ops / times->median * 1e-9, bytes / times->median * 1e-9, limit * 1e3,
        bytes / bandwidth > ops / peak ? "bandwidth" : "arithmetic", cli_bytes(bytes), bandwidth * 1e-9,
        ops * 1e-9, peak * 1e-9, 100 * limit / times->median);
    return MQA_OK;
}

int cli_bench_attention(int argc, char **argv)
{
    attention_bench b = {.common = CLI_COMMON_DEFAULT,
                         .heads = 32,
                         .kv_heads = 1,
                         .head_dim = 128,
                         .context = 16384,
                         .queries = 1};
    const cli_option table[] = {
        {0, "heads", CLI_INT, &b.heads, "N", "query heads, default 32", 1, 4096, false},
        {0, "kv-heads", CLI_INT, &b.kv_heads, "N", "KV heads, default 1; divides the heads", 1, 4096, false},
        {0, "head-dim", CLI_INT, &b.head_dim, "N", "size of a head, default 128", 1, 1024, false},
        {0, "context", CLI_INT, &b.context, "N", "tokens in the cache, default 16384", 1, 1 << 24, false},
        {0, "queries", CLI_INT, &b.queries, "N", "tokens that ask: 1 (default) is decoding, more is a prompt",
         1, 1 << 20, false},
        {'r', "repetitions", CLI_INT, &b.repeats, "N",
         "runs, of which the median counts (default: half a second)", 1, BENCH_MAX_REPEATS, false},
        CLI_OPTIONS_KV(&b.common),
        CLI_OPTIONS_CONTEXT(&b.common),
        CLI_OPTIONS_END,
    };
    int code = cli_parse(argc, argv, table, "one layer of attention beside its limit.", NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (b.heads % b.kv_heads != 0)
        return cli_error(CLI_USAGE, "%lld heads over %lld KV heads: give a multiple", (long long)b.heads,
                         (long long)b.kv_heads);
    if (b.queries > b.context)
        return cli_error(CLI_USAGE, "%lld queries in a context of %lld: give at most the context",
                         (long long)b.queries, (long long)b.context);
    cli_catch_interrupt();
    code = cli_open_context(&b.common, &b.ctx);
    if (code == CLI_DONE) {
        mqa_error err;
        attention_times times;
        mqa_status status = prepare(&b, &err);
        if (status == MQA_OK) status = measure(&b, &times, &err);
        if (status == MQA_OK) status = report(&b, &times, &err);
        if (status != MQA_OK) code = cli_error_status(status, &err);
    }
    mqa_plan_destroy(&b.plan);
    mqa_sequence_destroy(&b.sequence);
    mqa_cache_destroy(&b.cache);
    mqa_context_destroy(&b.ctx);
    free(b.q);
    free(b.out);
    return code;
}
