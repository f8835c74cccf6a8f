/* How blocks are spread over the pool.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_PARALLEL_H
#define MQA_MODEL_PARALLEL_H

#include "model/layers.h"

/* Work on rows [row0, row1) of a step. */
typedef void mqa_rows_fn(const mqa_step *step, const void *arg, int row0, int row1, int worker);
/* All rows of 0 .. n_rows-1, in pieces; by the caller alone where they are few. */
void mqa_over_rows(const mqa_step *step, mqa_rows_fn *fn, const void *arg, int n_rows);

/* Work on granules [granule0, granule1) of 64 outputs each. */
typedef void mqa_granules_fn(const mqa_step *step, const void *arg, int granule0, int granule1, int worker);
void mqa_over_granules(const mqa_step *step, mqa_granules_fn *fn, const void *arg, int n_granules,
                       int at_most);

/* y = W x for several matrices of the same inputs, in one run of the pool. */
typedef struct mqa_product {
    const mqa_matrix *w;
    float *y;
    size_t y_stride; /* a multiple of 64, at least n_out */
} mqa_product;
void mqa_multiply(const mqa_step *step, const mqa_inputs *in, const mqa_product *products, int n_products);

/* For each head h: y = W_h x, of in's row h * rows_apart + r for row r of the step. w holds the heads'
 * outputs, n_out each, one head after the other with room for a multiple of 64; result o of row r lands at
 * y[r * y_stride + h * y_stride_head + o], wherever that is. */
typedef struct mqa_heads_product {
    const mqa_matrix *w;
    const mqa_inputs *in;
    int n_heads, n_out, rows_apart;
    float *y;
    size_t y_stride, y_stride_head;
} mqa_heads_product;
void mqa_multiply_heads(const mqa_step *step, const mqa_heads_product *product);

/* A thread's scratch: the kernels' own part, a panel of results, and a row of either width. */
#define MQA_PANEL_FLOATS 32768
typedef struct mqa_worker {
    void *kernel;
    float *panel; /* [MQA_PANEL_FLOATS] */
    float *row;   /* [the widest row of a step] */
} mqa_worker;
mqa_worker mqa_worker_scratch(const mqa_step *step, int worker);

static inline float *mqa_row_of(float *base, int row, int width)
{
    return base + (size_t)row * (size_t)width;
}

/* A row that isn't finite is noted. */
static inline void mqa_set_inputs(const mqa_step *step, const mqa_inputs *in, int row, int rows,
                                  const float *x, int stride)
{
    if (!mqa_inputs_set(step->kernels, in, row, rows, x, (size_t)stride)) atomic_store(step->not_finite, 1);
}

#endif
