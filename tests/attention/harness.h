/* Problems, and solving them by the library in any of the ways that must not matter.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ATTENTION_HARNESS_H
#define TESTS_ATTENTION_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/attention.h"

enum { MAX_SEQUENCES = 8 };

/* What the values are like. */
typedef enum values_kind {
    VALUES_GAUSSIAN, /* scores of standard deviation about 1 */
    VALUES_SIGMA_3,
    VALUES_SIGMA_10,
    VALUES_NEGATIVE_SCALE,
    VALUES_SCORES_1E4,
    VALUES_DENORMAL, /* q, k or v */
    VALUES_OUTLIERS, /* some dims of k and v fifty times as large */
    VALUES_ZERO,     /* all of k, and a v that is the same in all tokens */
    VALUES_HUGE,     /* some scores are beyond f32 */
    VALUES_KINDS
} values_kind;

typedef enum slopes_kind { SLOPES_NONE, SLOPES_USUAL, SLOPES_MIXED, SLOPES_HUGE, SLOPES_KINDS } slopes_kind;
typedef enum sinks_kind { SINKS_NONE, SINKS_USUAL, SINKS_EXTREME, SINKS_KINDS } sinks_kind;

/* Rows of bits: for each query another share of ones, from none to all; or a tree of drafts. */
typedef enum bits_kind { BITS_NONE, BITS_RANDOM, BITS_TREE, BITS_KINDS } bits_kind;

typedef struct sequence_shape {
    int64_t n;         /* tokens */
    int64_t n_queries; /* the last ones ask, as far as q_ahead is 0 */
    int64_t q_ahead, prefix;
    int64_t document; /* documents of 1 to 2 * document tokens; 0: one */
    bits_kind bits;
    int64_t bits_first, bits_tokens; /* BITS_RANDOM */
    int parent;                      /* an earlier sequence, of which */
    int64_t shared;                  /* so many tokens are the same */
} sequence_shape;

/* Zero is off for every feature. */
typedef struct problem_shape {
    int n_heads, n_kv_heads, d, d_v;
    mqa_kv_type k_type, v_type;
    bool v_in_k;
    bool k_hadamard, v_hadamard;
    int64_t window;               /* the cache's: keys a query sees, itself included */
    int64_t plan_window;          /* the plan's, counted in the same way */
    int64_t n_sink_tokens, chunk; /* sinks: a cache with a window keeps them */
    mqa_mask mask;
    float softcap;
    values_kind values;
    slopes_kind slopes;
    sinks_kind sinks;
    int n_sequences;
    sequence_shape of[MAX_SEQUENCES];
} problem_shape;

typedef struct problem {
    problem_shape shape;
    float sm_scale;
    float *k[MAX_SEQUENCES], *v[MAX_SEQUENCES]; /* [n][n_kv_heads][d or d_v] */
    float *q[MAX_SEQUENCES];                    /* [n_queries][n_heads][d] */
    float *sinks, *slopes;                      /* [n_heads], or NULL */
    int64_t *documents[MAX_SEQUENCES], n_documents[MAX_SEQUENCES];
    uint8_t *bits[MAX_SEQUENCES]; /* [n_queries][bits_stride] */
    size_t bits_stride[MAX_SEQUENCES];
    int64_t bits_first[MAX_SEQUENCES];
} problem;

typedef struct answer {
    float *out[MAX_SEQUENCES]; /* [n_queries][n_heads][d_v] */
    float *lse[MAX_SEQUENCES]; /* [n_queries][n_heads] */
} answer;

typedef enum results_kind {
    RESULTS_PLAIN,
    RESULTS_STATES,    /* by groups, merged and finished */
    RESULTS_WORKSPACE, /* in memory of ours, not a byte more than asked for */
    RESULTS_KINDS
} results_kind;

/* Who runs the tasks: the library's threads, or a host that runs them one by one in an order of its own. */
typedef enum task_order {
    ORDER_POOL,
    ORDER_ASCENDING,
    ORDER_DESCENDING,
    ORDER_ODD_LAST,
    ORDER_KINDS
} task_order;

typedef struct route {
    mqa_isa isa;
    mqa_numerics numerics;
    int threads;
    int64_t chunk;
    int together;   /* all sequences in each batch, else one after the other */
    int reversed;   /* the batch's items */
    int recycled;   /* pages that others had before, in any order, full of NaN */
    int block_rows; /* 0: the default; the rest likewise */
    int tasks_per_thread;
    int cut_all; /* even the smallest run is worth a task */
    task_order order;
    int share; /* what sequences have in common lies in common pages */
    int no_cascade;
    int speculate; /* tokens that are taken back come between the chunks */
    int poison;    /* granules that no query sees are NaN; all at once only */
    results_kind results;
    int page_tokens;        /* 0: the default */
    int keep_all;           /* the cache has no window: the plan alone has it */
    int64_t spare_sinks;    /* that the cache keeps beyond the mask's */
    int64_t first_position; /* where each sequence's tokens begin; only without documents, prefix, bits and
                               sinks */
    int forked;             /* the last page is another sequence's too, which has tokens behind the end */
} route;

/* Whether K and V in this format can be so large. */
bool format_holds(mqa_kv_type type, float x);
problem make_problem(const problem_shape *shape, uint64_t *rng);
void free_problem(problem *p);
/* The same problem with K and V as the cache stores them; masks and the rest are p's. Where K is stored
 * transformed it is left so, and q is transformed too; V is turned back. */
problem stored_problem(const problem *p);
void free_stored(problem *p);
/* 1: not at all. */
int k_block(const problem_shape *s);
int v_block(const problem_shape *s);
/* y = H x of each block of n values. */
void hadamard64(const float *x, int n, int block, double *y);

/* attention.h's masks in one predicate: whether query number `query` of sequence i sees token t. */
bool sees(const problem *p, int i, int64_t query, int64_t t);
int64_t position_of(const problem *p, int i, int64_t query);

answer solve(const problem *p, const route *way);
/* Or says what went wrong (512 characters), and false. */
bool try_solve(const problem *p, const route *way, answer *a, char *what);
/* Whether a row's bits are the same in both; else the first that isn't. */
typedef struct row_id {
    int sequence;
    int64_t query;
    int head;
} row_id;
bool same_bits(const problem *p, const answer *a, const answer *b, row_id *first);
void free_answer(const problem *p, answer *a);

/* Float64, straight from the formula. */
typedef struct oracle_row {
    double *out, lse; /* [d_v] */
    int64_t n_seen;
    /* Of each token of the sequence; p is 0 where it isn't seen. size, square: of the products q_i k_i
     * sm_scale that a score is the sum of: the sum of magnitudes, the root of the sum of squares. */
    double *score, *p, *size, *square;
} oracle_row;
oracle_row oracle_of(const problem *p, row_id row);
void free_oracle_row(oracle_row *r);
answer oracle(const problem *p);

/* Row by row from docs/numerics.md, portable, to the bit (lse but for its last bit). */
void specified_row(const problem *p, row_id row, float *out, float *lse);
answer specified(const problem *p);

/* $MQA_TEST_SHARE, 1 by default: one case in so many is run, where an emulator makes all of them take too
 * long. Prints what it says if that isn't all. */
int test_share(void);

uint64_t random_bits(uint64_t *rng);
int64_t random_between(uint64_t *rng, int64_t lo, int64_t hi);
float gaussian(uint64_t *rng);

#endif
