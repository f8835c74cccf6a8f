/* Rotary position embedding (RoFormer, arXiv:2104.09864): pairs of a vector are turned by position-dependent
 * angles.
 *
 *     angle_i = position * f_i,   f_i = base^(-2i / n_dims) changed by the scaling,   i = 0 .. n_dims/2 - 1
 *     (x, y) -> a * (x cos - y sin, x sin + y cos),   a: YaRN's attention factor, else 1
 *
 * Angles are computed in binary64 by the library's own functions, so the bits are the same on every CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ROPE_H
#define MQA_ROPE_H

#include <stddef.h>
#include <stdint.h>

#include "mqa/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mqa_rope_style {
    MQA_ROPE_NEOX = 0, /* pair i is (x[i], x[i + n_dims/2]): GPT-NeoX, Gemma, Qwen, Llama in transformers */
    MQA_ROPE_ADJACENT = 1 /* pair i is (x[2i], x[2i + 1]): GPT-J, Llama in GGUF */
} mqa_rope_style;

typedef enum mqa_rope_scaling {
    MQA_ROPE_SCALING_NONE = 0,
    MQA_ROPE_SCALING_LINEAR = 1, /* f_i / factor (arXiv:2306.15595) */
    MQA_ROPE_SCALING_LLAMA3 = 2, /* by wavelength between low_freq_factor and high_freq_factor (Llama 3.1) */
    MQA_ROPE_SCALING_YARN = 3    /* arXiv:2309.00071, as transformers computes it */
} mqa_rope_scaling;

typedef struct mqa_rope_config {
    size_t struct_size; /* sizeof(mqa_rope_config), set by mqa_rope_config_default */
    int n_dims;         /* so many dims of a head are turned, the rest stays (partial RoPE); even */
    int first_dim;      /* from this one on; 0 (absorbed MLA: 512 of 576) */
    mqa_rope_style style;
    double base; /* 10000 */
    mqa_rope_scaling scaling;
    double factor;                            /* LINEAR, LLAMA3, YARN: by how much the context grows; 1 */
    double original_context;                  /* LLAMA3, YARN: tokens that the model was trained on */
    double low_freq_factor, high_freq_factor; /* LLAMA3: 1, 4 */
    double beta_fast, beta_slow;              /* YARN: 32, 1 */
    double attention_factor;                  /* YARN: a; 0: 0.1 * log(factor) + 1 */
    const double *freq_factors; /* [n_dims/2]: f_i is divided by it besides; NULL: none. Copied */
} mqa_rope_config;

/* Read-only after its creation: any number of threads may use one. */
typedef struct mqa_rope mqa_rope;

MQA_API mqa_rope_config mqa_rope_config_default(void);
MQA_API mqa_status mqa_rope_create(mqa_context *ctx, const mqa_rope_config *config, mqa_rope **out,
                                   mqa_error *err);
MQA_API void mqa_rope_destroy(mqa_rope **rope);

/* Turns x in place: n_tokens tokens at positions position, position + 1, … of n_heads heads; element (t, h,
 * i) at x[t * stride_token + h * stride_head + i]. For K before it is written to a cache, or Q. */
MQA_API mqa_status mqa_rope_apply(const mqa_rope *rope, int64_t position, int64_t n_tokens, int n_heads,
                                  float *x, size_t stride_token, size_t stride_head, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
