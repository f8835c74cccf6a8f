/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_GRAMMAR_MATCHER_H
#define MQA_GRAMMAR_MATCHER_H

#include "grammar/automaton.h"

struct mqa_matcher {
    mqa_automaton *automaton;
    mqa_matcher *next, **link; /* of those of the same automaton; link points here */
    /* A ring: states[n % size] is where we stand, those before it where we stood, one for each token. */
    uint32_t states[MQA_MATCHER_ROLLBACK + 1];
    size_t n_accepted;
    size_t n_kept; /* so many may be taken back */
    bool complete; /* of the state we stand in: read without the lock */
    bool ended;    /* the last token was an end token, which leaves the state as it was */
};

/* Bytes of what a matcher shares with its clones: the grammar, and what was learnt of it by now. */
size_t mqa_matcher_shared_bytes(const mqa_matcher *matcher);

/* Where m stood back tokens ago, 0 .. kept. */
static inline uint32_t *mqa_matcher_state(const mqa_matcher *m, size_t back)
{
    const size_t size = MQA_MATCHER_ROLLBACK + 1;
    return (uint32_t *)&m->states[(m->n_accepted - back) % size];
}

#endif
