/* The table that an instruction set fills in, and the choice of one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_KERNELS_H
#define MQA_KERNELS_KERNELS_H

#include "kernels/attention_kernels.h"
#include "kernels/linear_kernels.h"
#include "kernels/row_kernels.h"
#include "mqa/context.h"

typedef struct mqa_kernels {
    mqa_isa isa;
    mqa_attention_kernels attention[2]; /* [MQA_NUMERICS_FAST], [MQA_NUMERICS_PORTABLE] */
    mqa_linear_kernels linear;
    mqa_row_kernels rows;
} mqa_kernels;

/* The table of an instruction set; AUTO: the fastest on this CPU. NULL if this build or CPU lacks it.
 * Filled once, thread safe: the plain C kernels first, then what the instruction set overwrites. */
const mqa_kernels *mqa_kernels_get(mqa_isa isa);

#endif
