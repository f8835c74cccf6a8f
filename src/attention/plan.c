/* Plans: options, the batch, and the room it needs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "attention/plan.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "base/take_struct.h"
#include "kernels/rope.h"

enum { MAX_HEADS = 1 << 20 }; /* rows of any batch are counted in 64 bits */

/* Rows of a block: with 64 the tokens' cost is shared by enough of them, and scores and states of a span stay
 * in the core's cache. Where V is turned from K, once for a block and span, and K's span alone is larger than
 * that cache, more rows are better: on Zen 4, bf16, 128 heads of 576 and 512 took 6 % less time in one block.
 */
enum { USUAL_ROWS = 64 };

void mqa_plan_options_init(mqa_plan_options *out, size_t struct_size)
{
    const mqa_plan_options defaults = {.window_left = -1};
    mqa_give_struct(&defaults, sizeof defaults, out, struct_size);
}

static mqa_status check_options(const mqa_cache *cache, const mqa_plan_options *o, mqa_error *err)
{
    if (o->n_heads < 1 || o->n_heads > MAX_HEADS || o->n_heads % cache->config.n_kv_heads != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "n_heads is %d: give a multiple of n_kv_heads, %d, up to %d", o->n_heads,
                        cache->config.n_kv_heads, MAX_HEADS);
    if (!isfinite(o->sm_scale))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "sm_scale is not finite: usually 1 / sqrt(head_dim_qk)");
    if (o->mask != MQA_MASK_CAUSAL && o->mask != MQA_MASK_FULL)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mask is %d: give MQA_MASK_CAUSAL or MQA_MASK_FULL",
                        (int)o->mask);
    if (o->window_left < -1 || o->n_sink_tokens < 0 || o->chunk < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "window_left %" PRId64 ", n_sink_tokens %" PRId64 ", chunk %" PRId64
                        ": give -1 (no window) or more, and 0 (none) or more",
                        o->window_left, o->n_sink_tokens, o->chunk);
    if (cache->config.window > 0 && o->n_sink_tokens > cache->config.n_sink_tokens)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "n_sink_tokens is %" PRId64
                        ", but the cache gives back all behind its window but %" PRId64
                        ": set mqa_cache_config.n_sink_tokens to as many",
                        o->n_sink_tokens, cache->config.n_sink_tokens);
    if (!(o->logit_softcap >= 0) || isinf(o->logit_softcap))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "logit_softcap is %g: give 0 (off) or a finite cap",
                        (double)o->logit_softcap);
    if (o->rope && o->rope->first_dim + o->rope->n_dims > cache->config.head_dim_qk)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope turns dims [%d, %d) of heads of %d",
                        o->rope->first_dim, o->rope->first_dim + o->rope->n_dims, cache->config.head_dim_qk);
    return MQA_OK;
}

/* A cache with a window has given back what is behind it. */
static mqa_rules rules_of(const mqa_cache *cache, const mqa_plan_options *o)
{
    int64_t window_left = o->window_left;
    if (cache->config.window > 0 && (window_left < 0 || window_left > cache->config.window - 1))
        window_left = cache->config.window - 1;
    return (mqa_rules){.causal = o->mask == MQA_MASK_CAUSAL,
                       .window_left = window_left,
                       .n_sink_tokens = o->n_sink_tokens,
                       .chunk = o->chunk};
}

mqa_status mqa_plan_create(mqa_cache *cache, const mqa_plan_options *options, mqa_plan **out, mqa_error *err)
{
    if (!cache || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_plan_create: cache or out is NULL");
    *out = NULL;
    mqa_plan_options own;
    MQA_TRY(MQA_TAKE(mqa_plan_options, options, &own, err));
    MQA_TRY(check_options(cache, &own, err));
    mqa_plan *plan = mqa_alloc(cache->ctx->allocator, sizeof *plan);
    if (!plan) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a plan");
    plan->cache = cache;
    plan->options = own;
    plan->rules = rules_of(cache, &own);
    plan->kernels = mqa_context_attention(cache->ctx);
    plan->group_size = own.n_heads / cache->config.n_kv_heads;
    plan->block_rows = cache->config.v_in_k ? MQA_MAX_ROWS : USUAL_ROWS;
    plan->tasks_per_thread = 3;
    plan->least_cost = 4000;
    plan->cascade = true;
    *out = plan;
    return MQA_OK;
}

mqa_status mqa_plan_reserve(const mqa_plan *plan, mqa_plan_array *array, int64_t n, size_t size,
                            const char *what, mqa_error *err)
{
    size_t bytes;
    if (n < 0 || !mqa_mul((size_t)n, size, &bytes))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%" PRId64 " %s: cut the batch into several", n, what);
    if (bytes <= array->bytes) return MQA_OK;
    void *data = mqa_alloc(plan->cache->ctx->allocator, bytes);
    if (!data) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %" PRId64 " %s", n, what);
    mqa_plan_release(plan, array);
    *array = (mqa_plan_array){data, bytes};
    return MQA_OK;
}

mqa_status mqa_plan_array_of(const mqa_plan *plan, mqa_plan_array *array, int64_t n, size_t size,
                             const char *what, void *pointer, mqa_error *err)
{
    if (n > INT_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a batch of %" PRId64 " %s: cut it into several", n,
                        what);
    MQA_TRY(mqa_plan_reserve(plan, array, n, size, what, err));
    memcpy(pointer, &array->data, sizeof array->data);
    return MQA_OK;
}

void mqa_plan_release(const mqa_plan *plan, mqa_plan_array *array)
{
    mqa_release(plan->cache->ctx->allocator, array->data, array->bytes);
    *array = (mqa_plan_array){0};
}

void mqa_plan_destroy(mqa_plan **plan_)
{
    if (!plan_ || !*plan_) return;
    mqa_plan *plan = *plan_;
    mqa_plan_array *arrays[] = {&plan->item_memory, &plan->block_memory,   &plan->unit_memory,
                                &plan->part_memory, &plan->use_memory,     &plan->run_memory,
                                &plan->task_memory, &plan->cascade_memory, &plan->own_workspace};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) mqa_plan_release(plan, arrays[i]);
    mqa_release(plan->cache->ctx->allocator, plan, sizeof *plan);
    *plan_ = NULL;
}

mqa_status mqa_plan_set_workspace(mqa_plan *plan, void *memory, size_t bytes, mqa_error *err)
{
    if (!plan || (!memory && bytes > 0) || (uintptr_t)memory % MQA_CACHE_LINE != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_plan_set_workspace: plan or memory is NULL, or memory isn't aligned to %d",
                        MQA_CACHE_LINE);
    plan->given_workspace = memory;
    plan->given_bytes = bytes;
    plan->n_tasks = 0;
    mqa_plan_release(plan, &plan->own_workspace);
    return MQA_OK;
}

size_t mqa_plan_workspace_bytes(const mqa_plan *plan)
{
    return plan->needed_bytes;
}

const char *mqa_plan_recipe(const mqa_plan *plan)
{
    const mqa_cache_config *config = &plan->cache->config;
    const int bf16 = config->k_type == MQA_KV_BF16 || (config->v_type == MQA_KV_BF16 && !config->v_in_k);
    return bf16 ? plan->kernels->recipe : plan->cache->ctx->kernels->attention[MQA_NUMERICS_PORTABLE].recipe;
}

/* ---- batches ---- */

static mqa_status check_masks(int i, const mqa_plan_item *item, mqa_error *err)
{
    if (item->prefix < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: prefix is %" PRId64, i, item->prefix);
    if ((item->documents != NULL) != (item->n_documents > 0) || item->n_documents < 0 ||
        (item->documents && item->documents[0] != 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: documents: give n_documents ascending positions, the first 0", i);
    for (int64_t d = 1; d < item->n_documents; d++)
        if (item->documents[d] <= item->documents[d - 1])
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "item %d: document %" PRId64 " begins at %" PRId64
                            ", not after the one before it",
                            i, d, item->documents[d]);
    if (item->bits && (item->bits_stride == 0 || item->bits_stride > (size_t)1 << 40 ||
                       item->bits_first < 0 || item->bits_first > INT64_MAX / 2))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: bits: bits_stride is %zu, bits_first %" PRId64 ": out of range", i,
                        item->bits_stride, item->bits_first);
    return MQA_OK;
}

static mqa_status check_item(const mqa_plan *plan, int i, const mqa_plan_item *item, mqa_error *err)
{
    const mqa_sequence *seq = item->sequence;
    if (!seq || seq->cache != plan->cache)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: its sequence is not of the plan's cache", i);
    const int64_t n_tokens = seq->length - seq->first_position;
    if (item->q_ahead < 0 || item->q_ahead > INT64_MAX / 2 || item->n_queries < 1 ||
        item->n_queries > n_tokens + item->q_ahead)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: n_queries is %" PRId64 ", q_ahead %" PRId64
                        ": give 1 query to the sequence's tokens, %" PRId64 ", plus q_ahead",
                        i, item->n_queries, item->q_ahead, n_tokens);
    if (plan->options.rope && seq->length + item->q_ahead > MQA_ROPE_MAX_POSITION)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: queries beyond position 2^40, the last that rope turns", i);
    for (int r = 0; r < 4; r++)
        if (item->reserved[r] != 0)
            return mqa_fail(err, MQA_ERR_UNSUPPORTED, "item %d: reserved[%d] is not 0: set all of them to 0",
                            i, r);
    return check_masks(i, item, err);
}

/* The pages that a window has given back are not asked for again: later queries see no earlier tokens than
 * the first. Sinks are held, all that options may show. */
static mqa_status check_held(const mqa_plan *plan, int i, const mqa_item *item, mqa_error *err)
{
    const int64_t held = mqa_sequence_first_held(item->sequence);
    const mqa_view view = mqa_view_of_query(plan, item, 0);
    if (held <= item->rules.begin || view.main.hi <= view.main.lo || view.main.lo >= held) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "item %d: its query at %" PRId64 " sees token %" PRId64
                    ", but the first one kept is %" PRId64,
                    i, item->first_position, view.main.lo, held);
}

mqa_status mqa_plan_batch(mqa_plan *plan, const mqa_plan_item *items, int n_items, mqa_error *err)
{
    if (!plan) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_plan_batch: plan is NULL");
    plan->n_tasks = plan->n_items = 0; /* an error leaves it empty */
    if (!items || n_items < 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_plan_batch: items is NULL, or there are %d: give 1 or more", n_items);
    MQA_TRY(mqa_plan_reserve(plan, &plan->item_memory, n_items, sizeof *plan->items, "items", err));
    plan->items = plan->item_memory.data;
    int64_t row = 0;
    for (int i = 0; i < n_items; i++) {
        const mqa_plan_item *from = &items[i];
        MQA_TRY(check_item(plan, i, from, err));
        const int64_t length = from->sequence->length;
        plan->items[i] = (mqa_item){.sequence = from->sequence,
                                    .length = length,
                                    .version = from->sequence->version,
                                    .n_queries = from->n_queries,
                                    .first_position = length + from->q_ahead - from->n_queries,
                                    .first_row = row,
                                    .rules = {.begin = from->sequence->first_position,
                                              .end = length,
                                              .prefix = from->prefix,
                                              .documents = from->documents,
                                              .n_documents = from->n_documents,
                                              .bits = from->bits,
                                              .bits_stride = from->bits_stride,
                                              .bits_first = from->bits_first}};
        MQA_TRY(check_held(plan, i, &plan->items[i], err));
        if (from->n_queries > (int64_t)1 << 40 || row > (int64_t)1 << 40)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "item %d: too many queries: cut the batch into several", i);
        row += from->n_queries;
    }
    plan->n_items = n_items;
    return mqa_plan_cut(plan, err);
}

/* ---- groups ---- */

enum { GROUP_TOKENS = MQA_SPAN * MQA_GROUP_SPANS };

int64_t mqa_plan_first_group(const mqa_plan *plan)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < plan->n_items; i++)
        if (plan->items[i].rules.begin / GROUP_TOKENS < first)
            first = plan->items[i].rules.begin / GROUP_TOKENS;
    return plan->n_items > 0 ? first : 0;
}

int64_t mqa_plan_n_groups(const mqa_plan *plan)
{
    int64_t end = 0;
    for (int i = 0; i < plan->n_items; i++) {
        const int64_t groups = (plan->items[i].length + GROUP_TOKENS - 1) / GROUP_TOKENS;
        if (groups > end) end = groups;
    }
    return plan->n_items > 0 ? end - mqa_plan_first_group(plan) : 0;
}
