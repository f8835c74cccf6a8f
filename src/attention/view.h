/* What a query sees: every mask comes down to two ranges of tokens, and bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_VIEW_H
#define MQA_ATTENTION_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/attention_kernels.h"

static inline int64_t mqa_min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t mqa_max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

typedef struct mqa_range {
    int64_t lo, hi; /* [lo, hi); empty if hi <= lo */
} mqa_range;

typedef struct mqa_view {
    mqa_range sinks,
        main; /* tokens of either; sinks lie before main, and are empty where they would touch it */
    const uint8_t *bits; /* of the query; NULL: no more restrictions */
    mqa_range bits_over; /* the tokens that they restrict */
} mqa_view;

/* The rules that a plan has and an item adds to (mqa/attention.h). */
typedef struct mqa_rules {
    bool causal;
    int64_t window_left; /* -1: off */
    int64_t n_sink_tokens;
    int64_t chunk; /* 0: off */
} mqa_rules;

typedef struct mqa_item_rules {
    int64_t begin, end; /* the tokens that there are */
    int64_t prefix;
    const int64_t *documents;
    int64_t n_documents;
    const uint8_t *bits;
    size_t bits_stride;
    int64_t bits_first;
} mqa_item_rules;

/* What query number `query` of the item, which stands at `position`, sees. */
mqa_view mqa_view_of(const mqa_rules *rules, const mqa_item_rules *item, int64_t query, int64_t position);

typedef enum mqa_seen { MQA_SEES_NONE, MQA_SEES_SOME, MQA_SEES_ALL } mqa_seen;

/* Of n_words * 16 tokens from `token` on. Sets words (kernels/valid.h) unless all of them are seen. */
mqa_seen mqa_view_words(const mqa_view *view, int64_t token, int n_words, uint16_t *words);

#endif
