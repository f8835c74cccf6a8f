/* Random cases: numbers that say all of a problem and of the ways to solve it, so that a case can be
 * printed, read back and made smaller.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ATTENTION_CASES_H
#define TESTS_ATTENTION_CASES_H

#include "harness.h"

/* name, its simplest value */
#define CASE_FIELDS(X)                                                                                       \
    X(seed, 1)                                                                                               \
    X(n_sequences, 1)                                                                                        \
    X(group, 1) /* query heads of a KV head */                                                               \
    X(n_kv_heads, 1)                                                                                         \
    X(d, 1)                                                                                                  \
    X(d_v, 1)                                                                                                \
    X(k_type, 0)                                                                                             \
    X(v_type, 0)                                                                                             \
    X(v_in_k, 0)                                                                                             \
    X(k_hadamard, 0)                                                                                         \
    X(v_hadamard, 0)                                                                                         \
    X(window, 0)                                                                                             \
    X(plan_window, 0)                                                                                        \
    X(n_sink_tokens, 0)                                                                                      \
    X(chunk, 0)                                                                                              \
    X(full, 0)                                                                                               \
    X(softcap, 0) /* thousandths */                                                                          \
    X(values, 0)                                                                                             \
    X(slopes, 0)                                                                                             \
    X(sinks, 0)                                                                                              \
    X(numerics, 1)

#define SEQUENCE_FIELDS(X)                                                                                   \
    X(n, 1)                                                                                                  \
    X(n_queries, 1)                                                                                          \
    X(q_ahead, 0)                                                                                            \
    X(prefix, 0)                                                                                             \
    X(document, 0)                                                                                           \
    X(bits, 0)                                                                                               \
    X(bits_first, 0)                                                                                         \
    X(bits_tokens, 1)                                                                                        \
    X(parent, 0)                                                                                             \
    X(shared, 0)

/* Two ways: what they give is compared. */
#define ROUTE_FIELDS(X)                                                                                      \
    X(isa, 1)                                                                                                \
    X(threads, 1)                                                                                            \
    X(chunk, 100000)                                                                                         \
    X(together, 0)                                                                                           \
    X(reversed, 0)                                                                                           \
    X(recycled, 0)                                                                                           \
    X(block_rows, 0)                                                                                         \
    X(tasks_per_thread, 0)                                                                                   \
    X(cut_all, 0)                                                                                            \
    X(order, 0)                                                                                              \
    X(share, 0)                                                                                              \
    X(no_cascade, 0)                                                                                         \
    X(page_tokens, 0)                                                                                        \
    X(keep_all, 0)                                                                                           \
    X(spare_sinks, 0)                                                                                        \
    X(forked, 0)                                                                                             \
    X(speculate, 0)                                                                                          \
    X(poison, 0)                                                                                             \
    X(results, 0)

enum { N_ROUTES = 2 };

#define DECLARE(name, simplest) int64_t name;
typedef struct case_sequence {
    SEQUENCE_FIELDS(DECLARE)
} case_sequence;
typedef struct case_route {
    ROUTE_FIELDS(DECLARE)
} case_route;
typedef struct test_case {
    CASE_FIELDS(DECLARE)
    case_sequence of[MAX_SEQUENCES];
    case_route route[N_ROUTES];
} test_case;
#undef DECLARE

/* The rows of issue 5's table: each makes its own column vary most. */
typedef enum column {
    COLUMN_RATIOS,
    COLUMN_DIMS,
    COLUMN_QUERIES,
    COLUMN_MASKS,
    COLUMN_SCORES,
    COLUMN_FORMATS,
    COLUMN_RESULTS,
    COLUMN_CASCADE,
    COLUMN_MLA,
    COLUMN_EXTREMES,
    COLUMN_NUMERICS,
    COLUMNS
} column;
extern const char *const column_names[COLUMNS];

test_case random_case(column which, uint64_t seed);
/* Brings every number into its range, and what depends on others into line. */
void tidy_case(test_case *c);
int64_t case_work(const test_case *c); /* multiply-adds of one solution */

problem_shape case_shape(const test_case *c);
route case_way(const test_case *c, int i);

/* A line of NAME=VALUE, for the fields that aren't at their simplest. */
void print_case(const test_case *c, char *to, size_t size);
bool parse_case(const char *text, test_case *c);

/* The n-th smaller case, or false: there are no more. */
bool smaller_case(const test_case *c, int n, test_case *out);

#endif
