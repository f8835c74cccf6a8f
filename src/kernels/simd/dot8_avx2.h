/* Exact integer dot products of the int8 cache format on AVX2: bytes are widened to s16, a query and a
 * probability stay whole or in two digits of s16, and vpmaddwd adds pairs. (vpmaddubsw would saturate.)
 *
 * Widening by mask and shift puts the values of a quad in the order 0, 2, 1, 3; q and p are stored so.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_DOT8_AVX2_H
#define MQA_KERNELS_SIMD_DOT8_AVX2_H

#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

enum { DOT8_DEPTH = 4, DOT8_PARTS = 1 }; /* attention.h */

typedef struct bytes16 { /* sixteen lanes of four bytes, widened: (0, 2) and (1, 3) of lanes 0-7 and 8-15 */
    __m256i a02, a13, b02, b13;
} bytes16;

V16_INLINE __m256i dot8_bcast(const int16_t *pair)
{
    int32_t x;
    memcpy(&x, pair, sizeof x);
    return _mm256_set1_epi32(x);
}
V16_INLINE vi dot8_pairs(vi acc, bytes16 x, const int16_t *quad)
{
    const __m256i y02 = dot8_bcast(quad), y13 = dot8_bcast(quad + 2);
    acc.a = _mm256_add_epi32(acc.a, _mm256_madd_epi16(x.a02, y02));
    acc.a = _mm256_add_epi32(acc.a, _mm256_madd_epi16(x.a13, y13));
    acc.b = _mm256_add_epi32(acc.b, _mm256_madd_epi16(x.b02, y02));
    acc.b = _mm256_add_epi32(acc.b, _mm256_madd_epi16(x.b13, y13));
    return acc;
}

/* --- K: biased u8; q: s16 quads in the order 0, 2, 1, 3 --- */

static int dot8_pack_q(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    if (!mqa_pack_q_int8(q, rows, d, sm_scale, q_block)) return 0;
    for (int r = 0; r < rows; r++) {
        int16_t *x = mqa_q_row_at(q_block, r, d)->x.s16;
        for (int i = 0; i < MQA_PAD(d); i += 4) {
            const int16_t second = x[i + 1];
            x[i + 1] = x[i + 2];
            x[i + 2] = second;
        }
    }
    return 1;
}

typedef vi k8_acc;

V16_INLINE bytes16 k8_load(const uint8_t *p)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    const vi x = vi_load(p);
    return (bytes16){_mm256_and_si256(x.a, low), _mm256_srli_epi16(x.a, 8), _mm256_and_si256(x.b, low),
                     _mm256_srli_epi16(x.b, 8)};
}
V16_INLINE k8_acc k8_zero(void)
{
    return vi_zero();
}
V16_INLINE k8_acc k8_step(k8_acc acc, bytes16 k, const mqa_q_row *q, int d_pad, int i)
{
    (void)d_pad;
    return dot8_pairs(acc, k, &q->x.s16[i]);
}
V16_INLINE vi k8_total(const k8_acc *acc)
{
    return *acc;
}

/* --- V: s8; p: per quad of tokens eight s16, the high digits 0, 2, 1, 3, then the low --- */

typedef struct v8_acc {
    vi high, low;
} v8_acc;

V16_INLINE bytes16 v8_load(const uint8_t *p, size_t row_bytes)
{
    (void)row_bytes;
    const vi x = vi_load(p);
    return (bytes16){_mm256_srai_epi16(_mm256_slli_epi16(x.a, 8), 8), _mm256_srai_epi16(x.a, 8),
                     _mm256_srai_epi16(_mm256_slli_epi16(x.b, 8), 8), _mm256_srai_epi16(x.b, 8)};
}
V16_INLINE v8_acc v8_zero(void)
{
    return (v8_acc){vi_zero(), vi_zero()};
}
V16_INLINE v8_acc v8_step(v8_acc acc, bytes16 v, const float *p_quad)
{
    const int16_t *digits = (const int16_t *)p_quad;
    acc.high = dot8_pairs(acc.high, v, digits);
    acc.low = dot8_pairs(acc.low, v, digits + 4);
    return acc;
}
/* 256 high + low, rounded once */
V16_INLINE vf v8_total(const v8_acc *acc)
{
    return vf_fma(vf_from_vi(acc->high), vf_set1(256.0f), vf_from_vi(acc->low));
}
/* Sixteen u16 values (in i32 lanes) to the form that v8_step reads, in the place of sixteen floats. */
V16_INLINE void v8_store_p(float *p, vi u)
{
    int32_t x[16];
    vi_store(x, u);
    for (int i = 0; i < 16; i += 4) {
        int16_t digits[8];
        for (int j = 0; j < 4; j++) {
            const int to = j == 1 ? 2 : j == 2 ? 1 : j;
            digits[to] = (int16_t)(x[i + j] >> 8);
            digits[4 + to] = (int16_t)(x[i + j] & 255);
        }
        memcpy(p + i, digits, sizeof digits);
    }
}

#endif
