/* What the bf16 recipes share: q and p rounded to bf16. And the chains of pairs of avx512-bf16 and
 * neon-bf16 in plain C.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/bf16_dot.h"
#include "kernels/reference/reference.h"

static int pack_q_bf16(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    for (int r = 0; r < rows; r++) {
        uint16_t *x = mqa_q_row_at(q_block, r, d)->x.bf16;
        for (int i = 0; i < MQA_PAD(d); i++) {
            x[i] = i < d ? mqa_f32_to_bf16(q[r][i] * sm_scale) : 0;
            if (!isfinite(mqa_bf16_to_f32(x[i]))) return 0;
        }
    }
    return 1;
}

/* Rounds p to bf16 where it stands: the row's first half, as a plain array. */
static void softmax_bf16(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs, float *m,
                         float *l, float *p_scale)
{
    mqa_softmax_float_reference(s, n_granules, valid, v_runs, m, l, p_scale);
    uint16_t *p = (uint16_t *)s;
    for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
        float x;
        memcpy(&x, &s[t], sizeof x);
        const uint16_t rounded = mqa_f32_to_bf16(x);
        memcpy(&p[t], &rounded, sizeof rounded);
    }
}

/* x and the products of two pairs: one step of a recipe's chain. */
typedef float pair_step(float x, const uint16_t a[2], const uint16_t b[2]);

static float pair_step_avx512(float x, const uint16_t a[2], const uint16_t b[2])
{
    return mqa_bf16_fma_flushed(a[0], b[0], mqa_bf16_fma_flushed(a[1], b[1], x));
}

static float pair_step_neon(float x, const uint16_t a[2], const uint16_t b[2])
{
    return mqa_add_to_odd(x,
                          mqa_add_to_odd(mqa_bf16_mul_to_odd(a[0], b[0]), mqa_bf16_mul_to_odd(a[1], b[1])));
}

static inline void scores_pairs(pair_step *step, const void *q_block, int rows, int d,
                                const void *const *k_runs, int n_granules, float *s, size_t s_stride)
{
    for (int r = 0; r < rows; r++) {
        const uint16_t *q = mqa_q_row_at(q_block, r, d)->x.bf16;
        for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
            const uint16_t *tile = (const uint16_t *)k_runs[t / MQA_GRANULE] +
                                   (size_t)(t % MQA_GRANULE / MQA_TILE) * MQA_TILE * (size_t)MQA_PAD(d);
            float x = 0.0f;
            for (int i = 0; i < MQA_PAD(d); i += 2)
                x = step(x, &q[i], &tile[(i / 2 * MQA_TILE + t % MQA_TILE) * 2]);
            s[(size_t)r * s_stride + (size_t)t] = x;
        }
    }
}

static inline void pv_pairs(pair_step *step, const float *p, size_t p_stride, int rows,
                            const void *const *v_runs, int n_granules, int d_v, float *o)
{
    for (int r = 0; r < rows; r++) {
        const uint16_t *row = (const uint16_t *)(p + (size_t)r * p_stride);
        for (int c = 0; c < MQA_PAD(d_v); c++) {
            float x = 0.0f;
            for (int t = 0; t < MQA_GRANULE * n_granules; t += 2) {
                const uint16_t *v = (const uint16_t *)v_runs[t / MQA_GRANULE] +
                                    ((size_t)(t % MQA_GRANULE / 2) * (size_t)MQA_PAD(d_v) + (size_t)c) * 2;
                x = step(x, &row[t], v);
            }
            o[(size_t)r * (size_t)MQA_PAD(d_v) + (size_t)c] = x + 0.0f;
        }
    }
}

void mqa_bf16_rows_reference(mqa_attention_kernels *a)
{
    a->pack_q[MQA_KV_BF16] = pack_q_bf16;
    a->softmax[MQA_KV_BF16] = softmax_bf16;
}

#define PAIR_KERNELS(NAME, RECIPE)                                                                           \
    static void scores_##NAME(const void *q_block, int rows, int d, const void *const *k_runs,               \
                              int n_granules, const mqa_ahead *ahead, float *s, size_t s_stride)             \
    {                                                                                                        \
        (void)ahead;                                                                                         \
        scores_pairs(pair_step_##NAME, q_block, rows, d, k_runs, n_granules, s, s_stride);                   \
    }                                                                                                        \
    static void pv_##NAME(const float *p, size_t p_stride, const float *p_scale, int rows,                   \
                          const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead,        \
                          float *o)                                                                          \
    {                                                                                                        \
        (void)p_scale;                                                                                       \
        (void)ahead;                                                                                         \
        pv_pairs(pair_step_##NAME, p, p_stride, rows, v_runs, n_granules, d_v, o);                           \
    }                                                                                                        \
    void mqa_##NAME##_bf16_reference(mqa_kernels *k)                                                         \
    {                                                                                                        \
        mqa_attention_kernels *a = &k->attention[MQA_NUMERICS_FAST];                                         \
        mqa_bf16_rows_reference(a);                                                                          \
        a->recipe = RECIPE;                                                                                  \
        a->scores[MQA_KV_BF16] = scores_##NAME;                                                              \
        a->pv[MQA_KV_BF16] = pv_##NAME;                                                                      \
    }

PAIR_KERNELS(avx512, MQA_RECIPE_AVX512_BF16)
PAIR_KERNELS(neon, MQA_RECIPE_NEON_BF16)
