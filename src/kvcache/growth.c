/* What growing takes from the budgets: for one extend or fork as things are, and for a series of extends that
 * is only rehearsed. Rehearsal 0 stands for things as they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>

#include "base/status.h"
#include "kvcache/cache.h"

/* An extend of a sequence: pages by their index in the text, [gap_end, live) being those that go. */
typedef struct growth {
    int64_t length, gap_end, live;
    int64_t taken, returned; /* pages */
    bool copies;             /* the open page is shared: it is one of those taken */
} growth;

/* ---- as things are, or as they would be in a rehearsal ---- */

static int64_t arena_in_use(const mqa_arena *arena, uint64_t rehearsal)
{
    return rehearsal && arena->trial == rehearsal ? arena->trial_in_use : arena->in_use;
}

static size_t account_in_use(const mqa_account *account, uint64_t rehearsal)
{
    return rehearsal && account->trial == rehearsal ? account->trial_in_use : mqa_account_in_use(account);
}

static uint32_t holds(const mqa_page *page, uint64_t rehearsal)
{
    return page->holds - (rehearsal && page->trial == rehearsal ? page->trial_dropped : 0);
}

/* A page of the sequence that the arena has; NULL for one that only the rehearsal took. */
static mqa_page *page_at(const mqa_sequence *seq, int64_t page, uint64_t rehearsal)
{
    const int page_tokens = seq->cache->layout.page_tokens;
    if (page >= mqa_pages_for(seq->length, page_tokens)) return NULL;
    if (rehearsal && seq->trial == rehearsal && seq->trial_copied && page == seq->length / page_tokens)
        return NULL;
    return &seq->cache->arena.pages[seq->pages[mqa_sequence_slot(seq, page)]];
}

/* Whether the page would be free if the sequence let it go; whose then gets its bytes. */
static bool is_freed(const mqa_sequence *seq, int64_t page, uint64_t rehearsal, const mqa_account **payer)
{
    const mqa_page *known = page_at(seq, page, rehearsal);
    *payer = known ? known->account : seq->account;
    return !known || holds(known, rehearsal) == 1;
}

static growth measure(const mqa_sequence *seq, int64_t n_tokens, uint64_t rehearsal)
{
    const int page_tokens = seq->cache->layout.page_tokens;
    const bool grown = rehearsal && seq->trial == rehearsal;
    growth g = {.length = grown ? seq->trial_length : seq->length,
                .gap_end = grown ? seq->trial_gap_end : seq->gap_end};
    g.live = g.gap_end;
    if (n_tokens == 0) return g;
    g.live = mqa_sequence_live_page(seq, g.length, g.gap_end);
    if (g.length % page_tokens != 0) {
        const mqa_page *open = page_at(seq, g.length / page_tokens, rehearsal);
        g.copies = open && holds(open, rehearsal) > 1;
    }
    g.taken =
        mqa_pages_for(g.length + n_tokens, page_tokens) - mqa_pages_for(g.length, page_tokens) + g.copies;
    const mqa_account *payer;
    for (int64_t page = g.gap_end; page < g.live; page++)
        g.returned += is_freed(seq, page, rehearsal, &payer);
    return g;
}

/* ---- against the budgets ---- */

/* Of what goes, the pages that account pays for. */
static int64_t returned_to(const mqa_account *account, const mqa_sequence *seq, const growth *g,
                           uint64_t rehearsal)
{
    int64_t n = 0;
    const mqa_account *payer;
    for (int64_t page = g->gap_end; page < g->live; page++)
        n += is_freed(seq, page, rehearsal, &payer) && mqa_account_is_under(payer, account);
    return n;
}

/* The least that the cache and the accounts from `account` up have left. g NULL: nothing goes. */
static void find_available(const mqa_sequence *seq, const growth *g, const mqa_account *account,
                           uint64_t rehearsal, mqa_cache_need *out)
{
    const mqa_cache *cache = seq->cache;
    const int64_t rest = cache->arena.limit_pages - arena_in_use(&cache->arena, rehearsal);
    out->available = mqa_cache_pages_bytes(cache, rest + (g ? g->returned : 0));
    out->scarce = NULL;
    for (const mqa_account *a = account; a; a = a->parent) {
        if (a->budget == SIZE_MAX) continue;
        const size_t in_use = account_in_use(a, rehearsal);
        const size_t back = g ? mqa_cache_pages_bytes(cache, returned_to(a, seq, g, rehearsal)) : 0;
        const size_t left = in_use - back < a->budget ? a->budget - (in_use - back) : 0;
        if (left >= out->available) continue;
        out->available = left;
        out->scarce = a;
    }
}

static mqa_status extend_need(const mqa_sequence *seq, int64_t n_tokens, uint64_t rehearsal, growth *g,
                              mqa_cache_need *out, mqa_error *err)
{
    if (!seq || !out || n_tokens < 0 || n_tokens > MQA_MAX_POSITION - seq->length)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "extend by %" PRId64 " tokens: out of range",
                        n_tokens);
    *g = measure(seq, n_tokens, rehearsal);
    *out = (mqa_cache_need){.taken = mqa_cache_pages_bytes(seq->cache, g->taken),
                            .returned = mqa_cache_pages_bytes(seq->cache, g->returned)};
    find_available(seq, g, seq->account, rehearsal, out);
    return MQA_OK;
}

mqa_status mqa_sequence_extend_need(const mqa_sequence *seq, int64_t n_tokens, mqa_cache_need *out,
                                    mqa_error *err)
{
    growth g;
    return extend_need(seq, n_tokens, 0, &g, out, err);
}

mqa_status mqa_sequence_fork_need_for(const mqa_sequence *seq, int64_t length, const mqa_account *account,
                                      mqa_cache_need *out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_sequence_fork_need: out is NULL");
    MQA_TRY(mqa_sequence_check_back(seq, "fork", length, err));
    const mqa_cache *cache = seq->cache;
    *out = (mqa_cache_need){.taken = mqa_cache_pages_bytes(cache, length % cache->layout.page_tokens != 0)};
    find_available(seq, NULL, account, 0, out);
    return MQA_OK;
}

mqa_status mqa_sequence_fork_need(const mqa_sequence *seq, int64_t length, mqa_cache_need *out,
                                  mqa_error *err)
{
    return mqa_sequence_fork_need_for(seq, length, seq ? seq->account : NULL, out, err);
}

mqa_status mqa_cache_check_need(const mqa_cache *cache, const mqa_cache_need *need, const char *what,
                                mqa_error *err)
{
    if (need->taken <= need->available) return MQA_OK;
    const size_t of =
        need->scarce ? need->scarce->budget : mqa_cache_pages_bytes(cache, cache->arena.limit_pages);
    return mqa_fail(err, MQA_ERR_BUDGET, "%s need %zu bytes (%zu pages), %zu of the %s's %zu are available",
                    what, need->taken, need->taken / cache->layout.page_bytes, need->available,
                    need->scarce ? "account" : "cache", of);
}

/* ---- rehearsals ---- */

uint64_t mqa_rehearsal_begin(mqa_context *ctx)
{
    return ++ctx->rehearsals;
}

static void charge(mqa_account *account, uint64_t rehearsal, size_t plus, size_t minus)
{
    for (mqa_account *a = account; a; a = a->parent) {
        a->trial_in_use = account_in_use(a, rehearsal) + plus - minus;
        a->trial = rehearsal;
    }
}

static void drop(mqa_page *page, uint64_t rehearsal)
{
    page->trial_dropped = page->trial == rehearsal ? page->trial_dropped + 1 : 1;
    page->trial = rehearsal;
}

static void apply(mqa_sequence *seq, int64_t n_tokens, const growth *g, uint64_t rehearsal)
{
    mqa_arena *arena = &seq->cache->arena;
    const size_t page_bytes = seq->cache->layout.page_bytes;
    charge(seq->account, rehearsal, (size_t)g->taken * page_bytes, 0);
    for (int64_t page = g->gap_end; page < g->live; page++) {
        const mqa_account *payer;
        mqa_page *known = page_at(seq, page, rehearsal);
        if (is_freed(seq, page, rehearsal, &payer))
            charge(known ? known->account : seq->account, rehearsal, 0, page_bytes);
        if (known) drop(known, rehearsal);
    }
    if (g->copies) drop(page_at(seq, g->length / seq->cache->layout.page_tokens, rehearsal), rehearsal);
    arena->trial_in_use = arena_in_use(arena, rehearsal) + g->taken - g->returned;
    arena->trial = rehearsal;
    if (seq->trial != rehearsal) seq->trial_copied = false;
    seq->trial_copied |= g->copies;
    seq->trial_length = g->length + n_tokens;
    seq->trial_gap_end = g->live;
    seq->trial = rehearsal;
}

mqa_status mqa_rehearse_extend(uint64_t rehearsal, mqa_sequence *seq, int64_t n_tokens, mqa_cache_need *out,
                               mqa_error *err)
{
    growth g;
    MQA_TRY(extend_need(seq, n_tokens, rehearsal, &g, out, err));
    if (out->taken <= out->available && n_tokens > 0) apply(seq, n_tokens, &g, rehearsal);
    return MQA_OK;
}
