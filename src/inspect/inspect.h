/* Where a model's heads look: figures and maps of the attention probabilities of a text.
 *
 * The text goes through the model as it always does. Beside each layer's attention the same scores are
 * computed once more, by the same kernels over the same cache, and turned to probabilities
 *
 *     p[i][t] = exp(s[i][t] - m[i]) / l[i]     query i, key t, one head of one layer
 *
 * in two passes over spans of 512 keys: m and l, then p, which is summed up and forgotten. No N x N buffer is
 * ever held: memory grows with the number of heads, times maps of at most max_bins x max_bins bytes, and with
 * the KV cache. Results don't depend on the number of threads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_INSPECT_INSPECT_H
#define MQA_INSPECT_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/maps.h"
#include "mqa/model.h"

enum {
    MQA_INSPECT_WINDOWS = 16,
    MQA_INSPECT_DOCUMENTS = 64,
    MQA_INSPECT_MAX_SINKS = 64,
    MQA_INSPECT_MAX_TOKENS = 1 << 24 /* of a text */
};

typedef struct mqa_inspect_options {
    int n_sinks; /* tokens 0 .. n_sinks-1 count as sinks; at most MQA_INSPECT_MAX_SINKS */
    /* What a query would lose that saw only itself and the windows[i]-1 tokens before it; each >= 1. */
    int n_windows;
    int64_t windows[MQA_INSPECT_WINDOWS];
    /* First tokens of the documents, ascending from 0; n_documents 0 or 1: one document. */
    int n_documents;
    int64_t documents[MQA_INSPECT_DOCUMENTS];
    mqa_map_fold fold;
    int max_bins; /* along a map's side: a power of two, MQA_MAP_LEAST_BINS .. MQA_MAP_MOST_BINS; 0: no maps
                   */
    /* Heads are compared at queries whose position is a multiple of it; 0: about 2,048 queries of the text.
     */
    int64_t compare_every;
    mqa_kv_type k_type, v_type;
    bool kv_plain; /* as in mqa_session_options */
    /* Gets every row of every head, a span of keys at a time: p[n] of the keys from first_key on. From any
     * thread. NULL: nobody wants them. */
    void (*row)(void *user, int layer, int head, int64_t query, int64_t first_key, const float *p, int n);
    void *row_user;
    /* As mqa_model_options.progress. */
    int (*progress)(void *user, size_t done, size_t total);
    void *progress_user;
} mqa_inspect_options;

/* Of one head, means over all queries of the text. Shares are of the attention mass, 0 .. 1. */
typedef struct mqa_head_figures {
    double entropy;  /* of a query's probabilities, in bits */
    double self;     /* share on the query's own token, */
    double previous; /* and on the one before it */
    double span50,
        span90; /* so many tokens back from the query, itself included, have 50 or 90 % of the mass */
    double sinks;
    double lost[MQA_INSPECT_WINDOWS];          /* outside of windows[i] */
    double lost_no_sinks[MQA_INSPECT_WINDOWS]; /* the same where sinks are kept besides the window */
} mqa_head_figures;

typedef struct mqa_inspection {
    int n_layers, n_heads, n_kv_heads;
    int64_t n_tokens;
    mqa_inspect_options options; /* as settled: compare_every isn't 0 */
    int *layer_window;           /* [n_layers] keys that a query sees; 0: all */
    mqa_head_figures *heads;     /* [n_layers][n_heads] */
    double *on_document; /* [n_layers][n_heads][from][on]: share on each document of the queries in each;
                            NULL with one document */
    int64_t n_compared;  /* queries at which heads were compared */
    double
        *divergence; /* [n_layers][n_heads][n_heads] Jensen-Shannon divergence in bits: 0 same, 1 disjoint */
    double *overlap; /* the same: sum over keys of the smaller of two probabilities; 1 same, 0 disjoint */
    mqa_maps maps;
    size_t kv_bytes;   /* of the cache at the end of the text */
    size_t work_bytes; /* of the analysis: sums, maps and scratch */
    const mqa_allocator *allocator;
} mqa_inspection;

/* Defaults: 4 sinks, no windows, mean maps of 256 bins, bf16 cache. */
mqa_inspect_options mqa_inspect_options_default(void);

/* Runs the tokens through the model and looks on. stop: polled between chunks, nonzero cancels. Errors:
 * MQA_ERR_INVALID_ARGUMENT (empty or too long text, a window of 0, documents out of order, …),
 * MQA_ERR_OUT_OF_MEMORY, MQA_ERR_CANCELLED, and those of mqa_session_eval. */
mqa_status mqa_inspect(mqa_model *model, const mqa_inspect_options *options, const int32_t *tokens,
                       int64_t n_tokens, const volatile int *stop, mqa_inspection **out, mqa_error *err);
void mqa_inspection_destroy(mqa_inspection **inspection);

static inline const mqa_head_figures *mqa_inspection_head(const mqa_inspection *in, int layer, int head)
{
    return &in->heads[(size_t)layer * (size_t)in->n_heads + (size_t)head];
}

#endif
