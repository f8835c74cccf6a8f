/* The row contract, bit for bit: what a row gives depends on nothing but the row.
 *
 * Built twice: as it is, and over a fold whose groups are of two spans (MQA_MUTANT_FOLD), where it must fail.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static uint64_t seed_of_run;

static const mqa_kv_type formats[][2] = {{MQA_KV_F32, MQA_KV_F32},       {MQA_KV_BF16, MQA_KV_BF16},
                                         {MQA_KV_INT8, MQA_KV_INT8},     {MQA_KV_BF16, MQA_KV_INT8},
                                         {MQA_KV_F16, MQA_KV_FP8_E4M3},  {MQA_KV_FP8_E4M3, MQA_KV_FP8_E5M2},
                                         {MQA_KV_FP8_E5M2, MQA_KV_INT4}, {MQA_KV_INT4, MQA_KV_F16}};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

/* Three spans with every token asking, in blocks of many tokens; more than a group of spans; a window, and
 * heads of several scales in int4; a window and sinks, which are kept before pages given back. */
static const problem_shape shapes[] = {
    {.n_heads = 4,
     .n_kv_heads = 1,
     .d = 24,
     .d_v = 20,
     .n_sequences = 3,
     .of = {{.n = 1100, .n_queries = 270}, {.n = 130, .n_queries = 100}, {.n = 3, .n_queries = 3}}},
    {.n_heads = 6,
     .n_kv_heads = 2,
     .d = 8,
     .d_v = 5,
     .n_sequences = 2,
     .of = {{.n = 9001, .n_queries = 5}, {.n = 8193, .n_queries = 20}}},
    {.n_heads = 5,
     .n_kv_heads = 1,
     .d = 40,
     .d_v = 36,
     .window = 300,
     .n_sequences = 2,
     .of = {{.n = 1500, .n_queries = 100}, {.n = 700, .n_queries = 150}}},
    {.n_heads = 6,
     .n_kv_heads = 2,
     .d = 24,
     .d_v = 20,
     .window = 200,
     .n_sink_tokens = 70,
     .n_sequences = 2,
     .of = {{.n = 1300, .n_queries = 70}, {.n = 400, .n_queries = 200}}},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void assert_same_bits(const problem *p, const answer *a, const answer *b, const char *what)
{
    const problem_shape *s = &p->shape;
    row_id row;
    if (same_bits(p, a, b, &row)) return;
    fail_msg("%s: sequence %d, query %lld, head %d differs (%s/%s, d %d)", what, row.sequence,
             (long long)row.query, row.head, mqa_kv_type_name(s->k_type), mqa_kv_type_name(s->v_type), s->d);
}

static const struct {
    const char *what;
    route way;
} variants[] = {
    {"2 threads", {.threads = 2, .chunk = 512}},
    {"3 threads", {.threads = 3, .chunk = 512}},
    {"8 threads", {.threads = 8, .chunk = 512}},
    {"chunks of 64", {.threads = 1, .chunk = 64}},
    {"chunks of 7", {.threads = 2, .chunk = 7}},
    {"chunks of 1", {.threads = 2, .chunk = 1}},
    {"all at once", {.threads = 2, .chunk = 100000}},
    {"in a batch", {.threads = 1, .chunk = 512, .together = 1}},
    {"in a batch, recycled pages", {.threads = 3, .chunk = 64, .together = 1, .recycled = 1}},
    {"recycled pages", {.threads = 1, .chunk = 512, .recycled = 1}},
    {"blocks of 1 row", {.threads = 2, .chunk = 512, .block_rows = 1}},
    {"blocks of 5 rows", {.threads = 1, .chunk = 512, .block_rows = 5}},
    {"pages of 128", {.threads = 2, .chunk = 512, .page_tokens = 128}},
    {"pages of 256", {.threads = 1, .chunk = 7, .page_tokens = 256}},
    {"a cache that keeps all", {.threads = 2, .chunk = 64, .keep_all = 1}},
    {"a cache that keeps all, pages of 128", {.threads = 1, .chunk = 512, .keep_all = 1, .page_tokens = 128}},
    {"more sinks than seen", {.threads = 2, .chunk = 7, .spare_sinks = 130}},
    {"pages of 256, recycled", {.threads = 2, .chunk = 64, .page_tokens = 256, .together = 1, .recycled = 1}},
    {"positions from 2^31", {.threads = 2, .chunk = 512, .first_position = INT64_C(1) << 31}},
    {"shared pages", {.threads = 2, .chunk = 64, .forked = 1}},
    {"shared pages of 256", {.threads = 1, .chunk = 100, .forked = 1, .page_tokens = 256, .together = 1}},
    {"a task for each span, from 8192",
     {.threads = 3, .chunk = 64, .tasks_per_thread = 10000, .cut_all = 1, .first_position = 8192}},
    {"a task for each span", {.threads = 3, .chunk = 64, .tasks_per_thread = 10000, .cut_all = 1}},
    {"a task for two spans", {.threads = 2, .chunk = 1, .tasks_per_thread = 5, .cut_all = 1}},
    {"a task for each span, the last ones first",
     {.threads = 3, .chunk = 512, .tasks_per_thread = 10000, .cut_all = 1, .order = ORDER_DESCENDING}},
    {"a task for each span, every other one last",
     {.threads = 3, .chunk = 512, .tasks_per_thread = 10000, .cut_all = 1, .order = ORDER_ODD_LAST}},
    {"a task for two spans, one by one",
     {.threads = 2, .chunk = 512, .tasks_per_thread = 5, .cut_all = 1, .order = ORDER_ASCENDING}},
    {"a task for six spans", {.threads = 2, .chunk = 64, .tasks_per_thread = 2, .cut_all = 1, .together = 1}},
};
enum { N_VARIANTS = sizeof variants / sizeof variants[0] };

static problem nth_problem(int i, int f)
{
    uint64_t rng = seed_of_run * 1000 + (uint64_t)(i * 10 + f);
    problem_shape s = shapes[i];
    s.k_type = formats[f][0];
    s.v_type = formats[f][1];
    s.k_hadamard = (f + i) % 2;
    s.v_hadamard = (f + i) / 2 % 2;
    return make_problem(&s, &rng);
}

/* A share: each variant still meets each shape, in one format. */
static void the_way_there_does_not_matter(void **state)
{
    (void)state;
    const int share = test_share();
    for (int i = 0; i < N_SHAPES; i++)
        for (int f = 0; f < N_FORMATS; f++) {
            problem p = nth_problem(i, f);
            answer plain = solve(&p, &(route){.threads = 1, .chunk = 512});
            for (int v = 0; v < N_VARIANTS; v++) {
                if ((v + i + f) % share != 0) continue;
                if (p.shape.n_sink_tokens > 0 && variants[v].way.first_position > 0)
                    continue; /* none there */
                answer other = solve(&p, &variants[v].way);
                assert_same_bits(&p, &plain, &other, variants[v].what);
                free_answer(&p, &other);
            }
            free_answer(&p, &plain);
            free_problem(&p);
        }
}

/* Portable: every instruction set gives what numerics.md says, row by row. */
static void portable_is_the_specification(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++)
        for (int f = 0; f < N_FORMATS; f++) {
            if ((i + f) % test_share() != 0) continue; /* the hashes meet every format everywhere */
            problem p = nth_problem(i, f);
            answer right = specified(&p);
            for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON; isa++) {
                if (!mqa_isa_available((mqa_isa)isa)) continue;
                const route way = {
                    .isa = (mqa_isa)isa, .numerics = MQA_NUMERICS_PORTABLE, .threads = 2, .chunk = 512};
                answer a = solve(&p, &way);
                for (int s = 0; s < p.shape.n_sequences; s++) /* lse's log is the library's own */
                    for (int64_t r = 0; r < p.shape.of[s].n_queries * p.shape.n_heads; r++)
                        if (nextafterf(right.lse[s][r], a.lse[s][r]) == a.lse[s][r])
                            right.lse[s][r] = a.lse[s][r];
                assert_same_bits(&p, &right, &a, mqa_isa_name((mqa_isa)isa));
                free_answer(&p, &a);
            }
            free_answer(&p, &right);
            free_problem(&p);
        }
}

/* Fast: each instruction set by its own recipe, whatever the way. (Without neon-c: plain C, a row at a time.)
 */
static void fast_keeps_the_contract(void **state)
{
    (void)state;
    static const int some[] = {5, 8, 10, 12, 13, 14, 16, 19, 22};
    for (int isa = MQA_ISA_AVX2; isa <= MQA_ISA_NEON; isa++) {
        if (!mqa_isa_available((mqa_isa)isa)) continue;
        for (int i = 1; i < N_SHAPES; i++) {
            problem p = nth_problem(i, 1);
            answer plain = solve(&p, &(route){.isa = (mqa_isa)isa, .threads = 1, .chunk = 512});
            for (size_t v = 0; v < sizeof some / sizeof some[0]; v++) {
                route way = variants[some[v]].way;
                way.isa = (mqa_isa)isa;
                answer other = solve(&p, &way);
                assert_same_bits(&p, &plain, &other, variants[some[v]].what);
                free_answer(&p, &other);
            }
            free_answer(&p, &plain);
            free_problem(&p);
        }
    }
}

int main(void)
{
    const char *seed = getenv("MQA_SEED");
    seed_of_run = seed ? strtoull(seed, NULL, 10) : 1;
    printf("MQA_SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_there_does_not_matter),
        cmocka_unit_test(portable_is_the_specification),
        cmocka_unit_test(fast_keeps_the_contract),
    };
    return cmocka_run_group_tests_name("row_contract", tests, NULL, NULL);
}
