/* Attention over a cache: describe the batch once (plan), run it for each layer.
 *
 *     head_j = softmax(q[j] . K^T * sm_scale + mask) . V
 *
 * Every row (sequence, position, head) attends to its own KV head (head / (n_heads / n_kv_heads)) with
 * causal masking aligned at the bottom right: the last query token sees every token of the sequence. The
 * result of a row depends only on its own query, keys, values and positions, never on threads, on the
 * other rows, or on where pages lie (docs/numerics.md).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_H
#define MQA_ATTENTION_H

#include "mqa/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mqa_plan mqa_plan;

/* One sequence's part of a batch: its last n_queries tokens ask. */
typedef struct mqa_plan_item {
    const mqa_sequence *sequence;
    int64_t n_queries; /* 1 .. the sequence's tokens */
} mqa_plan_item;

typedef struct mqa_plan_options {
    size_t struct_size; /* sizeof(mqa_plan_options) */
    int n_heads;        /* a multiple of n_kv_heads */
    float sm_scale;     /* usually 1 / sqrt(head_dim_qk) */
} mqa_plan_options;

/* A plan is empty until mqa_plan_batch; it owns its workspace, which grows to the largest batch seen. */
MQA_API mqa_status mqa_plan_create(mqa_cache *cache, const mqa_plan_options *options, mqa_plan **out,
                                   mqa_error *err);
MQA_API void mqa_plan_destroy(mqa_plan **plan);

/* Describes a batch; items are copied. Sequences must be of the plan's cache and already extended over
 * the queries. Valid until one of them changes length. */
MQA_API mqa_status mqa_plan_batch(mqa_plan *plan, const mqa_plan_item *items, int n_items, mqa_error *err);

/* Runs one layer on all the context's threads. Rows are in the order of the items and their tokens:
 * q: element (token, head, d) at q[token * q_stride_token + head * q_stride_head + d]; out likewise with
 * head_dim_vo; lse: [tokens][n_heads] natural log of the sum of exponentials, or NULL. An empty row gives 0
 * and -inf. MQA_ERR_NOT_FINITE if a query is; out is then undefined. No allocation. */
MQA_API mqa_status mqa_plan_run(mqa_plan *plan, int layer, const float *q, size_t q_stride_token,
                                size_t q_stride_head, float *out, size_t out_stride_token,
                                size_t out_stride_head, float *lse, mqa_error *err);

/* The arithmetic in force for the cache's format: "portable/1", "avx512-bf16/1", "amx-bf16/1". */
MQA_API const char *mqa_plan_recipe(const mqa_plan *plan);

/* One call on plain arrays, for someone who has q, k, v and wants the answer. All arrays are dense f32:
 * q [n_q][n_heads][d], k [n_kv][n_kv_heads][d], v [n_kv][n_kv_heads][d], out as q. Causal, bottom right (n_q
 * <= n_kv); computes in f32 (the f32 cache format). */
MQA_API mqa_status mqa_attention(mqa_context *ctx, int n_heads, int n_kv_heads, int head_dim, int64_t n_q,
                                 int64_t n_kv, const float *q, const float *k, const float *v, float sm_scale,
                                 float *out, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
