/* Running one task of a plan, and a whole layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "attention/plan.h"
#include "attention/results.h"
#include "base/status.h"
#include "base/take_struct.h"
#include "kernels/rope.h"

enum {
    SPAN_GRANULES = MQA_SPAN / MQA_GRANULE,
    GRANULE_WORDS = MQA_GRANULE / MQA_TILE,
    SPAN_WORDS = MQA_SPAN / MQA_TILE,
    S_STRIDE = MQA_SPAN + MQA_TILE /* no power of two: rows of s fall into different sets of a cache */
};

/* A task at work: its unit, and what its rows are. */
typedef struct work {
    const mqa_layer_run *layer;
    const mqa_plan *plan;
    const mqa_cache_config *config;
    mqa_scratch *scratch;
    const mqa_unit *unit;
    const mqa_sequence *sequence; /* whose pages are read: a unit's items share them */
    int kv_head;
    mqa_query_row rows[MQA_MAX_ROWS];
    mqa_view views[MQA_MAX_ROWS];
    int n_views;
    int64_t begin, end; /* the unit's spans that are computed one after the other, now */
} work;

/* ---- scratch ---- */

static size_t section(size_t *end, size_t bytes)
{
    const size_t begin = *end;
    *end += mqa_round_up(bytes, MQA_CACHE_LINE);
    return begin;
}

/* Whether queries are changed before they are packed. */
static bool turns_queries(const mqa_plan *plan)
{
    return plan->options.rope || mqa_cache_k_block(&plan->cache->config) > 1;
}

/* memory NULL: only the size. */
static size_t divide_scratch(const mqa_plan *plan, int rows, unsigned char *memory, mqa_scratch *out)
{
    const mqa_cache_config *config = &plan->cache->config;
    const size_t states = mqa_row_states_floats(rows, config->head_dim_vo) * sizeof(float);
    const size_t row_floats = turns_queries(plan) ? (size_t)config->head_dim_qk : 0;
    const size_t turned_v =
        config->v_in_k ? SPAN_GRANULES * mqa_v_run_bytes(config->k_type, config->head_dim_vo) : 0;
    size_t end = 0;
    const size_t q = section(&end, (size_t)rows * MQA_Q_ROW_BYTES(config->head_dim_qk));
    const size_t s = section(&end, (size_t)rows * S_STRIDE * sizeof(float));
    const size_t p_scale = section(&end, MQA_MAX_ROWS * sizeof(float));
    const size_t lse = section(&end, MQA_MAX_ROWS * sizeof(float));
    const size_t turned = section(&end, (size_t)rows * row_floats * sizeof(float));
    const size_t rope = section(&end, 2 * row_floats * sizeof(float));
    const size_t v = section(&end, turned_v);
    const size_t span = section(&end, states), group = section(&end, states), total = section(&end, states);
    if (memory)
        *out = (mqa_scratch){.q = memory + q,
                             .s = (float *)(void *)(memory + s),
                             .p_scale = (float *)(void *)(memory + p_scale),
                             .lse = (float *)(void *)(memory + lse),
                             .turned = (float *)(void *)(memory + turned),
                             .rope_cos = (float *)(void *)(memory + rope),
                             .rope_sin = (float *)(void *)(memory + rope) + row_floats,
                             .v = memory + v,
                             .span = mqa_row_states_at((float *)(void *)(memory + span), rows),
                             .group = mqa_row_states_at((float *)(void *)(memory + group), rows),
                             .total = mqa_row_states_at((float *)(void *)(memory + total), rows)};
    return end;
}

size_t mqa_scratch_bytes(const mqa_plan *plan, int rows)
{
    return divide_scratch(plan, rows, NULL, NULL);
}

void mqa_scratch_make(const mqa_plan *plan, int rows, unsigned char *memory, mqa_scratch *out)
{
    divide_scratch(plan, rows, memory, out);
}

/* ---- rows ---- */

static void place_block(const mqa_plan *plan, const mqa_block *block, mqa_query_row *rows, mqa_view *views,
                        int *n_views)
{
    const mqa_item *item = &plan->items[block->item];
    int64_t query = block->first_row / plan->group_size;
    int head = (int)(block->first_row % plan->group_size);
    for (int r = 0; r < block->rows; r++) {
        if ((r == 0 || head == 0) && views) views[(*n_views)++] = mqa_view_of_query(plan, item, query);
        rows[r] = (mqa_query_row){.token = item->first_row + query,
                                  .position = item->first_position + query,
                                  .head = block->kv_head * plan->group_size + head,
                                  .view = views ? *n_views - 1 : 0};
        if (++head == plan->group_size) {
            head = 0;
            query++;
        }
    }
}

static void place_rows(work *w)
{
    const mqa_plan *plan = w->plan;
    const mqa_part *parts = &plan->parts[w->unit->first_part];
    for (int p = 0; p < w->unit->n_parts; p++)
        place_block(plan, &plan->blocks[parts[p].block], w->rows + parts[p].row, w->views, &w->n_views);
    const mqa_block *first = &plan->blocks[parts[0].block];
    w->sequence = plan->items[first->item].sequence;
    w->kv_head = first->kv_head;
}

/* Copies of the queries, turned by RoPE and transformed as the cache's K is; heads of one token stand at one
 * position. */
static void turn_queries(work *w, const float **q)
{
    const mqa_rope *rope = w->plan->options.rope;
    const mqa_row_kernels *kernels = &w->plan->cache->ctx->kernels->rows;
    const int d = w->config->head_dim_qk, block = mqa_cache_k_block(w->config);
    for (int r = 0; r < w->unit->rows; r++) {
        if (rope && (r == 0 || w->rows[r].position != w->rows[r - 1].position))
            mqa_rope_table_at(rope, w->rows[r].position, w->scratch->rope_cos, w->scratch->rope_sin);
        float *copy = w->scratch->turned + (size_t)r * (size_t)d;
        memcpy(copy, q[r], (size_t)d * sizeof *copy);
        if (rope) mqa_rope_turn(rope, kernels, copy, w->scratch->rope_cos, w->scratch->rope_sin);
        kernels->hadamard(copy, d, block);
        q[r] = copy;
    }
}

static int pack_queries(work *w)
{
    const mqa_run *run = w->layer->run;
    const float *q[MQA_MAX_ROWS];
    for (int r = 0; r < w->unit->rows; r++)
        q[r] = run->q + (size_t)w->rows[r].token * run->q_stride_token +
               (size_t)w->rows[r].head * run->q_stride_head;
    if (turns_queries(w->plan)) turn_queries(w, q);
    return w->plan->kernels->pack_q[w->config->k_type](q, w->unit->rows, w->config->head_dim_qk,
                                                       w->plan->options.sm_scale, w->scratch->q);
}

/* ---- one span ---- */

/* The granules of a span that some row sees, and what each row sees of them. */
typedef struct span_view {
    int n_granules;
    int64_t granule[SPAN_GRANULES]; /* ascending */
    mqa_seen seen[MQA_MAX_ROWS];    /* by view */
    uint16_t words[MQA_MAX_ROWS][SPAN_WORDS];
} span_view;

static void look(const work *w, int64_t span, span_view *out)
{
    uint16_t any[SPAN_WORDS] = {0};
    bool all = false;
    for (int v = 0; v < w->n_views; v++) {
        out->seen[v] = mqa_view_words(&w->views[v], span * MQA_SPAN, SPAN_WORDS, out->words[v]);
        all |= out->seen[v] == MQA_SEES_ALL;
        if (out->seen[v] == MQA_SEES_SOME)
            for (int i = 0; i < SPAN_WORDS; i++) any[i] |= out->words[v][i];
    }
    out->n_granules = 0;
    for (int g = 0; g < SPAN_GRANULES; g++) {
        const uint16_t *word = any + GRANULE_WORDS * g;
        if (all || (word[0] | word[1] | word[2] | word[3]))
            out->granule[out->n_granules++] = span * SPAN_GRANULES + g;
    }
    /* Only the words of those granules, one after the other. */
    for (int v = 0; v < w->n_views && out->n_granules < SPAN_GRANULES; v++) {
        unsigned missing = 0;
        for (int g = 0; g < out->n_granules; g++) {
            const uint16_t *from = out->words[v] + GRANULE_WORDS * (out->granule[g] % SPAN_GRANULES);
            for (int i = 0; i < GRANULE_WORDS; i++) {
                out->words[v][GRANULE_WORDS * g + i] = from[i];
                missing |= (unsigned)~from[i] & 0xffff;
            }
        }
        if (out->seen[v] == MQA_SEES_SOME && !missing) out->seen[v] = MQA_SEES_ALL;
    }
}

/* The K of a granule, to be fetched; nothing if the sequence hasn't got it. */
static const unsigned char *k_ahead(const work *w, int64_t granule)
{
    if (!mqa_sequence_holds(w->sequence, granule * MQA_GRANULE, 1)) return NULL;
    return mqa_sequence_granule(w->sequence, w->layer->run->layer, w->kv_head, granule);
}

/* What is fetched during the scores and during P.V; returns which of it P.V has, NULL for nothing.
 *
 * While a granule's K is read, its V is fetched. With few rows memory is what holds, so it is never left
 * idle: during P.V the K of the next span is fetched, and only the first span's K comes with V. With more
 * rows there is time enough during the scores, and each granule's K is fetched there, one ahead (P.V's
 * fetching took 32 rows of int8 a tenth longer). */
enum { FEW_ROWS = 8 };
static const mqa_ahead *look_ahead(const work *w, int64_t index, const span_view *view, const void **k_runs,
                                   const void **v_runs, mqa_ahead *scores, mqa_ahead *pv)
{
    const mqa_cache_layout *layout = &w->plan->cache->layout;
    const size_t half = layout->k_run / 2 / MQA_LINE * MQA_LINE;
    const bool few = w->unit->rows <= FEW_ROWS, next_span = index + 1 < w->end;
    const int n = view->n_granules;
    const int64_t after =
        next_span ? mqa_nth_span(mqa_unit_spans(w->plan, w->unit), index + 1) * SPAN_GRANULES : 0;
    for (int g = 0; g < n; g++) {
        const void *k = NULL;
        if (!few || index == w->begin) k = g + 1 < n ? k_runs[g + 1] : NULL;
        if (!few && g + 1 == n && next_span) k = k_ahead(w, after);
        scores[g] = (mqa_ahead){{v_runs[g], k}, {layout->v_run, k ? layout->k_run : 0}};
    }
    if (!few || !next_span) return NULL;
    for (int g = 0; g < n; g++) {
        const unsigned char *k = k_ahead(w, after + g);
        pv[g] =
            k ? (mqa_ahead){{k, k + half}, {half, layout->k_run - half}} : (mqa_ahead){{NULL, NULL}, {0, 0}};
    }
    return pv;
}

static void find_runs(const work *w, const span_view *view, const void **k_runs, const void **v_runs)
{
    const mqa_cache_config *config = w->config;
    const size_t v_bytes = mqa_v_run_bytes(config->k_type, config->head_dim_vo);
    for (int g = 0; g < view->n_granules; g++) {
        const unsigned char *run =
            mqa_sequence_granule(w->sequence, w->layer->run->layer, w->kv_head, view->granule[g]);
        k_runs[g] = run;
        v_runs[g] = run + w->plan->cache->layout.k_run;
        if (config->v_in_k) {
            unsigned char *turned = w->scratch->v + (size_t)g * v_bytes;
            w->plan->kernels->v_from_k(config->k_type, run, config->head_dim_qk, config->head_dim_vo, turned);
            v_runs[g] = turned;
        }
    }
}

/* The soft cap, then ALiBi's bias. */
static void adjust_scores(const work *w, const span_view *view, int r, float *s)
{
    const mqa_plan *plan = w->plan;
    const float *slopes = w->layer->run->alibi_slopes;
    if (plan->options.logit_softcap > 0)
        plan->kernels->softcap(s, view->n_granules * MQA_GRANULE, plan->options.logit_softcap);
    for (int g = 0; slopes && g < view->n_granules; g++)
        plan->kernels->alibi(s + g * MQA_GRANULE, MQA_GRANULE, slopes[w->rows[r].head],
                             view->granule[g] * MQA_GRANULE - w->rows[r].position);
}

/* The states of all rows for one span: two passes over those of its granules that some row sees. */
static void compute_span(work *w, int64_t index, mqa_row_states out)
{
    const mqa_attention_kernels *kernels = w->plan->kernels;
    const mqa_cache_config *config = w->config;
    const mqa_kv_type v_type = config->v_in_k ? config->k_type : config->v_type;
    const int rows = w->unit->rows;
    const bool adjust = w->plan->options.logit_softcap > 0 || w->layer->run->alibi_slopes;
    span_view view;
    look(w, mqa_nth_span(mqa_unit_spans(w->plan, w->unit), index), &view);
    if (view.n_granules == 0) {
        mqa_row_states_clear(out, rows, config->head_dim_vo);
        return;
    }
    const void *k_runs[SPAN_GRANULES], *v_runs[SPAN_GRANULES];
    mqa_ahead ahead_scores[SPAN_GRANULES], ahead_pv[SPAN_GRANULES];
    find_runs(w, &view, k_runs, v_runs);
    const mqa_ahead *pv = look_ahead(w, index, &view, k_runs, v_runs, ahead_scores, ahead_pv);

    float *s = w->scratch->s;
    kernels->scores[config->k_type](w->scratch->q, rows, config->head_dim_qk, k_runs, view.n_granules,
                                    ahead_scores, s, S_STRIDE);
    for (int r = 0; r < rows; r++) {
        float *scores = s + (size_t)r * S_STRIDE;
        const int v = w->rows[r].view;
        if (adjust) adjust_scores(w, &view, r, scores);
        kernels->softmax[v_type](scores, view.n_granules, view.seen[v] == MQA_SEES_ALL ? NULL : view.words[v],
                                 v_runs, &out.m[r], &out.l[r], &w->scratch->p_scale[r]);
    }
    kernels->pv[v_type](s, S_STRIDE, w->scratch->p_scale, rows, v_runs, view.n_granules, config->head_dim_vo,
                        pv, out.o);
}

/* The unit is all that its one block has. */
static void run_direct(work *w)
{
    mqa_block_rows b = {.layer = w->layer, .n = w->unit->rows};
    memcpy(b.rows, w->rows, (size_t)b.n * sizeof *b.rows);
    const mqa_spans *spans = mqa_unit_spans(w->plan, w->unit);
    mqa_fold fold = mqa_results_begin(&b, w->scratch);
    mqa_row_states states = w->scratch->span;
    w->begin = w->unit->begin, w->end = w->unit->end;
    for (int64_t i = w->begin; i < w->end; i++) {
        compute_span(w, i, states);
        mqa_fold_take(&fold, mqa_nth_span(spans, i), &states);
    }
    mqa_results_finish(&b, &fold, w->scratch);
}

/* The state that the run may go on with: of the run before it, if that is of the same group and done. */
static float *state_before(const work *w, const mqa_span_run *run)
{
    if (run == &w->plan->runs[w->unit->first_run] || run->begin == run->end) return NULL;
    if (mqa_begins_group(mqa_unit_spans(w->plan, w->unit), run->begin)) return NULL;
    const mqa_span_run *before = run - 1;
    return atomic_load_explicit(&before->done, memory_order_acquire) == w->plan->n_layers_run ? before->open
                                                                                              : NULL;
}

static void compute_run(work *w, mqa_span_run *run)
{
    const mqa_spans *spans = mqa_unit_spans(w->plan, w->unit);
    const int d_v = w->config->head_dim_vo, rows = w->unit->rows;
    float *next = run->states, *open = state_before(w, run);
    bool whole = run->went_on = open != NULL; /* open has its group from the first span on */
    w->begin = run->begin, w->end = run->end;
    for (int64_t i = w->begin; i < w->end; i++) {
        if (mqa_stores_state(spans, run->begin, run->went_on, i)) {
            open = next;
            whole = mqa_begins_group(spans, i);
            next += mqa_row_states_floats(rows, d_v);
            compute_span(w, i, mqa_row_states_at(open, rows));
        } else {
            compute_span(w, i, w->scratch->span);
            mqa_row_states_fold(w->plan->kernels, rows, d_v, mqa_row_states_at(open, rows), w->scratch->span);
        }
    }
    run->open = whole ? open : NULL;
    atomic_store_explicit(&run->done, w->plan->n_layers_run, memory_order_release);
}

/* Folds what the block's units have stored for its rows. */
static void fold_block(const mqa_layer_run *layer, const mqa_block *block, const mqa_scratch *scratch)
{
    const mqa_plan *plan = layer->plan;
    const int d_v = plan->cache->config.head_dim_vo;
    mqa_block_rows b = {.layer = layer, .n = block->rows};
    place_block(plan, block, b.rows, NULL, NULL);
    mqa_fold fold = mqa_results_begin(&b, scratch);
    for (int u = 0; u < block->n_uses; u++) {
        const mqa_use *use = &plan->uses[block->first_use + u];
        const mqa_unit *unit = &plan->units[use->unit];
        for (int r = 0; r < unit->n_runs; r++) {
            const mqa_span_run *run = &plan->runs[unit->first_run + r];
            float *next = run->states;
            for (int64_t i = run->begin; i < run->end; i++) {
                if (!mqa_stores_state(&block->spans, run->begin, run->went_on, i)) continue;
                mqa_row_states states =
                    mqa_row_states_from(mqa_row_states_at(next, unit->rows), use->row, d_v);
                mqa_fold_take(&fold, mqa_nth_span(&block->spans, i), &states);
                next += mqa_row_states_floats(unit->rows, d_v);
            }
        }
    }
    mqa_results_finish(&b, &fold, scratch);
}

/* ---- tasks ---- */

void mqa_attention_task(void *arg, int index, int worker)
{
    mqa_layer_run *layer = arg;
    mqa_plan *plan = layer->plan;
    const mqa_task *task = &plan->tasks[index];
    mqa_scratch scratch;
    mqa_scratch_make(plan, plan->scratch_rows,
                     plan->workspace + (size_t)worker * mqa_scratch_bytes(plan, plan->scratch_rows),
                     &scratch);
    work w = {.layer = layer,
              .plan = plan,
              .config = &plan->cache->config,
              .scratch = &scratch,
              .unit = &plan->units[task->unit]};
    place_rows(&w);
    const int ok = pack_queries(&w);
    if (!ok) atomic_store_explicit(&layer->bad_query, 1, memory_order_relaxed);
    if (w.unit->direct) {
        if (ok) run_direct(&w);
        return;
    }
    if (ok) compute_run(&w, &plan->runs[task->run]);
    for (int p = 0; p < w.unit->n_parts; p++) {
        mqa_block *block = &plan->blocks[plan->parts[w.unit->first_part + p].block];
        /* Release our states, acquire the others'. */
        if (atomic_fetch_sub_explicit(&block->tasks_left, 1, memory_order_acq_rel) > 1) continue;
        atomic_store_explicit(&block->tasks_left, block->n_tasks,
                              memory_order_relaxed); /* for the next layer */
        if (ok) fold_block(layer, block, &scratch);
    }
}

/* ---- a layer ---- */

static mqa_status name_bad_query(const mqa_layer_run *layer, mqa_error *err)
{
    const mqa_run *run = layer->run;
    const mqa_plan *plan = layer->plan;
    for (int64_t token = 0; token < layer->n_tokens; token++)
        for (int head = 0; head < plan->options.n_heads; head++) {
            const float *q = run->q + (size_t)token * run->q_stride_token + (size_t)head * run->q_stride_head;
            for (int i = 0; i < plan->cache->config.head_dim_qk; i++)
                if (!isfinite(q[i] * plan->options.sm_scale))
                    return mqa_fail(err, MQA_ERR_NOT_FINITE,
                                    "the query of token %" PRId64 " of the batch, head %d, is not finite",
                                    token, head);
        }
    return mqa_fail(err, MQA_ERR_NOT_FINITE, "a query is not finite");
}

static mqa_status check_values(const float *x, int n, const char *what, mqa_error *err)
{
    for (int i = 0; x && i < n; i++)
        if (!isfinite(x[i]))
            return mqa_fail(err, MQA_ERR_NOT_FINITE, "mqa_run.%s[%d] is not finite", what, i);
    return MQA_OK;
}

/* The kernel takes distances of 32 bits. */
static mqa_status check_distances(const mqa_plan *plan, mqa_error *err)
{
    for (int i = 0; i < plan->n_items; i++) {
        const mqa_item *item = &plan->items[i];
        const int64_t last = item->first_position + item->n_queries - 1;
        if (last > INT32_MAX || item->length > INT32_MAX)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "item %d: alibi_slopes, but positions up to %" PRId64 ": beyond 2^31", i,
                            last > item->length ? last : item->length);
    }
    return MQA_OK;
}

static int64_t batch_tokens(const mqa_plan *plan)
{
    const mqa_item *last = &plan->items[plan->n_items - 1];
    return last->first_row + last->n_queries;
}

/* Sequences that begin far from each other have many groups between them. */
static mqa_status check_states(const mqa_plan *plan, const mqa_run *run, mqa_error *err)
{
    size_t n = (size_t)plan->options.n_heads;
    if (!run->states->m || !run->states->l || !run->states->o || run->out || run->lse || run->sinks)
        return mqa_fail(
            err, MQA_ERR_INVALID_ARGUMENT,
            "mqa_run.states: give m, l and o, and no out, lse or sinks: mqa_states_finish makes those");
    if (!mqa_mul(n, (size_t)mqa_plan_n_groups(plan), &n) || !mqa_mul(n, (size_t)batch_tokens(plan), &n) ||
        !mqa_mul(n, (size_t)plan->cache->config.head_dim_vo, &n) || n > PTRDIFF_MAX / sizeof(float))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_run.states: %" PRId64 " groups of %" PRId64
                        " tokens are beyond any address space: batch sequences that begin alike",
                        mqa_plan_n_groups(plan), batch_tokens(plan));
    return MQA_OK;
}

static mqa_status check_run(const mqa_plan *plan, const mqa_run *run, mqa_error *err)
{
    if (!run->q || (!run->states && !run->out))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_plan_run: q is NULL, or neither out nor states is given");
    if (run->layer < 0 || run->layer >= plan->cache->config.n_layers)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "layer %d: the cache has %d", run->layer,
                        plan->cache->config.n_layers);
    if (plan->n_tasks == 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the plan has no batch: call mqa_plan_batch first");
    for (int i = 0; i < plan->n_items; i++)
        if (plan->items[i].sequence->version != plan->items[i].version)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "item %d's sequence was extended, truncated or evicted since mqa_plan_batch", i);
    if (run->states) MQA_TRY(check_states(plan, run, err));
    MQA_TRY(check_values(run->sinks, plan->options.n_heads, "sinks", err));
    MQA_TRY(check_values(run->alibi_slopes, plan->options.n_heads, "alibi_slopes", err));
    return run->alibi_slopes ? check_distances(plan, err) : MQA_OK;
}

/* Groups that a row sees nothing of are not computed: all states begin empty. */
static void clear_states(const mqa_layer_run *layer)
{
    const mqa_plan *plan = layer->plan;
    const mqa_states *states = layer->run->states;
    const size_t n = (size_t)(mqa_plan_n_groups(plan) * layer->n_tokens * plan->options.n_heads);
    for (size_t i = 0; i < n; i++) states->m[i] = -INFINITY;
    memset(states->l, 0, n * sizeof(float));
    memset(states->o, 0, n * (size_t)plan->cache->config.head_dim_vo * sizeof(float));
}

mqa_status mqa_plan_run(mqa_plan *plan, const mqa_run *run, mqa_error *err)
{
    if (!plan) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_plan_run: plan is NULL");
    mqa_run own;
    MQA_TRY(MQA_TAKE(mqa_run, run, &own, err));
    MQA_TRY(check_run(plan, &own, err));
    mqa_layer_run layer = {
        .plan = plan, .run = &own, .n_tokens = batch_tokens(plan), .first_group = mqa_plan_first_group(plan)};
    plan->n_layers_run++;
    if (own.states) clear_states(&layer);
    mqa_pool_run(plan->cache->ctx->pool, mqa_attention_task, &layer, plan->n_tasks);
    return atomic_load_explicit(&layer.bad_query, memory_order_relaxed) ? name_bad_query(&layer, err)
                                                                        : MQA_OK;
}
