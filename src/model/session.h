/* The inside of a session.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_SESSION_H
#define MQA_MODEL_SESSION_H

#include "model/layers.h"

/* One kind of layers: their cache, their plan, a sequence for each of the session's. All NULL where the
 * model has no such layers. */
typedef struct mqa_session_kind {
    mqa_cache_config config;
    size_t page_bytes;
    int page_tokens;
    mqa_cache *cache;
    mqa_plan *plan;
    mqa_sequence **sequences;  /* [n_numbers]; NULL: not open */
    mqa_plan_item *plan_items; /* [n_numbers] */
} mqa_session_kind;

struct mqa_session {
    mqa_model *model;
    mqa_session_options options; /* no zeroes left but kv_budget_bytes's */
    int n_numbers;               /* of sequences: fixed ones, then those on demand */
    mqa_account *account;
    mqa_session_kind kind[MQA_LAYER_KINDS];
    mqa_workspace ws;
    char recipe[64];
    mqa_observer observer; /* set it between evaluations; zeroes: none */
    /* Of the eval that is running: */
    mqa_segment *segments; /* [n_numbers] */
    unsigned char *seen;   /* [n_numbers] */
    int32_t *tokens;       /* [chunk] */
    int *wanted;           /* [chunk] */
    float **logits;        /* [chunk] */
};

/* A kind that the model has: that of every sequence's length. */
static inline const mqa_session_kind *mqa_session_any_kind(const mqa_session *s)
{
    return &s->kind[s->kind[MQA_LAYER_GLOBAL].cache ? MQA_LAYER_GLOBAL : MQA_LAYER_WINDOW];
}

static inline bool mqa_session_has(const mqa_session *s, int sequence)
{
    return sequence >= 0 && sequence < s->n_numbers && mqa_session_any_kind(s)->sequences[sequence];
}

/* So many pages are going to be taken: where their memory, with what the caches keep of pages given back,
 * would pass the budget, that goes back to the operating system. */
void mqa_session_prepare_pages(mqa_session *s, const int64_t pages[MQA_LAYER_KINDS]);

/* An empty sequence at a number that has none. */
mqa_status mqa_session_make(mqa_session *s, int sequence, mqa_error *err);

/* For measuring alone: n_tokens tokens more in a sequence, whose K and V are made up (even in [-1, 1))
 * instead of computed, in a hundredth of the time. What attends to them costs what it costs behind real ones.
 * Errors as mqa_sequence_extend; after one the sequence has to be emptied. */
mqa_status mqa_session_fill(mqa_session *session, int sequence, int64_t n_tokens, mqa_error *err);

#endif
