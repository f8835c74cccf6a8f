/* The memory that steps work in, taken once per session.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model/layers.h"
#include "model/parallel.h"

static unsigned form_of(const mqa_matrix *w)
{
    return w->n_out > 0 ? 1u << w->form : 0;
}

/* The forms in which each kind of rows is wanted by some matrix, and the kernels' scratch. */
typedef struct needs {
    unsigned embd, attn, ff;
    size_t kernel_bytes;
} needs;

static void need_matrix(needs *n, unsigned *forms, const mqa_matrix *w)
{
    *forms |= form_of(w);
    const size_t bytes = mqa_matrix_scratch_bytes(w);
    if (bytes > n->kernel_bytes) n->kernel_bytes = bytes;
}

static needs needs_of(const mqa_model *model)
{
    needs n = {0};
    need_matrix(&n, &n.embd, mqa_model_head(model));
    for (int i = 0; i < model->hp.n_layers; i++) {
        const mqa_layer *l = &model->layers[i];
        need_matrix(&n, &n.embd, &l->q);
        need_matrix(&n, &n.embd, &l->k);
        need_matrix(&n, &n.embd, &l->v);
        need_matrix(&n, &n.embd, &l->gate);
        need_matrix(&n, &n.embd, &l->up);
        need_matrix(&n, &n.attn, &l->out);
        need_matrix(&n, &n.ff, &l->down);
    }
    n.kernel_bytes = mqa_round_up(n.kernel_bytes, MQA_CACHE_LINE);
    return n;
}

static int widest_row(const mqa_hparams *hp)
{
    const int q = hp->n_heads * hp->head_dim;
    return (int)mqa_round_up((size_t)(hp->n_embd > q ? hp->n_embd : q), MQA_GRANULE);
}

/* Hands out parts of the memory from at on; where base is NULL it only counts. */
typedef struct carver {
    unsigned char *base;
    size_t used;
} carver;

static void *carve(carver *c, size_t bytes)
{
    void *p = c->base ? c->base + c->used : NULL;
    c->used += mqa_round_up(bytes, MQA_CACHE_LINE);
    return p;
}

static float *carve_rows(carver *c, int rows, int width)
{
    return carve(c, (size_t)rows * (size_t)width * sizeof(float));
}

static void carve_inputs(carver *c, unsigned forms, int n_in, int rows, mqa_inputs *out)
{
    unsigned char *memory = carve(c, mqa_inputs_bytes(forms, n_in, rows));
    if (memory) mqa_inputs_make(forms, n_in, rows, memory, out);
}

static size_t lay_out(const mqa_model *model, const needs *n, int n_threads, unsigned char *memory,
                      mqa_workspace *ws)
{
    const mqa_hparams *hp = &model->hp;
    const int rows = ws->max_rows, q_width = hp->n_heads * hp->head_dim;
    carver c = {.base = memory};
    ws->embd_width = (int)mqa_round_up((size_t)hp->n_embd, MQA_GRANULE);
    ws->q_width = (int)mqa_round_up((size_t)q_width, MQA_GRANULE);
    ws->kv_width = (int)mqa_round_up((size_t)hp->n_kv_heads * (size_t)hp->head_dim, MQA_GRANULE);
    ws->x = carve_rows(&c, rows, ws->embd_width);
    ws->y = carve_rows(&c, rows, ws->embd_width);
    ws->q = carve_rows(&c, rows, ws->q_width);
    ws->attn = carve_rows(&c, rows, ws->q_width);
    ws->k = carve_rows(&c, rows, ws->kv_width);
    ws->v = carve_rows(&c, rows, ws->kv_width);
    ws->act = n->ff >> 1 ? carve_rows(&c, rows, (int)mqa_round_up((size_t)hp->n_ff, MQA_GRANULE)) : NULL;
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) {
        if (!model->rope[kind]) continue;
        ws->rope_cos[kind] = carve_rows(&c, rows, model->rope[kind]->n_dims / 2);
        ws->rope_sin[kind] = carve_rows(&c, rows, model->rope[kind]->n_dims / 2);
    }
    carve_inputs(&c, n->embd, hp->n_embd, rows, &ws->in_embd);
    carve_inputs(&c, n->attn, q_width, rows, &ws->in_attn);
    carve_inputs(&c, n->ff, hp->n_ff, rows, &ws->in_ff);
    ws->worker_bytes = n->kernel_bytes + (MQA_PANEL_FLOATS + (size_t)widest_row(hp)) * sizeof(float);
    ws->workers = carve(&c, (size_t)n_threads * ws->worker_bytes);
    return c.used;
}

mqa_status mqa_workspace_create(const mqa_model *model, int chunk, mqa_workspace *out, mqa_error *err)
{
    const needs n = needs_of(model);
    const int n_threads = mqa_pool_n_threads(model->ctx->pool);
    *out = (mqa_workspace){.max_rows = chunk};
    const size_t bytes = lay_out(model, &n, n_threads, NULL, out);
    unsigned char *memory = mqa_alloc(model->ctx->allocator, bytes);
    if (!memory)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY,
                        "no memory for the activations of %d rows (%zu bytes); ask for a smaller chunk",
                        chunk, bytes);
    lay_out(model, &n, n_threads, memory, out);
    out->memory = memory;
    out->bytes = bytes;
    return MQA_OK;
}

void mqa_workspace_destroy(const mqa_model *model, mqa_workspace *ws)
{
    mqa_release(model->ctx->allocator, ws->memory, ws->bytes);
    *ws = (mqa_workspace){0};
}

mqa_worker mqa_worker_scratch(const mqa_step *step, int worker)
{
    const mqa_workspace *ws = step->ws;
    unsigned char *part = ws->workers + (size_t)worker * ws->worker_bytes;
    float *row = (float *)(part + ws->worker_bytes) - widest_row(&step->model->hp);
    return (mqa_worker){.kernel = part, .panel = row - MQA_PANEL_FLOATS, .row = row};
}
