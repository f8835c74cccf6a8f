/* Cache configurations: names of formats, what is valid, and what it comes to in bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/status.h"
#include "base/take_struct.h"
#include "kernels/rope.h"
#include "kvcache/cache.h"

enum { MAX_LAYERS = 65536, MAX_KV_HEADS = 65536 };

static const char *const type_names[MQA_KV_TYPES] = {
    [MQA_KV_F32] = "f32",  [MQA_KV_BF16] = "bf16",         [MQA_KV_INT8] = "int8",
    [MQA_KV_F16] = "f16",  [MQA_KV_FP8_E4M3] = "fp8_e4m3", [MQA_KV_FP8_E5M2] = "fp8_e5m2",
    [MQA_KV_INT4] = "int4"};

const char *mqa_kv_type_name(mqa_kv_type type)
{
    return (unsigned)type < MQA_KV_TYPES ? type_names[type] : "unknown";
}

mqa_status mqa_kv_type_parse(const char *name, mqa_kv_type *out, mqa_error *err)
{
    if (name && out) {
        if (strcmp(name, "q8_0") == 0) name = type_names[MQA_KV_INT8];
        if (strcmp(name, "q4_0") == 0) name = type_names[MQA_KV_INT4];
        for (int i = 0; i < MQA_KV_TYPES; i++) {
            if (strcmp(name, type_names[i]) != 0) continue;
            *out = (mqa_kv_type)i;
            return MQA_OK;
        }
    }
    return mqa_fail(
        err, MQA_ERR_INVALID_ARGUMENT,
        "cache format '%.40s': give f32, bf16, f16, fp8_e4m3, fp8_e5m2, int8 (q8_0) or int4 (q4_0)",
        name ? name : "(null)");
}

static mqa_status check_range(const char *name, int value, int max, mqa_error *err)
{
    if (value >= 1 && value <= max) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "cache: %s is %d: give 1 to %d", name, value, max);
}

mqa_status mqa_cache_layout_make(const mqa_cache_config *given, mqa_cache_config *config,
                                 mqa_cache_layout *out, mqa_error *err)
{
    MQA_TRY(MQA_TAKE(mqa_cache_config, given, config, err));
    MQA_TRY(check_range("n_layers", config->n_layers, MAX_LAYERS, err));
    MQA_TRY(check_range("n_kv_heads", config->n_kv_heads, MAX_KV_HEADS, err));
    MQA_TRY(check_range("head_dim_qk", config->head_dim_qk, MQA_MAX_HEAD_DIM, err));
    MQA_TRY(check_range("head_dim_vo", config->head_dim_vo, MQA_MAX_HEAD_DIM, err));
    if ((unsigned)config->k_type >= MQA_KV_TYPES || (unsigned)config->v_type >= MQA_KV_TYPES)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "cache: formats %d and %d of K and V: not of mqa_kv_type", (int)config->k_type,
                        (int)config->v_type);
    if (config->window < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "cache: window is %lld: give 0 (none) or more",
                        (long long)config->window);
    if (config->n_sink_tokens < 0 || (config->n_sink_tokens > 0 && config->window == 0))
        return mqa_fail(
            err, MQA_ERR_INVALID_ARGUMENT,
            "cache: n_sink_tokens is %lld, window %lld: give 0 (none) or more, and more only with a "
            "window: without one all tokens are kept",
            (long long)config->n_sink_tokens, (long long)config->window);
    if (config->rope && config->rope->first_dim + config->rope->n_dims > config->head_dim_qk)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "cache: rope turns dims [%d, %d) of heads of %d",
                        config->rope->first_dim, config->rope->first_dim + config->rope->n_dims,
                        config->head_dim_qk);
    if (config->v_in_k && config->head_dim_vo > config->head_dim_qk)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "cache: v_in_k, but head_dim_vo is %d, more than head_dim_qk, %d",
                        config->head_dim_vo, config->head_dim_qk);
    if (config->v_in_k && config->head_dim_vo % mqa_cache_k_block(config) != 0)
        return mqa_fail(
            err, MQA_ERR_INVALID_ARGUMENT,
            "cache: v_in_k and k_hadamard, but head_dim_vo, %d, would cut one of K's blocks of %d dims",
            config->head_dim_vo, mqa_cache_k_block(config));
    const int page_tokens = config->page_tokens == 0 ? MQA_GRANULE : config->page_tokens;
    if (page_tokens != MQA_GRANULE && page_tokens != 2 * MQA_GRANULE && page_tokens != 4 * MQA_GRANULE)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "cache: page_tokens is %d: give 64, 128 or 256",
                        page_tokens);
    out->page_tokens = page_tokens;
    out->page_shift = page_tokens / MQA_GRANULE / 2;
    out->sink_pages = mqa_pages_for(config->n_sink_tokens, page_tokens);
    /* With these limits nothing here exceeds 2^53. */
    out->k_run = mqa_k_run_bytes(config->k_type, config->head_dim_qk);
    out->v_run = config->v_in_k ? 0 : mqa_v_run_bytes(config->v_type, config->head_dim_vo);
    out->head_bytes = out->k_run + out->v_run;
    out->head_stride = out->head_bytes << out->page_shift;
    out->slice_bytes = out->head_stride * (size_t)config->n_kv_heads;
    out->page_bytes = out->slice_bytes * (size_t)config->n_layers;
    return MQA_OK;
}
