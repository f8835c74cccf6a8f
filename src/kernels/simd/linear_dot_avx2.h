/* What the linear kernels need of AVX2: u8 quants times s8 activations, exact.
 *
 * vpmaddubsw adds pairs of products in s16; it and a few steps of it cannot overflow while the quants have 6
 * bits or fewer: 127 * 15 * 2 * 8 steps, 127 * 31 * 2 * 4 and 127 * 63 * 2 * 2 are all below 2^15. Quants of
 * 8 bits are made signed, w = q - 128, and |w| is multiplied by the activations with w's sign: 127 * 128 * 2
 * fits once. With AVX-VNNI none of this is needed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_LINEAR_DOT_AVX2_H
#define MQA_KERNELS_SIMD_LINEAR_DOT_AVX2_H

#include <string.h>

#define DOT_ROWS 4 /* rows that run over a tile side by side */

#ifdef V16_DPBUSD
#include "kernels/simd/linear_dot_vnni.h"
#else

/* Steps of four inputs that may be added before dot_total; the zero that 8-bit quants have already lost. */
#define DOT_STEPS(bits) ((bits) == 8 ? 1 : (bits) == 6 ? 2 : (bits) == 5 ? 4 : 8)
#define DOT_ZERO8       128

/* Four activations of one row in every lane. */
typedef __m256i dot_quad;
V16_INLINE dot_quad dot_load_quad(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm256_set1_epi32(x);
}
/* Quants as dot_first and dot_next take them. */
V16_INLINE vi dot_prepare8(vi q)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    return (vi){_mm256_xor_si256(q.a, flip), _mm256_xor_si256(q.b, flip)};
}
V16_INLINE vi dot_first(int bits, vi w, dot_quad x)
{
    if (bits == 8)
        return (vi){_mm256_maddubs_epi16(_mm256_abs_epi8(w.a), _mm256_sign_epi8(x, w.a)),
                    _mm256_maddubs_epi16(_mm256_abs_epi8(w.b), _mm256_sign_epi8(x, w.b))};
    return (vi){_mm256_maddubs_epi16(w.a, x), _mm256_maddubs_epi16(w.b, x)};
}
V16_INLINE vi dot_next(int bits, vi sum, vi w, dot_quad x)
{
    const vi y = dot_first(bits, w, x);
    sum = (vi){_mm256_add_epi16(sum.a, y.a), _mm256_add_epi16(sum.b, y.b)};
    /* Compilers turn the chain of sums into a tree, whose terms then don't fit the registers. */
    __asm__("" : "+x"(sum.a), "+x"(sum.b));
    return sum;
}
V16_INLINE vi dot_total(vi sum)
{
    const __m256i ones = _mm256_set1_epi16(1);
    return (vi){_mm256_madd_epi16(sum.a, ones), _mm256_madd_epi16(sum.b, ones)};
}

#endif

/* 64 bytes: the low nibbles, the high nibbles; (x << left or >> -left) & mask in each byte. */
V16_INLINE vi bytes_low_nibbles(vi x)
{
    const __m256i mask = _mm256_set1_epi8(15);
    return (vi){_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
V16_INLINE vi bytes_high_nibbles(vi x)
{
    return bytes_low_nibbles((vi){_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)});
}
/* x with the bits of plane, shifted left (right where negative), that mask lets through. */
V16_INLINE vi bytes_or_plane(vi x, vi plane, int left, int mask_bits)
{
    const __m256i mask = _mm256_set1_epi8((char)mask_bits);
    if (left > 0) plane = (vi){_mm256_slli_epi16(plane.a, left), _mm256_slli_epi16(plane.b, left)};
    if (left < 0) plane = (vi){_mm256_srli_epi16(plane.a, -left), _mm256_srli_epi16(plane.b, -left)};
    return (vi){_mm256_or_si256(x.a, _mm256_and_si256(plane.a, mask)),
                _mm256_or_si256(x.b, _mm256_and_si256(plane.b, mask))};
}
#endif
