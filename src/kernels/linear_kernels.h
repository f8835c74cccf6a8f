/* The kernels of linear layers: y = W x for quantised W, over the same tiles as attention's int8 K.
 *
 * Weights are cut into tiles of 16 outputs. A tile is a sequence of blocks of 32 inputs; a block holds
 *
 *   scale[groups][16], then min[groups][16] if has_min (f16 or f32; groups = 32 / group)
 *   the quants: unsigned q of `bits` bits, whose 8-bit form is [8][16][4] (step = input / 4, output, input %
 * 4): 8 bits   that form, 512 bytes 4 bits   256 bytes: byte j holds form[j] in its low and form[j + 256] in
 * its high nibble 5 bits   as 4 bits, then 64 bytes: bit s of byte i is the fifth bit of form[64 * s + i] 6
 * bits   as 4 bits, then 128 bytes: bits 2 * (s / 2), +1 of byte 64 * (s % 2) + i are the top bits of form[64
 * * s + i]
 *
 * and means w = (q - zero) * scale + min. Inputs are padded to 32 and outputs to 16 by zero scales and mins.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_LINEAR_KERNELS_H
#define MQA_KERNELS_LINEAR_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MQA_LINEAR_BLOCK 32
/* Blocks of activations whose largest magnitude is below this, infinite or NaN have all quants zero. */
#define MQA_LINEAR_LEAST 0x1p-100f

typedef struct mqa_linear_format {
    uint8_t bits;  /* 4, 5, 6, 8 */
    uint8_t zero;  /* 0, 4, 8, 16, 32, 128 */
    uint8_t group; /* 16 or 32 inputs a scale */
    bool has_min;
    bool f16_scales; /* scales and mins kept as f16 (exactly), else f32 */
} mqa_linear_format;

typedef struct mqa_linear_weight {
    mqa_linear_format format;
    int n_in, n_out;     /* as the model means them */
    int n_blocks;        /* blocks of 32 inputs, padded */
    size_t block_bytes;  /* mqa_linear_block_bytes(format) */
    const uint8_t *data; /* [tiles][n_blocks][block_bytes], 64-byte aligned */
} mqa_linear_weight;

size_t mqa_linear_block_bytes(mqa_linear_format format);
/* Bytes of data for n_out x n_in; false on overflow. */
bool mqa_linear_bytes(mqa_linear_format format, int n_in, int n_out, size_t *bytes);
/* Packs one output's row: q[n_in] unsigned quants below 2^bits, scale and min (min NULL without) per group.
 * data: zeroed before the first row of a tile, so that outputs which the model doesn't have stay zero.
 * Different outputs may be packed from different threads. */
void mqa_linear_pack_row(mqa_linear_format format, uint8_t *data, int n_in, int output, const uint8_t *q,
                         const float *scale, const float *min);
/* One output's row back as f32 (embedding gather, tests): fma((float)(q - zero), scale, min). */
void mqa_linear_unpack_row(const mqa_linear_weight *w, int output, float *x);

/* Activations, quantised: one row is n_blocks records of 32 s8 values; scales and group sums apart. */
typedef struct mqa_linear_rows {
    int8_t *q;      /* [rows][n_blocks * 32] */
    float *scale;   /* [rows][n_blocks]       d */
    int32_t *sum16; /* [rows][n_blocks * 2]   sums of 16 values of q */
} mqa_linear_rows;

/* x: [rows] with stride floats between rows, n_in values each (padding is given zeros). */
typedef void mqa_quantize_rows_fn(const float *x, size_t stride, int rows, int n_in, mqa_linear_rows *out);

/* y[r * y_stride + o] for outputs of tiles [tile0, tile1): all 16 of each tile are written, so y's rows
 * are padded to 16. scratch: mqa_linear_scratch_bytes(w), 64-byte aligned, one for each thread. */
typedef void mqa_linear_fn(const mqa_linear_weight *w, const mqa_linear_rows *x, int rows, int tile0,
                           int tile1, float *y, size_t y_stride, void *scratch);
size_t mqa_linear_scratch_bytes(const mqa_linear_weight *w);

typedef struct mqa_linear_kernels {
    mqa_quantize_rows_fn *quantize_rows;
    mqa_linear_fn *linear;
} mqa_linear_kernels;

#endif
