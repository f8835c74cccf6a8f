/* Memory of pages that were given back: each cache keeps it for its own next pages, so two of them could come
 * to twice the budget, one's busiest hour after the other's. Before that happens they are made compact.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kvcache/cache.h"
#include "model/session.h"

/* Bytes of memory that taking so many pages touches anew. */
static size_t fresh_bytes(const mqa_session_kind *kind, int64_t pages)
{
    const int64_t kept = kind->cache->arena.n_free;
    return pages > kept ? (size_t)(pages - kept) * kind->page_bytes : 0;
}

void mqa_session_prepare_pages(mqa_session *s, const int64_t pages[MQA_LAYER_KINDS])
{
    if (s->options.kv_budget_bytes == 0 || s->model->ctx->allocator) return;
    size_t bytes = mqa_session_bytes_resident(s);
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) bytes += fresh_bytes(&s->kind[k], pages[k]);
    if (bytes <= s->options.kv_budget_bytes) return;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) mqa_cache_defragment(s->kind[k].cache, NULL);
}
