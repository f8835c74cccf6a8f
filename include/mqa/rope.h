/* Rotary position embedding (RoFormer, arXiv:2104.09864): pairs of a vector are turned by position-dependent
 * angles.
 *
 *     angle_i = position * f_i,   f_i = base^(-2i / n_dims) changed by the scaling,   i = 0 .. n_dims/2 - 1
 *     (x, y) -> a * (x cos - y sin, x sin + y cos),   a: the attention factor, 1 without YaRN or LongRoPE
 *
 * All of it is computed in binary64 by the library's own functions, so the bits are the same on every CPU;
 * docs/numerics.md section 5 has the order of operations and the accuracy. Frameworks that compute in f32
 * (transformers) are off by 0.001 to 0.01 rad at position 131,071, this by less than 1e-10.
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
    MQA_ROPE_ADJACENT = 1 /* pair i is (x[2i], x[2i + 1]): GPT-J, GLM, Llama in GGUF */
} mqa_rope_style;

/* Each as transformers computes it (modeling_rope_utils.py). LongRoPE and the tensor rope_freqs of GGUF files
 * are NONE with freq_factors. */
typedef enum mqa_rope_scaling {
    MQA_ROPE_SCALING_NONE = 0,
    MQA_ROPE_SCALING_LINEAR = 1, /* f_i / factor (arXiv:2306.15595) */
    MQA_ROPE_SCALING_LLAMA3 = 2, /* by wavelength between low_freq_factor and high_freq_factor (Llama 3.1) */
    MQA_ROPE_SCALING_YARN = 3    /* arXiv:2309.00071 */
} mqa_rope_scaling;

/* Fields of other scalings than the chosen one are ignored. */
typedef struct mqa_rope_config {
    size_t struct_size; /* sizeof(mqa_rope_config), set by mqa_rope_config_default */
    int n_dims;    /* so many dims of a head are turned, the rest stays (partial RoPE). Even; no default */
    int first_dim; /* from this one on; 0 (absorbed MLA: 512 of 576). first_dim + n_dims <= 1024 */
    mqa_rope_style style;
    double base; /* 10000 */
    mqa_rope_scaling scaling;
    double factor;           /* LINEAR, LLAMA3, YARN: by how much the context grows; 1 */
    double original_context; /* LLAMA3, YARN: tokens that the model was trained on; no default */
    double low_freq_factor, high_freq_factor; /* LLAMA3: 1, 4 */
    double beta_fast, beta_slow;              /* YARN: 32, 1 */
    int truncate;                             /* YARN: the ramp's ends are whole pairs; 1 (gpt-oss: 0) */
    /* a. 0: with YARN 0.1 * log(factor) + 1, or 1 where factor <= 1; 1 without. Since q and k are both
     * turned, scores are multiplied by its square. (DeepSeek, whose mscale and mscale_all_dim are equal: 1.)
     */
    double attention_factor;
    const double *freq_factors; /* [n_dims/2]: f_i is divided by it besides; NULL: none. Copied */
} mqa_rope_config;

/* Positions reach from -MQA_ROPE_MAX_POSITION to it, f_i to 1024 radians a position. */
#define MQA_ROPE_MAX_POSITION (INT64_C(1) << 40)

/* Read-only after its creation: any number of threads may use one. */
typedef struct mqa_rope mqa_rope;

/* Sets the first struct_size bytes, the caller's sizeof, to the defaults. For other languages; C has the next
 * one. */
MQA_API void mqa_rope_config_init(mqa_rope_config *out, size_t struct_size);
static inline mqa_rope_config mqa_rope_config_default(void)
{
    mqa_rope_config out;
    mqa_rope_config_init(&out, sizeof out);
    return out;
}
/* config is copied. MQA_ERR_INVALID_ARGUMENT names the field that is out of range. */
MQA_API mqa_status mqa_rope_create(mqa_context *ctx, const mqa_rope_config *config, mqa_rope **out,
                                   mqa_error *err);
/* Sets *rope to NULL; NULL and a pointer to NULL are fine. Before its context. */
MQA_API void mqa_rope_destroy(mqa_rope **rope);

/* Turns x in place: n_tokens tokens at positions position, position + 1, … of n_heads heads; element (t, h,
 * i) at x[t * stride_token + h * stride_head + i], strides in elements, heads apart from each other in either
 * order (NHD or HND). For K before it is written to a cache, or Q. n_tokens 0 does nothing. A negative
 * position turns back, so K that is turned already can be shifted: up to rounding, and a counts each time.
 * Runs on the calling thread, allocates nothing. Values that aren't finite stay so. */
MQA_API mqa_status mqa_rope_apply(const mqa_rope *rope, int64_t position, int64_t n_tokens, int n_heads,
                                  float *x, size_t stride_token, size_t stride_head, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
