/* Masks: the tries of a vocabulary walked along the automaton.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"
#include "tokenizer/array.h"

/* The one state that the plain ones of the bytes lo .. hi lead to; DEAD if they lead to several. */
static mqa_status common_next(mqa_automaton *a, uint32_t state, unsigned lo, unsigned hi, uint32_t *out,
                              mqa_error *err)
{
    const mqa_grammar *g = a->grammar;
    int last_class = -1;
    *out = MQA_STATE_DEAD;
    for (unsigned byte = lo; byte <= hi; byte++) {
        uint32_t next;
        if (!mqa_is_plain_byte((uint8_t)byte) || g->class_of[byte] == last_class) continue;
        MQA_TRY(mqa_automaton_next(a, state, (uint8_t)byte, &next, err));
        if (last_class >= 0 && *out != next) next = MQA_STATE_DEAD;
        *out = next;
        last_class = g->class_of[byte];
        if (next == MQA_STATE_DEAD) return MQA_OK;
    }
    return MQA_OK;
}

/* Where all well-formed characters of more than one byte lead that begin with lo .. hi, if to one state. */
static mqa_status common_tail(mqa_automaton *a, uint32_t state, unsigned lo, unsigned hi, unsigned second_lo,
                              unsigned second_hi, unsigned n_more, uint32_t *out, mqa_error *err)
{
    MQA_TRY(common_next(a, state, lo, hi, out, err));
    if (*out != MQA_STATE_DEAD) MQA_TRY(common_next(a, *out, second_lo, second_hi, out, err));
    for (unsigned i = 0; i < n_more && *out != MQA_STATE_DEAD; i++)
        MQA_TRY(common_next(a, *out, 0x80, 0xBF, out, err));
    return MQA_OK;
}

/* The one state behind each plain character; DEAD if there is none such. */
static mqa_status plain_next(mqa_automaton *a, uint32_t state, uint32_t *out, mqa_error *err)
{
    static const struct {
        uint8_t lo, hi, second_lo, second_hi, n_more;
    } longer[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
                  {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
                  {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
    if (a->facts[state].plain != MQA_STATE_UNKNOWN) {
        *out = a->facts[state].plain;
        return MQA_OK;
    }
    MQA_TRY(common_next(a, state, 0, 0x7F, out, err));
    for (size_t i = 0; i < sizeof longer / sizeof *longer && *out != MQA_STATE_DEAD; i++) {
        uint32_t next;
        MQA_TRY(common_tail(a, state, longer[i].lo, longer[i].hi, longer[i].second_lo, longer[i].second_hi,
                            longer[i].n_more, &next, err));
        if (next != *out) *out = MQA_STATE_DEAD;
    }
    a->facts[state].plain = *out;
    return MQA_OK;
}

/* So many plain characters, whichever, may follow for sure; no more than limit are looked at. */
static mqa_status plain_reach(mqa_automaton *a, uint32_t state, uint32_t limit, uint32_t *out, mqa_error *err)
{
    for (*out = 0; *out < limit; ++*out) {
        uint32_t next;
        MQA_TRY(plain_next(a, state, &next, err));
        if (next == MQA_STATE_DEAD) return MQA_OK;
        if (next == state) break;
        state = next;
    }
    *out = limit;
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

static mqa_status fill(mqa_automaton *a, uint32_t state, uint64_t *mask, mqa_error *err)
{
    const mqa_token_index *index = a->index;
    uint32_t reach, known = 0; /* parts of plain tokens that are short enough */
    MQA_TRY(plain_reach(a, state, MQA_TOKEN_BYTES_MAX, &reach, err));
    while (known < MQA_PLAIN_PARTS && mqa_plain_bounds[known] <= reach) known++;
    if (known == 0) {
        memset(mask, 0, index->n_words * sizeof *mask);
        MQA_TRY(walk(a, state, &index->all, mask, err));
    } else {
        memcpy(mask, index->plain_masks[known - 1], index->n_words * sizeof *mask);
        MQA_TRY(walk(a, state, &index->not_plain, mask, err));
        for (; known < MQA_PLAIN_PARTS; known++) MQA_TRY(walk(a, state, &index->plain[known], mask, err));
    }
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
