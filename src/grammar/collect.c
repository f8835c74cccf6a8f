/* Dropping states that nobody needs any more.
 *
 * Frames refer only to frames that were made before them, so one sweep downward finds those in use and one
 * upward moves them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "grammar/matcher.h"

typedef struct keep {
    uint32_t *states, *frames; /* [n] 0: to go; else kept, later the new number plus one */
} keep;

static void keep_frames(const mqa_automaton *a, const mqa_pair_set *set, uint32_t *frames)
{
    for (uint32_t i = 0; i < set->n; i++) frames[a->pairs[set->first + i].frame] = 1;
}

static void mark(const mqa_automaton *a, keep *k)
{
    k->states[MQA_STATE_DEAD] = k->states[a->start] = 1;
    k->frames[MQA_FRAME_ROOT] = 1;
    for (const mqa_matcher *m = a->matchers; m; m = m->next)
        for (size_t i = 0; i <= m->n_kept; i++) k->states[*mqa_matcher_state(m, i)] = 1;
    for (size_t i = 0; i < a->states.n; i++)
        if (k->states[i]) keep_frames(a, &a->states.sets[i], k->frames);
    for (size_t i = a->frames.n; i-- > 0;)
        if (k->frames[i]) keep_frames(a, &a->frames.sets[i], k->frames);
}

/* Moves the sets that are kept, in their order, into an automaton's fresh arrays. */
static mqa_status move(mqa_automaton *a, const mqa_interned *old, uint32_t *kept, const mqa_pair *old_pairs,
                       const uint32_t *frames, mqa_interned *sets, mqa_error *err)
{
    mqa_pair pairs[MQA_STATE_PAIRS_MAX];
    for (size_t i = 0; i < old->n; i++) {
        if (!kept[i]) continue;
        const mqa_pair_set set = old->sets[i];
        for (uint32_t j = 0; j < set.n; j++) { /* new numbers are in the order of the old: still sorted */
            pairs[j] = old_pairs[set.first + j];
            pairs[j].frame = frames[pairs[j].frame] ? frames[pairs[j].frame] - 1 : MQA_FRAME_ROOT;
        }
        uint32_t number;
        MQA_TRY(mqa_automaton_intern(a, sets, pairs, set.n, &number, err));
        sets->sets[number].depth = set.depth;
        kept[i] = number + 1;
    }
    return MQA_OK;
}

static void renumber(mqa_automaton *a, const keep *k, size_t n_old)
{
    const size_t n_classes = a->grammar->n_classes;
    for (size_t i = 0; i < n_old; i++) { /* never to a higher number */
        if (!k->states[i]) continue;
        uint32_t *row = a->rows + (size_t)(k->states[i] - 1) * n_classes;
        const uint32_t *from = a->rows + i * n_classes;
        for (size_t c = 0; c < n_classes; c++)
            row[c] = from[c] == MQA_STATE_UNKNOWN || !k->states[from[c]] ? MQA_STATE_UNKNOWN
                                                                         : k->states[from[c]] - 1;
        mqa_automaton_forget(a, k->states[i] - 1);
    }
    for (mqa_matcher *m = a->matchers; m; m = m->next)
        for (size_t i = 0; i <= m->n_kept; i++) {
            uint32_t *state = mqa_matcher_state(m, i);
            *state = k->states[*state] - 1;
        }
    a->start = k->states[a->start] - 1;
}

static mqa_status compact(mqa_automaton *a, keep *k, mqa_error *err)
{
    k->states = calloc(a->states.n, sizeof *k->states);
    k->frames = calloc(a->frames.n, sizeof *k->frames);
    if (!k->states || !k->frames)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory to drop states");
    mark(a, k);
    mqa_automaton old = *a;
    a->states = a->frames = (mqa_interned){0};
    a->pairs = NULL;
    a->n_pairs = a->pairs_capacity = 0;
    mqa_status status = move(a, &old.frames, k->frames, old.pairs, k->frames, &a->frames, err);
    if (status == MQA_OK) status = move(a, &old.states, k->states, old.pairs, k->frames, &a->states, err);
    mqa_automaton *gone = status == MQA_OK ? &old : a; /* for want of memory: all stays as it was */
    free(gone->states.sets);
    free(gone->states.slots);
    free(gone->frames.sets);
    free(gone->frames.slots);
    free(gone->pairs);
    if (status == MQA_OK) {
        mqa_automaton_drop_masks(a);
        renumber(a, k, old.states.n);
    } else {
        *a = old;
    }
    return status;
}

mqa_status mqa_automaton_collect(mqa_automaton *a, mqa_error *err)
{
    keep k = {0};
    const mqa_status status = compact(a, &k, err);
    free(k.states);
    free(k.frames);
    return status;
}
