/* What a cache will take, before there is one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kvcache/cache.h"

size_t mqa_cache_page_bytes(const mqa_cache_config *config)
{
    mqa_cache_config own;
    mqa_cache_layout layout = {0};
    return mqa_cache_layout_make(config, &own, &layout, NULL) == MQA_OK ? layout.page_bytes : 0;
}

static size_t bytes_of(int64_t pages, const mqa_cache_layout *layout)
{
    size_t bytes;
    return mqa_mul((size_t)pages, layout->page_bytes, &bytes) ? bytes : SIZE_MAX;
}

/* Where the last extend began: chunks count from 0, and anew from where a fork begins. */
static int64_t last_chunk(int64_t n_tokens, int64_t chunk, int64_t shared)
{
    const int64_t from = shared < n_tokens ? shared : 0;
    return from + (n_tokens - 1 - from) / chunk * chunk;
}

size_t mqa_kv_shared_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk, int64_t shared,
                           int64_t n_sequences)
{
    mqa_cache_config own;
    mqa_cache_layout layout = {0};
    if (mqa_cache_layout_make(config, &own, &layout, NULL) != MQA_OK || n_tokens < 1 || chunk < 1 ||
        shared < 0 || shared > n_tokens || n_sequences < 1)
        return 0;
    const int64_t last = last_chunk(n_tokens, chunk, shared);
    const int64_t pages =
        mqa_pages_for(n_tokens, layout.page_tokens) - mqa_dead_pages(&layout, own.window, last);
    /* Whole pages of the common beginning are shared, where the window hasn't passed them. */
    const int64_t whole = shared / layout.page_tokens, live = mqa_live_page(&layout, own.window, last);
    const int64_t common =
        (whole < layout.sink_pages ? whole : layout.sink_pages) + (whole > live ? whole - live : 0);
    int64_t all;
    if (__builtin_mul_overflow(pages - common, n_sequences, &all) ||
        __builtin_add_overflow(all, common, &all))
        return SIZE_MAX;
    return bytes_of(all, &layout);
}

size_t mqa_kv_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk)
{
    return mqa_kv_shared_bytes(config, n_tokens, chunk, 0, 1);
}

int64_t mqa_most_pages(const mqa_cache_layout *layout, int64_t window, int64_t n_tokens, int64_t chunk)
{
    const int64_t all = mqa_pages_for(n_tokens, layout->page_tokens);
    if (window < 1 || window >= n_tokens || chunk >= n_tokens - window) return all;
    /* What the chunk's first token sees, and the chunk, beginning anywhere in a page. */
    const int64_t ring = (window - 1 + chunk + layout->page_tokens - 2) / layout->page_tokens + 1;
    return ring < all - layout->sink_pages ? layout->sink_pages + ring : all;
}

size_t mqa_kv_most_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk)
{
    mqa_cache_config own;
    mqa_cache_layout layout = {0};
    if (mqa_cache_layout_make(config, &own, &layout, NULL) != MQA_OK || n_tokens < 1 || chunk < 1) return 0;
    return bytes_of(mqa_most_pages(&layout, own.window, n_tokens, chunk), &layout);
}
