/* Export: the stored values back to rows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/fpenv.h"
#include "kvcache/rows.h"

/* One token of one head, as it was given. */
static void read_k(const mqa_cache *cache, const unsigned char *run, int in_granule, float *k)
{
    const mqa_cache_config *config = &cache->config;
    mqa_unpack_k(config->k_type, run, config->head_dim_qk, in_granule, k);
    cache->ctx->kernels->rows.hadamard(k, config->head_dim_qk, mqa_cache_k_block(config));
}

static void read_v(const mqa_cache *cache, const unsigned char *run, int in_granule, float *v)
{
    const mqa_cache_config *config = &cache->config;
    if (config->v_in_k) {
        float row[MQA_MAX_HEAD_DIM];
        read_k(cache, run, in_granule, row);
        memcpy(v, row, (size_t)config->head_dim_vo * sizeof *row);
        return;
    }
    mqa_unpack_v(config->v_type, run + cache->layout.k_run, config->head_dim_vo, in_granule, v);
    cache->ctx->kernels->rows.hadamard(v, config->head_dim_vo, mqa_cache_v_block(config));
}

mqa_status mqa_sequence_read(const mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens, float *k,
                             size_t k_stride_token, size_t k_stride_head, float *v, size_t v_stride_token,
                             size_t v_stride_head, mqa_error *err)
{
    MQA_TRY(mqa_rows_check_held(seq, "read", layer, position, n_tokens, err));
    const mqa_cache *cache = seq->cache;
    const mqa_cache_config *config = &cache->config;
    const mqa_fpenv saved = mqa_fpenv_enter(); /* a scale times an integer rounds */
    for (int64_t t = 0; t < n_tokens; t++) {
        const int64_t token = position + t;
        const int in_granule = (int)(token % MQA_GRANULE);
        const unsigned char *run = mqa_sequence_granule(seq, layer, 0, token / MQA_GRANULE);
        for (int head = 0; head < config->n_kv_heads; head++, run += cache->layout.head_stride) {
            if (k)
                read_k(cache, run, in_granule, k + (size_t)t * k_stride_token + (size_t)head * k_stride_head);
            if (v)
                read_v(cache, run, in_granule, v + (size_t)t * v_stride_token + (size_t)head * v_stride_head);
        }
    }
    mqa_fpenv_leave(saved);
    return MQA_OK;
}
