/* Masks: the tries of a vocabulary walked along the automaton.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"
#include "tokenizer/array.h"

/* A few states that one may be in; none: it can't be said, or one of them is dead. */
enum { SET_MAX = 8 };
typedef struct state_set {
    uint32_t at[SET_MAX], n; /* ascending */
} state_set;

static void add(state_set *set, uint32_t state, bool *fits)
{
    uint32_t i = 0;
    while (i < set->n && set->at[i] < state) i++;
    if (i < set->n && set->at[i] == state) return;
    *fits = set->n < SET_MAX;
    if (!*fits) return;
    memmove(set->at + i + 1, set->at + i, (set->n - i) * sizeof *set->at);
    set->at[i] = state;
    set->n++;
}

/* The states behind those of the bytes lo .. hi that an alphabet has. out may be from. */
static mqa_status step_bytes(mqa_automaton *a, const state_set *from, mqa_alphabet alphabet, unsigned lo,
                             unsigned hi, state_set *out, mqa_error *err)
{
    state_set to = {.n = 0};
    bool fits = true;
    for (uint32_t i = 0; i < from->n; i++) {
        int last_class = -1;
        for (unsigned byte = lo; byte <= hi && fits; byte++) {
            uint32_t next;
            if (!mqa_alphabet_has(alphabet, (uint8_t)byte) || a->grammar->class_of[byte] == last_class)
                continue;
            MQA_TRY(mqa_automaton_next(a, from->at[i], (uint8_t)byte, &next, err));
            last_class = a->grammar->class_of[byte];
            if (next == MQA_STATE_DEAD) fits = false;
            if (fits) add(&to, next, &fits);
        }
    }
    if (!fits) to.n = 0;
    *out = to;
    return MQA_OK;
}

/* Well-formed characters of several bytes. */
static const struct longer {
    uint8_t lo, hi, second_lo, second_hi, n_more;
} longer[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
              {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
              {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};

static mqa_status step_longer(mqa_automaton *a, const state_set *from, const struct longer *l, state_set *out,
                              mqa_error *err)
{
    const mqa_alphabet any = MQA_ALPHABET_FOREIGN;
    MQA_TRY(step_bytes(a, from, any, l->lo, l->hi, out, err));
    MQA_TRY(step_bytes(a, out, any, l->second_lo, l->second_hi, out, err));
    for (unsigned i = 0; i < l->n_more; i++) MQA_TRY(step_bytes(a, out, any, 0x80, 0xBF, out, err));
    return MQA_OK;
}

static mqa_status find_next(mqa_automaton *a, const state_set *from, mqa_alphabet alphabet, state_set *out,
                            mqa_error *err)
{
    bool fits = true;
    out->n = 0;
    if (alphabet != MQA_ALPHABET_FOREIGN) {
        MQA_TRY(step_bytes(a, from, alphabet, 0, 0x7F, out, err));
        fits = out->n > 0;
    }
    const size_t n = mqa_alphabet_has(alphabet, 0xC2) ? sizeof longer / sizeof *longer : 0;
    for (size_t i = 0; i < n && fits; i++) {
        state_set more;
        MQA_TRY(step_longer(a, from, &longer[i], &more, err));
        fits = more.n > 0;
        for (uint32_t k = 0; k < more.n && fits; k++) add(out, more.at[k], &fits);
    }
    if (!fits) out->n = 0;
    return MQA_OK;
}

/* The states behind any one character of an alphabet. What follows a single state is remembered. */
static mqa_status next_by(mqa_automaton *a, const state_set *from, mqa_alphabet alphabet, state_set *out,
                          mqa_error *err)
{
    const uint32_t known = from->n == 1 ? a->facts[from->at[0]].next[alphabet] : MQA_STATE_SEVERAL;
    if (known != MQA_STATE_UNKNOWN && known != MQA_STATE_SEVERAL) {
        *out = (state_set){.at = {known}, .n = known != MQA_STATE_DEAD};
        return MQA_OK;
    }
    MQA_TRY(find_next(a, from, alphabet, out, err));
    if (from->n == 1)
        a->facts[from->at[0]].next[alphabet] = out->n == 0   ? MQA_STATE_DEAD
                                               : out->n == 1 ? out->at[0]
                                                             : MQA_STATE_SEVERAL;
    return MQA_OK;
}

/* What is known of the tokens of an alphabet without looking at them. */
typedef struct reach {
    uint32_t n; /* all of up to so many characters are allowed; UINT32_MAX: all */
    bool ends;  /* and no longer ones */
} reach;

/* No character of the alphabet leads on from any of the states. */
static mqa_status all_dead(mqa_automaton *a, const state_set *set, mqa_alphabet alphabet, bool *out,
                           mqa_error *err)
{
    *out = true;
    for (uint32_t i = 0; i < set->n; i++)
        for (unsigned byte = 0x20; byte <= 0xF4 && *out; byte++) {
            uint32_t next;
            if (!mqa_alphabet_has(alphabet, (uint8_t)byte)) continue;
            MQA_TRY(mqa_automaton_next(a, set->at[i], (uint8_t)byte, &next, err));
            *out = next == MQA_STATE_DEAD;
        }
    return MQA_OK;
}

static mqa_status find_reach(mqa_automaton *a, uint32_t state, mqa_alphabet alphabet, reach *out,
                             mqa_error *err)
{
    state_set set = {.at = {state}, .n = 1};
    for (out->n = 0; out->n < a->index->longest; out->n++) {
        state_set next;
        MQA_TRY(next_by(a, &set, alphabet, &next, err));
        if (next.n == 0) {
            if (out->n < MQA_COUNTS) return all_dead(a, &set, alphabet, &out->ends, err);
            out->ends = false; /* there is no mask of just these */
            return MQA_OK;
        }
        if (next.n == set.n && memcmp(next.at, set.at, set.n * sizeof *set.at) == 0) break;
        set = next;
    }
    *out = (reach){.n = UINT32_MAX, .ends = true};
    return MQA_OK;
}

static mqa_status walk(mqa_automaton *a, uint32_t start, const mqa_trie *trie, uint64_t *mask, mqa_error *err)
{
    uint32_t states[MQA_TOKEN_BYTES_MAX + 1];
    const size_t n_classes = a->grammar->n_classes;
    const uint8_t *class_of = a->grammar->class_of;
    const uint32_t *rows = a->rows;
    states[0] = start;
    for (size_t i = 0; i < trie->n;) {
        const mqa_trie_node node = trie->nodes[i];
        const uint32_t from = states[node.depth - 1], class = class_of[node.byte];
        uint32_t next = rows[from * n_classes + class];
        if (next == MQA_STATE_UNKNOWN) {
            MQA_TRY(mqa_automaton_step(a, from, class, &next, err));
            rows = a->rows; /* may have moved */
        }
        if (next == MQA_STATE_DEAD) {
            i += node.skip;
            continue;
        }
        states[node.depth] = next;
        if (node.token != MQA_TRIE_NO_TOKEN) mask[node.token / 64] |= (uint64_t)1 << node.token % 64;
        i++;
    }
    return MQA_OK;
}

static mqa_status find_all_reach(mqa_automaton *a, uint32_t state, reach out[MQA_ALPHABETS], mqa_error *err)
{
    reach plain;
    MQA_TRY(find_reach(a, state, MQA_ALPHABET_PLAIN, &plain, err));
    for (int x = 0; x < MQA_ALPHABETS; x++) {
        out[x] = plain;
        if (!plain.ends) /* a part of it may reach further */
            MQA_TRY(find_reach(a, state, (mqa_alphabet)x, &out[x], err));
    }
    return MQA_OK;
}

static mqa_status fill(mqa_automaton *a, uint32_t state, uint64_t *mask, mqa_error *err)
{
    const mqa_token_index *index = a->index;
    reach known[MQA_ALPHABETS];
    bool any = false;
    MQA_TRY(find_all_reach(a, state, known, err));
    memset(mask, 0, index->n_words * sizeof *mask);
    for (int x = 0; x < MQA_ALPHABETS; x++) {
        const uint32_t n = known[x].n < MQA_COUNTS || known[x].n == UINT32_MAX ? known[x].n : MQA_COUNTS - 1;
        const uint64_t *of = n ? index->masks[x][n < MQA_COUNTS ? n - 1 : MQA_COUNTS - 1] : NULL;
        for (size_t i = 0; of && i < index->n_words; i++) mask[i] |= of[i];
        any |= n || known[x].ends;
    }
    MQA_TRY(walk(a, state, any ? &index->rest : &index->all, mask, err));
    for (int x = 0; any && x < MQA_ALPHABETS; x++)
        for (int i = 0; i < MQA_LENGTHS; i++)
            if (!known[x].ends && mqa_lengths[i] > known[x].n)
                MQA_TRY(walk(a, state, &index->parts[x][i], mask, err));
    for (size_t i = 0; mqa_automaton_accepts(a, state) && i < index->n_words; i++) mask[i] |= index->ends[i];
    return MQA_OK;
}

static mqa_status new_mask(mqa_automaton *a, uint64_t **out, mqa_error *err)
{
    const size_t size = a->index->n_words * sizeof **out;
    if ((a->n_masks + 1) * size > MQA_AUTOMATON_MASKS_MAX) mqa_automaton_drop_masks(a);
    MQA_TRY(mqa_array_reserve(&a->masks, &a->masks_capacity, a->n_masks + 1, sizeof *a->masks, err));
    *out = malloc(size);
    return *out ? MQA_OK : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for a mask");
}

mqa_status mqa_automaton_mask(mqa_automaton *a, uint32_t state, const uint64_t **out, mqa_error *err)
{
    if (a->facts[state].mask == 0) {
        uint64_t *mask;
        MQA_TRY(new_mask(a, &mask, err));
        const mqa_status status = fill(a, state, mask, err);
        if (status != MQA_OK) {
            free(mask);
            return status;
        }
        a->masks[a->n_masks++] = mask;
        a->facts[state].mask = (uint32_t)a->n_masks;
    }
    *out = a->masks[a->facts[state].mask - 1];
    return MQA_OK;
}

void mqa_automaton_drop_masks(mqa_automaton *a)
{
    for (size_t i = 0; i < a->n_masks; i++) free(a->masks[i]);
    a->n_masks = 0;
    for (size_t i = 0; i < a->states.n && a->facts; i++) a->facts[i].mask = 0;
}
