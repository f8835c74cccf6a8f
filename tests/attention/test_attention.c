/* Attention: how near it comes to the formula, what it refuses, and what it never touches.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention/plan.h"
#include "bounds.h"
#include "harness.h"
#include "kvcache/cache.h"

static uint64_t seed_of_run;

/* ---- accuracy --------------------------------------------------------------------------------------- */

typedef struct error_sum {
    double error, reference;
} error_sum;

static void add_errors(const problem *p, const answer *right, const answer *a, error_sum *sum)
{
    const problem_shape *s = &p->shape;
    for (int i = 0; i < s->n_sequences; i++)
        for (int64_t j = 0; j < s->of[i].n_queries * s->n_heads; j++) {
            for (int64_t x = j * s->d_v; x < (j + 1) * s->d_v; x++) {
                const double difference = (double)a->out[i][x] - (double)right->out[i][x];
                assert_true(isfinite(difference));
                sum->error += difference * difference;
                sum->reference += (double)right->out[i][x] * (double)right->out[i][x];
            }
        }
}

static problem_shape random_shape(uint64_t *rng)
{
    static const int group_sizes[] = {1, 2, 3, 4, 7, 8, 16, 32, 71};
    problem_shape s = {.n_sequences = (int)random_between(rng, 1, MAX_SEQUENCES)};
    s.n_kv_heads = (int)random_between(rng, 1, 3);
    s.n_heads = s.n_kv_heads * group_sizes[random_bits(rng) % 9];
    s.d = (int)random_between(rng, 1, random_bits(rng) % 4 ? 80 : 256);
    s.d_v = (int)random_between(rng, 1, random_bits(rng) % 4 ? 80 : 256);
    s.window = random_bits(rng) % 3 ? 0 : random_between(rng, 1, 700);
    int64_t work = 12000 / (s.n_heads * (s.d + s.d_v)) + 1; /* queries that the oracle has patience for */
    for (int i = 0; i < s.n_sequences; i++) {
        const int64_t n = random_between(rng, 1, random_bits(rng) % 3 ? 300 : 2000);
        s.of[i] = (sequence_shape){.n = n, .n_queries = random_between(rng, 1, n < work ? n : work)};
    }
    return s;
}

/* Of bf16, the fast recipes round q and P as well. */
static double bound_to_stored(int k_type, int v_type, int exact_bf16)
{
    const int bf16 = k_type == MQA_KV_BF16 || v_type == MQA_KV_BF16;
    if (bf16 && !exact_bf16) return 1e-5;
    return k_type == MQA_KV_INT8 || v_type == MQA_KV_INT8 ? 1e-8 : 1e-12;
}

/* bf16 by the portable recipe. */
static int is_exact(mqa_isa isa, mqa_numerics numerics)
{
    return strcmp(mqa_kernels_get(isa)->attention[numerics].recipe, MQA_RECIPE_PORTABLE) == 0;
}

/* Every fifth row, by bounds that know the row's own values: one of a single dim and a large product is off
 * by more than others. */
static void check_each_lse(const problem *stored, const answer *a, bool fast, int round)
{
    const problem_shape *s = &stored->shape;
    char why[256];
    for (int i = 0; i < s->n_sequences; i++)
        for (int64_t j = 0; j < s->of[i].n_queries * s->n_heads; j += 5) {
            const row_id id = {i, j / s->n_heads, (int)(j % s->n_heads)};
            oracle_row right = oracle_of(stored, id);
            if (!within_bounds(stored, id, &right, fast, NULL, a->lse[i][j], why))
                fail_msg("round %d, sequence %d, row %lld: %s", round, i, (long long)j, why);
            free_oracle_row(&right);
        }
}

/* Every pair of formats, so many times. Numerics is of importance to bf16 alone. */
static void check_accuracy(mqa_isa isa, mqa_numerics numerics, int times, int bf16_only)
{
    uint64_t rng = seed_of_run * 77;
    const int exact = is_exact(isa, numerics);
    error_sum bf16 = {0};
    for (int round = 0; round < times * MQA_KV_TYPES * MQA_KV_TYPES; round++) {
        problem_shape s = random_shape(&rng);
        if (round % test_share() != 0) continue;
        s.k_type = (mqa_kv_type)(round % MQA_KV_TYPES);
        s.v_type = (mqa_kv_type)(round / MQA_KV_TYPES % MQA_KV_TYPES);
        s.k_hadamard = round / (MQA_KV_TYPES * MQA_KV_TYPES) % 2;
        s.v_hadamard = s.k_hadamard;
        if (bf16_only && s.k_type != MQA_KV_BF16 && s.v_type != MQA_KV_BF16) continue;
        problem p = make_problem(&s, &rng), stored = stored_problem(&p);
        const route way = {.isa = isa,
                           .numerics = numerics,
                           .threads = (int)random_between(&rng, 1, 3),
                           .chunk = random_between(&rng, 1, 700),
                           .together = (int)(random_bits(&rng) % 2),
                           .recycled = (int)(random_bits(&rng) % 2),
                           .cut_all = (int)(random_bits(&rng) % 2)};
        answer a = solve(&p, &way), right = oracle(&stored);
        error_sum own = {0};
        add_errors(&p, &right, &a, &own);
        if (s.k_type == MQA_KV_BF16 || s.v_type == MQA_KV_BF16) {
            bf16.error += own.error;
            bf16.reference += own.reference;
        }
        /* One problem may be so small that a single value weighs twice the average. */
        if (!(own.error <= (exact ? 1 : 2) * bound_to_stored(s.k_type, s.v_type, exact) * own.reference))
            fail_msg("round %d, %s/%s, d %d/%d: NMSE %.2e against the stored values", round,
                     mqa_kv_type_name(s.k_type), mqa_kv_type_name(s.v_type), s.d, s.d_v,
                     own.error / own.reference);
        check_each_lse(&stored, &a, !exact, round);
        free_answer(&p, &a), free_answer(&p, &right);
        free_stored(&stored), free_problem(&p);
    }
    if (!exact && !(bf16.error <= bound_to_stored(MQA_KV_BF16, MQA_KV_BF16, 0) * bf16.reference))
        fail_msg("bf16 on %s: NMSE %.2e against the stored values", mqa_isa_name(isa),
                 bf16.error / bf16.reference);
}

static void near_the_formula(void **state)
{
    (void)state;
    check_accuracy(MQA_ISA_AUTO, MQA_NUMERICS_PORTABLE, 2, 0);
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++)
        if (mqa_isa_available((mqa_isa)isa)) check_accuracy((mqa_isa)isa, MQA_NUMERICS_FAST, 1, 1);
}

/* What K and V in a format may add to the NMSE against what was given, Gaussian, with scores of standard
 * deviation 1: a fifth more than on average. The bf16 recipes round q and p too. */
typedef struct shares {
    double k, v;
} shares;

static shares shares_of(mqa_kv_type type, int exact_bf16)
{
    static const shares table[MQA_KV_TYPES] = {
        [MQA_KV_F32] = {3e-14, 3e-14},      [MQA_KV_BF16] = {4.6e-6, 3.4e-6},
        [MQA_KV_INT8] = {4.8e-5, 4.2e-5},   [MQA_KV_F16] = {7e-8, 5.2e-8},
        [MQA_KV_FP8_E4M3] = {9e-4, 7.5e-4}, [MQA_KV_FP8_E5M2] = {3.6e-3, 3e-3},
        [MQA_KV_INT4] = {9.6e-3, 8.9e-3}};
    return type == MQA_KV_BF16 && !exact_bf16 ? (shares){8.4e-6, 5.8e-6} : table[type];
}

static void check_formats(const problem *p, const answer *right, mqa_isa isa, mqa_numerics numerics)
{
    for (int k = 0; k < MQA_KV_TYPES; k++)
        for (int v = 0; v < MQA_KV_TYPES; v++) {
            const int bf16 = k == MQA_KV_BF16 || v == MQA_KV_BF16;
            if (!bf16 && numerics == MQA_NUMERICS_FAST) continue;
            if ((k + v * MQA_KV_TYPES) % test_share() != 0) continue;
            problem kept = *p;
            kept.shape.k_type = (mqa_kv_type)k;
            kept.shape.v_type = (mqa_kv_type)v;
            answer a = solve(&kept, &(route){.isa = isa, .numerics = numerics, .threads = 2, .chunk = 1000});
            error_sum given = {0};
            add_errors(p, right, &a, &given);
            const double nmse = given.error / given.reference;
            const int exact = is_exact(isa, numerics);
            const double bound = shares_of((mqa_kv_type)k, exact).k + shares_of((mqa_kv_type)v, exact).v;
            printf("%-10s %s K %-8s V %-8s NMSE %.2e\n", mqa_isa_name(isa),
                   numerics ? "portable" : "fast    ", mqa_kv_type_name((mqa_kv_type)k),
                   mqa_kv_type_name((mqa_kv_type)v), nmse);
            if (!(nmse <= bound)) fail_msg("more than %.2e", bound);
            free_answer(p, &a);
        }
}

static void error_of_formats(void **state)
{
    (void)state;
    uint64_t rng = seed_of_run * 31;
    const problem_shape s = {.n_heads = 8,
                             .n_kv_heads = 8,
                             .d = 64,
                             .d_v = 64,
                             .n_sequences = 1,
                             .of = {{.n = 1000, .n_queries = 16}}};
    problem p = make_problem(&s, &rng);
    answer right = oracle(&p);
    check_formats(&p, &right, MQA_ISA_AUTO, MQA_NUMERICS_PORTABLE);
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++)
        if (mqa_isa_available((mqa_isa)isa) && !is_exact((mqa_isa)isa, MQA_NUMERICS_FAST))
            check_formats(&p, &right, (mqa_isa)isa, MQA_NUMERICS_FAST);
    free_answer(&p, &right), free_problem(&p);
}

/* Large scores: the softmax is one token's; far below it, nothing. Small ones: a plain mean. */
static void extreme_scores(void **state)
{
    (void)state;
    uint64_t rng = seed_of_run * 5;
    const problem_shape s = {.n_heads = 3,
                             .n_kv_heads = 1,
                             .d = 32,
                             .d_v = 16,
                             .n_sequences = 1,
                             .of = {{.n = 1300, .n_queries = 4}}};
    const float scales[] = {0.0f, 1e-30f, 10.0f, 1000.0f, -1000.0f};
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        problem p = make_problem(&s, &rng);
        p.sm_scale = scales[i];
        answer a = solve(&p, &(route){.threads = 2, .chunk = 100, .cut_all = 1}), right = oracle(&p);
        error_sum sum = {0};
        add_errors(&p, &right, &a, &sum);
        assert_true(sum.error <= 1e-8 * sum.reference);
        free_answer(&p, &a), free_answer(&p, &right), free_problem(&p);
    }
}

/* ---- one call ---------------------------------------------------------------------------------------- */

static void plain_arrays(void **state)
{
    (void)state;
    uint64_t rng = seed_of_run * 3;
    const problem_shape s = {.n_heads = 8,
                             .n_kv_heads = 2,
                             .d = 40,
                             .d_v = 40,
                             .n_sequences = 1,
                             .of = {{.n = 700, .n_queries = 33}}};
    problem p = make_problem(&s, &rng);
    answer right = oracle(&p), a = {.out = {malloc(sizeof(float) * 33 * 8 * 40)}, .lse = {right.lse[0]}};
    mqa_context *ctx;
    mqa_error err;
    assert_int_equal(mqa_context_create(NULL, &ctx, NULL), MQA_OK);
    assert_int_equal(
        mqa_attention(ctx, 8, 2, 40, 33, 700, p.q[0], p.k[0], p.v[0], p.sm_scale, a.out[0], &err), MQA_OK);
    error_sum sum = {0};
    add_errors(&p, &right, &a, &sum);
    assert_true(sum.error <= 1e-12 * sum.reference);
    assert_int_equal(mqa_attention(ctx, 8, 2, 40, 701, 700, p.q[0], p.k[0], p.v[0], 1, a.out[0], &err),
                     MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_attention(ctx, 7, 2, 40, 33, 700, p.q[0], p.k[0], p.v[0], 1, a.out[0], &err),
                     MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_attention(ctx, 8, 2, 1025, 1, 1, p.q[0], p.k[0], p.v[0], 1, a.out[0], &err),
                     MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_attention(NULL, 8, 2, 40, 33, 700, p.q[0], p.k[0], p.v[0], 1, a.out[0], &err),
                     MQA_ERR_INVALID_ARGUMENT);
    p.v[0][699 * 80 + 79] = NAN;
    assert_int_equal(mqa_attention(ctx, 8, 2, 40, 33, 700, p.q[0], p.k[0], p.v[0], 1, a.out[0], &err),
                     MQA_ERR_NOT_FINITE);
    mqa_context_destroy(&ctx);
    free(a.out[0]);
    free_answer(&p, &right), free_problem(&p);
}

/* ---- what is refused, and what is never touched ------------------------------------------------------- */

typedef struct counting {
    int n_allocs;
} counting;

static void *counting_alloc(void *user, size_t size, size_t alignment)
{
    void *ptr = NULL;
    ((counting *)user)->n_allocs++;
    return posix_memalign(&ptr, alignment, size) == 0 ? ptr : NULL;
}
static void counting_free(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

typedef struct bench {
    counting counting;
    mqa_allocator allocator;
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_plan *plan;
    float q[4 * 4 * 8], out[4 * 4 * 8], lse[4 * 4];
} bench;

enum { BENCH_TOKENS = 1200 };

/* 4 heads : 1, d 8, a window of 100 tokens and 5 sinks, 1,200 tokens in one chunk. */
static int set_up(void **state)
{
    bench *b = *state = calloc(1, sizeof *b);
    b->allocator = (mqa_allocator){counting_alloc, counting_free, &b->counting};
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 2;
    options.allocator = &b->allocator;
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = 1,
                                     .head_dim_qk = 8,
                                     .head_dim_vo = 8,
                                     .window = 100,
                                     .n_sink_tokens = 5,
                                     .max_pages = 50};
    mqa_plan_options plan = mqa_plan_options_default();
    plan.n_heads = 4;
    plan.sm_scale = 0.5f;
    uint64_t rng = 9;
    static float x[BENCH_TOKENS * 8];
    for (int i = 0; i < BENCH_TOKENS * 8; i++) x[i] = gaussian(&rng);
    for (size_t i = 0; i < sizeof b->q / sizeof b->q[0]; i++) b->q[i] = gaussian(&rng);
    return mqa_context_create(&options, &b->ctx, NULL) ||
           mqa_cache_create(b->ctx, &config, &b->cache, NULL) ||
           mqa_sequence_create(b->cache, &b->seq, NULL) || mqa_plan_create(b->cache, &plan, &b->plan, NULL) ||
           mqa_sequence_extend(b->seq, BENCH_TOKENS, NULL) ||
           mqa_sequence_write(b->seq, 0, 0, BENCH_TOKENS, x, 8, 8, x, 8, 8, NULL);
}

static int tear_down(void **state)
{
    bench *b = *state;
    mqa_plan_destroy(&b->plan);
    mqa_sequence_destroy(&b->seq);
    mqa_cache_destroy(&b->cache);
    mqa_context_destroy(&b->ctx);
    free(b);
    return 0;
}

static mqa_status run_layer(bench *b, int layer, const float *q, mqa_error *err)
{
    const mqa_run run = {.struct_size = sizeof run,
                         .layer = layer,
                         .q = q,
                         .q_stride_token = 32,
                         .q_stride_head = 8,
                         .out = b->out,
                         .out_stride_token = 32,
                         .out_stride_head = 8,
                         .lse = b->lse};
    return mqa_plan_run(b->plan, &run, err);
}

static mqa_status run_bench(bench *b, mqa_error *err)
{
    return run_layer(b, 0, b->q, err);
}

static void wrong_options(void **state)
{
    bench *b = *state;
    mqa_plan *plan;
    mqa_error err;
    mqa_plan_options good = mqa_plan_options_default(), bad[10];
    good.n_heads = 4;
    good.sm_scale = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) bad[i] = good;
    bad[0].struct_size -= 8;
    bad[1].n_heads = 0;
    bad[2].n_heads = -4;
    bad[3].sm_scale = INFINITY;
    bad[4].mask = (mqa_mask)2;
    bad[5].window_left = -2;
    bad[6].n_sink_tokens = -1;
    bad[7].chunk = -1;
    bad[8].logit_softcap = -1;
    bad[9].logit_softcap = NAN;
    assert_int_equal(mqa_plan_create(b->cache, &good, &plan, &err), MQA_OK);
    mqa_plan_destroy(&plan);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mqa_plan_create(b->cache, &bad[i], &plan, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_null(plan);
    }
    assert_int_equal(mqa_plan_create(NULL, &bad[0], &plan, &err), MQA_ERR_INVALID_ARGUMENT);
    good.n_sink_tokens = 6; /* the cache keeps 5 */
    assert_int_equal(mqa_plan_create(b->cache, &good, &plan, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "set mqa_cache_config.n_sink_tokens"));
    good.n_sink_tokens = 5;
    assert_int_equal(mqa_plan_create(b->cache, &good, &plan, &err), MQA_OK);
    mqa_plan_destroy(&plan);
    assert_string_equal(mqa_plan_recipe(b->plan), MQA_RECIPE_PORTABLE); /* an f32 cache, on any CPU */
}

static void wrong_batches(void **state)
{
    bench *b = *state;
    mqa_error err;
    mqa_plan_item item = {.sequence = b->seq, .n_queries = 4};
    assert_int_equal(run_bench(b, &err), MQA_ERR_INVALID_ARGUMENT); /* no batch yet */
    assert_int_equal(mqa_plan_batch(b->plan, &item, 0, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_plan_batch(b->plan, NULL, 1, &err), MQA_ERR_INVALID_ARGUMENT);
    item.n_queries = 0;
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_ERR_INVALID_ARGUMENT);
    item.n_queries = BENCH_TOKENS + 1;
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_ERR_INVALID_ARGUMENT);
    item.sequence = NULL;
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_ERR_INVALID_ARGUMENT);

    item = (mqa_plan_item){.sequence = b->seq, .n_queries = 4};
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    assert_int_equal(run_bench(b, &err), MQA_OK);
    assert_int_equal(run_layer(b, 1, b->q, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(run_layer(b, 0, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_extend(b->seq, 1, NULL), MQA_OK);
    assert_int_equal(run_bench(b, &err), MQA_ERR_INVALID_ARGUMENT); /* the length has changed */
    /* 16 pages after the sinks' were given back: queries that would look there are refused. */
    item.n_queries = 1;
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    item.n_queries = 100;
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "first one kept is 1088"));
    assert_int_equal(run_bench(b, &err), MQA_ERR_INVALID_ARGUMENT); /* and the plan is empty */

    /* A sequence that begins late: it has no queries before, and its window nothing that was given back. */
    mqa_sequence *late;
    assert_int_equal(mqa_sequence_create_at(b->cache, 8192, &late, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_extend(late, 10, NULL), MQA_OK);
    assert_int_equal(mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = late, .n_queries = 11}, 1, &err),
                     MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "give 1 query to the sequence's tokens, 10"));
    assert_int_equal(mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = late, .n_queries = 10}, 1, &err),
                     MQA_OK);
    mqa_sequence_destroy(&late);
}

static void bad_queries(void **state)
{
    bench *b = *state;
    mqa_error err;
    assert_int_equal(mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = b->seq, .n_queries = 4}, 1, &err),
                     MQA_OK);
    b->q[2 * 32 + 3 * 8 + 7] = NAN;
    assert_int_equal(run_bench(b, &err), MQA_ERR_NOT_FINITE);
    assert_non_null(strstr(err.message, "token 2 of the batch, head 3"));
    b->q[2 * 32 + 3 * 8 + 7] = 1;
    assert_int_equal(run_bench(b, &err), MQA_OK);
    /* In a block that is cut into runs too; and the next run is whole again. */
    b->plan->least_cost = 0;
    b->plan->rules.window_left = -1;
    assert_int_equal(mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = b->seq, .n_queries = 4}, 1, &err),
                     MQA_OK);
    assert_true(b->plan->blocks[0].n_tasks > 1);
    assert_int_equal(run_bench(b, &err), MQA_OK);
    float good[4 * 4 * 8];
    memcpy(good, b->out, sizeof good);
    b->q[0] = -INFINITY;
    assert_int_equal(run_bench(b, &err), MQA_ERR_NOT_FINITE);
    uint64_t rng = 9;
    for (int i = 0; i < BENCH_TOKENS * 8; i++) gaussian(&rng);
    b->q[0] = gaussian(&rng);
    assert_int_equal(run_bench(b, &err), MQA_OK);
    assert_memory_equal(good, b->out, sizeof good);
}

/* Granules that no row sees are not read: here they are NaN. */
static void unseen_pages(void **state)
{
    bench *b = *state;
    mqa_error err;
    assert_int_equal(mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = b->seq, .n_queries = 4}, 1, &err),
                     MQA_OK);
    assert_int_equal(run_bench(b, &err), MQA_OK);
    float good[4 * 4 * 8];
    memcpy(good, b->out, sizeof good);
    for (int64_t page = 0; page < (BENCH_TOKENS - 4 - 99) / MQA_GRANULE; page++)
        memset(mqa_sequence_granule(b->seq, 0, 0, page), 0xff, b->cache->layout.head_bytes);
    assert_int_equal(run_bench(b, &err), MQA_OK);
    assert_memory_equal(good, b->out, sizeof good);
}

static void run_allocates_nothing(void **state)
{
    bench *b = *state;
    mqa_error err;
    b->plan->least_cost = 0;
    for (int n = 1; n <= 4; n++) {
        assert_int_equal(
            mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = b->seq, .n_queries = n}, 1, &err), MQA_OK);
        const int before = b->counting.n_allocs;
        assert_int_equal(run_bench(b, &err), MQA_OK);
        assert_int_equal(b->counting.n_allocs, before);
    }
    /* A batch no larger than an earlier one costs none either. */
    const int before = b->counting.n_allocs;
    for (int n = 4; n >= 1; n--)
        assert_int_equal(
            mqa_plan_batch(b->plan, &(mqa_plan_item){.sequence = b->seq, .n_queries = n}, 1, &err), MQA_OK);
    assert_int_equal(b->counting.n_allocs, before);
}

int main(void)
{
    const char *seed = getenv("MQA_SEED");
    seed_of_run = seed ? strtoull(seed, NULL, 10) : 1;
    printf("MQA_SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_formula),
        cmocka_unit_test(error_of_formats),
        cmocka_unit_test(extreme_scores),
        cmocka_unit_test(plain_arrays),
        cmocka_unit_test_setup_teardown(wrong_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_queries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unseen_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(run_allocates_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
