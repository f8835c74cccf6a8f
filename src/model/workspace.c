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
    unsigned embd, attn, ff, q_a, nope, latent;
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
        need_matrix(&n, l->q_a.n_out > 0 ? &n.q_a : &n.embd, &l->q);
        need_matrix(&n, &n.embd, &l->q_a);
        need_matrix(&n, &n.embd, &l->kv_a);
        need_matrix(&n, &n.nope, &l->k_b);
        need_matrix(&n, &n.latent, &l->v_b);
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

static int padded(int width)
{
    return (int)mqa_round_up((size_t)width, MQA_GRANULE);
}

/* Of q, and of attention's results before and after a latent's unfolding. */
static int q_width(const mqa_hparams *hp)
{
    return padded(hp->n_heads * (hp->head_dim > hp->out_dim ? hp->head_dim : hp->out_dim));
}

static int widest_row(const mqa_hparams *hp)
{
    const int q = q_width(hp), embd = padded(hp->n_embd);
    return embd > q ? embd : q;
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

static void lay_out_latent(const mqa_hparams *hp, const needs *n, int rows, carver *c,
                           mqa_latent_workspace *ws)
{
    const mqa_latent_hparams *l = &hp->latent;
    if (l->kv_rank == 0) return;
    ws->q_a_width = padded(l->q_rank);
    ws->q_width = padded(hp->n_heads * (l->nope + l->rope));
    ws->q_a = carve_rows(c, rows, ws->q_a_width);
    ws->q = carve_rows(c, rows, ws->q_width);
    carve_inputs(c, n->q_a, l->q_rank, rows, &ws->in_q_a);
    carve_inputs(c, n->nope, l->nope, hp->n_heads * rows, &ws->in_nope);
    carve_inputs(c, n->latent, l->kv_rank, hp->n_heads * rows, &ws->in_latent);
}

static size_t lay_out(const mqa_model *model, const needs *n, int n_threads, unsigned char *memory,
                      mqa_workspace *ws)
{
    const mqa_hparams *hp = &model->hp;
    const int rows = ws->max_rows;
    carver c = {.base = memory};
    ws->embd_width = padded(hp->n_embd);
    ws->q_width = q_width(hp);
    ws->kv_width = padded(hp->n_kv_heads * hp->head_dim);
    ws->x = carve_rows(&c, rows, ws->embd_width);
    ws->y = carve_rows(&c, rows, ws->embd_width);
    ws->q = carve_rows(&c, rows, ws->q_width);
    ws->attn = carve_rows(&c, rows, ws->q_width);
    ws->k = carve_rows(&c, rows, ws->kv_width);
    ws->v = carve_rows(&c, rows, ws->kv_width);
    ws->act = n->ff >> 1 ? carve_rows(&c, rows, padded(hp->n_ff)) : NULL;
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) {
        if (!model->rope[kind]) continue;
        ws->rope_cos[kind] = carve_rows(&c, rows, model->rope[kind]->n_dims / 2);
        ws->rope_sin[kind] = carve_rows(&c, rows, model->rope[kind]->n_dims / 2);
    }
    carve_inputs(&c, n->embd, hp->n_embd, rows, &ws->in_embd);
    carve_inputs(&c, n->attn, hp->n_heads * hp->out_dim, rows, &ws->in_attn);
    carve_inputs(&c, n->ff, hp->n_ff, rows, &ws->in_ff);
    lay_out_latent(hp, n, rows, &c, &ws->latent);
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
