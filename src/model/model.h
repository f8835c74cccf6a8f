/* What a loaded model is. Filled by an architecture's load function, read-only after it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_MODEL_H
#define MQA_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "gguf/gguf.h"
#include "kernels/context.h"
#include "kernels/rope.h"
#include "model/matrix.h"
#include "mqa/model.h"

/* The two kinds of layers; each has a cache and a plan of its own. */
typedef enum mqa_layer_kind { MQA_LAYER_GLOBAL = 0, MQA_LAYER_WINDOW = 1 } mqa_layer_kind;
#define MQA_LAYER_KINDS 2

/* Multi-head latent attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434 section 2.1): the cache
 * holds a latent of kv_rank values and a rotated key of `rope` values a token, one "KV head" for all heads,
 * whose V is the latent. See latent.h. */
typedef struct mqa_latent_hparams {
    int kv_rank;    /* 0: the model has no such attention */
    int q_rank;     /* 0: queries come straight from the residual stream */
    int nope, rope; /* values of a head's key, not rotated and rotated */
    bool unfolded;  /* the file has W_UK and W_UV as one matrix, attn_kv_b */
} mqa_latent_hparams;

typedef struct mqa_hparams {
    int n_layers, n_embd, n_ff, n_heads, n_kv_heads, n_vocab, context_length;
    int head_dim; /* of K in the cache, and of q */
    int v_dim;    /* of V in the cache; head_dim but for latent attention */
    int out_dim;  /* of a head's part of what goes into the output projection; the same */
    mqa_latent_hparams latent;
    mqa_rope_config rope[MQA_LAYER_KINDS];
    int window; /* keys that a query of a window layer sees */
    float norm_eps;
    float sm_scale;
    float embd_scale; /* embedding rows are multiplied by it where it isn't 1 */
} mqa_hparams;

/* A vector of weights; data NULL where the model has none. */
typedef struct mqa_vector {
    float *data;
    int n;
} mqa_vector;

typedef struct mqa_layer {
    mqa_vector attn_norm, q_norm, k_norm, post_attn_norm, ffn_norm, post_ffn_norm;
    mqa_matrix q, k, v, out, gate, up, down;
    /* Latent attention: q_a, its norm and q are the query's two halves (or q alone); kv_a gives latent and
     * rotated key; k_b and v_b are W_UK and W_UV, a block for each head. */
    mqa_vector q_a_norm, kv_a_norm;
    mqa_matrix q_a, kv_a, k_b, v_b;
    mqa_layer_kind kind;
    int cache_layer; /* which layer of its kind's cache */
} mqa_layer;

struct mqa_step;
struct mqa_loader;
typedef struct mqa_arch {
    const char *name; /* general.architecture */
    /* Reads and checks the file's keys, sets the layers' kinds, and loads the tensors. */
    mqa_status (*load)(struct mqa_loader *loader, mqa_model *model, mqa_error *err);
    /* Tokens of a step to logits, by the building blocks of layers.h. */
    mqa_status (*forward)(struct mqa_step *step, mqa_error *err);
} mqa_arch;

struct mqa_model {
    mqa_context *ctx;
    const mqa_arch *arch;
    mqa_hparams hp;
    mqa_layer *layers; /* [hp.n_layers] */
    int n_layers_of[MQA_LAYER_KINDS];
    mqa_rope *rope[MQA_LAYER_KINDS]; /* NULL where the model has no layers of the kind */
    mqa_matrix embd, head;           /* head.n_out is 0 where the embedding is used for it */
    mqa_vector output_norm;
    mqa_tokenizer *tokenizer;
    char *name;
    size_t name_bytes;
    uint64_t n_params;
    size_t weight_bytes, file_bytes;
};

static inline const mqa_matrix *mqa_model_head(const mqa_model *model)
{
    return model->head.n_out > 0 ? &model->head : &model->embd;
}

extern const mqa_arch mqa_arch_deepseek2, mqa_arch_gemma3, mqa_arch_llama;

#endif
