/* Cutting units into runs of spans, the tasks of a plan, where there are too few units to keep all threads
 * busy to the end.
 *
 * Spans of a group are folded in order, so a run that begins inside one can't fold what it computes, unless
 * the run before it is done: then it goes on from there (mqa_span_run). Groups are therefore cut each for
 * itself, and the runs that begin groups are handed out before those that go on with them. What a run can't
 * fold it stores, a state a span.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "attention/plan.h"

/* About 48 multiply-adds a nanosecond; the tokens themselves cost as much as two rows. */
static double unit_cost(const mqa_plan *plan, const mqa_unit *unit)
{
    const mqa_cache_config *config = &plan->cache->config;
    return (double)unit->tokens * (unit->rows + 2) * (config->head_dim_qk + config->head_dim_vo) / 48;
}

/* ---- runs ---- */

/* The end of the stretch of one group that begins at span i. */
static int64_t group_end(const mqa_spans *spans, int64_t i, int64_t end)
{
    const int64_t left = MQA_GROUP_SPANS - mqa_nth_span(spans, i) % MQA_GROUP_SPANS;
    if (i < spans->n[0]) end = mqa_min64(end, spans->n[0]);
    return mqa_min64(end, i + left);
}

/* Cuts a unit into runs of about `wanted` spans and returns how many; out NULL: no more than that. */
static int64_t cut_unit(const mqa_spans *spans, const mqa_unit *unit, double wanted, mqa_span_run *out)
{
    int64_t n_runs = 0, begin = unit->begin;
    do {
        int64_t end = begin < unit->end ? group_end(spans, begin, unit->end) : begin;
        int64_t parts = (int64_t)((double)(end - begin) / wanted + 0.5);
        if (parts > end - begin) parts = end - begin;
        if (parts < 1) parts = 1;
        while (parts == 1 && end < unit->end) { /* groups of one run */
            const int64_t next = group_end(spans, end, unit->end);
            if ((double)(next - begin) > 1.25 * wanted) break;
            end = next;
        }
        for (int64_t p = 0; out && p < parts; p++) {
            mqa_span_run *run = out + n_runs + p;
            run->begin = begin + (end - begin) * p / parts;
            run->end = begin + (end - begin) * (p + 1) / parts;
        }
        n_runs += parts;
        begin = end;
    } while (begin < unit->end);
    return n_runs;
}

/* Spans that a run should have. */
static double wanted_spans(const mqa_plan *plan, const mqa_unit *unit, double wanted_cost)
{
    const double cost = unit_cost(plan, unit), n = (double)(unit->end - unit->begin);
    if (mqa_pool_n_threads(plan->cache->ctx->pool) == 1 || cost <= 1.5 * wanted_cost) return n + 1;
    return n * wanted_cost / cost > 1 ? n * wanted_cost / cost : 1;
}

static void set_task_counts(mqa_plan *plan)
{
    for (int b = 0; b < plan->n_blocks; b++) {
        mqa_block *block = &plan->blocks[b];
        block->n_tasks = 0;
        for (int i = 0; i < block->n_uses; i++)
            block->n_tasks += plan->units[plan->uses[block->first_use + i].unit].n_runs;
        atomic_store_explicit(&block->tasks_left, block->n_tasks, memory_order_relaxed);
        mqa_unit *only = &plan->units[plan->uses[block->first_use].unit];
        only->direct = block->n_tasks == 1 && only->n_parts == 1;
    }
}

static mqa_status make_runs(mqa_plan *plan, mqa_error *err)
{
    double total = 0;
    for (int u = 0; u < plan->n_units; u++) total += unit_cost(plan, &plan->units[u]);
    double wanted = total / ((double)mqa_pool_n_threads(plan->cache->ctx->pool) * plan->tasks_per_thread);
    if (wanted < plan->least_cost) wanted = plan->least_cost;

    int64_t n = 0;
    for (int u = 0; u < plan->n_units; u++)
        n += cut_unit(mqa_unit_spans(plan, &plan->units[u]), &plan->units[u],
                      wanted_spans(plan, &plan->units[u], wanted), NULL);
    MQA_TRY(mqa_plan_array_of(plan, &plan->run_memory, n, sizeof *plan->runs, "tasks", &plan->runs, err));
    plan->n_runs = 0;
    for (int u = 0; u < plan->n_units; u++) {
        mqa_unit *unit = &plan->units[u];
        unit->first_run = plan->n_runs;
        unit->n_runs = (int)cut_unit(mqa_unit_spans(plan, unit), unit, wanted_spans(plan, unit, wanted),
                                     plan->runs + unit->first_run);
        plan->n_runs += unit->n_runs;
    }
    for (int r = 0; r < plan->n_runs; r++) /* none is done in the layer that comes */
        atomic_store_explicit(&plan->runs[r].done, plan->n_layers_run, memory_order_relaxed);
    set_task_counts(plan);
    return MQA_OK;
}

/* ---- the workspace ---- */

/* Floats that one run stores at most. */
static size_t run_floats(const mqa_plan *plan, const mqa_unit *unit, const mqa_span_run *run)
{
    if (unit->direct) return 0;
    const mqa_spans *spans = mqa_unit_spans(plan, unit);
    size_t n = 0;
    for (int64_t i = run->begin; i < run->end; i++)
        n += (size_t)mqa_stores_state(spans, run->begin, false, i);
    return n * mqa_row_states_floats(unit->rows, plan->cache->config.head_dim_vo);
}

/* Where each run stores, from `states` on; returns how many floats that is in all. */
static size_t place_states(mqa_plan *plan, float *states)
{
    size_t n = 0;
    for (int u = 0; u < plan->n_units; u++)
        for (int r = 0; r < plan->units[u].n_runs; r++) {
            mqa_span_run *run = &plan->runs[plan->units[u].first_run + r];
            run->states = states ? states + n : NULL;
            n += run_floats(plan, &plan->units[u], run);
        }
    return n;
}

static mqa_status take_workspace(mqa_plan *plan, mqa_error *err)
{
    plan->scratch_rows = 0;
    for (int u = 0; u < plan->n_units; u++)
        if (plan->units[u].rows > plan->scratch_rows) plan->scratch_rows = plan->units[u].rows;
    const size_t n_threads = (size_t)mqa_pool_n_threads(plan->cache->ctx->pool);
    const size_t scratch = n_threads * mqa_scratch_bytes(plan, plan->scratch_rows);
    plan->needed_bytes = scratch + place_states(plan, NULL) * sizeof(float);
    if (plan->given_workspace) {
        if (plan->needed_bytes > plan->given_bytes)
            return mqa_fail(err, MQA_ERR_BUDGET,
                            "this batch takes %zu bytes of workspace; mqa_plan_set_workspace gave %zu",
                            plan->needed_bytes, plan->given_bytes);
        plan->workspace = plan->given_workspace;
    } else {
        MQA_TRY(mqa_plan_reserve(plan, &plan->own_workspace, (int64_t)plan->needed_bytes, 1,
                                 "bytes of attention workspace", err));
        plan->workspace = plan->own_workspace.data;
    }
    place_states(plan, (float *)(void *)(plan->workspace + scratch));
    return MQA_OK;
}

/* ---- tasks ---- */

/* Then those that begin groups, so that the others find them done. */
static int dearest_first(const void *a_, const void *b_)
{
    const mqa_task *a = a_, *b = b_;
    if (a->cost != b->cost) return a->cost > b->cost ? -1 : 1;
    if (a->in_group != b->in_group) return a->in_group < b->in_group ? -1 : 1;
    if (a->unit != b->unit) return a->unit < b->unit ? -1 : 1;
    return a->run - b->run;
}

static mqa_status make_tasks(mqa_plan *plan, mqa_error *err)
{
    MQA_TRY(mqa_plan_array_of(plan, &plan->task_memory, plan->n_runs, sizeof *plan->tasks, "tasks",
                              &plan->tasks, err));
    mqa_task *task = plan->tasks;
    bool sorted = true;
    for (int u = 0; u < plan->n_units; u++) {
        const mqa_unit *unit = &plan->units[u];
        const mqa_spans *spans = mqa_unit_spans(plan, unit);
        const double cost = unit_cost(plan, unit) / unit->n_runs;
        for (int r = 0; r < unit->n_runs; r++, task++) {
            const int64_t begin = plan->runs[unit->first_run + r].begin;
            const bool begins = r == 0 || mqa_begins_group(spans, begin);
            *task = (mqa_task){.unit = u,
                               .run = unit->first_run + r,
                               .cost = cost,
                               .in_group = begins ? 0 : (int)(mqa_nth_span(spans, begin) % MQA_GROUP_SPANS)};
            if (task > plan->tasks && dearest_first(task - 1, task) > 0) sorted = false;
        }
    }
    if (!sorted) qsort(plan->tasks, (size_t)plan->n_runs, sizeof *plan->tasks, dearest_first);
    plan->n_tasks = plan->n_runs;
    return MQA_OK;
}

mqa_status mqa_plan_cut_units(mqa_plan *plan, mqa_error *err)
{
    MQA_TRY(make_runs(plan, err));
    MQA_TRY(take_workspace(plan, err));
    return make_tasks(plan, err);
}
