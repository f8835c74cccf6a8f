/* Loading: tensors of a file into packed matrices and vectors, each checked against the shape that the
 * hyperparameters ask for. Errors name the tensor or the key.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_WEIGHTS_H
#define MQA_MODEL_WEIGHTS_H

#include "model/model.h"

typedef struct mqa_loader {
    mqa_context *ctx;
    const mqa_gguf *gguf;
    const mqa_model_options *options;
    mqa_model *model;               /* its counts of bytes and parameters are kept up to date */
    const mqa_gguf_tensor **loaded; /* [n_loaded]; room for all */
    size_t n_loaded;
    size_t done, total;     /* bytes of tensors, for progress */
    unsigned char *scratch; /* of the matrix being packed: one part for each thread */
    size_t scratch_bytes;
} mqa_loader;

mqa_status mqa_loader_create(mqa_model *model, const mqa_gguf *gguf, const mqa_model_options *options,
                             mqa_loader *out, mqa_error *err);
void mqa_loader_destroy(mqa_loader *loader);

/* layer >= 0: the tensor "blk.<layer>.<name>"; -1: the tensor "<name>". */
bool mqa_has_tensor(const mqa_loader *loader, int layer, const char *name);
mqa_status mqa_load_matrix(mqa_loader *loader, int layer, const char *name, int n_in, int n_out,
                           mqa_matrix *out, mqa_error *err);
/* A block of n_out x n_in for each head, the tensor's third dimension. In *out each head's outputs have room
 * for a multiple of 64: output o of head h is h * round_up(n_out, 64) + o (mqa_multiply_heads). */
mqa_status mqa_load_heads(mqa_loader *loader, int layer, const char *name, int n_heads, int n_in, int n_out,
                          mqa_matrix *out, mqa_error *err);
/* The same two matrices, W_UK transposed and W_UV, from a file that has both in one: for each head rows of
 * kv_rank values, `nope` for the key, then out_dim for the value. */
mqa_status mqa_load_unfolded_heads(mqa_loader *loader, int layer, const char *name, const mqa_hparams *hp,
                                   mqa_matrix *k_b, mqa_matrix *v_b, mqa_error *err);
mqa_status mqa_load_vector(mqa_loader *loader, int layer, const char *name, int n, mqa_vector *out,
                           mqa_error *err);
/* MQA_ERR_UNSUPPORTED if the file holds a tensor that nothing has loaded: it would mean something. */
mqa_status mqa_loader_check_all_used(mqa_loader *loader, mqa_error *err);

/* model->layers of hp.n_layers, all zeroes: global layers without weights. */
mqa_status mqa_model_make_layers(mqa_model *model, mqa_error *err);

/* What every architecture here has: token_embd, output_norm, output where it isn't tied; and of a layer the
 * norms before attention and FFN, q, k, v, the output projection, gate, up, down. */
mqa_status mqa_load_common(mqa_loader *loader, mqa_model *model, mqa_error *err);
mqa_status mqa_load_layer_common(mqa_loader *loader, mqa_model *model, int layer, mqa_error *err);
/* The last five of those: what follows attention. */
mqa_status mqa_load_layer_rest(mqa_loader *loader, mqa_model *model, int layer, mqa_error *err);

#endif
