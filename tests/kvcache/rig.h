/* A context and a small cache, for tests with cmocka.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KVCACHE_RIG_H
#define TESTS_KVCACHE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rows.h"

static inline mqa_context *make_context(const mqa_allocator *allocator)
{
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 1;
    options.isa = MQA_ISA_REFERENCE;
    options.allocator = allocator;
    mqa_context *ctx;
    assert_int_equal(mqa_context_create(&options, &ctx, NULL), MQA_OK);
    return ctx;
}

static inline mqa_cache_config small_config(void)
{
    return (mqa_cache_config){.struct_size = sizeof(mqa_cache_config),
                              .n_layers = 2,
                              .n_kv_heads = 2,
                              .head_dim_qk = 5,
                              .head_dim_vo = 18,
                              .k_type = MQA_KV_F32,
                              .v_type = MQA_KV_BF16,
                              .max_pages = 10};
}

/* A cache and its context. */
typedef struct rig {
    mqa_context *ctx;
    mqa_cache *cache;
} rig;

static inline rig make_rig(const mqa_cache_config *config)
{
    rig r = {.ctx = make_context(NULL)};
    assert_int_equal(mqa_cache_create(r.ctx, config, &r.cache, NULL), MQA_OK);
    return r;
}

/* Everything has been given back. */
static inline void end_rig(rig *r)
{
    assert_int_equal(mqa_cache_bytes_in_use(r->cache), 0);
    mqa_cache_destroy(&r->cache);
    assert_null(r->cache);
    mqa_context_destroy(&r->ctx);
}

static inline mqa_sequence *make_sequence(mqa_cache *cache)
{
    mqa_sequence *seq;
    assert_int_equal(mqa_sequence_create(cache, &seq, NULL), MQA_OK);
    return seq;
}

/* Tokens with stamps first_stamp, first_stamp + 1, … */
static inline void append_tokens(mqa_sequence *seq, int64_t n, uint32_t first_stamp)
{
    const import_way way = {.kind = IMPORT_NHD, .bad_token = -1};
    uint32_t stamps[ROWS_MAX_TOKENS];
    const int64_t at = mqa_sequence_length(seq);
    for (int64_t t = 0; t < n; t++) stamps[t] = first_stamp + (uint32_t)t;
    assert_int_equal(mqa_sequence_extend(seq, n, NULL), MQA_OK);
    for (int layer = 0; layer < seq->cache->config.n_layers; layer++)
        assert_int_equal(import_tokens(seq, layer, at, n, stamps, &way, NULL), MQA_OK);
}

/* The tokens from `position` on have stamps first_stamp, … */
static inline void assert_tokens(const mqa_sequence *seq, int64_t position, int64_t n, uint32_t first_stamp)
{
    uint32_t stamps[ROWS_MAX_TOKENS];
    for (int64_t t = 0; t < n; t++) stamps[t] = first_stamp + (uint32_t)t;
    for (int layer = 0; layer < seq->cache->config.n_layers; layer++) {
        const char *wrong = compare_tokens(seq, layer, position, n, stamps, layer % 2 == 1);
        if (wrong) fail_msg("%s", wrong);
    }
}

#endif
