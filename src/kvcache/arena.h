/* The arena: page ids over one range of addresses, and the count of those in use.
 *
 * The range is reserved at once and becomes memory as pages are first used. Ids given back are handed out
 * again, the latest first, before new ones, so the memory in use stays as small as the most pages ever held.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KVCACHE_ARENA_H
#define MQA_KVCACHE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct mqa_arena {
    unsigned char *base;
    size_t size, layer_stride, slice_bytes;
    int n_layers;
    const mqa_allocator *allocator; /* NULL: pages of the operating system */
    int64_t max_pages;              /* that there are addresses for */
    int64_t limit_pages;            /* that may be in use */
    int64_t in_use;
    int64_t n_touched; /* ids 0 .. n_touched-1 have been in use at some time */
    int64_t n_free;
    int32_t *free; /* a stack, max_pages long */
} mqa_arena;

/* Alignment of base: 2 MiB. On failure nothing is held. */
mqa_status mqa_arena_create(mqa_arena *arena, const mqa_allocator *allocator, int n_layers,
                            size_t slice_bytes, int64_t max_pages, int64_t limit_pages, mqa_error *err);
void mqa_arena_destroy(mqa_arena *arena);

/* A page of zeros. Only while in_use < limit_pages. */
int32_t mqa_arena_take(mqa_arena *arena);
void mqa_arena_give_back(mqa_arena *arena, int32_t page);

static inline unsigned char *mqa_arena_slice(const mqa_arena *arena, int layer, int32_t page)
{
    return arena->base + (size_t)layer * arena->layer_stride + (size_t)page * arena->slice_bytes;
}

#endif
