/* What the linear kernels need of AVX-512: u8 quants times s8 activations by vpdpbusd (VNNI), exact in s32.
 * See linear_dot_avx2.h for what the names mean.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_LINEAR_DOT_AVX512_H
#define MQA_KERNELS_SIMD_LINEAR_DOT_AVX512_H

#include <string.h>

#define DOT_STEPS(bits) 8
#define DOT_ZERO8       0
#define DOT_ROWS        8

typedef __m512i dot_quad;
V16_INLINE dot_quad dot_load_quad(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm512_set1_epi32(x);
}
V16_INLINE vi dot_prepare8(vi q)
{
    return q;
}
V16_INLINE vi dot_next(int bits, vi sum, vi w, dot_quad x)
{
    (void)bits;
    return _mm512_dpbusd_epi32(sum, w, x);
}
V16_INLINE vi dot_first(int bits, vi w, dot_quad x)
{
    return dot_next(bits, _mm512_setzero_si512(), w, x);
}
V16_INLINE vi dot_total(vi sum)
{
    return sum;
}

V16_INLINE vi bytes_low_nibbles(vi x)
{
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}
V16_INLINE vi bytes_high_nibbles(vi x)
{
    return bytes_low_nibbles(_mm512_srli_epi16(x, 4));
}
V16_INLINE vi bytes_or_plane(vi x, vi plane, int left, int mask_bits)
{
    if (left > 0) plane = _mm512_slli_epi16(plane, (unsigned)left);
    if (left < 0) plane = _mm512_srli_epi16(plane, (unsigned)-left);
    return _mm512_or_si512(x, _mm512_and_si512(plane, _mm512_set1_epi8((char)mask_bits)));
}

#endif
