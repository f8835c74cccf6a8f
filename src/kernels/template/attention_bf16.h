/* The bf16 format's dot products by an instruction that multiplies pairs and adds them to f32, once for each
 * instruction set that has one. Include after v16_<isa>.h and pairs_<isa>.h, with these set:
 *
 *   PAIRS_FILL            name of the function that fills a table
 *   PAIRS_RECIPE          name of the recipe
 *   PAIRS_MOST_ROWS       rows of the largest block: at most 6
 *   PAIRS_VECTORS(rows)   vectors of 16 in a block of 1 .. 6 rows: 1, 2 or 4
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/half.h"
#include "kernels/q_row.h"
#include "kernels/reference/reference.h"
#include "kernels/simd/unroll.h"
#include "kernels/template/blocks.h"
#include "kernels/template/softmax.h"

enum { MAX_BLOCK_ROWS = 6, GRANULE_TILES = MQA_GRANULE / MQA_TILE };

/* --- q and p, rounded to bf16 ------------------------------------------------------------------------- */

static int pack_q_bf16(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    vi largest = vi_zero();
    for (int r = 0; r < rows; r++) {
        uint16_t *to = mqa_q_row_at(q_block, r, d)->x.bf16;
        for (int i = 0; i < MQA_PAD(d); i += 16) {
            float rest[16] = {0};
            const float *from = q[r] + i;
            if (d - i < 16) from = memcpy(rest, from, sizeof *from * (size_t)(d - i));
            const vf x = vf_mul(vf_load(from), vf_set1(sm_scale));
            largest = vi_max(largest, vf_abs_bits(x));
            vf_store_bf16(to + i, x);
        }
    }
    const float a = mqa_f32_from_bits((uint32_t)vi_max_lane(largest)); /* bits of |x| are ordered as |x| */
    return isfinite(mqa_bf16_to_f32(mqa_f32_to_bf16(a)));
}

V16_INLINE void softmax_store_bf16(float *s, int t, vf p)
{
    vf_store_bf16((uint16_t *)s + t, p);
}

static void softmax_bf16(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs, float *m,
                         float *l, float *p_scale)
{
    (void)v_runs;
    *p_scale = 1.0f;
    softmax_row(s, MQA_GRANULE * n_granules, valid, softmax_store_bf16, m, l);
}

/* --- the dot products --------------------------------------------------------------------------------- */

/* acc[r][c] += the pairs of a's row r (a_stride bytes apart) times vector c of b's rows (b_stride bytes
 * from pair to pair, vector_stride from vector to vector). Both GEMMs of attention are this one. */
V16_INLINE void pairs_block(int rows, int vectors, int pairs, const char *a, size_t a_stride, const char *b,
                            size_t b_stride, size_t vector_stride, mqa_fetch fetch, vf acc[MAX_BLOCK_ROWS][4])
{
    for (int i = 0; i < pairs; i += PAIRS_DEPTH) {
        mqa_fetch_step(&fetch);
        UNROLL for (int j = 0; j < PAIRS_DEPTH; j++, b += b_stride)
        {
            pairs16 x[4];
            UNROLL for (int c = 0; c < vectors; c++) x[c] = pairs_load(b + (size_t)c * vector_stride);
            UNROLL for (int r = 0; r < rows; r++)
            {
                const row_pairs y = row_pairs_load(a + (size_t)r * a_stride + (size_t)i * MQA_CELL_BYTES);
                UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = pairs_dot(acc[r][c], x[c], y, j);
            }
        }
    }
}

V16_INLINE void clear(int rows, int vectors, vf acc[MAX_BLOCK_ROWS][4])
{
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = vf_zero();
}

V16_INLINE void scores_block(int rows, int tiles, const char *q, size_t q_stride, int d_pad, const char *k,
                             mqa_fetch fetch, float *s, size_t s_stride)
{
    vf acc[MAX_BLOCK_ROWS][4];
    clear(rows, tiles, acc);
    pairs_block(rows, tiles, d_pad / 2, q, q_stride, k, MQA_CELL_ROW, (size_t)d_pad / 2 * MQA_CELL_ROW, fetch,
                acc);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int t = 0; t < tiles; t++)
        vf_store(s + (size_t)r * s_stride + MQA_TILE * t, acc[r][t]);
}

static void scores_bf16(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                        const mqa_ahead *ahead, float *s, size_t s_stride)
{
    const int most = PAIRS_MOST_ROWS, n_blocks = (rows + most - 1) / most, d_pad = MQA_PAD(d);
    const int loops = n_granules * n_blocks * (GRANULE_TILES / (PAIRS_VECTORS(next_rows(rows, most))));
    mqa_fetch_pace pace = mqa_fetch_begin(ahead, n_granules, loops, d_pad / 2 / PAIRS_DEPTH);
    for (int g = 0; g < n_granules; g++)
        for (int r = 0, now; r < rows; r += now) {
            now = next_rows(rows - r, most);
            const char *q = (const char *)&mqa_q_row_at(q_block, r, d)->x, *k = k_runs[g];
            float *to = s + (size_t)r * s_stride + (size_t)g * MQA_GRANULE;
#define SCORES(R, T)                                                                                         \
    for (int t = 0; t < GRANULE_TILES; t += (T))                                                             \
    scores_block(R, T, q, MQA_Q_ROW_BYTES(d), d_pad, k + (size_t)t * mqa_k_tile_bytes(MQA_KV_BF16, d),       \
                 mqa_fetch_next(&pace), to + t * MQA_TILE, s_stride)
            BY_ROWS(now, SCORES, PAIRS_VECTORS)
#undef SCORES
        }
}

V16_INLINE void pv_block(int rows, int vectors, const char *p, size_t p_stride, const void *const *v_runs,
                         int n_granules, size_t d_pad, size_t column, mqa_fetch_pace *pace, float *o)
{
    vf acc[MAX_BLOCK_ROWS][4];
    clear(rows, vectors, acc);
    for (int g = 0; g < n_granules; g++)
        pairs_block(rows, vectors, MQA_GRANULE / 2, p + (size_t)g * MQA_GRANULE * 2, p_stride,
                    (const char *)v_runs[g] + MQA_CELL_BYTES * column, MQA_CELL_BYTES * d_pad, MQA_CELL_ROW,
                    mqa_fetch_next(pace), acc);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++)
        vf_store(o + (size_t)r * d_pad + column + (size_t)(16 * c), vf_add(acc[r][c], vf_zero()));
}

static void pv_bf16(const float *p, size_t p_stride, const float *p_scale, int rows,
                    const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead, float *o)
{
    (void)p_scale;
    const size_t d_pad = (size_t)MQA_PAD(d_v);
    const int most = PAIRS_MOST_ROWS, n_blocks = (rows + most - 1) / most;
    const int columns = blocks_of((int)d_pad / 16, PAIRS_VECTORS(next_rows(rows, most)));
    mqa_fetch_pace pace =
        mqa_fetch_begin(ahead, n_granules, n_granules * n_blocks * columns, MQA_GRANULE / 2 / PAIRS_DEPTH);
    for (int r = 0, now; r < rows; r += now) {
        now = next_rows(rows - r, most);
        const char *from = (const char *)(p + (size_t)r * p_stride);
        float *to = o + (size_t)r * d_pad;
        size_t c = 0;
#define PV(R, C)                                                                                             \
    for (; c + 16 * (C) <= d_pad; c += 16 * (C))                                                             \
        pv_block(R, C, from, p_stride * sizeof(float), v_runs, n_granules, d_pad, c, &pace, to);             \
    for (; c < d_pad; c += 16)                                                                               \
    pv_block(R, 1, from, p_stride * sizeof(float), v_runs, n_granules, d_pad, c, &pace, to)
        BY_ROWS(now, PV, PAIRS_VECTORS)
#undef PV
    }
}

/* --- the table ---------------------------------------------------------------------------------------- */

static void fill_rows(mqa_attention_kernels *a)
{
    a->pack_q[MQA_KV_BF16] = pack_q_bf16;
    a->softmax[MQA_KV_BF16] = softmax_bf16;
}

void PAIRS_FILL(mqa_kernels *k)
{
    mqa_attention_kernels *a = &k->attention[MQA_NUMERICS_FAST];
    fill_rows(a);
    a->recipe = PAIRS_RECIPE;
    a->scores[MQA_KV_BF16] = scores_bf16;
    a->pv[MQA_KV_BF16] = pv_bf16;
}
