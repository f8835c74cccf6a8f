/* The KV cache: pages of packed tiles, shared by the layers of one kind, under a hard byte budget.
 *
 * A cache holds n_layers layers of the same shape (a model with global and sliding-window layers has two
 * caches). Sequences own pages of 64 tokens by a block table that all its layers share. K and V are packed
 * once, when a token is appended, into the layout the kernels read; shared pages never change.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CACHE_H
#define MQA_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How K or V is stored; see docs/numerics.md section 3. K and V may differ. */
typedef enum mqa_kv_type {
    MQA_KV_F32 = 0,
    MQA_KV_BF16 = 1,
    MQA_KV_INT8 = 2,     /* a scale for each token and head */
    MQA_KV_F16 = 3,      /* values beyond 65504 are refused */
    MQA_KV_FP8_E4M3 = 4, /* 3 bits of fraction, and a scale for each token and head */
    MQA_KV_FP8_E5M2 = 5, /* 2 bits of fraction; the same */
    MQA_KV_INT4 = 6,     /* a scale for each token, head and 32 values along d: 4.5 bits a value */
} mqa_kv_type;
#define MQA_KV_TYPES 7

MQA_API const char *mqa_kv_type_name(mqa_kv_type type); /* "f32", "bf16", "fp8_e4m3", … */
/* Takes those names, and llama.cpp's "q8_0" for int8, "q4_0" for int4. Else MQA_ERR_INVALID_ARGUMENT. */
MQA_API mqa_status mqa_kv_type_parse(const char *name, mqa_kv_type *out, mqa_error *err);

typedef struct mqa_cache mqa_cache;
typedef struct mqa_sequence mqa_sequence;

typedef struct mqa_cache_config {
    size_t struct_size; /* sizeof(mqa_cache_config) */
    int n_layers;
    int n_kv_heads;
    int head_dim_qk, head_dim_vo; /* 1 .. 1024 */
    mqa_kv_type k_type, v_type;
    bool v_in_k;       /* V is the first head_dim_vo values of K, of K's format, and takes no room of its own:
                          multi-head       latent attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434),
                          576 and       512 */
    int64_t window;    /* keys a query sees, self included; 0: all. Pages behind it are given back. */
    int64_t max_pages; /* page ids in the arena: the address space, not yet memory */
    size_t budget_bytes; /* never exceeded by pages in use; 0: max_pages decides */
} mqa_cache_config;

/* Bytes of one page (64 tokens of all layers and heads): exactly what the arena takes for it. 0 for an
 * invalid config. */
MQA_API size_t mqa_cache_page_bytes(const mqa_cache_config *config);

/* Exact bytes of pages in use by one sequence of n_tokens tokens that was appended in chunks of at most
 * chunk tokens (a window keeps its last `window` tokens, the chunk in flight, and page rounding). */
MQA_API size_t mqa_kv_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk);

MQA_API mqa_status mqa_cache_create(mqa_context *ctx, const mqa_cache_config *config, mqa_cache **out,
                                    mqa_error *err);
/* All its sequences first. */
MQA_API void mqa_cache_destroy(mqa_cache **cache);
MQA_API size_t mqa_cache_bytes_in_use(const mqa_cache *cache);

MQA_API mqa_status mqa_sequence_create(mqa_cache *cache, mqa_sequence **out, mqa_error *err);
MQA_API void mqa_sequence_destroy(mqa_sequence **seq); /* gives its pages back */
MQA_API int64_t mqa_sequence_length(const mqa_sequence *seq);

/* Makes room for n_tokens more tokens and moves the length past them; their K and V must then be written in
 * every layer with mqa_sequence_write. All or nothing: MQA_ERR_BUDGET leaves the sequence as it was and names
 * the bytes needed and available. Window caches give back the pages that no token from here on can see. */
MQA_API mqa_status mqa_sequence_extend(mqa_sequence *seq, int64_t n_tokens, mqa_error *err);
/* Back to length tokens (undo of an extend or of speculation). A window cache cannot go back behind pages
 * already given back: MQA_ERR_INVALID_ARGUMENT, unchanged. */
MQA_API mqa_status mqa_sequence_truncate(mqa_sequence *seq, int64_t length, mqa_error *err);

/* Packs K and V of tokens [position, position + n_tokens) into one layer. k: element (t, h, d) at
 * k[t * k_stride_token + h * k_stride_head + d], head_dim_qk floats; v likewise (NULL where it is in K).
 * MQA_ERR_NOT_FINITE names the token and head; the tokens before it are written. Different layers may be
 * written from different threads.
 */
MQA_API mqa_status mqa_sequence_write(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                      const float *k, size_t k_stride_token, size_t k_stride_head,
                                      const float *v, size_t v_stride_token, size_t v_stride_head,
                                      mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
