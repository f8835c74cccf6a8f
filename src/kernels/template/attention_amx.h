/* The bf16 format's dot products on tile registers (recipe amx-bf16/1), once on AMX and once in plain C.
 * Include after tile_amx.h or tile_c.h, with AMX_FILL set to the name of the function that fills a
 * table, and AMX_ROWS to that which fills in pack_q and softmax.
 *
 * Sixteen rows fill the A operand. Four C tiles share each load of A: the four tiles of a granule for the
 * scores, four blocks of 16 columns for P.V. Where d isn't a multiple of 32, the last block is half deep.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

/* Tiles 0-3: C [rows][16] f32. 4: A [rows][32] bf16, 5: B [16][16][2] bf16; 6, 7: those, half deep. */
static tile_config amx_shape(int rows)
{
    tile_config c = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        c.rows[t] = (uint8_t)(t == 5 ? 16 : t == 7 ? 8 : rows);
        c.colsb[t] = t == 6 ? 32 : 64;
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
                       float *s, size_t s_stride)
{
    TILE_STATE(tiles);
    const size_t q_stride = MQA_Q_ROW_BYTES(d), tile_bytes = (size_t)32 * (size_t)MQA_PAD(d);
    const int pairs = MQA_PAD(d) / 2; /* a multiple of 8 */
    for (int r = 0; r < rows; r += 16) {
        const tile_config shape = amx_shape(rows - r < 16 ? rows - r : 16);
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
                   int n_granules, int d_v, float *o)
{
    (void)p_scale;
    TILE_STATE(tiles);
    const size_t d_pad = (size_t)MQA_PAD(d_v), v_stride = 4 * d_pad, o_stride = d_pad * sizeof(float);
    for (int r = 0; r < rows; r += 16) {
        const tile_config shape = amx_shape(rows - r < 16 ? rows - r : 16);
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

void AMX_FILL(mqa_kernels *k)
{
    mqa_attention_kernels *a = &k->attention[MQA_NUMERICS_FAST];
    AMX_ROWS(a);
    a->recipe = "amx-bf16/1";
    a->scores[MQA_KV_BF16] = scores_amx;
    a->pv[MQA_KV_BF16] = pv_amx;
}
