/* One row of a prepared query block: what pack_q writes and scores reads. The int8 form keeps q as s16;
 * whoever wants two s8 digits (VNNI, AMX, SDOT) splits it in its own pack_q.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_Q_ROW_H
#define MQA_KERNELS_Q_ROW_H

#include <stdint.h>

#include "kernels/attention_kernels.h"

#define MQA_INT8_Q_MAX 16256 /* 127 * 128: two balanced s8 digits */

typedef struct mqa_q_row {
    float scale; /* int8: q_scale */
    int32_t sum; /* int8: the sum of q_i, for the bias of K */
    char header_pad[56];
    union {
        float f32[1];     /* [MQA_PAD(d)] */
        int16_t s16[1];   /* [MQA_PAD(d)] */
        uint16_t bf16[1]; /* [MQA_PAD(d)], the bf16 recipes */
        int8_t s8[1];     /* [2][MQA_PAD(d)]: high digits, then low */
    } x;
} mqa_q_row;

static inline mqa_q_row *mqa_q_row_at(const void *q_block, int row, int d)
{
    return (mqa_q_row *)((char *)(uintptr_t)q_block + (size_t)row * MQA_Q_ROW_BYTES(d));
}

#endif
