/* Rows: a caller's K or V of consecutive tokens, and the way of tokens into their tiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KVCACHE_ROWS_H
#define MQA_KVCACHE_ROWS_H

#include "kvcache/cache.h"

/* Element (t, h, i) is value number t * stride_token + h * stride_head + i of data. */
typedef struct mqa_rows {
    mqa_source_type type;
    const void *data;
    size_t stride_token, stride_head;
} mqa_rows;

static inline size_t mqa_source_value_bytes(mqa_source_type type)
{
    return type == MQA_SOURCE_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* Whether tokens [position, position + n_tokens) of a layer are held; what: the call, for the message. */
mqa_status mqa_rows_check_held(const mqa_sequence *seq, const char *what, int layer, int64_t position,
                               int64_t n_tokens, mqa_error *err);
/* That, and whether they may change. */
mqa_status mqa_rows_check_writable(const mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                   mqa_error *err);
/* Packs n_tokens tokens that passed the check. In mqa_fpenv_enter's environment: bf16 and int8 round. */
mqa_status mqa_rows_write(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens, const mqa_rows *k,
                          const mqa_rows *v, mqa_error *err);

#endif
