/* SPDX-License-Identifier: Apache-2.0 */
#include "model/parallel.h"

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
