/* What the linear kernels need of NEON: quants times s8 activations, exact. See linear_dot_avx2.h for what
 * the names mean. Quants of 6 bits or fewer are s8 as they are, those of 8 bits lose 128; with i8mm USDOT
 * takes all of them as u8.
 *
 * With the dot product extension SDOT adds in s32. Without, sums of two products are kept in s16, for as many
 * steps as cannot overflow: the same ones as on AVX2.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_LINEAR_DOT_NEON_H
#define MQA_KERNELS_SIMD_LINEAR_DOT_NEON_H

#include <string.h>

#ifdef __ARM_FEATURE_MATMUL_INT8
#define DOT_ZERO8 0
#else
#define DOT_ZERO8 128
#endif
#define DOT_ROWS 4

typedef int8x16_t dot_quad;
V16_INLINE dot_quad dot_load_quad(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return vreinterpretq_s8_s32(vdupq_n_s32(x));
}

#if defined(__ARM_FEATURE_MATMUL_INT8) || defined(__ARM_FEATURE_DOTPROD)

#define DOT_STEPS(bits) 8

V16_INLINE int32x4_t dot_next4(int32x4_t sum, int32x4_t w, dot_quad x)
{
#ifdef __ARM_FEATURE_MATMUL_INT8
    return vusdotq_s32(sum, vreinterpretq_u8_s32(w), x);
#else
    return vdotq_s32(sum, vreinterpretq_s8_s32(w), x);
#endif
}
V16_INLINE int32x4_t dot_total4(int32x4_t sum)
{
    return sum;
}

#else

#define DOT_STEPS(bits) ((bits) == 8 ? 1 : (bits) == 6 ? 2 : (bits) == 5 ? 4 : 8)

V16_INLINE int32x4_t dot_next4(int32x4_t sum, int32x4_t w, dot_quad x)
{
    const int8x16_t y = vreinterpretq_s8_s32(w);
    const int16x8_t low = vmull_s8(vget_low_s8(y), vget_low_s8(x)), high = vmull_high_s8(y, x);
    return vreinterpretq_s32_s16(vaddq_s16(vreinterpretq_s16_s32(sum), vpaddq_s16(low, high)));
}
V16_INLINE int32x4_t dot_total4(int32x4_t sum)
{
    return vpaddlq_s16(vreinterpretq_s16_s32(sum));
}

#endif

V16_INLINE vi dot_next(int bits, vi sum, vi w, dot_quad x)
{
    (void)bits;
    return (vi){dot_next4(sum.a, w.a, x), dot_next4(sum.b, w.b, x), dot_next4(sum.c, w.c, x),
                dot_next4(sum.d, w.d, x)};
}
V16_INLINE vi dot_first(int bits, vi w, dot_quad x)
{
    return dot_next(bits, vi_zero(), w, x);
}
V16_INLINE vi dot_total(vi sum)
{
    return (vi)QUARTERS(dot_total4, sum);
}

V16_INLINE int32x4_t bytes_flip4(int32x4_t x)
{
    return vreinterpretq_s32_u8(veorq_u8(vreinterpretq_u8_s32(x), vdupq_n_u8(128)));
}
V16_INLINE vi dot_prepare8(vi q)
{
    if (DOT_ZERO8 == 0) return q;
    return (vi)QUARTERS(bytes_flip4, q);
}
V16_INLINE int32x4_t bytes_low4(int32x4_t x)
{
    return vreinterpretq_s32_u8(vandq_u8(vreinterpretq_u8_s32(x), vdupq_n_u8(15)));
}
V16_INLINE vi bytes_low_nibbles(vi x)
{
    return (vi)QUARTERS(bytes_low4, x);
}
V16_INLINE int32x4_t bytes_high4(int32x4_t x)
{
    return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(x), 4));
}
V16_INLINE vi bytes_high_nibbles(vi x)
{
    return (vi)QUARTERS(bytes_high4, x);
}
V16_INLINE int32x4_t bytes_or_plane4(int32x4_t x, int32x4_t plane, int8x16_t left, uint8x16_t mask)
{
    const uint8x16_t bits = vandq_u8(vshlq_u8(vreinterpretq_u8_s32(plane), left), mask);
    return vreinterpretq_s32_u8(vorrq_u8(vreinterpretq_u8_s32(x), bits));
}
V16_INLINE vi bytes_or_plane(vi x, vi plane, int left, int mask_bits)
{
    const int8x16_t l = vdupq_n_s8((int8_t)left);
    const uint8x16_t m = vdupq_n_u8((uint8_t)mask_bits);
    return (vi){bytes_or_plane4(x.a, plane.a, l, m), bytes_or_plane4(x.b, plane.b, l, m),
                bytes_or_plane4(x.c, plane.c, l, m), bytes_or_plane4(x.d, plane.d, l, m)};
}

#endif
