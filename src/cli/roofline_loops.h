/* The loops that roofline.c times, once for each instruction set: a template. Before including it define
 *
 *   VECTOR_BYTES   width of a vector
 *   N_ACCUMULATORS independent sums of the multiply-adds: enough to hide their latency, few enough to stay in
 *                  registers
 *   NAMED(x)       the name of x for this instruction set
 *
 * and include kernels/simd/v16_<isa>.h where there is one: then there is exp, too.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stddef.h>
#include <stdint.h>

#include "roofline_loops_all.h"

#ifdef V16_INLINE
#include "kernels/simd/v16_math.h"
#endif

typedef uint64_t words __attribute__((vector_size(VECTOR_BYTES), aligned(VECTOR_BYTES)));
typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
enum { LANES = VECTOR_BYTES / 4 };

uint64_t NAMED(read)(const void *data, size_t bytes, size_t ahead)
{
    enum { N = 8, BLOCK = N * VECTOR_BYTES };
    const char *from = data;
    words sum[N] = {{0}};
    for (size_t at = 0; at + BLOCK <= bytes; at += BLOCK) {
        const words *p = (const words *)(const void *)(from + at);
        for (int line = 0; ahead > 0 && line < BLOCK; line += 64)
            __builtin_prefetch(from + at + ahead + line, 0, 2);
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) sum[j] += p[j];
    }
    for (int j = 1; j < N; j++) sum[0] += sum[j];
    uint64_t total = 0;
    for (int j = 0; j < VECTOR_BYTES / 8; j++) total += sum[0][j];
    return total;
}

float NAMED(fma)(long rounds, double *ops)
{
    floats sum[N_ACCUMULATORS];
    floats b = (floats){0} + 0.999f, c = (floats){0} + 0.001f;
    __asm__("" : "+m"(b), "+m"(c)); /* not constants any more */
    for (int j = 0; j < N_ACCUMULATORS; j++) sum[j] = (floats){0} + (float)j;
    for (long i = 0; i < rounds; i++)
#pragma GCC unroll 32
        for (int j = 0; j < N_ACCUMULATORS; j++) sum[j] = sum[j] * b + c;
    *ops += 2.0 * LANES * N_ACCUMULATORS * (double)rounds;
    float total = 0;
    for (int j = 0; j < N_ACCUMULATORS; j++)
        for (int k = 0; k < LANES; k++) total += sum[j][k];
    return total;
}

#ifdef V16_INLINE
/* exp(x) - 1 again and again stays in (-1, 0): a subtraction more, and nothing that could be taken out. */
float NAMED(exp)(long rounds, double *ops)
{
    enum { N = VECTOR_BYTES / 8 }; /* eight registers' chains */
    vf x[N];
    for (int j = 0; j < N; j++) x[j] = vf_set1(-0.5f - 0.01f * (float)j);
    for (long i = 0; i < rounds; i++)
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) x[j] = vf_sub(vf_exp_below_high(x[j]), vf_set1(1.0f));
    *ops += 16.0 * N * (double)rounds;
    for (int j = 1; j < N; j++) x[0] = vf_add(x[0], x[j]);
    float lanes[16];
    vf_store(lanes, x[0]);
    return lanes[0] + lanes[15];
}
#endif
