/* A binary heap of candidates, smallest key on top.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_HEAP_H
#define MQA_TOKENIZER_HEAP_H

#include "tokenizer/array.h"

/* The key's upper half ranks; the lower half is a position, so that ties go to the leftmost. */
typedef struct mqa_candidate {
    uint64_t key;
    uint32_t right; /* merging: the right symbol */
    int32_t id;     /* merging: the token it would give; special tokens: which one */
} mqa_candidate;

typedef struct mqa_heap {
    mqa_candidate *items;
    size_t n, capacity;
} mqa_heap;

mqa_status mqa_heap_push(mqa_heap *heap, mqa_candidate item, mqa_error *err);
mqa_candidate mqa_heap_pop(mqa_heap *heap); /* n > 0 */

static inline uint64_t mqa_heap_key(uint32_t rank, uint32_t position)
{
    return (uint64_t)rank << 32 | position;
}

#endif
