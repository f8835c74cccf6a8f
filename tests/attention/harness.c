/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/plan.h"
#include "harness.h"
#include "kvcache/cache.h"

uint64_t random_bits(uint64_t *rng)
{
    uint64_t z = (*rng += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t random_between(uint64_t *rng, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(random_bits(rng) % (uint64_t)(hi - lo + 1));
}

float gaussian(uint64_t *rng)
{
    const double u = ((double)(random_bits(rng) >> 11) + 0.5) * 0x1p-53;
    const double v = (double)(random_bits(rng) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static float *floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    return x;
}

static float *gaussians(uint64_t *rng, int64_t n)
{
    float *x = floats(n);
    for (int64_t i = 0; i < n; i++) x[i] = gaussian(rng);
    return x;
}

problem make_problem(const problem_shape *s, uint64_t *rng)
{
    problem p = {.shape = *s, .sm_scale = 1.0f / sqrtf((float)s->d)};
    for (int i = 0; i < s->n_sequences; i++) {
        p.k[i] = gaussians(rng, s->n[i] * s->n_kv_heads * s->d);
        p.v[i] = gaussians(rng, s->n[i] * s->n_kv_heads * s->d_v);
        p.q[i] = gaussians(rng, s->n_queries[i] * s->n_heads * s->d);
    }
    return p;
}

void free_problem(problem *p)
{
    for (int i = 0; i < p->shape.n_sequences; i++) free(p->k[i]), free(p->v[i]), free(p->q[i]);
}

void free_answer(const problem *p, answer *a)
{
    for (int i = 0; i < p->shape.n_sequences; i++) free(a->out[i]), free(a->lse[i]);
}

problem stored_problem(const problem *p)
{
    const problem_shape *s = &p->shape;
    problem out = *p;
    unsigned char *run = aligned_alloc(64, mqa_k_run_bytes(MQA_KV_F32, 1024));
    for (int i = 0; i < s->n_sequences; i++) {
        out.k[i] = floats(s->n[i] * s->n_kv_heads * s->d);
        out.v[i] = floats(s->n[i] * s->n_kv_heads * s->d_v);
        out.q[i] = floats(s->n_queries[i] * s->n_heads * s->d);
        memcpy(out.q[i], p->q[i], (size_t)(s->n_queries[i] * s->n_heads * s->d) * sizeof(float));
        for (int64_t t = 0; t < s->n[i] * s->n_kv_heads; t++) {
            assert_true(mqa_pack_k(s->k_type, run, s->d, 5, p->k[i] + t * s->d));
            mqa_unpack_k(s->k_type, run, s->d, 5, out.k[i] + t * s->d);
            assert_true(mqa_pack_v(s->v_type, run, s->d_v, 5, p->v[i] + t * s->d_v));
            mqa_unpack_v(s->v_type, run, s->d_v, 5, out.v[i] + t * s->d_v);
        }
    }
    free(run);
    return out;
}

/* ---- solving -------------------------------------------------------------------------------------- */

enum { LAYERS = 2, LAYER = 1 };

typedef struct solver {
    const problem *p;
    const route *way;
    answer *a;
    mqa_context *ctx;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence *seq[MAX_SEQUENCES];
    mqa_sequence *other[MAX_SEQUENCES]; /* forked: who shares the last page */
} solver;

/* Tokens that sequence i has. */
static int64_t n_tokens(const solver *s, int i)
{
    return mqa_sequence_length(s->seq[i]) - s->way->first_position;
}

/* Sequences of others come and go in turns, so that freed pages are in disorder; they leave NaN behind. */
static void recycle(solver *s)
{
    mqa_sequence *a, *b;
    assert_int_equal(mqa_sequence_create(s->cache, &a, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create(s->cache, &b, NULL), MQA_OK);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(mqa_sequence_extend(i % 3 ? a : b, 90, NULL), MQA_OK);
        if (i == 5) assert_int_equal(mqa_sequence_truncate(a, mqa_sequence_length(a) - 70, NULL), MQA_OK);
    }
    mqa_sequence_destroy(&b);
    mqa_sequence_destroy(&a);
    for (int64_t i = 0; i < s->cache->arena.n_free; i++)
        for (int layer = 0; layer < LAYERS; layer++)
            memset(mqa_arena_slice(&s->cache->arena, layer, s->cache->arena.free[i]), 0xff,
                   s->cache->layout.slice_bytes);
}

/* Fills the last page with tokens that are none of ours, and goes on with a fork that ends before them. */
static void fork_in_the_page(solver *s, int i)
{
    const problem_shape *shape = &s->p->shape;
    const int64_t length = mqa_sequence_length(s->seq[i]), page = s->cache->layout.page_tokens;
    const int64_t end = (length / page + 1) * page;
    float x[1024];
    for (int j = 0; j < 1024; j++) x[j] = 1000.0f + (float)j;
    mqa_sequence_destroy(&s->other[i]);
    s->other[i] = s->seq[i];
    assert_int_equal(mqa_sequence_extend(s->other[i], end - length, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_write(s->other[i], LAYER, length, end - length, x, 0, (size_t)shape->d, x,
                                        0, (size_t)shape->d_v, NULL),
                     MQA_OK);
    assert_int_equal(mqa_sequence_fork(s->other[i], end, &s->seq[i], NULL), MQA_OK);
    assert_int_equal(mqa_sequence_truncate(s->seq[i], length, NULL), MQA_OK);
}

/* Appends the next chunk of sequence i; returns how many of its tokens ask. */
static int64_t append(solver *s, int i)
{
    const problem_shape *shape = &s->p->shape;
    const int64_t at = n_tokens(s, i);
    int64_t n = shape->n[i] - at;
    if (n > s->way->chunk) n = s->way->chunk;
    if (n == 0) return 0;
    if (s->way->forked && shape->window > 0) fork_in_the_page(s, i); /* drops what is behind the next token */
    const size_t k_row = (size_t)(shape->n_kv_heads * shape->d),
                 v_row = (size_t)(shape->n_kv_heads * shape->d_v);
    assert_int_equal(mqa_sequence_extend(s->seq[i], n, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_write(s->seq[i], LAYER, s->way->first_position + at, n,
                                        s->p->k[i] + (size_t)at * k_row, k_row, (size_t)shape->d,
                                        s->p->v[i] + (size_t)at * v_row, v_row, (size_t)shape->d_v, NULL),
                     MQA_OK);
    if (s->way->forked && shape->window == 0) fork_in_the_page(s, i);
    const int64_t asking = at + n - (shape->n[i] - shape->n_queries[i]);
    return asking < 0 ? 0 : asking < n ? asking : n;
}

/* Runs a batch; q and out go through arrays with gaps, which must stay as they were. */
static void run(solver *s, const int *which, const int64_t *n_queries, int n_items)
{
    const problem_shape *shape = &s->p->shape;
    const size_t q_head = (size_t)shape->d + 3, q_token = q_head * (size_t)shape->n_heads + 5;
    const size_t o_head = (size_t)shape->d_v + 1, o_token = o_head * (size_t)shape->n_heads + 2;
    mqa_plan_item items[MAX_SEQUENCES];
    int64_t rows = 0;
    for (int j = 0; j < n_items; j++) {
        items[j] = (mqa_plan_item){s->seq[which[j]], n_queries[j]};
        rows += n_queries[j];
    }
    float *q = floats(rows * (int64_t)q_token), *out = floats(rows * (int64_t)o_token);
    float *lse = floats(rows * shape->n_heads);
    memset(q, 0xff, (size_t)rows * q_token * sizeof *q);
    for (size_t i = 0; i < (size_t)rows * o_token; i++) out[i] = 12345.0f;

    int64_t row = 0;
    for (int j = 0; j < n_items; j++)
        for (int64_t t = 0; t < n_queries[j]; t++, row++)
            for (int h = 0; h < shape->n_heads; h++) {
                const int64_t token = n_tokens(s, which[j]) - n_queries[j] + t -
                                      (shape->n[which[j]] - shape->n_queries[which[j]]);
                memcpy(q + (size_t)row * q_token + (size_t)h * q_head,
                       s->p->q[which[j]] + (token * shape->n_heads + h) * shape->d,
                       (size_t)shape->d * sizeof *q);
            }
    assert_int_equal(mqa_plan_batch(s->plan, items, n_items, NULL), MQA_OK);
    /* Twice: a plan is used for every layer, and stays valid where pages move. */
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(mqa_plan_run(s->plan, LAYER, q, q_token, q_head, out, o_token, o_head, lse, NULL),
                         MQA_OK);
        if (s->way->forked) mqa_cache_defragment(s->cache, NULL);
    }
    row = 0;
    for (int j = 0; j < n_items; j++)
        for (int64_t t = 0; t < n_queries[j]; t++, row++) {
            const int i = which[j];
            const int64_t token = n_tokens(s, i) - n_queries[j] + t - (shape->n[i] - shape->n_queries[i]);
            for (int h = 0; h < shape->n_heads; h++) {
                const float *o = out + (size_t)row * o_token + (size_t)h * o_head;
                memcpy(s->a->out[i] + (token * shape->n_heads + h) * shape->d_v, o,
                       (size_t)shape->d_v * sizeof *o);
                assert_true(o[shape->d_v] == 12345.0f);
                s->a->lse[i][token * shape->n_heads + h] = lse[row * shape->n_heads + h];
            }
        }
    free(q), free(out), free(lse);
}

static void solve_together(solver *s)
{
    for (int more = 1; more;) {
        int which[MAX_SEQUENCES], n_items = 0;
        int64_t n_queries[MAX_SEQUENCES];
        more = 0;
        for (int i = 0; i < s->p->shape.n_sequences; i++) {
            const int64_t asking = append(s, i);
            more |= n_tokens(s, i) < s->p->shape.n[i];
            if (asking == 0) continue;
            which[n_items] = i;
            n_queries[n_items++] = asking;
        }
        if (n_items) run(s, which, n_queries, n_items);
    }
}

static void solve_alone(solver *s)
{
    for (int i = 0; i < s->p->shape.n_sequences; i++)
        while (n_tokens(s, i) < s->p->shape.n[i]) {
            const int64_t asking = append(s, i);
            if (asking) run(s, &i, &asking, 1);
        }
}

answer solve(const problem *p, const route *way)
{
    const problem_shape *shape = &p->shape;
    answer a;
    solver s = {.p = p, .way = way, .a = &a};
    mqa_context_options options = mqa_context_options_default();
    options.isa = way->isa;
    options.numerics = way->numerics;
    options.n_threads = way->threads;
    assert_int_equal(mqa_context_create(&options, &s.ctx, NULL), MQA_OK);
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = LAYERS,
                                     .n_kv_heads = shape->n_kv_heads,
                                     .head_dim_qk = shape->d,
                                     .head_dim_vo = shape->d_v,
                                     .k_type = shape->k_type,
                                     .v_type = shape->v_type,
                                     .window = shape->window,
                                     .max_pages = 1000,
                                     .page_tokens = way->page_tokens};
    assert_int_equal(mqa_cache_create(s.ctx, &config, &s.cache, NULL), MQA_OK);
    const mqa_plan_options plan_options = {sizeof plan_options, shape->n_heads, p->sm_scale};
    assert_int_equal(mqa_plan_create(s.cache, &plan_options, &s.plan, NULL), MQA_OK);
    if (way->block_rows) s.plan->block_rows = way->block_rows;
    if (way->tasks_per_thread) s.plan->tasks_per_thread = way->tasks_per_thread;
    if (way->cut_all) s.plan->least_cost = 0;
    if (way->recycled) recycle(&s);
    for (int i = 0; i < shape->n_sequences; i++) {
        a.out[i] = floats(shape->n_queries[i] * shape->n_heads * shape->d_v);
        a.lse[i] = floats(shape->n_queries[i] * shape->n_heads);
        assert_int_equal(mqa_sequence_create_at(s.cache, way->first_position, &s.seq[i], NULL), MQA_OK);
    }
    if (way->together)
        solve_together(&s);
    else
        solve_alone(&s);
    for (int i = 0; i < shape->n_sequences; i++) {
        mqa_sequence_destroy(&s.seq[i]);
        mqa_sequence_destroy(&s.other[i]);
    }
    mqa_plan_destroy(&s.plan);
    mqa_cache_destroy(&s.cache);
    mqa_context_destroy(&s.ctx);
    return a;
}
