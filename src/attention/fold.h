/* States of row blocks, and the one order in which they are folded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_FOLD_H
#define MQA_ATTENTION_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/attention_kernels.h"

/* One state a row: m[rows], l[rows], o[rows * MQA_PAD(d_v)]. */
typedef struct mqa_states {
    float *m, *l, *o;
} mqa_states;

/* Floats that the states of some rows take, and their division; memory is 64-byte aligned. */
static inline size_t mqa_states_floats(int rows, int d_v)
{
    return (size_t)(2 * MQA_PAD(rows)) + (size_t)rows * (size_t)MQA_PAD(d_v);
}
static inline mqa_states mqa_states_at(float *memory, int rows)
{
    return (mqa_states){memory, memory + MQA_PAD(rows), memory + 2 * MQA_PAD(rows)};
}

/* Folds from the left within groups of spans, and groups from the left (docs/numerics.md section 2).
 * States are not copied: what is taken in is exchanged for a buffer that is free. */
typedef struct mqa_fold {
    const mqa_attention_kernels *kernels;
    int rows, d_v;
    int64_t group; /* that open_group is of; -1: none */
    bool any;      /* total holds something */
    mqa_states open_group, total;
} mqa_fold;

/* group, total: free buffers. */
mqa_fold mqa_fold_begin(const mqa_attention_kernels *kernels, int rows, int d_v, mqa_states group,
                        mqa_states total);
/* Takes in the states of span, or of consecutive spans that begin with a group and are already folded.
 * Spans ascend from call to call. Afterwards *states is a free buffer. */
void mqa_fold_take(mqa_fold *fold, int64_t span, mqa_states *states);
/* The folded states; empty ones where nothing was taken in. */
mqa_states mqa_fold_end(mqa_fold *fold);

/* a = fold(a, b) */
void mqa_states_fold(const mqa_attention_kernels *kernels, int rows, int d_v, mqa_states a, mqa_states b);

#endif
