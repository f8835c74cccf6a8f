/* Running one task of a plan, and a whole layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <math.h>

#include "attention/plan.h"
#include "base/status.h"
#include "kernels/valid.h"

enum {
    SPAN_GRANULES = MQA_SPAN / MQA_GRANULE,
    S_STRIDE = MQA_SPAN + MQA_TILE /* no power of two: rows of s fall into different sets of a cache */
};

/* A task at work: its block, and where its rows are. */
typedef struct work {
    const mqa_layer_run *layer;
    const mqa_plan *plan;
    const mqa_cache_config *config;
    mqa_scratch *scratch;
    mqa_block *block;
    const mqa_item *item;
    int64_t token[MQA_MAX_ROWS]; /* of the batch: the index into q, out and lse */
    int head[MQA_MAX_ROWS];
    int64_t position[MQA_MAX_ROWS];
} work;

static size_t section(size_t *end, size_t bytes)
{
    const size_t begin = *end;
    *end += mqa_round_up(bytes, MQA_CACHE_LINE);
    return begin;
}

/* memory NULL: only the size. */
static size_t divide_scratch(const mqa_plan *plan, int rows, unsigned char *memory, mqa_scratch *out)
{
    const mqa_cache_config *config = &plan->cache->config;
    const size_t states = mqa_states_floats(rows, config->head_dim_vo) * sizeof(float);
    size_t end = 0;
    const size_t q = section(&end, (size_t)rows * MQA_Q_ROW_BYTES(config->head_dim_qk));
    const size_t s = section(&end, (size_t)rows * S_STRIDE * sizeof(float));
    const size_t p_scale = section(&end, MQA_MAX_ROWS * sizeof(float));
    const size_t lse = section(&end, MQA_MAX_ROWS * sizeof(float));
    const size_t span = section(&end, states), group = section(&end, states), total = section(&end, states);
    if (memory)
        *out = (mqa_scratch){.q = memory + q,
                             .s = (float *)(memory + s),
                             .p_scale = (float *)(memory + p_scale),
                             .lse = (float *)(memory + lse),
                             .span = mqa_states_at((float *)(memory + span), rows),
                             .group = mqa_states_at((float *)(memory + group), rows),
                             .total = mqa_states_at((float *)(memory + total), rows)};
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

static void place_rows(work *w)
{
    const int group_size = w->plan->group_size;
    int64_t token = w->block->first_row / group_size;
    int head = (int)(w->block->first_row % group_size);
    for (int r = 0; r < w->block->rows; r++) {
        w->token[r] = w->item->first_row + token;
        w->position[r] = w->item->length - w->item->n_queries + token;
        w->head[r] = w->block->kv_head * group_size + head;
        if (++head == group_size) {
            head = 0;
            token++;
        }
    }
}

static int pack_queries(work *w)
{
    const mqa_layer_run *layer = w->layer;
    const float *q[MQA_MAX_ROWS];
    for (int r = 0; r < w->block->rows; r++)
        q[r] = layer->q + (size_t)w->token[r] * layer->q_stride_token +
               (size_t)w->head[r] * layer->q_stride_head;
    return w->plan->kernels->pack_q[w->config->k_type](q, w->block->rows, w->config->head_dim_qk,
                                                       w->plan->options.sm_scale, w->scratch->q);
}

/* A token of the span as an index into the scores, which begin with token `start` and are n long. */
static int clamp_token(int64_t token, int64_t start, int n)
{
    const int64_t i = token - start;
    return i < 0 ? 0 : i > n ? n : (int)i;
}

/* The states of all rows for one span: two passes over those of its granules that some row sees. */
static void compute_span(work *w, int64_t span, mqa_states out)
{
    const mqa_attention_kernels *kernels = w->plan->kernels;
    const mqa_cache_config *config = w->config;
    const mqa_block *block = w->block;
    const int64_t span_lo = span * MQA_SPAN, span_hi = span_lo + MQA_SPAN;
    const int64_t first = (block->lo > span_lo ? block->lo : span_lo) / MQA_GRANULE;
    const int64_t last = ((block->hi < span_hi ? block->hi : span_hi) - 1) / MQA_GRANULE;
    const int n_granules = (int)(last - first + 1);

    const void *k_runs[SPAN_GRANULES], *v_runs[SPAN_GRANULES];
    for (int g = 0; g < n_granules; g++) {
        const unsigned char *run =
            mqa_sequence_granule(w->item->sequence, w->layer->layer, block->kv_head, first + g);
        k_runs[g] = run;
        v_runs[g] = run + w->plan->cache->layout.k_run;
    }

    float *s = w->scratch->s;
    kernels->scores[config->k_type](w->scratch->q, block->rows, config->head_dim_qk, k_runs, n_granules, s,
                                    S_STRIDE);
    for (int r = 0; r < block->rows; r++) {
        const int64_t start = first * MQA_GRANULE, position = w->position[r];
        const int n = n_granules * MQA_GRANULE;
        const int lo = clamp_token(config->window > 0 ? position + 1 - config->window : 0, start, n);
        const int hi = clamp_token(position + 1, start, n);
        uint16_t words[MQA_SPAN / MQA_TILE], *valid = lo > 0 || hi < n ? words : NULL;
        if (valid) mqa_valid_range(valid, n / MQA_TILE, lo, hi);
        kernels->softmax[config->v_type](s + (size_t)r * S_STRIDE, n_granules, valid, v_runs, &out.m[r],
                                         &out.l[r], &w->scratch->p_scale[r]);
    }
    kernels->pv[config->v_type](s, S_STRIDE, w->scratch->p_scale, block->rows, v_runs, n_granules,
                                config->head_dim_vo, out.o);
}

static void finish(work *w, mqa_states states)
{
    const mqa_layer_run *layer = w->layer;
    const mqa_block *block = w->block;
    float *out[MQA_MAX_ROWS];
    for (int r = 0; r < block->rows; r++)
        out[r] = layer->out + (size_t)w->token[r] * layer->out_stride_token +
                 (size_t)w->head[r] * layer->out_stride_head;
    w->plan->kernels->finish(block->rows, w->config->head_dim_vo, states.m, states.l, states.o, out,
                             layer->lse ? w->scratch->lse : NULL);
    if (!layer->lse) return;
    for (int r = 0; r < block->rows; r++)
        layer->lse[w->token[r] * w->plan->options.n_heads + w->head[r]] = w->scratch->lse[r];
}

static mqa_fold begin_fold(const work *w)
{
    return mqa_fold_begin(w->plan->kernels, w->block->rows, w->config->head_dim_vo, w->scratch->group,
                          w->scratch->total);
}

static void run_whole_block(work *w)
{
    mqa_fold fold = begin_fold(w);
    mqa_states states = w->scratch->span;
    for (int64_t i = 0; i < w->block->n_spans; i++) {
        compute_span(w, w->block->first_span + i, states);
        mqa_fold_take(&fold, w->block->first_span + i, &states);
    }
    finish(w, mqa_fold_end(&fold));
}

static void compute_run(work *w, const mqa_task *task, size_t floats)
{
    const mqa_block *block = w->block;
    const int64_t begin = mqa_run_begin(block, task->run), end = mqa_run_begin(block, task->run + 1);
    float *next = task->states;
    mqa_states open = {0};
    for (int64_t span = begin; span < end; span++) {
        if (mqa_stores_state(block, begin, span)) {
            open = mqa_states_at(next, block->rows);
            next += floats;
            compute_span(w, span, open);
        } else {
            compute_span(w, span, w->scratch->span);
            mqa_states_fold(w->plan->kernels, block->rows, w->config->head_dim_vo, open, w->scratch->span);
        }
    }
}

static void fold_runs(work *w, size_t floats)
{
    const mqa_block *block = w->block;
    mqa_fold fold = begin_fold(w);
    float *next = block->states;
    for (int run = 0; run < block->n_runs; run++) {
        const int64_t begin = mqa_run_begin(block, run), end = mqa_run_begin(block, run + 1);
        for (int64_t span = begin; span < end; span++) {
            if (!mqa_stores_state(block, begin, span)) continue;
            mqa_states states = mqa_states_at(next, block->rows);
            mqa_fold_take(&fold, span, &states);
            next += floats;
        }
    }
    finish(w, mqa_fold_end(&fold));
}

void mqa_attention_task(void *arg, int index, int worker)
{
    mqa_layer_run *layer = arg;
    const mqa_plan *plan = layer->plan;
    const mqa_task *task = &plan->tasks[index];
    work w = {.layer = layer,
              .plan = plan,
              .config = &plan->cache->config,
              .scratch = &plan->scratch[worker],
              .block = &plan->blocks[task->block]};
    w.item = &plan->items[w.block->item];
    place_rows(&w);
    const int ok = pack_queries(&w);
    if (!ok) atomic_store_explicit(&layer->bad_query, 1, memory_order_relaxed);

    if (w.block->n_runs == 1) {
        if (ok) run_whole_block(&w);
        return;
    }
    const size_t floats = mqa_states_floats(w.block->rows, w.config->head_dim_vo);
    if (ok) compute_run(&w, task, floats);
    /* Release our states, acquire the others'. */
    if (atomic_fetch_sub_explicit(&w.block->runs_left, 1, memory_order_acq_rel) > 1) return;
    atomic_store_explicit(&w.block->runs_left, w.block->n_runs,
                          memory_order_relaxed); /* for the next layer */
    if (ok) fold_runs(&w, floats);
}

static mqa_status name_bad_query(const mqa_layer_run *layer, mqa_error *err)
{
    const mqa_plan *plan = layer->plan;
    const mqa_item *last = &plan->items[plan->n_items - 1];
    const int d = plan->cache->config.head_dim_qk;
    for (int64_t token = 0; token < last->first_row + last->n_queries; token++)
        for (int head = 0; head < plan->options.n_heads; head++) {
            const float *q =
                layer->q + (size_t)token * layer->q_stride_token + (size_t)head * layer->q_stride_head;
            for (int i = 0; i < d; i++)
                if (!isfinite(q[i] * plan->options.sm_scale))
                    return mqa_fail(err, MQA_ERR_NOT_FINITE,
                                    "the query of token %" PRId64 " of the batch, head %d, is not finite",
                                    token, head);
        }
    return mqa_fail(err, MQA_ERR_NOT_FINITE, "a query is not finite");
}

mqa_status mqa_plan_run(mqa_plan *plan, int layer, const float *q, size_t q_stride_token,
                        size_t q_stride_head, float *out, size_t out_stride_token, size_t out_stride_head,
                        float *lse, mqa_error *err)
{
    if (!plan || !q || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_plan_run: plan, q or out is NULL");
    if (layer < 0 || layer >= plan->cache->config.n_layers)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "layer %d: the cache has %d", layer,
                        plan->cache->config.n_layers);
    if (plan->n_tasks == 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the plan has no batch: call mqa_plan_batch first");
    for (int i = 0; i < plan->n_items; i++)
        if (plan->items[i].sequence->length != plan->items[i].length)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "item %d's sequence has changed its length since mqa_plan_batch", i);
    mqa_layer_run run = {.plan = plan,
                         .layer = layer,
                         .q = q,
                         .q_stride_token = q_stride_token,
                         .q_stride_head = q_stride_head,
                         .out = out,
                         .out_stride_token = out_stride_token,
                         .out_stride_head = out_stride_head,
                         .lse = lse};
    mqa_pool_run(plan->cache->ctx->pool, mqa_attention_task, &run, plan->n_tasks);
    return atomic_load_explicit(&run.bad_query, memory_order_relaxed) ? name_bad_query(&run, err) : MQA_OK;
}
