/* Cutting a batch into blocks of rows, and blocks into runs of spans.
 *
 * Blocks come first: K and V are read once for all rows of one. Only where there are too few of them to
 * keep the threads busy to the end are they cut along the tokens too. Tasks are handed out dearest first.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "attention/plan.h"
#include "base/status.h"

static const mqa_allocator *allocator_of(const mqa_plan *plan)
{
    return plan->cache->ctx->allocator;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t item_rows(const mqa_plan *plan, const mqa_item *item)
{
    return item->n_queries * plan->group_size;
}

static int64_t item_blocks(const mqa_plan *plan, const mqa_item *item)
{
    return (item_rows(plan, item) + plan->block_rows - 1) / plan->block_rows;
}

/* About 48 multiply-adds a nanosecond; the tokens themselves cost as much as two rows. */
static double block_cost(const mqa_plan *plan, const mqa_block *block)
{
    const mqa_cache_config *config = &plan->cache->config;
    return (double)(block->hi - block->lo) * (block->rows + 2) * (config->head_dim_qk + config->head_dim_vo) /
           48;
}

static void make_block(const mqa_plan *plan, int item_index, int kv_head, int64_t first_row, int rows,
                       mqa_block *block)
{
    const mqa_item *item = &plan->items[item_index];
    const int64_t first_position = item->length - item->n_queries;
    const int64_t first = first_position + first_row / plan->group_size;
    const int64_t last = first_position + (first_row + rows - 1) / plan->group_size;
    block->item = item_index;
    block->kv_head = kv_head;
    block->first_row = first_row;
    block->rows = rows;
    block->lo = mqa_sequence_seen_from(item->sequence, first);
    block->hi = last + 1;
    block->first_span = block->lo / MQA_SPAN;
    block->n_spans = last / MQA_SPAN + 1 - block->first_span;
    block->n_runs = 1;
    block->states = NULL;
}

static void make_blocks(mqa_plan *plan)
{
    mqa_block *block = plan->blocks;
    for (int i = 0; i < plan->n_items; i++) {
        const int64_t rows = item_rows(plan, &plan->items[i]);
        /* Of even size, in eights where that makes no more of them. */
        const int64_t n = item_blocks(plan, &plan->items[i]);
        int64_t step = (rows + n - 1) / n;
        step = min64(plan->block_rows, (step + 7) / 8 * 8);
        for (int kv_head = 0; kv_head < plan->cache->config.n_kv_heads; kv_head++)
            for (int64_t row = 0; row < rows; row += step)
                make_block(plan, i, kv_head, row, (int)min64(step, rows - row), block++);
    }
    plan->n_blocks = (int)(block - plan->blocks);
}

/* Sets n_runs of every block; returns the number of runs. */
static int64_t choose_runs(mqa_plan *plan)
{
    const int n_threads = mqa_pool_n_threads(plan->cache->ctx->pool);
    double total = 0;
    for (int b = 0; b < plan->n_blocks; b++) total += block_cost(plan, &plan->blocks[b]);
    double wanted = total / ((double)n_threads * plan->tasks_per_thread);
    if (wanted < plan->least_cost) wanted = plan->least_cost;

    int64_t n_runs = 0;
    for (int b = 0; b < plan->n_blocks; b++) {
        mqa_block *block = &plan->blocks[b];
        const double parts = block_cost(plan, block) / wanted + 0.5;
        if (n_threads > 1 && parts >= 2) block->n_runs = (int)min64(block->n_spans, (int64_t)parts);
        n_runs += block->n_runs;
    }
    return n_runs;
}

/* Floats that one run stores. */
static size_t run_floats(const mqa_plan *plan, const mqa_block *block, int run)
{
    const int64_t begin = mqa_run_begin(block, run), end = mqa_run_begin(block, run + 1);
    size_t n = 0;
    for (int64_t span = begin; span < end; span++) n += mqa_stores_state(block, begin, span);
    return n * mqa_states_floats(block->rows, plan->cache->config.head_dim_vo);
}

static size_t block_floats(const mqa_plan *plan, const mqa_block *block)
{
    size_t n = 0;
    for (int run = 0; block->n_runs > 1 && run < block->n_runs; run++) n += run_floats(plan, block, run);
    return n;
}

/* Room for the states of all cut blocks. */
static mqa_status place_states(mqa_plan *plan, mqa_error *err)
{
    size_t floats = 0;
    for (int b = 0; b < plan->n_blocks; b++) floats += block_floats(plan, &plan->blocks[b]);
    if (floats * sizeof(float) > plan->states_bytes) {
        mqa_release(allocator_of(plan), plan->states, plan->states_bytes);
        plan->states_bytes = floats * sizeof(float);
        plan->states = mqa_alloc(allocator_of(plan), plan->states_bytes);
        if (!plan->states) {
            plan->states_bytes = 0;
            return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %zu bytes of attention states",
                            floats * sizeof(float));
        }
    }
    float *next = plan->states;
    for (int b = 0; b < plan->n_blocks; b++) {
        mqa_block *block = &plan->blocks[b];
        if (block->n_runs == 1) continue;
        block->states = next;
        next += block_floats(plan, block);
        atomic_store_explicit(&block->runs_left, block->n_runs, memory_order_relaxed);
    }
    return MQA_OK;
}

static int dearest_first(const void *a_, const void *b_)
{
    const mqa_task *a = a_, *b = b_;
    if (a->cost != b->cost) return a->cost > b->cost ? -1 : 1;
    if (a->block != b->block) return a->block < b->block ? -1 : 1;
    return a->run - b->run;
}

static void make_tasks(mqa_plan *plan)
{
    mqa_task *task = plan->tasks;
    int sorted = 1;
    for (int b = 0; b < plan->n_blocks; b++) {
        const mqa_block *block = &plan->blocks[b];
        const double cost = block_cost(plan, block) / block->n_runs;
        float *states = block->states;
        for (int run = 0; run < block->n_runs; run++, task++) {
            *task = (mqa_task){.block = b, .run = run, .states = states, .cost = cost};
            if (block->n_runs > 1) states += run_floats(plan, block, run);
            if (task > plan->tasks && task[-1].cost < cost) sorted = 0;
        }
    }
    const size_t n = (size_t)(task - plan->tasks);
    if (!sorted) qsort(plan->tasks, n, sizeof *task, dearest_first);
    plan->n_tasks = (int)n;
}

/* Grows an array without keeping what it held. */
static mqa_status reserve(mqa_plan *plan, void **array, int *capacity, int64_t n, size_t size, mqa_error *err)
{
    if (n <= *capacity) return MQA_OK;
    if (n > INT_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a batch of %lld row blocks: cut it into several",
                        (long long)n);
    void *grown = mqa_alloc_array(allocator_of(plan), (size_t)n, size);
    if (!grown) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %lld row blocks", (long long)n);
    mqa_release(allocator_of(plan), *array, (size_t)*capacity * size);
    *array = grown;
    *capacity = (int)n;
    return MQA_OK;
}

static mqa_status reserve_blocks(mqa_plan *plan, mqa_error *err)
{
    int64_t n = 0;
    for (int i = 0; i < plan->n_items; i++)
        n += item_blocks(plan, &plan->items[i]) * plan->cache->config.n_kv_heads;
    void *blocks = plan->blocks;
    mqa_status status = reserve(plan, &blocks, &plan->block_capacity, n, sizeof *plan->blocks, err);
    plan->blocks = blocks;
    return status;
}

static mqa_status reserve_tasks(mqa_plan *plan, int64_t n, mqa_error *err)
{
    void *tasks = plan->tasks;
    mqa_status status = reserve(plan, &tasks, &plan->task_capacity, n, sizeof *plan->tasks, err);
    plan->tasks = tasks;
    return status;
}

/* Each thread's scratch, for the largest block there is. */
static mqa_status reserve_scratch(mqa_plan *plan, mqa_error *err)
{
    int rows = 0;
    for (int b = 0; b < plan->n_blocks; b++)
        if (plan->blocks[b].rows > rows) rows = plan->blocks[b].rows;
    if (rows <= plan->scratch_rows) return MQA_OK;

    const int n_threads = mqa_pool_n_threads(plan->cache->ctx->pool);
    const size_t each = mqa_scratch_bytes(plan, rows), bytes = (size_t)n_threads * each;
    if (!plan->scratch)
        plan->scratch = mqa_alloc_array(allocator_of(plan), (size_t)n_threads, sizeof *plan->scratch);
    unsigned char *memory = mqa_alloc(allocator_of(plan), bytes);
    if (!plan->scratch || !memory) {
        mqa_release(allocator_of(plan), memory, bytes);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %zu bytes of attention scratch", bytes);
    }
    mqa_release(allocator_of(plan), plan->scratch_memory, plan->scratch_bytes);
    plan->scratch_memory = memory;
    plan->scratch_bytes = bytes;
    plan->scratch_rows = rows;
    for (int t = 0; t < n_threads; t++)
        mqa_scratch_make(plan, rows, memory + (size_t)t * each, &plan->scratch[t]);
    return MQA_OK;
}

mqa_status mqa_plan_cut(mqa_plan *plan, mqa_error *err)
{
    MQA_TRY(reserve_blocks(plan, err));
    make_blocks(plan);
    const int64_t n_runs = choose_runs(plan);
    MQA_TRY(reserve_tasks(plan, n_runs, err));
    MQA_TRY(place_states(plan, err));
    MQA_TRY(reserve_scratch(plan, err));
    make_tasks(plan);
    return MQA_OK;
}
