/* Problems, and solving them by the library in any of the ways that must not matter.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ATTENTION_HARNESS_H
#define TESTS_ATTENTION_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include "mqa/attention.h"

enum { MAX_SEQUENCES = 4 };

typedef struct problem_shape {
    int n_heads, n_kv_heads, d, d_v;
    mqa_kv_type k_type, v_type;
    int64_t window;
    int n_sequences;
    int64_t n[MAX_SEQUENCES];         /* tokens */
    int64_t n_queries[MAX_SEQUENCES]; /* the last ones ask */
} problem_shape;

typedef struct problem {
    problem_shape shape;
    float sm_scale;
    float *k[MAX_SEQUENCES], *v[MAX_SEQUENCES]; /* [n][n_kv_heads][d or d_v] */
    float *q[MAX_SEQUENCES];                    /* [n_queries][n_heads][d] */
} problem;

typedef struct answer {
    float *out[MAX_SEQUENCES]; /* [n_queries][n_heads][d_v] */
    float *lse[MAX_SEQUENCES]; /* [n_queries][n_heads] */
} answer;

typedef struct way {
    mqa_isa isa;
    mqa_numerics numerics;
    int threads;
    int64_t chunk;
    int together;   /* all sequences in each batch, else one after the other */
    int recycled;   /* pages that others had before, in any order, full of NaN */
    int block_rows; /* 0: the default; the rest likewise */
    int tasks_per_thread;
    int cut_all;            /* even the smallest run is worth a task */
    int page_tokens;        /* 0: the default */
    int64_t first_position; /* where each sequence's tokens begin */
    int forked;             /* the last page is another sequence's too, which has tokens behind the end */
} route;

/* Gaussian, scores of standard deviation about 1. */
problem make_problem(const problem_shape *shape, uint64_t *rng);
void free_problem(problem *p);
answer solve(const problem *p, const route *way);
void free_answer(const problem *p, answer *a);

/* The same problem with K and V as the cache stores them. */
problem stored_problem(const problem *p);

/* Float64, straight from the formula. */
answer oracle(const problem *p);
/* Row by row from docs/numerics.md, portable/1, to the bit (lse but for its last bit). */
answer specified(const problem *p);

uint64_t random_bits(uint64_t *rng);
int64_t random_between(uint64_t *rng, int64_t lo, int64_t hi);
float gaussian(uint64_t *rng);

#endif
