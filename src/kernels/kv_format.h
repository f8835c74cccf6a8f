/* The cache formats, described once for all who touch a run: how values fill cells, and what scales stand
 * before them. A cell is 4 bytes of a run: some values along d of one token (K), or of some tokens in one
 * column (V). Value j of a cell is its bits [j * w, (j + 1) * w), w = 32 / per_cell (little-endian machines).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_KV_FORMAT_H
#define MQA_KERNELS_KV_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/constants.h"
#include "mqa/cache.h"

#define MQA_PAD(d)     (((d) + 15) / 16 * 16)
#define MQA_CELL_BYTES 4
#define MQA_CELL_ROW   (MQA_TILE * MQA_CELL_BYTES) /* a K tile's row: a cell of each of its tokens */

typedef struct mqa_kv_format {
    int per_cell;     /* values in a cell */
    int scale_bytes;  /* of one scale; 0: the format has none */
    int scale_values; /* values along d that share it; 0: all of the token's */
} mqa_kv_format;

static const mqa_kv_format mqa_kv_formats[MQA_KV_TYPES] = {
    [MQA_KV_F32] = {.per_cell = 1},
    [MQA_KV_BF16] = {.per_cell = 2},
    [MQA_KV_INT8] = {.per_cell = 4, .scale_bytes = 4},
    [MQA_KV_F16] = {.per_cell = 2},
    [MQA_KV_FP8_E4M3] = {.per_cell = 4, .scale_bytes = 4},
    [MQA_KV_FP8_E5M2] = {.per_cell = 4, .scale_bytes = 4},
    [MQA_KV_INT4] = {.per_cell = 8, .scale_bytes = 2, .scale_values = 32},
};

/* X(type, suffix of its functions) for the formats whose values are widened to f32, exactly: all but int8,
 * which has integer arithmetic of its own. */
#define MQA_FLOAT_FORMATS(X)                                                                                 \
    X(MQA_KV_F32, f32)                                                                                       \
    X(MQA_KV_BF16, bf16)                                                                                     \
    X(MQA_KV_F16, f16)                                                                                       \
    X(MQA_KV_FP8_E4M3, fp8_e4m3)                                                                             \
    X(MQA_KV_FP8_E5M2, fp8_e5m2)                                                                             \
    X(MQA_KV_INT4, int4)

/* The header is one line of f32: a factor of all values of its token, not of each when it is widened. */
static inline bool mqa_kv_has_token_scale(mqa_kv_type type)
{
    return mqa_kv_formats[type].scale_bytes > 0 && mqa_kv_formats[type].scale_values == 0;
}

/* Lines of scales before a run's cells; a line has one for each of the 64 tokens. */
static inline int mqa_kv_scale_lines(mqa_kv_type type, int d)
{
    const mqa_kv_format *format = &mqa_kv_formats[type];
    if (format->scale_values == 0) return format->scale_bytes > 0;
    return (d + format->scale_values - 1) / format->scale_values;
}

static inline size_t mqa_kv_line_bytes(mqa_kv_type type)
{
    return MQA_GRANULE * (size_t)mqa_kv_formats[type].scale_bytes;
}

/* Where the line with the scales of value i begins, in bytes of the header. */
static inline size_t mqa_kv_line_of(mqa_kv_type type, int i)
{
    const int values = mqa_kv_formats[type].scale_values;
    return values ? (size_t)(i / values) * mqa_kv_line_bytes(type) : 0;
}

static inline size_t mqa_kv_header_bytes(mqa_kv_type type, int d)
{
    return (size_t)mqa_kv_scale_lines(type, d) * mqa_kv_line_bytes(type);
}

/* Bytes of a K tile's cells: 16 tokens. */
static inline size_t mqa_k_tile_bytes(mqa_kv_type type, int d)
{
    return (size_t)(MQA_PAD(d) / mqa_kv_formats[type].per_cell) * MQA_CELL_ROW;
}

/* Bytes of a row of V's cells: per_cell tokens. */
static inline size_t mqa_v_row_bytes(int d_v)
{
    return (size_t)MQA_PAD(d_v) * MQA_CELL_BYTES;
}

#endif
