/* Models: load a GGUF file, evaluate tokens of many sequences, read logits, sample.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_H
#define MQA_MODEL_H

#include "mqa/cache.h"
#include "mqa/context.h"
#include "mqa/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model's weights, packed, read-only after load. May be used by several sessions of its context. */
typedef struct mqa_model mqa_model;
/* The KV caches of one model and the sequences in them. One thread at a time. */
typedef struct mqa_session mqa_session;

typedef struct mqa_model_options {
    size_t struct_size; /* sizeof(mqa_model_options) */
    /* Called now and then while weights are packed; done goes from 0 to total (bytes of the file). Returning
     * nonzero cancels: MQA_ERR_CANCELLED. NULL: none. */
    int (*progress)(void *user, size_t done, size_t total);
    void *progress_user;
} mqa_model_options;

MQA_API mqa_status mqa_model_load(mqa_context *ctx, const char *path, const mqa_model_options *options,
                                  mqa_model **out, mqa_error *err);
MQA_API void mqa_model_destroy(mqa_model **model); /* its sessions first */

typedef struct mqa_model_info {
    const char *arch, *name; /* owned by the model; name may be "" */
    int n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab;
    int context_length; /* what the file says the model was trained for */
    int window;         /* 0: every layer is global */
    int n_window_layers;
    uint64_t n_params;
    size_t weight_bytes; /* packed, in memory */
    size_t file_bytes;
    int head_dim_v;   /* values of V in the cache a head; head_dim but for latent attention */
    int kv_lora_rank; /* multi-head latent attention: V is the first so many values of K; 0: none */
} mqa_model_info;

MQA_API void mqa_model_get_info(const mqa_model *model, mqa_model_info *out);
MQA_API const mqa_tokenizer *mqa_model_tokenizer(const mqa_model *model);

typedef struct mqa_session_options {
    size_t struct_size; /* sizeof(mqa_session_options) */
    int64_t context;    /* tokens that one sequence may hold; 0: the model's context_length */
    int max_sequences;  /* 0: 1 */
    int chunk;          /* tokens evaluated at once at most, 0: 512. Never changes results. */
    mqa_kv_type k_type, v_type;
    bool kv_plain; /* int8 and int4 store K and V as they are; by default after a Hadamard transform, since
                      they lose much to outlier channels (mqa/cache.h, docs/precision.md) */
    size_t
        kv_budget_bytes; /* for all sequences and layers: of pages in use, and of pages that have memory (but
                            for a caller's allocator); 0: what the most of them at their longest need */
    int max_on_demand;   /* sequences that may be open besides (mqa_session_open); 0: none */
} mqa_session_options;

MQA_API void mqa_session_options_init(mqa_session_options *out, size_t struct_size);
static inline mqa_session_options mqa_session_options_default(void)
{
    mqa_session_options out;
    mqa_session_options_init(&out, sizeof out);
    return out;
} /* bf16 K and V */

/* Takes the memory of the activations now, that of the KV pages as they come into use. */
MQA_API mqa_status mqa_session_create(mqa_model *model, const mqa_session_options *options, mqa_session **out,
                                      mqa_error *err);
MQA_API void mqa_session_destroy(mqa_session **session);

/* Sequences are numbered 0 .. max_sequences-1 and exist from the start, empty; the max_on_demand numbers
 * after these stand for nothing until opened. */
MQA_API int64_t mqa_session_length(const mqa_session *session, int sequence);
/* Keeps the first length tokens; 0 empties it. See mqa_sequence_truncate on windows. */
MQA_API mqa_status mqa_session_truncate(mqa_session *session, int sequence, int64_t length, mqa_error *err);

/* ---- sequences on demand, and who pays for them ---- */

/* An empty sequence with a number of its own, charged to the session's account. MQA_ERR_BUDGET where
 * max_on_demand are open. close gives the number and the pages back; fixed sequences are only emptied. */
MQA_API mqa_status mqa_session_open(mqa_session *session, int *sequence, mqa_error *err);
MQA_API void mqa_session_close(mqa_session *session, int sequence);

/* The account of kv_budget_bytes, to which every sequence is charged: accounts below it (mqa/cache.h) divide
 * that budget, and a sequence may be charged to one of them instead. Live as long as the session. */
MQA_API mqa_account *mqa_session_account(mqa_session *session);
/* For the pages it takes from now on. MQA_ERR_INVALID_ARGUMENT for an account that isn't the session's or
 * below it. */
MQA_API mqa_status mqa_session_set_account(mqa_session *session, int sequence, mqa_account *account,
                                           mqa_error *err);

/* Makes `to`, which must be empty, begin with the first `length` tokens of `from`, by sharing pages
 * (mqa_sequence_fork); what is copied is charged to `to`. Rows of sequences that share a beginning are
 * computed together where they see the same tokens. All or nothing: MQA_ERR_BUDGET, or
 * MQA_ERR_INVALID_ARGUMENT where window layers no longer have what a token at `length` sees. */
MQA_API mqa_status mqa_session_fork(mqa_session *session, int from, int64_t length, int to, mqa_error *err);
/* Whether that could be done, budgets apart. */
MQA_API bool mqa_session_can_fork(const mqa_session *session, int from, int64_t length);

/* As mqa_sequence_keep and mqa_sequence_evict, in all layers. */
MQA_API void mqa_session_keep(mqa_session *session, int sequence, bool keep);
MQA_API size_t mqa_session_evict(mqa_session *session, int sequence);

/* Bytes of its pages, shared ones too; and of those that no other sequence has. */
MQA_API size_t mqa_session_bytes(const mqa_session *session, int sequence);
MQA_API size_t mqa_session_unique_bytes(const mqa_session *session, int sequence);

/* Of the pages of its first `length` tokens in global layers, those that kept sequences alone hold: what a
 * fork there would bring back into use. */
MQA_API size_t mqa_session_kept_bytes(const mqa_session *session, int sequence, int64_t length);
MQA_API int mqa_session_page_tokens(const mqa_session *session);

/* The most that a sequence of n_tokens tokens can take while it grows, evaluated in parts of at most `part`
 * tokens however cut, and evicted after each: what a server has to have in hand for it. */
typedef struct mqa_session_most {
    size_t bytes;        /* in global layers: pages other than those of the first n_shared tokens */
    size_t window_bytes; /* in window layers: all that it ever holds at a time */
} mqa_session_most;
MQA_API mqa_session_most mqa_session_most_bytes(const mqa_session *session, int64_t n_shared,
                                                int64_t n_tokens, int64_t part);

/* ---- images: a sequence's state as bytes, to be kept elsewhere and taken up later ---- */

/* All that further tokens need, as it lies in the cache: what is evaluated behind a sequence that was read
 * back has the bits that it would have behind the one that was written. An image belongs to a session of the
 * same model, formats, numerics and layout of pages (all but the model's weights is checked), and may be read
 * by another process on another machine of the same byte order. */

#define MQA_IMAGE_TAG                                                                                        \
    32 /* bytes by which the caller knows what an image is of: a hash of model and text, say */

typedef struct mqa_image_sink {
    /* Takes the next n bytes. A failure ends the writing and is its result. */
    mqa_status (*write)(void *user, const void *bytes, size_t n, mqa_error *err);
    void *user;
} mqa_image_sink;

typedef struct mqa_image_source {
    /* Gives bytes [offset, offset + n) of an image, all of them or a failure, which is then the reading's. */
    mqa_status (*read)(void *user, size_t offset, void *bytes, size_t n, mqa_error *err);
    void *user;
} mqa_image_source;

/* Bytes of the image of a sequence of n_tokens: exactly what will be written. 0 for less than one token or
 * more than the context. */
MQA_API size_t mqa_session_image_bytes(const mqa_session *session, int64_t n_tokens);
/* The sequence stays as it is. MQA_ERR_INVALID_ARGUMENT for an empty one. */
MQA_API mqa_status mqa_session_image_write(const mqa_session *session, int sequence,
                                           const unsigned char tag[MQA_IMAGE_TAG], const mqa_image_sink *sink,
                                           mqa_error *err);
/* Into a sequence that is empty, which then is as the one that was written, evicted. Every byte that is read
 * is checked before it is believed. from, n_shared: a sequence whose first n_shared tokens are the image's
 * (not looked into): whole pages of global layers are shared with it, and not read; n_shared 0: none.
 * MQA_ERR_FORMAT for what isn't such an image; MQA_ERR_BUDGET where its pages aren't to be had, before any of
 * them is read; after an error the sequence is empty. */
MQA_API mqa_status mqa_session_image_read(mqa_session *session, int sequence,
                                          const unsigned char tag[MQA_IMAGE_TAG],
                                          const mqa_image_source *source, int from, int64_t n_shared,
                                          mqa_error *err);

/* ---- evaluation ---- */

typedef enum mqa_logits { MQA_LOGITS_NONE = 0, MQA_LOGITS_LAST = 1, MQA_LOGITS_ALL = 2 } mqa_logits;

/* n_tokens new tokens of a sequence, at its end. */
typedef struct mqa_eval_item {
    int sequence;
    const int32_t *tokens;
    int64_t n_tokens;
    mqa_logits want;
    float *logits; /* [1 or n_tokens][n_vocab], the caller's; may be NULL with NONE */
} mqa_eval_item;

/* Evaluates all items' tokens, however many, in steps of at most chunk rows over all items together; a
 * sequence may occur once. All or nothing for MQA_ERR_BUDGET and bad arguments. The logits of a token
 * depend only on its sequence's tokens (docs/numerics.md), never on what else is in the batch.
 * stop: polled between steps where not NULL, nonzero cancels (the tokens evaluated so far stay). */
MQA_API mqa_status mqa_session_eval(mqa_session *session, const mqa_eval_item *items, int n_items,
                                    const volatile int *stop, mqa_error *err);

/* Whether the budgets would let these items be evaluated; nothing is done. Exactly what mqa_session_eval goes
 * by: taken <= available. Else both are of the first extend that fails, and scarce is the account whose
 * budget is short (NULL: the pages of a cache). returned is 0. Errors: those of the items' arguments. */
MQA_API mqa_status mqa_session_eval_need(mqa_session *session, const mqa_eval_item *items, int n_items,
                                         mqa_cache_need *out, mqa_error *err);

MQA_API size_t mqa_session_kv_bytes(const mqa_session *session);       /* pages in use, exactly */
MQA_API size_t mqa_session_bytes_resident(const mqa_session *session); /* pages that have memory */
/* What the same pages would take with a K and a V for every query head. */
MQA_API size_t mqa_session_kv_bytes_multi_head(const mqa_session *session);
MQA_API const char *mqa_session_recipe(const mqa_session *session); /* "portable/2+int8/1", … */

/* Sampling. Filters apply in this order: top_k, top_p, min_p, temperature; ties go to the lower id. */
typedef struct mqa_sampling {
    float temperature; /* 0: greedy */
    int top_k;         /* 0: off */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    uint64_t seed;
    uint32_t choice; /* of several answers to one prompt: each draws numbers of its own */
} mqa_sampling;

/* Draws the token for `position` from logits[n_vocab] (unchanged). The same (logits, sampling, position)
 * gives the same token everywhere. A token whose logit is -inf is never drawn. scratch: n_vocab * 8 bytes.
 * Errors: MQA_ERR_INVALID_ARGUMENT; MQA_ERR_NOT_FINITE for NaN or +inf, and where every logit is -inf. */
MQA_API mqa_status mqa_sample(const mqa_sampling *sampling, const float *logits, int n_vocab,
                              int64_t position, void *scratch, int32_t *token, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
