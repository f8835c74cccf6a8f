/* The grammar made deterministic, as far as it is used: states with one successor for each byte.
 *
 * A state is a set of items: where in a rule one may stand, and a frame, what to go on with when that rule
 * ends. A frame is itself a set of such pairs, so that ways that differ only in what was read share it, and
 * the number of items grows with the grammar, not with the number of ways (a graph-structured stack, or
 * Earley's algorithm). Both are kept by content: wherever the same may follow, the state is the same, and so
 * is its mask.
 *
 * States and frames are never changed, only added. When they come to be too many, mqa_automaton_collect keeps
 * those that matchers still need and renumbers them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GRAMMAR_AUTOMATON_H
#define MQA_GRAMMAR_AUTOMATON_H

#include <pthread.h>
#include <stdatomic.h>

#include "grammar/nfa.h"
#include "grammar/token_index.h"

#define MQA_AUTOMATON_PAIRS_MAX ((size_t)1 << 21) /* of all states and frames: 16 MiB */
#define MQA_AUTOMATON_ROWS_MAX  ((size_t)1 << 23) /* successors of all states: 32 MiB */
#define MQA_AUTOMATON_MASKS_MAX ((size_t)1 << 24) /* bytes of masks that are kept */
#define MQA_STATE_PAIRS_MAX     16384             /* of one state or frame */
#define MQA_FRAME_DEPTH_MAX     1024
#define MQA_WORK_MAX            ((uint64_t)1 << 24) /* items looked at for one mask or token */

enum {
    MQA_STATE_DEAD = 0,
    MQA_FRAME_ROOT = 0 /* of the root rule: when it ends, all ends */
};
#define MQA_STATE_UNKNOWN UINT32_MAX
#define MQA_STATE_SEVERAL (UINT32_MAX - 1)
#define MQA_NFA_DONE      UINT32_MAX /* in place of a state of the nfa: behind the root rule's end */

typedef struct mqa_pair {
    uint32_t state, frame; /* of the nfa; what to go on with at its rule's end */
} mqa_pair;

/* A set of pairs: sorted, in automaton.pairs. */
typedef struct mqa_pair_set {
    uint32_t first, n, hash;
    uint32_t depth; /* frames: of frames below */
} mqa_pair_set;

/* Sets by content. */
typedef struct mqa_interned {
    mqa_pair_set *sets;
    uint32_t *slots; /* number + 1; 0: free */
    size_t n, capacity, n_slots;
} mqa_interned;

typedef struct mqa_state_facts {
    uint32_t mask; /* slot, plus one */
    /* The state behind any one character of an alphabet (token_index.h), or SEVERAL; DEAD: not behind each.
     */
    uint32_t next[MQA_ALPHABETS];
} mqa_state_facts;

typedef struct mqa_scratch mqa_scratch;

typedef struct mqa_automaton {
    pthread_mutex_t lock; /* of everything here */
    mqa_grammar *grammar;
    mqa_token_index *index;
    struct mqa_matcher *matchers; /* all that use it; the last one frees it */
    mqa_pair *pairs;
    size_t n_pairs, pairs_capacity;
    mqa_interned states, frames;
    uint32_t *rows; /* [states.n][grammar->n_classes] */
    mqa_state_facts *facts;
    size_t rows_capacity, facts_capacity;
    uint64_t **masks;
    size_t n_masks, masks_capacity;
    uint32_t start; /* a state */
    uint64_t work;
    bool full; /* a step failed for want of room */
    mqa_scratch *scratch;
    atomic_size_t n_bytes; /* of this and the grammar, after the last call: read without the lock */
} mqa_automaton;

mqa_status mqa_automaton_create(mqa_grammar *grammar, mqa_token_index *index, mqa_automaton **out,
                                mqa_error *err);
/* Frees it, whoever uses it. */
void mqa_automaton_free(mqa_automaton *a);

/* The state behind state by a byte of a class whose successor isn't known yet. MQA_ERR_BUDGET with full set
 * where mqa_automaton_collect may help. */
mqa_status mqa_automaton_step(mqa_automaton *a, uint32_t state, uint32_t class, uint32_t *out,
                              mqa_error *err);

static inline mqa_status mqa_automaton_next(mqa_automaton *a, uint32_t state, uint8_t byte, uint32_t *out,
                                            mqa_error *err)
{
    const uint32_t class = a->grammar->class_of[byte];
    *out = a->rows[(size_t)state * a->grammar->n_classes + class];
    return *out == MQA_STATE_UNKNOWN ? mqa_automaton_step(a, state, class, out, err) : MQA_OK;
}

/* Brings n_bytes up to date. */
void mqa_automaton_weigh(mqa_automaton *a);

/* Whether the text may end here. */
static inline bool mqa_automaton_accepts(const mqa_automaton *a, uint32_t state)
{
    const mqa_pair_set *set = &a->states.sets[state]; /* the largest number sorts last */
    return set->n > 0 && a->pairs[set->first + set->n - 1].state == MQA_NFA_DONE;
}

/* Drops what no matcher needs. Every state's number changes, those in matchers with it. */
mqa_status mqa_automaton_collect(mqa_automaton *a, mqa_error *err);

/* What was found out about a state. */
void mqa_automaton_forget(mqa_automaton *a, uint32_t state);

/* The number of the set of these pairs (sorted, each once), which is added if it is new. */
mqa_status mqa_automaton_intern(mqa_automaton *a, mqa_interned *sets, const mqa_pair *pairs, size_t n,
                                uint32_t *out, mqa_error *err);

/* The tokens allowed in a state, end tokens among them: [mask words], until the next call on a. */
mqa_status mqa_automaton_mask(mqa_automaton *a, uint32_t state, const uint64_t **out, mqa_error *err);
void mqa_automaton_drop_masks(mqa_automaton *a);

#endif
