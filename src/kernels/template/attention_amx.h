/* Attention's dot products on tile registers, once on AMX and once in plain C: those of the bf16 format
 * (recipe amx-bf16) and of int8 (exact, so their bits are everyone's). Include after tile_amx.h or
 * tile_c.h, with these set:
 *
 *   AMX_FILL          name of the function that fills a table
 *   AMX_BF16_ROWS     function that fills in pack_q and softmax of the bf16 recipes
 *   AMX_SOFTMAX_INT8  softmax that leaves u_t as 32 bits in the place of each score
 *
 * Sixteen rows fill the A operand. bf16: four C tiles share each load of A, the four tiles of a granule for
 * the scores, four blocks of 16 columns for P.V. int8: two and two, for the high and the low digit. Where d
 * isn't a multiple of the depth of a tile, the last block is less deep.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

/* Tiles 0-3: C [rows][16]. 4: A [rows][64 bytes], 5: B [16][64 bytes]; 6, 7: those, `rest` bytes deep. */
static tile_config amx_shape(int rows, int rest)
{
    tile_config c = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        c.rows[t] = (uint8_t)(t == 5 ? 16 : t == 7 ? rest / 4 : rows);
        c.colsb[t] = (uint16_t)(t == 6 ? rest : 64);
    }
    return c;
}

#define C_ZERO(state)                                                                                        \
    do {                                                                                                     \
        TILE_ZERO(state, 0);                                                                                 \
        TILE_ZERO(state, 1);                                                                                 \
        TILE_ZERO(state, 2);                                                                                 \
        TILE_ZERO(state, 3);                                                                                 \
    } while (0)

/* C tile c += A (tile a) times the B at p (through tile b). */
#define STEP(state, c, a, b, p, stride)                                                                      \
    do {                                                                                                     \
        TILE_LOAD(state, b, p, stride);                                                                      \
        TILE_DPBF16(state, c, a, b);                                                                         \
    } while (0)

static void scores_amx(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                       const mqa_ahead *ahead, float *s, size_t s_stride)
{
    (void)ahead;
    TILE_STATE(tiles);
    const size_t q_stride = MQA_Q_ROW_BYTES(d), tile_bytes = (size_t)32 * (size_t)MQA_PAD(d);
    const int pairs = MQA_PAD(d) / 2; /* a multiple of 8 */
    for (int r = 0; r < rows; r += 16) {
        const tile_config shape = amx_shape(rows - r < 16 ? rows - r : 16, 32);
        TILE_CONFIG(tiles, &shape);
        const char *q = (const char *)&mqa_q_row_at(q_block, r, d)->x;
        for (int g = 0; g < n_granules; g++) {
            const char *k = k_runs[g];
            int p = 0;
            C_ZERO(tiles);
            for (; p + 16 <= pairs; p += 16) {
                const char *b = k + (size_t)p * 64;
                TILE_LOAD(tiles, 4, q + 4 * p, q_stride);
                STEP(tiles, 0, 4, 5, b, 64);
                STEP(tiles, 1, 4, 5, b + tile_bytes, 64);
                STEP(tiles, 2, 4, 5, b + 2 * tile_bytes, 64);
                STEP(tiles, 3, 4, 5, b + 3 * tile_bytes, 64);
            }
            if (p < pairs) {
                const char *b = k + (size_t)p * 64;
                TILE_LOAD(tiles, 6, q + 4 * p, q_stride);
                STEP(tiles, 0, 6, 7, b, 64);
                STEP(tiles, 1, 6, 7, b + tile_bytes, 64);
                STEP(tiles, 2, 6, 7, b + 2 * tile_bytes, 64);
                STEP(tiles, 3, 6, 7, b + 3 * tile_bytes, 64);
            }
            float *to = s + (size_t)r * s_stride + (size_t)g * MQA_GRANULE;
            TILE_STORE(tiles, 0, to, s_stride * sizeof(float));
            TILE_STORE(tiles, 1, to + 16, s_stride * sizeof(float));
            TILE_STORE(tiles, 2, to + 32, s_stride * sizeof(float));
            TILE_STORE(tiles, 3, to + 48, s_stride * sizeof(float));
        }
    }
    TILE_RELEASE(tiles);
}

static void pv_amx(const float *p, size_t p_stride, const float *p_scale, int rows, const void *const *v_runs,
                   int n_granules, int d_v, const mqa_ahead *ahead, float *o)
{
    (void)ahead;
    (void)p_scale;
    TILE_STATE(tiles);
    const size_t d_pad = (size_t)MQA_PAD(d_v), v_stride = 4 * d_pad, o_stride = d_pad * sizeof(float);
    for (int r = 0; r < rows; r += 16) {
        const tile_config shape = amx_shape(rows - r < 16 ? rows - r : 16, 32);
        TILE_CONFIG(tiles, &shape);
        for (size_t c = 0; c < d_pad; c += 64) {
            const int blocks = d_pad - c < 64 ? (int)(d_pad - c) / 16 : 4;
            C_ZERO(tiles);
            for (int g = 0; g < n_granules; g++) {
                for (int half = 0; half < 2; half++) { /* 32 tokens */
                    const char *a =
                        (const char *)(p + (size_t)r * p_stride) + (g * MQA_GRANULE + 32 * half) * 2;
                    const char *b = (const char *)v_runs[g] + (size_t)half * 16 * v_stride + 4 * c;
                    TILE_LOAD(tiles, 4, a, p_stride * sizeof(float));
                    STEP(tiles, 0, 4, 5, b, v_stride);
                    if (blocks > 1) STEP(tiles, 1, 4, 5, b + 64, v_stride);
                    if (blocks > 2) STEP(tiles, 2, 4, 5, b + 128, v_stride);
                    if (blocks > 3) STEP(tiles, 3, 4, 5, b + 192, v_stride);
                }
            }
            float *to = o + (size_t)r * d_pad + c;
            TILE_STORE(tiles, 0, to, o_stride);
            if (blocks > 1) TILE_STORE(tiles, 1, to + 16, o_stride);
            if (blocks > 2) TILE_STORE(tiles, 2, to + 32, o_stride);
            if (blocks > 3) TILE_STORE(tiles, 3, to + 48, o_stride);
        }
    }
    TILE_RELEASE(tiles);
    for (size_t i = 0; i < (size_t)rows * d_pad; i++) o[i] += 0.0f;
}

/* --- int8 --- */

enum { DEPTH = 64 /* bytes */ };

/* A tile a: digits of q; C tiles high (0, 1) and low (2, 3) of two K tiles. */
#define STEP8(state, a, b, q_high, q_low, q_stride, k, tile_bytes)                                           \
    do {                                                                                                     \
        TILE_LOAD(state, a, q_high, q_stride);                                                               \
        TILE_LOAD(state, b, k, 64);                                                                          \
        TILE_DPSU8(state, 0, a, b);                                                                          \
        TILE_LOAD(state, b, (k) + (tile_bytes), 64);                                                         \
        TILE_DPSU8(state, 1, a, b);                                                                          \
        TILE_LOAD(state, a, q_low, q_stride);                                                                \
        TILE_DPSU8(state, 3, a, b);                                                                          \
        TILE_LOAD(state, b, k, 64);                                                                          \
        TILE_DPSU8(state, 2, a, b);                                                                          \
    } while (0)

static void scores_amx8(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                        const mqa_ahead *ahead, float *s, size_t s_stride)
{
    (void)ahead;
    TILE_STATE(tiles);
    const int d_pad = MQA_PAD(d), rest = d_pad % DEPTH;
    const size_t q_stride = MQA_Q_ROW_BYTES(d), tile_bytes = (size_t)MQA_TILE * (size_t)d_pad;
    for (int r = 0; r < rows; r += 16) {
        const int n = rows - r < 16 ? rows - r : 16;
        const tile_config shape = amx_shape(n, rest ? rest : DEPTH);
        TILE_CONFIG(tiles, &shape);
        const char *high = (const char *)&mqa_q_row_at(q_block, r, d)->x, *low = high + d_pad;
        for (int g = 0; g < n_granules; g++)
            for (int t = 0; t < MQA_GRANULE; t += 2 * MQA_TILE) {
                const float *k_scale = (const float *)k_runs[g] + t;
                const char *k = (const char *)k_runs[g] + MQA_GRANULE * sizeof(float) +
                                (size_t)(t / MQA_TILE) * tile_bytes;
                int i = 0;
                C_ZERO(tiles);
                for (; i + DEPTH <= d_pad; i += DEPTH)
                    STEP8(tiles, 4, 5, high + i, low + i, q_stride, k + (size_t)i * MQA_TILE, tile_bytes);
                if (rest)
                    STEP8(tiles, 6, 7, high + i, low + i, q_stride, k + (size_t)i * MQA_TILE, tile_bytes);
                int32_t c[4][16][16];
                TILE_STORE(tiles, 0, c[0], 64);
                TILE_STORE(tiles, 1, c[1], 64);
                TILE_STORE(tiles, 2, c[2], 64);
                TILE_STORE(tiles, 3, c[3], 64);
                for (int row = 0; row < n; row++) {
                    const mqa_q_row *q = mqa_q_row_at(q_block, r + row, d);
                    float *to = s + (size_t)(r + row) * s_stride + (size_t)(g * MQA_GRANULE + t);
                    for (int j = 0; j < 2 * MQA_TILE; j++) {
                        const uint32_t total = 128u * (uint32_t)c[j / 16][row][j % 16] +
                                               (uint32_t)c[2 + j / 16][row][j % 16] - 128u * (uint32_t)q->sum;
                        to[j] = ((float)(int32_t)total * q->scale) * k_scale[j];
                    }
                }
            }
    }
    TILE_RELEASE(tiles);
}

/* The digits of u: of each granule 64 high ones, then 64 low ones, from the row's begin on. */
static void softmax_amx8(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs, float *m,
                         float *l, float *p_scale)
{
    AMX_SOFTMAX_INT8(s, n_granules, valid, v_runs, m, l, p_scale);
    for (int g = 0; g < n_granules; g++) {
        uint32_t u[MQA_GRANULE];
        uint8_t digits[2 * MQA_GRANULE];
        memcpy(u, s + g * MQA_GRANULE, sizeof u);
        for (int t = 0; t < MQA_GRANULE; t++) digits[t] = (uint8_t)(u[t] >> 8);
        for (int t = 0; t < MQA_GRANULE; t++) digits[MQA_GRANULE + t] = (uint8_t)u[t];
        memcpy((char *)s + g * sizeof digits, digits, sizeof digits);
    }
}

static void pv_amx8(const float *p, size_t p_stride, const float *p_scale, int rows,
                    const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead, float *o)
{
    (void)ahead;
    TILE_STATE(tiles);
    const size_t d_pad = (size_t)MQA_PAD(d_v), v_stride = 4 * d_pad, a_stride = p_stride * sizeof(float);
    for (int r = 0; r < rows; r += 16) {
        const int n = rows - r < 16 ? rows - r : 16;
        const tile_config shape = amx_shape(n, DEPTH);
        TILE_CONFIG(tiles, &shape);
        for (size_t c = 0; c < d_pad; c += 32) {
            const int two = d_pad - c >= 32;
            C_ZERO(tiles);
            for (int g = 0; g < n_granules; g++) {
                const char *a = (const char *)(p + (size_t)r * p_stride) + g * 2 * MQA_GRANULE;
                const char *b = (const char *)v_runs[g] + MQA_GRANULE * sizeof(float) + 4 * c;
                TILE_LOAD(tiles, 4, a, a_stride);
                TILE_LOAD(tiles, 6, a + MQA_GRANULE, a_stride);
                TILE_LOAD(tiles, 5, b, v_stride);
                TILE_DPUS8(tiles, 0, 4, 5);
                TILE_DPUS8(tiles, 2, 6, 5);
                if (!two) continue;
                TILE_LOAD(tiles, 5, b + 64, v_stride);
                TILE_DPUS8(tiles, 1, 4, 5);
                TILE_DPUS8(tiles, 3, 6, 5);
            }
            int32_t sums[4][16][16];
            TILE_STORE(tiles, 0, sums[0], 64);
            TILE_STORE(tiles, 1, sums[1], 64);
            TILE_STORE(tiles, 2, sums[2], 64);
            TILE_STORE(tiles, 3, sums[3], 64);
            for (int row = 0; row < n; row++)
                for (int j = 0; j < (two ? 32 : 16); j++)
                    o[(size_t)(r + row) * d_pad + c + (size_t)j] =
                        fmaf((float)sums[j / 16][row][j % 16], 256.0f, (float)sums[2 + j / 16][row][j % 16]) *
                            p_scale[r + row] +
                        0.0f;
        }
    }
    TILE_RELEASE(tiles);
}

void AMX_FILL(mqa_kernels *k)
{
    mqa_attention_kernels *a = &k->attention[MQA_NUMERICS_FAST];
    AMX_BF16_ROWS(a);
    a->recipe = MQA_RECIPE_AMX_BF16;
    a->scores[MQA_KV_BF16] = scores_amx;
    a->pv[MQA_KV_BF16] = pv_amx;
    for (int numerics = 0; numerics < 2; numerics++) {
        a = &k->attention[numerics];
        a->pack_q[MQA_KV_INT8] = mqa_pack_q_int8_digits;
        a->scores[MQA_KV_INT8] = scores_amx8;
        a->softmax[MQA_KV_INT8] = softmax_amx8;
        a->pv[MQA_KV_INT8] = pv_amx8;
    }
}
