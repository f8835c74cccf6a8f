/* Sequences: the block table and its life.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "kvcache/cache.h"

#define MAX_POSITION (INT64_MAX / 2)

_Static_assert(MQA_SEQUENCE_UNIT == MQA_SPAN * MQA_GROUP_SPANS, "a group of spans");

static const mqa_allocator *allocator_of(const mqa_sequence *seq)
{
    return seq->cache->ctx->allocator;
}

static int page_tokens(const mqa_sequence *seq)
{
    return seq->cache->layout.page_tokens;
}

mqa_status mqa_sequence_create(mqa_cache *cache, mqa_sequence **out, mqa_error *err)
{
    return mqa_sequence_create_at(cache, 0, out, err);
}

mqa_status mqa_sequence_create_at(mqa_cache *cache, int64_t first_position, mqa_sequence **out,
                                  mqa_error *err)
{
    if (!cache || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_sequence_create: cache or out is NULL");
    *out = NULL;
    if (first_position < 0 || first_position > MAX_POSITION || first_position % MQA_SEQUENCE_UNIT != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "first_position is %" PRId64 ": give a multiple of %d from 0 up, below 2^62",
                        first_position, MQA_SEQUENCE_UNIT);
    *out = mqa_alloc(cache->ctx->allocator, sizeof **out);
    if (!*out) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a sequence");
    (*out)->cache = cache;
    (*out)->first_position = (*out)->length = first_position;
    (*out)->first_page = first_position / cache->layout.page_tokens;
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

int64_t mqa_sequence_first_position(const mqa_sequence *seq)
{
    return seq->first_position;
}

int64_t mqa_sequence_first_held(const mqa_sequence *seq)
{
    return seq->first_page * page_tokens(seq);
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
    if (!seq || n_tokens < 0 || n_tokens > MAX_POSITION - seq->length)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "extend by %" PRId64 " tokens: out of range",
                        n_tokens);
    if (n_tokens == 0) return MQA_OK;
    const mqa_arena *arena = &seq->cache->arena;
    const size_t page_bytes = seq->cache->layout.page_bytes;

    const int64_t have = seq->first_page + seq->n_pages,
                  end = mqa_pages_for(seq->length + n_tokens, page_tokens(seq));
    int64_t first_page = mqa_window_dead_pages(seq->cache->config.window, seq->length, page_tokens(seq));
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

/* Tokens from `length` on leave the page it stands in. */
static void clear_tail(mqa_sequence *seq, int64_t length)
{
    const int64_t page = length / page_tokens(seq), first = page * page_tokens(seq);
    const int64_t after = seq->length - first;
    if (length == first) return; /* the whole page goes */
    mqa_page_clear(seq->cache, seq->pages[page - seq->first_page], (int)(length - first),
                   after < page_tokens(seq) ? (int)after : page_tokens(seq));
}

mqa_status mqa_sequence_truncate(mqa_sequence *seq, int64_t length, mqa_error *err)
{
    if (!seq || length < seq->first_position || length > seq->length)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "truncate to %" PRId64 " tokens of a sequence of [%" PRId64 ", %" PRId64 ")", length,
                        seq ? seq->first_position : 0, seq ? seq->length : 0);
    const int64_t held = mqa_sequence_first_held(seq);
    if (length > seq->first_position && mqa_sequence_seen_from(seq, length) < held)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "truncate to %" PRId64 " tokens: the window there begins before token %" PRId64
                        ", the first one kept; start a new sequence",
                        length, held);
    if (length < seq->length) clear_tail(seq, length);
    keep_pages(seq, seq->first_page, mqa_pages_for(length, page_tokens(seq)));
    if (length == seq->first_position) seq->first_page = length / page_tokens(seq); /* nothing is behind it */
    seq->length = length;
    return MQA_OK;
}
