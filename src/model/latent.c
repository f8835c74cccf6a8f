/* SPDX-License-Identifier: Apache-2.0 */
#include "model/latent.h"

#include <string.h>

#include "model/parallel.h"

/* ---- queries and keys ---- */

static void norm_q_a(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    (void)worker;
    const mqa_layer *layer = arg;
    const mqa_latent_workspace *ws = &step->ws->latent;
    const mqa_hparams *hp = &step->model->hp;
    for (int row = row0; row < row1; row++) {
        float *x = mqa_row_of(ws->q_a, row, ws->q_a_width);
        step->kernels->rows.rms_norm(x, layer->q_a_norm.data, hp->latent.q_rank, hp->norm_eps, x);
        mqa_set_inputs(step, &ws->in_q_a, row, 1, x, ws->q_a_width);
    }
}

static void project(mqa_step *step, const mqa_layer *layer)
{
    const mqa_workspace *ws = step->ws;
    const mqa_latent_workspace *own = &ws->latent;
    const mqa_product q = {&layer->q, own->q, (size_t)own->q_width};
    const mqa_product kv_a = {&layer->kv_a, ws->k, (size_t)ws->kv_width};
    if (layer->q_a.n_out == 0) {
        mqa_multiply(step, &ws->in_embd, (mqa_product[]){q, kv_a}, 2);
        return;
    }
    const mqa_product q_a = {&layer->q_a, own->q_a, (size_t)own->q_a_width};
    mqa_multiply(step, &ws->in_embd, (mqa_product[]){q_a, kv_a}, 2);
    mqa_over_rows(step, norm_q_a, layer, step->n_rows);
    mqa_multiply(step, &own->in_q_a, &q, 1);
}

/* k = [norm(c); r turned], and of each head of q the part that is turned, in its place behind the latent's.
 */
static void turn_row(const mqa_step *step, const mqa_layer *layer, int row)
{
    const mqa_hparams *hp = &step->model->hp;
    const mqa_workspace *ws = step->ws;
    const mqa_row_kernels *kernels = &step->kernels->rows;
    const mqa_rope *rope = step->model->rope[layer->kind];
    const size_t half = (size_t)row * (size_t)(rope->n_dims / 2);
    const float *c = ws->rope_cos[layer->kind] + half, *s = ws->rope_sin[layer->kind] + half;
    float *k = mqa_row_of(ws->k, row, ws->kv_width);
    kernels->rms_norm(k, layer->kv_a_norm.data, hp->latent.kv_rank, hp->norm_eps, k);
    mqa_rope_turn(rope, kernels, k, c, s);

    const float *from = mqa_row_of(ws->latent.q, row, ws->latent.q_width) + hp->latent.nope;
    float *q = mqa_row_of(ws->q, row, ws->q_width);
    for (int head = 0; head < hp->n_heads; head++, q += hp->head_dim) {
        memcpy(q + hp->latent.kv_rank, from, (size_t)hp->latent.rope * sizeof *q);
        mqa_rope_turn(rope, kernels, q, c, s);
        from += hp->latent.nope + hp->latent.rope;
    }
}

static void turn_rows(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    (void)worker;
    const mqa_latent_workspace *ws = &step->ws->latent;
    const mqa_hparams *hp = &step->model->hp;
    for (int row = row0; row < row1; row++) turn_row(step, arg, row);
    for (int head = 0; head < hp->n_heads; head++)
        mqa_set_inputs(step, &ws->in_nope, head * step->ws->max_rows + row0, row1 - row0,
                       mqa_row_of(ws->q, row0, ws->q_width) + head * (hp->latent.nope + hp->latent.rope),
                       ws->q_width);
}

void mqa_latent_project(mqa_step *step, const mqa_layer *layer)
{
    const mqa_workspace *ws = step->ws;
    const mqa_hparams *hp = &step->model->hp;
    project(step, layer);
    mqa_over_rows(step, turn_rows, layer, step->n_rows);
    const mqa_heads_product absorb = {.w = &layer->k_b,
                                      .in = &ws->latent.in_nope,
                                      .n_heads = hp->n_heads,
                                      .n_out = hp->latent.kv_rank,
                                      .rows_apart = ws->max_rows,
                                      .y = ws->q,
                                      .y_stride = (size_t)ws->q_width,
                                      .y_stride_head = (size_t)hp->head_dim};
    mqa_multiply_heads(step, &absorb);
}

/* ---- values ---- */

static void latents_to_inputs(const mqa_step *step, const void *arg, int row0, int row1, int worker)
{
    (void)arg, (void)worker;
    const mqa_workspace *ws = step->ws;
    const mqa_hparams *hp = &step->model->hp;
    for (int head = 0; head < hp->n_heads; head++)
        mqa_set_inputs(step, &ws->latent.in_latent, head * ws->max_rows + row0, row1 - row0,
                       mqa_row_of(ws->attn, row0, ws->q_width) + head * hp->v_dim, ws->q_width);
}

void mqa_latent_unfold(mqa_step *step, const mqa_layer *layer)
{
    const mqa_workspace *ws = step->ws;
    const mqa_hparams *hp = &step->model->hp;
    mqa_over_rows(step, latents_to_inputs, NULL, step->n_rows);
    const mqa_heads_product unfold = {.w = &layer->v_b,
                                      .in = &ws->latent.in_latent,
                                      .n_heads = hp->n_heads,
                                      .n_out = hp->out_dim,
                                      .rows_apart = ws->max_rows,
                                      .y = ws->attn,
                                      .y_stride = (size_t)ws->q_width,
                                      .y_stride_head = (size_t)hp->out_dim};
    mqa_multiply_heads(step, &unfold);
}
