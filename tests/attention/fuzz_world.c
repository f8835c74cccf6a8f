/* The world of a program: its contexts, its allocator, and the check of every call.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t LIMIT = (size_t)12 << 20, DIRTY = (size_t)1 << 18;

/* ---- the allocator ------------------------------------------------------------------------------- */

static purse *open_purse; /* of the program that runs */

static void *purse_alloc(void *user, size_t size, size_t alignment)
{
    (void)user;
    purse *p = open_purse;
    void *ptr = NULL;
    if (!p) return posix_memalign(&ptr, alignment, size) == 0 ? ptr : NULL; /* a context's own */
    p->calls++;
    const bool fails = p->fail_in > 0 && --p->fail_in == 0;
    if (fails || size > p->limit - p->live || posix_memalign(&ptr, alignment, size) != 0) {
        p->refused++;
        return NULL;
    }
    p->live += size;
    p->blocks++;
    return memset(ptr, 0xff, size < DIRTY ? size : DIRTY); /* need not be zeros, says the header */
}

static void purse_free(void *user, void *ptr, size_t size)
{
    (void)user;
    if (open_purse) {
        open_purse->live -= size;
        open_purse->blocks--;
    }
    free(ptr);
}

/* ---- contexts ------------------------------------------------------------------------------------ */

mqa_context *world_context(int kind, int threads, bool with_purse)
{
    static mqa_context *all[CONTEXT_KINDS][2][2];
    static const mqa_allocator allocator = {purse_alloc, purse_free, NULL};
    mqa_context **ctx = &all[kind][threads - 1][with_purse];
    if (*ctx) return *ctx;
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = threads;
    options.allocator = with_purse ? &allocator : NULL;
    options.isa = kind == 0                                      ? MQA_ISA_REFERENCE
                  : kind == 1 && mqa_isa_available(MQA_ISA_AVX2) ? MQA_ISA_AVX2
                                                                 : MQA_ISA_AUTO;
    options.numerics = kind == 2 ? MQA_NUMERICS_FAST : MQA_NUMERICS_PORTABLE;
    purse *const was_open = open_purse;
    open_purse = NULL;
    if (mqa_context_create(&options, ctx, NULL) != MQA_OK) abort();
    open_purse = was_open;
    return *ctx;
}

/* ---- calls --------------------------------------------------------------------------------------- */

bool differ(world *w, const char *fmt, ...)
{
    va_list args;
    const int n = snprintf(w->why, sizeof w->why, "record %zu: ", w->at);
    va_start(args, fmt);
    vsnprintf(w->why + n, sizeof w->why - (size_t)n, fmt, args);
    va_end(args);
    return false;
}

void world_before_call(world *w)
{
    w->purse.refused = 0;
    w->err.status = MQA_ERR_CANCELLED;
    memset(w->err.message, '\n', sizeof w->err.message);
}

static bool is_one_line(const char *text)
{
    const char *end = memchr(text, '\0', sizeof((mqa_error *)0)->message);
    if (!end || end == text) return false;
    for (; text < end; text++)
        if ((unsigned char)*text < 0x20) return false;
    return true;
}

bool world_called(world *w, const char *call, mqa_status status, unsigned may)
{
    if (w->purse.refused > 0) may = 0;
    MUST(w, (status == MQA_ERR_OUT_OF_MEMORY) == (w->purse.refused > 0),
         "%.90s: %s, the allocator refused %d: %s", call, mqa_status_name(status), w->purse.refused,
         status ? w->err.message : "");
    if (status == MQA_OK && (may & FINE)) return true;
    MUST(w, status == MQA_OK || w->err.status == status, "%.90s: %s, but the error says %s", call,
         mqa_status_name(status), mqa_status_name(w->err.status));
    MUST(w, status == MQA_OK || is_one_line(w->err.message), "%.90s: the message is not a line", call);
    MUST(w, status == MQA_ERR_OUT_OF_MEMORY || (may >> status & 1), "%.90s: %s: %s", call,
         mqa_status_name(status), status ? w->err.message : "");
    return true;
}

/* ---- programs ------------------------------------------------------------------------------------ */

/* Small, and valid. */
static bool make_cache(world *w, reader *r)
{
    static const int page_tokens[] = {0, 64, 128, 256};
    mqa_status status;
    w->kind = (int)take_from(r, 0, CONTEXT_KINDS - 1);
    w->threads = (int)take_from(r, 1, 2);
    w->ctx = world_context(w->kind, w->threads, true);
    mqa_cache_config *c = &w->config;
    *c = (mqa_cache_config){.struct_size = sizeof *c,
                            .n_layers = (int)take_from(r, 1, WORLD_LAYERS),
                            .n_kv_heads = (int)take_from(r, 1, 2),
                            .head_dim_qk = (int)take_from(r, 1, 36),
                            .head_dim_vo = (int)take_from(r, 1, 36),
                            .k_type = (mqa_kv_type)take_from(r, 0, MQA_KV_TYPES - 1),
                            .v_type = (mqa_kv_type)take_from(r, 0, MQA_KV_TYPES - 1),
                            .v_in_k = take_one_in(r, 6),
                            .window = take_one_in(r, 3) ? take_from(r, 1, 600) : 0,
                            .page_tokens = page_tokens[take_from(r, 0, 3)]};
    c->max_pages = take_from(r, 10, 60) * 64 / (c->page_tokens ? c->page_tokens : 64) + 1;
    if (c->window > 0 && take_one_in(r, 2)) c->n_sink_tokens = take_from(r, 1, 150);
    if (c->v_in_k && c->head_dim_vo > c->head_dim_qk) c->head_dim_vo = c->head_dim_qk;
    c->k_hadamard = take_one_in(r, 4) && (!c->v_in_k || c->head_dim_vo == c->head_dim_qk);
    c->v_hadamard = take_one_in(r, 4);
    if (take_one_in(r, 4)) c->budget_bytes = (size_t)take_from(r, 1, 30) * mqa_cache_page_bytes(c);
    if (take_one_in(r, 3) && c->head_dim_qk >= 2) {
        mqa_rope_config rope = mqa_rope_config_default();
        rope.n_dims = (int)take_from(r, 1, c->head_dim_qk / 2) * 2;
        rope.first_dim = (int)take_from(r, 0, c->head_dim_qk - rope.n_dims);
        rope.style = (mqa_rope_style)take_from(r, 0, 1);
        CALL(w, FINE, status, mqa_rope_create(w->ctx, &rope, &w->rope, &w->err));
        c->rope = w->rope;
    }
    for (int i = 0; i < WORLD_ITEMS; i++) w->pending[i][1] = (uint8_t)i; /* of each sequence one */
    mqa_rope_config wide = mqa_rope_config_default();
    wide.n_dims = 64;
    CALL(w, FINE, status, mqa_rope_create(w->ctx, &wide, &w->wide_rope, &w->err));
    CALL(w, FINE, status, mqa_cache_create(w->ctx, c, &w->cache, &w->err));
    const mqa_cache_config small = {.struct_size = sizeof small,
                                    .n_layers = 1,
                                    .n_kv_heads = 1,
                                    .head_dim_qk = 1,
                                    .head_dim_vo = 1,
                                    .max_pages = 1};
    CALL(w, FINE, status, mqa_cache_create(w->ctx, &small, &w->other_cache, &w->err));
    CALL(w, FINE, status, mqa_sequence_create(w->other_cache, &w->stranger, &w->err));
    CALL(w, FINE, status, mqa_sequence_extend(w->stranger, 3, &w->err));
    return true;
}

/* What makes a batch stale, though its sequence ends where it did. */
static bool come_between(world *w, reader *r)
{
    const int who = (int)take_from(r, 0, WORLD_SEQUENCES - 1);
    if (!w->s[who].seq) return true;
    if (take_one_in(r, 2)) return op_evict(w, who);
    const int64_t length = mqa_sequence_length(w->s[who].seq);
    return truncate_to(w, who, length - 1) && extend_by(w, who, length - mqa_sequence_length(w->s[who].seq));
}

static bool run_record(world *w, const uint8_t *bytes)
{
    reader r = {bytes, bytes + WORLD_RECORD, false};
    const int what = take_byte(&r) % 40, who = take_byte(&r), track_of = who % WORLD_SEQUENCES;
    const int slot = who % WORLD_PLANS;
    if (what < 20 && !w->s[track_of].seq) return op_create(w, track_of, &r);
    switch (what) {
    case 0:
        return op_destroy(w, track_of);
    case 1:
        return op_extend(w, track_of, &r);
    case 2:
    case 3:
        return op_truncate(w, track_of, &r);
    case 4:
    case 5:
    case 6:
        return op_fork(w, track_of, &r);
    case 7:
        return op_evict(w, track_of);
    case 8:
        return op_write(w, track_of, &r);
    case 9:
    case 10:
        return op_import(w, track_of, &r);
    case 11:
        return op_read(w, track_of, &r);
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
    case 19:
        return op_append(w, track_of, &r);
    case 20:
        mqa_cache_defragment(w->cache, NULL);
        return true;
    case 21:
        w->purse.fail_in = 1 + who % 6;
        return true;
    case 22:
    case 23:
        return op_plan(w, slot, &r);
    case 24:
        return op_workspace(w, slot, &r);
    case 25:
    case 26:
    case 27:
    case 28:
        memcpy(w->pending[who % WORLD_ITEMS], bytes, WORLD_RECORD);
        return true;
    case 29:
    case 30:
    case 31:
        return op_batch(w, slot, &r) && (!take_one_in(&r, 6) || come_between(w, &r)) && op_run(w, slot, &r);
    case 32:
        return op_batch(w, slot, &r);
    case 33:
        return op_run(w, slot, &r);
    case 34:
        return op_states(w, &r);
    case 35:
        return op_simple(w, &r);
    case 36:
        return op_cache(w, &r);
    case 37:
        return op_rope(w, &r);
    case 38:
        return op_context(w, &r);
    default:
        return op_names(w, &r);
    }
}

/* Nothing is left, nor has anything changed that isn't ours. */
static bool end_world(world *w, bool good)
{
    for (int i = 0; i < WORLD_PLANS; i++) end_plan(&w->p[i]);
    for (int i = 0; i < WORLD_SEQUENCES; i++) mqa_sequence_destroy(&w->s[i].seq);
    mqa_sequence_destroy(&w->stranger);
    if (good && w->cache && mqa_cache_bytes_in_use(w->cache) != 0)
        good = differ(w, "pages are left without a sequence");
    mqa_cache_destroy(&w->other_cache);
    mqa_cache_destroy(&w->cache);
    mqa_rope_destroy(&w->rope);
    mqa_rope_destroy(&w->wide_rope);
    if (good && (w->purse.blocks != 0 || w->purse.live != 0))
        good = differ(w, "%lld blocks of %zu bytes were not given back", (long long)w->purse.blocks,
                      w->purse.live);
    return good;
}

static const char *run_plan_program(const uint8_t *program, size_t size)
{
    static world w;
    memset(&w, 0, sizeof w);
    if (size < WORLD_HEADER) return NULL;
    w.purse.limit = LIMIT;
    reader r = {program, program + WORLD_HEADER, false};
    open_purse = &w.purse;
    bool good = make_cache(&w, &r);
    const size_t n = (size - WORLD_HEADER) / WORLD_RECORD;
    for (w.at = 0; good && w.at < n; w.at++)
        good = run_record(&w, program + WORLD_HEADER + w.at * WORLD_RECORD);
    good = end_world(&w, good);
    open_purse = NULL;
    return good ? NULL : w.why;
}

const program_kind plan_programs = {.variable = "MQA_PLAN_PROGRAM",
                                    .header = WORLD_HEADER,
                                    .record = WORLD_RECORD,
                                    .records = 60,
                                    .run = run_plan_program};
