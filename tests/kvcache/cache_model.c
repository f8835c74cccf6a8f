/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"
#include "shadow.h"

enum { MODEL_HEADER = 16, MODEL_RECORD = 8 };

/* The bytes of a record. */
typedef struct record {
    uint8_t what, who, a, b, c, d;
    uint16_t n;
} record;

static bool differ(model *m, const char *fmt, ...)
{
    va_list args;
    const int n = snprintf(m->why, sizeof m->why, "record %zu: ", m->at);
    va_start(args, fmt);
    vsnprintf(m->why + n, sizeof m->why - (size_t)n, fmt, args);
    va_end(args);
    return false;
}

#define MUST(condition, ...)                                                                                 \
    do {                                                                                                     \
        if (!(condition)) return differ(m, __VA_ARGS__);                                                     \
    } while (0)

/* ---- comparing ----------------------------------------------------------------------------------- */

static bool same_accounts(model *m)
{
    const size_t page_bytes = mqa_cache_page_bytes(&m->config);
    const int64_t in_use = pages_in_use(m);
    MUST(mqa_cache_bytes_in_use(m->cache) == (size_t)in_use * page_bytes, "%zu bytes in use, not %lld pages",
         mqa_cache_bytes_in_use(m->cache), (long long)in_use);
    MUST(in_use <= m->limit, "%lld pages in use of %lld", (long long)in_use, (long long)m->limit);
    MUST(mqa_cache_bytes_resident(m->cache) >= mqa_cache_bytes_in_use(m->cache), "resident: too few");
    MUST(mqa_cache_bytes_kept(m->cache) == (size_t)pages_kept(m, NOBODY) * page_bytes, "%zu bytes kept",
         mqa_cache_bytes_kept(m->cache));
    for (int payer = TOP; payer < PAYERS; payer++) {
        mqa_account_usage usage = {.struct_size = sizeof usage};
        MUST(mqa_account_get_usage(m->account[payer], &usage, NULL) == MQA_OK, "usage");
        const int64_t charged = pages_charged(m, -1, NULL, payer), kept = pages_kept(m, payer);
        MUST(usage.in_use == (size_t)charged * page_bytes, "account %d: %zu bytes, not %lld pages", payer,
             usage.in_use, (long long)charged);
        MUST(usage.kept == (size_t)kept * page_bytes, "account %d: %zu bytes kept, not %lld pages", payer,
             usage.kept, (long long)kept);
        MUST(usage.window_in_use == (m->config.window ? usage.in_use : 0) &&
                 usage.window_kept == (m->config.window ? usage.kept : 0),
             "account %d: window", payer);
        MUST(m->account_limit[payer] < 0 || charged <= m->account_limit[payer], "account %d: over", payer);
    }
    for (int i = 0; i < SEQUENCES; i++) {
        const shadow *s = &m->s[i];
        if (!s->seq) continue;
        MUST(mqa_sequence_length(s->seq) == s->length, "%d: length %lld, not %lld", i,
             (long long)mqa_sequence_length(s->seq), (long long)s->length);
        MUST(mqa_sequence_first_position(s->seq) == s->first, "%d: first position", i);
        MUST(mqa_sequence_first_held(s->seq) == held_from(m, s), "%d: first held %lld, not %lld", i,
             (long long)mqa_sequence_first_held(s->seq), (long long)held_from(m, s));
        MUST(mqa_sequence_first_gone(s->seq) == gone_from(m, s), "%d: first gone %lld, not %lld", i,
             (long long)mqa_sequence_first_gone(s->seq), (long long)gone_from(m, s));
        MUST(mqa_sequence_bytes(s->seq) == (size_t)n_pages(m, s) * page_bytes, "%d: bytes", i);
        MUST(mqa_sequence_unique_bytes(s->seq) == (size_t)unique_pages(m, s) * page_bytes, "%d: unique bytes",
             i);
    }
    return true;
}

/* Pages have the same id exactly where they have the same name. */
static bool same_sharing(model *m)
{
    uint32_t name_of[64] = {0};
    for (int i = 0; i < SEQUENCES; i++) {
        const shadow *s = &m->s[i];
        for (int64_t p = 0, at = 0; s->seq && p < end_index(m, s); p++) {
            if (s->page[p] == 0) continue;
            const int32_t id = s->seq->pages[at++];
            MUST(id >= 0 && id < m->config.max_pages, "%d: page id %d", i, (int)id);
            MUST(name_of[id] == 0 || name_of[id] == s->page[p], "%d: page %lld is another's", i,
                 (long long)p);
            name_of[id] = s->page[p];
        }
    }
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < a; b++)
            MUST(name_of[a] == 0 || name_of[a] != name_of[b], "a page that should be shared is twice there");
    return true;
}

static bool same_shared_tokens(model *m)
{
    for (int i = 0; i < SEQUENCES; i++)
        for (int j = 0; j < SEQUENCES; j++) {
            const shadow *a = &m->s[i], *b = &m->s[j];
            if (!a->seq || !b->seq) continue;
            const int64_t a_held = held_from(m, a), b_held = held_from(m, b);
            const int64_t begin = a_held > b_held ? a_held : b_held;
            const int64_t end = a->length < b->length ? a->length : b->length;
            int64_t t = begin;
            while (a->first == b->first && t < end &&
                   a->page[(t - a->first) / m->page_tokens] == b->page[(t - b->first) / m->page_tokens])
                t++;
            MUST(mqa_sequence_shared_tokens(a->seq, b->seq) == t - begin, "%d and %d share %lld, not %lld", i,
                 j, (long long)mqa_sequence_shared_tokens(a->seq, b->seq), (long long)(t - begin));
        }
    return true;
}

/* Every tile of a sequence, byte for byte; of a page that was cut while shared, its own tokens only. */
static bool same_tiles(model *m, int which)
{
    static _Alignas(64) unsigned char fresh[2 * 64 * (ROWS_MAX_D + 16) * 4 + 1024];
    const shadow *s = &m->s[which];
    if (!s->seq) return true;
    const int64_t stale_from = s->stale ? s->length / m->page_tokens * m->page_tokens : s->length;
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        for (int64_t at = s->first; at < s->length && at < stale_from; at += 64)
            for (int head = 0; head < m->config.n_kv_heads && holds(m, s, at, 1); head++) {
                stamped_granule(m->cache, s->stamp[layer] + (at - s->first), layer, head, fresh);
                MUST(memcmp(mqa_sequence_granule(s->seq, layer, head, at / 64), fresh,
                            m->cache->layout.head_bytes) == 0,
                     "%d: tile of token %lld, layer %d, head %d", which, (long long)at, layer, head);
            }
        if (!s->stale) continue;
        const char *wrong = compare_tokens(s->seq, layer, stale_from, s->length - stale_from,
                                           s->stamp[layer] + (stale_from - s->first), false);
        MUST(!wrong, "%d: %s", which, wrong);
    }
    return true;
}

static bool same_need(model *m, const mqa_cache_need *need, int64_t taken, int64_t returned,
                      int64_t available, int scarce)
{
    const size_t page = mqa_cache_page_bytes(&m->config);
    MUST(need->scarce == m->account[scarce], "need: another budget is the least");
    MUST(need->taken == (size_t)taken * page && need->returned == (size_t)returned * page &&
             need->available == (size_t)available * page,
         "need: %zu taken, %zu returned, %zu available, not %lld, %lld, %lld pages", need->taken,
         need->returned, need->available, (long long)taken, (long long)returned, (long long)available);
    return true;
}

/* The least that is left where sequence `who`, as in `before`, takes pages; of whose budget. */
static int64_t pages_left(const model *m, int who, const shadow *before, int *scarce)
{
    int64_t left = m->limit - pages_with(m, who, before);
    *scarce = NOBODY;
    for (int payer = before->payer; payer != NOBODY; payer = payer == TOP ? NOBODY : TOP) {
        const int64_t rest = m->account_limit[payer] - pages_charged(m, who, before, payer);
        if (m->account_limit[payer] < 0 || rest >= left) continue;
        left = rest;
        *scarce = payer;
    }
    return left;
}

/* ---- operations ---------------------------------------------------------------------------------- */

static bool op_create(model *m, int who, const record *r)
{
    static const int64_t firsts[] = {0, 0, 0, 8192, INT64_C(1) << 31, (INT64_C(1) << 40) + 8192};
    shadow *s = &m->s[who];
    const int64_t first = firsts[r->a % 6];
    MUST(mqa_sequence_create_at(m->cache, first + 1 + r->c, &s->seq, NULL) == MQA_ERR_INVALID_ARGUMENT &&
             !s->seq,
         "created between two groups");
    *s = (shadow){.first = first, .length = first};
    MUST(mqa_sequence_create_at(m->cache, first, &s->seq, NULL) == MQA_OK, "create");
    s->payer = r->b % PAYERS;
    mqa_sequence_set_account(s->seq, m->account[s->payer]);
    return true;
}

static bool op_extend(model *m, int who, int64_t n)
{
    shadow *s = &m->s[who], after = *s;
    mqa_cache_need need;
    int scarce;
    if (s->length + n - s->first > MAX_TOKENS) return true;
    drop_behind_window(m, &after);
    const int64_t evicted = pages_with(m, who, &after), open = (s->length - s->first) / m->page_tokens;
    const int64_t left = pages_left(m, who, &after, &scarce), in_use = pages_in_use(m);
    const bool copies = s->length % m->page_tokens != 0 && holders(m, s->page[open]) > 1;
    if (copies) after.page[open] = take_page(m, s);
    after.length += n;
    for (int64_t p = end_index(m, s); p < end_index(m, &after); p++) after.page[p] = take_page(m, s);
    after.stale = false;
    const int64_t taken = copies + end_index(m, &after) - end_index(m, s);

    MUST(mqa_sequence_extend_need(s->seq, n, &need, NULL) == MQA_OK, "need");
    if (!same_need(m, &need, taken, in_use - evicted, left, scarce)) return false;
    const mqa_status status = mqa_sequence_extend(s->seq, n, NULL);
    MUST(status == (taken <= left ? MQA_OK : MQA_ERR_BUDGET), "extend by %lld, %lld pages of %lld: %s",
         (long long)n, (long long)taken, (long long)left, mqa_status_name(status));
    if (status == MQA_OK) *s = after;
    return true;
}

static bool op_fork(model *m, int who, int to, int64_t length)
{
    if (to == who) return true;
    mqa_sequence_destroy(&m->s[to].seq);
    shadow *s = &m->s[who], fork = *s;
    const bool own_page = length % m->page_tokens != 0;
    int scarce;
    const int64_t left = pages_left(m, who, s, &scarce);
    const mqa_status expected = !can_go_back(m, s, length) ? MQA_ERR_INVALID_ARGUMENT
                                : own_page > left          ? MQA_ERR_BUDGET
                                                           : MQA_OK;
    mqa_cache_need need;
    const mqa_status answer = mqa_sequence_fork_need(s->seq, length, &need, NULL);
    MUST((answer == MQA_OK) == (expected != MQA_ERR_INVALID_ARGUMENT), "fork's need");
    if (answer == MQA_OK && !same_need(m, &need, own_page, 0, left, scarce)) return false;
    const mqa_status status = mqa_sequence_fork(s->seq, length, &fork.seq, NULL);
    MUST(status == expected, "fork at %lld: %s", (long long)length, mqa_status_name(status));
    MUST((status == MQA_OK) == (fork.seq != NULL), "fork: out");
    if (status != MQA_OK) return true;
    for (int layer = 0; layer < MAX_LAYERS; layer++)
        memset(fork.stamp[layer] + (length - s->first), 0, (size_t)(s->length - length) * sizeof(uint32_t));
    fork.length = length;
    fork.stale = fork.kept = false;
    if (own_page) fork.page[end_index(m, &fork) - 1] = take_page(m, s);
    m->s[to] = fork;
    return true;
}

static bool op_truncate(model *m, int who, int64_t length)
{
    shadow *s = &m->s[who];
    const mqa_status status = mqa_sequence_truncate(s->seq, length, NULL);
    const bool ok = can_go_back(m, s, length);
    MUST(status == (ok ? MQA_OK : MQA_ERR_INVALID_ARGUMENT), "truncate to %lld: %s", (long long)length,
         mqa_status_name(status));
    if (!ok || length == s->length) return true;
    for (int layer = 0; layer < MAX_LAYERS; layer++)
        memset(s->stamp[layer] + (length - s->first), 0, (size_t)(s->length - length) * sizeof(uint32_t));
    s->stale = length % m->page_tokens != 0 && holders(m, s->page[(length - s->first) / m->page_tokens]) > 1;
    s->length = length;
    return true;
}

static bool op_evict(model *m, int who)
{
    shadow *s = &m->s[who], after = *s;
    drop_behind_window(m, &after);
    const size_t freed = (size_t)(pages_in_use(m) - pages_with(m, who, &after));
    MUST(mqa_sequence_evict(s->seq) == freed * mqa_cache_page_bytes(&m->config), "evict");
    *s = after;
    return true;
}

/* A budget may not be passed by what is in use already: it never gets below that here. */
static bool op_account(model *m, int who, const record *r)
{
    shadow *s = &m->s[who];
    if (r->a % 2) {
        s->payer = r->b % PAYERS;
        mqa_sequence_set_account(s->seq, m->account[s->payer]);
        return true;
    }
    const int payer = TOP + r->b % (PAYERS - TOP);
    const int64_t charged = pages_charged(m, -1, NULL, payer);
    m->account_limit[payer] = r->c % 4 == 0 || charged + r->c % 8 == 0 ? -1 : charged + r->c % 8;
    mqa_account_set_budget(
        m->account[payer],
        m->account_limit[payer] < 0 ? 0 : (size_t)m->account_limit[payer] * mqa_cache_page_bytes(&m->config));
    return true;
}

static bool op_keep(model *m, int who, const record *r)
{
    m->s[who].kept = r->a % 2;
    mqa_sequence_keep(m->s[who].seq, r->a % 2);
    return true;
}

/* A rehearsal of extends, each measured as if those before it had been done, is what then comes of them;
 * and by itself changes nothing. */
static bool op_rehearse(model *m, int who, const record *r)
{
    enum { N = 4 };
    const uint64_t rehearsal = mqa_rehearsal_begin(m->cache->ctx);
    mqa_cache_need need[N], now;
    int whose[N];
    for (int i = 0; i < N; i++) {
        const uint8_t pick[N] = {(uint8_t)who, r->c, r->d, r->c};
        whose[i] = pick[i] % SEQUENCES;
        const int64_t n = 1 + (r->n >> 2 * i) % 150;
        shadow *s = &m->s[whose[i]];
        need[i].taken = SIZE_MAX;
        if (s->seq && s->length + N * 150 - s->first <= MAX_TOKENS)
            MUST(mqa_rehearse_extend(rehearsal, s->seq, n, &need[i], NULL) == MQA_OK, "rehearsal");
    }
    for (int i = 0; i < N; i++) {
        const int64_t n = 1 + (r->n >> 2 * i) % 150;
        if (need[i].taken == SIZE_MAX) continue;
        MUST(mqa_sequence_extend_need(m->s[whose[i]].seq, n, &now, NULL) == MQA_OK, "need");
        MUST(now.taken == need[i].taken && now.returned == need[i].returned &&
                 now.available == need[i].available && now.scarce == need[i].scarce,
             "rehearsal of extend %d: %zu taken, %zu returned, %zu left; it came to %zu, %zu, %zu", i,
             need[i].taken, need[i].returned, need[i].available, now.taken, now.returned, now.available);
        if (!op_extend(m, whose[i], n)) return false;
    }
    return true;
}

static bool may_write(const model *m, const shadow *s, int layer, int64_t position, int64_t n)
{
    if (layer < 0 || layer >= m->config.n_layers || !holds(m, s, position, n)) return false;
    for (int64_t t = position; t < position + n; t++)
        if (holders(m, s->page[(t - s->first) / m->page_tokens]) > 1) return false;
    return true;
}

static import_way way_of(const record *r)
{
    static const int page_tokens[] = {16, 32, 1, 7};
    return (import_way){.kind = (import_kind)(r->b % 3),
                        .bad_token = -1,
                        .type = (mqa_source_type)(r->c % 3),
                        .layout = (mqa_source_layout)(r->c / 3 % 2),
                        .page_tokens = page_tokens[r->c / 6 % 4],
                        .side_by_side = r->c / 24 % 2,
                        .first_token = r->d % 40,
                        .shuffle = r->d};
}

/* n tokens from any position, which may or may not be held. */
static bool op_write(model *m, int who, int layer, int64_t position, int64_t n, const record *r)
{
    static uint32_t stamps[ROWS_MAX_TOKENS];
    shadow *s = &m->s[who];
    for (int64_t t = 0; t < n; t++) stamps[t] = ++m->last_stamp;
    import_way way = way_of(r);
    const bool may = may_write(m, s, layer, position, n);
    way.hostile = may && n > 0 && way.kind == IMPORT_PAGED && r->a % 8 == 1;
    if (may && n > 0 && !way.hostile && r->a % 8 == 2) way.bad_token = r->d % n;
    const mqa_status expected = !may || way.hostile  ? MQA_ERR_INVALID_ARGUMENT
                                : way.bad_token >= 0 ? MQA_ERR_NOT_FINITE
                                                     : MQA_OK;
    const mqa_status status = import_tokens(s->seq, layer, position, n, stamps, &way, NULL);
    MUST(status == expected, "write %lld at %lld: %s", (long long)n, (long long)position,
         mqa_status_name(status));
    if (expected == MQA_ERR_INVALID_ARGUMENT) return true;
    const int64_t done = way.bad_token >= 0 ? way.bad_token + 1 : n;
    memcpy(s->stamp[layer] + (position - s->first), stamps, (size_t)done * sizeof *stamps);
    if (way.bad_token < 0) return true;
    way.bad_token = -1; /* that token again, as the header asks */
    MUST(import_tokens(s->seq, layer, position + done - 1, 1, stamps + done - 1, &way, NULL) == MQA_OK,
         "write after a NaN");
    return true;
}

static bool op_append(model *m, int who, const record *r)
{
    shadow *s = &m->s[who];
    const int64_t from = s->length;
    if (!op_extend(m, who, 1 + r->n % (r->what % 2 ? 9 : 200))) return false;
    for (int layer = 0; layer < m->config.n_layers; layer++)
        if (r->d % 8 != layer) /* now and then a layer is left unwritten */
            if (!op_write(m, who, layer, from, s->length - from, r)) return false;
    return true;
}

static bool op_defragment(model *m)
{
    mqa_defragment_report report;
    const int64_t touched = m->cache->arena.n_touched, in_use = pages_in_use(m);
    mqa_cache_defragment(m->cache, &report);
    MUST(report.bytes_resident == mqa_cache_bytes_in_use(m->cache) &&
             report.bytes_resident == mqa_cache_bytes_resident(m->cache),
         "defragment: resident");
    MUST(report.bytes_returned <= (size_t)(touched - in_use) * mqa_cache_page_bytes(&m->config),
         "defragment: returned");
    for (int layer = 0; layer < m->config.n_layers; layer++) {
        const unsigned char *tail = mqa_arena_slice(&m->cache->arena, layer, (int32_t)in_use);
        for (size_t i = 0; i < (size_t)(touched - in_use) * m->cache->layout.slice_bytes; i++)
            MUST(tail[i] == 0, "defragment: left something behind");
    }
    return true;
}

/* Pages nobody has may hold anything. */
static bool op_poison(const model *m)
{
    const mqa_arena *arena = &m->cache->arena;
    for (int64_t i = 0; i < arena->n_free; i++)
        for (int layer = 0; layer < m->config.n_layers; layer++)
            memset(mqa_arena_slice(arena, layer, arena->free[i]), 0xff, m->cache->layout.slice_bytes);
    return true;
}

static bool op_read(model *m, int who, const record *r)
{
    const shadow *s = &m->s[who];
    const int layer = r->a % m->config.n_layers;
    const int64_t gone = gone_from(m, s), held = held_from(m, s);
    const int64_t from = s->first + r->n % (s->length - s->first + 1), end = from < gone ? gone : s->length;
    if (holds(m, s, from, end - from)) {
        const char *wrong =
            compare_tokens(s->seq, layer, from, end - from, s->stamp[layer] + (from - s->first), r->b % 2);
        MUST(!wrong, "%d: %s", who, wrong);
    }
    MUST((mqa_sequence_read(s->seq, layer, from, s->length - from, NULL, 0, 0, NULL, 0, 0, NULL) == MQA_OK) ==
             (from >= held),
         "read over what was given back");
    float x[1];
    MUST(mqa_sequence_read(s->seq, layer, s->length, 1, x, 0, 0, x, 0, 0, NULL) == MQA_ERR_INVALID_ARGUMENT,
         "read beyond the end");
    MUST(held == 0 || mqa_sequence_read(s->seq, layer, held - 1, 1, x, 0, 0, x, 0, 0, NULL) ==
                          MQA_ERR_INVALID_ARGUMENT,
         "read before the beginning");
    return true;
}

/* Any position of the sequence, and now and then one where something changes, or outside of it. */
static int64_t position_of(const model *m, const shadow *s, const record *r)
{
    switch (r->a % 16) {
    case 0:
        return s->first - 3 + r->b % 8;
    case 1:
        return s->first;
    case 2: /* its window begins about where the tokens do that are held */
        return held_from(m, s) + m->config.window - 2 + r->b % 3;
    case 3:
        return s->first + r->n % (s->length - s->first + 1) / m->page_tokens * m->page_tokens;
    default:
        return s->first + r->n % (s->length - s->first + 1);
    }
}

static bool run_record(model *m, const record *r)
{
    const int who = r->who % SEQUENCES;
    shadow *s = &m->s[who];
    if (!s->seq && !op_create(m, who, r)) return false;
    const int64_t position = position_of(m, s, r);
    switch (r->what % 32) {
    case 0:
        mqa_sequence_destroy(&s->seq);
        return true;
    case 1:
        return op_defragment(m);
    case 2:
    case 3:
        return op_poison(m);
    case 4:
        return op_evict(m, who);
    case 5:
    case 6:
        return op_read(m, who, r);
    case 7:
    case 8:
    case 9:
        return op_truncate(m, who, position);
    case 10:
        return op_truncate(m, who, s->length - r->n % 9);
    case 11:
    case 12:
    case 13:
        return op_fork(m, who, r->c % SEQUENCES, position);
    case 14:
        return op_fork(m, who, r->c % SEQUENCES, s->length);
    case 15:
        return op_account(m, who, r);
    case 16:
        return op_keep(m, who, r);
    case 17:
    case 18:
    case 19:
    case 20:
        return op_rehearse(m, who, r);
    case 21:
    case 22:
        return op_write(m, who, r->a / 16 % (m->config.n_layers + 1), position, r->b % 90, r);
    default:
        return op_append(m, who, r);
    }
}

/* ---- programs ------------------------------------------------------------------------------------ */

static bool make_cache(model *m, const uint8_t *h)
{
    static mqa_context *ctx; /* for all programs */
    if (!ctx) {
        mqa_context_options options = mqa_context_options_default();
        options.n_threads = 1;
        options.isa = MQA_ISA_REFERENCE;
        MUST(mqa_context_create(&options, &ctx, NULL) == MQA_OK, "no context");
    }
    m->page_tokens = 64 << h[0] % 3;
    m->config =
        (mqa_cache_config){.struct_size = sizeof m->config,
                           .n_layers = 1 + h[1] % MAX_LAYERS,
                           .n_kv_heads = 1 + h[2] % 2,
                           .head_dim_qk = 1 + h[3] % 24,
                           .head_dim_vo = 1 + h[4] % 24,
                           .k_type = (mqa_kv_type)(h[5] % MQA_KV_TYPES),
                           .v_type = (mqa_kv_type)(h[6] % MQA_KV_TYPES),
                           .k_hadamard = h[5] / MQA_KV_TYPES % 2,
                           .v_hadamard = h[6] / MQA_KV_TYPES % 2,
                           .window = h[7] % 2 ? 1 + (h[8] | h[9] << 8) % 400 : 0,
                           .n_sink_tokens = h[7] % 4 == 3 ? 1 + h[7] / 4 * 5 + (h[8] % 8 ? 0 : 8192) : 0,
                           .max_pages = 1 + h[10] % 40,
                           .page_tokens = m->page_tokens};
    m->limit = m->config.max_pages;
    if (h[11] % 2) {
        m->limit = 1 + h[11] / 2 % m->config.max_pages;
        m->config.budget_bytes = (size_t)m->limit * mqa_cache_page_bytes(&m->config) + h[11];
    }
    if (m->page_tokens == 64 && h[0] % 2) m->config.page_tokens = 0;
    MUST(mqa_cache_create(ctx, &m->config, &m->cache, NULL) == MQA_OK, "no cache");
    for (int payer = TOP; payer < PAYERS; payer++) {
        const uint8_t pages = h[11 + payer];
        m->account_limit[payer] = pages % 2 ? 1 + pages / 2 % 24 : -1;
        const size_t budget =
            pages % 2 ? (size_t)m->account_limit[payer] * mqa_cache_page_bytes(&m->config) : 0;
        MUST(mqa_account_create(ctx, payer == TOP ? NULL : m->account[TOP], budget, &m->account[payer],
                                NULL) == MQA_OK,
             "no account");
    }
    return true;
}

static bool run_records(model *m, const uint8_t *records, size_t n)
{
    for (m->at = 0; m->at < n; m->at++) {
        const uint8_t *b = records + m->at * MODEL_RECORD;
        const record r = {b[0], b[1], b[2], b[3], b[4], b[5], (uint16_t)(b[6] | b[7] << 8)};
        if (!run_record(m, &r) || !same_accounts(m) || !same_sharing(m) || !same_shared_tokens(m) ||
            !same_tiles(m, r.who % SEQUENCES))
            return false;
        for (int i = 0; i < SEQUENCES && (m->at % 8 == 7 || m->at == n - 1); i++)
            if (!same_tiles(m, i)) return false;
    }
    return true;
}

static const char *run_model(const uint8_t *program, size_t size)
{
    static model m;
    memset(&m, 0, sizeof m);
    if (size < MODEL_HEADER) return NULL;
    bool same = make_cache(&m, program) &&
                run_records(&m, program + MODEL_HEADER, (size - MODEL_HEADER) / MODEL_RECORD);
    /* In either order: an account lives as long as something is charged to it. */
    for (int payer = TOP; payer < PAYERS && size % 2; payer++) mqa_account_destroy(&m.account[payer]);
    for (int i = 0; i < SEQUENCES; i++) mqa_sequence_destroy(&m.s[i].seq);
    for (int payer = TOP; payer < PAYERS; payer++) mqa_account_destroy(&m.account[payer]);
    if (same && mqa_cache_bytes_in_use(m.cache) != 0) same = differ(&m, "pages are left without a sequence");
    mqa_cache_destroy(&m.cache);
    return same ? NULL : m.why;
}

const program_kind cache_programs = {.variable = "MQA_CACHE_PROGRAM",
                                     .header = MODEL_HEADER,
                                     .record = MODEL_RECORD,
                                     .records = 120,
                                     .run = run_model};
