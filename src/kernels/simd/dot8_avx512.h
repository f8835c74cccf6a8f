/* Exact integer dot products of the int8 cache format with AVX-512 VNNI: vpdpbusd takes u8 times s8, so q
 * (times biased u8 K) goes in two balanced s8 digits, and p (times s8 V) in two u8 digits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_DOT8_AVX512_H
#define MQA_KERNELS_SIMD_DOT8_AVX512_H

#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

typedef __m512i bytes16; /* sixteen lanes of four bytes */

V16_INLINE __m512i dot8_bcast(const void *quad)
{
    int32_t x;
    memcpy(&x, quad, sizeof x);
    return _mm512_set1_epi32(x);
}

/* --- K: biased u8; q = 128 * high + low --- */

#define dot8_pack_q mqa_pack_q_int8_digits

typedef struct k8_acc {
    __m512i high, low;
} k8_acc;

V16_INLINE bytes16 k8_load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}
V16_INLINE k8_acc k8_zero(void)
{
    return (k8_acc){_mm512_setzero_si512(), _mm512_setzero_si512()};
}
V16_INLINE k8_acc k8_step(k8_acc acc, bytes16 k, const mqa_q_row *q, int d_pad, int i)
{
    acc.high = _mm512_dpbusd_epi32(acc.high, k, dot8_bcast(&q->x.s8[i]));
    acc.low = _mm512_dpbusd_epi32(acc.low, k, dot8_bcast(&q->x.s8[d_pad + i]));
    return acc;
}
V16_INLINE vi k8_total(k8_acc acc)
{
    return _mm512_add_epi32(_mm512_slli_epi32(acc.high, 7), acc.low); /* modulo 2^32, as is the bias */
}

/* --- V: s8; p: per quad of tokens four u8 high digits, then four low --- */

typedef struct v8_acc {
    __m512i high, low;
} v8_acc;

V16_INLINE bytes16 v8_load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}
V16_INLINE v8_acc v8_zero(void)
{
    return (v8_acc){_mm512_setzero_si512(), _mm512_setzero_si512()};
}
V16_INLINE v8_acc v8_step(v8_acc acc, bytes16 v, const float *p_quad)
{
    acc.high = _mm512_dpbusd_epi32(acc.high, dot8_bcast(p_quad), v);
    acc.low = _mm512_dpbusd_epi32(acc.low, dot8_bcast(p_quad + 1), v);
    return acc;
}
V16_INLINE vf v8_total(v8_acc acc)
{
    return vf_fma(vf_from_vi(acc.high), vf_set1(256.0f), vf_from_vi(acc.low));
}
V16_INLINE void v8_store_p(float *p, vi u)
{
    uint8_t high[16], low[16];
    _mm_storeu_si128((__m128i *)high, _mm512_cvtepi32_epi8(_mm512_srli_epi32(u, 8)));
    _mm_storeu_si128((__m128i *)low, _mm512_cvtepi32_epi8(u));
    for (int i = 0; i < 16; i += 4) {
        memcpy(p + i, high + i, 4);
        memcpy(p + i + 1, low + i, 4);
    }
}

#endif
