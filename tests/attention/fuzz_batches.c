/* Plans, batches and runs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/plan.h"
#include "fuzz_world.h"
#include "harness.h"

/* ---- plans --------------------------------------------------------------------------------------- */

static void free_items(plan_slot *p)
{
    for (int i = 0; i < p->n_items; i++) free(p->items[i].documents), free(p->items[i].bits);
    p->n_items = 0;
}

void end_batch(plan_slot *p)
{
    /* Drops it: what has been planned is never run again. */
    if (p->plan && mqa_plan_set_workspace(p->plan, p->workspace.data, p->workspace.bytes, NULL)) abort();
    free_items(p);
    p->has_batch = false;
}

void end_plan(plan_slot *p)
{
    end_batch(p);
    mqa_plan_destroy(&p->plan);
    if (!guarded_free(&p->workspace)) abort();
}

static mqa_plan_options take_options(const world *w, reader *r)
{
    static const float scales[] = {0.18f, 0.05f, 1, -0.2f}, caps[] = {0, 0, 0, 30, 2};
    mqa_plan_options o = mqa_plan_options_default();
    o.struct_size = take_struct_size(r, sizeof o);
    o.n_heads = w->config.n_kv_heads * (int)take_from(r, 1, 9);
    if (take_one_in(r, 32)) o.n_heads = take_int(r, 0, 5);
    o.sm_scale = take_float(r, scales, 4);
    o.mask = (mqa_mask)take_int(r, 0, 1);
    if (take_one_in(r, 3)) o.window_left = take_number(r, 0, 700);
    if (take_one_in(r, 4))
        o.n_sink_tokens = take_number(r, 0, w->config.window > 0 ? w->config.n_sink_tokens : 100);
    if (take_one_in(r, 4)) o.chunk = take_number(r, 1, take_one_in(r, 2) ? 600 : 20);
    o.logit_softcap = take_float(r, caps, 5);
    o.rope = take_one_in(r, 64) ? w->wide_rope : w->rope;
    return o;
}

/* As the header has it. */
static bool options_are_valid(const world *w, const mqa_plan_options *o)
{
    return o->struct_size == sizeof *o && o->n_heads > 0 && o->n_heads <= 1 << 20 &&
           o->n_heads % w->config.n_kv_heads == 0 && isfinite(o->sm_scale) &&
           (o->mask == MQA_MASK_CAUSAL || o->mask == MQA_MASK_FULL) && o->window_left >= -1 &&
           o->n_sink_tokens >= 0 && (w->config.window == 0 || o->n_sink_tokens <= w->config.n_sink_tokens) &&
           o->chunk >= 0 && o->logit_softcap >= 0 && isfinite(o->logit_softcap) && o->rope != w->wide_rope;
}

bool op_plan(world *w, int slot, reader *r)
{
    plan_slot *p = &w->p[slot];
    mqa_status status;
    end_plan(p);
    p->options = take_options(w, r);
    p->wild = r->wild;
    const mqa_plan_options *given = take_one_in(r, 64) ? NULL : &p->options;
    CALL(w, given && options_are_valid(w, given) ? FINE : REFUSED, status,
         mqa_plan_create(w->cache, given, &p->plan, &w->err));
    MUST(w, (p->plan != NULL) == (status == MQA_OK), "plan: out");
    if (!p->plan) return true;
    /* How work is cut changes no bit. */
    if (take_one_in(r, 2)) p->plan->block_rows = (int)take_from(r, 1, MQA_MAX_ROWS);
    if (take_one_in(r, 2)) p->plan->least_cost = 0;
    p->plan->tasks_per_thread = (int)take_from(r, 1, 4);
    p->plan->cascade = !take_one_in(r, 4);
    return true;
}

bool op_workspace(world *w, int slot, reader *r)
{
    plan_slot *p = &w->p[slot];
    mqa_status status;
    if (!p->plan) return true;
    const size_t needed = mqa_plan_workspace_bytes(p->plan);
    CALL(w, REFUSED, status, mqa_plan_set_workspace(p->plan, NULL, 1 + needed, &w->err));
    const int how = (int)take_from(r, 0, 3); /* by itself, what the last batch took, too little, much */
    guarded old = p->workspace;
    p->workspace = (guarded){0};
    if (how > 0) {
        const size_t bytes = how == 1 && needed <= 1 << 20 ? needed : how == 2 ? take_two(r) : 1 << 20;
        p->workspace = guarded_make(bytes, 64);
        CALL(w, REFUSED, status, mqa_plan_set_workspace(p->plan, p->workspace.data + 4, bytes, &w->err));
    }
    end_batch(p);
    MUST(w, guarded_free(&old), "bytes around a workspace");
    return true;
}

/* ---- items --------------------------------------------------------------------------------------- */

static void take_documents(reader *r, planned *out)
{
    enum { MOST = 6 };
    int64_t at = 0, n = take_from(r, 1, MOST);
    out->documents = calloc((size_t)n, sizeof *out->documents);
    if (!out->documents) abort();
    for (int64_t i = 1; i < n; i++) {
        if (i == 1 && take_one_in(r, 2)) at = out->first;
        out->documents[i] = at += take_from(r, 1, 300);
    }
    out->item.documents = out->documents;
    out->item.n_documents = n;
    if (!take_one_in(r, 8)) return;
    switch (take_from(r, 0, 2)) {
    case 0:
        out->documents[take_from(r, 0, n - 1)] = take_number(r, -1, 900);
        break;
    case 1:
        out->item.n_documents = -take_from(r, 0, 9);
        break;
    default:
        out->item.documents = NULL;
    }
}

static void take_bits(reader *r, planned *out)
{
    const int64_t stride = take_number(r, 1, 12), rows = out->item.n_queries, most = 4096;
    const bool refused = stride <= 0 || stride > INT64_C(1) << 40; /* so that no bit is looked at */
    if (!refused && (stride > most || rows < 1 || rows > most)) return;
    const size_t bytes = refused ? 1 : (size_t)(stride * rows);
    uint64_t rng = take_seed(r);
    out->bits = malloc(bytes);
    if (!out->bits) abort();
    const int kind = (int)take_from(r, 0, 3);
    for (size_t i = 0; i < bytes; i++)
        out->bits[i] = (uint8_t)(kind == 0 ? 0 : kind == 1 ? 0xff : random_bits(&rng));
    out->item.bits = out->bits;
    out->item.bits_stride = (size_t)stride;
    const int64_t length = out->length, near = length - out->first < 60 ? out->first : length - 60;
    out->item.bits_first = take_number(r, near, length + 9);
}

/* As the header has it; what is too far or too much may be refused all the same. */
static bool item_is_valid(const world *w, const planned *p)
{
    const mqa_plan_item *item = &p->item;
    const int64_t tokens = p->length - p->first;
    if (item->sequence != w->s[p->track].seq || item->q_ahead < 0 || item->n_queries < 1 || item->prefix < 0)
        return false;
    if (item->n_queries > tokens && item->n_queries - tokens > item->q_ahead) return false;
    if (item->n_documents < 0 || (item->documents != NULL) != (item->n_documents > 0)) return false;
    if (item->documents && item->documents[0] != 0) return false;
    for (int64_t i = 1; i < item->n_documents; i++)
        if (item->documents[i] <= item->documents[i - 1]) return false;
    return !item->bits ||
           (item->bits_stride > 0 && item->bits_stride < SIZE_MAX / 2 && item->bits_first >= 0);
}

static int any_track(const world *w, int from)
{
    for (int i = 0; i < WORLD_SEQUENCES; i++)
        if (w->s[(from + i) % WORLD_SEQUENCES].seq) return (from + i) % WORLD_SEQUENCES;
    return -1;
}

/* Returns the statuses that the item allows. */
static unsigned take_item(const world *w, const uint8_t *bytes, planned *out)
{
    reader r = {bytes + 1, bytes + WORLD_RECORD, false};
    const int which = any_track(w, (int)take_from(&r, 0, WORLD_SEQUENCES - 1));
    const track *t = &w->s[which];
    *out = (planned){.track = which,
                     .changes = t->changes,
                     .first = t->first,
                     .length = mqa_sequence_length(t->seq),
                     .item = {.sequence = t->seq}};
    mqa_plan_item *item = &out->item;
    if (take_one_in(&r, 5)) item->q_ahead = take_number(&r, 0, 700);
    const int64_t most = r.wild ? 24 : out->length - out->first + item->q_ahead;
    item->n_queries = take_number(&r, 1, most < 1 ? 1 : mqa_min64(most, take_one_in(&r, 3) ? 24 : 3));
    if (take_one_in(&r, 5)) item->prefix = take_number(&r, out->first, out->length + 10);
    if (take_one_in(&r, 4)) take_documents(&r, out);
    if (take_one_in(&r, 3)) take_bits(&r, out);
    if (take_one_in(&r, 64)) item->sequence = take_one_in(&r, 2) ? NULL : w->stranger;
    const bool far = w->rope && out->length > MQA_ROPE_MAX_POSITION - 1000;
    const bool gone = mqa_sequence_first_held(t->seq) > out->first;
    if (!item_is_valid(w, out)) return REFUSED;
    return FINE | (r.wild || far || gone ? REFUSED : 0);
}

/* The same batch in a byte less than it takes, and then in just that. */
static bool squeeze(world *w, plan_slot *p, const mqa_plan_item *items)
{
    const size_t needed = mqa_plan_workspace_bytes(p->plan);
    mqa_status status;
    if (needed > 1 << 20) return true;
    for (size_t bytes = needed - 1; bytes <= needed; bytes++) {
        guarded old = p->workspace;
        p->workspace = guarded_make(bytes, 64);
        CALL(w, FINE, status, mqa_plan_set_workspace(p->plan, p->workspace.data, bytes, &w->err));
        MUST(w, guarded_free(&old), "bytes around a workspace");
        CALL(w, bytes < needed ? DEAR : FINE, status, mqa_plan_batch(p->plan, items, p->n_items, &w->err));
        p->has_batch = status == MQA_OK;
    }
    return true;
}

bool op_batch(world *w, int slot, reader *r)
{
    plan_slot *p = &w->p[slot];
    planned planned_items[WORLD_ITEMS];
    mqa_plan_item items[WORLD_ITEMS];
    unsigned may = FINE | (p->wild ? REFUSED : 0) | (p->workspace.data ? DEAR : 0);
    bool valid = true;
    if (!p->plan || any_track(w, 0) < 0) return true;
    const int from = (int)take_from(r, 0, WORLD_ITEMS - 1), n_items = (int)take_from(r, 1, WORLD_ITEMS);
    for (int i = 0; i < n_items; i++) {
        const unsigned of_item = take_item(w, w->pending[(from + i) % WORLD_ITEMS], &planned_items[i]);
        may |= of_item;
        valid &= (of_item & FINE) != 0;
        items[i] = planned_items[i].item;
    }
    const int n = take_one_in(r, 64) ? -take_byte(r) : n_items;
    if (n < 1 || !valid) may = REFUSED;
    world_before_call(w);
    const mqa_status status = mqa_plan_batch(p->plan, items, n, &w->err);
    free_items(p); /* the batch before is gone, whatever came of this one */
    memcpy(p->items, planned_items, sizeof p->items);
    p->n_items = n_items;
    p->has_batch = status == MQA_OK;
    if (!world_called(w, "mqa_plan_batch", status, may)) return false;
    MUST(w, !p->has_batch || !p->workspace.data || mqa_plan_workspace_bytes(p->plan) <= p->workspace.bytes,
         "the workspace is too small");
    MUST(w, mqa_plan_n_groups(p->plan) >= 0 && mqa_plan_first_group(p->plan) >= 0, "groups");
    return !p->has_batch || !take_one_in(r, 8) || squeeze(w, p, items);
}

bool is_stale(const world *w, const plan_slot *p)
{
    for (int i = 0; i < p->n_items; i++)
        if (w->s[p->items[i].track].changes != p->items[i].changes) return true;
    return false;
}

/* ---- runs ---------------------------------------------------------------------------------------- */

enum { MOST_ROWS = 1024, MOST_WORK = 3000000 };

/* What a run is made in. */
typedef struct rig {
    int64_t tokens, heads, d, d_v;
    bool hnd, wild_values;
    mqa_run run;
    mqa_states states;
    guarded q, out, lse, m, l, o;
    float *sinks, *slopes;              /* [heads] */
    float *dense_q, *dense, *dense_lse; /* the queries and the results without gaps */
} rig;

static float *floats_of(const guarded *g)
{
    return (float *)(void *)g->data;
}

static guarded make_floats(int64_t n)
{
    guarded g = guarded_make((size_t)n * sizeof(float), sizeof(float));
    const uint32_t unwritten = 0x7fa0dead; /* a NaN that nothing computes */
    for (int64_t i = 0; i < n; i++) memcpy(g.data + 4 * i, &unwritten, sizeof unwritten);
    return g;
}

static bool all_written(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        if (bits == 0x7fa0dead) return false;
    }
    return true;
}

static float *new_floats(int64_t n)
{
    float *x = calloc((size_t)n + 1, sizeof *x);
    if (!x) abort();
    return x;
}

static float *take_heads(reader *r, int64_t heads, const float *usual, int n)
{
    float *x = new_floats(heads);
    for (int64_t h = 0; h < heads; h++) x[h] = usual[(h + 1) % n];
    x[take_byte(r) % heads] = take_float(r, usual, n);
    return x;
}

static size_t stride(const rig *g, bool of_heads, int64_t d, int64_t gap)
{
    if (g->hnd) return (size_t)(of_heads ? (d + gap) * g->tokens : d + gap);
    return (size_t)(of_heads ? d + gap : (d + gap) * g->heads + gap);
}

static rig make_rig(const world *w, const plan_slot *p, int64_t tokens, reader *r)
{
    static const float sinks[] = {0, 3, -5, 40}, slopes[] = {0.5f, 0.01f, -0.03f, 0};
    rig g = {.tokens = tokens,
             .heads = p->options.n_heads,
             .d = w->config.head_dim_qk,
             .d_v = w->config.head_dim_vo,
             .hnd = take_one_in(r, 4)};
    const int64_t gap = take_from(r, 0, 2);
    mqa_run *run = &g.run;
    run->struct_size = take_struct_size(r, sizeof *run);
    run->layer = take_int(r, 0, w->config.n_layers - 1);
    run->q_stride_token = stride(&g, false, g.d, gap), run->q_stride_head = stride(&g, true, g.d, gap);
    run->out_stride_token = stride(&g, false, g.d_v, gap),
    run->out_stride_head = stride(&g, true, g.d_v, gap);
    const size_t t = (size_t)tokens - 1, h = (size_t)g.heads - 1;
    g.q = make_floats((int64_t)(t * run->q_stride_token + h * run->q_stride_head) + g.d);
    g.out = make_floats((int64_t)(t * run->out_stride_token + h * run->out_stride_head) + g.d_v);
    g.lse = make_floats(tokens * g.heads);
    g.dense_q = new_floats(tokens * g.heads * g.d), g.dense = new_floats(tokens * g.heads * g.d_v);
    g.dense_lse = new_floats(tokens * g.heads);
    uint64_t rng = take_seed(r);
    for (int64_t i = 0; i < tokens * g.heads * g.d; i++)
        g.dense_q[i] = (float)random_between(&rng, -1024, 1024) / 512;
    static const float one[] = {1};
    const bool was_wild = r->wild;
    r->wild = false;
    g.dense_q[random_between(&rng, 0, tokens * g.heads * g.d - 1)] = take_float(r, one, 1);
    for (int64_t row = 0; row < tokens * g.heads; row++)
        memcpy(floats_of(&g.q) + (size_t)(row / g.heads) * run->q_stride_token +
                   (size_t)(row % g.heads) * run->q_stride_head,
               g.dense_q + row * g.d, (size_t)g.d * sizeof(float));
    if (take_one_in(r, 3)) g.sinks = take_heads(r, g.heads, sinks, 4);
    if (take_one_in(r, 3)) g.slopes = take_heads(r, g.heads, slopes, 4);
    g.wild_values = r->wild;
    r->wild |= was_wild;
    run->q = take_one_in(r, 128) ? r->wild = true, NULL : floats_of(&g.q);
    run->out = take_one_in(r, 128) ? r->wild = true, NULL : floats_of(&g.out);
    run->lse = floats_of(&g.lse);
    run->sinks = g.sinks, run->alibi_slopes = g.slopes;
    return g;
}

static bool end_rig(rig *g)
{
    free(g->sinks), free(g->slopes), free(g->dense_q), free(g->dense), free(g->dense_lse);
    guarded *all[] = {&g->q, &g->out, &g->lse, &g->m, &g->l, &g->o};
    bool intact = true;
    for (int i = 0; i < 6; i++) intact = guarded_free(all[i]) && intact;
    return intact;
}

static void ask_for_states(rig *g, int64_t groups, reader *r)
{
    const int64_t n = groups * g->tokens * g->heads;
    g->m = make_floats(n), g->l = make_floats(n), g->o = make_floats(n * g->d_v);
    g->states = (mqa_states){floats_of(&g->m), floats_of(&g->l), floats_of(&g->o)};
    g->run.states = &g->states;
    if (take_one_in(r, 16)) { /* and out, or less than all */
        r->wild = true;
        if (take_one_in(r, 2)) return;
        g->states.l = NULL;
    }
    g->run.out = g->run.lse = NULL;
    g->run.sinks = NULL;
}

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* States of groups, folded in order, then divided: into the dense results. */
static bool finish_states(world *w, rig *g, int64_t groups, mqa_status *finished)
{
    const int64_t rows = g->tokens * g->heads;
    const int d_v = (int)g->d_v;
    const mqa_states total = g->states;
    mqa_status status;
    for (int64_t i = 1; i < groups; i++) {
        const mqa_states next = {total.m + i * rows, total.l + i * rows, total.o + i * rows * d_v};
        CALL(w, FINE, status, mqa_merge_states(w->ctx, rows, d_v, total, next, &w->err));
    }
    float *sinks = g->sinks ? new_floats(rows) : NULL;
    for (int64_t row = 0; sinks && row < rows; row++) sinks[row] = g->sinks[row % g->heads];
    world_before_call(w);
    *finished =
        mqa_states_finish(w->ctx, rows, d_v, total, sinks, g->dense, (size_t)d_v, g->dense_lse, &w->err);
    free(sinks);
    return world_called(w, "mqa_states_finish", *finished, all_finite(g->sinks, g->heads) ? FINE : NO_NUMBER);
}

static void gather(rig *g)
{
    const mqa_run *run = &g->run;
    for (int64_t row = 0; row < g->tokens * g->heads; row++)
        memcpy(g->dense + row * g->d_v,
               run->out + (size_t)(row / g->heads) * run->out_stride_token +
                   (size_t)(row % g->heads) * run->out_stride_head,
               (size_t)g->d_v * sizeof(float));
    memcpy(g->dense_lse, run->lse, (size_t)(g->tokens * g->heads) * sizeof(float));
}

static bool check_results(world *w, const plan_slot *p, const rig *g, reader *r)
{
    const int64_t rows = g->tokens * g->heads;
    MUST(w, all_written(g->dense, rows * g->d_v) && all_written(g->dense_lse, rows), "a row wasn't written");
    for (int64_t i = 0; !p->wild && !g->wild_values && i < rows; i++) {
        MUST(w, !isnan(g->dense_lse[i]) && g->dense_lse[i] < INFINITY, "lse is no number");
        MUST(w, all_finite(g->dense + i * g->d_v, g->d_v), "out is no number");
    }
    const ran a = {p, g->run.layer, g->dense_q, g->dense, g->dense_lse, g->sinks, g->slopes};
    const int which = (int)take_from(r, 0, p->n_items - 1);
    const uint64_t seed = take_seed(r);
    int64_t first_token = 0;
    for (int i = 0; i < which; i++) first_token += p->items[i].item.n_queries;
    return same_alone(w, &a, which, first_token, seed) && near_oracle(w, &a, which, first_token, seed);
}

/* What mqa_plan_run may say of it. */
static unsigned run_may(const world *w, const plan_slot *p, const rig *g, const reader *r)
{
    if (!p->has_batch || is_stale(w, p)) return REFUSED;
    unsigned may = FINE | (r->wild ? REFUSED | NO_NUMBER : 0) | (p->wild ? NO_NUMBER : 0);
    for (int i = 0; g->slopes && i < p->n_items; i++)
        if (p->items[i].length + p->items[i].item.q_ahead > INT32_MAX) may |= REFUSED;
    return may;
}

static bool run_rig(world *w, const plan_slot *p, rig *g, reader *r)
{
    const int64_t groups = p->has_batch ? mqa_plan_n_groups(p->plan) : 1;
    const int allocations = w->purse.calls;
    mqa_status status;
    if (take_one_in(r, 3) && groups >= 1 && groups < 5) ask_for_states(g, groups, r);
    CALL(w, run_may(w, p, g, r), status, mqa_plan_run(p->plan, &g->run, &w->err));
    MUST(w, w->purse.calls == allocations, "mqa_plan_run allocates");
    if (status != MQA_OK) return true;
    if (g->run.states) {
        if (!finish_states(w, g, groups, &status)) return false;
    } else {
        gather(g);
    }
    return status != MQA_OK || check_results(w, p, g, r);
}

bool op_run(world *w, int slot, reader *r)
{
    const plan_slot *p = &w->p[slot];
    int64_t tokens = 0, work = 0;
    if (!p->plan) return true;
    for (int i = 0; i < p->n_items && p->has_batch; i++) {
        const planned *item = &p->items[i];
        if (item->item.n_queries > MOST_ROWS) return true;
        tokens += item->item.n_queries;
        work += item->item.n_queries * (item->length - item->first + 64);
    }
    if (tokens == 0) tokens = 1;
    if (tokens * p->options.n_heads > MOST_ROWS ||
        work * p->options.n_heads * (w->config.head_dim_qk + w->config.head_dim_vo) > MOST_WORK)
        return true;
    rig g = make_rig(w, p, tokens, r);
    const bool good = run_rig(w, p, &g, r);
    MUST(w, end_rig(&g), "bytes around q, out, lse or states");
    return good;
}
