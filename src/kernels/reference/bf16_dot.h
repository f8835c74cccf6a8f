/* The arithmetic of the instructions that multiply bf16, one step at a time (docs/numerics.md section 4).
 * Their products are exact in f32, subnormal inputs and results are zero. vdpbf16ps and tdpbf16ps round each
 * sum to nearest even, BFDOT to odd.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_REFERENCE_BF16_DOT_H
#define MQA_KERNELS_REFERENCE_BF16_DOT_H

#include <math.h>

#include "base/half.h"

static inline float mqa_flushed(float x)
{
    return (mqa_f32_bits(x) & 0x7f800000) ? x : mqa_f32_from_bits(mqa_f32_bits(x) & 0x80000000);
}

static inline float mqa_bf16_fma_flushed(uint16_t a, uint16_t b, float c)
{
    return mqa_flushed(fmaf(mqa_flushed(mqa_bf16_to_f32(a)), mqa_flushed(mqa_bf16_to_f32(b)), c));
}

static inline float mqa_add_flushed(float a, float b)
{
    return mqa_flushed(a + b);
}

/* x and what was lost in rounding it to binary64 (or 0), to f32 by rounding to odd: cut off, and the last bit
 * set if that took anything away. Below 2^-126 it is zero, from 2^128 on infinite. */
static inline float mqa_round_to_odd(double x, double lost)
{
    uint64_t bits;
    if (!isfinite(x)) return (float)x;
    memcpy(&bits, &x, sizeof bits);
    if (lost != 0.0) bits = (bits - ((lost < 0.0) != (x < 0.0))) | 1; /* to odd already, with 53 bits */
    const uint32_t sign = (uint32_t)(bits >> 32) & 0x80000000;
    const int exponent = (int)(bits >> 52 & 2047) - 1023;
    if (exponent < -126) return mqa_f32_from_bits(sign);
    if (exponent > 127) return mqa_f32_from_bits(sign | 0x7f800000);
    const uint32_t fraction = (uint32_t)(bits >> 29) & 0x7fffff, rest = bits & 0x1fffffff;
    return mqa_f32_from_bits(sign | (uint32_t)(exponent + 127) << 23 | fraction | (rest != 0));
}

static inline float mqa_add_to_odd(float a, float b)
{
    const double x = mqa_flushed(a), y = mqa_flushed(b), sum = x + y, part = sum - x;
    return mqa_round_to_odd(sum, (x - (sum - part)) + (y - part)); /* Knuth: what the sum lost, exactly */
}

static inline float mqa_bf16_mul_to_odd(uint16_t a, uint16_t b)
{
    return mqa_round_to_odd((double)mqa_flushed(mqa_bf16_to_f32(a)) * (double)mqa_flushed(mqa_bf16_to_f32(b)),
                            0);
}

#endif
