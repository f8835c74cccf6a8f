/* One long sequence over two processes: each holds the K and V of one half, computes partial states for the
 * same queries, and the states are merged. This is how one KV head is split over machines, and how states
 * cross to a GPU.
 *
 * A part begins at a multiple of MQA_SEQUENCE_UNIT, and each group of that many tokens gives one state.
 * Folded in order they give the bits of an undivided run.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toy.h"

enum {
    HEADS = 8,
    DIM = 64,
    ROW = HEADS * DIM,
    TOKENS = 3 * MQA_SEQUENCE_UNIT + 1000,
    CUT = 2 * MQA_SEQUENCE_UNIT
};
enum { MAX_GROUPS = TOKENS / MQA_SEQUENCE_UNIT + 1 };

/* States of one query's heads: [group][m of all heads, l, o]. */
typedef struct group {
    float m[HEADS], l[HEADS], o[ROW];
} group;

static void open_library(mqa_context **ctx, mqa_cache **cache, mqa_plan **plan)
{
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = 1,
                                     .head_dim_qk = DIM,
                                     .head_dim_vo = DIM,
                                     .k_type = MQA_KV_BF16,
                                     .v_type = MQA_KV_BF16,
                                     .max_pages = TOKENS / 64 + 1};
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = 0.125f;
    must(mqa_context_create(NULL, ctx, &err));
    must(mqa_cache_create(*ctx, &config, cache, &err));
    must(mqa_plan_create(*cache, &options, plan, &err));
}

/* Tokens [from, to) of the text, and the query of its last one: states by group, or the answer. */
static int attend(int64_t from, int64_t to, group *groups, float *out)
{
    static float q[ROW], m[MAX_GROUPS * HEADS], l[MAX_GROUPS * HEADS], o[MAX_GROUPS * ROW];
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence *seq;
    open_library(&ctx, &cache, &plan);
    must(mqa_sequence_create_at(cache, from, &seq, &err));
    must(mqa_sequence_extend(seq, to - from, &err));
    for (int64_t t = from; t < to; t++) {
        float k[DIM], v[DIM];
        project(1, t, DIM, k);
        project(2, t, DIM, v);
        must(mqa_sequence_write(seq, 0, t, 1, k, DIM, DIM, v, DIM, DIM, &err));
    }
    project(0, TOKENS - 1, ROW, q);
    const mqa_plan_item item = {.sequence = seq, .n_queries = 1, .q_ahead = TOKENS - to};
    const mqa_states states = {m, l, o};
    const mqa_run run = {.struct_size = sizeof run,
                         .q = q,
                         .q_stride_token = ROW,
                         .q_stride_head = DIM,
                         .out = out,
                         .out_stride_token = ROW,
                         .out_stride_head = DIM,
                         .states = groups ? &states : NULL};
    must(mqa_plan_batch(plan, &item, 1, &err));
    must(mqa_plan_run(plan, &run, &err));
    const int n = (int)mqa_plan_n_groups(plan);
    for (int g = 0; groups && g < n; g++) {
        memcpy(groups[g].m, m + (size_t)g * HEADS, sizeof groups[g].m);
        memcpy(groups[g].l, l + (size_t)g * HEADS, sizeof groups[g].l);
        memcpy(groups[g].o, o + (size_t)g * ROW, sizeof groups[g].o);
    }
    mqa_sequence_destroy(&seq);
    mqa_plan_destroy(&plan);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
    return n;
}

static mqa_states states_of(group *g)
{
    const mqa_states states = {g->m, g->l, g->o};
    return states;
}

int main(void)
{
    static group groups[MAX_GROUPS];
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) return perror("pipe"), 1;
    const pid_t child = fork();
    if (child < 0) return perror("fork"), 1;
    if (child == 0) { /* the later half */
        const int n = attend(CUT, TOKENS, groups, NULL);
        const size_t bytes = (size_t)n * sizeof *groups;
        return write(pipe_ends[1], groups, bytes) != (ssize_t)bytes;
    }
    close(pipe_ends[1]);
    const int first = attend(0, CUT, groups, NULL);
    size_t got = 0, wanted = (size_t)(MAX_GROUPS - first) * sizeof *groups;
    for (ssize_t n; got < wanted; got += (size_t)n) {
        n = read(pipe_ends[0], (char *)&groups[first] + got, wanted - got);
        if (n <= 0) break;
    }
    waitpid(child, NULL, 0);
    if (got != wanted) return fprintf(stderr, "the other process sent %zu of %zu bytes\n", got, wanted), 1;

    float merged[ROW], undivided[ROW];
    mqa_context *ctx;
    must(mqa_context_create(NULL, &ctx, &err));
    for (int g = 1; g < MAX_GROUPS; g++)
        must(mqa_merge_states(ctx, HEADS, DIM, states_of(&groups[0]), states_of(&groups[g]), &err));
    must(mqa_states_finish(ctx, HEADS, DIM, states_of(&groups[0]), NULL, merged, DIM, NULL, &err));
    mqa_context_destroy(&ctx);

    attend(0, TOKENS, NULL, undivided);
    const int same = memcmp(merged, undivided, sizeof merged) == 0;
    printf("%d tokens in two processes, %d states a head; undivided: %s\n", TOKENS, MAX_GROUPS,
           same ? "the same bits" : "other bits");
    return !same;
}
