/* mqa bench attention: one layer's attention over full caches, beside what the machine could do at best.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "bench_attention.h"

typedef struct attention_bench {
    cli_common common;
    attention_work work;
    attention_rig rig;
    int64_t repeats;
    bool prefill, by_line;
    const char *dump;
} attention_bench;

typedef mqa_status step_fn(attention_rig *rig, double *seconds, mqa_error *err);

/* The median of a few quick ones. */
static mqa_status median_of(attention_rig *rig, step_fn *step, double *out, mqa_error *err)
{
    enum { TIMES = 21 };
    double seconds[TIMES];
    for (int i = 0; i < TIMES; i++) MQA_TRY(step(rig, &seconds[i], err));
    bench_sort(seconds, TIMES);
    *out = bench_median(seconds, TIMES);
    return MQA_OK;
}

/* Without -r: for `time` seconds and at least `least` runs. For `warm` seconds before that unmeasured ones.
 */
static mqa_status measure(attention_bench *b, double warm, double time, int least, attention_times *out,
                          mqa_error *err)
{
    double seconds[BENCH_MAX_REPEATS];
    double start = cli_now();
    do MQA_TRY(attention_rig_run(&b->rig, &seconds[0], err));
    while (cli_now() - start < warm);
    int n = 0;
    const int most = b->repeats ? (int)b->repeats : BENCH_MAX_REPEATS;
    for (start = cli_now(); n < most; n++) {
        if (!b->repeats && n >= least && cli_now() - start > time) break;
        MQA_TRY(attention_rig_run(&b->rig, &seconds[n], err));
    }
    bench_sort(seconds, n);
    out->median = bench_median(seconds, n);
    out->best = seconds[0];
    out->runs = n;
    return MQA_OK;
}

/* --by-line: a measurement for each line of standard input, so that another program can alternate ours with
 * its own: one run that doesn't count, as others have it (bench/peers/worker.py), then the measured ones. */
static mqa_status measure_by_line(attention_bench *b, attention_times *out, mqa_error *err)
{
    double median[BENCH_MAX_REPEATS], best = 0;
    char line[256];
    int n = 0, runs = 0;
    while (n < BENCH_MAX_REPEATS && fgets(line, sizeof line, stdin)) {
        attention_times t = {0};
        MQA_TRY(measure(b, 0, 0.2, 3, &t, err));
        cli_print_json(json_pack("{s:s, s:f, s:f}", "bench", "attention", "ms", t.median * 1e3, "ms_best",
                                 t.best * 1e3));
        if (n == 0 || t.best < best) best = t.best;
        median[n++] = t.median;
        runs += t.runs;
    }
    if (n == 0) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "no line on standard input to measure for");
    bench_sort(median, n);
    out->median = bench_median(median, n);
    out->best = best;
    out->runs = runs;
    return MQA_OK;
}

static mqa_status dump(attention_bench *b, mqa_error *err)
{
    FILE *file = fopen(b->dump, "wbe");
    if (!file) return mqa_fail(err, MQA_ERR_IO, "%s: %s", b->dump, strerror(errno));
    double seconds;
    mqa_status status = attention_rig_run(&b->rig, &seconds, err);
    errno = 0;
    const bool written =
        status != MQA_OK || fwrite(b->rig.out, sizeof *b->rig.out, b->rig.n_out, file) == b->rig.n_out;
    const int reason = errno;
    if ((fclose(file) != 0 || !written) && status == MQA_OK)
        status = mqa_fail(err, MQA_ERR_IO, "%s: %s", b->dump, strerror(reason ? reason : errno));
    return status;
}

static mqa_status bench(attention_bench *b, mqa_error *err)
{
    attention_times times = {0};
    attention_limit limit;
    MQA_TRY(attention_rig_make(&b->rig, err));
    if (b->dump) MQA_TRY(dump(b, err));
    MQA_TRY(b->by_line ? measure_by_line(b, &times, err) : measure(b, 0.25, 0.5, 5, &times, err));
    MQA_TRY(median_of(&b->rig, attention_rig_append, &times.append, err));
    MQA_TRY(median_of(&b->rig, attention_rig_plan, &times.plan, err));
    MQA_TRY(attention_limit_measure(&b->rig, &limit, err));
    attention_report(&b->rig, &times, &limit, b->common.json);
    return MQA_OK;
}

static int check(attention_bench *b)
{
    if (b->prefill && b->work.queries)
        return cli_error(CLI_USAGE, "--prefill asks for all tokens: give it or --queries");
    if (b->by_line && !b->common.json)
        return cli_error(CLI_USAGE, "--by-line is for programs: give --json with it");
    if (!b->prefill && !b->work.queries) b->work.queries = 1;
    b->work.k_type = b->common.kv[0];
    b->work.v_type = b->common.kv[1];
    return attention_work_complete(&b->work);
}

int cli_bench_attention(int argc, char **argv)
{
    attention_bench b = {
        .common = CLI_COMMON_DEFAULT,
        .work = {.heads = 32, .kv_heads = 1, .head_dim_qk = 128, .context = {.at = {16384}, .n = 1}}};
    attention_work *w = &b.work;
    const cli_option table[] = {
        {0, "heads", CLI_INT, &w->heads, "N", "query heads, default 32", 1, 4096, false},
        {0, "kv-heads", CLI_INT, &w->kv_heads, "N", "KV heads, default 1; divides the heads", 1, 4096, false},
        {0, "head-dim", CLI_INT, &w->head_dim_qk, "N", "size of a head of q and K, default 128", 1, 1024,
         false},
        {0, "head-dim-v", CLI_INT, &w->head_dim_vo, "N", "size of a head of V (default: as K's)", 1, 1024,
         false},
        {0, "v-in-k", CLI_FLAG, &w->v_in_k, NULL, "V is the first values of K: latent attention (MLA)", 0, 0,
         false},
        {0, "context", CLI_LIST, &w->context, "N,...", "tokens of each request in turn, default 16384", 1,
         1 << 24, false},
        {0, "requests", CLI_INT, &w->requests, "N", "requests in one step (default: as many as contexts)", 1,
         65536, false},
        {0, "shared", CLI_INT, &w->shared, "N", "tokens that all requests begin with, read once; default 0",
         0, 1 << 24, false},
        {0, "queries", CLI_INT, &w->queries, "N",
         "tokens that ask, of each request: 1 (default) is decoding, more is a prompt", 1, 1 << 20, false},
        {0, "prefill", CLI_FLAG, &b.prefill, NULL, "all tokens ask: a prompt from its beginning", 0, 0,
         false},
        {0, "window", CLI_INT, &w->window, "N", "keys that a query sees, itself included; default all", 1,
         1 << 24, false},
        {'r', "repetitions", CLI_INT, &b.repeats, "N",
         "runs, of which the median counts (default: half a second)", 1, BENCH_MAX_REPEATS, false},
        {0, "by-line", CLI_FLAG, &b.by_line, NULL, "measure once for each line of standard input", 0, 0,
         false},
        {0, "dump", CLI_TEXT, &b.dump, "FILE", "write the result, f32 [token][head][head_dim_v]", 0, 0,
         false},
        CLI_OPTIONS_KV(&b.common),
        CLI_OPTIONS_CONTEXT(&b.common),
        CLI_OPTIONS_END,
    };
    int code = cli_parse(argc, argv, table, "one layer of attention beside its limit.", NULL, 0, NULL, NULL);
    if (code == CLI_GO_ON) code = check(&b);
    if (code != CLI_GO_ON) return code;
    cli_catch_interrupt();
    b.rig.work = &b.work;
    code = cli_open_context(&b.common, &b.rig.ctx);
    if (code == CLI_DONE) {
        mqa_error err;
        const mqa_status status = bench(&b, &err);
        if (status != MQA_OK) code = cli_error_status(status, &err);
    }
    attention_rig_clear(&b.rig);
    mqa_context_destroy(&b.rig.ctx);
    return code;
}
