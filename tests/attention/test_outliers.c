/* Outlier channels: int8 with transformed K and V beside ggml's q8_0, which has a scale for each 32 values;
 * and what the transform leaves as it is.
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

#include "base/half.h"
#include "harness.h"

enum { TOKENS = 600, QUERIES = 8, HEADS = 4 };

/* ---- beside q8_0 ----------------------------------------------------------------------------------------
 */

/* Some dims of K and of V are `times` as large as the others. What K has too much q has too little: the other
 * dims would be nothing to the scores. */
static problem with_outliers(int d, int n_outliers, float times, values_kind values, uint64_t *rng)
{
    const problem_shape s = {.n_heads = HEADS,
                             .n_kv_heads = 1,
                             .d = d,
                             .d_v = d,
                             .values = values,
                             .n_sequences = 1,
                             .of = {{.n = TOKENS, .n_queries = QUERIES}}};
    problem p = make_problem(&s, rng);
    for (int i = 0; i < n_outliers; i++) {
        const int k_dim = i * d / n_outliers + (int)random_between(rng, 0, d / n_outliers - 1);
        const int v_dim = i * d / n_outliers + (int)random_between(rng, 0, d / n_outliers - 1);
        for (int t = 0; t < TOKENS; t++) {
            p.k[0][t * d + k_dim] *= times;
            p.v[0][t * d + v_dim] *= times;
        }
        for (int r = 0; r < QUERIES * HEADS; r++) p.q[0][r * d + k_dim] /= times;
    }
    return p;
}

/* Groups of 32 along d: whole numbers times an f16 scale. */
static void keep_q8_0(float *x, int64_t n)
{
    for (float *end = x + n; x < end; x += 32) {
        float largest = 0;
        for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
        const float scale = largest / 127, inverse = scale > 0 ? 1 / scale : 0;
        for (int i = 0; i < 32; i++) x[i] = roundf(x[i] * inverse) * mqa_f16_to_f32(mqa_f32_to_f16(scale));
    }
}

/* Attention without another rounding over K and V as q8_0 keeps them. */
static answer by_q8_0(const problem *p)
{
    const int64_t n = (int64_t)TOKENS * p->shape.d;
    problem kept = *p;
    kept.k[0] = malloc((size_t)n * sizeof(float));
    kept.v[0] = malloc((size_t)n * sizeof(float));
    memcpy(kept.k[0], p->k[0], (size_t)n * sizeof(float));
    memcpy(kept.v[0], p->v[0], (size_t)n * sizeof(float));
    keep_q8_0(kept.k[0], n);
    keep_q8_0(kept.v[0], n);
    answer a = oracle(&kept);
    free(kept.k[0]), free(kept.v[0]);
    return a;
}

static answer by_int8(const problem *p, bool transformed)
{
    problem kept = *p;
    kept.shape.k_type = kept.shape.v_type = MQA_KV_INT8;
    kept.shape.k_hadamard = kept.shape.v_hadamard = transformed;
    return solve(&kept, &(route){.threads = 2, .chunk = TOKENS});
}

/* Against the oracle of what was given; frees a. */
static double nmse_of(const problem *p, const answer *right, answer a)
{
    double error = 0, square = 0;
    for (int64_t i = 0; i < (int64_t)QUERIES * HEADS * p->shape.d_v; i++) {
        const double off = (double)a.out[0][i] - (double)right->out[0][i];
        error += off * off;
        square += (double)right->out[0][i] * (double)right->out[0][i];
    }
    free_answer(p, &a);
    return error / square;
}

static void int8_is_near_q8_0(void **state)
{
    (void)state;
    static const int dims[] = {64, 128, 256};
    static const float times[] = {10, 30, 50};
    uint64_t rng = 11;
    double worst_plain = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            for (int n = 1; n <= 4; n += 3)
                for (int values = VALUES_GAUSSIAN; values <= VALUES_SIGMA_3; values++) {
                    problem p = with_outliers(dims[i], n, times[j], (values_kind)values, &rng);
                    answer right = oracle(&p);
                    const double q8_0 = nmse_of(&p, &right, by_q8_0(&p));
                    const double plain = nmse_of(&p, &right, by_int8(&p, false)) / q8_0;
                    const double ours = nmse_of(&p, &right, by_int8(&p, true)) / q8_0;
                    printf("d %3d, %d of %g times, sigma %d: q8_0 %.1e; int8 %.2f times that, transformed "
                           "%.2f\n",
                           dims[i], n, (double)times[j], values == VALUES_GAUSSIAN ? 1 : 3, q8_0, plain,
                           ours);
                    if (!(ours <= 1.5)) fail_msg("more than 1.5");
                    worst_plain = fmax(worst_plain, plain);
                    free_answer(&p, &right), free_problem(&p);
                }
    assert_true(worst_plain > 1.5); /* or this would show nothing */
}

/* ---- what stays ------------------------------------------------------------------------------------------
 */

/* In f32 nothing is lost, in any dims, and with V in K; and int8's bits are others than without. */
static void formula_stays(void **state)
{
    (void)state;
    static const int dims[][3] = {{64, 64, 0},   {96, 80, 0}, {17, 1, 0},
                                  {576, 512, 1}, {48, 16, 1}, {1, 40, 0}};
    uint64_t rng = 12;
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        for (int which = 1; which <= 3; which++) {
            problem_shape s = {.n_heads = HEADS,
                               .n_kv_heads = 1,
                               .d = dims[i][0],
                               .d_v = dims[i][1],
                               .v_in_k = dims[i][2],
                               .k_hadamard = which & 1,
                               .v_hadamard = which >> 1,
                               .n_sequences = 1,
                               .of = {{.n = TOKENS, .n_queries = QUERIES}}};
            problem p = make_problem(&s, &rng);
            answer right = oracle(&p);
            assert_true(nmse_of(&p, &right, solve(&p, &(route){.threads = 2, .chunk = 100})) <= 1e-11);
            free_answer(&p, &right), free_problem(&p);
        }
    problem p = with_outliers(64, 1, 10, VALUES_GAUSSIAN, &rng);
    answer plain = by_int8(&p, false);
    assert_true(nmse_of(&p, &plain, by_int8(&p, true)) > 0);
    free_answer(&p, &plain), free_problem(&p);
}

/* ---- states of caches that differ ------------------------------------------------------------------------
 */

enum { D = 32, FIRST = MQA_SEQUENCE_UNIT, REST = 300, ALL = FIRST + REST };

static void write_part(const mqa_cache_config *config, mqa_context *ctx, const problem *p, int64_t from,
                       int64_t n, mqa_states states)
{
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_plan *plan;
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = p->sm_scale;
    assert_int_equal(mqa_cache_create(ctx, config, &cache, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create_at(cache, from, &seq, NULL), MQA_OK);
    assert_int_equal(mqa_plan_create(cache, &options, &plan, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_extend(seq, n, NULL), MQA_OK);
    assert_int_equal(
        mqa_sequence_write(seq, 0, from, n, p->k[0] + from * D, D, D, p->v[0] + from * D, D, D, NULL),
        MQA_OK);
    const mqa_plan_item item = {.sequence = seq, .n_queries = 1, .q_ahead = ALL - from - n};
    assert_int_equal(mqa_plan_batch(plan, &item, 1, NULL), MQA_OK);
    assert_int_equal(mqa_plan_n_groups(plan), 1);
    const mqa_run run = {.struct_size = sizeof run,
                         .q = p->q[0],
                         .q_stride_token = HEADS * D,
                         .q_stride_head = D,
                         .states = &states};
    assert_int_equal(mqa_plan_run(plan, &run, NULL), MQA_OK);
    mqa_plan_destroy(&plan);
    mqa_sequence_destroy(&seq);
    mqa_cache_destroy(&cache);
}

static void states_merge_whatever_their_cache(void **state)
{
    (void)state;
    uint64_t rng = 13;
    const problem_shape s = {.n_heads = HEADS,
                             .n_kv_heads = 1,
                             .d = D,
                             .d_v = D,
                             .n_sequences = 1,
                             .of = {{.n = ALL, .n_queries = 1}}};
    problem p = make_problem(&s, &rng);
    answer right = oracle(&p);
    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = 1,
                               .n_kv_heads = 1,
                               .head_dim_qk = D,
                               .head_dim_vo = D,
                               .max_pages = FIRST / 64};
    float m[2][HEADS], l[2][HEADS], o[2][HEADS * D], out[HEADS * D];
    mqa_context *ctx;
    assert_int_equal(mqa_context_create(NULL, &ctx, NULL), MQA_OK);
    write_part(&config, ctx, &p, 0, FIRST, (mqa_states){m[0], l[0], o[0]});
    config.k_hadamard = config.v_hadamard = true;
    write_part(&config, ctx, &p, FIRST, REST, (mqa_states){m[1], l[1], o[1]});
    assert_int_equal(
        mqa_merge_states(ctx, HEADS, D, (mqa_states){m[0], l[0], o[0]}, (mqa_states){m[1], l[1], o[1]}, NULL),
        MQA_OK);
    assert_int_equal(
        mqa_states_finish(ctx, HEADS, D, (mqa_states){m[0], l[0], o[0]}, NULL, out, D, NULL, NULL), MQA_OK);
    double error = 0, square = 0;
    for (int i = 0; i < HEADS * D; i++) {
        const double off = (double)out[i] - (double)right.out[0][i];
        error += off * off;
        square += (double)right.out[0][i] * (double)right.out[0][i];
    }
    assert_true(error <= 1e-11 * square);
    mqa_context_destroy(&ctx);
    free_answer(&p, &right), free_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(int8_is_near_q8_0), cmocka_unit_test(formula_stays),
                                       cmocka_unit_test(states_merge_whatever_their_cache)};
    return cmocka_run_group_tests_name("attention_outliers", tests, NULL, NULL);
}
