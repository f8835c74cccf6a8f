/* The bf16 format's dot products with vdpbf16ps (recipe avx512-bf16), for CPUs where it outruns f32 FMA.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kernels/simd/v16_avx512.h"

#include "base/half.h"
#include "kernels/q_row.h"
#include "kernels/reference/reference.h"
#include "kernels/simd/unroll.h"
#include "kernels/template/softmax.h"

enum { MAX_ROWS = 6, VECTORS = 4 }; /* 24 of 32 registers accumulate */

/* --- q and p, rounded to bf16: vcvtneps2bf16 rounds as the specification does, but for subnormals, which the
 * dot products take as zero all the same --- */

V16_INLINE void store_bf16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x));
}

static int pack_q_bf16(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    vi largest = vi_zero();
    for (int r = 0; r < rows; r++) {
        uint16_t *to = mqa_q_row_at(q_block, r, d)->x.bf16;
        for (int i = 0; i < MQA_PAD(d); i += 16) {
            const __mmask16 some = (__mmask16)(d - i < 16 ? (1u << (d - i)) - 1 : 0xffff);
            const vf x = vf_mul(_mm512_maskz_loadu_ps(some, q[r] + i), vf_set1(sm_scale));
            largest = vi_max(largest, vf_abs_bits(x));
            store_bf16(to + i, x);
        }
    }
    const float a = mqa_f32_from_bits((uint32_t)vi_max_lane(largest)); /* bits of |x| are ordered as |x| */
    return isfinite(mqa_bf16_to_f32(mqa_f32_to_bf16(a)));
}

V16_INLINE void softmax_store_bf16(float *s, int t, vf p)
{
    store_bf16((uint16_t *)s + t, p);
}

static void softmax_bf16(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs, float *m,
                         float *l, float *p_scale)
{
    (void)v_runs;
    *p_scale = 1.0f;
    softmax_row(s, MQA_GRANULE * n_granules, valid, softmax_store_bf16, m, l);
}

/* --- the dot products --- */

V16_INLINE __m512bh pairs_load(const void *p)
{
    return (__m512bh)_mm512_loadu_si512(p);
}

V16_INLINE __m512bh pair_bcast(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return (__m512bh)_mm512_set1_epi32(x);
}

/* acc[r][c] += the pairs of a's row r (a_stride bytes apart) times vector c of b's rows (b_stride bytes
 * from pair to pair, vector_stride from vector to vector). Both GEMMs of attention are this one. */
V16_INLINE void pairs_block(int rows, int vectors, int pairs, const char *a, size_t a_stride, const char *b,
                            size_t b_stride, size_t vector_stride, mqa_fetch *fetch,
                            __m512 acc[MAX_ROWS][VECTORS])
{
    for (int i = 0; i < pairs; i++, b += b_stride) {
        if (fetch) mqa_fetch_step(fetch);
        __m512bh x[VECTORS];
        UNROLL for (int c = 0; c < vectors; c++) x[c] = pairs_load(b + (size_t)c * vector_stride);
        UNROLL for (int r = 0; r < rows; r++)
        {
            const __m512bh y = pair_bcast(a + (size_t)r * a_stride + (size_t)i * 4);
            UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = _mm512_dpbf16_ps(acc[r][c], x[c], y);
        }
    }
}

V16_INLINE void clear(__m512 acc[MAX_ROWS][VECTORS])
{
    UNROLL for (int r = 0; r < MAX_ROWS; r++) UNROLL for (int c = 0; c < VECTORS; c++) acc[r][c] =
        _mm512_setzero_ps();
}

V16_INLINE void scores_rows(int rows, const char *q, size_t q_stride, int d_pad, const char *k,
                            mqa_fetch *fetch, float *s, size_t s_stride)
{
    __m512 acc[MAX_ROWS][VECTORS];
    clear(acc);
    pairs_block(rows, VECTORS, d_pad / 2, q, q_stride, k, 64, (size_t)32 * (size_t)d_pad, fetch, acc);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < VECTORS; c++)
        vf_store(s + (size_t)r * s_stride + 16 * c, acc[r][c]);
}

V16_INLINE void pv_rows(int rows, int vectors, const char *p, size_t p_stride, const void *const *v_runs,
                        int n_granules, size_t d_pad, size_t column, float *o)
{
    __m512 acc[MAX_ROWS][VECTORS];
    clear(acc);
    for (int g = 0; g < n_granules; g++)
        pairs_block(rows, vectors, MQA_GRANULE / 2, p + (size_t)g * MQA_GRANULE * 2, p_stride,
                    (const char *)v_runs[g] + 4 * column, 4 * d_pad, 64, NULL, acc);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++)
        vf_store(o + (size_t)r * d_pad + column + (size_t)(16 * c), vf_add(acc[r][c], vf_zero()));
}

#define BY_ROWS(left, BLOCK)                                                                                 \
    switch (left) {                                                                                          \
    case 1:                                                                                                  \
        BLOCK(1);                                                                                            \
        break;                                                                                               \
    case 2:                                                                                                  \
        BLOCK(2);                                                                                            \
        break;                                                                                               \
    case 3:                                                                                                  \
        BLOCK(3);                                                                                            \
        break;                                                                                               \
    case 4:                                                                                                  \
        BLOCK(4);                                                                                            \
        break;                                                                                               \
    case 5:                                                                                                  \
        BLOCK(5);                                                                                            \
        break;                                                                                               \
    default:                                                                                                 \
        BLOCK(6);                                                                                            \
        break;                                                                                               \
    }

static void scores_bf16(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                        const mqa_ahead *ahead, float *s, size_t s_stride)
{
    const int n_blocks = (rows + MAX_ROWS - 1) / MAX_ROWS;
    for (int g = 0; g < n_granules; g++)
        for (int r = 0; r < rows; r += MAX_ROWS) {
            mqa_fetch fetch =
                mqa_fetch_share(ahead ? &ahead[g] : NULL, r / MAX_ROWS, n_blocks, MQA_PAD(d) / 2);
            const char *q = (const char *)&mqa_q_row_at(q_block, r, d)->x;
            float *to = s + (size_t)r * s_stride + (size_t)g * MQA_GRANULE;
#define SCORES(R) scores_rows(R, q, MQA_Q_ROW_BYTES(d), MQA_PAD(d), k_runs[g], &fetch, to, s_stride)
            BY_ROWS(rows - r, SCORES)
#undef SCORES
        }
}

static void pv_bf16(const float *p, size_t p_stride, const float *p_scale, int rows,
                    const void *const *v_runs, int n_granules, int d_v, float *o)
{
    (void)p_scale;
    const size_t d_pad = (size_t)MQA_PAD(d_v);
    for (int r = 0; r < rows; r += MAX_ROWS) {
        const char *from = (const char *)(p + (size_t)r * p_stride);
        float *to = o + (size_t)r * d_pad;
        size_t c = 0;
#define PV(R)                                                                                                \
    for (; c + 16 * VECTORS <= d_pad; c += 16 * VECTORS)                                                     \
        pv_rows(R, VECTORS, from, p_stride * sizeof(float), v_runs, n_granules, d_pad, c, to);               \
    for (; c < d_pad; c += 16) pv_rows(R, 1, from, p_stride * sizeof(float), v_runs, n_granules, d_pad, c, to)
        BY_ROWS(rows - r, PV)
#undef PV
    }
}

void mqa_bf16_rows_avx512(mqa_attention_kernels *a)
{
    a->pack_q[MQA_KV_BF16] = pack_q_bf16;
    a->softmax[MQA_KV_BF16] = softmax_bf16;
}

void mqa_attention_avx512_bf16(mqa_kernels *k)
{
    mqa_attention_kernels *a = &k->attention[MQA_NUMERICS_FAST];
    mqa_bf16_rows_avx512(a);
    a->recipe = MQA_RECIPE_AVX512_BF16;
    a->scores[MQA_KV_BF16] = scores_bf16;
    a->pv[MQA_KV_BF16] = pv_bf16;
}
