/* Designs of attention side by side, run: the same widths and the same tokens, decoding and prompts, at
 * several contexts and numbers of requests, each beside what the planner says of it.
 *
 *     mqa_compare *c;
 *     MQA_TRY(mqa_compare_create(ctx, &options, &machine, &c, err));    makes, plans and loads all models
 *     MQA_TRY(mqa_compare_run(c, err));                                 fills in what was measured
 *     MQA_TRY(mqa_compare_plan(c, &newer, err));                        plans anew, if the machine changed
 *     const mqa_compare_result *r = mqa_compare_result_of(c);
 *     mqa_compare_destroy(&c);
 *
 * All designs' models and caches are there at the same time, and their runs alternate, so that whatever else
 * the machine does meets all of them; a cell's figure is the median, of more runs where they spread. Contexts
 * are reached by made-up K and V (mqa_session_fill), what is timed is the real thing.
 *
 * One thread at a time, which must be the context's own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_COMPARE_COMPARE_H
#define MQA_COMPARE_COMPARE_H

#include "compare/random_model.h"
#include "mqa/model.h"
#include "planner/planner.h"

#define MQA_COMPARE_LENGTHS 16
#define MQA_COMPARE_CELLS   (MQA_VARIANTS * MQA_COMPARE_LENGTHS * (MQA_COMPARE_LENGTHS + 1))

typedef struct mqa_compare_options {
    const char *path; /* a GGUF of llama's or gemma3's architecture; NULL: random */
    mqa_random_model random;
    mqa_variant variants[MQA_VARIANTS];
    int n_variants;
    int64_t contexts[MQA_COMPARE_LENGTHS]; /* ascending: tokens of each request in the end */
    int n_contexts;
    int64_t batches[MQA_COMPARE_LENGTHS]; /* ascending: requests that decode at once */
    int n_batches;
    mqa_kv_type k_type, v_type;
    int chunk;           /* tokens of a prompt evaluated at once */
    int rounds;          /* of alternating runs, each time over the grid */
    bool prompts;        /* measured too: of one request, at each context */
    size_t memory;       /* for all designs' caches together: cells beyond it are left out */
    const char *scratch; /* a folder for models while they are loaded; NULL: $TMPDIR or /tmp */
    /* Called now and then with what, and how much of it; nonzero cancels. May be NULL. */
    int (*progress)(void *what, size_t done, size_t total);
    const volatile int *stop; /* as mqa_session_eval's; may be NULL */
} mqa_compare_options;

/* One design at one context: a step of decoding for `batch` requests, or one request's prompt (batch 1). */
typedef struct mqa_compare_cell {
    int design; /* of mqa_compare_result.designs */
    bool prompt;
    int64_t context;
    int batch;
    bool left_out; /* beyond the memory: nothing measured */
    /* Planned: */
    size_t plan_kv_bytes;
    double plan_seconds;
    double limit_seconds; /* what memory and arithmetic take alone, by the same machine: every share 1 */
    mqa_bound bound;
    /* Measured: */
    size_t kv_bytes; /* pages in use, mqa_session_kv_bytes */
    double seconds;  /* the median of runs that no other program interrupted; of all, if those are few */
    double best;     /* the shortest of them: what it takes when nothing else runs */
    double spread;   /* the middle half of them, from its shortest to its longest, beside the median */
    int runs;        /* that the median is of */
    bool calm;       /* they weren't interrupted */
} mqa_compare_cell;

/* How far the plan is off: (planned - measured) / measured. */
static inline double mqa_compare_error(const mqa_compare_cell *cell)
{
    return cell->plan_seconds / cell->seconds - 1;
}
/* Tokens a second, of all requests. */
static inline double mqa_compare_rate(const mqa_compare_cell *cell, double seconds)
{
    return (double)(cell->prompt ? cell->context : cell->batch) / seconds;
}

typedef struct mqa_compare_result {
    mqa_design designs[MQA_VARIANTS];
    mqa_model_info info[MQA_VARIANTS];
    int n_designs;
    char left_out[512]; /* variants that can't be made, and why; or "" */
    const char *recipe;
    mqa_compare_cell *cells; /* [n_cells]: by kind, context, batch, design */
    int n_cells;
    /* The median over what was measured of the error without its sign: of decoding, of prompts. NaN: none. */
    double median_error[2];
} mqa_compare_result;

typedef struct mqa_compare mqa_compare;
mqa_status mqa_compare_create(mqa_context *ctx, const mqa_compare_options *options,
                              const mqa_machine *machine, mqa_compare **out, mqa_error *err);
void mqa_compare_destroy(mqa_compare **compare);
/* Once over the grid. Called again, it adds to what was measured. */
mqa_status mqa_compare_run(mqa_compare *compare, mqa_error *err);
/* The cells' plans, limits and errors by this machine, whatever was measured before or is later. */
mqa_status mqa_compare_plan(mqa_compare *compare, const mqa_machine *machine, mqa_error *err);
/* Valid until destroy. */
const mqa_compare_result *mqa_compare_result_of(const mqa_compare *compare);

#endif
