/* What a context holds. Rooms above the kernels take these fields as they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_CONTEXT_H
#define MQA_KERNELS_CONTEXT_H

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "mqa/context.h"

struct mqa_context {
    const mqa_kernels *kernels;
    mqa_numerics numerics;
    mqa_pool *pool;
    const mqa_allocator *allocator; /* NULL: the C library's; else &allocator_copy */
    mqa_allocator allocator_copy;
    mqa_log_sink log;    /* line is NULL: silence */
    uint64_t rehearsals; /* that there were, for kvcache/growth.c */
};

/* The attention kernels of the context's numerics. */
static inline const mqa_attention_kernels *mqa_context_attention(const mqa_context *ctx)
{
    return &ctx->kernels->attention[ctx->numerics];
}

#endif
