/* Steps of the deterministic automaton.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "grammar/automaton.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/array.h"

typedef struct pair_list {
    mqa_pair *at;
    size_t n, capacity;
} pair_list;

/* A frame in the making: what calls of one rule, all at this place of the text, are to go on with. */
typedef struct contribution {
    mqa_pair pair;
    uint32_t next; /* of the same rule, plus one */
} contribution;

struct mqa_scratch {
    pair_list items, todo, frame;
    mqa_pair *seen; /* of todo: a hash set, [n_seen_slots], frame MQA_STATE_UNKNOWN where free */
    size_t n_seen_slots, n_seen;
    contribution *contributions;
    size_t n_contributions, contributions_capacity;
    uint32_t *heads;   /* [rules] the last contribution, plus one */
    uint64_t *pending; /* [rules] bits: heads isn't 0 */
    bool dirty;        /* a step failed and left heads and pending as they were */
};

static mqa_status no_room(mqa_automaton *a, mqa_error *err)
{
    a->full = true;
    return mqa_fail(err, MQA_ERR_BUDGET,
                    "the grammar is too ambiguous or too deep here: its states outgrow their memory");
}

static mqa_status no_patience(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_BUDGET, "the grammar is too ambiguous here: too many ways to go on");
}

static mqa_status push(pair_list *list, mqa_pair pair, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&list->at, &list->capacity, list->n + 1, sizeof pair, err));
    list->at[list->n++] = pair;
    return MQA_OK;
}

static int by_pair(const void *x, const void *y)
{
    const mqa_pair *a = x, *b = y;
    return a->state != b->state ? (a->state > b->state) - (a->state < b->state)
                                : (a->frame > b->frame) - (a->frame < b->frame);
}

static void sort_once(pair_list *list)
{
    if (list->n < 2) return;
    qsort(list->at, list->n, sizeof *list->at, by_pair);
    size_t n = 1;
    for (size_t i = 1; i < list->n; i++)
        if (by_pair(&list->at[i], &list->at[n - 1]) != 0) list->at[n++] = list->at[i];
    list->n = n;
}

static uint32_t mix(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(x ^ x >> 32);
}

static uint32_t hash_pair(mqa_pair p)
{
    return mix((uint64_t)p.state << 32 | p.frame);
}

/* ---- sets by content ---- */

static mqa_status grow_slots(mqa_interned *sets, mqa_error *err)
{
    if (sets->n * 2 < sets->n_slots) return MQA_OK;
    const size_t n_slots = sets->n_slots ? 2 * sets->n_slots : 256;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (!slots) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for %zu states", n_slots);
    for (size_t i = 0; i < sets->n; i++) {
        size_t at = sets->sets[i].hash & (n_slots - 1);
        while (slots[at]) at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(sets->slots);
    sets->slots = slots;
    sets->n_slots = n_slots;
    return MQA_OK;
}

mqa_status mqa_automaton_intern(mqa_automaton *a, mqa_interned *sets, const mqa_pair *pairs, size_t n,
                                uint32_t *out, mqa_error *err)
{
    uint32_t hash = (uint32_t)n;
    for (size_t i = 0; i < n; i++) hash = mix((uint64_t)hash << 32 | hash_pair(pairs[i]));
    MQA_TRY(grow_slots(sets, err));
    size_t at = hash & (sets->n_slots - 1);
    for (; sets->slots[at]; at = (at + 1) & (sets->n_slots - 1)) {
        const mqa_pair_set *set = &sets->sets[sets->slots[at] - 1];
        if (set->hash != hash || set->n != n) continue;
        if (n > 0 && memcmp(a->pairs + set->first, pairs, n * sizeof *pairs) != 0) continue;
        *out = sets->slots[at] - 1;
        return MQA_OK;
    }
    if (n > MQA_STATE_PAIRS_MAX || a->n_pairs + n > MQA_AUTOMATON_PAIRS_MAX) return no_room(a, err);
    MQA_TRY(mqa_array_reserve(&a->pairs, &a->pairs_capacity, a->n_pairs + n, sizeof *pairs, err));
    MQA_TRY(mqa_array_reserve(&sets->sets, &sets->capacity, sets->n + 1, sizeof *sets->sets, err));
    if (n) memcpy(a->pairs + a->n_pairs, pairs, n * sizeof *pairs);
    sets->sets[sets->n] = (mqa_pair_set){.first = (uint32_t)a->n_pairs, .n = (uint32_t)n, .hash = hash};
    a->n_pairs += n;
    *out = (uint32_t)sets->n++;
    sets->slots[at] = *out + 1;
    return MQA_OK;
}

void mqa_automaton_forget(mqa_automaton *a, uint32_t state)
{
    mqa_state_facts *facts = &a->facts[state];
    facts->mask = 0;
    for (int i = 0; i < MQA_ALPHABETS; i++)
        facts->next[i] = state == MQA_STATE_DEAD ? MQA_STATE_DEAD : MQA_STATE_UNKNOWN;
}

static mqa_status intern_state(mqa_automaton *a, const mqa_pair *pairs, size_t n, uint32_t *out,
                               mqa_error *err)
{
    const size_t before = a->states.n, n_classes = a->grammar->n_classes;
    const size_t end = (before + 1) * n_classes;
    if (end > MQA_AUTOMATON_ROWS_MAX) return no_room(a, err);
    MQA_TRY(mqa_array_reserve(&a->rows, &a->rows_capacity, end, sizeof *a->rows, err));
    MQA_TRY(mqa_array_reserve(&a->facts, &a->facts_capacity, before + 1, sizeof *a->facts, err));
    MQA_TRY(mqa_automaton_intern(a, &a->states, pairs, n, out, err));
    if (a->states.n == before) return MQA_OK;
    /* Nothing follows the empty set but itself. */
    memset(a->rows + before * n_classes, n ? 0xFF : 0, n_classes * sizeof *a->rows);
    mqa_automaton_forget(a, *out);
    return MQA_OK;
}

static mqa_status intern_frame(mqa_automaton *a, uint32_t *out, mqa_error *err)
{
    const pair_list *list = &a->scratch->frame;
    const size_t before = a->frames.n;
    uint32_t depth = 0;
    for (size_t i = 0; i < list->n; i++) {
        const uint32_t below = a->frames.sets[list->at[i].frame].depth;
        if (list->at[i].state != MQA_NFA_DONE && below >= depth) depth = below + 1;
    }
    MQA_TRY(mqa_automaton_intern(a, &a->frames, list->at, list->n, out, err));
    if (a->frames.n > before) a->frames.sets[*out].depth = depth;
    return MQA_OK;
}

/* ---- one step ---- */

/* Whether the pair is new to seen. */
static mqa_status see(mqa_scratch *s, mqa_pair pair, bool *is_new, mqa_error *err)
{
    if (s->n_seen * 2 >= s->n_seen_slots) {
        const size_t n_slots = s->n_seen_slots ? 2 * s->n_seen_slots : 64;
        mqa_pair *slots = malloc(n_slots * sizeof *slots);
        if (!slots) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for %zu pairs", n_slots);
        memset(slots, 0xFF, n_slots * sizeof *slots);
        for (size_t i = 0; i < s->n_seen_slots; i++) {
            if (s->seen[i].frame == MQA_STATE_UNKNOWN) continue;
            size_t at = hash_pair(s->seen[i]) & (n_slots - 1);
            while (slots[at].frame != MQA_STATE_UNKNOWN) at = (at + 1) & (n_slots - 1);
            slots[at] = s->seen[i];
        }
        free(s->seen);
        s->seen = slots;
        s->n_seen_slots = n_slots;
    }
    size_t at = hash_pair(pair) & (s->n_seen_slots - 1);
    for (; s->seen[at].frame != MQA_STATE_UNKNOWN; at = (at + 1) & (s->n_seen_slots - 1))
        if (by_pair(&s->seen[at], &pair) == 0) {
            *is_new = false;
            return MQA_OK;
        }
    s->seen[at] = pair;
    s->n_seen++;
    *is_new = true;
    return MQA_OK;
}

static mqa_status arrive(mqa_automaton *a, mqa_pair pair, mqa_error *err)
{
    bool is_new;
    MQA_TRY(see(a->scratch, pair, &is_new, err));
    return is_new ? push(&a->scratch->todo, pair, err) : MQA_OK;
}

static mqa_status contribute(mqa_automaton *a, uint32_t rule, mqa_pair pair, mqa_error *err)
{
    mqa_scratch *s = a->scratch;
    MQA_TRY(mqa_array_reserve(&s->contributions, &s->contributions_capacity, s->n_contributions + 1,
                              sizeof *s->contributions, err));
    s->contributions[s->n_contributions++] = (contribution){pair, s->heads[rule]};
    s->heads[rule] = (uint32_t)s->n_contributions;
    s->pending[rule / 64] |= (uint64_t)1 << rule % 64;
    return MQA_OK;
}

/* What standing at a state of the nfa means, without reading: items, and calls to be made. ends: whether the
 * rule's end counts, too. */
static mqa_status spread(mqa_automaton *a, mqa_pair pair, bool ends, mqa_error *err)
{
    const mqa_grammar *g = a->grammar;
    if (pair.state == MQA_NFA_DONE) return push(&a->scratch->items, pair, err);
    const mqa_pair_set frame = a->frames.sets[pair.frame];
    for (uint32_t i = g->closure_first[pair.state]; i < g->closure_first[pair.state + 1]; i++, a->work++) {
        const uint32_t state = g->closure[i];
        if (g->edge_first[state] < g->edge_first[state + 1])
            MQA_TRY(push(&a->scratch->items, (mqa_pair){state, pair.frame}, err));
        for (uint32_t j = g->call_first[state]; j < g->call_first[state + 1]; j++, a->work++) {
            const mqa_call call = g->calls[j];
            for (uint32_t k = 0; call.tail && k < frame.n; k++, a->work++)
                MQA_TRY(contribute(a, call.rule, a->pairs[frame.first + k], err));
            if (!call.tail && frame.depth < MQA_FRAME_DEPTH_MAX) /* deeper: no way on from here */
                MQA_TRY(contribute(a, call.rule, (mqa_pair){call.ret, pair.frame}, err));
        }
    }
    if (!ends || !g->ends[pair.state]) return MQA_OK;
    for (uint32_t k = 0; k < frame.n; k++, a->work++) MQA_TRY(arrive(a, a->pairs[frame.first + k], err));
    return MQA_OK;
}

/* Rules that were called begin, those first that may call others at once: so a frame is whole when it is
 * made. A rule that ends without reading needs no return from here: closures go past its calls. */
static mqa_status make_calls(mqa_automaton *a, mqa_error *err)
{
    mqa_scratch *s = a->scratch;
    const size_t n_words = a->grammar->n_rules / 64 + 1;
    for (size_t word = 0; word < n_words;) {
        if (s->pending[word] == 0) {
            word++;
            continue;
        }
        const uint32_t rule = (uint32_t)word * 64 + (uint32_t)__builtin_ctzll(s->pending[word]);
        s->pending[word] &= s->pending[word] - 1;
        s->frame.n = 0;
        for (uint32_t i = s->heads[rule]; i; i = s->contributions[i - 1].next)
            MQA_TRY(push(&s->frame, s->contributions[i - 1].pair, err));
        s->heads[rule] = 0;
        sort_once(&s->frame);
        uint32_t frame;
        MQA_TRY(intern_frame(a, &frame, err));
        MQA_TRY(spread(a, (mqa_pair){a->grammar->starts[rule], frame}, false, err));
        if (a->work > MQA_WORK_MAX) return no_patience(err);
    }
    return MQA_OK;
}

static void begin(mqa_automaton *a)
{
    mqa_scratch *s = a->scratch;
    s->items.n = s->todo.n = s->n_contributions = 0;
    if (s->n_seen) memset(s->seen, 0xFF, s->n_seen_slots * sizeof *s->seen);
    s->n_seen = 0;
    if (s->dirty) {
        memset(s->heads, 0, a->grammar->n_rules * sizeof *s->heads);
        memset(s->pending, 0, (a->grammar->n_rules / 64 + 1) * sizeof *s->pending);
    }
    s->dirty = true;
}

/* The state of all that arrived. */
static mqa_status settle(mqa_automaton *a, uint32_t *out, mqa_error *err)
{
    mqa_scratch *s = a->scratch;
    while (s->todo.n > 0) {
        MQA_TRY(spread(a, s->todo.at[--s->todo.n], true, err));
        if (a->work > MQA_WORK_MAX) return no_patience(err);
    }
    MQA_TRY(make_calls(a, err));
    s->dirty = false;
    sort_once(&s->items);
    return intern_state(a, s->items.at, s->items.n, out, err);
}

mqa_status mqa_automaton_step(mqa_automaton *a, uint32_t state, uint32_t class, uint32_t *out, mqa_error *err)
{
    const mqa_grammar *g = a->grammar;
    const uint8_t byte = g->sample_of[class];
    const mqa_pair_set set = a->states.sets[state];
    begin(a);
    for (uint32_t i = 0; i < set.n; i++) {
        const mqa_pair item = a->pairs[set.first + i];
        if (item.state == MQA_NFA_DONE) break; /* the last */
        for (uint32_t j = g->edge_first[item.state]; j < g->edge_first[item.state + 1]; j++, a->work++)
            if (g->edges[j].lo <= byte && byte <= g->edges[j].hi)
                MQA_TRY(arrive(a, (mqa_pair){g->edges[j].to, item.frame}, err));
    }
    MQA_TRY(settle(a, out, err));
    a->rows[(size_t)state * g->n_classes + class] = *out;
    return MQA_OK;
}

/* ---- life ---- */

static mqa_status init(mqa_automaton *a, mqa_error *err)
{
    mqa_scratch *s = a->scratch = calloc(1, sizeof *s);
    if (s) s->heads = calloc(a->grammar->n_rules, sizeof *s->heads);
    if (s) s->pending = calloc(a->grammar->n_rules / 64 + 1, sizeof *s->pending);
    if (!s || !s->heads || !s->pending)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for an automaton");
    uint32_t number;
    MQA_TRY(intern_state(a, NULL, 0, &number, err)); /* MQA_STATE_DEAD */
    MQA_TRY(push(&s->frame, (mqa_pair){MQA_NFA_DONE, MQA_FRAME_ROOT}, err));
    MQA_TRY(mqa_automaton_intern(a, &a->frames, s->frame.at, s->frame.n, &number, err));
    begin(a);
    MQA_TRY(arrive(a, (mqa_pair){a->grammar->starts[a->grammar->root], MQA_FRAME_ROOT}, err));
    return settle(a, &a->start, err);
}

static size_t interned_bytes(const mqa_interned *sets)
{
    return sets->capacity * sizeof *sets->sets + sets->n_slots * sizeof *sets->slots;
}

void mqa_automaton_weigh(mqa_automaton *a)
{
    atomic_store(&a->n_bytes, sizeof *a + a->grammar->n_bytes + a->pairs_capacity * sizeof *a->pairs +
                                  interned_bytes(&a->states) + interned_bytes(&a->frames) +
                                  a->rows_capacity * sizeof *a->rows + a->facts_capacity * sizeof *a->facts +
                                  a->n_masks * (sizeof *a->masks + a->index->n_words * sizeof **a->masks));
}

mqa_status mqa_automaton_create(mqa_grammar *grammar, mqa_token_index *index, mqa_automaton **out,
                                mqa_error *err)
{
    *out = NULL;
    mqa_automaton *a = calloc(1, sizeof *a);
    if (!a) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for an automaton");
    pthread_mutex_init(&a->lock, NULL);
    a->grammar = mqa_grammar_keep(grammar);
    a->index = mqa_token_index_keep(index);
    const mqa_status status = init(a, err);
    if (status == MQA_OK) mqa_automaton_weigh(a);
    if (status == MQA_OK)
        *out = a;
    else
        mqa_automaton_free(a);
    return status;
}

void mqa_automaton_free(mqa_automaton *a)
{
    mqa_automaton_drop_masks(a);
    if (a->scratch) {
        free(a->scratch->items.at);
        free(a->scratch->todo.at);
        free(a->scratch->frame.at);
        free(a->scratch->seen);
        free(a->scratch->contributions);
        free(a->scratch->heads);
        free(a->scratch->pending);
        free(a->scratch);
    }
    free(a->pairs);
    free(a->states.sets);
    free(a->states.slots);
    free(a->frames.sets);
    free(a->frames.slots);
    free(a->rows);
    free(a->facts);
    free(a->masks);
    pthread_mutex_destroy(&a->lock);
    mqa_grammar_destroy(&a->grammar);
    mqa_token_index_destroy(&a->index);
    free(a);
}
