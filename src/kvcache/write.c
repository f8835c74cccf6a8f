/* Writing: K and V of new tokens into their tiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>

#include "base/fpenv.h"
#include "base/status.h"
#include "kvcache/cache.h"

static mqa_status check_range(const mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                              mqa_error *err)
{
    if (!seq || layer < 0 || layer >= seq->cache->config.n_layers)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "write: no layer %d in the cache", layer);
    const int64_t first = mqa_sequence_first_held(seq);
    if (position < first || position > seq->length || n_tokens < 0 || n_tokens > seq->length - position)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "write: %" PRId64 " tokens at %" PRId64 ": the sequence holds [%" PRId64 ", %" PRId64
                        "); extend it first",
                        n_tokens, position, first, seq->length);
    return MQA_OK;
}

static mqa_status write_token(const mqa_sequence *seq, int layer, int64_t position, const float *k,
                              size_t k_stride_head, const float *v, size_t v_stride_head, mqa_error *err)
{
    const mqa_cache_config *config = &seq->cache->config;
    const int token = (int)(position % MQA_GRANULE);
    unsigned char *run = mqa_sequence_granule(seq, layer, 0, position / MQA_GRANULE);
    for (int head = 0; head < config->n_kv_heads; head++, run += seq->cache->layout.head_stride) {
        const char *bad = NULL;
        if (!mqa_pack_k(config->k_type, run, config->head_dim_qk, token, k + (size_t)head * k_stride_head))
            bad = "K";
        else if (!mqa_pack_v(config->v_type, run + seq->cache->layout.k_run, config->head_dim_vo, token,
                             v + (size_t)head * v_stride_head))
            bad = "V";
        if (bad)
            return mqa_fail(err, MQA_ERR_NOT_FINITE,
                            "%s of token %" PRId64 ", head %d, layer %d is not finite", bad, position, head,
                            layer);
    }
    return MQA_OK;
}

mqa_status mqa_sequence_write(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                              const float *k, size_t k_stride_token, size_t k_stride_head, const float *v,
                              size_t v_stride_token, size_t v_stride_head, mqa_error *err)
{
    MQA_TRY(check_range(seq, layer, position, n_tokens, err));
    if (n_tokens > 0 && (!k || !v)) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "write: k or v is NULL");
    const mqa_fpenv saved = mqa_fpenv_enter(); /* int8 and bf16 round */
    mqa_status status = MQA_OK;
    for (int64_t t = 0; t < n_tokens && status == MQA_OK; t++)
        status = write_token(seq, layer, position + t, k + (size_t)t * k_stride_token, k_stride_head,
                             v + (size_t)t * v_stride_token, v_stride_head, err);
    mqa_fpenv_leave(saved);
    return status;
}
