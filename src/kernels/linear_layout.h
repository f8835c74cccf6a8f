/* Where things lie in a block of packed weights (linear_kernels.h), and the scratch of the linear kernels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_LINEAR_LAYOUT_H
#define MQA_KERNELS_LINEAR_LAYOUT_H

#include "base/memory.h"
#include "kernels/linear_kernels.h"

#define MQA_LINEAR_TILE       16  /* outputs */
#define MQA_LINEAR_FORM_BYTES 512 /* the 8-bit form of a block: [8][16][4] */
#define MQA_LINEAR_CHUNK      64  /* rows that run over one unpacked tile */

static inline int mqa_linear_groups(mqa_linear_format f)
{
    return MQA_LINEAR_BLOCK / f.group;
}
/* Bytes of the scales of a block; of the mins likewise. */
static inline size_t mqa_linear_scale_bytes(mqa_linear_format f)
{
    return (size_t)mqa_linear_groups(f) * MQA_LINEAR_TILE * (f.f16_scales ? 2 : 4);
}
/* Offset of the quants in a block. */
static inline size_t mqa_linear_quants_at(mqa_linear_format f)
{
    return mqa_linear_scale_bytes(f) * (f.has_min ? 2 : 1);
}
static inline const uint8_t *mqa_linear_tile(const mqa_linear_weight *w, int tile)
{
    return w->data + (size_t)tile * (size_t)w->n_blocks * w->block_bytes;
}

/* The scratch of one thread: an unpacked tile, and what a chunk of rows needs once for all tiles. */
typedef struct mqa_linear_scratch {
    uint8_t *form;       /* [n_blocks][512] */
    float *scale, *min;  /* [n_blocks * groups][16] */
    int32_t *correction; /* [CHUNK][n_blocks * groups]: -zero times the sum of a group's activations */
    float *min_factor;   /* [CHUNK][n_blocks * groups]: d times that sum */
} mqa_linear_scratch;

static inline mqa_linear_scratch mqa_linear_scratch_at(const mqa_linear_weight *w, void *scratch)
{
    const size_t n_groups = (size_t)w->n_blocks * (size_t)mqa_linear_groups(w->format);
    mqa_linear_scratch s;
    s.form = scratch;
    s.scale = (float *)(s.form + (size_t)w->n_blocks * MQA_LINEAR_FORM_BYTES);
    s.min = s.scale + n_groups * MQA_LINEAR_TILE;
    s.correction = (int32_t *)(s.min + n_groups * MQA_LINEAR_TILE);
    s.min_factor = (float *)(s.correction + n_groups * MQA_LINEAR_CHUNK);
    return s;
}

#endif
