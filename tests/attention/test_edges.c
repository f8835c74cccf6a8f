/* What is defined where arithmetic ends, and what is refused: scores beyond f32, far positions, hostile
 * masks, states and workspaces.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "harness.h"

/* ---- scores beyond f32 ------------------------------------------------------------------------------------
 */

enum { TOKENS = 1100, QUERIES = 3, HEADS = 2, D = 16 };

static const problem_shape small = {.n_heads = HEADS,
                                    .n_kv_heads = 1,
                                    .d = D,
                                    .d_v = D,
                                    .n_sequences = 1,
                                    .of = {{.n = TOKENS, .n_queries = QUERIES}}};

static problem small_problem(mqa_kv_type type)
{
    uint64_t rng = 3;
    problem_shape s = small;
    s.k_type = s.v_type = type;
    return make_problem(&s, &rng);
}

static float *row_of_q(problem *p, int query, int head)
{
    return p->q[0] + (query * HEADS + head) * D;
}

static bool is_the_nan(float x)
{
    return mqa_f32_bits(x) == 0x7fc00000;
}

static bool row_is_nan(const answer *a, int query, int head)
{
    const int row = query * HEADS + head;
    for (int c = 0; c < D; c++)
        if (!is_the_nan(a->out[0][row * D + c])) return false;
    return is_the_nan(a->lse[0][row]);
}

static bool same_row(const answer *a, const answer *b, int query, int head)
{
    const int row = query * HEADS + head;
    return memcmp(a->out[0] + row * D, b->out[0] + row * D, D * sizeof(float)) == 0 &&
           mqa_f32_bits(a->lse[0][row]) == mqa_f32_bits(b->lse[0][row]);
}

typedef void check_fn(mqa_kv_type type, const route *way);

static void on_all(check_fn *check)
{
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++)
        for (int numerics = 0; numerics < 2 && mqa_isa_available((mqa_isa)isa); numerics++)
            for (int results = 0; results < RESULTS_KINDS; results++)
                for (int type = 0; type < MQA_KV_TYPES; type++) {
                    if (!format_holds((mqa_kv_type)type, 3e20f)) continue;
                    const route way = {.isa = (mqa_isa)isa,
                                       .numerics = (mqa_numerics)numerics,
                                       .threads = 2,
                                       .cut_all = results != RESULTS_PLAIN,
                                       .chunk = 100000,
                                       .results = (results_kind)results};
                    check((mqa_kv_type)type, &way);
                }
}

/* Token 600 and one row meet in products of 1e40, those of odd dims with another sign. */
static void make_overflow(problem *p, float odd)
{
    float *q = row_of_q(p, 1, 1), *k = p->k[0] + 600 * D;
    for (int c = 0; c < D; c++) {
        q[c] = 1e20f;
        k[c] = c % 2 ? odd * 3e20f : 3e20f;
    }
}

static void check_overflow(mqa_kv_type type, const route *way)
{
    problem p = small_problem(type);
    answer plain = solve(&p, way);
    make_overflow(&p, 1); /* the score is +inf */
    answer a = solve(&p, way);
    assert_true(row_is_nan(&a, 1, 1));
    assert_true(same_row(&a, &plain, 1, 0) == 0); /* the token is another, after all */
    for (int r = 0; r < QUERIES * HEADS; r++) assert_true(r == 3 || isfinite(a.out[0][r * D]));
    free_answer(&p, &a);

    make_overflow(&p, -1); /* by the recipe: 0, +inf, or inf - inf; the others are what they were */
    a = solve(&p, way);
    for (int r = 0; r < QUERIES * HEADS; r++)
        assert_true(isfinite(a.out[0][r * D]) || (r == 3 && row_is_nan(&a, 1, 1)));
    free_answer(&p, &a);

    make_overflow(&p, 1);
    p.sm_scale = -p.sm_scale; /* -inf: as though the token weren't there, in a span that has others */
    a = solve(&p, way);
    assert_true(isfinite(a.out[0][3 * D]) && isfinite(a.lse[0][3]));
    free_answer(&p, &a);
    free_answer(&p, &plain), free_problem(&p);
}

static void overflowing_scores(void **state)
{
    (void)state;
    on_all(check_overflow);
}

/* The same token, where the row doesn't see it, changes no bit. */
static void check_unseen(mqa_kv_type type, const route *way)
{
    uint64_t rng = 3;
    problem_shape s = small;
    s.k_type = s.v_type = type;
    s.plan_window = 400;
    problem p = make_problem(&s, &rng);
    for (int c = 0; c < D; c++) row_of_q(&p, 1, 1)[c] = 1e20f;
    answer plain = solve(&p, way);
    assert_false(row_is_nan(&plain, 1, 1));
    make_overflow(&p, 1);
    answer a = solve(&p, way);
    for (int r = 0; r < QUERIES * HEADS; r++) assert_true(same_row(&a, &plain, r / HEADS, r % HEADS));
    free_answer(&p, &a), free_answer(&p, &plain), free_problem(&p);
}

static void unseen_overflow(void **state)
{
    (void)state;
    on_all(check_unseen);
}

/* A bias that overflows downward makes far tokens unseen, and upward no number; all of them unseen is a row
 * that sees nothing. */
static void overflowing_biases(void **state)
{
    (void)state;
    uint64_t rng = 3;
    problem_shape s = small;
    s.slopes = SLOPES_USUAL;
    s.of[0].n_queries = 1;
    problem p = make_problem(&s, &rng);
    const route way = {.threads = 1, .chunk = 100000};
    p.slopes[0] = 3e38f; /* only the query's own token is left */
    p.slopes[1] = -3e38f;
    answer a = solve(&p, &way);
    assert_memory_equal(a.out[0], p.v[0] + (TOKENS - 1) * D, D * sizeof(float));
    assert_true(row_is_nan(&a, 0, 1));
    free_answer(&p, &a);
    p.shape.of[0].q_ahead = 2; /* not even that */
    a = solve(&p, &way);
    for (int c = 0; c < D; c++) assert_true(mqa_f32_bits(a.out[0][c]) == 0);
    assert_true(a.lse[0][0] == -INFINITY);
    free_answer(&p, &a), free_problem(&p);
}

/* A cap makes an infinite score finite again. NaN, which AMX's two sums can give, stays NaN. */
static void capped_overflow(void **state)
{
    (void)state;
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++)
        for (int nan = 0; nan < 2 && mqa_isa_available((mqa_isa)isa); nan++) {
            const bool amx = isa == MQA_ISA_AMX || isa == MQA_ISA_AMX_C;
            if (nan && !amx) continue;
            const route way = {.isa = (mqa_isa)isa, .threads = 1, .chunk = 100000};
            problem p = small_problem(nan ? MQA_KV_BF16 : MQA_KV_F32);
            p.shape.softcap = 30;
            make_overflow(&p, nan ? -1 : 1);
            answer a = solve(&p, &way);
            assert_true(nan ? row_is_nan(&a, 1, 1) : isfinite(a.out[0][3 * D]) && isfinite(a.lse[0][3]));
            free_answer(&p, &a), free_problem(&p);
        }
}

/* ---- one sequence that is all of another's beginning ---- */

/* The shared unit is all that the shorter one has, and not all that the longer one has. */
static void whole_prefix(void **state)
{
    (void)state;
    problem_shape s = small;
    s.n_sequences = 2;
    s.of[0] = (sequence_shape){.n = 512, .n_queries = 1};
    s.of[1] = (sequence_shape){.n = 600, .n_queries = 1, .shared = 512};
    uint64_t rng = 7;
    problem p = make_problem(&s, &rng);
    answer alone = solve(&p, &(route){.threads = 1, .chunk = 100000});
    for (int reversed = 0; reversed < 2; reversed++) {
        const route way = {
            .threads = 2, .chunk = 100000, .together = 1, .share = 1, .cut_all = 1, .reversed = reversed};
        answer a = solve(&p, &way);
        row_id row;
        assert_true(same_bits(&p, &alone, &a, &row));
        free_answer(&p, &a);
    }
    free_answer(&p, &alone), free_problem(&p);
}

/* ---- trees ---- */

/* A tree without branches is a causal mask, to the bit. Of one with them, the rows on a path give what the
 * path gives alone, nearly: their tokens lie elsewhere. */
static void tree_of_drafts(void **state)
{
    (void)state;
    enum { N = 700, DRAFTS = 7 };
    static const int parent[DRAFTS] = {-1, 0, 0, 1, 2, 2, 5}, path[] = {0, 2, 5, 6};
    problem_shape s = small;
    s.of[0] = (sequence_shape){.n = N, .n_queries = DRAFTS};
    uint64_t rng = 5;
    problem p = make_problem(&s, &rng);
    const route way = {.threads = 2, .chunk = 100000, .cut_all = 1};
    answer linear = solve(&p, &way);
    p.bits[0] = calloc(DRAFTS, 1);
    p.bits_stride[0] = 1;
    p.bits_first[0] = N - DRAFTS;
    for (int i = 0; i < DRAFTS; i++) p.bits[0][i] = (uint8_t)((2 << i) - 1);
    answer chain = solve(&p, &way);
    row_id row;
    assert_true(same_bits(&p, &linear, &chain, &row));
    for (int i = 0; i < DRAFTS; i++)
        p.bits[0][i] = (uint8_t)(1 << i | (parent[i] < 0 ? 0 : p.bits[0][parent[i]]));
    answer tree = solve(&p, &way);

    problem alone = p; /* the path as a text */
    alone.bits[0] = NULL;
    alone.shape.of[0] = (sequence_shape){.n = N - DRAFTS + 4, .n_queries = 4};
    for (int i = 0; i < 4; i++) {
        const int from = N - DRAFTS + path[i], to = N - DRAFTS + i;
        memmove(p.k[0] + to * D, p.k[0] + from * D, D * sizeof(float));
        memmove(p.v[0] + to * D, p.v[0] + from * D, D * sizeof(float));
        memmove(row_of_q(&p, i, 0), row_of_q(&p, path[i], 0), HEADS * D * sizeof(float));
    }
    answer right = solve(&alone, &way);
    for (int i = 0; i < 4; i++)
        for (int x = 0; x < HEADS * D; x++)
            assert_true(fabsf(tree.out[0][path[i] * HEADS * D + x] - right.out[0][i * HEADS * D + x]) <
                        2e-6f);
    free_answer(&p, &linear), free_answer(&p, &chain), free_answer(&p, &tree), free_answer(&p, &right);
    free_problem(&p);
}

/* ---- what is refused ---- */

typedef struct bench {
    mqa_context *ctx;
    mqa_cache_config cache_config;
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_plan *plan;
    float x[20 * D], out[20 * D], slopes[1], m[20], l[20];
    mqa_states states;
    mqa_run run;
} bench;

/* One head, twenty tokens. */
static int set_up(void **state)
{
    bench *b = *state = calloc(1, sizeof *b);
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = 1,
                                     .head_dim_qk = D,
                                     .head_dim_vo = D,
                                     .max_pages = 3};
    mqa_plan_options plan = mqa_plan_options_default();
    plan.n_heads = 1;
    plan.sm_scale = 1;
    b->cache_config = config;
    b->states = (mqa_states){b->m, b->l, b->out};
    b->run = (mqa_run){.struct_size = sizeof b->run,
                       .q = b->x,
                       .q_stride_token = D,
                       .q_stride_head = D,
                       .out = b->out,
                       .out_stride_token = D,
                       .out_stride_head = D};
    return mqa_context_create(NULL, &b->ctx, NULL) || mqa_cache_create(b->ctx, &config, &b->cache, NULL) ||
           mqa_sequence_create(b->cache, &b->seq, NULL) || mqa_plan_create(b->cache, &plan, &b->plan, NULL) ||
           mqa_sequence_extend(b->seq, 20, NULL) ||
           mqa_sequence_write(b->seq, 0, 0, 20, b->x, D, D, b->x, D, D, NULL);
}

static int tear_down(void **state)
{
    bench *b = *state;
    mqa_plan_destroy(&b->plan);
    mqa_sequence_destroy(&b->seq);
    mqa_cache_destroy(&b->cache);
    mqa_context_destroy(&b->ctx);
    free(b);
    return 0;
}

#define REFUSED(call) assert_int_equal((call), MQA_ERR_INVALID_ARGUMENT)

static void hostile_masks(void **state)
{
    bench *b = *state;
    static const int64_t late[] = {1, 5}, twice[] = {0, 5, 5}, back[] = {0, 7, 3};
    static const uint8_t bits[4];
    const mqa_plan_item good = {.sequence = b->seq, .n_queries = 2};
    const mqa_plan_item bad[] = {
        {.sequence = b->seq, .n_queries = 2, .prefix = -1},
        {.sequence = b->seq, .n_queries = 2, .q_ahead = -1},
        {.sequence = b->seq, .n_queries = 2, .q_ahead = INT64_MAX},
        {.sequence = b->seq, .n_queries = 22, .q_ahead = 1},
        {.sequence = b->seq, .n_queries = INT64_MAX / 2, .q_ahead = INT64_MAX / 2},
        {.sequence = b->seq, .n_queries = INT64_C(1) << 40, .q_ahead = INT64_C(1) << 41},
        {.sequence = b->seq, .n_queries = 2, .documents = late, .n_documents = 2},
        {.sequence = b->seq, .n_queries = 2, .documents = twice, .n_documents = 3},
        {.sequence = b->seq, .n_queries = 2, .documents = back, .n_documents = 3},
        {.sequence = b->seq, .n_queries = 2, .documents = back, .n_documents = 0},
        {.sequence = b->seq, .n_queries = 2, .n_documents = 1},
        {.sequence = b->seq, .n_queries = 2, .documents = back, .n_documents = -1},
        {.sequence = b->seq, .n_queries = 2, .bits = bits, .bits_stride = 0},
        {.sequence = b->seq, .n_queries = 2, .bits = bits, .bits_stride = SIZE_MAX},
        {.sequence = b->seq, .n_queries = 2, .bits = bits, .bits_stride = 2, .bits_first = -1},
        {.sequence = b->seq, .n_queries = 2, .bits = bits, .bits_stride = 2, .bits_first = INT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mqa_plan_batch(b->plan, &good, 1, NULL), MQA_OK);
        REFUSED(mqa_plan_batch(b->plan, &bad[i], 1, NULL));
        REFUSED(mqa_plan_run(b->plan, &b->run, NULL)); /* no batch is left */
    }
    const mqa_plan_item newer = {.sequence = b->seq, .n_queries = 2, .reserved = {0, 0, 0, 1}};
    assert_int_equal(mqa_plan_batch(b->plan, &newer, 1, NULL), MQA_ERR_UNSUPPORTED);
    const mqa_plan_item several[] = {good, bad[0]};
    REFUSED(mqa_plan_batch(b->plan, several, 2, NULL));
    REFUSED(mqa_plan_batch(NULL, &good, 1, NULL));
    for (int n = -1; n < 2; n++) {
        assert_int_equal(mqa_plan_batch(b->plan, &good, 1, NULL), MQA_OK);
        REFUSED(mqa_plan_batch(b->plan, n == 1 ? NULL : &good, n, NULL));
        REFUSED(mqa_plan_run(b->plan, &b->run, NULL));
    }
}

static void far_positions(void **state)
{
    bench *b = *state;
    mqa_error err;
    mqa_plan_item item = {.sequence = b->seq, .n_queries = 1, .q_ahead = INT32_MAX - 19};
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK); /* the query stands at 2^31 - 1 */
    b->run.alibi_slopes = b->slopes;
    assert_int_equal(mqa_plan_run(b->plan, &b->run, &err), MQA_OK);
    item.q_ahead++;
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    REFUSED(mqa_plan_run(b->plan, &b->run, &err));
    b->run.alibi_slopes = NULL;
    assert_int_equal(mqa_plan_run(b->plan, &b->run, &err), MQA_OK);
}

static void wrong_runs(void **state)
{
    bench *b = *state;
    mqa_error err;
    float bad[] = {NAN};
    const mqa_plan_item item = {.sequence = b->seq, .n_queries = 1};
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    mqa_run runs[8];
    for (int i = 0; i < 8; i++) runs[i] = b->run;
    runs[0].struct_size--;
    runs[1].out = NULL;
    runs[2].states = &b->states; /* and out */
    runs[3].states = &b->states, runs[3].out = NULL, runs[3].lse = b->m;
    runs[4].states = &b->states, runs[4].out = NULL, runs[4].sinks = b->m;
    runs[5].states = &(mqa_states){b->m, NULL, b->out}, runs[5].out = NULL;
    runs[6].sinks = bad;
    runs[7].alibi_slopes = bad;
    for (int i = 0; i < 8; i++)
        assert_int_equal(mqa_plan_run(b->plan, &runs[i], &err),
                         i < 6 ? MQA_ERR_INVALID_ARGUMENT : MQA_ERR_NOT_FINITE);
    assert_int_equal(mqa_plan_run(b->plan, &b->run, &err), MQA_OK);
}

/* What was planned is stale as soon as tokens or pages come or go, even where the length is what it was. */
static void stale_batches(void **state)
{
    bench *b = *state;
    mqa_error err;
    const mqa_plan_item item = {.sequence = b->seq, .n_queries = 2};
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    assert_int_equal(mqa_sequence_truncate(b->seq, 10, &err), MQA_OK);
    REFUSED(mqa_plan_run(b->plan, &b->run, &err));
    assert_int_equal(mqa_sequence_extend(b->seq, 10, &err), MQA_OK);
    REFUSED(mqa_plan_run(b->plan, &b->run, &err));

    /* Queries that see pages which are then given back. */
    enum { N = 192 };
    mqa_cache_config config = b->cache_config;
    mqa_plan_options options = mqa_plan_options_default();
    config.window = 10;
    options.n_heads = 1;
    options.sm_scale = 1;
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_plan *plan;
    static float x[N * D], out[N * D];
    assert_int_equal(mqa_cache_create(b->ctx, &config, &cache, &err), MQA_OK);
    assert_int_equal(mqa_sequence_create(cache, &seq, &err), MQA_OK);
    assert_int_equal(mqa_plan_create(cache, &options, &plan, &err), MQA_OK);
    assert_int_equal(mqa_sequence_extend(seq, N, &err), MQA_OK);
    assert_int_equal(mqa_sequence_write(seq, 0, 0, N, x, D, D, x, D, D, &err), MQA_OK);
    const mqa_plan_item all = {.sequence = seq, .n_queries = N};
    mqa_run run = b->run;
    run.q = x, run.out = out;
    assert_int_equal(mqa_plan_batch(plan, &all, 1, &err), MQA_OK);
    assert_int_equal(mqa_plan_run(plan, &run, &err), MQA_OK);
    assert_true(mqa_sequence_evict(seq) > 0);
    REFUSED(mqa_plan_run(plan, &run, &err));
    REFUSED(mqa_plan_batch(plan, &all, 1, &err));
    const mqa_plan_item last = {.sequence = seq, .n_queries = 1};
    assert_int_equal(mqa_plan_batch(plan, &last, 1, &err), MQA_OK);
    assert_true(mqa_sequence_evict(seq) == 0); /* does nothing */
    assert_int_equal(mqa_plan_run(plan, &run, &err), MQA_OK);
    mqa_plan_destroy(&plan);
    mqa_sequence_destroy(&seq);
    mqa_cache_destroy(&cache);
}

/* Between two sequences that begin far apart lie more groups than there can be states of. */
static void states_beyond_memory(void **state)
{
    bench *b = *state;
    mqa_error err;
    mqa_sequence *far;
    assert_int_equal(mqa_sequence_create_at(b->cache, INT64_C(1) << 61, &far, &err), MQA_OK);
    assert_int_equal(mqa_sequence_extend(far, 1, &err), MQA_OK);
    b->run.states = &b->states;
    b->run.out = NULL;
    for (int bits = 10; bits <= 20; bits += 10) { /* 2^64 bytes and more, 2^72 floats */
        const mqa_plan_item items[] = {{.sequence = b->seq, .n_queries = 1},
                                       {.sequence = far, .n_queries = 1 << bits, .q_ahead = 1 << bits}};
        assert_int_equal(mqa_plan_batch(b->plan, items, 2, &err), MQA_OK);
        REFUSED(mqa_plan_run(b->plan, &b->run, &err));
    }
    mqa_sequence_destroy(&far);
}

static void wrong_states(void **state)
{
    bench *b = *state;
    mqa_error err;
    const mqa_states none = {b->m, b->l, NULL};
    REFUSED(mqa_merge_states(NULL, 1, D, b->states, b->states, &err));
    REFUSED(mqa_merge_states(b->ctx, -1, D, b->states, b->states, &err));
    REFUSED(mqa_merge_states(b->ctx, 1, 0, b->states, b->states, &err));
    REFUSED(mqa_merge_states(b->ctx, 1, 1025, b->states, b->states, &err));
    REFUSED(mqa_merge_states(b->ctx, 1, D, none, b->states, &err));
    REFUSED(mqa_merge_states(b->ctx, 1, D, b->states, none, &err));
    REFUSED(mqa_states_finish(b->ctx, 1, D, none, NULL, b->out, D, NULL, &err));
    REFUSED(mqa_states_finish(b->ctx, 1, D, b->states, NULL, NULL, D, NULL, &err));
    assert_int_equal(mqa_merge_states(b->ctx, 0, D, b->states, b->states, &err), MQA_OK);

    /* Empty ones merge to empty ones, and are 0 and -inf when finished; with a sink, 0 and the sink. */
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0}, o[2 * D] = {0}, out[D], lse, sink = 3;
    const mqa_states into = {m, l, o}, next = {m + 1, l + 1, o + D};
    assert_int_equal(mqa_merge_states(b->ctx, 1, D, into, next, &err), MQA_OK);
    assert_int_equal(mqa_states_finish(b->ctx, 1, D, into, NULL, out, D, &lse, &err), MQA_OK);
    assert_true(m[0] == -INFINITY && l[0] == 0 && out[0] == 0 && lse == -INFINITY);
    assert_int_equal(mqa_states_finish(b->ctx, 1, D, into, &sink, out, D, &lse, &err), MQA_OK);
    assert_true(out[0] == 0 && lse == 3);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        assert_int_equal(mqa_states_finish(b->ctx, 1, D, into, &bad[i], out, D, &lse, &err),
                         MQA_ERR_NOT_FINITE);
    assert_true(lse == 3);
}

static void wrong_workspaces(void **state)
{
    bench *b = *state;
    mqa_error err;
    _Alignas(64) unsigned char memory[128];
    REFUSED(mqa_plan_set_workspace(NULL, memory, 64, &err));
    REFUSED(mqa_plan_set_workspace(b->plan, NULL, 64, &err));
    REFUSED(mqa_plan_set_workspace(b->plan, memory + 4, 64, &err));
    const mqa_plan_item item = {.sequence = b->seq, .n_queries = 1};
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    const size_t needed = mqa_plan_workspace_bytes(b->plan);
    assert_int_equal(mqa_plan_set_workspace(b->plan, memory, 64, &err), MQA_OK);
    REFUSED(mqa_plan_run(b->plan, &b->run, &err)); /* the batch is gone */
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_ERR_BUDGET);
    assert_int_equal(mqa_plan_workspace_bytes(b->plan), needed);
    unsigned char *room = aligned_alloc(64, (needed + 63) / 64 * 64);
    assert_int_equal(mqa_plan_set_workspace(b->plan, room, needed - 1, &err), MQA_OK);
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_ERR_BUDGET);
    assert_int_equal(mqa_plan_set_workspace(b->plan, room, needed, &err), MQA_OK);
    assert_int_equal(mqa_plan_batch(b->plan, &item, 1, &err), MQA_OK);
    assert_int_equal(mqa_plan_run(b->plan, &b->run, &err), MQA_OK);
    free(room);
}

/* The last query of a block stands so far beyond the tokens that it sees none, those before it see the last.
 */
static void queries_beyond_the_tokens(void **state)
{
    (void)state;
    problem_shape s = small;
    s.n_heads = 1;
    s.plan_window = 10;
    for (int documents = 0; documents < 2; documents++) {
        s.of[0] = (sequence_shape){.n = 515, .n_queries = 600, .q_ahead = 500, .document = documents};
        if (documents) s.plan_window = 0;
        uint64_t rng = 5;
        problem p = make_problem(&s, &rng);
        row_id row;
        answer alone = solve(&p, &(route){.threads = 1, .chunk = 100000, .block_rows = 1});
        answer a = solve(&p, &(route){.threads = 2, .chunk = 100000});
        assert_true(isfinite(alone.lse[0][99])); /* at 514, the last token */
        assert_true(same_bits(&p, &alone, &a, &row));
        free_answer(&p, &alone);
        free_answer(&p, &a);
        free_problem(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_beyond_the_tokens),
        cmocka_unit_test(overflowing_scores),
        cmocka_unit_test(unseen_overflow),
        cmocka_unit_test(overflowing_biases),
        cmocka_unit_test(capped_overflow),
        cmocka_unit_test(whole_prefix),
        cmocka_unit_test(tree_of_drafts),
        cmocka_unit_test_setup_teardown(hostile_masks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(far_positions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stale_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(states_beyond_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_workspaces, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("attention_edges", tests, NULL, NULL);
}
