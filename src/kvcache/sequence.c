/* Sequences: the block table and its life.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "kvcache/cache.h"

static const mqa_allocator *allocator_of(const mqa_sequence *seq)
{
    return seq->cache->ctx->allocator;
}

mqa_status mqa_sequence_create(mqa_cache *cache, mqa_sequence **out, mqa_error *err)
{
    if (!cache || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_sequence_create: cache or out is NULL");
    *out = mqa_alloc(cache->ctx->allocator, sizeof **out);
    if (!*out) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a sequence");
    (*out)->cache = cache;
    return MQA_OK;
}

/* Keeps the pages [first_page, end) of those it has. */
static void keep_pages(mqa_sequence *seq, int64_t first_page, int64_t end)
{
    mqa_arena *arena = &seq->cache->arena;
    while (seq->n_pages > 0 && seq->first_page + seq->n_pages > end)
        mqa_arena_give_back(arena, seq->pages[--seq->n_pages]);
    int64_t dead = first_page - seq->first_page;
    if (dead <= 0) return;
    if (dead > seq->n_pages) dead = seq->n_pages;
    for (int64_t i = 0; i < dead; i++) mqa_arena_give_back(arena, seq->pages[i]);
    seq->n_pages -= dead;
    memmove(seq->pages, seq->pages + dead, (size_t)seq->n_pages * sizeof *seq->pages);
    seq->first_page = first_page;
}

void mqa_sequence_destroy(mqa_sequence **seq)
{
    if (!seq || !*seq) return;
    keep_pages(*seq, 0, 0);
    mqa_release(allocator_of(*seq), (*seq)->pages, (size_t)(*seq)->capacity * sizeof(int32_t));
    mqa_release(allocator_of(*seq), *seq, sizeof **seq);
    *seq = NULL;
}

int64_t mqa_sequence_length(const mqa_sequence *seq)
{
    return seq->length;
}

static mqa_status grow_table(mqa_sequence *seq, int64_t n_pages, mqa_error *err)
{
    if (n_pages <= seq->capacity) return MQA_OK;
    const int64_t capacity = n_pages > 2 * seq->capacity ? n_pages : 2 * seq->capacity;
    int32_t *pages = mqa_alloc_array(allocator_of(seq), (size_t)capacity, sizeof *pages);
    if (!pages)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a block table of %" PRId64 " pages",
                        capacity);
    if (seq->n_pages > 0) memcpy(pages, seq->pages, (size_t)seq->n_pages * sizeof *pages);
    mqa_release(allocator_of(seq), seq->pages, (size_t)seq->capacity * sizeof *pages);
    seq->pages = pages;
    seq->capacity = capacity;
    return MQA_OK;
}

mqa_status mqa_sequence_extend(mqa_sequence *seq, int64_t n_tokens, mqa_error *err)
{
    if (!seq || n_tokens < 0 || n_tokens > INT64_MAX / 2 - seq->length)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "extend by %" PRId64 " tokens: out of range",
                        n_tokens);
    if (n_tokens == 0) return MQA_OK;
    const mqa_arena *arena = &seq->cache->arena;
    const size_t page_bytes = seq->cache->layout.page_bytes;

    const int64_t have = seq->first_page + seq->n_pages, end = mqa_pages_for(seq->length + n_tokens);
    int64_t first_page = mqa_window_dead_pages(seq->cache->config.window, seq->length);
    if (first_page < seq->first_page) first_page = seq->first_page;
    const int64_t available = arena->limit_pages - arena->in_use + (first_page - seq->first_page);
    if (end - have > available)
        return mqa_fail(err, MQA_ERR_BUDGET,
                        "%" PRId64 " more tokens need %" PRIu64 " bytes (%" PRId64 " pages), %" PRIu64
                        " of the cache's %" PRIu64 " are available",
                        n_tokens, (uint64_t)(end - have) * page_bytes, end - have,
                        (uint64_t)available * page_bytes, (uint64_t)arena->limit_pages * page_bytes);
    MQA_TRY(grow_table(seq, end - seq->first_page, err));

    keep_pages(seq, first_page, have);
    while (seq->first_page + seq->n_pages < end)
        seq->pages[seq->n_pages++] = mqa_arena_take(&seq->cache->arena);
    seq->length += n_tokens;
    return MQA_OK;
}

/* Tokens from `length` on leave the open page. */
static void clear_tail(mqa_sequence *seq, int64_t length)
{
    const int64_t granule = length / MQA_GRANULE;
    const int from = (int)(length % MQA_GRANULE);
    const int64_t after = seq->length - granule * MQA_GRANULE;
    const int to = after < MQA_GRANULE ? (int)after : MQA_GRANULE;
    if (from == 0) return; /* the whole page goes */
    for (int layer = 0; layer < seq->cache->config.n_layers; layer++)
        for (int head = 0; head < seq->cache->config.n_kv_heads; head++)
            mqa_granule_clear(seq->cache, mqa_sequence_granule(seq, layer, head, granule), from, to);
}

mqa_status mqa_sequence_truncate(mqa_sequence *seq, int64_t length, mqa_error *err)
{
    if (!seq || length < 0 || length > seq->length)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "truncate to %" PRId64 " of %" PRId64 " tokens",
                        length, seq ? seq->length : 0);
    if (length > 0 && mqa_window_dead_pages(seq->cache->config.window, length) < seq->first_page)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "truncate to %" PRId64 " tokens: the window there begins before token %" PRId64
                        ", the first one kept; start a new sequence",
                        length, seq->first_page * MQA_PAGE_TOKENS);
    if (length < seq->length) clear_tail(seq, length);
    keep_pages(seq, seq->first_page, mqa_pages_for(length));
    if (length == 0) seq->first_page = 0; /* nothing is behind it */
    seq->length = length;
    return MQA_OK;
}
