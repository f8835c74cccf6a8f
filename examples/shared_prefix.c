/* One prefix, many requests: 64 sequences fork from a long common text, share its pages, and are answered in
 * one run that reads the text once for all of them (a cascade). Nothing is said to the plan: it finds what
 * block tables have in common. Each answer has the bits that it has alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "toy.h"

enum { HEADS = 8, DIM = 64, ROW = HEADS * DIM, REQUESTS = 64, PREFIX = 4096, OWN = 30 };

/* Appends n tokens of a text and writes their K and V. */
static void append(mqa_sequence *seq, int text, int n)
{
    static float k[PREFIX * DIM], v[PREFIX * DIM];
    const int64_t at = mqa_sequence_length(seq);
    for (int i = 0; i < n; i++) {
        project(3 * text, at + i, DIM, k + (size_t)i * DIM);
        project(3 * text + 1, at + i, DIM, v + (size_t)i * DIM);
    }
    must(mqa_sequence_extend(seq, n, &err));
    must(mqa_sequence_write(seq, 0, at, n, k, DIM, DIM, v, DIM, DIM, &err));
}

/* The last token of each sequence asks. */
static void answer(mqa_plan *plan, const mqa_plan_item *items, int n, const float *q, float *out)
{
    const mqa_run run = {.struct_size = sizeof run,
                         .q = q,
                         .q_stride_token = ROW,
                         .q_stride_head = DIM,
                         .out = out,
                         .out_stride_token = ROW,
                         .out_stride_head = DIM};
    must(mqa_plan_batch(plan, items, n, &err));
    must(mqa_plan_run(plan, &run, &err));
}

int main(void)
{
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = 1,
                                     .head_dim_qk = DIM,
                                     .head_dim_vo = DIM,
                                     .k_type = MQA_KV_BF16,
                                     .v_type = MQA_KV_BF16,
                                     .max_pages = PREFIX / 64 + REQUESTS};
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = 0.125f;
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence *prefix, *seq[REQUESTS];
    must(mqa_context_create(NULL, &ctx, &err));
    must(mqa_cache_create(ctx, &config, &cache, &err));
    must(mqa_plan_create(cache, &options, &plan, &err));

    must(mqa_sequence_create(cache, &prefix, &err));
    append(prefix, 0, PREFIX);
    static float q[REQUESTS * ROW], together[REQUESTS * ROW], alone[ROW];
    mqa_plan_item items[REQUESTS];
    memset(items, 0, sizeof items);
    for (int i = 0; i < REQUESTS; i++) {
        must(mqa_sequence_fork(prefix, PREFIX, &seq[i], &err));
        append(seq[i], 1 + i, OWN);
        project(2, i, ROW, q + (size_t)i * ROW);
        items[i].sequence = seq[i];
        items[i].n_queries = 1;
    }
    answer(plan, items, REQUESTS, q, together);

    int same = 1;
    for (int i = 0; i < REQUESTS; i++) {
        answer(plan, &items[i], 1, q + (size_t)i * ROW, alone);
        same &= memcmp(alone, together + (size_t)i * ROW, sizeof alone) == 0;
    }
    size_t apart = 0;
    for (int i = 0; i < REQUESTS; i++) apart += mqa_sequence_bytes(seq[i]);
    printf("%d requests in %zu KiB of cache, %zu KiB if nothing were shared; alone: %s\n", REQUESTS,
           mqa_cache_bytes_in_use(cache) / 1024, apart / 1024, same ? "the same bits" : "other bits");

    for (int i = 0; i < REQUESTS; i++) mqa_sequence_destroy(&seq[i]);
    mqa_sequence_destroy(&prefix);
    mqa_plan_destroy(&plan);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
    return !same;
}
