/* Making caches, and what is asked of a whole cache.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kvcache/cache.h"

#include "base/status.h"

static mqa_status page_limit(const mqa_cache_config *config, size_t page_bytes, int64_t *out, mqa_error *err)
{
    if (config->max_pages < 1 || config->max_pages > INT32_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "cache: max_pages is %lld: give 1 to %d",
                        (long long)config->max_pages, INT32_MAX);
    *out = config->max_pages;
    if (config->budget_bytes == 0) return MQA_OK;
    const size_t affordable = config->budget_bytes / page_bytes;
    if (affordable == 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "cache: budget_bytes is %zu, less than one page of %zu bytes", config->budget_bytes,
                        page_bytes);
    if (affordable < (size_t)*out) *out = (int64_t)affordable;
    return MQA_OK;
}

mqa_status mqa_cache_create(mqa_context *ctx, const mqa_cache_config *config, mqa_cache **out, mqa_error *err)
{
    if (!ctx || !out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_cache_create: ctx or out is NULL");
    *out = NULL;
    mqa_cache_config own;
    mqa_cache_layout layout;
    int64_t limit = 0;
    MQA_TRY(mqa_cache_layout_make(config, &own, &layout, err));
    MQA_TRY(page_limit(&own, layout.page_bytes, &limit, err));

    mqa_cache *cache = mqa_alloc(ctx->allocator, sizeof *cache);
    if (!cache) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a cache");
    cache->ctx = ctx;
    cache->config = own;
    cache->layout = layout;
    mqa_status status = mqa_arena_create(&cache->arena, ctx->allocator, own.n_layers, layout.slice_bytes,
                                         own.max_pages, limit, err);
    cache->arena.account_kind = own.window > 0;
    if (status != MQA_OK) {
        mqa_release(ctx->allocator, cache, sizeof *cache);
        return status;
    }
    *out = cache;
    return MQA_OK;
}

void mqa_cache_destroy(mqa_cache **cache)
{
    if (!cache || !*cache) return;
    mqa_arena_destroy(&(*cache)->arena);
    mqa_release((*cache)->ctx->allocator, *cache, sizeof **cache);
    *cache = NULL;
}

size_t mqa_cache_bytes_in_use(const mqa_cache *cache)
{
    return (size_t)cache->arena.in_use * cache->layout.page_bytes;
}

size_t mqa_cache_bytes_kept(const mqa_cache *cache)
{
    return (size_t)cache->arena.n_kept * cache->layout.page_bytes;
}

size_t mqa_cache_bytes_resident(const mqa_cache *cache)
{
    return (size_t)cache->arena.n_touched * cache->layout.page_bytes;
}

size_t mqa_cache_pages_bytes(const mqa_cache *cache, int64_t n_pages)
{
    size_t bytes;
    return mqa_mul((size_t)n_pages, cache->layout.page_bytes, &bytes) ? bytes : SIZE_MAX;
}

void mqa_cache_defragment(mqa_cache *cache, mqa_defragment_report *report)
{
    mqa_defragment_report done = {.pages_moved = mqa_arena_compact(&cache->arena)};
    for (mqa_sequence *seq = cache->sequences; seq; seq = seq->next)
        for (int64_t i = 0; i < seq->n_pages; i++)
            seq->pages[i] = mqa_arena_moved(&cache->arena, seq->pages[i]);
    done.bytes_returned = mqa_arena_trim(&cache->arena);
    done.bytes_resident = mqa_cache_bytes_resident(cache);
    if (report) *report = done;
}
