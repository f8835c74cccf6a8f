/* The arithmetic of vdpbf16ps and tdpbf16ps, one step at a time: products of bf16 are exact in f32, sums are
 * rounded once to nearest even, subnormal inputs and results are zero (docs/numerics.md section 4).
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

#endif
