/* The inside of a comparison.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_COMPARE_INSIDE_H
#define MQA_COMPARE_INSIDE_H

#include "compare/compare.h"

/* A timed run; calm: no other program took a CPU meanwhile. */
typedef struct mqa_compare_sample {
    double seconds;
    bool calm;
} mqa_compare_sample;
/* Those of a cell, of all passes over the grid. */
typedef struct mqa_compare_samples {
    mqa_compare_sample *at;
    int n, room;
} mqa_compare_samples;

struct mqa_compare {
    mqa_context *ctx;
    mqa_compare_options options;
    mqa_machine machine;
    mqa_compare_result result;
    mqa_compare_samples *samples;        /* [result.n_cells] */
    mqa_model *models[MQA_VARIANTS];     /* [result.n_designs] */
    mqa_session *sessions[MQA_VARIANTS]; /* with a sequence for each request, and one more for prompts */
    int32_t *tokens;                     /* [the longest context] */
    float *logits;                       /* [the most requests][n_vocab] */
    mqa_eval_item *items;                /* [the most requests] */
};

/* contenders.c: makes the files, loads them, and looks at them as the planner does. */
mqa_status mqa_compare_load(mqa_compare *c, mqa_error *err);
/* forecast.c: the grid's cells, and which of them are beyond the memory. */
mqa_status mqa_compare_lay_out(mqa_compare *c, mqa_error *err);
/* The result's median errors, of plans and of what is measured so far. */
mqa_status mqa_compare_find_errors(mqa_compare *c, mqa_error *err);
/* measure.c: of none NaN; sorts them. */
double mqa_compare_median(double *x, int n);

static inline int64_t mqa_compare_last(const int64_t *list, int n)
{
    return n > 0 ? list[n - 1] : 1;
}
static inline mqa_status mqa_compare_report(const mqa_compare *c, const char *what, size_t done, size_t total,
                                            mqa_error *err)
{
    const mqa_compare_options *o = &c->options;
    if ((o->stop && *o->stop) || (o->progress && o->progress((void *)(uintptr_t)what, done, total) != 0))
        return mqa_fail(err, MQA_ERR_CANCELLED, "the comparison was stopped");
    return MQA_OK;
}

#endif
