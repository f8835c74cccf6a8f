/* Sequences: the block table and its life. Sharing is in share.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "kvcache/cache.h"

_Static_assert(MQA_SEQUENCE_UNIT == MQA_SPAN * MQA_GROUP_SPANS, "a group of spans");

static const mqa_allocator *allocator_of(const mqa_sequence *seq)
{
    return seq->cache->ctx->allocator;
}

static int page_tokens(const mqa_sequence *seq)
{
    return seq->cache->layout.page_tokens;
}

/* ---- making and ending ---- */

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

static void link_in(mqa_sequence *seq)
{
    mqa_cache *cache = seq->cache;
    seq->next = cache->sequences;
    if (seq->next) seq->next->previous = seq;
    cache->sequences = seq;
}

static void unlink_from_cache(mqa_sequence *seq)
{
    if (seq->next) seq->next->previous = seq->previous;
    if (seq->previous)
        seq->previous->next = seq->next;
    else
        seq->cache->sequences = seq->next;
}

mqa_status mqa_sequence_make(mqa_cache *cache, int64_t first_position, int64_t n_pages, mqa_sequence **out,
                             mqa_error *err)
{
    const mqa_allocator *allocator = cache->ctx->allocator;
    mqa_sequence *seq = mqa_alloc(allocator, sizeof *seq);
    if (!seq) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a sequence");
    seq->cache = cache;
    seq->first_position = seq->length = first_position;
    seq->first_page = first_position / cache->layout.page_tokens;
    const int64_t sinks = cache->layout.sink_pages;
    seq->gap_begin = seq->gap_end = sinks > seq->first_page ? sinks : seq->first_page;
    const mqa_status status = grow_table(seq, n_pages, err);
    if (status != MQA_OK) {
        mqa_release(allocator, seq, sizeof *seq);
        return status;
    }
    link_in(seq);
    *out = seq;
    return MQA_OK;
}

void mqa_sequence_set_account(mqa_sequence *seq, mqa_account *account)
{
    mqa_account *before = seq->account;
    seq->account = mqa_account_hold(account);
    mqa_account_let_go(before);
}

void mqa_sequence_keep(mqa_sequence *seq, bool keep)
{
    if (seq->kept == keep) return;
    seq->kept = keep;
    for (int64_t i = 0; i < seq->n_pages; i++) mqa_arena_set_kept(&seq->cache->arena, seq->pages[i], keep);
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
    if (first_position < 0 || first_position > MQA_MAX_POSITION || first_position % MQA_SEQUENCE_UNIT != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "first_position is %" PRId64 ": give a multiple of %d from 0 up, below 2^62",
                        first_position, MQA_SEQUENCE_UNIT);
    return mqa_sequence_make(cache, first_position, 0, out, err);
}

/* Gives back the pages from `end` on. */
static void drop_end(mqa_sequence *seq, int64_t end)
{
    const int64_t n = mqa_sequence_slot(seq, end);
    while (seq->n_pages > n) mqa_arena_give_back(&seq->cache->arena, seq->pages[--seq->n_pages], seq->kept);
    if (end <= seq->gap_begin) seq->gap_end = seq->gap_begin; /* nothing is behind it */
}

/* Gives back those behind the window: the gap grows up to live_page. */
static void drop_behind(mqa_sequence *seq, int64_t live_page)
{
    const int64_t from = mqa_sequence_slot(seq, seq->gap_end), to = mqa_sequence_slot(seq, live_page);
    if (to == from) return;
    for (int64_t i = from; i < to; i++) mqa_arena_give_back(&seq->cache->arena, seq->pages[i], seq->kept);
    memmove(seq->pages + from, seq->pages + to, (size_t)(seq->n_pages - to) * sizeof *seq->pages);
    seq->n_pages -= to - from;
    seq->gap_end = live_page;
    seq->version++;
}

void mqa_sequence_destroy(mqa_sequence **seq)
{
    if (!seq || !*seq) return;
    drop_end(*seq, (*seq)->first_page);
    unlink_from_cache(*seq);
    mqa_account_let_go((*seq)->account);
    mqa_release(allocator_of(*seq), (*seq)->pages, (size_t)(*seq)->capacity * sizeof(int32_t));
    mqa_release(allocator_of(*seq), *seq, sizeof **seq);
    *seq = NULL;
}

/* ---- what it has ---- */

int64_t mqa_sequence_first_position(const mqa_sequence *seq)
{
    return seq->first_position;
}

int64_t mqa_sequence_first_held(const mqa_sequence *seq)
{
    return seq->gap_end > seq->gap_begin ? seq->gap_end * page_tokens(seq) : seq->first_position;
}

int64_t mqa_sequence_first_gone(const mqa_sequence *seq)
{
    return seq->gap_end > seq->gap_begin ? seq->gap_begin * page_tokens(seq) : seq->first_position;
}

int64_t mqa_sequence_length(const mqa_sequence *seq)
{
    return seq->length;
}

size_t mqa_sequence_bytes(const mqa_sequence *seq)
{
    return (size_t)seq->n_pages * seq->cache->layout.page_bytes;
}

/* Of its pages [from, to) by place in the block table, those that nobody else has. */
static int64_t count_unique(const mqa_sequence *seq, int64_t from, int64_t to)
{
    int64_t unique = 0;
    for (int64_t i = from; i < to; i++) unique += !mqa_arena_is_shared(&seq->cache->arena, seq->pages[i]);
    return unique;
}

size_t mqa_sequence_unique_bytes(const mqa_sequence *seq)
{
    return (size_t)count_unique(seq, 0, seq->n_pages) * seq->cache->layout.page_bytes;
}

/* ---- growing ---- */

/* The last page, if it isn't full; -1: there is none such. */
static int32_t open_page(const mqa_sequence *seq)
{
    return seq->length % page_tokens(seq) != 0 ? seq->pages[seq->n_pages - 1] : -1;
}

bool mqa_sequence_must_copy(const mqa_sequence *seq)
{
    const int32_t page = open_page(seq);
    return page >= 0 && mqa_arena_is_shared(&seq->cache->arena, page);
}

/* The last page becomes one that may be written from `length` on, where it holds zeros. */
static void open_for_writing(mqa_sequence *seq)
{
    const mqa_cache *cache = seq->cache;
    const int used = (int)(seq->length % page_tokens(seq));
    int32_t *page = &seq->pages[seq->n_pages - 1];
    if (mqa_sequence_must_copy(seq)) {
        const int32_t copy = mqa_arena_take(&seq->cache->arena, seq->account, seq->kept);
        mqa_page_copy(cache, copy, *page, used);
        mqa_arena_give_back(&seq->cache->arena, *page, seq->kept);
        *page = copy;
    } else if (seq->stale) {
        mqa_page_clear(cache, *page, used, page_tokens(seq));
    }
    seq->stale = false;
}

mqa_status mqa_sequence_extend(mqa_sequence *seq, int64_t n_tokens, mqa_error *err)
{
    mqa_cache_need need = {0};
    char what[48];
    MQA_TRY(mqa_sequence_extend_need(seq, n_tokens, &need, err));
    if (n_tokens == 0) return MQA_OK;
    snprintf(what, sizeof what, "%" PRId64 " more tokens", n_tokens);
    MQA_TRY(mqa_cache_check_need(seq->cache, &need, what, err));
    const int64_t end = mqa_pages_for(seq->length + n_tokens, page_tokens(seq));
    MQA_TRY(grow_table(seq, mqa_sequence_slot(seq, end), err));

    drop_behind(seq, mqa_sequence_live_page(seq, seq->length, seq->gap_end));
    if (open_page(seq) >= 0) open_for_writing(seq);
    const int64_t n_pages = mqa_sequence_slot(seq, end);
    while (seq->n_pages < n_pages)
        seq->pages[seq->n_pages++] = mqa_arena_take(&seq->cache->arena, seq->account, seq->kept);
    seq->length += n_tokens;
    seq->version++;
    return MQA_OK;
}

size_t mqa_sequence_evict(mqa_sequence *seq)
{
    const size_t before = mqa_cache_bytes_in_use(seq->cache);
    drop_behind(seq, mqa_sequence_live_page(seq, seq->length, seq->gap_end));
    return before - mqa_cache_bytes_in_use(seq->cache);
}

/* ---- going back ---- */

mqa_status mqa_sequence_check_back(const mqa_sequence *seq, const char *what, int64_t length, mqa_error *err)
{
    if (!seq || length < seq->first_position || length > seq->length)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%s to %" PRId64 " tokens of a sequence of [%" PRId64 ", %" PRId64 ")", what, length,
                        seq ? seq->first_position : 0, seq ? seq->length : 0);
    const int64_t held = mqa_sequence_first_held(seq);
    if (length > mqa_sequence_first_gone(seq) && mqa_sequence_seen_from(seq, length) < held)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%s to %" PRId64 " tokens: the window there begins before token %" PRId64
                        ", the first one kept; go back to %" PRId64 ", or start a new sequence",
                        what, length, held, mqa_sequence_first_gone(seq));
    return MQA_OK;
}

/* Tokens from `length` on leave the page it stands in: at once, or, as long as others have them too, when the
 * sequence grows again. */
static void cut_open_page(mqa_sequence *seq, int64_t length)
{
    const int64_t page = length / page_tokens(seq), first = page * page_tokens(seq);
    const int64_t slot = mqa_sequence_slot(seq, page);
    const int32_t id = seq->pages[slot];
    const bool was_stale = seq->stale && slot == seq->n_pages - 1;
    const int64_t after = was_stale ? page_tokens(seq) : seq->length - first;
    seq->stale = mqa_arena_is_shared(&seq->cache->arena, id);
    if (seq->stale) return;
    mqa_page_clear(seq->cache, id, (int)(length - first),
                   after < page_tokens(seq) ? (int)after : page_tokens(seq));
}

mqa_status mqa_sequence_truncate(mqa_sequence *seq, int64_t length, mqa_error *err)
{
    MQA_TRY(mqa_sequence_check_back(seq, "truncate", length, err));
    if (length == seq->length) return MQA_OK;
    if (length % page_tokens(seq) != 0)
        cut_open_page(seq, length);
    else
        seq->stale = false; /* whole pages go */
    drop_end(seq, mqa_pages_for(length, page_tokens(seq)));
    seq->length = length;
    seq->version++;
    return MQA_OK;
}
