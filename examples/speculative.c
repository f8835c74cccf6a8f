/* Speculative decoding: several drafted tokens are verified in one run, and those that are refused are
 * undone.
 *
 * A draft goes into the cache like any tokens. One run with n_queries = DRAFT answers all of them, and each
 * answer has the bits that decoding one by one would give: so what is accepted never depends on the draft.
 * Refused tokens leave by mqa_sequence_truncate.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "toy.h"

enum { HEADS = 8, DIM = 64, ROW = HEADS * DIM, PROMPT = 500, DRAFT = 6, LENGTH = PROMPT + 40 };

/* Appends n tokens and answers each of them: out[n][HEADS][DIM]. */
static void append(mqa_plan *plan, mqa_sequence *seq, const int *tokens, int n, float *out)
{
    static float q[LENGTH * ROW], k[LENGTH * DIM], v[LENGTH * DIM];
    const int64_t at = mqa_sequence_length(seq);
    for (int i = 0; i < n; i++) {
        project(0, tokens[i], ROW, q + (size_t)i * ROW);
        project(1, tokens[i], DIM, k + (size_t)i * DIM);
        project(2, tokens[i], DIM, v + (size_t)i * DIM);
    }
    must(mqa_sequence_extend(seq, n, &err));
    must(mqa_sequence_write(seq, 0, at, n, k, DIM, DIM, v, DIM, DIM, &err));
    const mqa_plan_item item = {.sequence = seq, .n_queries = n};
    must(mqa_plan_batch(plan, &item, 1, &err));
    const mqa_run run = {.struct_size = sizeof run,
                         .q = q,
                         .q_stride_token = ROW,
                         .q_stride_head = DIM,
                         .out = out,
                         .out_stride_token = ROW,
                         .out_stride_head = DIM};
    must(mqa_plan_run(plan, &run, &err));
}

/* Stands for the model's head and sampler: the next token, from the bits of the answer. */
static int next_token(const float *out)
{
    uint32_t bits, hash = 0;
    for (int i = 0; i < ROW; i++) {
        memcpy(&bits, &out[i], sizeof bits);
        hash = hash * 31 + bits;
    }
    return (int)(hash % 100);
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
                                     .max_pages = 2 * (LENGTH / 64 + 2)};
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = 0.125f;
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence *slow, *fast;
    must(mqa_context_create(NULL, &ctx, &err));
    must(mqa_cache_create(ctx, &config, &cache, &err));
    must(mqa_plan_create(cache, &options, &plan, &err));
    must(mqa_sequence_create(cache, &slow, &err));
    must(mqa_sequence_create(cache, &fast, &err));

    static float out[LENGTH * ROW];
    int prompt[PROMPT], text[LENGTH];
    for (int i = 0; i < PROMPT; i++) prompt[i] = i % 100;

    /* One by one, for comparison. */
    int n = 0;
    append(plan, slow, prompt, PROMPT, out);
    text[n++] = next_token(out + (PROMPT - 1) * ROW);
    for (; n < LENGTH - PROMPT; n++) {
        append(plan, slow, &text[n - 1], 1, out);
        text[n] = next_token(out);
    }

    /* The same text by drafts, of which the second half of each is wrong. */
    int done = 0, runs = 0, wrong = 0, next;
    append(plan, fast, prompt, PROMPT, out);
    next = next_token(out + (PROMPT - 1) * ROW);
    while (done + DRAFT < n) {
        int draft[DRAFT], accepted = 1; /* draft[0] is certain, the rest are guesses */
        draft[0] = next;
        for (int i = 1; i < DRAFT; i++) draft[i] = i <= DRAFT / 2 ? text[done + i] : 101;
        append(plan, fast, draft, DRAFT, out);
        runs++;
        while (accepted < DRAFT && next_token(out + (accepted - 1) * ROW) == draft[accepted]) accepted++;
        next = next_token(out + (accepted - 1) * ROW);
        must(mqa_sequence_truncate(fast, PROMPT + done + accepted, &err));
        for (int i = 0; i < accepted; i++) wrong += draft[i] != text[done + i];
        done += accepted;
        wrong += next != text[done];
    }
    printf("%d tokens in %d runs, %d unlike those decoded one by one\n", done, runs, wrong);

    mqa_sequence_destroy(&fast);
    mqa_sequence_destroy(&slow);
    mqa_plan_destroy(&plan);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
    return wrong != 0;
}
