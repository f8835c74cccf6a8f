/* The inside of the cache: for kvcache/ and for attention/, which looks up granules in it.
 *
 * Arena: one range of addresses, strided by layer, then by page; a page of one layer holds its KV heads one
 * after the other, each the K run and then the V run of kernels/attention_kernels.h.
 *
 *     layer 0: page 0 [head 0: K V] [head 1: K V] … | page 1 … | …
 *     layer 1: …
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KVCACHE_CACHE_H
#define MQA_KVCACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/attention_kernels.h"
#include "kernels/context.h"
#include "kvcache/arena.h"
#include "mqa/cache.h"

#define MQA_PAGE_TOKENS MQA_GRANULE

typedef struct mqa_cache_layout {
    size_t k_run, v_run; /* bytes of one granule of one head */
    size_t head_bytes;   /* k_run + v_run */
    size_t slice_bytes;  /* one page of one layer */
    size_t page_bytes;   /* one page of all layers: what a page id costs */
} mqa_cache_layout;

struct mqa_cache {
    mqa_context *ctx;
    mqa_cache_config config;
    mqa_cache_layout layout;
    mqa_arena arena;
};

struct mqa_sequence {
    mqa_cache *cache;
    int64_t length;     /* tokens, from position 0 */
    int64_t first_page; /* the page (position / 64) that pages[0] holds; those before were given back */
    int64_t n_pages, capacity;
    int32_t *pages; /* the block table: arena page ids */
};

/* Checks the shape and works out the layout; max_pages and budget_bytes are not looked at. */
mqa_status mqa_cache_layout_make(const mqa_cache_config *config, mqa_cache_layout *out, mqa_error *err);

/* Pages wholly behind the window of the token at position: they hold nothing that it or a later one sees. */
static inline int64_t mqa_window_dead_pages(int64_t window, int64_t position)
{
    return window > 0 && position >= window ? (position - window + 1) / MQA_PAGE_TOKENS : 0;
}

static inline int64_t mqa_pages_for(int64_t n_tokens)
{
    return n_tokens / MQA_PAGE_TOKENS + (n_tokens % MQA_PAGE_TOKENS != 0);
}

/* Address of one head's K run in one layer; its V run follows after layout.k_run bytes.
 * granule: position / 64, one that the sequence still holds. */
static inline unsigned char *mqa_sequence_granule(const mqa_sequence *seq, int layer, int kv_head,
                                                  int64_t granule)
{
    const mqa_cache *cache = seq->cache;
    return mqa_arena_slice(&cache->arena, layer, seq->pages[granule - seq->first_page]) +
           (size_t)kv_head * cache->layout.head_bytes;
}

/* Zeroes tokens [from, to) of the granule whose K run is at `run`. */
void mqa_granule_clear(const mqa_cache *cache, unsigned char *run, int from, int to);

#endif
