/* Plans: options, the batch, and the room it needs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "attention/plan.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/status.h"

enum { MAX_HEADS = 1 << 20 }; /* rows of any batch are counted in 64 bits */

static mqa_status check_options(const mqa_cache *cache, const mqa_plan_options *o, mqa_error *err)
{
    if (o->struct_size != sizeof *o)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_plan_options.struct_size is %zu: set it to sizeof(mqa_plan_options), %zu",
                        o->struct_size, sizeof *o);
    if (o->n_heads < 1 || o->n_heads > MAX_HEADS || o->n_heads % cache->config.n_kv_heads != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "n_heads is %d: give a multiple of n_kv_heads, %d, up to %d", o->n_heads,
                        cache->config.n_kv_heads, MAX_HEADS);
    if (!isfinite(o->sm_scale))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "sm_scale is not finite: usually 1 / sqrt(head_dim_qk)");
    return MQA_OK;
}

mqa_status mqa_plan_create(mqa_cache *cache, const mqa_plan_options *options, mqa_plan **out, mqa_error *err)
{
    if (!cache || !options || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_plan_create: cache, options or out is NULL");
    *out = NULL;
    MQA_TRY(check_options(cache, options, err));
    mqa_plan *plan = mqa_alloc(cache->ctx->allocator, sizeof *plan);
    if (!plan) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a plan");
    plan->cache = cache;
    plan->options = *options;
    plan->kernels = mqa_context_attention(cache->ctx);
    plan->group_size = options->n_heads / cache->config.n_kv_heads;
    plan->block_rows = MQA_MAX_ROWS;
    plan->tasks_per_thread = 3;
    plan->least_cost = 4000;
    *out = plan;
    return MQA_OK;
}

void mqa_plan_destroy(mqa_plan **plan_)
{
    if (!plan_ || !*plan_) return;
    mqa_plan *plan = *plan_;
    const mqa_context *ctx = plan->cache->ctx;
    mqa_release(ctx->allocator, plan->items, (size_t)plan->item_capacity * sizeof *plan->items);
    mqa_release(ctx->allocator, plan->blocks, (size_t)plan->block_capacity * sizeof *plan->blocks);
    mqa_release(ctx->allocator, plan->tasks, (size_t)plan->task_capacity * sizeof *plan->tasks);
    mqa_release(ctx->allocator, plan->states, plan->states_bytes);
    mqa_release(ctx->allocator, plan->scratch_memory, plan->scratch_bytes);
    mqa_release(ctx->allocator, plan->scratch, (size_t)mqa_pool_n_threads(ctx->pool) * sizeof *plan->scratch);
    mqa_release(ctx->allocator, plan, sizeof *plan);
    *plan_ = NULL;
}

const char *mqa_plan_recipe(const mqa_plan *plan)
{
    const mqa_cache_config *config = &plan->cache->config;
    const int bf16 = config->k_type == MQA_KV_BF16 || config->v_type == MQA_KV_BF16;
    return bf16 ? plan->kernels->recipe : plan->cache->ctx->kernels->attention[MQA_NUMERICS_PORTABLE].recipe;
}

static mqa_status check_item(const mqa_plan *plan, int i, const mqa_plan_item *item, mqa_error *err)
{
    const mqa_sequence *seq = item->sequence;
    if (!seq || seq->cache != plan->cache)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: its sequence is not of the plan's cache", i);
    const int64_t n_tokens = seq->length - seq->first_position;
    if (item->n_queries < 1 || item->n_queries > n_tokens)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: n_queries is %" PRId64 ": give 1 to the sequence's tokens, %" PRId64, i,
                        item->n_queries, n_tokens);
    const int64_t first = seq->length - item->n_queries;
    if (mqa_sequence_seen_from(seq, first) < mqa_sequence_first_held(seq))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: the window of its query at %" PRId64 " begins before token %" PRId64
                        ", the first one kept",
                        i, first, mqa_sequence_first_held(seq));
    return MQA_OK;
}

static mqa_status reserve_items(mqa_plan *plan, int n_items, mqa_error *err)
{
    if (n_items <= plan->item_capacity) return MQA_OK;
    const mqa_allocator *allocator = plan->cache->ctx->allocator;
    mqa_item *items = mqa_alloc_array(allocator, (size_t)n_items, sizeof *items);
    if (!items) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a batch of %d", n_items);
    mqa_release(allocator, plan->items, (size_t)plan->item_capacity * sizeof *items);
    plan->items = items;
    plan->item_capacity = n_items;
    return MQA_OK;
}

mqa_status mqa_plan_batch(mqa_plan *plan, const mqa_plan_item *items, int n_items, mqa_error *err)
{
    if (!plan || !items || n_items < 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_plan_batch: %d items: give 1 or more", n_items);
    plan->n_tasks = 0; /* an error leaves it empty */
    MQA_TRY(reserve_items(plan, n_items, err));
    int64_t row = 0;
    for (int i = 0; i < n_items; i++) {
        MQA_TRY(check_item(plan, i, &items[i], err));
        plan->items[i] = (mqa_item){.sequence = items[i].sequence,
                                    .length = items[i].sequence->length,
                                    .n_queries = items[i].n_queries,
                                    .first_row = row};
        row += items[i].n_queries;
    }
    plan->n_items = n_items;
    return mqa_plan_cut(plan, err);
}
