/* Operations on sequences: their life, and tokens in and out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "../kvcache/rows.h"
#include "fuzz_world.h"

static int64_t n_tokens(const track *t)
{
    return mqa_sequence_length(t->seq) - t->first;
}

/* Positions end, and RoPE's before them. */
static unsigned if_far(const world *w, const track *t)
{
    const int64_t end = (w->rope ? MQA_ROPE_MAX_POSITION : INT64_MAX / 2) - 2 * WORLD_TOKENS;
    return t->first > end ? REFUSED : 0;
}

static unsigned if_wild(const reader *r)
{
    return r->wild ? REFUSED : 0;
}

/* Tokens from `from` on are new, or gone. */
static void forget(track *t, int64_t from)
{
    t->changes++;
    for (int layer = 0; layer < WORLD_LAYERS; layer++)
        memset(t->stamp[layer] + from, 0, (size_t)(WORLD_TOKENS - from) * sizeof **t->stamp);
}

/* A batch must not outlive its sequences. */
static void destroy(world *w, int who)
{
    if (!w->s[who].seq) return;
    for (int i = 0; i < WORLD_PLANS; i++)
        for (int j = 0; j < w->p[i].n_items; j++)
            if (w->p[i].items[j].track == who) {
                end_batch(&w->p[i]);
                break;
            }
    mqa_sequence_destroy(&w->s[who].seq);
}

bool op_create(world *w, int who, reader *r)
{
    static const int64_t usual[] = {0, 0, 0, 0, MQA_SEQUENCE_UNIT, INT64_C(1) << 31};
    track *t = &w->s[who];
    mqa_status status;
    t->first = usual[take_byte(r) % 6];
    if (take_one_in(r, 16))
        t->first =
            (int64_t)((uint64_t)take_number(r, 0, 9) * (take_one_in(r, 2) ? 1 : MQA_SEQUENCE_UNIT / 2));
    const bool valid = t->first >= 0 && t->first <= INT64_MAX / 2 && t->first % MQA_SEQUENCE_UNIT == 0;
    CALL(w, valid ? FINE : REFUSED, status, mqa_sequence_create_at(w->cache, t->first, &t->seq, &w->err));
    MUST(w, (t->seq != NULL) == (status == MQA_OK), "create: out");
    forget(t, 0);
    return true;
}

bool op_destroy(world *w, int who)
{
    destroy(w, who);
    return true;
}

/* ---- tokens in ----------------------------------------------------------------------------------- */

static import_way take_way(reader *r)
{
    return (import_way){.kind = (import_kind)take_from(r, 0, 2),
                        .bad_token = -1,
                        .type = (mqa_source_type)take_from(r, 0, 2),
                        .layout = (mqa_source_layout)take_from(r, 0, 1),
                        .page_tokens = (int)take_from(r, 1, 40),
                        .first_token = (int)take_from(r, 0, 50),
                        .side_by_side = take_one_in(r, 2),
                        .shuffle = take_byte(r)};
}

bool write_stamped(world *w, int who, int layer, int64_t position, int64_t n, reader *r)
{
    track *t = &w->s[who];
    const import_way way = take_way(r);
    uint32_t stamps[WORLD_TOKENS];
    mqa_status status;
    for (int64_t i = 0; i < n; i++) stamps[i] = ++w->last_stamp;
    CALL(w, FINE | REFUSED, status, import_tokens(t->seq, layer, position, n, stamps, &way, &w->err));
    if (status == MQA_OK) memcpy(t->stamp[layer] + (position - t->first), stamps, (size_t)n * sizeof *stamps);
    return true;
}

static bool extend(world *w, int who, int64_t n, unsigned may, mqa_status *status)
{
    track *t = &w->s[who];
    const int64_t before = n_tokens(t);
    CALL(w, may | if_far(w, t), *status, mqa_sequence_extend(t->seq, n, &w->err));
    MUST(w, n_tokens(t) == before + (*status == MQA_OK ? n : 0), "extend: the length");
    if (*status == MQA_OK && n > 0) forget(t, before);
    return true;
}

/* A few, or many, or so many that a span is full: what is shared then is computed together. */
static int64_t take_more(reader *r, int64_t from)
{
    enum { SPAN = 512 };
    static const int most[] = {9, 40, 300};
    const int how = (int)take_from(r, 0, 3);
    return how == 3 ? SPAN - from % SPAN : take_from(r, 1, most[how]);
}

bool op_append(world *w, int who, reader *r)
{
    track *t = &w->s[who];
    mqa_status status;
    const int64_t from = n_tokens(t), n = take_more(r, from);
    const int left_out = (int)take_from(r, 0, 7);
    if (from + n > WORLD_TOKENS) return true;
    if (!extend(w, who, n, FINE | DEAR, &status)) return false;
    for (int layer = 0; status == MQA_OK && layer < w->config.n_layers; layer++) {
        if (layer == left_out) continue; /* tokens that nobody writes */
        if (!write_stamped(w, who, layer, t->first + from, n, r)) return false;
        MUST(w, t->stamp[layer][from + n - 1] != 0 || if_far(w, t), "new tokens can't be written");
    }
    return true;
}

bool extend_by(world *w, int who, int64_t n)
{
    mqa_status status;
    return extend(w, who, n, FINE | DEAR, &status);
}

bool op_extend(world *w, int who, reader *r)
{
    mqa_status status;
    mqa_cache_need need;
    const int64_t n = take_number(r, 0, 40);
    const unsigned may = FINE | if_wild(r) | if_far(w, &w->s[who]);
    CALL(w, may, status, mqa_sequence_extend_need(w->s[who].seq, n, &need, &w->err));
    /* A wild number that there is room for is beyond what we keep stamps of. */
    if (n > WORLD_TOKENS - n_tokens(&w->s[who]) && status == MQA_OK && need.taken <= need.available)
        return true;
    return extend(w, who, n, may | DEAR, &status);
}

/* As the header has it: all of the sinks' run, or of the other one. */
static bool holds(const track *t, int64_t position, int64_t n)
{
    const int64_t gone = mqa_sequence_first_gone(t->seq), held = mqa_sequence_first_held(t->seq);
    const int64_t end = position < held ? gone : mqa_sequence_length(t->seq);
    return n >= 0 && position >= t->first && position < end + (position >= held) && n <= end - position;
}

bool op_write(world *w, int who, reader *r)
{
    const track *t = &w->s[who];
    mqa_status status;
    const int64_t held = mqa_sequence_first_held(t->seq), length = mqa_sequence_length(t->seq);
    const int64_t position = take_from(r, held, length), n = take_from(r, 0, length - position);
    const int layer = (int)take_from(r, 0, w->config.n_layers - 1);
    if (!write_stamped(w, who, layer, position, n, r)) return false;
    /* And what must be refused before any array is looked at. */
    const float x[1] = {0};
    const int64_t far = take_number(r, length + 1, length + 9), many = take_number(r, 1, 9);
    if (holds(t, far, many)) return true;
    CALL(w, REFUSED, status, mqa_sequence_write(t->seq, layer, far, many, x, 1, 1, x, 1, 1, &w->err));
    CALL(w, REFUSED, status,
         mqa_sequence_write(t->seq, w->config.n_layers, held, 0, x, 1, 1, x, 1, 1, &w->err));
    if (length > held)
        CALL(w, REFUSED, status, mqa_sequence_write(t->seq, layer, held, 1, NULL, 1, 1, x, 1, 1, &w->err));
    return true;
}

/* ---- a host's pages ------------------------------------------------------------------------------ */

/* Bytes that an array of such a source has; -1: more than we would give one. */
static int64_t source_bytes(const mqa_paged_source *s, size_t page_stride, int64_t row)
{
    const int64_t most = 1 << 16;
    if (s->page_tokens < 1 || s->n_pages < 1) return 0;
    if (s->page_tokens > most || s->n_pages > most) return -1;
    const int64_t page = s->page_tokens * row;
    if (page_stride > (size_t)most) return -1;
    const int64_t stride = page_stride > 0 ? (int64_t)page_stride : page;
    const int64_t values = (s->n_pages - 1) * stride + page;
    return values > most ? -1 : values * (s->type == MQA_SOURCE_F32 ? 4 : 2);
}

/* Finite in any type. */
static void *source_array(int64_t bytes)
{
    void *x = malloc(bytes > 0 ? (size_t)bytes : 4);
    if (!x) abort();
    return memset(x, 0x3f, bytes > 0 ? (size_t)bytes : 4);
}

static mqa_paged_source take_source(const world *w, reader *r, int32_t *table, int64_t *table_length)
{
    const int64_t row = w->config.n_kv_heads * (int64_t)w->config.head_dim_qk;
    mqa_paged_source s = {.struct_size = take_struct_size(r, sizeof s),
                          .type = (mqa_source_type)take_int(r, 0, 2),
                          .layout = (mqa_source_layout)take_int(r, 0, 1),
                          .n_pages = take_number(r, 1, 6),
                          .page_tokens = take_number(r, 1, 20),
                          .first_token = take_number(r, 0, 30)};
    if (take_one_in(r, 4)) s.k_page_stride = s.v_page_stride = (size_t)take_number(r, 40 * row, 41 * row);
    *table_length = take_from(r, 0, 7);
    for (int64_t i = 0; i < *table_length; i++)
        table[i] = take_one_in(r, 12) ? take_int(r, -1, 9) : (int32_t)(i % (s.n_pages > 0 ? s.n_pages : 1));
    s.n_blocks = *table_length;
    if (take_one_in(r, 8)) s.n_blocks = -(int64_t)take_two(r);
    return s;
}

/* As the header has it. */
static bool source_is_valid(const world *w, const mqa_paged_source *s, int64_t n)
{
    const mqa_cache_config *c = &w->config;
    if (s->struct_size != sizeof *s || (unsigned)s->type > 2 || (unsigned)s->layout > 1 || !s->k ||
        (!s->v && !c->v_in_k) || s->n_pages < 1 || s->page_tokens < 1 || s->first_token < 0)
        return false;
    const unsigned __int128 row = (unsigned)c->n_kv_heads, tokens = (unsigned __int128)s->page_tokens;
    if (s->k_page_stride > 0 && s->k_page_stride < tokens * row * (unsigned)c->head_dim_qk) return false;
    if (s->v_page_stride > 0 && s->v_page_stride < tokens * row * (unsigned)c->head_dim_vo) return false;
    if (n == 0) return true;
    if (s->first_token > INT64_MAX - n) return false;
    const int64_t last = (s->first_token + n - 1) / s->page_tokens;
    if (last >= (s->block_table ? s->n_blocks : s->n_pages)) return false;
    for (int64_t b = s->first_token / s->page_tokens; s->block_table && b <= last; b++)
        if (s->block_table[b] < 0 || s->block_table[b] >= s->n_pages) return false;
    return true;
}

bool op_import(world *w, int who, reader *r)
{
    const track *t = &w->s[who];
    const mqa_cache_config *c = &w->config;
    const int64_t held = mqa_sequence_first_held(t->seq), length = mqa_sequence_length(t->seq);
    const int layer = (int)take_from(r, 0, c->n_layers - 1);
    int32_t entries[8];
    int64_t table_length;
    mqa_paged_source s = take_source(w, r, entries, &table_length);
    const int64_t k_bytes = source_bytes(&s, s.k_page_stride, (int64_t)c->n_kv_heads * c->head_dim_qk);
    const int64_t v_bytes = source_bytes(&s, s.v_page_stride, (int64_t)c->n_kv_heads * c->head_dim_vo);
    int64_t n = length - held < 60 ? length - held : take_from(r, 0, 60);
    if (k_bytes < 0 || v_bytes < 0) n = 0; /* there is no such array: nothing may be read */
    void *k = source_array(k_bytes), *v = source_array(v_bytes);
    int32_t *table =
        malloc((size_t)(table_length + 1) * sizeof *table); /* of its very length, for a sanitizer */
    if (!table) abort();
    memcpy(table + 1, entries, (size_t)table_length * sizeof *table);
    s.block_table = table_length == 7 ? NULL : table + 1;
    s.k = take_one_in(r, 32) ? NULL : k;
    s.v = take_one_in(r, 32) ? NULL : v;
    const bool shared = mqa_sequence_unique_bytes(t->seq) < mqa_sequence_bytes(t->seq);
    unsigned may = FINE | if_far(w, t) | (shared || k_bytes < 0 || v_bytes < 0 ? REFUSED : 0);
    if (!source_is_valid(w, &s, n)) may = REFUSED;
    world_before_call(w);
    const mqa_status status = mqa_sequence_write_paged(t->seq, layer, length - n, n, &s, &w->err);
    free(k), free(v), free(table);
    if (!world_called(w, "mqa_sequence_write_paged", status, may)) return false;
    return status != MQA_OK || write_stamped(w, who, layer, length - n, n, r);
}

/* ---- tokens out ---------------------------------------------------------------------------------- */

bool op_read(world *w, int who, reader *r)
{
    const track *t = &w->s[who];
    const size_t heads = (size_t)w->config.n_kv_heads, d = (size_t)w->config.head_dim_qk;
    const size_t d_v = (size_t)w->config.head_dim_vo;
    const int64_t held = mqa_sequence_first_held(t->seq), length = mqa_sequence_length(t->seq);
    const int64_t position = take_number(r, take_one_in(r, 4) ? t->first : held, length);
    const int64_t n = take_number(r, 0, position >= held && position <= length ? length - position : 9);
    const int layer = take_int(r, 0, w->config.n_layers - 1);
    const bool valid = holds(t, position, n) && layer >= 0 && layer < w->config.n_layers;
    const size_t rows = valid ? (size_t)n * heads : 0;
    float *k = malloc(rows * d * sizeof *k + 1), *v = malloc(rows * d_v * sizeof *v + 1);
    if (!k || !v) abort();
    const bool no_k = take_one_in(r, 8), no_v = take_one_in(r, 8);
    world_before_call(w);
    const mqa_status status = mqa_sequence_read(t->seq, layer, position, n, no_k ? NULL : k, heads * d, d,
                                                no_v ? NULL : v, heads * d_v, d_v, &w->err);
    free(k), free(v);
    return world_called(w, "mqa_sequence_read", status, valid ? FINE : REFUSED);
}

/* ---- going back, and sharing --------------------------------------------------------------------- */

bool op_truncate(world *w, int who, reader *r)
{
    const track *t = &w->s[who];
    const int64_t near = n_tokens(t) < 20 ? 0 : take_one_in(r, 2) ? n_tokens(t) - 20 : 0;
    return truncate_to(w, who, take_number(r, t->first + near, mqa_sequence_length(t->seq)));
}

bool truncate_to(world *w, int who, int64_t length)
{
    track *t = &w->s[who];
    mqa_status status;
    const int64_t before = mqa_sequence_length(t->seq);
    const bool possible = length >= t->first && length <= before;
    const unsigned may = !possible ? REFUSED : FINE | (w->config.window > 0 ? REFUSED : 0);
    CALL(w, may, status, mqa_sequence_truncate(t->seq, length, &w->err));
    MUST(w, mqa_sequence_length(t->seq) == (status == MQA_OK ? length : before), "truncate: the length");
    if (status == MQA_OK && length < before) forget(t, length - t->first);
    return true;
}

bool op_fork(world *w, int who, reader *r)
{
    const track *from = &w->s[who];
    const int to = (int)take_from(r, 0, WORLD_SEQUENCES - 1);
    const int64_t end = mqa_sequence_length(from->seq);
    const int64_t length = take_one_in(r, 2) ? end : take_number(r, from->first, end);
    const bool possible = length >= from->first && length <= end;
    const unsigned may = !possible ? REFUSED : FINE | DEAR | (w->config.window > 0 ? REFUSED : 0);
    mqa_status status;
    mqa_cache_need need;
    if (to == who) return true;
    destroy(w, to);
    CALL(w, may & ~DEAR, status, mqa_sequence_fork_need(from->seq, length, &need, &w->err));
    track *fork = &w->s[to];
    CALL(w, may, status, mqa_sequence_fork(w->s[who].seq, length, &fork->seq, &w->err));
    MUST(w, (fork->seq != NULL) == (status == MQA_OK), "fork: out");
    if (status != MQA_OK) return true;
    MUST(w, mqa_sequence_length(fork->seq) == length, "fork: the length");
    fork->first = from->first;
    memcpy(fork->stamp, from->stamp, sizeof fork->stamp);
    forget(fork, length - from->first);
    return true;
}

bool op_evict(world *w, int who)
{
    track *t = &w->s[who];
    const int64_t held = mqa_sequence_first_held(t->seq);
    mqa_sequence_evict(t->seq);
    if (mqa_sequence_first_held(t->seq) != held) t->changes++;
    return true;
}
