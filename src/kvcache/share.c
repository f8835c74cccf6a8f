/* Sequences that share their beginnings.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "kvcache/cache.h"

mqa_status mqa_sequence_fork(mqa_sequence *seq, int64_t length, mqa_sequence **out, mqa_error *err)
{
    return mqa_sequence_fork_for(seq, length, seq ? seq->account : NULL, out, err);
}

mqa_status mqa_sequence_fork_for(mqa_sequence *seq, int64_t length, mqa_account *account, mqa_sequence **out,
                                 mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_sequence_fork: out is NULL");
    *out = NULL;
    mqa_cache_need need = {0};
    char what[48];
    MQA_TRY(mqa_sequence_fork_need_for(seq, length, account, &need, err));
    snprintf(what, sizeof what, "a fork's own tokens (from %" PRId64 ")", length);
    MQA_TRY(mqa_cache_check_need(seq->cache, &need, what, err));

    mqa_cache *cache = seq->cache;
    const int page_tokens = cache->layout.page_tokens, rest = (int)(length % page_tokens);
    const int64_t whole = mqa_sequence_slot(seq, length / page_tokens);
    mqa_sequence *fork = NULL;
    MQA_TRY(mqa_sequence_make(cache, seq->first_position, whole + (rest > 0), &fork, err));
    *out = fork;
    fork->length = length;
    fork->account = mqa_account_hold(account);
    if (length > mqa_sequence_first_gone(seq)) fork->gap_end = seq->gap_end;
    for (int64_t i = 0; i < whole; i++) {
        fork->pages[fork->n_pages++] = seq->pages[i];
        mqa_arena_hold(&cache->arena, seq->pages[i], false);
    }
    if (rest > 0) {
        const int32_t copy = mqa_arena_take(&cache->arena, account, false);
        mqa_page_copy(cache, copy, seq->pages[whole], rest);
        fork->pages[fork->n_pages++] = copy;
    }
    return MQA_OK;
}

int64_t mqa_sequence_shared_tokens(const mqa_sequence *a, const mqa_sequence *b)
{
    if (!a || !b || a->cache != b->cache) return 0;
    const int page_tokens = a->cache->layout.page_tokens;
    const int64_t a_first = mqa_sequence_first_held(a), b_first = mqa_sequence_first_held(b);
    const int64_t first = (a_first > b_first ? a_first : b_first) / page_tokens;
    const int64_t length = a->length < b->length ? a->length : b->length;
    const int64_t end = mqa_pages_for(length, page_tokens);
    int64_t page = first;
    while (page < end && a->pages[mqa_sequence_slot(a, page)] == b->pages[mqa_sequence_slot(b, page)]) page++;
    const int64_t token = page * page_tokens < length ? page * page_tokens : length;
    return page > first ? token - first * page_tokens : 0;
}
