/* The building blocks of which architectures make their forward pass: each takes a step, the rows of a
 * batch that go through the layers together, and works on all of its rows on all threads.
 *
 * What each block leaves for the next is in the step's workspace:
 *
 *     x    residual stream              in_embd  normed rows, ready for q, k, v, gate, up or the head
 *     q, k, v  projections              attn     attention's results, for the output projection
 *     y    what comes back to x         in_ff    activations, ready for the down projection
 *
 * A row's numbers depend on no other row: blocks cut work by rows or by outputs, never inside a sum.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_LAYERS_H
#define MQA_MODEL_LAYERS_H

#include <stdatomic.h>

#include "model/model.h"
#include "mqa/attention.h"

/* Rows of one sequence, next to each other in the step. */
typedef struct mqa_segment {
    int64_t position; /* of its first row */
    int n_rows;
    mqa_sequence *sequence[MQA_LAYER_KINDS];
} mqa_segment;

/* Of latent attention (latent.h): unused without. */
typedef struct mqa_latent_workspace {
    int q_a_width, q_width; /* floats between rows */
    float *q_a;             /* the query's first half */
    float *q;               /* queries as the projection gives them, [n_heads][nope + rope] a row */
    mqa_inputs in_q_a;
    mqa_inputs in_nope, in_latent; /* a head's rows one after the other: row h * max_rows + r */
} mqa_latent_workspace;

typedef struct mqa_workspace {
    unsigned char *memory; /* all of it */
    size_t bytes;
    int max_rows;
    int embd_width, q_width, kv_width; /* floats between rows of x and y, of q and attn, of k and v */
    float *x, *y, *q, *k, *v, *attn;
    float *act; /* [max_rows][n_ff padded], where the down projection isn't quantised; else NULL */
    float *rope_cos[MQA_LAYER_KINDS], *rope_sin[MQA_LAYER_KINDS]; /* [max_rows][n_dims / 2] */
    mqa_inputs in_embd, in_attn, in_ff;
    mqa_latent_workspace latent;
    size_t worker_bytes; /* of each thread's part of the following */
    unsigned char *workers;
} mqa_workspace;

/* chunk: the most rows of a step. */
mqa_status mqa_workspace_create(const mqa_model *model, int chunk, mqa_workspace *out, mqa_error *err);
void mqa_workspace_destroy(const mqa_model *model, mqa_workspace *ws);

struct mqa_step;
/* Looks on as a layer is about to attend: the step's queries stand in ws->q (after norm and RoPE, not yet
 * times sm_scale), its keys and values are in the cache. It runs between the step's parallel pieces, so it
 * may use the pool; it changes nothing. What it returns other than MQA_OK ends the evaluation. */
typedef struct mqa_observer {
    mqa_status (*attends)(void *user, const struct mqa_step *step, const mqa_layer *layer, mqa_error *err);
    void *user;
} mqa_observer;

typedef struct mqa_step {
    const mqa_model *model;
    const mqa_kernels *kernels;
    mqa_pool *pool;
    mqa_workspace *ws;
    mqa_plan *const *plan; /* [MQA_LAYER_KINDS], with the step's batch */
    const mqa_segment *segments;
    int n_segments;
    int n_rows;            /* in x now: after the last layer's attention, n_wanted */
    const int32_t *tokens; /* [n_rows] */
    int n_wanted;
    const int *wanted;            /* rows whose logits are asked for, ascending */
    float *const *logits;         /* [n_wanted] where they go */
    atomic_int *not_finite;       /* set where a float matrix met a value that isn't finite */
    const mqa_observer *observer; /* attends is NULL: nobody looks on */
} mqa_step;

/* Looks the tokens' rows up, makes the RoPE tables, and prepares in_embd with the first norm. */
void mqa_embed(mqa_step *step, const mqa_vector *norm);
/* q, k, v = in_embd through the layer's three projections. */
void mqa_project_qkv(mqa_step *step, const mqa_layer *layer);
/* Norms of q and k per head, where the layer has them, then RoPE. */
void mqa_rotate(mqa_step *step, const mqa_layer *layer);
/* Writes k and v into the cache and attends: attn. After the last layer's, only wanted rows stay. */
mqa_status mqa_attend(mqa_step *step, const mqa_layer *layer, bool last, mqa_error *err);
/* y = attn through the output projection. */
void mqa_project_out(mqa_step *step, const mqa_layer *layer);
/* x += norm(y) by post_norm, or y where it is NULL; then prepares in_embd with next_norm. */
void mqa_residual(mqa_step *step, const mqa_vector *post_norm, const mqa_vector *next_norm);
/* y = down(gated(gate, up)) of in_embd; gated is a kernel such as gelu_mul. */
typedef void mqa_gated_fn(const float *gate, const float *up, int n, float *y);
void mqa_feed_forward(mqa_step *step, const mqa_layer *layer, mqa_gated_fn *gated);
/* Logits of the wanted rows from in_embd. MQA_ERR_NOT_FINITE if the step met a value that isn't. */
mqa_status mqa_head(mqa_step *step, mqa_error *err);

#endif
