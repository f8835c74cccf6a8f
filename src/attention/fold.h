/* States of rows, and the one order in which they are folded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_FOLD_H
#define MQA_ATTENTION_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/attention_kernels.h"

/* One state a row: m[rows], l[rows], o[rows * MQA_PAD(d_v)]. */
typedef struct mqa_row_states {
    float *m, *l, *o;
} mqa_row_states;

/* Floats that the states of some rows take, and their division; memory is 64-byte aligned. */
static inline size_t mqa_row_states_floats(int rows, int d_v)
{
    return (size_t)(2 * MQA_PAD(rows)) + (size_t)rows * (size_t)MQA_PAD(d_v);
}
static inline mqa_row_states mqa_row_states_at(float *memory, int rows)
{
    return (mqa_row_states){memory, memory + MQA_PAD(rows), memory + 2 * MQA_PAD(rows)};
}
/* Those of row `row` and after. */
static inline mqa_row_states mqa_row_states_from(mqa_row_states s, int row, int d_v)
{
    return (mqa_row_states){s.m + row, s.l + row, s.o + (size_t)row * (size_t)MQA_PAD(d_v)};
}

void mqa_row_states_clear(mqa_row_states s, int rows, int d_v);

/* Folds from the left within groups of spans, and groups from the left (docs/numerics.md section 2).
 * States are not copied: what is taken in is exchanged for a buffer that is free. */
typedef struct mqa_fold {
    const mqa_attention_kernels *kernels;
    int rows, d_v;
    int64_t group; /* that open_group is of; -1: none */
    bool any;      /* total holds something */
    mqa_row_states open_group, total;
    /* Where V is stored transformed: the row kernel that turns each group's o back, before the group leaves
     * or is folded; NULL: V is as it was given. */
    void (*turn_back)(float *o, int d_v, int block);
    int block;
    /* Not NULL: gets each group's states in ascending order, and nothing is folded into total. */
    void (*emit)(void *arg, int64_t group, mqa_row_states states);
    void *emit_arg;
} mqa_fold;

/* group, total: free buffers. */
mqa_fold mqa_fold_begin(const mqa_attention_kernels *kernels, int rows, int d_v, mqa_row_states group,
                        mqa_row_states total);
/* Takes in the states of span, or of consecutive spans that begin with a group and are already folded.
 * Spans ascend from call to call. Afterwards *states is a free buffer. */
void mqa_fold_take(mqa_fold *fold, int64_t span, mqa_row_states *states);
/* The folded states; empty ones where nothing was taken in. Afterwards open_group is a free buffer. */
mqa_row_states mqa_fold_end(mqa_fold *fold);

/* a = fold(a, b) */
void mqa_row_states_fold(const mqa_attention_kernels *kernels, int rows, int d_v, mqa_row_states a,
                         mqa_row_states b);

#endif
