/* AMX's tile operations in plain C, with the bits of the hardware: what tile_amx.h does on any machine.
 * Tile numbers are constants, as the instructions want them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_TILE_C_H
#define MQA_KERNELS_SIMD_TILE_C_H

#include <stdint.h>
#include <string.h>

#include "kernels/reference/bf16_dot.h"
#include "kernels/simd/tile_config.h"

typedef struct tile_state {
    const tile_config *config;
    struct {
        uint8_t row[16][64];
    } tile[8];
} tile_state;

#define TILE_STATE(name)                tile_state name
#define TILE_CONFIG(state, cfg)         ((state).config = (cfg))
#define TILE_RELEASE(state)             ((void)(state))
#define TILE_ZERO(state, t)             memset(&(state).tile[t], 0, sizeof(state).tile[t])
#define TILE_LOAD(state, t, p, stride)  tile_c_load(&(state), t, p, stride)
#define TILE_STORE(state, t, p, stride) tile_c_store(&(state), t, p, stride)
#define TILE_DPBF16(state, c, a, b)     tile_c_dpbf16(&(state), c, a, b)
#define TILE_DPSU8(state, c, a, b)      tile_c_dp8(&(state), c, a, b, 1) /* A signed, B unsigned bytes */
#define TILE_DPUS8(state, c, a, b)      tile_c_dp8(&(state), c, a, b, 0) /* the other way round */

static inline void tile_c_load(tile_state *state, int t, const void *p, size_t stride)
{
    memset(&state->tile[t], 0, sizeof state->tile[t]);
    for (int r = 0; r < state->config->rows[t]; r++)
        memcpy(state->tile[t].row[r], (const char *)p + (size_t)r * stride, state->config->colsb[t]);
}

static inline void tile_c_store(const tile_state *state, int t, void *p, size_t stride)
{
    for (int r = 0; r < state->config->rows[t]; r++)
        memcpy((char *)p + (size_t)r * stride, state->tile[t].row[r], state->config->colsb[t]);
}

/* tdpbf16ps, from Intel's description of it. */
static inline void tile_c_dpbf16(tile_state *state, int c, int a, int b)
{
    for (int m = 0; m < state->config->rows[c]; m++)
        for (int n = 0; n < state->config->colsb[c] / 4; n++) {
            float even = 0.0f, odd = 0.0f, sum;
            for (int k = 0; k < state->config->colsb[a] / 4; k++) {
                uint16_t x[2], y[2];
                memcpy(x, &state->tile[a].row[m][4 * k], sizeof x);
                memcpy(y, &state->tile[b].row[k][4 * n], sizeof y);
                even = mqa_bf16_fma_flushed(x[0], y[0], even);
                odd = mqa_bf16_fma_flushed(x[1], y[1], odd);
            }
            memcpy(&sum, &state->tile[c].row[m][4 * n], sizeof sum);
            sum = mqa_add_flushed(sum, mqa_add_flushed(even, odd));
            memcpy(&state->tile[c].row[m][4 * n], &sum, sizeof sum);
        }
}

static inline void tile_c_dp8(tile_state *state, int c, int a, int b, int a_signed)
{
    for (int m = 0; m < state->config->rows[c]; m++)
        for (int n = 0; n < state->config->colsb[c] / 4; n++) {
            int32_t sum;
            memcpy(&sum, &state->tile[c].row[m][4 * n], sizeof sum);
            for (int k = 0; k < state->config->colsb[a]; k++) {
                const uint8_t x = state->tile[a].row[m][k], y = state->tile[b].row[k / 4][4 * n + k % 4];
                sum += a_signed ? (int8_t)x * (int)y : (int)x * (int8_t)y;
            }
            memcpy(&state->tile[c].row[m][4 * n], &sum, sizeof sum);
        }
}

#endif
