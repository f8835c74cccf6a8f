/* 16-bit floats to and from f32, in integer arithmetic: the same bits on every CPU and under any MXCSR.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_HALF_H
#define MQA_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float mqa_f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint32_t mqa_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Exact; a NaN keeps its sign and payload and becomes quiet. */
static inline float mqa_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
    if (exponent == 31)
        return mqa_f32_from_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent == 0) {
        if (fraction == 0) return mqa_f32_from_bits(sign);
        const int shift = __builtin_clz(fraction) - 21; /* brings the leading bit to bit 10 */
        fraction = fraction << shift & 0x3ff;
        exponent = (uint32_t)(1 - shift);
    }
    return mqa_f32_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* To nearest, ties to even; too large becomes infinity; every NaN becomes 0x7e00 with its sign. */
static inline uint16_t mqa_f32_to_f16(float value)
{
    const uint32_t bits = mqa_f32_bits(value), magnitude = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x47800000) return sign | 0x7c00; /* 65536 and more */
    if (magnitude < 0x33000000) return sign;           /* below half of the least denormal */
    uint32_t fraction, shift;
    if (magnitude < 0x38800000) { /* a denormal: the leading bit is spelt out */
        fraction = (magnitude & 0x7fffff) | 0x800000;
        shift = 126 - (magnitude >> 23);
    } else {
        fraction = magnitude - (112u << 23);
        shift = 13;
    }
    const uint32_t rest = fraction & ((1u << shift) - 1), middle = 1u << (shift - 1);
    uint32_t half = fraction >> shift;
    half += rest > middle || (rest == middle && (half & 1)); /* a carry walks into the exponent, rightly */
    return sign | (uint16_t)half;
}

static inline float mqa_bf16_to_f32(uint16_t bf16)
{
    return mqa_f32_from_bits((uint32_t)bf16 << 16);
}

/* To nearest, ties to even; NaN stays NaN (quiet). */
static inline uint16_t mqa_f32_to_bf16(float value)
{
    const uint32_t bits = mqa_f32_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
