/* Images: the pages of a sequence as they lie in memory, for who keeps them somewhere else for a while.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/status.h"
#include "kvcache/cache.h"

/* Pages of the text: the sinks', then those from `live` to the end. */
typedef struct held {
    int64_t sinks, live, end;
} held;

static held held_at(const mqa_cache *cache, int64_t length)
{
    const mqa_cache_layout *layout = &cache->layout;
    held h = {.end = mqa_pages_for(length, layout->page_tokens),
              .live = mqa_live_page(layout, cache->config.window, length)};
    h.sinks = h.end < layout->sink_pages ? h.end : layout->sink_pages;
    if (h.live > h.end) h.live = h.end;
    return h;
}

int64_t mqa_image_pages(const mqa_cache *cache, int64_t length)
{
    const held h = held_at(cache, length);
    return h.sinks + h.end - h.live;
}

unsigned char *mqa_image_slice(const mqa_sequence *seq, int64_t index, int layer)
{
    const held h = held_at(seq->cache, seq->length);
    const int64_t page = index < h.sinks ? index : h.live + index - h.sinks;
    return mqa_arena_slice(&seq->cache->arena, layer, seq->pages[mqa_sequence_slot(seq, page)]);
}

mqa_status mqa_sequence_lay_out(const mqa_sequence *empty, int64_t length, const mqa_sequence *from,
                                int64_t shared, mqa_sequence **out, mqa_error *err)
{
    mqa_cache *cache = empty->cache;
    const int page_tokens = cache->layout.page_tokens;
    const int64_t n = mqa_image_pages(cache, length);
    if (empty->first_position != 0 || empty->length > 0 || length < 0 || shared < 0 ||
        shared > length / page_tokens ||
        (shared > 0 && (cache->config.window > 0 || !from || from->cache != cache ||
                        from->first_position != 0 || shared > from->length / page_tokens)))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "an image of %" PRId64 " tokens, %" PRId64
                        " pages of them another sequence's: out of "
                        "range",
                        length, shared);
    mqa_cache_need need = {0};
    char what[48];
    MQA_TRY(mqa_sequence_extend_need(empty, (n - shared) * page_tokens, &need, err));
    snprintf(what, sizeof what, "an image's %" PRId64 " tokens", length);
    MQA_TRY(mqa_cache_check_need(cache, &need, what, err));
    MQA_TRY(mqa_sequence_make(cache, 0, n, out, err));
    mqa_sequence *seq = *out;
    const held h = held_at(cache, length);
    seq->length = length;
    seq->account = mqa_account_hold(empty->account);
    if (h.live > seq->gap_begin) seq->gap_end = h.live;
    for (; seq->n_pages < shared; seq->n_pages++) {
        seq->pages[seq->n_pages] = from->pages[seq->n_pages];
        mqa_arena_hold(&cache->arena, from->pages[seq->n_pages], false);
    }
    while (seq->n_pages < n) seq->pages[seq->n_pages++] = mqa_arena_take(&cache->arena, seq->account, false);
    return MQA_OK;
}

void mqa_sequence_trim(const mqa_sequence *seq)
{
    const int used = (int)(seq->length % seq->cache->layout.page_tokens);
    if (used > 0)
        mqa_page_clear(seq->cache, seq->pages[seq->n_pages - 1], used, seq->cache->layout.page_tokens);
}
