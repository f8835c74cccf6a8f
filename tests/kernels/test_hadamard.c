/* The Hadamard transform against its matrix, in every block, on every instruction set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

enum { MAX_N = 1024 };

static void fill(float *x, int n)
{
    uint64_t state = (uint64_t)n;
    for (int i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((int32_t)(state >> 40) - 0x800000) * 0x1p-22f;
    }
}

/* Row i of the matrix has the sign of the parity of the bits that i and j have in common (Sylvester's order).
 */
static double from_matrix(const float *x, int i, int block)
{
    double sum = 0;
    for (int j = 0; j < block; j++)
        sum += (double)x[i - i % block + j] * (__builtin_parity((unsigned)(i % block & j)) ? -1 : 1);
    return sum / sqrt(block);
}

static double length(const float *x, int n)
{
    double square = 0;
    for (int i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square);
}

static void check(const mqa_row_kernels *kernels, int n, int block)
{
    float x[MAX_N + 1] = {0}, y[MAX_N + 1];
    fill(x, n);
    memcpy(y, x, sizeof y);
    y[n] = 12345;
    kernels->hadamard(y, n, block);
    const double close = 1e-6 * (1 + log2(block)) * length(x, n);
    for (int i = 0; i < n; i++) assert_true(fabs((double)y[i] - from_matrix(x, i, block)) <= close);
    assert_true(y[n] == 12345);
    kernels->hadamard(y, n, block); /* and back */
    for (int i = 0; i < n; i++) assert_true(fabs((double)y[i] - (double)x[i]) <= close);
    if (block == 1) assert_memory_equal(x, y, (size_t)n * sizeof *x);
}

static void is_its_matrix(void **state)
{
    (void)state;
    static const int dims[] = {1,  2,   3,   8,   17,  32,  48,  64,  72,  80,
                               96, 112, 128, 160, 192, 256, 512, 576, 1024};
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++)
        for (size_t i = 0; i < sizeof dims / sizeof *dims && mqa_isa_available((mqa_isa)isa); i++)
            for (int block = 1; block <= mqa_hadamard_block(dims[i]); block *= 2)
                check(&mqa_kernels_get((mqa_isa)isa)->rows, dims[i], block);
}

static void blocks_of_heads(void **state)
{
    (void)state;
    static const int expected[][2] = {{128, 128}, {96, 32}, {80, 16}, {576, 64}, {17, 1}, {1024, 1024}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(mqa_hadamard_block(expected[i][0]), expected[i][1]);
    for (int log = 0; log <= 10; log++)
        assert_true(mqa_hadamard_norm(1 << log) == (float)(1 / sqrt(1 << log)));
}

/* What leaves a span has no -0, and so it stays. */
static void no_negative_zero(void **state)
{
    (void)state;
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++) {
        if (!mqa_isa_available((mqa_isa)isa)) continue;
        float x[64];
        for (int i = 0; i < 64; i++) x[i] = i % 3 ? -0.0f : -1e-45f;
        mqa_kernels_get((mqa_isa)isa)->rows.hadamard(x, 64, 64);
        for (int i = 0; i < 64; i++) assert_true(x[i] == 0 && !signbit(x[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_its_matrix), cmocka_unit_test(blocks_of_heads),
                                       cmocka_unit_test(no_negative_zero)};
    return cmocka_run_group_tests_name("hadamard", tests, NULL, NULL);
}
