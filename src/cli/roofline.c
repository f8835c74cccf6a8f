/* SPDX-License-Identifier: Apache-2.0 */
#include "roofline.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "cli.h"
#include "kernels/context.h"
#include "roofline_loops_all.h"

enum { MAX_THREADS = 1024 };

/* ---- the best of many tries ---- */

/* One try: a task for each thread, which all start together. The pool gives one thread two tasks where
 * another got no CPU meanwhile; such a try is void. The first member of every task. */
typedef struct try_out {
    int n_threads;
    atomic_int arrived;
    atomic_bool apart;
    double begin;
    double work[MAX_THREADS]; /* by task: bytes or operations */
} try_out;

static void start_together(try_out *t)
{
    const int before = atomic_fetch_add(&t->arrived, 1);
    if (before == t->n_threads - 1) t->begin = cli_now();
    const double start = cli_now();
    while (atomic_load(&t->arrived) < t->n_threads)
        if (cli_now() - start > 10e-3) {
            atomic_store(&t->apart, true);
            return;
        }
}

/* Work a second: the best of a tenth of a second, at least 7 tries, as other programs only ever make it
 * slower. If half a second's tries were all void, it is what those had. */
static double best_rate(mqa_context *ctx, mqa_task_fn *fn, try_out *task)
{
    double best = 0, fallback = 0;
    const double start = cli_now();
    for (int n = 0; n < 7 || cli_now() - start < 0.1;) {
        atomic_store(&task->arrived, 0);
        atomic_store(&task->apart, false);
        const double t0 = cli_now();
        mqa_pool_run(ctx->pool, fn, task, task->n_threads);
        const double end = cli_now();
        double work = 0;
        for (int i = 0; i < task->n_threads; i++) work += task->work[i];
        if (!atomic_load(&task->apart)) {
            best = fmax(best, work / (end - task->begin));
            n++;
        } else {
            fallback = fmax(fallback, work / (end - t0));
            if (end - start > 0.5) break;
        }
    }
    return best > 0 ? best : fallback;
}

/* ---- what is timed ---- */

typedef uint64_t read_loop(const void *data, size_t bytes, size_t ahead);

typedef struct loops {
    read_loop *read;
    roofline_loop *fma;
    roofline_loop *exp; /* NULL: by the table's own function */
} loops;

static loops pick(const mqa_context *ctx)
{
    const mqa_isa isa = mqa_context_isa(ctx);
    (void)isa;
#if defined(__x86_64__)
    if (isa == MQA_ISA_AVX512 || isa == MQA_ISA_AMX)
        return (loops){roofline_read_avx512, roofline_fma_avx512, roofline_exp_avx512};
    if (isa == MQA_ISA_AVX2) return (loops){roofline_read_avx2, roofline_fma_avx2, roofline_exp_avx2};
    return (loops){roofline_read_base, roofline_fma_base, NULL};
#elif defined(__aarch64__)
    return (loops){roofline_read_neon, roofline_fma_neon, isa == MQA_ISA_NEON ? roofline_exp_neon : NULL};
#else
    return (loops){roofline_read_base, roofline_fma_base, NULL};
#endif
}

static bool recipe_is(const mqa_context *ctx, const char *name)
{
    return strncmp(mqa_context_attention(ctx)->recipe, name, strlen(name)) == 0;
}

/* The instruction in which the dot products of a format are computed, and into how many digits a query or a
 * probability is cut for it. NULL: none that we know. */
static roofline_loop *pick_product(const mqa_context *ctx, mqa_kv_type type, roofline_product product,
                                   int *digits)
{
    const mqa_isa isa = mqa_context_isa(ctx);
    *digits = type == MQA_KV_INT8 ? 2 : 1;
#if defined(__x86_64__)
    if (type == MQA_KV_BF16 && isa == MQA_ISA_AMX && recipe_is(ctx, "amx-bf16")) return roofline_bf16_amx;
    if (type == MQA_KV_BF16 && isa == MQA_ISA_AVX512 && recipe_is(ctx, "avx512-bf16"))
        return roofline_bf16_avx512;
    if (type == MQA_KV_INT8 && isa == MQA_ISA_AMX) return roofline_bytes_amx;
    if (type == MQA_KV_INT8 && isa == MQA_ISA_AVX512) return roofline_bytes_avx512;
    if (type == MQA_KV_INT8 && isa == MQA_ISA_AVX2) {
        if (mqa_cpu_detect()->avx_vnni) return roofline_bytes_avx2_vnni;
        if (product == ROOFLINE_SCORES) *digits = 1; /* s16 holds a whole query */
        return roofline_bytes_avx2;
    }
#elif defined(__aarch64__)
    if (type == MQA_KV_BF16 && isa == MQA_ISA_NEON && recipe_is(ctx, "neon-bf16")) return roofline_bf16_neon;
    if (type == MQA_KV_INT8 && isa == MQA_ISA_NEON && mqa_cpu_detect()->neon_i8mm)
        return roofline_bytes_neon_i8mm;
    if (type == MQA_KV_INT8 && isa == MQA_ISA_NEON && mqa_cpu_detect()->neon_dotprod)
        return roofline_bytes_neon_dotprod;
#endif
    (void)isa;
    (void)product;
    return type == MQA_KV_INT8 ? NULL : pick(ctx).fma;
}

static atomic_uint_fast64_t sink; /* every thread writes it: what was measured must not be optimised away */

typedef struct read_task {
    try_out common;
    read_loop *read;
    const char *data;
    size_t part; /* bytes a worker */
    size_t ahead;
    int passes;
    int n_parts;
} read_task;

/* The part goes by worker, so that a private cache holds its own; each reads the same over and over. */
static void read_part(void *arg, int task, int worker)
{
    read_task *t = arg;
    start_together(&t->common);
    const char *part = t->data + (size_t)(worker % t->n_parts) * t->part;
    uint64_t sum = 0;
    for (int i = 0; i < t->passes; i++) sum += t->read(part, t->part, t->ahead);
    atomic_store_explicit(&sink, sum, memory_order_relaxed);
    t->common.work[task] = (double)t->part * t->passes;
}

mqa_status roofline_read(mqa_context *ctx, int n_threads, size_t bytes, double *bytes_per_s, mqa_error *err)
{
    const size_t block = 4096;
    size_t part = bytes / (size_t)n_threads / block * block;
    if (part == 0) part = block;
    size_t total = part * (size_t)n_threads;
    uint64_t *data = mqa_alloc(NULL, total);
    if (!data) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a working set of %zu bytes", total);
    for (size_t i = 0; i < total / sizeof *data; i++) data[i] = i;
    /* About 64 MiB a try and thread: milliseconds, so that starting the threads doesn't count. */
    size_t passes = ((size_t)64 << 20) / part + 1;
    read_task task = {.common = {.n_threads = n_threads},
                      .read = pick(ctx).read,
                      .data = (const char *)data,
                      .part = part,
                      .passes = (int)passes,
                      .n_parts = n_threads};
    *bytes_per_s = 0;
    static const size_t ahead[] = {0, 2048, 8192};
    for (int i = 0; i < 3; i++) {
        task.ahead = ahead[i];
        *bytes_per_s = fmax(*bytes_per_s, best_rate(ctx, read_part, &task.common));
    }
    mqa_release(NULL, data, total);
    return MQA_OK;
}

typedef struct compute_task {
    try_out common;
    roofline_loop *loop;
    long rounds;
    const mqa_row_kernels *rows; /* run_exp_rows */
    mqa_scores_fn *scores;
    char *data; /* [workers][part]: a query block, a K run, scores */
    size_t part, run_offset, score_offset;
} compute_task;

enum { ROWS = 16, HEAD_DIM = 64, CALLS = 1000 };

static void run_scores(void *arg, int task, int worker)
{
    compute_task *t = arg;
    start_together(&t->common);
    char *part = t->data + (size_t)worker * t->part;
    const void *run = part + t->run_offset;
    for (int i = 0; i < CALLS; i++)
        t->scores(part, ROWS, HEAD_DIM, &run, 1, NULL, (float *)(void *)(part + t->score_offset), 64);
    t->common.work[task] = 2.0 * ROWS * HEAD_DIM * 64 * CALLS;
}

static void run_loop(void *arg, int task, int worker)
{
    compute_task *t = arg;
    (void)worker;
    start_together(&t->common);
    double ops = 0;
    atomic_store_explicit(&sink, (uint64_t)t->loop(t->rounds, &ops), memory_order_relaxed);
    t->common.work[task] = ops;
}

/* Where there is no loop in registers: from memory, and with the sum. */
static void run_exp_rows(void *arg, int task, int worker)
{
    enum { N = 1024 };
    compute_task *t = arg;
    (void)worker;
    start_together(&t->common);
    float x[N], y[N], sum = 0;
    for (int i = 0; i < N; i++) x[i] = (float)-i / N;
    for (int i = 0; i < CALLS; i++) sum += t->rows->exp_sum(x, 0, N, y);
    atomic_store_explicit(&sink, (uint64_t)sum, memory_order_relaxed);
    t->common.work[task] = (double)N * CALLS;
}

/* Rounds long enough that handing them out does not count, and so short that some try is not interrupted. */
static double best_rate_of(mqa_context *ctx, int n_threads, roofline_loop *loop)
{
    compute_task task = {.common = {.n_threads = n_threads}, .loop = loop, .rounds = 1000};
    for (double seconds = 0, ops = 0; seconds < 0.25e-3; task.rounds *= 2) {
        const double start = cli_now();
        atomic_store_explicit(&sink, (uint64_t)loop(task.rounds, &ops), memory_order_relaxed);
        seconds = cli_now() - start;
    }
    return best_rate(ctx, run_loop, &task.common);
}

double roofline_instruction(mqa_context *ctx, int n_threads, mqa_kv_type type, roofline_product product)
{
    int digits;
    roofline_loop *loop = pick_product(ctx, type, product, &digits);
    return loop ? best_rate_of(ctx, n_threads, loop) / digits : 0;
}

double roofline_exp(mqa_context *ctx, int n_threads)
{
    roofline_loop *loop = pick(ctx).exp;
    compute_task task = {.common = {.n_threads = n_threads}, .rows = &ctx->kernels->rows};
    return loop ? best_rate_of(ctx, n_threads, loop) : best_rate(ctx, run_exp_rows, &task.common);
}

mqa_status roofline_kernel(mqa_context *ctx, int n_threads, mqa_kv_type type, double *ops_per_s,
                           mqa_error *err)
{
    const mqa_attention_kernels *kernels = mqa_context_attention(ctx);
    compute_task task = {.common = {.n_threads = n_threads}, .scores = kernels->scores[type]};
    if (!task.scores || !kernels->pack_q[type])
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%s has no kernel for %s",
                        mqa_isa_name(mqa_context_isa(ctx)), mqa_kv_type_name(type));
    task.run_offset = mqa_round_up(ROWS * MQA_Q_ROW_BYTES(HEAD_DIM), 64);
    task.score_offset = task.run_offset + mqa_round_up(mqa_k_run_bytes(type, HEAD_DIM), 64);
    task.part = mqa_round_up(task.score_offset + ROWS * 64 * sizeof(float), 4096);
    /* Any worker may take a task, also where fewer threads than the context's are asked for. */
    size_t total = task.part * (size_t)mqa_context_n_threads(ctx);
    task.data = mqa_alloc(NULL, total);
    if (!task.data) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to measure in: %zu bytes", total);

    float values[HEAD_DIM];
    for (int i = 0; i < HEAD_DIM; i++) values[i] = (float)(i % 7 - 3) * 0.25f;
    const float *q[ROWS];
    for (int i = 0; i < ROWS; i++) q[i] = values;
    for (char *part = task.data; part < task.data + total; part += task.part) {
        kernels->pack_q[type](q, ROWS, HEAD_DIM, 0.125f, part);
        for (int t = 0; t < 64; t++) mqa_pack_k(type, part + task.run_offset, HEAD_DIM, t, values);
    }
    *ops_per_s = best_rate(ctx, run_scores, &task.common);
    mqa_release(NULL, task.data, total);
    return MQA_OK;
}

mqa_status roofline_peak(mqa_context *ctx, int n_threads, mqa_kv_type type, roofline_product product,
                         double *ops_per_s, mqa_error *err)
{
    *ops_per_s = roofline_instruction(ctx, n_threads, type, product);
    return *ops_per_s > 0 ? MQA_OK : roofline_kernel(ctx, n_threads, type, ops_per_s, err);
}

size_t roofline_working_set(int level, int n_threads)
{
    const mqa_cpu *cpu = mqa_cpu_detect();
    const size_t most = (size_t)1 << 30; /* where a machine shows hundreds of MiB of L3 that it shares */
    size_t l2 = (size_t)cpu->l2_bytes * (size_t)n_threads, l3 = (size_t)cpu->l3_bytes;
    if (level == 2) return l2 / 2;
    if (level == 3) return l3 > 2 * l2 ? (l3 / 2 < most ? l3 / 2 : most) : 0;
    size_t outside = 4 * (l3 > l2 ? l3 : l2);
    if (outside < (size_t)256 << 20) outside = (size_t)256 << 20;
    return outside < most ? outside : most;
}
