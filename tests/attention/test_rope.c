/* Fused RoPE: a cache that turns K and a plan that turns q give the bits of arrays that were turned before.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "mqa/attention.h"

enum { HEADS = 6, KV_HEADS = 2, D = 48, TOKENS = 700, QUERIES = 130, POSITION = 3 * MQA_SEQUENCE_UNIT };

typedef struct arrays {
    float q[QUERIES * HEADS * D], k[TOKENS * KV_HEADS * D], v[TOKENS * KV_HEADS * D];
} arrays;

/* int8 keeps K and V transformed: that comes after RoPE. */
static void attend(mqa_context *ctx, const mqa_rope *rope, mqa_kv_type type, const arrays *x, int64_t chunk,
                   float *out)
{
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = KV_HEADS,
                                     .head_dim_qk = D,
                                     .head_dim_vo = D,
                                     .k_type = type,
                                     .v_type = type,
                                     .k_hadamard = type == MQA_KV_INT8,
                                     .v_hadamard = type == MQA_KV_INT8,
                                     .rope = rope,
                                     .max_pages = TOKENS / 64 + 1};
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = 0.2f;
    options.rope = rope;
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_plan *plan;
    assert_int_equal(mqa_cache_create(ctx, &config, &cache, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create_at(cache, POSITION, &seq, NULL), MQA_OK);
    assert_int_equal(mqa_plan_create(cache, &options, &plan, NULL), MQA_OK);
    for (int64_t t = 0; t < TOKENS; t += chunk) {
        const int64_t n = TOKENS - t < chunk ? TOKENS - t : chunk;
        assert_int_equal(mqa_sequence_extend(seq, n, NULL), MQA_OK);
        assert_int_equal(mqa_sequence_write(seq, 0, POSITION + t, n, x->k + t * KV_HEADS * D, KV_HEADS * D, D,
                                            x->v + t * KV_HEADS * D, KV_HEADS * D, D, NULL),
                         MQA_OK);
    }
    const mqa_plan_item item = {.sequence = seq, .n_queries = QUERIES};
    const mqa_run run = {.struct_size = sizeof run,
                         .q = x->q,
                         .q_stride_token = HEADS * D,
                         .q_stride_head = D,
                         .out = out,
                         .out_stride_token = HEADS * D,
                         .out_stride_head = D};
    assert_int_equal(mqa_plan_batch(plan, &item, 1, NULL), MQA_OK);
    assert_int_equal(mqa_plan_run(plan, &run, NULL), MQA_OK);
    mqa_plan_destroy(&plan);
    mqa_sequence_destroy(&seq);
    mqa_cache_destroy(&cache);
}

static void check(mqa_isa isa, const mqa_rope_config *config, mqa_kv_type type)
{
    static arrays raw, turned;
    static float fused[QUERIES * HEADS * D], before[QUERIES * HEADS * D];
    uint64_t rng = 7 + (uint64_t)type;
    for (size_t i = 0; i < sizeof raw / sizeof(float); i++) ((float *)&raw)[i] = gaussian(&rng);
    turned = raw;
    mqa_context_options options = mqa_context_options_default();
    options.isa = isa;
    options.n_threads = 2;
    mqa_context *ctx;
    mqa_rope *rope;
    assert_int_equal(mqa_context_create(&options, &ctx, NULL), MQA_OK);
    assert_int_equal(mqa_rope_create(ctx, config, &rope, NULL), MQA_OK);
    assert_int_equal(mqa_rope_apply(rope, POSITION, TOKENS, KV_HEADS, turned.k, KV_HEADS * D, D, NULL),
                     MQA_OK);
    assert_int_equal(
        mqa_rope_apply(rope, POSITION + TOKENS - QUERIES, QUERIES, HEADS, turned.q, HEADS * D, D, NULL),
        MQA_OK);
    attend(ctx, rope, type, &raw, 33, fused);
    attend(ctx, NULL, type, &turned, TOKENS, before);
    assert_memory_equal(fused, before, sizeof fused);
    attend(ctx, NULL, type, &raw, TOKENS, before);
    assert_memory_not_equal(fused, before, sizeof fused);
    mqa_rope_destroy(&rope);
    mqa_context_destroy(&ctx);
}

static void fused_is_turned_before(void **state)
{
    (void)state;
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++) {
        if (!mqa_isa_available((mqa_isa)isa)) continue;
        if (isa == MQA_ISA_AMX_C || isa == MQA_ISA_NEON_C) continue; /* they take their time */
        mqa_rope_config config = mqa_rope_config_default();
        config.n_dims = D;
        check((mqa_isa)isa, &config, MQA_KV_F32);
        config.style = MQA_ROPE_ADJACENT;
        check((mqa_isa)isa, &config, MQA_KV_BF16);
        config.n_dims = 20; /* a part, behind what stays, as in absorbed MLA */
        config.first_dim = 28;
        check((mqa_isa)isa, &config, MQA_KV_INT8);
        config.scaling = MQA_ROPE_SCALING_LINEAR;
        config.factor = 4;
        check((mqa_isa)isa, &config, MQA_KV_F16);
    }
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    mqa_context *ctx;
    mqa_rope *rope;
    mqa_cache *cache = NULL;
    mqa_plan *plan;
    mqa_error err;
    mqa_rope_config config = mqa_rope_config_default();
    config.n_dims = 16;
    config.first_dim = 1;
    assert_int_equal(mqa_context_create(NULL, &ctx, NULL), MQA_OK);
    assert_int_equal(mqa_rope_create(ctx, &config, &rope, NULL), MQA_OK);
    mqa_cache_config shape = {.struct_size = sizeof shape,
                              .n_layers = 1,
                              .n_kv_heads = 1,
                              .head_dim_qk = 16,
                              .head_dim_vo = 16,
                              .max_pages = 1,
                              .rope = rope};
    assert_int_equal(mqa_cache_create(ctx, &shape, &cache, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "rope turns dims [1, 17) of heads of 16"));
    shape.rope = NULL;
    assert_int_equal(mqa_cache_create(ctx, &shape, &cache, &err), MQA_OK);
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = 1;
    options.rope = rope;
    assert_int_equal(mqa_plan_create(cache, &options, &plan, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "rope turns dims"));
    mqa_cache_destroy(&cache);
    mqa_rope_destroy(&rope);
    mqa_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fused_is_turned_before),
                                       cmocka_unit_test(refuses_what_does_not_fit)};
    return cmocka_run_group_tests_name("attention_rope", tests, NULL, NULL);
}
