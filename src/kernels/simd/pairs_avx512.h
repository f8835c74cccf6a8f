/* Dot products of pairs of bf16 with vdpbf16ps (recipe avx512-bf16). Include after v16_avx512.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_PAIRS_AVX512_H
#define MQA_KERNELS_SIMD_PAIRS_AVX512_H

#include <string.h>

/* Sixteen pairs. */
typedef __m512bh pairs16;
V16_INLINE pairs16 pairs_load(const void *p)
{
    return (__m512bh)_mm512_loadu_si512(p);
}

/* PAIRS_DEPTH pairs of a row, each to be multiplied with the others in all lanes. */
enum { PAIRS_DEPTH = 1 };
typedef __m512bh row_pairs;
V16_INLINE row_pairs row_pairs_load(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return (__m512bh)_mm512_set1_epi32(x);
}

/* acc + x . pair j of y */
V16_INLINE vf pairs_dot(vf acc, pairs16 x, row_pairs y, int j)
{
    (void)j;
    return _mm512_dpbf16_ps(acc, x, y);
}

/* vcvtneps2bf16 rounds as the specification does, but for subnormals, which the dot products take as zero all
 * the same. */
V16_INLINE void vf_store_bf16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x));
}

#endif
