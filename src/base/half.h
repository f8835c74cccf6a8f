/* Floats of 16 and 8 bits to and from f32: the same bits on every CPU and under any MXCSR.
 *
 * fp8 are E4M3 (largest 448, no infinities) and E5M2 (largest 57344) of the OCP 8-bit Floating Point
 * Specification 1.0.
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

/* The bits of an f32's magnitude in a float with that bias and so many bits of fraction: to nearest, ties to
 * even. Beyond that float's largest they go on as if its exponents did. */
static inline uint32_t mqa_f32_narrow(uint32_t magnitude, uint32_t bias, uint32_t bits)
{
    const uint32_t exponent = magnitude >> 23, least = 128 - bias; /* least: of a normal one */
    if (exponent + bits + 1 < least) return 0;                     /* below half of the least denormal */
    uint32_t fraction = magnitude - ((least - 1) << 23), shift = 23 - bits;
    if (exponent < least) { /* a denormal: the leading bit is spelt out */
        fraction = (magnitude & 0x7fffff) | 0x800000;
        shift += least - exponent;
    }
    const uint32_t rest = fraction & ((1u << shift) - 1), middle = 1u << (shift - 1);
    const uint32_t narrow = fraction >> shift;
    return narrow + (rest > middle || (rest == middle && (narrow & 1))); /* a carry walks into the exponent */
}

/* To nearest, ties to even; too large becomes infinity; every NaN becomes 0x7e00 with its sign. */
static inline uint16_t mqa_f32_to_f16(float value)
{
    const uint32_t bits = mqa_f32_bits(value), magnitude = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x47800000) return sign | 0x7c00; /* 65536 and more */
    return sign | (uint16_t)mqa_f32_narrow(magnitude, 15, 10);
}

/* To nearest, ties to even; too large becomes the largest; NaN stays NaN. */
static inline uint8_t mqa_f32_to_fp8(float value, uint32_t bias, uint32_t bits, uint32_t largest)
{
    const uint32_t magnitude = mqa_f32_bits(value) & 0x7fffffff;
    const uint8_t sign = (uint8_t)(mqa_f32_bits(value) >> 24 & 0x80);
    if (magnitude > 0x7f800000) return sign | 0x7f;
    const uint32_t narrow = mqa_f32_narrow(magnitude, bias, bits);
    return sign | (uint8_t)(narrow < largest ? narrow : largest);
}
static inline uint8_t mqa_f32_to_e4m3(float value)
{
    return mqa_f32_to_fp8(value, 7, 3, 0x7e);
}
static inline uint8_t mqa_f32_to_e5m2(float value)
{
    return mqa_f32_to_fp8(value, 15, 2, 0x7b);
}

/* Exact. */
static inline float mqa_e5m2_to_f32(uint8_t fp8)
{
    return mqa_f16_to_f32((uint16_t)(fp8 << 8)); /* the upper half of an f16 */
}
static inline float mqa_e4m3_to_f32(uint8_t fp8)
{
    const uint16_t magnitude = fp8 & 0x7f, sign = (uint16_t)((fp8 & 0x80) << 8);
    if (magnitude == 0x7f) return mqa_f16_to_f32(sign | 0x7e00);
    return mqa_f16_to_f32(sign | (uint16_t)(magnitude << 7)) * 256.0f; /* as an f16, whose bias is 8 more */
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
