/* SPDX-License-Identifier: Apache-2.0 */
#include "calibrate.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "bench.h"
#include "roofline.h"

mqa_status calibrate_time(calibrate_fn *run, void *arg, double seconds, double *out, mqa_error *err)
{
    enum { LEAST = 5, PATIENCE = 4 };
    double all[BENCH_MAX_REPEATS], calm[BENCH_MAX_REPEATS];
    int n = 0, n_calm = 0;
    MQA_TRY(run(arg, err)); /* caches, branch predictors, pages of memory */
    const double start = cli_now();
    for (; n < BENCH_MAX_REPEATS; n++) {
        const double spent = cli_now() - start;
        if (n >= LEAST && spent >= seconds && (n_calm >= LEAST || spent >= PATIENCE * seconds)) break;
        const long interruptions = mqa_interruptions();
        const double t0 = cli_now();
        MQA_TRY(run(arg, err));
        all[n] = cli_now() - t0;
        if (mqa_interruptions() == interruptions) calm[n_calm++] = all[n];
        if (cli_stop) return mqa_fail(err, MQA_ERR_CANCELLED, "calibration was stopped");
    }
    double *times = n_calm >= LEAST ? calm : all;
    if (times == calm) n = n_calm;
    bench_sort(times, n);
    *out = times[n / 2];
    return MQA_OK;
}

mqa_status calibrate_bandwidth(mqa_context *ctx, double working_set, double *out, mqa_error *err)
{
    return roofline_read(ctx, mqa_context_n_threads(ctx), (size_t)working_set, out, err);
}

double calibrate_memory_share(const mqa_machine *roof, double bytes, double bandwidth, double arithmetic,
                              double measured)
{
    const double memory = bytes / bandwidth;
    const double longer = memory - bytes / mqa_machine_bandwidth(roof, roof->curve_bytes);
    const double rest = measured - arithmetic;
    if (longer <= 0) return 1;
    if (rest <= 0) return 100;
    const double share = longer / rest; /* above 1: the rest is hidden behind arithmetic */
    return share > 100 ? 100 : share < 0.1 ? 0.1 : share;
}

/* By working set, in fine steps where the last cache overflows, which is about its size or less, as others on
 * the machine have some of it. */
static mqa_status measure_caches(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    enum { LEAST = 8 << 20, MOST = 64 << 20 }; /* of a cache's size */
    static const double parts[] = {1.0 / 32, 1.0 / 8, 0.25, 0.5, 0.625, 0.75, 0.875,
                                   1,        1.25,    1.5,  2,   3,     4,    8};
    const mqa_cpu *cpu = mqa_cpu_detect();
    const double l2 = (double)cpu->l2_bytes * m->n_threads, l3 = (double)cpu->l3_bytes;
    const double cache = fmin(fmax(fmax(l2, l3), LEAST), MOST);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const double bytes = cache * parts[i];
        m->caches[i].bytes = bytes;
        m->caches[i].share = 1;
        MQA_TRY(roofline_read(ctx, m->n_threads, (size_t)bytes, &m->caches[i].rate, err));
        m->n_caches++;
        if (cli_stop) return mqa_fail(err, MQA_ERR_CANCELLED, "calibration was stopped");
    }
    return MQA_OK;
}

static mqa_status measure_roof(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    const int threads = mqa_context_n_threads(ctx);
    MQA_TRY(measure_caches(ctx, m, err));
    m->bandwidth = m->caches[m->n_caches - 1].rate; /* of 8 times the last cache */
    MQA_TRY(roofline_peak(ctx, threads, MQA_KV_F32, ROOFLINE_SCORES, &m->peak[MQA_RATE_F32], err));
    MQA_TRY(roofline_peak(ctx, threads, MQA_KV_BF16, ROOFLINE_SCORES, &m->peak[MQA_RATE_BF16], err));
    MQA_TRY(roofline_peak(ctx, threads, MQA_KV_INT8, ROOFLINE_SCORES, &m->peak[MQA_RATE_INT8], err));
    m->peak[MQA_RATE_INT8] *= 2; /* there the two digits of a query count as one */
    m->exp_rate = roofline_exp(ctx, threads);
    m->curve_bytes = 8 << 20; /* about what calibrate_linear and calibrate_attention take */
    return MQA_OK;
}

static void describe(const mqa_context *ctx, mqa_machine *m)
{
    const time_t now = time(NULL);
    char day[16] = "";
    struct tm date;
    if (localtime_r(&now, &date)) strftime(day, sizeof day, "%Y-%m-%d", &date);
    m->n_threads = mqa_context_n_threads(ctx);
    m->measured = true;
    snprintf(m->name, sizeof m->name, "%s, %d threads", mqa_cpu_detect()->name, m->n_threads);
    snprintf(m->source, sizeof m->source, "measured %s by mqa plan --calibrate, %s", day,
             mqa_isa_name(mqa_context_isa(ctx)));
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    m->memory = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
}

mqa_status calibrate_round(mqa_context *ctx, int round, int rounds, mqa_machine *out, mqa_error *err)
{
    enum { PARTS = 3 + MQA_WEIGHT_CLASSES + MQA_KV_TYPES };
    static char label[] = "calibrating";
    size_t done = (size_t)round * PARTS;
    const size_t of = (size_t)rounds * PARTS;
    *out = (mqa_machine){0};
    describe(ctx, out);
    MQA_TRY(measure_roof(ctx, out, err));
    cli_progress(label, ++done, of);
    for (int c = 0; c < MQA_WEIGHT_CLASSES; c++) {
        MQA_TRY(calibrate_linear(ctx, out, (mqa_weight_class)c, &out->linear[c], err));
        cli_progress(label, ++done, of);
    }
    for (int t = 0; t < MQA_KV_TYPES; t++) {
        MQA_TRY(calibrate_attention(ctx, out, (mqa_kv_type)t, err));
        cli_progress(label, ++done, of);
    }
    MQA_TRY(calibrate_overhead(ctx, out, err));
    cli_progress(label, ++done, of);
    MQA_TRY(calibrate_streams(ctx, out, err));
    cli_progress_clear();
    return mqa_machine_check(out, err);
}

static double middle(double a, double b, double c)
{
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

static void middle_of(double *out, const double *a, const double *b, const double *c, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = middle(a[i], b[i], c[i]);
}

void calibrate_middle(const mqa_machine r[CALIBRATE_ROUNDS], mqa_machine *out)
{
    *out = r[0];
#define MIDDLE(field)                                                                                        \
    middle_of((double *)&out->field, (const double *)&r[0].field, (const double *)&r[1].field,               \
              (const double *)&r[2].field, sizeof(out->field) / (sizeof(double)))
    MIDDLE(bandwidth);
    MIDDLE(caches);
    MIDDLE(peak);
    MIDDLE(exp_rate);
    MIDDLE(linear);
    MIDDLE(attention);
    MIDDLE(seconds_per_step);
    MIDDLE(seconds_per_layer);
    MIDDLE(seconds_per_value);
    MIDDLE(seconds_per_granule);
    MIDDLE(seconds_per_small_page);
    MIDDLE(seconds_per_kv_value);
    MIDDLE(seconds_per_score);
    MIDDLE(seconds_per_turned_value);
    MIDDLE(seconds_per_request);
    MIDDLE(seconds_per_unit);
#undef MIDDLE
}

mqa_status calibrate_machine(mqa_context *ctx, bool thorough, mqa_machine *out, mqa_error *err)
{
    if (!thorough) return calibrate_round(ctx, 0, 1, out, err);
    mqa_machine rounds[CALIBRATE_ROUNDS];
    for (int i = 0; i < CALIBRATE_ROUNDS; i++)
        MQA_TRY(calibrate_round(ctx, i, CALIBRATE_ROUNDS, &rounds[i], err));
    calibrate_middle(rounds, out);
    return MQA_OK;
}
