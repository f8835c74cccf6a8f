/* RoPE's calls: what a configuration may hold, layouts, chunks, positions back and forth, the caller's
 * floating-point environment and allocator.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/rope.h"

enum { DIMS = 24, FIRST = 6, HEAD = 40, HEADS = 3, TOKENS = 5 };

static mqa_context *context_with(const mqa_allocator *allocator)
{
    mqa_context_options options = mqa_context_options_default();
    mqa_context *ctx;
    options.n_threads = 1;
    options.allocator = allocator;
    assert_int_equal(mqa_context_create(&options, &ctx, NULL), MQA_OK);
    return ctx;
}

static mqa_rope_config small_config(void)
{
    mqa_rope_config config = mqa_rope_config_default();
    config.n_dims = DIMS;
    config.first_dim = FIRST;
    return config;
}

static int setup(void **state)
{
    *state = context_with(NULL);
    return 0;
}
static int teardown(void **state)
{
    mqa_context_destroy((mqa_context **)state);
    return 0;
}

static mqa_rope *make(mqa_context *ctx, mqa_rope_config config)
{
    mqa_rope *rope;
    mqa_error err = {0};
    if (mqa_rope_create(ctx, &config, &rope, &err) != MQA_OK) fail_msg("%s", err.message);
    return rope;
}

static float value(size_t i)
{
    return (float)((int)(i * 7919 % 2001) - 1000) / 500;
}

/* ---- configurations ---- */

static void refuse(mqa_context *ctx, mqa_rope_config config, const char *named)
{
    mqa_error err = {0};
    mqa_rope *rope = (mqa_rope *)&config;
    const mqa_status status = mqa_rope_create(ctx, &config, &rope, &err);
    if (status != MQA_ERR_INVALID_ARGUMENT || !strstr(err.message, named))
        fail_msg("%s: %s: %s", named, mqa_status_name(status), err.message);
    assert_null(rope);
    assert_int_equal(mqa_rope_create(ctx, &config, &rope, NULL), MQA_ERR_INVALID_ARGUMENT);
}

#define REFUSE(start, named, ...)                                                                            \
    do {                                                                                                     \
        mqa_rope_config c = start;                                                                           \
        __VA_ARGS__;                                                                                         \
        refuse(ctx, c, named);                                                                               \
    } while (0)

static mqa_rope_config scaled_config(mqa_rope_scaling scaling)
{
    mqa_rope_config config = small_config();
    config.scaling = scaling;
    config.factor = 8;
    config.original_context = 4096;
    return config;
}

static void hostile_shapes_are_refused_by_name(void **state)
{
    mqa_context *ctx = *state;
    double factors[DIMS / 2];
    for (int i = 0; i < DIMS / 2; i++) factors[i] = 1;
    REFUSE(small_config(), "struct_size", c.struct_size = 0);
    REFUSE(small_config(), "struct_size", c.struct_size -= 8);
    REFUSE(mqa_rope_config_default(), "n_dims is 0");
    REFUSE(small_config(), "n_dims is 7", c.n_dims = 7);
    REFUSE(small_config(), "n_dims is -2", c.n_dims = -2);
    REFUSE(small_config(), "n_dims", c.n_dims = 1026);
    REFUSE(small_config(), "n_dims", c.n_dims = INT32_MAX - 1);
    REFUSE(small_config(), "first_dim is -1", c.first_dim = -1);
    REFUSE(small_config(), "first_dim", c.first_dim = 1024 - DIMS + 1);
    REFUSE(small_config(), "first_dim", c.first_dim = INT32_MAX);
    REFUSE(small_config(), "style is 2", c.style = (mqa_rope_style)2);
    REFUSE(small_config(), "scaling is 4", c.scaling = (mqa_rope_scaling)4);
    REFUSE(small_config(), "scaling is -1", c.scaling = (mqa_rope_scaling)-1);
    REFUSE(small_config(), "attention_factor is -1", c.attention_factor = -1);
    REFUSE(small_config(), "attention_factor", c.attention_factor = NAN);
    REFUSE(small_config(), "attention_factor", c.attention_factor = 1e7);
    REFUSE(small_config(), "freq_factors[11] is 0", factors[11] = 0; c.freq_factors = factors);
    REFUSE(small_config(), "freq_factors[11] is", factors[11] = NAN; c.freq_factors = factors);
    REFUSE(small_config(), "freq_factors[11] is inf", factors[11] = INFINITY; c.freq_factors = factors);
    REFUSE(small_config(), "pair 11 would turn", factors[11] = 1e-7; c.freq_factors = factors);
    REFUSE(small_config(), "pair 10 would turn", c.base = 1e-4);
    for (int i = 0; i < 5; i++)
        REFUSE(small_config(), "base is", c.base = (double[]){0, -1, NAN, INFINITY, -INFINITY}[i]);

    mqa_rope *rope = NULL;
    const mqa_rope_config config = small_config();
    mqa_error err = {0};
    assert_int_equal(mqa_rope_create(ctx, &config, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_rope_create(NULL, &config, &rope, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_rope_create(ctx, NULL, &rope, &err), MQA_ERR_INVALID_ARGUMENT);
    mqa_rope_destroy(NULL);
    mqa_rope_destroy(&rope);
}

static void hostile_scalings_are_refused_by_name(void **state)
{
    mqa_context *ctx = *state;
    for (int i = 0; i < 4; i++) {
        const double wrong = (double[]){0, -2, NAN, INFINITY}[i];
        for (int scaling = MQA_ROPE_SCALING_LINEAR; scaling <= MQA_ROPE_SCALING_YARN; scaling++)
            REFUSE(scaled_config((mqa_rope_scaling)scaling), "factor is", c.factor = wrong);
        REFUSE(scaled_config(MQA_ROPE_SCALING_LLAMA3), "original_context", c.original_context = wrong);
        REFUSE(scaled_config(MQA_ROPE_SCALING_LLAMA3), "low_freq_factor", c.low_freq_factor = wrong);
        REFUSE(scaled_config(MQA_ROPE_SCALING_LLAMA3), "high_freq_factor", c.high_freq_factor = wrong);
        REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "original_context", c.original_context = wrong);
        REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "beta_fast", c.beta_fast = wrong);
        REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "beta_slow", c.beta_slow = wrong);
    }
    REFUSE(scaled_config(MQA_ROPE_SCALING_LINEAR), "would turn", c.factor = 1e-300);
    REFUSE(scaled_config(MQA_ROPE_SCALING_LLAMA3), "is not below", c.high_freq_factor = c.low_freq_factor);
    REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "is not below", c.beta_slow = 33);
    REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "base is 1", c.base = 1);
    REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "ramp", c.original_context = 1e-3);
    REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "ramp", c.original_context = 1e300);
    REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "ramp", c.base = 1 + 0x1p-52);
    REFUSE(scaled_config(MQA_ROPE_SCALING_YARN), "ramp", c.beta_slow = 1e307; c.beta_fast = 1e308);

    /* What the scaling doesn't use may be anything. */
    mqa_rope_config config = small_config();
    config.factor = config.original_context = config.beta_fast = config.low_freq_factor = NAN;
    mqa_rope *rope = make(ctx, config);
    assert_true(rope->f[0] == 1 && rope->attention_factor == 1);
    mqa_rope_destroy(&rope);
}

static void attention_factor_has_its_defaults(void **state)
{
    mqa_context *ctx = *state;
    static const struct {
        mqa_rope_scaling scaling;
        double factor, given, expected;
    } cases[] = {
        {MQA_ROPE_SCALING_NONE, 8, 0, 1},       {MQA_ROPE_SCALING_LINEAR, 8, 0, 1},
        {MQA_ROPE_SCALING_LLAMA3, 8, 0, 1},     {MQA_ROPE_SCALING_YARN, 8, 0, 1.2079441541679836},
        {MQA_ROPE_SCALING_YARN, 0.5, 0, 1},     {MQA_ROPE_SCALING_YARN, 8, 1, 1},
        {MQA_ROPE_SCALING_NONE, 1, 1.25, 1.25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mqa_rope_config config = scaled_config(cases[i].scaling);
        config.factor = cases[i].factor;
        config.attention_factor = cases[i].given;
        mqa_rope *rope = make(ctx, config);
        assert_true(fabs(rope->attention_factor - cases[i].expected) < 1e-15);
        float c[DIMS / 2], s[DIMS / 2];
        mqa_rope_table_at(rope, 0, c, s);
        for (int j = 0; j < DIMS / 2; j++) assert_true(c[j] == (float)cases[i].expected && s[j] == 0);
        mqa_rope_destroy(&rope);
    }
}

/* ---- layouts ---- */

/* Turns t, h, i at their own places one head at a time. */
static void turn_one_by_one(const mqa_rope *rope, int64_t position, float *x, size_t stride_token,
                            size_t stride_head)
{
    float head[HEAD];
    for (int t = 0; t < TOKENS; t++)
        for (int h = 0; h < HEADS; h++) {
            float *at = x + (size_t)t * stride_token + (size_t)h * stride_head;
            memcpy(head, at, sizeof(float) * (FIRST + DIMS));
            assert_int_equal(mqa_rope_apply(rope, position + t, 1, 1, head, SIZE_MAX, SIZE_MAX, NULL),
                             MQA_OK);
            memcpy(at, head, sizeof(float) * (FIRST + DIMS));
        }
}

static void layouts_and_chunks_give_the_same_bits(void **state)
{
    static const struct {
        size_t stride_token, stride_head;
    } layouts[] = {{HEADS * HEAD, HEAD},
                   {HEAD, TOKENS * HEAD},
                   {(HEADS + 2) * HEAD + 3, HEAD + 1},
                   {HEADS * (FIRST + DIMS), FIRST + DIMS},
                   {HEAD, (TOKENS - 1) * HEAD + FIRST + DIMS}};
    enum { ALL = 2 * (TOKENS + 2) * (HEADS + 2) * HEAD };
    for (int style = 0; style < 2; style++)
        for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++) {
            const size_t st = layouts[l].stride_token, sh = layouts[l].stride_head;
            mqa_rope_config config = scaled_config(MQA_ROPE_SCALING_YARN);
            config.style = (mqa_rope_style)style;
            mqa_rope *rope = make(*state, config);
            float whole[ALL], single[ALL], chunks[ALL];
            for (size_t i = 0; i < ALL; i++) whole[i] = single[i] = chunks[i] = value(i);
            assert_int_equal(mqa_rope_apply(rope, 1000, TOKENS, HEADS, whole, st, sh, NULL), MQA_OK);
            turn_one_by_one(rope, 1000, single, st, sh);
            assert_int_equal(mqa_rope_apply(rope, 1000, 2, HEADS, chunks, st, sh, NULL), MQA_OK);
            assert_int_equal(mqa_rope_apply(rope, 1002, 0, HEADS, NULL, 0, 0, NULL), MQA_OK);
            assert_int_equal(mqa_rope_apply(rope, 1002, TOKENS - 2, HEADS, chunks + 2 * st, st, sh, NULL),
                             MQA_OK);
            assert_memory_equal(whole, single, sizeof whole);
            assert_memory_equal(whole, chunks, sizeof whole);
            assert_true(whole[FIRST] != value(FIRST));
            mqa_rope_destroy(&rope);
        }
}

static void hostile_calls_are_refused(void **state)
{
    mqa_rope *rope = make(*state, small_config());
    const int64_t max = MQA_ROPE_MAX_POSITION;
    enum { D = FIRST + DIMS };
    static const struct {
        int64_t position, n_tokens;
        int n_heads;
        size_t stride_token, stride_head;
        const char *named;
    } cases[] = {
        {0, -1, 1, D, D, "-1 tokens"},
        {0, 0, 0, D, D, "0 heads"},
        {0, 1, -3, D, D, "-3 heads"},
        {max + 1, 1, 1, D, D, "positions"},
        {max, 2, 1, D, D, "positions"},
        {-max - 1, 1, 1, D, D, "positions"},
        {INT64_MIN, 1, 1, D, D, "positions"},
        {INT64_MAX, INT64_MAX, 1, D, D, "positions"},
        {0, INT64_MAX, 1, D, D, "positions"},
        {0, 2, 1, D - 1, D, "overlap"},
        {0, 1, 2, D, D - 1, "overlap"},
        {0, 2, 1, 0, D, "overlap"},
        {0, 3, 4, 4 * D - 1, D, "overlap"},
        {0, 3, 4, D, 3 * D - 1, "overlap"},
        {0, 2, 2, D, D, "overlap"},
        {0, 2, 1, SIZE_MAX / 8, D, "exceed"},
        {0, 1, 2, D, SIZE_MAX / 2, "exceed"},
        {0, INT64_C(1) << 40, 1, SIZE_MAX >> 30, D, "exceed"},
        {0, 1 << 20, 1 << 20, D << 20, D << 20, "overlap"},
    };
    float x[D] = {0};
    mqa_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err = (mqa_error){0};
        const mqa_status status = mqa_rope_apply(rope, cases[i].position, cases[i].n_tokens, cases[i].n_heads,
                                                 x, cases[i].stride_token, cases[i].stride_head, &err);
        if (status != MQA_ERR_INVALID_ARGUMENT || !strstr(err.message, cases[i].named))
            fail_msg("case %zu (%s): %s: %s", i, cases[i].named, mqa_status_name(status), err.message);
    }
    assert_int_equal(mqa_rope_apply(NULL, 0, 1, 1, x, D, D, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_rope_apply(rope, 0, 1, 1, NULL, D, D, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_rope_apply(rope, max, 1, 1, x, D, D, &err), MQA_OK);
    assert_int_equal(mqa_rope_apply(rope, -max, 1, 1, x, D, D, &err), MQA_OK);
    mqa_rope_destroy(&rope);
}

/* ---- meaning ---- */

static void turning_twice_adds_the_positions(void **state)
{
    static const int64_t steps[][2] = {
        {100, -100}, {12345, 678}, {131072, -131000}, {INT64_C(1) << 31, -(1 << 30)}};
    mqa_rope *rope = make(*state, small_config());
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        float twice[HEAD], once[HEAD];
        for (size_t j = 0; j < HEAD; j++) twice[j] = once[j] = value(j);
        assert_int_equal(mqa_rope_apply(rope, steps[i][0], 1, 1, twice, 0, 0, NULL), MQA_OK);
        assert_int_equal(mqa_rope_apply(rope, steps[i][1], 1, 1, twice, 0, 0, NULL), MQA_OK);
        assert_int_equal(mqa_rope_apply(rope, steps[i][0] + steps[i][1], 1, 1, once, 0, 0, NULL), MQA_OK);
        for (int j = 0; j < HEAD; j++)
            assert_true(fabs((double)twice[j] - (double)once[j]) < 2e-6 + 6e-15 * (double)steps[i][0]);
    }
    mqa_rope_destroy(&rope);
}

/* The same bits as positions divided by the factor, where that is a power of two. */
static void linear_scaling_divides_positions(void **state)
{
    mqa_rope_config config = small_config();
    mqa_rope *plain = make(*state, config);
    config.scaling = MQA_ROPE_SCALING_LINEAR;
    config.factor = 8;
    mqa_rope *linear = make(*state, config);
    float c[2][DIMS / 2], s[2][DIMS / 2];
    for (int64_t position = 0; position < 300; position++) {
        mqa_rope_table_at(plain, position, c[0], s[0]);
        mqa_rope_table_at(linear, 8 * position, c[1], s[1]);
        assert_memory_equal(c[0], c[1], sizeof c[0]);
        assert_memory_equal(s[0], s[1], sizeof s[0]);
    }
    mqa_rope_destroy(&plain);
    mqa_rope_destroy(&linear);
}

/* ---- surroundings ---- */

static bool rounds_upward(void)
{
    volatile float one = 1, little = 1e-10f;
    return one + little > 1;
}

static void the_callers_rounding_changes_nothing(void **state)
{
    const mqa_rope_config config = scaled_config(MQA_ROPE_SCALING_YARN);
    mqa_rope *expected = make(*state, config);
    float x[HEAD], y[HEAD];
    for (size_t i = 0; i < HEAD; i++) x[i] = y[i] = value(i);
    assert_int_equal(mqa_rope_apply(expected, 777, 1, 1, x, 0, 0, NULL), MQA_OK);

    fesetround(FE_UPWARD);
    mqa_rope *rope = make(*state, config);
    const bool kept = rounds_upward();
    const mqa_status status = mqa_rope_apply(rope, 777, 1, 1, y, 0, 0, NULL);
    const bool kept_again = rounds_upward();
    fesetround(FE_TONEAREST);

    assert_int_equal(status, MQA_OK);
    assert_true(kept && kept_again);
    assert_memory_equal(rope->f, expected->f, DIMS / 2 * sizeof(double));
    assert_memory_equal(x, y, sizeof x);
    mqa_rope_destroy(&rope);
    mqa_rope_destroy(&expected);
}

static void factors_are_copied(void **state)
{
    double factors[DIMS / 2];
    for (int i = 0; i < DIMS / 2; i++) factors[i] = 2;
    mqa_rope_config config = small_config();
    config.freq_factors = factors;
    mqa_rope *rope = make(*state, config);
    factors[0] = 3;
    assert_true(rope->f[0] == 0.5);
    mqa_rope_destroy(&rope);
}

typedef struct counter {
    int left; /* allocations that succeed */
    size_t in_use;
} counter;
static void *count_alloc(void *user, size_t size, size_t alignment)
{
    counter *c = user;
    if (c->left-- <= 0) return NULL;
    c->in_use += size;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}
static void count_free(void *user, void *ptr, size_t size)
{
    ((counter *)user)->in_use -= size;
    free(ptr);
}

static void memory_is_the_callers(void **unused)
{
    (void)unused;
    counter c = {.left = 100};
    mqa_context *ctx = context_with(&(mqa_allocator){count_alloc, count_free, &c});
    const size_t before = c.in_use;
    mqa_rope *rope = make(ctx, small_config());
    assert_true(c.in_use > before);
    c.left = 0; /* applying takes none */
    float x[HEAD] = {1};
    assert_int_equal(mqa_rope_apply(rope, 5, 1, 1, x, 0, 0, NULL), MQA_OK);
    mqa_rope_destroy(&rope);
    assert_null(rope);
    assert_int_equal(c.in_use, before);
    const mqa_rope_config config = small_config();
    assert_int_equal(mqa_rope_create(ctx, &config, &rope, NULL), MQA_ERR_OUT_OF_MEMORY);
    assert_null(rope);
    c.left = 2;
    refuse(ctx, (mqa_rope_config){.struct_size = sizeof config, .n_dims = 4, .base = 1e-9}, "would turn");
    assert_int_equal(c.in_use, before);
    mqa_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_shapes_are_refused_by_name),
        cmocka_unit_test(hostile_scalings_are_refused_by_name),
        cmocka_unit_test(attention_factor_has_its_defaults),
        cmocka_unit_test(layouts_and_chunks_give_the_same_bits),
        cmocka_unit_test(hostile_calls_are_refused),
        cmocka_unit_test(turning_twice_adds_the_positions),
        cmocka_unit_test(linear_scaling_divides_positions),
        cmocka_unit_test(the_callers_rounding_changes_nothing),
        cmocka_unit_test(factors_are_copied),
        cmocka_unit_test(memory_is_the_callers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
