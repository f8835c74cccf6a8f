/* Sampling: known answers of Philox, and distributions against what the filters are defined to leave.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/philox.h"
#include "mqa/model.h"

/* Known answers published with Random123 (kat_vectors, philox4x32 10). */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t out[4];
        mqa_philox4x32(kat[i].counter, kat[i].key, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

enum { N = 10000, DRAWS = 20000 };
static float logits[N];
static double scratch[N];

static const mqa_sampling plain = {.temperature = 1, .top_p = 1, .seed = 42};

static int32_t sample(mqa_sampling s, int n, int64_t position)
{
    int32_t token = -1;
    mqa_error err = {0};
    assert_int_equal(mqa_sample(&s, logits, n, position, scratch, &token, &err), MQA_OK);
    assert_in_range(token, 0, n - 1);
    return token;
}

/* A few likely tokens scattered over three blocks, the rest far below. */
static const int likely[] = {7, 4095, 4096, 5000, 9999};
static const double probability[] = {0.4, 0.3, 0.15, 0.1, 0.05};
enum { N_LIKELY = 5 };

static void set_likely(void)
{
    for (int i = 0; i < N; i++) logits[i] = -60;
    for (int i = 0; i < N_LIKELY; i++) logits[likely[i]] = (float)log(probability[i]) + 3;
}

/* Draws, and asserts that the tokens come as often as expected[]; 0: never. */
static void expect_distribution(mqa_sampling s, const double *expected)
{
    int count[N_LIKELY] = {0};
    for (int64_t d = 0; d < DRAWS; d++) {
        const int32_t token = sample(s, N, d);
        int which = 0;
        while (which < N_LIKELY && likely[which] != token) which++;
        assert_true(which < N_LIKELY);
        count[which]++;
    }
    for (int i = 0; i < N_LIKELY; i++) {
        const double sigma = sqrt(DRAWS * expected[i] * (1 - expected[i]));
        assert_true(fabs(count[i] - DRAWS * expected[i]) <= 4.5 * sigma);
    }
}

static void plain_draws_follow_the_probabilities(void **state)
{
    (void)state;
    set_likely();
    expect_distribution(plain, probability);
}

static void temperature_sharpens(void **state)
{
    (void)state;
    set_likely();
    double squared[N_LIKELY], sum = 0;
    for (int i = 0; i < N_LIKELY; i++) sum += squared[i] = probability[i] * probability[i];
    for (int i = 0; i < N_LIKELY; i++) squared[i] /= sum;
    mqa_sampling s = plain;
    s.temperature = 0.5f;
    expect_distribution(s, squared);
}

static void filters_keep_what_they_say(void **state)
{
    (void)state;
    set_likely();
    mqa_sampling s = plain;
    s.top_k = 2;
    expect_distribution(s, (double[]){4 / 7., 3 / 7., 0, 0, 0});
    s = plain;
    s.top_p = 0.8f; /* 0.4 + 0.3 is short of it, so the third is kept */
    expect_distribution(s, (double[]){0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0});
    s = plain;
    s.min_p = 0.3f; /* of 0.4: at least 0.12 */
    expect_distribution(s, (double[]){0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0});
    s = plain;
    s.top_k = 3, s.top_p = 0.7f; /* of the three, 0.4 / 0.85 is short of 0.7, the second reaches it */
    expect_distribution(s, (double[]){4 / 7., 3 / 7., 0, 0, 0});
}

static void ties_go_to_the_lower_id(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) logits[i] = 1;
    mqa_sampling s = plain;
    s.temperature = 0;
    assert_int_equal(sample(s, N, 0), 0);
    logits[5] = logits[3] = 2;
    assert_int_equal(sample(s, N, 0), 3);
    s.temperature = 1, s.top_k = 3; /* 3, 5, and then the lowest of all others: 0 */
    for (int64_t d = 0; d < 200; d++) {
        const int32_t token = sample(s, N, d);
        assert_true(token == 0 || token == 3 || token == 5);
    }
    s.top_k = 0, s.top_p = 1e-6f;
    for (int64_t d = 0; d < 20; d++) assert_int_equal(sample(s, N, d), 3);
}

static void edges(void **state)
{
    (void)state;
    set_likely();
    assert_int_equal(sample(plain, 1, 0), 0);
    mqa_sampling s = plain;
    s.temperature = 1e-40f; /* as good as greedy, and no NaN */
    assert_int_equal(sample(s, N, 3), likely[0]);
    s.temperature = 1e30f, s.top_k = 1;
    assert_int_equal(sample(s, N, 3), likely[0]);
    /* Same key and position, same token; others differ somewhere. */
    int differ = 0;
    for (int64_t d = 0; d < 100; d++) {
        mqa_sampling other = plain;
        other.seed++;
        assert_int_equal(sample(plain, N, d), sample(plain, N, d));
        differ += sample(plain, N, d) != sample(other, N, d);
    }
    assert_true(differ > 0);

    /* Choices draw numbers of their own, and what is ruled out is never drawn. */
    int other = 0;
    for (int64_t d = 0; d < 100; d++) {
        mqa_sampling second = plain;
        second.choice = 1;
        other += sample(plain, N, d) != sample(second, N, d);
    }
    assert_true(other > 30);
    logits[likely[0]] = logits[likely[3]] = -INFINITY;
    expect_distribution(plain, (double[]){0, 0.6, 0.3, 0, 0.1});
    s = plain;
    s.top_p = 0.75f, s.min_p = 0.1f;
    expect_distribution(s, (double[]){0, 2 / 3., 1 / 3., 0, 0});
    s.top_p = 1, s.top_k = 2;
    expect_distribution(s, (double[]){0, 2 / 3., 1 / 3., 0, 0});
    s.temperature = 0;
    assert_int_equal(sample(s, N, 0), likely[1]);

    int32_t token;
    s = plain;
    s.top_p = 0;
    assert_int_equal(mqa_sample(&s, logits, N, 0, scratch, &token, NULL), MQA_ERR_INVALID_ARGUMENT);
    s = plain;
    s.temperature = NAN;
    assert_int_equal(mqa_sample(&s, logits, N, 0, scratch, &token, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sample(&plain, logits, 0, 0, scratch, &token, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sample(&plain, logits, N, -1, scratch, &token, NULL), MQA_ERR_INVALID_ARGUMENT);
    for (int i = 0; i < 3; i++) logits[i] = -INFINITY;
    assert_int_equal(mqa_sample(&plain, logits, 3, 0, scratch, &token, NULL), MQA_ERR_NOT_FINITE);
    logits[77] = INFINITY;
    assert_int_equal(mqa_sample(&plain, logits, N, 0, scratch, &token, NULL), MQA_ERR_NOT_FINITE);
    logits[77] = NAN;
    assert_int_equal(mqa_sample(&plain, logits, N, 0, scratch, &token, NULL), MQA_ERR_NOT_FINITE);
    s.temperature = 0;
    assert_int_equal(mqa_sample(&s, logits, N, 0, scratch, &token, NULL), MQA_ERR_NOT_FINITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),    cmocka_unit_test(plain_draws_follow_the_probabilities),
        cmocka_unit_test(temperature_sharpens),    cmocka_unit_test(filters_keep_what_they_say),
        cmocka_unit_test(ties_go_to_the_lower_id), cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
