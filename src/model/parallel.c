/* SPDX-License-Identifier: Apache-2.0 */
#include "model/parallel.h"

#include <string.h>

enum {
    FEW_ROWS = 4,         /* not worth a run of the pool */
    TASKS_PER_THREAD = 8, /* so that threads end together though one is disturbed */
    ROWS_AT_ONCE = 256    /* quantised rows that stay in L2 while tiles go by */
};

static int pieces(const mqa_step *step, int n, int at_most)
{
    const int tasks = mqa_pool_n_threads(step->pool) * TASKS_PER_THREAD;
    const int size = (n + tasks - 1) / tasks;
    return size > at_most ? at_most : size;
}

typedef struct cut {
    const mqa_step *step;
    void (*fn)(const mqa_step *step, const void *arg, int begin, int end, int worker);
    const void *arg;
    int n, size;
} cut;

static void cut_task(void *arg, int task, int worker)
{
    const cut *c = arg;
    const int begin = task * c->size, end = c->n - begin < c->size ? c->n : begin + c->size;
    c->fn(c->step, c->arg, begin, end, worker);
}

static void run_cut(cut c)
{
    if (c.n > 0) mqa_pool_run(c.step->pool, cut_task, &c, (c.n + c.size - 1) / c.size);
}

void mqa_over_rows(const mqa_step *step, mqa_rows_fn *fn, const void *arg, int n_rows)
{
    const int size = n_rows <= FEW_ROWS ? FEW_ROWS : pieces(step, n_rows, n_rows);
    run_cut((cut){.step = step, .fn = fn, .arg = arg, .n = n_rows, .size = size});
}

void mqa_over_granules(const mqa_step *step, mqa_granules_fn *fn, const void *arg, int n_granules,
                       int at_most)
{
    run_cut((cut){
        .step = step, .fn = fn, .arg = arg, .n = n_granules, .size = pieces(step, n_granules, at_most)});
}

typedef struct multiply_job {
    const mqa_inputs *in;
    const mqa_product *products;
    int n_products;
} multiply_job;

static void multiply_part(const mqa_step *step, const mqa_inputs *in, const mqa_product *p, int granule0,
                          int granule1, void *scratch)
{
    for (int row = 0; row < step->n_rows; row += ROWS_AT_ONCE) {
        const int rows = step->n_rows - row < ROWS_AT_ONCE ? step->n_rows - row : ROWS_AT_ONCE;
        mqa_matrix_run(step->kernels, p->w, in, row, rows, granule0, granule1,
                       p->y + (size_t)row * p->y_stride + (size_t)granule0 * MQA_GRANULE, p->y_stride,
                       scratch);
    }
}

/* Granules are counted through all products. */
static void multiply_granules(const mqa_step *step, const void *arg, int granule0, int granule1, int worker)
{
    const multiply_job *job = arg;
    void *scratch = mqa_worker_scratch(step, worker).kernel;
    int first = 0;
    for (int i = 0; i < job->n_products; i++) {
        const mqa_product *p = &job->products[i];
        const int n = mqa_matrix_granules(p->w);
        const int begin = granule0 > first ? granule0 - first : 0,
                  end = granule1 - first < n ? granule1 - first : n;
        if (begin < end) multiply_part(step, job->in, p, begin, end, scratch);
        first += n;
    }
}

void mqa_multiply(const mqa_step *step, const mqa_inputs *in, const mqa_product *products, int n_products)
{
    if (step->n_rows == 0) return;
    int n_granules = 0;
    for (int i = 0; i < n_products; i++) n_granules += mqa_matrix_granules(products[i].w);
    const multiply_job job = {.in = in, .products = products, .n_products = n_products};
    mqa_over_granules(step, multiply_granules, &job, n_granules, n_granules);
}

/* Granules [granule0, granule1) of one head, through a panel: y isn't padded as the kernels want it. */
static void multiply_head_part(const mqa_step *step, const mqa_heads_product *p, int head, int granule0,
                               int granule1, const mqa_worker *worker)
{
    const int per_head = (p->n_out + MQA_GRANULE - 1) / MQA_GRANULE,
              width = (granule1 - granule0) * MQA_GRANULE;
    const int column = (granule0 - head * per_head) * MQA_GRANULE, at_once = MQA_PANEL_FLOATS / width;
    const int n = p->n_out - column < width ? p->n_out - column : width;
    float *y = p->y + (size_t)head * p->y_stride_head + column;
    for (int row = 0; row < step->n_rows; row += at_once) {
        const int rows = step->n_rows - row < at_once ? step->n_rows - row : at_once;
        mqa_matrix_run(step->kernels, p->w, p->in, head * p->rows_apart + row, rows, granule0, granule1,
                       worker->panel, (size_t)width, worker->kernel);
        for (int r = 0; r < rows; r++)
            memcpy(y + (size_t)(row + r) * p->y_stride, worker->panel + (size_t)r * (size_t)width,
                   (size_t)n * sizeof(float));
    }
}

static void multiply_heads_granules(const mqa_step *step, const void *arg, int granule0, int granule1,
                                    int worker)
{
    enum { AT_ONCE = MQA_PANEL_FLOATS / (ROWS_AT_ONCE * MQA_GRANULE) };
    const mqa_heads_product *p = arg;
    const mqa_worker scratch = mqa_worker_scratch(step, worker);
    const int per_head = mqa_matrix_granules(p->w) / p->n_heads;
    for (int g = granule0, end; g < granule1; g = end) {
        const int head = g / per_head, head_end = (head + 1) * per_head;
        end = granule1 < head_end ? granule1 : head_end;
        if (end - g > AT_ONCE && step->n_rows > AT_ONCE) end = g + AT_ONCE;
        multiply_head_part(step, p, head, g, end, &scratch);
    }
}

void mqa_multiply_heads(const mqa_step *step, const mqa_heads_product *product)
{
    if (step->n_rows == 0) return;
    const int n_granules = mqa_matrix_granules(product->w);
    mqa_over_granules(step, multiply_heads_granules, product, n_granules, n_granules);
}
