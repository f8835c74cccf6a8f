/* Solving a problem by the library.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention/plan.h"
#include "guarded.h"
#include "harness.h"
#include "kvcache/cache.h"

enum { LAYERS = 2, LAYER = 1, MESSAGE = 512 };

int test_share(void)
{
    const char *text = getenv("MQA_TEST_SHARE");
    const int share = text ? atoi(text) : 1;
    assert_true(share >= 1);
    return share;
}

/* Queries [first, end) of a sequence, asked in one batch. */
typedef struct piece {
    int sequence;
    int64_t first, end;
} piece;

typedef struct solver {
    const problem *p;
    const route *way;
    task_order order; /* the host reads it */
    answer *a;
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence *seq[MAX_SEQUENCES];
    mqa_sequence *other[MAX_SEQUENCES]; /* forked: who shares the last page */
    bool is_fork[MAX_SEQUENCES];        /* of its parent */
    int64_t asked[MAX_SEQUENCES];       /* queries so far */
    jmp_buf failed;
    char *what;
} solver;

/* ---- failing: up to try_solve; what was held is lost -------------------------------------------------- */

static void fail_solver(solver *s, const char *what, const char *message)
{
    snprintf(s->what, MESSAGE, "%s: %s", what, message);
    longjmp(s->failed, 1);
}

#define CALL(s, call)                                                                                        \
    do {                                                                                                     \
        mqa_error err_ = {0};                                                                                \
        if ((call) != MQA_OK) fail_solver(s, #call, err_.message);                                           \
    } while (0)

#define MUST(s, what, cond)                                                                                  \
    do {                                                                                                     \
        if (!(cond)) fail_solver(s, what, #cond);                                                            \
    } while (0)

/* Tokens that sequence i has. */
static int64_t n_tokens(const solver *s, int i)
{
    return mqa_sequence_length(s->seq[i]) - s->way->first_position;
}

/* ---- pages --------------------------------------------------------------------------------------------- */

/* Sequences of others come and go in turns, so that freed pages are in disorder; they leave NaN behind. */
static void recycle(solver *s)
{
    mqa_sequence *a, *b;
    CALL(s, mqa_sequence_create(s->cache, &a, &err_));
    CALL(s, mqa_sequence_create(s->cache, &b, &err_));
    for (int i = 0; i < 9; i++) {
        CALL(s, mqa_sequence_extend(i % 3 ? a : b, 90, &err_));
        if (i == 5) CALL(s, mqa_sequence_truncate(a, mqa_sequence_length(a) - 70, &err_));
    }
    mqa_sequence_destroy(&b);
    mqa_sequence_destroy(&a);
    for (int64_t i = 0; i < s->cache->arena.n_free; i++)
        for (int layer = 0; layer < LAYERS; layer++)
            memset(mqa_arena_slice(&s->cache->arena, layer, s->cache->arena.free[i]), 0xff,
                   s->cache->layout.slice_bytes);
}

/* The other layer belongs to nobody here. */
static void poison_other_layer(const solver *s, int i)
{
    for (int64_t page = 0; page < s->seq[i]->n_pages; page++)
        memset(mqa_arena_slice(&s->cache->arena, 1 - LAYER, s->seq[i]->pages[page]), 0xff,
               s->cache->layout.slice_bytes);
}

static bool any_sees(const problem *p, int i, int64_t granule)
{
    for (int64_t query = 0; query < p->shape.of[i].n_queries; query++)
        for (int t = 0; t < MQA_GRANULE; t++)
            if (sees(p, i, query, granule * MQA_GRANULE + t)) return true;
    return false;
}

/* Granules that no query of any sequence sees. */
static void poison_unseen(solver *s)
{
    const int per_page = 1 << s->cache->layout.page_shift;
    bool *needed = calloc((size_t)s->cache->config.max_pages * (size_t)per_page, sizeof *needed);
    for (int poison = 0; poison < 2; poison++)
        for (int i = 0; i < s->p->shape.n_sequences; i++)
            for (int64_t g = 0; g * MQA_GRANULE < mqa_sequence_length(s->seq[i]); g++) {
                if (!mqa_sequence_holds(s->seq[i], g * MQA_GRANULE, 1)) continue;
                const int32_t page = s->seq[i]->pages[mqa_sequence_slot(s->seq[i], g / per_page)];
                bool *need = &needed[page * per_page + g % per_page];
                if (!poison)
                    *need |= any_sees(s->p, i, g);
                else if (!*need)
                    for (int head = 0; head < s->p->shape.n_kv_heads; head++)
                        memset(mqa_page_granule(s->cache, LAYER, page, head, (int)(g % per_page)), 0xff,
                               s->cache->layout.head_bytes);
            }
    free(needed);
}

/* Fills the last page with tokens that are none of ours, and goes on with a fork that ends before them. */
static void fork_in_the_page(solver *s, int i)
{
    const int64_t length = mqa_sequence_length(s->seq[i]), page = s->cache->layout.page_tokens;
    const int64_t end = (length / page + 1) * page;
    float x[1024];
    for (int j = 0; j < 1024; j++) x[j] = 1000.0f + (float)j;
    mqa_sequence_destroy(&s->other[i]);
    s->other[i] = s->seq[i];
    CALL(s, mqa_sequence_extend(s->other[i], end - length, &err_));
    CALL(s, mqa_sequence_write(s->other[i], LAYER, length, end - length, x, 0, 0,
                               s->p->shape.v_in_k ? NULL : x, 0, 0, &err_));
    CALL(s, mqa_sequence_fork(s->other[i], end, &s->seq[i], &err_));
    CALL(s, mqa_sequence_truncate(s->seq[i], length, &err_));
}

/* ---- appending ------------------------------------------------------------------------------------------
 */

static void write_tokens(solver *s, int i, int64_t at, int64_t n, const float *k, const float *v)
{
    const problem_shape *shape = &s->p->shape;
    const size_t k_row = (size_t)(shape->n_kv_heads * shape->d);
    const size_t v_row = (size_t)(shape->n_kv_heads * shape->d_v);
    if (shape->v_in_k) v = NULL;
    CALL(s, mqa_sequence_write(s->seq[i], LAYER, s->way->first_position + at, n, k, k_row, (size_t)shape->d,
                               v, v_row, (size_t)shape->d_v, &err_));
}

/* Tokens come, are written, and go again. */
static void speculate(solver *s, int i)
{
    enum { DRAFTS = 5 };
    const problem_shape *shape = &s->p->shape;
    const int64_t length = n_tokens(s, i);
    const size_t n = (size_t)DRAFTS * (size_t)shape->n_kv_heads * (size_t)(shape->d + shape->d_v);
    float *x = malloc(n * sizeof *x);
    for (size_t j = 0; j < n; j++) x[j] = 77;
    CALL(s, mqa_sequence_extend(s->seq[i], DRAFTS, &err_));
    write_tokens(s, i, length, DRAFTS, x, x);
    CALL(s, mqa_sequence_truncate(s->seq[i], s->way->first_position + length, &err_));
    free(x);
}

/* The next chunk of sequence i; false: none yet, the parent must come first. */
static bool append(solver *s, int i)
{
    const problem_shape *shape = &s->p->shape;
    const sequence_shape *of = &shape->of[i];
    /* What is common lies in common pages; a window's may be gone. */
    if (s->way->share && of->shared > 0 && shape->window == 0 && !s->is_fork[i]) {
        if (n_tokens(s, of->parent) < of->shared) return false;
        mqa_sequence_destroy(&s->seq[i]);
        CALL(s,
             mqa_sequence_fork(s->seq[of->parent], s->way->first_position + of->shared, &s->seq[i], &err_));
        s->is_fork[i] = true;
    }
    const int64_t at = n_tokens(s, i);
    int64_t n = of->n - at;
    if (n > s->way->chunk) n = s->way->chunk;
    if (n > 0) {
        if (s->way->speculate) speculate(s, i);
        if (s->way->forked && shape->window > 0)
            fork_in_the_page(s, i); /* drops what is behind the next token */
        CALL(s, mqa_sequence_extend(s->seq[i], n, &err_));
        write_tokens(s, i, at, n, s->p->k[i] + at * shape->n_kv_heads * shape->d,
                     s->p->v[i] + at * shape->n_kv_heads * shape->d_v);
        /* A window's pages would be gone when the queries come. */
        if (s->way->speculate && shape->window == 0) speculate(s, i);
        if (s->way->forked && shape->window == 0) fork_in_the_page(s, i);
    }
    poison_other_layer(s, i);
    return true;
}

/* Whether queries [.., end) see no token but those that are there. */
static bool all_there(const solver *s, int i, int64_t end)
{
    const sequence_shape *of = &s->p->shape.of[i];
    int64_t needed = mqa_max64(position_of(s->p, i, end - 1) + 1, of->prefix);
    if (s->p->shape.mask == MQA_MASK_FULL || needed > of->n) needed = of->n;
    return needed <= n_tokens(s, i);
}

/* The queries that can be asked now: those that end with the sequence's tokens, or beyond its last. */
static bool next_piece(solver *s, int i, piece *out)
{
    const sequence_shape *of = &s->p->shape.of[i];
    const int64_t length = n_tokens(s, i), first = s->asked[i];
    int64_t end = length - position_of(s->p, i, 0);
    if (length == of->n) end = mqa_min64(of->n_queries, mqa_max64(end, first + s->way->chunk));
    if (end <= first || !all_there(s, i, end)) return false;
    *out = (piece){i, first, end};
    s->asked[i] = end;
    return true;
}

/* ---- asking ----------------------------------------------------------------------------------------------
 */

typedef struct batch {
    const piece *pieces;
    int n_pieces;
    int64_t n_tokens;
    size_t q_head, q_token, o_head, o_token; /* strides: arrays with gaps, which must stay as they were */
    mqa_plan_item items[MAX_SEQUENCES];
    guarded q, out, lse;
} batch;

static float *floats_of(const guarded *g)
{
    return (float *)(void *)g->data;
}

static const float GAP = 12345.0f;

static void clear_results(batch *b)
{
    for (size_t i = 0; i < b->out.bytes / sizeof(float); i++) floats_of(&b->out)[i] = GAP;
    for (size_t i = 0; i < b->lse.bytes / sizeof(float); i++) floats_of(&b->lse)[i] = GAP;
}

static void make_batch(solver *s, const piece *pieces, int n_pieces, batch *b)
{
    const problem *p = s->p;
    const size_t heads = (size_t)p->shape.n_heads, d = (size_t)p->shape.d;
    *b = (batch){.pieces = pieces, .n_pieces = n_pieces};
    b->q_head = d + 3, b->q_token = b->q_head * heads + 5;
    b->o_head = (size_t)p->shape.d_v + 1, b->o_token = b->o_head * heads + 2;
    for (int j = 0; j < n_pieces; j++) {
        const int i = pieces[j].sequence;
        const int64_t length = n_tokens(s, i);
        b->items[j] = (mqa_plan_item){
            .sequence = s->seq[i],
            .n_queries = pieces[j].end - pieces[j].first,
            .q_ahead = position_of(p, i, pieces[j].end - 1) + 1 - length,
            .prefix = p->shape.of[i].prefix,
            .documents = p->documents[i],
            .n_documents = p->n_documents[i],
            .bits = p->bits[i] ? p->bits[i] + (size_t)pieces[j].first * p->bits_stride[i] : NULL,
            .bits_stride = p->bits_stride[i],
            .bits_first = p->bits_first[i]};
        b->n_tokens += b->items[j].n_queries;
    }
    const size_t tokens = (size_t)b->n_tokens;
    b->q = guarded_make(tokens * b->q_token * sizeof(float), sizeof(float));
    b->out = guarded_make(tokens * b->o_token * sizeof(float), sizeof(float));
    b->lse = guarded_make(tokens * heads * sizeof(float), sizeof(float));
    memset(b->q.data, 0xff, b->q.bytes);
    float *q = floats_of(&b->q);
    clear_results(b);
    for (int j = 0; j < n_pieces; j++)
        for (int64_t query = pieces[j].first; query < pieces[j].end; query++, q += b->q_token)
            for (size_t h = 0; h < heads; h++)
                memcpy(q + h * b->q_head, p->q[pieces[j].sequence] + ((size_t)query * heads + h) * d,
                       d * sizeof *q);
}

static void take_results(solver *s, batch *b)
{
    const int64_t heads = s->p->shape.n_heads, d_v = s->p->shape.d_v;
    const float *out = floats_of(&b->out), *lse = floats_of(&b->lse);
    for (int j = 0; j < b->n_pieces; j++)
        for (int64_t query = b->pieces[j].first; query < b->pieces[j].end; query++) {
            const int i = b->pieces[j].sequence;
            for (int64_t h = 0; h < heads; h++) {
                const float *o = out + (size_t)h * b->o_head;
                MUST(s, "the gaps of out", o[d_v] == GAP);
                memcpy(s->a->out[i] + (query * heads + h) * d_v, o, (size_t)d_v * sizeof *o);
                s->a->lse[i][query * heads + h] = *lse++;
            }
            MUST(s, "the gaps of out", out[b->o_token - 1] == GAP && out[b->o_token - 2] == GAP);
            out += b->o_token;
        }
    const bool intact = guarded_free(&b->q) & guarded_free(&b->out) & guarded_free(&b->lse);
    MUST(s, "bytes before q, out or lse", intact);
}

static mqa_run run_of(const solver *s, const batch *b)
{
    return (mqa_run){.struct_size = sizeof(mqa_run),
                     .layer = LAYER,
                     .q = floats_of(&b->q),
                     .q_stride_token = b->q_token,
                     .q_stride_head = b->q_head,
                     .out = floats_of(&b->out),
                     .out_stride_token = b->o_token,
                     .out_stride_head = b->o_head,
                     .lse = floats_of(&b->lse),
                     .sinks = s->p->sinks,
                     .alibi_slopes = s->p->slopes};
}

/* Twice: a plan is used for every layer. */
static void run_plain(solver *s, batch *b)
{
    const mqa_run run = run_of(s, b);
    for (int twice = 0; twice < 2; twice++) {
        clear_results(b);
        CALL(s, mqa_plan_run(s->plan, &run, &err_));
        if (s->way->forked) mqa_cache_defragment(s->cache, NULL); /* plans stay valid where pages move */
    }
}

static void run_in_workspace(solver *s, batch *b)
{
    const mqa_run run = run_of(s, b);
    guarded small = guarded_make(64, 64);
    mqa_error err;
    CALL(s, mqa_plan_set_workspace(s->plan, small.data, small.bytes, &err_));
    MUST(s, "a small workspace", mqa_plan_batch(s->plan, b->items, b->n_pieces, &err) == MQA_ERR_BUDGET);
    MUST(s, "a small workspace", mqa_plan_run(s->plan, &run, &err) == MQA_ERR_INVALID_ARGUMENT);
    guarded right = guarded_make(mqa_plan_workspace_bytes(s->plan), 64);
    CALL(s, mqa_plan_set_workspace(s->plan, right.data, right.bytes, &err_));
    CALL(s, mqa_plan_batch(s->plan, b->items, b->n_pieces, &err_));
    CALL(s, mqa_plan_run(s->plan, &run, &err_));
    CALL(s, mqa_plan_set_workspace(s->plan, NULL, 0, &err_));
    const bool intact = guarded_free(&small) & guarded_free(&right);
    MUST(s, "bytes around a workspace", intact);
}

/* By groups, which are merged into the first of them, or into empty states. */
static void run_by_states(solver *s, batch *b)
{
    const int d_v = s->p->shape.d_v;
    const size_t heads = (size_t)s->p->shape.n_heads, rows = (size_t)b->n_tokens * heads, width = (size_t)d_v;
    const size_t n_groups = (size_t)mqa_plan_n_groups(s->plan);
    guarded m = guarded_make((n_groups + 1) * rows * sizeof(float), sizeof(float));
    guarded l = guarded_make((n_groups + 1) * rows * sizeof(float), sizeof(float));
    guarded o = guarded_make((n_groups + 1) * rows * width * sizeof(float), sizeof(float));
    mqa_states total = {floats_of(&m), floats_of(&l), floats_of(&o)};
    for (size_t r = 0; r < rows; r++) total.m[r] = -INFINITY, total.l[r] = 0;
    memset(total.o, 0, rows * width * sizeof(float));

    const mqa_states groups = {total.m + rows, total.l + rows, total.o + rows * width};
    mqa_run run = run_of(s, b);
    run.out = run.lse = NULL;
    run.sinks = NULL;
    run.states = &groups;
    CALL(s, mqa_plan_run(s->plan, &run, &err_));
    for (size_t g = 0; g < n_groups; g++) {
        const mqa_states next = {groups.m + g * rows, groups.l + g * rows, groups.o + g * rows * width};
        if (g == 0 && !s->way->reversed)
            total = next;
        else
            CALL(s, mqa_merge_states(s->ctx, (int64_t)rows, d_v, total, next, &err_));
    }
    float *sinks = malloc(rows * sizeof *sinks);
    for (size_t r = 0; r < rows && s->p->sinks; r++) sinks[r] = s->p->sinks[r % heads];
    float *out = floats_of(&b->out), *lse = floats_of(&b->lse);
    for (size_t token = 0; token < (size_t)b->n_tokens; token++) {
        const size_t r = token * heads;
        const mqa_states of_token = {total.m + r, total.l + r, total.o + r * width};
        CALL(s, mqa_states_finish(s->ctx, (int64_t)heads, d_v, of_token, s->p->sinks ? sinks + r : NULL,
                                  out + token * b->o_token, b->o_head, lse + r, &err_));
    }
    free(sinks);
    const bool intact = guarded_free(&m) & guarded_free(&l) & guarded_free(&o);
    MUST(s, "bytes before states", intact);
}

static void run_batch(solver *s, const piece *pieces, int n_pieces)
{
    batch b;
    make_batch(s, pieces, n_pieces, &b);
    CALL(s, mqa_plan_batch(s->plan, b.items, n_pieces, &err_));
    switch (s->way->results) {
    case RESULTS_STATES:
        run_by_states(s, &b);
        break;
    case RESULTS_WORKSPACE:
        run_in_workspace(s, &b);
        break;
    default:
        run_plain(s, &b);
    }
    take_results(s, &b);
}

/* ---- all of it -------------------------------------------------------------------------------------------
 */

static bool finished(const solver *s, int i)
{
    return s->asked[i] == s->p->shape.of[i].n_queries;
}

static void solve_together(solver *s)
{
    const int n = s->p->shape.n_sequences;
    for (bool more = true; more;) {
        piece pieces[MAX_SEQUENCES];
        int n_pieces = 0;
        more = false;
        bool ready[MAX_SEQUENCES];
        for (int i = 0; i < n; i++) ready[i] = append(s, i);
        if (s->way->poison) poison_unseen(s);
        for (int j = 0; j < n; j++) {
            const int i = s->way->reversed ? n - 1 - j : j;
            if (ready[i] && !finished(s, i)) n_pieces += next_piece(s, i, &pieces[n_pieces]);
            more |= !finished(s, i);
        }
        if (n_pieces) run_batch(s, pieces, n_pieces);
    }
}

static void solve_alone(solver *s)
{
    for (int i = 0; i < s->p->shape.n_sequences; i++) do {
            piece one;
            append(s, i);
            if (next_piece(s, i, &one)) run_batch(s, &one, 1);
        } while (!finished(s, i) || n_tokens(s, i) < s->p->shape.of[i].n);
}

static void run_in_order(void *user, int n_tasks, void (*task)(void *arg, int i, int worker), void *arg)
{
    const task_order order = *(const task_order *)user;
    const int evens = (n_tasks + 1) / 2;
    for (int i = 0; i < n_tasks; i++) {
        const int odd_last = i < evens ? 2 * i : 2 * (i - evens) + 1;
        task(arg, order == ORDER_DESCENDING ? n_tasks - 1 - i : order == ORDER_ODD_LAST ? odd_last : i, 0);
    }
}

static void set_up(solver *s)
{
    const problem_shape *shape = &s->p->shape;
    const route *way = s->way;
    mqa_context_options options = mqa_context_options_default();
    options.isa = way->isa;
    options.numerics = way->numerics;
    options.n_threads = way->threads;
    const mqa_parallel_for host = {run_in_order, &s->order};
    s->order = way->order;
    if (s->order != ORDER_POOL) options.parallel_for = &host;
    CALL(s, mqa_context_create(&options, &s->ctx, &err_));
    int64_t pages = 40;
    for (int i = 0; i < shape->n_sequences; i++) pages += 2 * mqa_pages_for(shape->of[i].n, MQA_GRANULE) + 4;
    const bool keeps_window = shape->window > 0 && !way->keep_all;
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = LAYERS,
                                     .n_kv_heads = shape->n_kv_heads,
                                     .head_dim_qk = shape->d,
                                     .head_dim_vo = shape->d_v,
                                     .k_type = shape->k_type,
                                     .v_type = shape->v_type,
                                     .v_in_k = shape->v_in_k,
                                     .k_hadamard = shape->k_hadamard,
                                     .v_hadamard = shape->v_hadamard,
                                     .window = keeps_window ? shape->window : 0,
                                     .n_sink_tokens =
                                         keeps_window ? shape->n_sink_tokens + way->spare_sinks : 0,
                                     .max_pages = pages,
                                     .page_tokens = way->page_tokens};
    CALL(s, mqa_cache_create(s->ctx, &config, &s->cache, &err_));
    mqa_plan_options plan = mqa_plan_options_default();
    plan.n_heads = shape->n_heads;
    plan.sm_scale = s->p->sm_scale;
    plan.mask = shape->mask;
    if (shape->plan_window > 0) plan.window_left = shape->plan_window - 1;
    if (shape->window > 0 && way->keep_all && (plan.window_left < 0 || plan.window_left >= shape->window))
        plan.window_left = shape->window - 1;
    plan.n_sink_tokens = shape->n_sink_tokens;
    plan.chunk = shape->chunk;
    plan.logit_softcap = shape->softcap;
    CALL(s, mqa_plan_create(s->cache, &plan, &s->plan, &err_));
    if (way->block_rows) s->plan->block_rows = way->block_rows;
    if (way->tasks_per_thread) s->plan->tasks_per_thread = way->tasks_per_thread;
    if (way->cut_all) s->plan->least_cost = 0;
    if (way->no_cascade) s->plan->cascade = false;
    if (way->recycled) recycle(s);
    for (int i = 0; i < shape->n_sequences; i++) {
        const int64_t rows = shape->of[i].n_queries * shape->n_heads;
        s->a->out[i] = malloc((size_t)(rows * shape->d_v) * sizeof(float));
        s->a->lse[i] = malloc((size_t)rows * sizeof(float));
        CALL(s, mqa_sequence_create_at(s->cache, way->first_position, &s->seq[i], &err_));
    }
}

bool try_solve(const problem *p, const route *way, answer *a, char *what)
{
    static solver s; /* longjmp leaves statics alone */
    *a = (answer){0};
    s = (solver){.p = p, .way = way, .a = a, .what = what};
    what[0] = '\0';
    if (setjmp(s.failed)) return false;
    set_up(&s);
    if (way->together)
        solve_together(&s);
    else
        solve_alone(&s);
    for (int i = p->shape.n_sequences - 1; i >= 0; i--) {
        mqa_sequence_destroy(&s.seq[i]);
        mqa_sequence_destroy(&s.other[i]);
    }
    MUST(&s, "pages left over", mqa_cache_bytes_in_use(s.cache) == 0);
    mqa_plan_destroy(&s.plan);
    mqa_cache_destroy(&s.cache);
    mqa_context_destroy(&s.ctx);
    return true;
}

answer solve(const problem *p, const route *way)
{
    answer a;
    char what[MESSAGE];
    if (!try_solve(p, way, &a, what)) fail_msg("%s", what);
    return a;
}
