/* A model of random weights: llama's architecture with a K and a V for every head, from which
 * variant_model.h makes the others.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_COMPARE_RANDOM_MODEL_H
#define MQA_COMPARE_RANDOM_MODEL_H

#include <stdint.h>

#include "base/status.h"

typedef struct mqa_random_model {
    int n_layers, n_embd, n_ff, n_heads, head_dim, n_vocab;
    int context_length;
    uint32_t weights; /* mqa_gguf_type of the matrices: what mqa_gguf_quantize writes */
    uint64_t seed;
} mqa_random_model;

/* Writes it to path. MQA_ERR_INVALID_ARGUMENT for a shape that is none or beyond 2^31 weights. */
mqa_status mqa_random_model_write(const mqa_random_model *model, const char *path, mqa_error *err);

#endif
