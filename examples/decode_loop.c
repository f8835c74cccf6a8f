/* A decode loop over a paged cache: what an engine does for each token, with plan and run.
 *
 * The prompt goes in as one chunk, then each new token by itself. At the end a second sequence takes the same
 * tokens as one long prompt: the last token's answer has the same bits, since no answer depends on how tokens
 * were cut up.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "toy.h"

enum { LAYERS = 2, HEADS = 8, KV_HEADS = 1, DIM = 64, PROMPT = 300, STEPS = 40, TOKENS = PROMPT + STEPS };

/* n more tokens of a sequence through all layers; out gets the last layer's answers, [n][HEADS][DIM]. */
static void step(mqa_plan *plan, mqa_sequence *seq, int n, float *out)
{
    static float q[TOKENS * HEADS * DIM], k[TOKENS * KV_HEADS * DIM], v[TOKENS * KV_HEADS * DIM];
    const size_t q_row = HEADS * DIM, kv_row = KV_HEADS * DIM;
    const int64_t first = mqa_sequence_length(seq);
    const mqa_plan_item item = {.sequence = seq, .n_queries = n};

    /* Once for all layers: room in the cache, and the cut of the work. */
    must(mqa_sequence_extend(seq, n, &err));
    must(mqa_plan_batch(plan, &item, 1, &err));
    for (int layer = 0; layer < LAYERS; layer++) {
        for (int i = 0; i < n; i++) {
            project(3 * layer, first + i, HEADS * DIM, q + (size_t)i * q_row);
            project(3 * layer + 1, first + i, KV_HEADS * DIM, k + (size_t)i * kv_row);
            project(3 * layer + 2, first + i, KV_HEADS * DIM, v + (size_t)i * kv_row);
        }
        must(mqa_sequence_write(seq, layer, first, n, k, kv_row, DIM, v, kv_row, DIM, &err));
        const mqa_run run = {.struct_size = sizeof run,
                             .layer = layer,
                             .q = q,
                             .q_stride_token = q_row,
                             .q_stride_head = DIM,
                             .out = out,
                             .out_stride_token = q_row,
                             .out_stride_head = DIM};
        must(mqa_plan_run(plan, &run, &err));
        /* Here a model multiplies `out` by its output matrix and goes on to the next layer. */
    }
}

int main(void)
{
    const mqa_cache_config config = {
        .struct_size = sizeof config,
        .n_layers = LAYERS,
        .n_kv_heads = KV_HEADS,
        .head_dim_qk = DIM,
        .head_dim_vo = DIM,
        .k_type = MQA_KV_BF16,
        .v_type = MQA_KV_BF16,
        .max_pages = 2 * ((TOKENS + 63) / 64), /* two sequences */
    };
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = 0.125f;
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence *seq, *again;
    must(mqa_context_create(NULL, &ctx, &err));
    must(mqa_cache_create(ctx, &config, &cache, &err));
    must(mqa_plan_create(cache, &options, &plan, &err));
    must(mqa_sequence_create(cache, &seq, &err));
    must(mqa_sequence_create(cache, &again, &err));

    static float out[TOKENS * HEADS * DIM], all[TOKENS * HEADS * DIM];
    step(plan, seq, PROMPT, out);
    for (int i = 0; i < STEPS; i++) step(plan, seq, 1, out);
    printf("%d tokens in %zu bytes of cache, recipe %s\n", TOKENS, mqa_cache_bytes_in_use(cache),
           mqa_plan_recipe(plan));

    step(plan, again, TOKENS, all);
    const int same = memcmp(out, all + (size_t)(TOKENS - 1) * HEADS * DIM, sizeof(float) * HEADS * DIM) == 0;
    printf("as one prompt: %s\n", same ? "the same bits" : "other bits");

    mqa_sequence_destroy(&again);
    mqa_sequence_destroy(&seq);
    mqa_plan_destroy(&plan);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
    return !same;
}
