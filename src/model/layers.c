/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers.h"

#include <string.h>

#include "model/parallel.h"

/* in_embd = norm(x) of one row. */
static void norm_to_inputs(const mqa_step *step, const mqa_vector *norm, int row, int worker)
{
    const mqa_workspace *ws = step->ws;
    float *normed = mqa_worker_scratch(step, worker).row;
    step->kernels->rows.rms_norm(mqa_row_of(ws->x, row, ws->embd_width), norm->data, norm->n,
                                 step->model->hp.norm_eps, normed);
    mqa_set_inputs(step, &ws->in_embd, row, 1, normed, norm->n);
}

/* ---- embedding ---- */

static int64_t position_of(const mqa_step *step, int row)
{
    const mqa_segment *s = step->segments;
    while (row >= s->n_rows) row -= s++->n_rows;
    return s->position + row;
}

static void embed_rows(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    const mqa_hparams *hp = &step->model->hp;
    const mqa_workspace *ws = step->ws;
    for (int row = row0; row < row1; row++) {
        float *x = mqa_row_of(ws->x, row, ws->embd_width);
        mqa_matrix_unpack_row(&step->model->embd, step->tokens[row], x);
        if (hp->embd_scale != 1) step->kernels->rows.scale(x, x, hp->embd_scale, hp->n_embd);
        norm_to_inputs(step, arg, row, worker);

        for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) {
            const mqa_rope *rope = step->model->rope[kind];
            if (rope)
                mqa_rope_table_at(rope, position_of(step, row),
                                  mqa_row_of(ws->rope_cos[kind], row, rope->n_dims / 2),
                                  mqa_row_of(ws->rope_sin[kind], row, rope->n_dims / 2));
        }
    }
}

void mqa_embed(mqa_step *step, const mqa_vector *norm)
{
    mqa_over_rows(step, embed_rows, norm, step->n_rows);
}

/* ---- attention ---- */

void mqa_project_qkv(mqa_step *step, const mqa_layer *layer)
{
    const mqa_workspace *ws = step->ws;
    const mqa_product products[] = {{&layer->q, ws->q, (size_t)ws->q_width},
                                    {&layer->k, ws->k, (size_t)ws->kv_width},
                                    {&layer->v, ws->v, (size_t)ws->kv_width}};
    mqa_multiply(step, &ws->in_embd, products, 3);
}

static void rotate_heads(const mqa_step *step, const mqa_layer *layer, float *x, int n_heads,
                         const mqa_vector *norm, int row)
{
    const mqa_hparams *hp = &step->model->hp;
    const mqa_row_kernels *kernels = &step->kernels->rows;
    const mqa_rope *rope = step->model->rope[layer->kind];
    const float *c = mqa_row_of(step->ws->rope_cos[layer->kind], row, rope->n_dims / 2);
    const float *s = mqa_row_of(step->ws->rope_sin[layer->kind], row, rope->n_dims / 2);
    for (int head = 0; head < n_heads; head++, x += hp->head_dim) {
        if (norm->data) kernels->rms_norm(x, norm->data, hp->head_dim, hp->norm_eps, x);
        mqa_rope_turn(rope, kernels, x, c, s);
    }
}

static void rotate_rows(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    (void)worker;
    const mqa_layer *layer = arg;
    const mqa_hparams *hp = &step->model->hp;
    const mqa_workspace *ws = step->ws;
    for (int row = row0; row < row1; row++) {
        rotate_heads(step, layer, mqa_row_of(ws->q, row, ws->q_width), hp->n_heads, &layer->q_norm, row);
        rotate_heads(step, layer, mqa_row_of(ws->k, row, ws->kv_width), hp->n_kv_heads, &layer->k_norm, row);
    }
}

void mqa_rotate(mqa_step *step, const mqa_layer *layer)
{
    mqa_over_rows(step, rotate_rows, layer, step->n_rows);
}

/* The rows that nobody waits for end here. */
static void keep_wanted(mqa_step *step)
{
    const mqa_workspace *ws = step->ws;
    for (int i = 0; i < step->n_wanted; i++) {
        const int row = step->wanted[i];
        if (row == i) continue;
        memcpy(mqa_row_of(ws->x, i, ws->embd_width), mqa_row_of(ws->x, row, ws->embd_width),
               (size_t)ws->embd_width * sizeof(float));
        memcpy(mqa_row_of(ws->attn, i, ws->q_width), mqa_row_of(ws->attn, row, ws->q_width),
               (size_t)ws->q_width * sizeof(float));
    }
    step->n_rows = step->n_wanted;
}

/* Tokens [from, to) of a segment's rows, which begin at row `row` of the step. */
static mqa_status write_tokens(const mqa_step *step, const mqa_layer *layer, const mqa_segment *s, int row,
                               int from, int to, mqa_error *err)
{
    const mqa_workspace *ws = step->ws;
    const size_t stride = (size_t)ws->kv_width;
    const mqa_hparams *hp = &step->model->hp;
    return mqa_sequence_write(s->sequence[layer->kind], layer->cache_layer, s->position + from, to - from,
                              mqa_row_of(ws->k, row + from, ws->kv_width), stride, (size_t)hp->head_dim,
                              mqa_row_of(ws->v, row + from, ws->kv_width), stride, (size_t)hp->v_dim, err);
}

/* How many granules a segment's rows are in. */
static int granules_of(const mqa_segment *s)
{
    return (int)((s->position + s->n_rows - 1) / MQA_GRANULE - s->position / MQA_GRANULE) + 1;
}

typedef struct write_job {
    const mqa_step *step;
    const mqa_layer *layer;
    atomic_int failed;
} write_job;

/* A granule of a segment: granules are counted through all segments. */
static void write_granule(void *arg, int granule, int worker)
{
    (void)worker;
    write_job *job = arg;
    const mqa_segment *s = job->step->segments;
    int row = 0;
    for (; granule >= granules_of(s); row += s++->n_rows) granule -= granules_of(s);
    const int first = (int)(s->position % MQA_GRANULE), begin = granule * MQA_GRANULE - first;
    const int end = begin + MQA_GRANULE < s->n_rows ? begin + MQA_GRANULE : s->n_rows;
    if (write_tokens(job->step, job->layer, s, row, begin > 0 ? begin : 0, end, NULL) != MQA_OK)
        atomic_store(&job->failed, 1);
}

static mqa_status write_one_by_one(const mqa_step *step, const mqa_layer *layer, mqa_error *err)
{
    int row = 0;
    for (int i = 0; i < step->n_segments; row += step->segments[i++].n_rows)
        MQA_TRY(write_tokens(step, layer, &step->segments[i], row, 0, step->segments[i].n_rows, err));
    return MQA_OK;
}

static mqa_status write_cache(const mqa_step *step, const mqa_layer *layer, mqa_error *err)
{
    enum { WORTH_IT = 4096 }; /* values; fewer are packed before other threads are there */
    if ((size_t)step->n_rows * (size_t)step->ws->kv_width < WORTH_IT)
        return write_one_by_one(step, layer, err);
    write_job job = {.step = step, .layer = layer};
    int n_granules = 0;
    for (int i = 0; i < step->n_segments; i++) n_granules += granules_of(&step->segments[i]);
    mqa_pool_run(step->pool, write_granule, &job, n_granules);
    if (!atomic_load(&job.failed)) return MQA_OK;
    return write_one_by_one(step, layer, err); /* it fails again, and says where */
}

mqa_status mqa_attend(mqa_step *step, const mqa_layer *layer, bool last, mqa_error *err)
{
    const mqa_workspace *ws = step->ws;
    const size_t stride = (size_t)ws->q_width, head = (size_t)step->model->hp.head_dim;
    MQA_TRY(write_cache(step, layer, err));
    if (step->observer->attends) MQA_TRY(step->observer->attends(step->observer->user, step, layer, err));
    if (last && step->n_wanted == 0) {
        step->n_rows = 0;
        return MQA_OK;
    }
    const mqa_run run = {.struct_size = sizeof run,
                         .layer = layer->cache_layer,
                         .q = ws->q,
                         .q_stride_token = stride,
                         .q_stride_head = head,
                         .out = ws->attn,
                         .out_stride_token = stride,
                         .out_stride_head = (size_t)step->model->hp.v_dim};
    MQA_TRY(mqa_plan_run(step->plan[layer->kind], &run, err));
    if (last) keep_wanted(step);
    return MQA_OK;
}

static void attn_to_inputs(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    (void)arg, (void)worker;
    const mqa_workspace *ws = step->ws;
    mqa_set_inputs(step, &ws->in_attn, row0, row1 - row0, mqa_row_of(ws->attn, row0, ws->q_width),
                   ws->q_width);
}

void mqa_project_out(mqa_step *step, const mqa_layer *layer)
{
    const mqa_workspace *ws = step->ws;
    const mqa_product product = {&layer->out, ws->y, (size_t)ws->embd_width};
    mqa_over_rows(step, attn_to_inputs, NULL, step->n_rows);
    mqa_multiply(step, &ws->in_attn, &product, 1);
}

/* ---- residual stream ---- */

typedef struct residual_job {
    const mqa_vector *post, *next;
} residual_job;

static void residual_rows(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    const residual_job *job = arg;
    const mqa_hparams *hp = &step->model->hp;
    const mqa_workspace *ws = step->ws;
    const mqa_row_kernels *kernels = &step->kernels->rows;
    for (int row = row0; row < row1; row++) {
        float *y = mqa_row_of(ws->y, row, ws->embd_width);
        if (job->post) kernels->rms_norm(y, job->post->data, hp->n_embd, hp->norm_eps, y);
        kernels->add(mqa_row_of(ws->x, row, ws->embd_width), y, hp->n_embd);
        norm_to_inputs(step, job->next, row, worker);
    }
}

void mqa_residual(mqa_step *step, const mqa_vector *post_norm, const mqa_vector *next_norm)
{
    const residual_job job = {.post = post_norm, .next = next_norm};
    mqa_over_rows(step, residual_rows, &job, step->n_rows);
}

/* ---- feed forward ---- */

typedef struct gated_job {
    const mqa_layer *layer;
    mqa_gated_fn *gated;
} gated_job;

/* 64 columns of gate, up and what comes of them, for as many rows at a time as a panel holds. */
static void gated_granule(const mqa_step *step, const gated_job *job, int granule, const mqa_worker *worker)
{
    enum { ROWS = MQA_PANEL_FLOATS / (2 * MQA_GRANULE) };
    const mqa_workspace *ws = step->ws;
    const int n_ff = step->model->hp.n_ff, column = granule * MQA_GRANULE;
    const int n = n_ff - column < MQA_GRANULE ? n_ff - column : MQA_GRANULE;
    float *gate = worker->panel, *up = worker->panel + ROWS * MQA_GRANULE;
    for (int row = 0; row < step->n_rows; row += ROWS) {
        const int rows = step->n_rows - row < ROWS ? step->n_rows - row : ROWS;
        mqa_matrix_run(step->kernels, &job->layer->gate, &ws->in_embd, row, rows, granule, granule + 1, gate,
                       MQA_GRANULE, worker->kernel);
        mqa_matrix_run(step->kernels, &job->layer->up, &ws->in_embd, row, rows, granule, granule + 1, up,
                       MQA_GRANULE, worker->kernel);
        for (int r = 0; r < rows; r++) {
            float *g = gate + (size_t)r * MQA_GRANULE;
            job->gated(g, up + (size_t)r * MQA_GRANULE, n, g);
            if (ws->act)
                memcpy(ws->act + (size_t)(row + r) * (size_t)n_ff + column, g, (size_t)n * sizeof(float));
            else
                mqa_inputs_set_columns(step->kernels, &ws->in_ff, row + r, column, n, g);
        }
    }
}

static void gated_granules(const mqa_step *step, const void *arg, int granule0, int granule1, int worker)
{
    const mqa_worker scratch = mqa_worker_scratch(step, worker);
    for (int g = granule0; g < granule1; g++) gated_granule(step, arg, g, &scratch);
}

static void act_to_inputs(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    (void)arg, (void)worker;
    const int n_ff = step->model->hp.n_ff;
    mqa_set_inputs(step, &step->ws->in_ff, row0, row1 - row0, mqa_row_of(step->ws->act, row0, n_ff), n_ff);
}

void mqa_feed_forward(mqa_step *step, const mqa_layer *layer, mqa_gated_fn *gated)
{
    if (step->n_rows == 0) return;
    const mqa_workspace *ws = step->ws;
    const gated_job job = {.layer = layer, .gated = gated};
    const int n_granules = mqa_matrix_granules(&layer->gate);
    mqa_over_granules(step, gated_granules, &job, n_granules, n_granules);
    if (ws->act) mqa_over_rows(step, act_to_inputs, NULL, step->n_rows);
    const mqa_product product = {&layer->down, ws->y, (size_t)ws->embd_width};
    mqa_multiply(step, &ws->in_ff, &product, 1);
}

/* ---- logits ---- */

/* Through a panel, since rows of logits lie wherever the caller wants them and aren't padded. */
enum { HEAD_GRANULES = 4, HEAD_ROWS = MQA_PANEL_FLOATS / (HEAD_GRANULES * MQA_GRANULE) };

static void head_granules(const mqa_step *step, const void *arg, int granule0, int granule1, int worker)
{
    (void)arg;
    const mqa_worker scratch = mqa_worker_scratch(step, worker);
    const int column0 = granule0 * MQA_GRANULE, n_vocab = step->model->hp.n_vocab;
    const int n = (granule1 * MQA_GRANULE < n_vocab ? granule1 * MQA_GRANULE : n_vocab) - column0;
    const size_t stride = (size_t)HEAD_GRANULES * MQA_GRANULE;
    for (int row = 0; row < step->n_rows; row += HEAD_ROWS) {
        const int rows = step->n_rows - row < HEAD_ROWS ? step->n_rows - row : HEAD_ROWS;
        mqa_matrix_run(step->kernels, mqa_model_head(step->model), &step->ws->in_embd, row, rows, granule0,
                       granule1, scratch.panel, stride, scratch.kernel);
        for (int r = 0; r < rows; r++)
            memcpy(step->logits[row + r] + column0, scratch.panel + (size_t)r * stride,
                   (size_t)n * sizeof(float));
    }
}

mqa_status mqa_head(mqa_step *step, mqa_error *err)
{
    if (step->n_rows > 0)
        mqa_over_granules(step, head_granules, NULL, mqa_matrix_granules(mqa_model_head(step->model)),
                          HEAD_GRANULES);
    if (atomic_load(step->not_finite))
        return mqa_fail(err, MQA_ERR_NOT_FINITE,
                        "an activation is not finite: the model's weights are damaged or too large");
    return MQA_OK;
}
