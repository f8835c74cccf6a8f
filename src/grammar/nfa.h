/* A compiled grammar: one nondeterministic automaton over bytes for each rule, whose edges read a byte or
 * call a rule. Nothing in it is empty: what could be reached without reading is in the closures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GRAMMAR_NFA_H
#define MQA_GRAMMAR_NFA_H

#include <stdatomic.h>
#include <stdbool.h>

#include "grammar/expr.h"

/* Reads a byte of lo .. hi. */
typedef struct mqa_edge {
    uint32_t from, to;
    uint8_t lo, hi;
} mqa_edge;

typedef struct mqa_call {
    uint32_t from, rule, ret;
    bool tail; /* the end of the calling rule is all that ret can reach without reading */
} mqa_call;

/* Edges as compiled from expressions, in any order. */
typedef struct mqa_raw_nfa {
    size_t n_states;
    mqa_edge *edges;
    mqa_call *calls;
    mqa_edge *skips;         /* without reading */
    uint32_t *starts, *ends; /* of each rule */
    size_t n_edges, edges_capacity, n_calls, calls_capacity, n_skips, skips_capacity, n_rules,
        starts_capacity, ends_capacity;
} mqa_raw_nfa;

/* Rules are numbered so that a rule which another one can call before it reads anything has the higher number
 * (there is no left recursion). */
struct mqa_grammar {
    atomic_uint references;
    uint32_t n_rules, root;
    uint32_t *starts;  /* [n_rules] */
    mqa_edge *edges;   /* by from: those of state s are edge_first[s] .. edge_first[s + 1] */
    mqa_call *calls;   /* likewise */
    uint32_t *closure; /* likewise: the states with edges or calls that s reaches without reading, and past
                          calls of rules that can be empty */
    uint32_t *edge_first, *call_first, *closure_first; /* [states + 1] */
    bool *ends;                                        /* [states] whether s so reaches the end of its rule */
    /* Bytes that no edge tells apart are of one class. */
    uint8_t class_of[256], sample_of[256];
    uint32_t n_classes;
    size_t n_bytes; /* of all this */
};

/* Rule 0 is the root. May take arrays out of raw, which then are NULL there; the rest stays the caller's.
 * rules: for messages. */
mqa_status mqa_nfa_finish(mqa_raw_nfa *raw, const mqa_rule *rules, mqa_grammar **out, mqa_error *err);

mqa_grammar *mqa_grammar_keep(mqa_grammar *grammar); /* one more to destroy it */

#endif
