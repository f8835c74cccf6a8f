/* RoPE inside the library: a position's cosines and sines once, then any number of heads. Both functions
 * expect the default floating-point environment, and check nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_ROPE_H
#define MQA_KERNELS_ROPE_H

#include "kernels/row_kernels.h"
#include "mqa/rope.h"

enum { MQA_ROPE_MAX_DIMS = 1024 }; /* first_dim + n_dims: the cache's longest head */

/* Read-only; rooms above may look at n_dims and first_dim. */
struct mqa_rope {
    const mqa_context *ctx;
    int n_dims, first_dim;
    mqa_rope_style style;
    double attention_factor;
    double f[]; /* [n_dims/2], radians a position */
};

/* c, s: [n_dims/2], the attention factor in them. |position| <= MQA_ROPE_MAX_POSITION. */
void mqa_rope_table_at(const mqa_rope *rope, int64_t position, float *c, float *s);

/* Turns the dims [first_dim, first_dim + n_dims) of one head. */
static inline void mqa_rope_turn(const mqa_rope *rope, const mqa_row_kernels *kernels, float *head,
                                 const float *c, const float *s)
{
    kernels->rope(head + rope->first_dim, rope->n_dims, rope->style == MQA_ROPE_NEOX, c, s);
}

#endif
