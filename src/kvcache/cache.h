/* The inside of the cache: for kvcache/ and for attention/, which looks up granules in it.
 *
 * Arena: one range of addresses, strided by layer, then by page; a page of one layer holds its KV heads one
 * after the other, each its granules (1, 2 or 4), each the K run and then the V run of
 * kernels/attention_kernels.h.
 *
 *     layer 0: page 0 [head 0: K V, K V] [head 1: K V, K V] … | page 1 … | …
 *     layer 1: …
 *
 * Only this room knows of pages; attention/ sees granules.
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

#define MQA_MAX_POSITION (INT64_MAX / 2)

typedef struct mqa_cache_layout {
    size_t k_run, v_run; /* bytes of one granule of one head */
    size_t head_bytes;   /* k_run + v_run */
    size_t head_stride;  /* from head to head in a page: all granules of one */
    size_t slice_bytes;  /* one page of one layer */
    size_t page_bytes;   /* one page of all layers: what a page id costs */
    int page_tokens;
    int page_shift;     /* granules in a page, as a power of two */
    int64_t sink_pages; /* pages 0 .. sink_pages-1 of the text are never given back */
} mqa_cache_layout;

struct mqa_cache {
    mqa_context *ctx;
    mqa_cache_config config;
    mqa_cache_layout layout;
    mqa_arena arena;
    mqa_sequence *sequences; /* all there are, linked: their tables change when pages move */
};

struct mqa_sequence {
    mqa_cache *cache;
    mqa_sequence *next, *previous;
    int64_t first_position; /* a multiple of MQA_SEQUENCE_UNIT */
    int64_t length;         /* the position after the last token */
    uint64_t version; /* another one whenever tokens or pages come or go: what was planned is stale then */
    /* A page is a position / page_tokens. Those behind the window were given back: [gap_begin, gap_end),
     * which begins after the sinks' pages, or with the sequence if it has none. */
    int64_t first_page, gap_begin, gap_end;
    int64_t n_pages, capacity;
    int32_t *pages; /* the block table: arena page ids, without a place for those of the gap */
    bool stale;     /* the last page holds tokens from length on: it was shared when they were truncated */
    bool kept;      /* nobody runs it: what it alone holds could be had back */
    mqa_account *account; /* that pays for the pages it takes */
    /* A rehearsal in which it grew, to this length and gap; its open page was shared and copied. */
    uint64_t trial;
    int64_t trial_length, trial_gap_end;
    bool trial_copied;
};

/* The blocks in which K and V are stored transformed (kernels/row_kernels.h); 1: as they are given. V in K is
 * transformed as its K is. */
static inline int mqa_cache_k_block(const mqa_cache_config *config)
{
    return config->k_hadamard ? mqa_hadamard_block(config->head_dim_qk) : 1;
}
static inline int mqa_cache_v_block(const mqa_cache_config *config)
{
    if (config->v_in_k) return mqa_cache_k_block(config);
    return config->v_hadamard ? mqa_hadamard_block(config->head_dim_vo) : 1;
}

/* Takes a caller's config, checks the shape and works out the layout; max_pages and budget_bytes are not
 * looked at. given and config are two structs. */
mqa_status mqa_cache_layout_make(const mqa_cache_config *given, mqa_cache_config *config,
                                 mqa_cache_layout *out, mqa_error *err);

/* ---- sizes before there is a cache (sizes.c): sessions reserve by them, the planner reports them ---- */

/* The most pages that a sequence of up to n_tokens has at any moment, however it is appended, at most chunk
 * tokens at once. n_tokens, chunk >= 1. */
int64_t mqa_most_pages(const mqa_cache_layout *layout, int64_t window, int64_t n_tokens, int64_t chunk);
/* The same in bytes; SIZE_MAX and 0 as mqa_kv_bytes. */
size_t mqa_kv_most_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk);
/* mqa_kv_bytes for n_sequences of n_tokens each, forks of one of them when it had `shared` tokens (0 ..
 * n_tokens): pages in use, shared ones once. */
size_t mqa_kv_shared_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk, int64_t shared,
                           int64_t n_sequences);

/* ---- the block table's arithmetic ---- */

static inline int64_t mqa_pages_for(int64_t n_tokens, int page_tokens)
{
    return n_tokens / page_tokens + (n_tokens % page_tokens != 0);
}

/* The first page behind the sinks' that the token at position, or a later one, sees something of by its
 * window; and how many lie between, with nothing that they see. */
static inline int64_t mqa_live_page(const mqa_cache_layout *layout, int64_t window, int64_t position)
{
    const int64_t page = window > 0 && position >= window ? (position - window + 1) / layout->page_tokens : 0;
    return page > layout->sink_pages ? page : layout->sink_pages;
}
static inline int64_t mqa_dead_pages(const mqa_cache_layout *layout, int64_t window, int64_t position)
{
    return mqa_live_page(layout, window, position) - layout->sink_pages;
}

/* The first token of the sequence that a query at position sees, held or not. */
static inline int64_t mqa_sequence_seen_from(const mqa_sequence *seq, int64_t position)
{
    const int64_t window = seq->cache->config.window;
    const int64_t first = window > 0 ? position - window + 1 : 0;
    return first > seq->first_position ? first : seq->first_position;
}

/* How many pages before `page` the sequence holds: if it holds that one, its place in the block table. */
static inline int64_t mqa_sequence_slot(const mqa_sequence *seq, int64_t page)
{
    const int64_t before_gap = page < seq->gap_begin ? page : seq->gap_begin;
    return before_gap - seq->first_page + (page > seq->gap_end ? page - seq->gap_end : 0);
}

/* Whether it holds tokens [position, position + n_tokens), n_tokens >= 0; no tokens at its end are held too.
 */
static inline bool mqa_sequence_holds(const mqa_sequence *seq, int64_t position, int64_t n_tokens)
{
    if (position < mqa_sequence_first_held(seq))
        return position >= seq->first_position && position < mqa_sequence_first_gone(seq) &&
               n_tokens <= mqa_sequence_first_gone(seq) - position;
    return position <= seq->length && n_tokens <= seq->length - position;
}

/* Address of one head's K run of a granule of a page, 0 .. (1 << page_shift) - 1, in one layer; its V run
 * follows after layout.k_run bytes. */
static inline unsigned char *mqa_page_granule(const mqa_cache *cache, int layer, int32_t page, int kv_head,
                                              int granule)
{
    return mqa_arena_slice(&cache->arena, layer, page) + (size_t)kv_head * cache->layout.head_stride +
           (size_t)granule * cache->layout.head_bytes;
}

/* The same by position: granule is position / 64, one that the sequence still holds. */
static inline unsigned char *mqa_sequence_granule(const mqa_sequence *seq, int layer, int kv_head,
                                                  int64_t granule)
{
    const int shift = seq->cache->layout.page_shift;
    return mqa_page_granule(seq->cache, layer, seq->pages[mqa_sequence_slot(seq, granule >> shift)], kv_head,
                            (int)(granule & ((1 << shift) - 1)));
}

/* Tokens of one page, in all layers and heads, counted from its first: zeroes [from, to); or copies [0, n)
 * into a page of zeros. */
void mqa_page_clear(const mqa_cache *cache, int32_t page, int from, int to);
void mqa_page_copy(const mqa_cache *cache, int32_t to, int32_t from, int n);

/* Zeroes tokens [from, to) of the granule whose K run is at `run`. */
void mqa_granule_clear(const mqa_cache *cache, unsigned char *run, int from, int to);

/* For fork: a sequence with room for a block table of n_pages. */
mqa_status mqa_sequence_make(mqa_cache *cache, int64_t first_position, int64_t n_pages, mqa_sequence **out,
                             mqa_error *err);
/* The last page, if it isn't full and other sequences have it too: the next extend copies it. */
bool mqa_sequence_must_copy(const mqa_sequence *seq);
/* Where the pages begin that a token at `length` needs by its window, in a sequence whose gap ends at
 * gap_end; those of sinks come before. */
static inline int64_t mqa_sequence_live_page(const mqa_sequence *seq, int64_t length, int64_t gap_end)
{
    const int64_t page = mqa_live_page(&seq->cache->layout, seq->cache->config.window, length);
    return page > gap_end ? page : gap_end;
}

/* mqa_sequence_fork and its need, with who pays for the fork's pages. */
mqa_status mqa_sequence_fork_for(mqa_sequence *seq, int64_t length, mqa_account *account, mqa_sequence **out,
                                 mqa_error *err);
mqa_status mqa_sequence_fork_need_for(const mqa_sequence *seq, int64_t length, const mqa_account *account,
                                      mqa_cache_need *out, mqa_error *err);

/* Rehearsals: what a series of extends, of any sequences in any caches of a context, would do to the budgets,
 * without doing it. Exact, pages shared among them included. begin gives a name; each extend then gives its
 * need, and where it would succeed all after it are measured as if it had been done. Nothing else is called
 * on these caches meanwhile; what a rehearsal leaves behind means nothing to anybody. */
uint64_t mqa_rehearsal_begin(mqa_context *ctx);
mqa_status mqa_rehearse_extend(uint64_t rehearsal, mqa_sequence *seq, int64_t n_tokens, mqa_cache_need *out,
                               mqa_error *err);
/* Whether it could go back to length: in range, and nothing that the window there shows was given back. */
mqa_status mqa_sequence_check_back(const mqa_sequence *seq, const char *what, int64_t length, mqa_error *err);
/* what: who takes the pages, for the message. Fails where need says that they aren't to be had. */
mqa_status mqa_cache_check_need(const mqa_cache *cache, const mqa_cache_need *need, const char *what,
                                mqa_error *err);
/* ---- images (image.c): a sequence's pages as they lie in memory, for who keeps them elsewhere ---- */

/* Pages of a sequence of `length` tokens from position 0 on that has just been evicted. */
int64_t mqa_image_pages(const mqa_cache *cache, int64_t length);
/* The i-th of these in one layer: slice_bytes. In a last page that isn't full what lies behind its tokens
 * means nothing. */
unsigned char *mqa_image_slice(const mqa_sequence *seq, int64_t index, int layer);
/* In place of a sequence that is empty, and with its account: one of `length` tokens whose image's pages are
 * zeros, to be filled; but the first `shared` ones are another's, which has the same tokens (whole pages, in
 * a cache without a window; 0: none, then `from` may be NULL). MQA_ERR_BUDGET as extend. */
mqa_status mqa_sequence_lay_out(const mqa_sequence *empty, int64_t length, const mqa_sequence *from,
                                int64_t shared, mqa_sequence **out, mqa_error *err);
/* Zeroes what lies behind its tokens in the last page, its own: after it was filled. */
void mqa_sequence_trim(const mqa_sequence *seq);

/* n pages in bytes; SIZE_MAX where that is too much to say. */
size_t mqa_cache_pages_bytes(const mqa_cache *cache, int64_t n_pages);

#endif
