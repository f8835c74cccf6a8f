/* Attention over a cache, on three levels: one call on plain arrays; plan and run over a paged cache; partial
 * states and their merge.
 *
 *     head_j = softmax(q[j] . K^T * sm_scale + bias) . V        over the tokens that the mask shows
 *
 * Query head j reads KV head j / (n_heads / n_kv_heads). A row is one (sequence, query, head). Its result
 * depends on its own query, keys, values and positions, on the cache's format and the numerics, and on
 * nothing else: not on threads, on the other rows of the batch, on how a prompt was cut, or on where pages
 * lie (docs/numerics.md). That holds for everything on this page.
 *
 * Where the field disagrees, here
 *   - lse is in natural log (FlashInfer's is in base 2) and, where there are learned sinks, includes them;
 *   - a row that sees no token gives out 0 and lse -inf;
 *   - window_left counts the keys to the left of the query, itself excluded; -1 is off;
 *   - causal is aligned at the bottom right: the last query stands at the sequence's last token;
 *   - scores are scaled, then capped, then get ALiBi's bias, then are masked;
 *   - sizes and offsets are in tokens and elements, never in pages or bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_H
#define MQA_ATTENTION_H

#include "mqa/cache.h"
#include "mqa/rope.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one call ---- */

/* For someone who has q, k, v and wants the answer. All arrays are dense f32: q [n_q][n_heads][head_dim],
 * k and v [n_kv][n_kv_heads][head_dim], out as q. Causal (n_q <= n_kv); computes in f32 (the f32 cache
 * format). Packs K and V each time: who asks often keeps them in a cache. */
MQA_API mqa_status mqa_attention(mqa_context *ctx, int n_heads, int n_kv_heads, int head_dim, int64_t n_q,
                                 int64_t n_kv, const float *q, const float *k, const float *v, float sm_scale,
                                 float *out, mqa_error *err);

/* ---- plan and run ---- */

/* A plan belongs to one cache and describes one batch at a time; the batch is planned once and run for each
 * layer. One thread at a time; different plans of the same cache may run one after the other. */
typedef struct mqa_plan mqa_plan;

typedef enum mqa_mask {
    MQA_MASK_CAUSAL = 0, /* a query sees the tokens up to its own position */
    MQA_MASK_FULL = 1    /* every token of its sequence */
} mqa_mask;

/* What all items of all batches have in common. Restrictions combine: a token is seen if all of them show it.
 */
typedef struct mqa_plan_options {
    size_t struct_size;  /* set by mqa_plan_options_default */
    int n_heads;         /* a multiple of n_kv_heads, up to 2^20 */
    float sm_scale;      /* usually 1 / sqrt(head_dim_qk) */
    mqa_mask mask;       /* CAUSAL */
    int64_t window_left; /* keys to the left of the query that it sees, itself not counted; -1 (default): all.
                            A cache with a window has it anyway: the narrower of the two counts */
    int64_t n_sink_tokens; /* with a window or chunks: tokens at positions below it are seen all the same
                              (StreamingLLM, arXiv:2309.17453); 0: none. A cache with a window must keep
                              them: at most mqa_cache_config.n_sink_tokens, else refused */
    int64_t chunk; /* chunked-local (Llama 4): a query at p sees tokens from p / chunk * chunk on; 0: off */
    float logit_softcap;  /* scores become cap * tanh(score / cap) (Gemma 2, arXiv:2408.00118); 0: off */
    const mqa_rope *rope; /* applied to q by position before the dot products; NULL: q comes rotated. Must
                             outlive the plan */
} mqa_plan_options;

/* Sets the first struct_size bytes, the caller's sizeof, to the defaults. For other languages; C has the next
 * one. */
MQA_API void mqa_plan_options_init(mqa_plan_options *out, size_t struct_size);
static inline mqa_plan_options mqa_plan_options_default(void)
{
    mqa_plan_options out;
    mqa_plan_options_init(&out, sizeof out);
    return out;
}

/* A plan is empty until mqa_plan_batch. Options are copied. */
MQA_API mqa_status mqa_plan_create(mqa_cache *cache, const mqa_plan_options *options, mqa_plan **out,
                                   mqa_error *err);
MQA_API void mqa_plan_destroy(mqa_plan **plan);

/* One sequence's part of a batch. Zeroes but for the first two mean: its last n_queries tokens ask. The
 * arrays pointed to are not copied; they stay as they are until the batch's last run. */
typedef struct mqa_plan_item {
    const mqa_sequence *sequence;
    int64_t n_queries; /* 1 .. the sequence's tokens + q_ahead; consecutive positions, the last at length - 1
                          + q_ahead */
    int64_t q_ahead;   /* how far the queries stand beyond the tokens that this cache holds (a long sequence
                          split over machines); 0: they end with it */
    int64_t prefix;    /* prefix-LM: the first `prefix` tokens are seen by all queries, causal or not */
    const int64_t *documents; /* packed documents: [n_documents] ascending positions where one begins; a query
                                 sees tokens of its own document only. The first must be 0. NULL: one */
    int64_t n_documents;
    /* Any mask at all: bit t - bits_first of row i (least significant bit of a byte first) shows token t to
     * query i; tokens before bits_first and from the end of the row on are not restricted by it. A
     * speculative tree: bits_first is the first draft's position and row i has the bits of i and its
     * ancestors. */
    const uint8_t *bits; /* [n_queries][bits_stride] bytes; NULL: none */
    size_t bits_stride;  /* bytes from row to row: 8 * bits_stride tokens are covered */
    int64_t bits_first;
    int64_t reserved[4]; /* for what later versions add: zeroes, else MQA_ERR_UNSUPPORTED */
} mqa_plan_item;

/* Describes a batch. Sequences must be of the plan's cache and already extended over the queries; one may
 * occur more than once. Where several share pages (mqa_sequence_fork), rows that see the same tokens are
 * computed together, so that a common prefix is read once for all of them (cascade, any depth). Valid until
 * one of the sequences is extended, truncated or evicted: mqa_plan_run then refuses. An error leaves no
 * batch. MQA_ERR_BUDGET if the caller's workspace is too small: the message says how many bytes it takes. */
MQA_API mqa_status mqa_plan_batch(mqa_plan *plan, const mqa_plan_item *items, int n_items, mqa_error *err);

/* Memory in which batches are computed. By default the plan owns it, and it grows to the largest batch seen.
 * A caller that wants to own it gives `bytes` bytes aligned to 64; they stay the plan's until another call of
 * this (NULL, 0: back to the default) or its end. Drops the batch. */
MQA_API mqa_status mqa_plan_set_workspace(mqa_plan *plan, void *memory, size_t bytes, mqa_error *err);
/* Bytes that the batch described last takes, or would have taken. */
MQA_API size_t mqa_plan_workspace_bytes(const mqa_plan *plan);

/* Partial states of rows: what attention over some of the tokens leaves behind.
 *     m = the largest score, l = sum of exp(score - m), o = sum of exp(score - m) * v   (not divided)
 * An empty state is (-inf, 0, 0...). All arrays are dense and the caller's. */
typedef struct mqa_states {
    float *m, *l; /* [n_rows] */
    float *o;     /* [n_rows][head_dim_vo] */
} mqa_states;

/* One run: queries in, results out. Begin from zeroes and set what is wanted. */
typedef struct mqa_run {
    size_t struct_size; /* sizeof(mqa_run) */
    int layer;
    /* Rows are in the order of the items and their queries: element (token, head, d) is at
     * q[token * q_stride_token + head * q_stride_head + d]; out likewise, with head_dim_vo. Strides are in
     * elements. */
    const float *q;
    size_t q_stride_token, q_stride_head;
    float *out; /* NULL with states */
    size_t out_stride_token, out_stride_head;
    float *lse; /* [tokens][n_heads]: log of the sum of exponentials; or NULL */
    /* Learned sinks (gpt-oss): a logit for each head that takes part in the softmax and has no value:
     *     out = sum of exp(s) v / (exp(sink) + sum of exp(s)).     [n_heads], or NULL */
    const float *sinks;
    /* ALiBi (arXiv:2108.12409): slope[head] * (token's position - query's) is added to the score.
     * [n_heads], or NULL. Positions are those in the sequence, for trees too; they must be below 2^31. */
    const float *alibi_slopes;
    /* Instead of out and lse: a state for each group of 8,192 tokens at absolute positions, group g of a row
     * at index g - mqa_plan_first_group(plan): [mqa_plan_n_groups(plan)][tokens][n_heads]. Folded in
     * ascending order by mqa_merge_states they give the bits of an undivided run. Sinks are left out:
     * mqa_states_finish takes them. */
    const mqa_states *states; /* NULL: out is wanted */
} mqa_run;

/* Runs one layer on all the context's threads. No allocation. MQA_ERR_NOT_FINITE if a query is not finite;
 * the results are then undefined. Scores of finite values may be beyond f32 all the same: a row that sees one
 * of +inf or NaN gives out and lse NaN, and only that row; one of -inf counts as unseen. */
MQA_API mqa_status mqa_plan_run(mqa_plan *plan, const mqa_run *run, mqa_error *err);

/* The arithmetic in force for the cache's format: "portable/2", "avx512-bf16/2", "amx-bf16/2",
 * "neon-bf16/1". */
MQA_API const char *mqa_plan_recipe(const mqa_plan *plan);

/* ---- partial states ---- */

/* Groups of 8,192 tokens that the batch's sequences hold tokens of: the first one's index (position / 8192),
 * and how many from there on. */
MQA_API int64_t mqa_plan_first_group(const mqa_plan *plan);
MQA_API int64_t mqa_plan_n_groups(const mqa_plan *plan);

/* into = fold(into, next), row by row: into's tokens come before next's. The fold of empty states is exact.
 * Order matters to the bits: docs/numerics.md section 2. Any thread; states of other machines of the same
 * recipe will do. */
MQA_API mqa_status mqa_merge_states(const mqa_context *ctx, int64_t n_rows, int head_dim_vo, mqa_states into,
                                    mqa_states next, mqa_error *err);

/* out[row] = o / l, lse[row] = m + log(l) (lse NULL: not wanted). out: row r at out + r * out_stride. sinks:
 * a logit for each row, or NULL; MQA_ERR_NOT_FINITE, nothing written, if one isn't. */
MQA_API mqa_status mqa_states_finish(const mqa_context *ctx, int64_t n_rows, int head_dim_vo,
                                     mqa_states states, const float *sinks, float *out, size_t out_stride,
                                     float *lse, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
