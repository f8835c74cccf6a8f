/* The caller's allocator refuses, at each place in turn: a clean status, nothing lost, and whoever asks again
 * gets what he would have got.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mqa/attention.h"

enum { HEADS = 6, KV_HEADS = 2, D = 16, PREFIX = 600, OWN = 40, QUERIES = 5, MOST_BLOCKS = 64 };

/* ---- the allocator ------------------------------------------------------------------------------- */

typedef struct block {
    void *ptr;
    size_t size;
} block;

typedef struct purse {
    block blocks[MOST_BLOCKS];
    int n_blocks;
    int fail_at, calls; /* the call that is refused; 0: none */
} purse;

static void *purse_alloc(void *user, size_t size, size_t alignment)
{
    purse *p = user;
    void *ptr = NULL;
    if (++p->calls == p->fail_at) return NULL;
    assert_true(p->n_blocks < MOST_BLOCKS);
    assert_int_equal(posix_memalign(&ptr, alignment, size), 0);
    p->blocks[p->n_blocks++] = (block){ptr, size};
    return memset(ptr, 0xff, size);
}

static void purse_free(void *user, void *ptr, size_t size)
{
    purse *p = user;
    int i = 0;
    while (i < p->n_blocks && p->blocks[i].ptr != ptr) i++;
    assert_true(i < p->n_blocks && p->blocks[i].size == size);
    p->blocks[i] = p->blocks[--p->n_blocks];
    free(ptr);
}

/* ---- a scene: two sequences with a common prefix, plain and by states ----------------------------- */

typedef struct scene {
    purse purse;
    mqa_context *ctx;
    mqa_rope *rope;
    mqa_cache *cache;
    mqa_sequence *seq, *fork;
    mqa_plan *plan;
    float kv[(PREFIX + OWN) * KV_HEADS * D], q[2 * QUERIES * HEADS * D];
    float out[2 * QUERIES * HEADS * D], merged[2 * QUERIES * HEADS * D], simple[QUERIES * HEADS * D];
    float m[2 * QUERIES * HEADS], l[2 * QUERIES * HEADS], o[2 * QUERIES * HEADS * D];
    mqa_error err;
} scene;

static mqa_status make_context(scene *s)
{
    const mqa_allocator allocator = {purse_alloc, purse_free, &s->purse};
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 2;
    options.isa = MQA_ISA_REFERENCE;
    options.allocator = &allocator;
    return mqa_context_create(&options, &s->ctx, &s->err);
}

static mqa_status make_rope(scene *s)
{
    mqa_rope_config config = mqa_rope_config_default();
    config.n_dims = D;
    return mqa_rope_create(s->ctx, &config, &s->rope, &s->err);
}

static mqa_status make_cache(scene *s)
{
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = KV_HEADS,
                                     .head_dim_qk = D,
                                     .head_dim_vo = D,
                                     .max_pages = 40,
                                     .rope = s->rope};
    return mqa_cache_create(s->ctx, &config, &s->cache, &s->err);
}

static mqa_status make_sequence(scene *s)
{
    return mqa_sequence_create(s->cache, &s->seq, &s->err);
}

static mqa_status extend(scene *s)
{
    return mqa_sequence_extend(s->seq, PREFIX, &s->err);
}

static mqa_status write_tokens(scene *s, mqa_sequence *seq, int64_t at, int64_t n)
{
    const float *x = s->kv + at * KV_HEADS * D;
    return mqa_sequence_write(seq, 0, at, n, x, KV_HEADS * D, D, x, KV_HEADS * D, D, &s->err);
}

static mqa_status write_prefix(scene *s)
{
    return write_tokens(s, s->seq, 0, PREFIX);
}

static mqa_status make_fork(scene *s)
{
    return mqa_sequence_fork(s->seq, PREFIX, &s->fork, &s->err);
}

static mqa_status extend_fork(scene *s)
{
    return mqa_sequence_extend(s->fork, OWN, &s->err);
}

static mqa_status write_fork(scene *s)
{
    return write_tokens(s, s->fork, PREFIX, OWN);
}

static mqa_status make_plan(scene *s)
{
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = HEADS;
    options.sm_scale = 0.25f;
    options.rope = s->rope;
    return mqa_plan_create(s->cache, &options, &s->plan, &s->err);
}

static mqa_status plan_batch(scene *s)
{
    const mqa_plan_item items[] = {{.sequence = s->seq, .n_queries = QUERIES},
                                   {.sequence = s->fork, .n_queries = QUERIES}};
    return mqa_plan_batch(s->plan, items, 2, &s->err);
}

static mqa_status run(scene *s)
{
    const mqa_run run = {.struct_size = sizeof run,
                         .q = s->q,
                         .q_stride_token = HEADS * D,
                         .q_stride_head = D,
                         .out = s->out,
                         .out_stride_token = HEADS * D,
                         .out_stride_head = D};
    return mqa_plan_run(s->plan, &run, &s->err);
}

static mqa_status run_states(scene *s)
{
    const mqa_states states = {s->m, s->l, s->o};
    const mqa_run run = {.struct_size = sizeof run,
                         .q = s->q,
                         .q_stride_token = HEADS * D,
                         .q_stride_head = D,
                         .states = &states};
    const mqa_status status = mqa_plan_run(s->plan, &run, &s->err);
    return status
               ? status
               : mqa_states_finish(s->ctx, 2 * QUERIES * HEADS, D, states, NULL, s->merged, D, NULL, &s->err);
}

static mqa_status one_call(scene *s)
{
    return mqa_attention(s->ctx, HEADS, KV_HEADS, D, QUERIES, PREFIX, s->q, s->kv, s->kv, 0.25f, s->simple,
                         &s->err);
}

static mqa_status (*const steps[])(scene *) = {make_context, make_rope, make_cache,  make_sequence, extend,
                                               write_prefix, make_fork, extend_fork, write_fork,    make_plan,
                                               plan_batch,   run,       run_states,  one_call};

static void end_scene(scene *s)
{
    mqa_plan_destroy(&s->plan);
    mqa_sequence_destroy(&s->fork);
    mqa_sequence_destroy(&s->seq);
    if (s->cache) assert_int_equal(mqa_cache_bytes_in_use(s->cache), 0);
    mqa_cache_destroy(&s->cache);
    mqa_rope_destroy(&s->rope);
    mqa_context_destroy(&s->ctx);
    assert_int_equal(s->purse.n_blocks, 0);
}

/* Whether the n-th allocation was needed. again: what was refused is asked once more; else that is the end.
 */
static bool play(scene *s, int fail_at, bool again)
{
    *s = (scene){.purse = {.fail_at = fail_at}};
    for (size_t i = 0; i < sizeof s->kv / sizeof *s->kv; i++) s->kv[i] = (float)(i * 37 % 101) / 50 - 1;
    for (size_t i = 0; i < sizeof s->q / sizeof *s->q; i++) s->q[i] = (float)(i * 29 % 97) / 48 - 1;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const int before = s->purse.calls;
        const mqa_status status = steps[i](s);
        const bool refused = fail_at > before && fail_at <= s->purse.calls;
        assert_int_equal(status, refused ? MQA_ERR_OUT_OF_MEMORY : MQA_OK);
        if (!refused) continue;
        assert_int_equal(s->err.status, status);
        assert_true(s->err.message[0] != '\0');
        if (!again) break;
        assert_int_equal(steps[i](s), MQA_OK);
    }
    end_scene(s);
    return s->purse.calls >= fail_at;
}

static void each_allocation_fails(void **state)
{
    (void)state;
    static scene whole, s;
    play(&whole, 0, false);
    assert_memory_equal(whole.out, whole.merged, sizeof whole.out);
    assert_true(whole.purse.calls > 20);
    for (int n = 1; n <= whole.purse.calls; n++) {
        assert_true(play(&s, n, false));
        assert_true(play(&s, n, true));
        assert_memory_equal(s.out, whole.out, sizeof s.out);
        assert_memory_equal(s.merged, whole.merged, sizeof s.merged);
        assert_memory_equal(s.simple, whole.simple, sizeof s.simple);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails)};
    return cmocka_run_group_tests_name("attention_allocations_fail", tests, NULL, NULL);
}
