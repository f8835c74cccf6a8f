/* Attention's kernels on sixteen lanes, once for each instruction set. Include after v16_<isa>.h and
 * dot8_<isa>.h, with these set:
 *
 *   ATTENTION_FILL             name of the function that fills a table
 *   ATTENTION_VECTORS(rows)    vectors of 16 in a block of 1 .. 6 rows: 1, 2 or 4
 *   ATTENTION_VECTORS_8(rows)  the same for the scores of the int8 format
 *   ATTENTION_MOST_ROWS(type)  rows of the largest block of a float format: an mqa_kv_type
 *   ATTENTION_MOST_ROWS_K8     the same for the scores of the int8 format
 *   ATTENTION_MOST_ROWS_V8     and for its P.V, where a block is one vector wide
 *
 * dot8_<isa>.h takes DOT8_DEPTH values (of d, or tokens) a step and cuts a vector of 16 into DOT8_PARTS, each
 * with sums of its own.
 *
 * A block is (rows x vectors) accumulators; with few rows it takes more vectors, so that there are enough
 * independent chains to hide the latency of FMA. The blocking never changes an output's chain.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"
#include "kernels/simd/unroll.h"
#include "kernels/template/blocks.h"
#include "kernels/template/softmax.h"
#include "kernels/template/turn.h"

#define MAX_BLOCK_ROWS 6
enum { GRANULE_TILES = MQA_GRANULE / MQA_TILE };

/* --- scores: q rows times K tiles --------------------------------------------------------------------- */

/* Value j of cells of narrow floats with so many bits and bits of exponent. Its fields are moved to where
 * those of f32 are, the sign's copies between them cut out; then the exponent lacks the difference of the
 * biases, which a product with a power of two makes good, exactly: for subnormals, too. */
V16_INLINE vf widen_float(vi cells, int j, int bits, int exponent_bits)
{
    const int fields = bits - 1, last = 23 + exponent_bits - fields; /* last: the lowest bit, when moved */
    const vi moved = vi_sra(vi_sll(cells, 32 - bits * (j + 1)), 8 - exponent_bits);
    const int32_t mask = INT32_MIN | ((1 << fields) - 1) << last;
    return vf_mul(vf_from_bits(vi_and(moved, vi_set1(mask))),
                  vf_set1(exponent_bits == 5 ? 0x1p112f : 0x1p120f));
}

/* Value j of each of sixteen cells, as f32: exact. Scales are left to others. */
V16_INLINE vf widen(mqa_kv_type type, vi cells, int j)
{
    switch (type) {
    case MQA_KV_BF16:
        return j == 0 ? vf_bf16_first(cells) : vf_bf16_second(cells);
    case MQA_KV_F16:
        return widen_float(cells, j, 16, 5);
    case MQA_KV_FP8_E4M3:
        return widen_float(cells, j, 8, 4);
    case MQA_KV_FP8_E5M2:
        return widen_float(cells, j, 8, 5);
    case MQA_KV_INT4:
        return vf_from_vi(vi_sra(vi_sll(cells, 28 - 4 * j), 28));
    default:
        return vf_from_bits(cells);
    }
}

/* Whether values take a scale when they are widened: int4's. A product of 4 bits with 8, so exact. */
V16_INLINE bool has_group_scales(mqa_kv_type type)
{
    return mqa_kv_formats[type].scale_values > 0;
}

/* Token j of eight in all lanes: its scale of a group of columns. */
V16_INLINE vf v_scale(const uint8_t *scales, int j)
{
    int32_t pair;
    memcpy(&pair, scales + j / 2 * 4, sizeof pair);
    return widen(MQA_KV_BF16, vi_set1(pair), j % 2);
}

/* Values of d (or tokens) that one round of a block's loop takes: a cell, but at least two. */
V16_INLINE int round_of(mqa_kv_type type)
{
    const int per = mqa_kv_formats[type].per_cell;
    return per > 2 ? per : 2;
}

/* acc += one round's q times k. scales: the line of the round's group from the block's first token on. */
V16_INLINE void scores_round(mqa_kv_type type, int rows, int tiles, const float *q, size_t q_stride,
                             const uint8_t *k, size_t tile_bytes, const uint8_t *scales,
                             vf acc[MAX_BLOCK_ROWS][4])
{
    const int per = mqa_kv_formats[type].per_cell;
    vf scale[4];
    if (has_group_scales(type))
        UNROLL for (int t = 0; t < tiles; t++) scale[t] = vf_load_bf16(scales + t * MQA_TILE * 2);
    UNROLL for (int j = 0; j < round_of(type); j++)
    {
        vf x[4];
        UNROLL for (int t = 0; t < tiles; t++)
        {
            x[t] = widen(type, vi_load(k + (size_t)t * tile_bytes + j / per * MQA_CELL_ROW), j % per);
            if (has_group_scales(type)) x[t] = vf_mul(x[t], scale[t]);
        }
        UNROLL for (int r = 0; r < rows; r++)
        {
            const vf y = vf_set1(q[(size_t)r * q_stride + (size_t)j]);
            UNROLL for (int t = 0; t < tiles; t++) acc[r][t] = vf_fma(y, x[t], acc[r][t]);
        }
    }
}

/* scales: the header from the block's first token on. */
V16_INLINE void scores_block(mqa_kv_type type, int rows, int tiles, const float *q, size_t q_stride, int d,
                             const uint8_t *k, size_t tile_bytes, const uint8_t *scales, mqa_fetch fetch,
                             float *s, size_t s_stride)
{
    const int per = mqa_kv_formats[type].per_cell, step = round_of(type);
    vf acc[MAX_BLOCK_ROWS][4], waiting[MQA_DOT_LEVELS][MAX_BLOCK_ROWS][4];
    for (unsigned block = 0, last = (unsigned)d / MQA_DOT_BLOCK - 1;; block++) {
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int t = 0; t < tiles; t++) acc[r][t] = vf_zero();
        const uint8_t *line = scales + mqa_kv_line_of(type, (int)block * MQA_DOT_BLOCK);
        for (int i = 0; i < MQA_DOT_BLOCK; i += step, q += step, k += step / per * MQA_CELL_ROW) {
            mqa_fetch_step(&fetch);
            scores_round(type, rows, tiles, q, q_stride, k, tile_bytes, line, acc);
        }
        /* Pairwise, as a binary counter carries: sums of 2^level blocks wait for their neighbours, and with
         * the last block all that wait are added. */
        vf(*level)[MAX_BLOCK_ROWS][4] = waiting;
        for (unsigned carry = block == last ? block : block & ~(block + 1); carry; carry >>= 1, level++)
            if (carry & 1)
                UNROLL for (int r = 0; r < rows; r++) UNROLL for (int t = 0; t < tiles; t++) acc[r][t] =
                    vf_add((*level)[r][t], acc[r][t]);
        if (block == last) break;
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int t = 0; t < tiles; t++)(*level)[r][t] =
            acc[r][t];
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int t = 0; t < tiles; t++)
    {
        vf x = acc[r][t];
        if (mqa_kv_has_token_scale(type)) x = vf_mul(x, vf_load((const float *)scales + t * MQA_TILE));
        vf_store(s + (size_t)r * s_stride + t * MQA_TILE, x);
    }
}

V16_INLINE void scores_float(mqa_kv_type type, const void *q_block, int rows, int d,
                             const void *const *k_runs, int n_granules, const mqa_ahead *ahead, float *s,
                             size_t s_stride)
{
    const int d_pad = MQA_PAD(d);
    const size_t tile_bytes = mqa_k_tile_bytes(type, d), q_stride = MQA_Q_ROW_BYTES(d) / sizeof(float);
    const int scales_step = MQA_TILE * mqa_kv_formats[type].scale_bytes, step = round_of(type);
    const int most = ATTENTION_MOST_ROWS(type), n_blocks = (rows + most - 1) / most;
    const int vectors = ATTENTION_VECTORS(next_rows(rows, most));
    mqa_fetch_pace pace =
        mqa_fetch_begin(ahead, n_granules, n_granules * n_blocks * (GRANULE_TILES / vectors), d_pad / step);
    for (int g = 0; g < n_granules; g++) {
        const uint8_t *scales = k_runs[g], *k = scales + mqa_kv_header_bytes(type, d);
        for (int r = 0, now; r < rows; r += now) {
            now = next_rows(rows - r, most);
            const float *q = mqa_q_row_at(q_block, r, d)->x.f32;
            float *to = s + (size_t)r * s_stride + (size_t)g * MQA_GRANULE;
#define SCORES(R, T)                                                                                         \
    for (int t = 0; t < GRANULE_TILES; t += (T))                                                             \
    scores_block(type, R, T, q, q_stride, d_pad, k + (size_t)t * tile_bytes, tile_bytes,                     \
                 scales + t * scales_step, mqa_fetch_next(&pace), to + t * MQA_TILE, s_stride)
            BY_ROWS(now, SCORES, ATTENTION_VECTORS)
#undef SCORES
        }
    }
}

enum { DOT8_PART_BYTES = MQA_CELL_ROW / DOT8_PARTS };

V16_INLINE void scores_int8_block(int rows, int tiles, const void *q_block, int r0, int d,
                                  const float *k_scale, const uint8_t *k, size_t tile_bytes, mqa_fetch fetch,
                                  float *s, size_t s_stride)
{
    const mqa_q_row *q[MAX_BLOCK_ROWS];
    k8_acc acc[MAX_BLOCK_ROWS][4][DOT8_PARTS];
    UNROLL for (int r = 0; r < rows; r++)
    {
        q[r] = mqa_q_row_at(q_block, r0 + r, d);
        UNROLL for (int t = 0; t < tiles; t++) UNROLL for (int j = 0; j < DOT8_PARTS; j++) acc[r][t][j] =
            k8_zero();
    }
    const int d_pad = MQA_PAD(d);
    for (int i = 0; i < d_pad; i += DOT8_DEPTH) {
        mqa_fetch_step(&fetch);
        UNROLL for (int t = 0; t < tiles; t++) UNROLL for (int j = 0; j < DOT8_PARTS; j++)
        {
            const bytes16 x =
                k8_load(k + (size_t)t * tile_bytes + (size_t)i * MQA_TILE + j * DOT8_PART_BYTES);
            UNROLL for (int r = 0; r < rows; r++) acc[r][t][j] = k8_step(acc[r][t][j], x, q[r], d_pad, i);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int t = 0; t < tiles; t++)
    {
        const vi unbiased = vi_sub(k8_total(acc[r][t]), vi_set1((int32_t)(128u * (uint32_t)q[r]->sum)));
        const vf x = vf_mul(vf_from_vi(unbiased), vf_set1(q[r]->scale));
        vf_store(s + (size_t)r * s_stride + t * MQA_TILE, vf_mul(x, vf_load(k_scale + t * MQA_TILE)));
    }
}

static void scores_int8(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                        const mqa_ahead *ahead, float *s, size_t s_stride)
{
    const size_t tile_bytes = mqa_k_tile_bytes(MQA_KV_INT8, d);
    const int most = ATTENTION_MOST_ROWS_K8, n_blocks = (rows + most - 1) / most;
    const int vectors = ATTENTION_VECTORS_8(next_rows(rows, most));
    mqa_fetch_pace pace = mqa_fetch_begin(
        ahead, n_granules, n_granules * n_blocks * (GRANULE_TILES / vectors), MQA_PAD(d) / DOT8_DEPTH);
    for (int g = 0; g < n_granules; g++) {
        const float *k_scale = k_runs[g];
        const uint8_t *k = (const uint8_t *)k_scale + mqa_kv_header_bytes(MQA_KV_INT8, d);
        for (int r = 0, now; r < rows; r += now) {
            now = next_rows(rows - r, most);
            float *to = s + (size_t)r * s_stride + (size_t)g * MQA_GRANULE;
#define SCORES(R, T)                                                                                         \
    for (int t = 0; t < GRANULE_TILES; t += (T))                                                             \
    scores_int8_block(R, T, q_block, r, d, k_scale + t * MQA_TILE, k + (size_t)t * tile_bytes, tile_bytes,   \
                      mqa_fetch_next(&pace), to + t * MQA_TILE, s_stride)
            BY_ROWS(now, SCORES, ATTENTION_VECTORS_8)
#undef SCORES
        }
    }
}

/* --- softmax of a span -------------------------------------------------------------------------------- */

static void softmax_float(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                          float *m, float *l, float *p_scale)
{
    (void)v_runs;
    *p_scale = 1.0f;
    softmax_row(s, MQA_GRANULE * n_granules, valid, softmax_store_f32, m, l);
}

/* p times V's scales; returns the largest. */
V16_INLINE float scale_p(float *s, int n_granules, const void *const *v_runs)
{
    vf top = vf_zero();
    for (int t = 0; t < MQA_GRANULE * n_granules; t += MQA_TILE) {
        const float *v_scale = (const float *)v_runs[t / MQA_GRANULE] + t % MQA_GRANULE;
        const vf w = vf_mul(vf_load(s + t), vf_load(v_scale));
        vf_store(s + t, w);
        top = vf_max(w, top);
    }
    return vf_tree_max(top);
}

static void softmax_scaled(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                           float *m, float *l, float *p_scale)
{
    softmax_float(s, n_granules, valid, v_runs, m, l, p_scale);
    scale_p(s, n_granules, v_runs);
}

/* store puts u of tokens t .. t + 15 into the place of their scores. */
V16_INLINE void softmax_int8_row(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                                 void (*store)(float *s, vi u), float *m, float *l, float *p_scale)
{
    const int n = MQA_GRANULE * n_granules;
    softmax_row(s, n, valid, softmax_store_f32, m, l);
    float largest = scale_p(s, n_granules, v_runs);
    float inv = largest > 0.0f ? 65535.0f / largest : 0.0f;
    if (!isfinite(inv)) largest = inv = 0.0f;
    *p_scale = largest / 65535.0f;
    for (int t = 0; t < n; t += MQA_TILE) {
        const vf u = vf_min(vf_mul(vf_load(s + t), vf_set1(inv)), vf_set1(65535.0f));
        store(s + t, vi_from_vf(u));
    }
}

static void softmax_int8(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs, float *m,
                         float *l, float *p_scale)
{
    softmax_int8_row(s, n_granules, valid, v_runs, v8_store_p, m, l, p_scale);
}

/* --- what may come between scores and softmax ---------------------------------------------------------- */

static void softcap(float *s, int n, float cap)
{
    const vf c = vf_set1(cap);
    for (int t = 0; t < n; t += 16) vf_store(s + t, vf_mul(c, vf_tanh(vf_div(vf_load(s + t), c))));
}

static void alibi(float *s, int n, float slope, int32_t first)
{
    static const int32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int t = 0; t < n; t += 16) {
        const vf distance = vf_from_vi(vi_add(vi_set1(first + t), vi_load(lane)));
        vf_store(s + t, vf_fma(vf_set1(slope), distance, vf_load(s + t)));
    }
}

/* --- P.V ---------------------------------------------------------------------------------------------- */

/* o += one granule's p times v. scales: the header from the group of the block's first column on. */
V16_INLINE void pv_block(mqa_kv_type type, int rows, int vectors, const float *p, size_t p_stride,
                         const uint8_t *v, const uint8_t *scales, size_t d_pad, mqa_fetch fetch, float *o)
{
    const int per = mqa_kv_formats[type].per_cell, step = round_of(type);
    const size_t row_bytes = d_pad * MQA_CELL_BYTES;
    vf acc[MAX_BLOCK_ROWS][4];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = vf_zero();
    for (int t = 0; t < MQA_GRANULE; t += step, v += (size_t)(step / per) * row_bytes) {
        mqa_fetch_step(&fetch);
        UNROLL for (int j = 0; j < step; j++)
        {
            vf x[4];
            UNROLL for (int c = 0; c < vectors; c++)
            {
                x[c] = widen(type, vi_load(v + (size_t)(j / per) * row_bytes + (size_t)c * MQA_CELL_ROW),
                             j % per);
                if (has_group_scales(type))
                    x[c] = vf_mul(x[c], v_scale(scales + mqa_kv_line_of(type, 16 * c) + 2 * t, j));
            }
            UNROLL for (int r = 0; r < rows; r++)
            {
                const vf y = vf_set1(p[(size_t)r * p_stride + (size_t)(t + j)]);
                UNROLL for (int c = 0; c < vectors; c++) acc[r][c] = vf_fma(y, x[c], acc[r][c]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < vectors; c++)
    {
        float *to = o + (size_t)r * d_pad + c * 16;
        vf_store(to, vf_add(vf_load(to), acc[r][c]));
    }
}

V16_INLINE void pv_float(mqa_kv_type type, const float *p, size_t p_stride, int rows,
                         const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead, float *o)
{
    const int d_pad = MQA_PAD(d_v), most = ATTENTION_MOST_ROWS(type), n_blocks = (rows + most - 1) / most;
    mqa_fetch_pace pace = mqa_fetch_begin(ahead, n_granules,
                                          n_granules * n_blocks *
                                              blocks_of(d_pad / 16, ATTENTION_VECTORS(next_rows(rows, most))),
                                          MQA_GRANULE / round_of(type));
    memset(o, 0, sizeof *o * (size_t)rows * (size_t)d_pad);
    for (int g = 0; g < n_granules; g++) {
        const uint8_t *scales = v_runs[g], *v = scales + mqa_kv_header_bytes(type, d_v);
        for (int r = 0, now; r < rows; r += now) {
            now = next_rows(rows - r, most);
            const float *from = p + (size_t)r * p_stride + (size_t)g * MQA_GRANULE;
            float *to = o + (size_t)r * (size_t)d_pad;
            int c = 0;
#define PV(R, C)                                                                                             \
    for (; c + 16 * (C) <= d_pad; c += 16 * (C))                                                             \
        pv_block(type, R, C, from, p_stride, v + (size_t)c * 4, scales + mqa_kv_line_of(type, c),            \
                 (size_t)d_pad, mqa_fetch_next(&pace), to + c);                                              \
    for (; c < d_pad; c += 16)                                                                               \
    pv_block(type, R, 1, from, p_stride, v + (size_t)c * 4, scales + mqa_kv_line_of(type, c), (size_t)d_pad, \
             mqa_fetch_next(&pace), to + c)
            BY_ROWS(now, PV, ATTENTION_VECTORS)
#undef PV
        }
    }
}

V16_INLINE void pv_int8_block(int rows, const float *p, size_t p_stride, const float *p_scale,
                              const void *const *v_runs, int n_granules, size_t d_pad, size_t column,
                              mqa_fetch_pace *pace, float *o)
{
    v8_acc acc[MAX_BLOCK_ROWS][DOT8_PARTS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < DOT8_PARTS; j++) acc[r][j] = v8_zero();
    for (int g = 0; g < n_granules; g++) {
        const uint8_t *v = (const uint8_t *)v_runs[g] + mqa_kv_header_bytes(MQA_KV_INT8, 0) + column * 4;
        mqa_fetch fetch = mqa_fetch_next(pace);
        for (int t = 0; t < MQA_GRANULE; t += DOT8_DEPTH, v += d_pad * DOT8_DEPTH) {
            mqa_fetch_step(&fetch);
            UNROLL for (int j = 0; j < DOT8_PARTS; j++)
            {
                const bytes16 x = v8_load(v + j * DOT8_PART_BYTES, d_pad * 4);
                UNROLL for (int r = 0; r < rows; r++) acc[r][j] =
                    v8_step(acc[r][j], x, p + (size_t)r * p_stride + (size_t)(g * MQA_GRANULE + t));
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
    {
        const vf sum = vf_mul(v8_total(acc[r]), vf_set1(p_scale[r]));
        vf_store(o + (size_t)r * d_pad + column, vf_add(sum, vf_zero()));
    }
}

static void pv_int8(const float *p, size_t p_stride, const float *p_scale, int rows,
                    const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead, float *o)
{
    const size_t d_pad = (size_t)MQA_PAD(d_v);
    const int most = ATTENTION_MOST_ROWS_V8, n_blocks = (rows + most - 1) / most;
    mqa_fetch_pace pace = mqa_fetch_begin(ahead, n_granules, n_granules * n_blocks * (int)(d_pad / 16),
                                          MQA_GRANULE / DOT8_DEPTH);
    for (int r = 0, now; r < rows; r += now) {
        now = next_rows(rows - r, most);
        const float *from = p + (size_t)r * p_stride, *scale = p_scale + r;
        float *to = o + (size_t)r * d_pad;
#define ONE_VECTOR(rows) 1
#define PV(R, C)                                                                                             \
    for (size_t c = 0; c < d_pad; c += 16)                                                                   \
    pv_int8_block(R, from, p_stride, scale, v_runs, n_granules, d_pad, c, &pace, to)
        BY_ROWS(now, PV, ONE_VECTOR)
#undef ONE_VECTOR
#undef PV
    }
}

/* --- states ------------------------------------------------------------------------------------------- */

static void fold(int rows, int d_v, float *a_m, float *a_l, float *a_o, const float *b_m, const float *b_l,
                 const float *b_o)
{
    const size_t d_pad = (size_t)MQA_PAD(d_v);
    for (int r = 0; r < rows; r++) {
        const float m = a_m[r] > b_m[r] ? a_m[r] : b_m[r];
        const float wa = m == -INFINITY ? 0.0f : mqa_exp_reference(a_m[r] - m);
        const float wb = m == -INFINITY ? 0.0f : mqa_exp_reference(b_m[r] - m);
        a_m[r] = m;
        a_l[r] = fmaf(a_l[r], wa, b_l[r] * wb);
        for (size_t i = (size_t)r * d_pad; i < (size_t)(r + 1) * d_pad; i += 16)
            vf_store(a_o + i, vf_fma(vf_load(a_o + i), vf_set1(wa), vf_mul(vf_load(b_o + i), vf_set1(wb))));
    }
}

/* --- the table ---------------------------------------------------------------------------------------- */

MQA_FLOAT_FORMATS(FLOAT_KERNELS)

void ATTENTION_FILL(mqa_kernels *k)
{
    for (int numerics = 0; numerics < 2; numerics++) {
        mqa_attention_kernels *a = &k->attention[numerics];
#define FILL(TYPE, SUFFIX)                                                                                   \
    a->scores[TYPE] = scores_##SUFFIX;                                                                       \
    a->softmax[TYPE] = mqa_kv_has_token_scale(TYPE) ? softmax_scaled : softmax_float;                        \
    a->pv[TYPE] = pv_##SUFFIX;
        MQA_FLOAT_FORMATS(FILL)
#undef FILL
        a->pack_q[MQA_KV_INT8] = dot8_pack_q;
        a->scores[MQA_KV_INT8] = scores_int8;
        a->softmax[MQA_KV_INT8] = softmax_int8;
        a->pv[MQA_KV_INT8] = pv_int8;
        a->softcap = softcap;
        a->alibi = alibi;
        a->fold = fold;
        a->v_from_k = v_from_k;
    }
}
