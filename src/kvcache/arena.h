/* The arena: page ids over one range of addresses, how many hold each and who pays for it, and the count of
 * those in use.
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
#include "kvcache/account.h"

/* What is known of a page besides its id. */
typedef struct mqa_page {
    uint32_t holds; /* how many hold it; 0: free */
    uint32_t kept;  /* of them, kept sequences: where all are, the page could be had back */
    mqa_account *account;
    /* A rehearsal in which holders let it go, and how many. */
    uint64_t trial;
    uint32_t trial_dropped;
} mqa_page;

typedef struct mqa_arena {
    unsigned char *base;
    size_t size, layer_stride, slice_bytes;
    int n_layers;
    const mqa_allocator *allocator; /* NULL: pages of the operating system */
    int64_t max_pages;              /* that there are addresses for */
    int64_t limit_pages;            /* that may be in use */
    int64_t in_use;                 /* each once, however many hold it */
    int64_t n_kept;                 /* of them, held by kept sequences alone */
    int account_kind;               /* of its bytes in accounts */
    int64_t n_touched;              /* ids 0 .. n_touched-1 have memory; the others are zeros without any */
    int64_t n_free;
    int32_t *free;   /* a stack, max_pages long; while compacting: where each page went */
    mqa_page *pages; /* [max_pages] */
    uint64_t trial;  /* the rehearsal it takes part in, and pages in use there */
    int64_t trial_in_use;
} mqa_arena;

/* Alignment of base: 2 MiB. On failure nothing is held. */
mqa_status mqa_arena_create(mqa_arena *arena, const mqa_allocator *allocator, int n_layers,
                            size_t slice_bytes, int64_t max_pages, int64_t limit_pages, mqa_error *err);
void mqa_arena_destroy(mqa_arena *arena);

/* A page of zeros, held once, charged to account. Only while in_use < limit_pages. kept: whether the holder
 * is a kept sequence, here and below. */
int32_t mqa_arena_take(mqa_arena *arena, mqa_account *account, bool kept);
/* Holds it once more. */
void mqa_arena_hold(mqa_arena *arena, int32_t page, bool kept);
/* Holds it once less; free when nobody does. */
void mqa_arena_give_back(mqa_arena *arena, int32_t page, bool kept);
/* One of its holders becomes a kept sequence, or is no longer one. */
void mqa_arena_set_kept(mqa_arena *arena, int32_t page, bool kept);

static inline bool mqa_arena_is_shared(const mqa_arena *arena, int32_t page)
{
    return arena->pages[page].holds > 1;
}

/* Compacting: mqa_arena_compact moves the pages in use to ids 0 .. in_use-1 and returns how many had to move;
 * then every holder replaces its ids by mqa_arena_moved; then mqa_arena_trim gives the memory of the ids from
 * in_use on back to the operating system, and returns the bytes. Nothing is taken or given back between. */
int64_t mqa_arena_compact(mqa_arena *arena);
size_t mqa_arena_trim(mqa_arena *arena);

static inline int32_t mqa_arena_moved(const mqa_arena *arena, int32_t page)
{
    return page < arena->in_use ? page : arena->free[page];
}

static inline unsigned char *mqa_arena_slice(const mqa_arena *arena, int layer, int32_t page)
{
    return arena->base + (size_t)layer * arena->layer_stride + (size_t)page * arena->slice_bytes;
}

#endif
