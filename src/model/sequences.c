/* A session's sequences: their numbers, their pages, who pays for them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>

#include "kvcache/cache.h"
#include "model/session.h"

/* ---- numbers ---- */

mqa_status mqa_session_make(mqa_session *s, int sequence, mqa_error *err)
{
    for (int k = 0; k < MQA_LAYER_KINDS; k++) {
        mqa_session_kind *kind = &s->kind[k];
        if (!kind->cache) continue;
        const mqa_status status = mqa_sequence_create(kind->cache, &kind->sequences[sequence], err);
        if (status != MQA_OK) {
            if (k > 0 && s->kind[0].cache) mqa_sequence_destroy(&s->kind[0].sequences[sequence]);
            return status;
        }
        mqa_sequence_set_account(kind->sequences[sequence], s->account);
    }
    return MQA_OK;
}

static mqa_status check_number(const mqa_session *s, int sequence, const char *what, mqa_error *err)
{
    if (s && mqa_session_has(s, sequence)) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s: there is no sequence %d", what, sequence);
}

mqa_status mqa_session_open(mqa_session *s, int *sequence, mqa_error *err)
{
    if (!s || !sequence)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_session_open: session or sequence is NULL");
    int free = s->options.max_sequences;
    while (free < s->n_numbers && mqa_session_has(s, free)) free++;
    if (free == s->n_numbers)
        return mqa_fail(err, MQA_ERR_BUDGET, "%d sequences are open on demand, the most there may be",
                        s->options.max_on_demand);
    MQA_TRY(mqa_session_make(s, free, err));
    *sequence = free;
    return MQA_OK;
}

void mqa_session_close(mqa_session *s, int sequence)
{
    if (!s || !mqa_session_has(s, sequence)) return;
    if (sequence < s->options.max_sequences) {
        (void)mqa_session_truncate(s, sequence, 0, NULL); /* its beginning is always there */
        return;
    }
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) mqa_sequence_destroy(&s->kind[k].sequences[sequence]);
}

int64_t mqa_session_length(const mqa_session *s, int sequence)
{
    return mqa_session_has(s, sequence) ? mqa_sequence_length(mqa_session_any_kind(s)->sequences[sequence])
                                        : 0;
}

/* ---- accounts ---- */

mqa_account *mqa_session_account(mqa_session *s)
{
    return s->account;
}

mqa_status mqa_session_set_account(mqa_session *s, int sequence, mqa_account *account, mqa_error *err)
{
    MQA_TRY(check_number(s, sequence, "mqa_session_set_account", err));
    if (!account || !mqa_account_is_under(account, s->account))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_session_set_account: the account isn't below the session's");
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) mqa_sequence_set_account(s->kind[k].sequences[sequence], account);
    return MQA_OK;
}

/* ---- forks, and going back ---- */

mqa_status mqa_session_truncate(mqa_session *s, int sequence, int64_t length, mqa_error *err)
{
    MQA_TRY(check_number(s, sequence, "truncate", err));
    /* Windows first: only they can refuse what the others accept. */
    for (int kind = MQA_LAYER_KINDS - 1; kind >= 0; kind--)
        if (s->kind[kind].cache)
            MQA_TRY(mqa_sequence_truncate(s->kind[kind].sequences[sequence], length, err));
    return MQA_OK;
}

bool mqa_session_can_fork(const mqa_session *s, int from, int64_t length)
{
    if (!s || !mqa_session_has(s, from)) return false;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache &&
            mqa_sequence_check_back(s->kind[k].sequences[from], "fork", length, NULL) != MQA_OK)
            return false;
    return true;
}

mqa_status mqa_session_fork(mqa_session *s, int from, int64_t length, int to, mqa_error *err)
{
    MQA_TRY(check_number(s, from, "fork", err));
    MQA_TRY(check_number(s, to, "fork", err));
    if (from == to || mqa_session_length(s, to) > 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "fork of sequence %d into %d, which isn't another one that is empty", from, to);
    mqa_session_prepare_pages(s, (const int64_t[MQA_LAYER_KINDS]){1, 1});
    mqa_sequence *fork[MQA_LAYER_KINDS] = {NULL};
    mqa_status status = MQA_OK;
    for (int k = 0; k < MQA_LAYER_KINDS && status == MQA_OK; k++)
        if (s->kind[k].cache)
            status = mqa_sequence_fork_for(s->kind[k].sequences[from], length,
                                           s->kind[k].sequences[to]->account, &fork[k], err);
    for (int k = 0; k < MQA_LAYER_KINDS; k++) {
        if (!fork[k]) continue;
        mqa_sequence **at = &s->kind[k].sequences[to];
        if (status == MQA_OK) mqa_sequence_destroy(at);
        if (status == MQA_OK)
            *at = fork[k];
        else
            mqa_sequence_destroy(&fork[k]);
    }
    return status;
}

void mqa_session_keep(mqa_session *s, int sequence, bool keep)
{
    if (!mqa_session_has(s, sequence)) return;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) mqa_sequence_keep(s->kind[k].sequences[sequence], keep);
}

size_t mqa_session_evict(mqa_session *s, int sequence)
{
    size_t bytes = 0;
    if (!mqa_session_has(s, sequence)) return 0;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) bytes += mqa_sequence_evict(s->kind[k].sequences[sequence]);
    return bytes;
}

/* ---- bytes ---- */

size_t mqa_session_bytes(const mqa_session *s, int sequence)
{
    size_t bytes = 0;
    if (!mqa_session_has(s, sequence)) return 0;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) bytes += mqa_sequence_bytes(s->kind[k].sequences[sequence]);
    return bytes;
}

size_t mqa_session_unique_bytes(const mqa_session *s, int sequence)
{
    size_t bytes = 0;
    if (!mqa_session_has(s, sequence)) return 0;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) bytes += mqa_sequence_unique_bytes(s->kind[k].sequences[sequence]);
    return bytes;
}

size_t mqa_session_kept_bytes(const mqa_session *s, int sequence, int64_t length)
{
    const mqa_session_kind *global = &s->kind[MQA_LAYER_GLOBAL];
    if (!mqa_session_has(s, sequence) || !global->cache) return 0;
    const mqa_sequence *seq = global->sequences[sequence];
    const int64_t pages = mqa_pages_for(length, global->page_tokens);
    size_t kept = 0;
    for (int64_t i = 0; i < pages && i < seq->n_pages; i++) {
        const mqa_page *page = &global->cache->arena.pages[seq->pages[i]];
        kept += page->kept == page->holds ? global->page_bytes : 0;
    }
    return kept;
}

int mqa_session_page_tokens(const mqa_session *s)
{
    return mqa_session_any_kind(s)->page_tokens;
}

mqa_session_most mqa_session_most_bytes(const mqa_session *s, int64_t n_shared, int64_t n_tokens,
                                        int64_t part)
{
    mqa_session_most most = {0};
    if (n_tokens < 1 || part < 1 || n_shared < 0 || n_shared > n_tokens) return most;
    const mqa_session_kind *global = &s->kind[MQA_LAYER_GLOBAL], *window = &s->kind[MQA_LAYER_WINDOW];
    if (global->cache) {
        const int64_t pages = mqa_pages_for(n_tokens, global->page_tokens) - n_shared / global->page_tokens;
        most.bytes = mqa_cache_pages_bytes(global->cache, pages);
    }
    if (window->cache)
        most.window_bytes = mqa_cache_pages_bytes(
            window->cache, mqa_most_pages(&window->cache->layout, window->config.window, n_tokens, part));
    return most;
}
