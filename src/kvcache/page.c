/* Tokens of one page, in all its layers, heads and granules.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kvcache/cache.h"

static int min(int a, int b)
{
    return a < b ? a : b;
}

void mqa_page_clear(const mqa_cache *cache, int32_t page, int from, int to)
{
    const mqa_cache_config *config = &cache->config;
    for (int layer = 0; layer < config->n_layers; layer++)
        for (int head = 0; head < config->n_kv_heads; head++)
            for (int token = from, end; token < to; token = end) {
                const int granule = token / MQA_GRANULE, first = granule * MQA_GRANULE;
                end = min(first + MQA_GRANULE, to);
                mqa_granule_clear(cache, mqa_page_granule(cache, layer, page, head, granule), token - first,
                                  end - first);
            }
}

void mqa_page_copy(const mqa_cache *cache, int32_t to, int32_t from, int n)
{
    const mqa_cache_config *config = &cache->config;
    const int granules = (n + MQA_GRANULE - 1) / MQA_GRANULE;
    for (int layer = 0; layer < config->n_layers; layer++)
        for (int head = 0; head < config->n_kv_heads; head++)
            memcpy(mqa_page_granule(cache, layer, to, head, 0), mqa_page_granule(cache, layer, from, head, 0),
                   (size_t)granules * cache->layout.head_bytes);
    mqa_page_clear(cache, to, n, granules * MQA_GRANULE);
}
