/* Finishing automata: what can't end goes, what doesn't read becomes closures, rules get their order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "grammar/nfa.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/array.h"

#define CLOSURES_MAX ((size_t)1 << 22)

typedef struct arc {
    uint32_t from, to;
} arc;

/* Items whose first field is a key below n_keys, sorted by it in place: those of key k are first[k] ..
 * first[k + 1]. */
static mqa_status group(void *items, size_t n, size_t size, size_t n_keys, uint32_t **first, mqa_error *err)
{
    uint32_t *at = calloc(n_keys + 2, sizeof *at);
    char *copy = malloc(n * size + 1);
    *first = at;
    if (!at || !copy) {
        free(copy);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for %zu edges", n);
    }
    if (n) memcpy(copy, items, n * size);
    uint32_t key;
    for (size_t i = 0; i < n; i++) {
        memcpy(&key, copy + i * size, sizeof key);
        at[key + 2]++;
    }
    for (size_t k = 2; k < n_keys + 2; k++) at[k] += at[k - 1];
    for (size_t i = 0; i < n; i++) { /* at[k + 1] runs from where k's begin to where they end */
        memcpy(&key, copy + i * size, sizeof key);
        memcpy((char *)items + at[key + 1]++ * size, copy + i * size, size);
    }
    free(copy);
    return MQA_OK;
}

typedef struct finish {
    mqa_raw_nfa *raw;
    const mqa_rule *rules;
    mqa_grammar *g;
    mqa_error *err;
    bool *reaches_end; /* [states] the end of their rule, by any text, then without reading */
    bool *rule_ends;   /* [rules] likewise, from their start */
    uint32_t *skip_first;
    size_t closure_n, closure_capacity;
} finish;

static mqa_status no_memory(const finish *f)
{
    return mqa_fail(f->err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for %zu states", f->raw->n_states);
}

/* ---- which states reach the end ---- */

/* Everything backwards. */
typedef struct backwards {
    arc *arcs;             /* to → from */
    arc *by_ret, *by_rule; /* ret or rule → call */
    uint32_t *arc_first, *ret_first, *rule_first;
    uint32_t *stack, *rule_at; /* rule_at[state]: the rule that starts there, plus one */
    size_t n_stack;
} backwards;

static void backwards_free(backwards *b)
{
    free(b->arcs);
    free(b->by_ret);
    free(b->by_rule);
    free(b->arc_first);
    free(b->ret_first);
    free(b->rule_first);
    free(b->stack);
    free(b->rule_at);
}

static mqa_status backwards_init(backwards *b, const finish *f, bool reading)
{
    const mqa_raw_nfa *raw = f->raw;
    size_t n = 0;
    b->arcs = malloc((raw->n_skips + raw->n_edges + 1) * sizeof *b->arcs);
    b->by_ret = malloc((raw->n_calls + 1) * sizeof *b->by_ret);
    b->by_rule = malloc((raw->n_calls + 1) * sizeof *b->by_rule);
    b->stack = malloc((raw->n_states + 1) * sizeof *b->stack);
    b->rule_at = calloc(raw->n_states + 1, sizeof *b->rule_at);
    if (!b->arcs || !b->by_ret || !b->by_rule || !b->stack || !b->rule_at) return no_memory(f);
    for (size_t i = 0; i < raw->n_skips; i++) b->arcs[n++] = (arc){raw->skips[i].to, raw->skips[i].from};
    for (size_t i = 0; reading && i < raw->n_edges; i++)
        b->arcs[n++] = (arc){raw->edges[i].to, raw->edges[i].from};
    for (uint32_t i = 0; i < raw->n_calls; i++) {
        b->by_ret[i] = (arc){raw->calls[i].ret, i};
        b->by_rule[i] = (arc){raw->calls[i].rule, i};
    }
    for (uint32_t i = 0; i < raw->n_rules; i++) b->rule_at[raw->starts[i]] = i + 1;
    MQA_TRY(group(b->arcs, n, sizeof(arc), raw->n_states, &b->arc_first, f->err));
    MQA_TRY(group(b->by_ret, raw->n_calls, sizeof(arc), raw->n_states, &b->ret_first, f->err));
    return group(b->by_rule, raw->n_calls, sizeof(arc), raw->n_rules, &b->rule_first, f->err);
}

static void mark(backwards *b, const finish *f, uint32_t state)
{
    if (f->reaches_end[state]) return;
    f->reaches_end[state] = true;
    b->stack[b->n_stack++] = state;
}

static mqa_status find_what_ends(finish *f, bool reading)
{
    const mqa_raw_nfa *raw = f->raw;
    backwards b = {0};
    mqa_status status = backwards_init(&b, f, reading);
    memset(f->reaches_end, 0, raw->n_states);
    memset(f->rule_ends, 0, raw->n_rules);
    for (size_t i = 0; status == MQA_OK && i < raw->n_rules; i++) mark(&b, f, raw->ends[i]);
    while (status == MQA_OK && b.n_stack > 0) {
        const uint32_t state = b.stack[--b.n_stack];
        for (uint32_t i = b.arc_first[state]; i < b.arc_first[state + 1]; i++) mark(&b, f, b.arcs[i].to);
        for (uint32_t i = b.ret_first[state]; i < b.ret_first[state + 1]; i++) {
            const mqa_call *call = &raw->calls[b.by_ret[i].to];
            if (f->rule_ends[call->rule]) mark(&b, f, call->from);
        }
        if (b.rule_at[state] == 0) continue;
        const uint32_t rule = b.rule_at[state] - 1;
        f->rule_ends[rule] = true;
        for (uint32_t i = b.rule_first[rule]; i < b.rule_first[rule + 1]; i++) {
            const mqa_call *call = &raw->calls[b.by_rule[i].to];
            if (f->reaches_end[call->ret]) mark(&b, f, call->from);
        }
    }
    backwards_free(&b);
    return status;
}

/* Edges to where no text leads to the end: a mask must not lead into a dead end. */
static void drop_dead_ends(finish *f)
{
    mqa_raw_nfa *raw = f->raw;
    size_t n = 0;
    for (size_t i = 0; i < raw->n_edges; i++)
        if (f->reaches_end[raw->edges[i].to]) raw->edges[n++] = raw->edges[i];
    raw->n_edges = n, n = 0;
    for (size_t i = 0; i < raw->n_skips; i++)
        if (f->reaches_end[raw->skips[i].to]) raw->skips[n++] = raw->skips[i];
    raw->n_skips = n, n = 0;
    for (size_t i = 0; i < raw->n_calls; i++)
        if (f->reaches_end[raw->calls[i].ret] && f->rule_ends[raw->calls[i].rule])
            raw->calls[n++] = raw->calls[i];
    raw->n_calls = n;
}

/* ---- closures ---- */

typedef struct closing {
    uint32_t *seen; /* [states] by which closure last */
    uint32_t *stack;
    bool *wanted; /* [states] something reads or returns to it */
} closing;

static mqa_status close_state(finish *f, closing *c, uint32_t state)
{
    mqa_grammar *g = f->g;
    size_t n_stack = 0;
    c->stack[n_stack++] = state;
    c->seen[state] = state + 1;
    while (n_stack > 0) {
        const uint32_t at = c->stack[--n_stack];
        if (f->reaches_end[at]) g->ends[state] = true;
        if (g->edge_first[at] < g->edge_first[at + 1] || g->call_first[at] < g->call_first[at + 1]) {
            if (f->closure_n >= CLOSURES_MAX)
                return mqa_fail(f->err, MQA_ERR_BUDGET,
                                "the grammar is too large: too much in it can be left out");
            MQA_TRY(mqa_array_reserve(&g->closure, &f->closure_capacity, f->closure_n + 1, sizeof *g->closure,
                                      f->err));
            g->closure[f->closure_n++] = at;
        }
        for (uint32_t i = f->skip_first[at]; i < f->skip_first[at + 1]; i++) {
            const uint32_t to = f->raw->skips[i].to;
            if (c->seen[to] != state + 1) c->seen[to] = state + 1, c->stack[n_stack++] = to;
        }
        for (uint32_t i = g->call_first[at]; i < g->call_first[at + 1]; i++) {
            const uint32_t to = g->calls[i].ret;
            if (!f->rule_ends[g->calls[i].rule]) continue;
            if (c->seen[to] != state + 1) c->seen[to] = state + 1, c->stack[n_stack++] = to;
        }
    }
    return MQA_OK;
}

static mqa_status close_states(finish *f, closing *c)
{
    const mqa_raw_nfa *raw = f->raw;
    mqa_grammar *g = f->g;
    c->seen = calloc(raw->n_states, sizeof *c->seen);
    c->stack = malloc(raw->n_states * sizeof *c->stack);
    c->wanted = calloc(raw->n_states, 1);
    g->closure_first = calloc(raw->n_states + 1, sizeof *g->closure_first);
    g->ends = calloc(raw->n_states, 1);
    if (!c->seen || !c->stack || !c->wanted || !g->closure_first || !g->ends) return no_memory(f);
    for (size_t i = 0; i < raw->n_rules; i++) c->wanted[raw->starts[i]] = true;
    for (size_t i = 0; i < raw->n_edges; i++) c->wanted[g->edges[i].to] = true;
    for (size_t i = 0; i < raw->n_calls; i++) c->wanted[g->calls[i].ret] = true;
    for (uint32_t s = 0; s < raw->n_states; s++) {
        if (c->wanted[s]) MQA_TRY(close_state(f, c, s));
        g->closure_first[s + 1] = (uint32_t)f->closure_n;
    }
    for (size_t i = 0; i < raw->n_calls; i++) {
        const uint32_t ret = g->calls[i].ret;
        g->calls[i].tail = g->ends[ret] && g->closure_first[ret] == g->closure_first[ret + 1];
    }
    return MQA_OK;
}

/* ---- the order of rules ---- */

typedef struct ordering {
    arc *arcs; /* rule → rule that it can begin with */
    uint32_t *first, *n_before, *queue, *rank, *before;
    size_t n, capacity;
} ordering;

/* Of the rules that couldn't be ordered each has one before it among them: going back ends in a circle. */
static mqa_status left_recursion(const finish *f, const ordering *o)
{
    uint32_t at = 0;
    for (size_t i = 0; i < o->n; i++)
        if (o->n_before[o->arcs[i].from] && o->n_before[o->arcs[i].to])
            o->before[at = o->arcs[i].to] = o->arcs[i].from;
    for (size_t i = 0; i < f->raw->n_rules; i++) at = o->before[at];
    const char *name = f->rules[at].name;
    return mqa_fail(f->err, MQA_ERR_FORMAT,
                    "rule '%s' can begin with itself (left recursion): write it as a repetition, "
                    "as in  sum ::= term (\"+\" term)*",
                    name[0] ? name : "?");
}

static mqa_status order_rules(finish *f, ordering *o)
{
    const mqa_raw_nfa *raw = f->raw;
    mqa_grammar *g = f->g;
    for (uint32_t rule = 0; rule < raw->n_rules; rule++) {
        const uint32_t start = raw->starts[rule];
        for (uint32_t i = g->closure_first[start]; i < g->closure_first[start + 1]; i++) {
            const uint32_t state = g->closure[i];
            for (uint32_t j = g->call_first[state]; j < g->call_first[state + 1]; j++) {
                MQA_TRY(mqa_array_reserve(&o->arcs, &o->capacity, o->n + 1, sizeof *o->arcs, f->err));
                o->arcs[o->n++] = (arc){rule, g->calls[j].rule};
            }
        }
    }
    MQA_TRY(group(o->arcs, o->n, sizeof *o->arcs, raw->n_rules, &o->first, f->err));
    o->n_before = calloc(raw->n_rules, sizeof *o->n_before);
    o->before = calloc(raw->n_rules, sizeof *o->before);
    o->queue = malloc(raw->n_rules * sizeof *o->queue);
    o->rank = malloc(raw->n_rules * sizeof *o->rank);
    if (!o->n_before || !o->before || !o->queue || !o->rank) return no_memory(f);
    for (size_t i = 0; i < o->n; i++) o->n_before[o->arcs[i].to]++;
    uint32_t n = 0;
    for (uint32_t rule = 0; rule < raw->n_rules; rule++)
        if (o->n_before[rule] == 0) o->queue[n++] = rule;
    for (uint32_t done = 0; done < n; done++) {
        const uint32_t rule = o->queue[done];
        o->rank[rule] = done;
        for (uint32_t i = o->first[rule]; i < o->first[rule + 1]; i++)
            if (--o->n_before[o->arcs[i].to] == 0) o->queue[n++] = o->arcs[i].to;
    }
    if (n < raw->n_rules) return left_recursion(f, o);
    for (uint32_t rule = 0; rule < raw->n_rules; rule++) g->starts[o->rank[rule]] = raw->starts[rule];
    for (size_t i = 0; i < raw->n_calls; i++) g->calls[i].rule = o->rank[g->calls[i].rule];
    g->root = o->rank[g->root];
    return MQA_OK;
}

/* ---- classes of bytes ---- */

static void find_classes(mqa_grammar *g, size_t n_edges)
{
    bool begins[257] = {true};
    for (size_t i = 0; i < n_edges; i++) begins[g->edges[i].lo] = begins[g->edges[i].hi + 1] = true;
    for (int byte = 0; byte < 256; byte++) {
        if (begins[byte]) g->sample_of[g->n_classes++] = (uint8_t)byte;
        g->class_of[byte] = (uint8_t)(g->n_classes - 1);
    }
}

static mqa_status finish_all(finish *f, closing *c, ordering *o)
{
    mqa_raw_nfa *raw = f->raw;
    mqa_grammar *g = f->g;
    f->reaches_end = malloc(raw->n_states);
    f->rule_ends = malloc(raw->n_rules);
    g->starts = calloc(raw->n_rules, sizeof *g->starts);
    if (!f->reaches_end || !f->rule_ends || !g->starts) return no_memory(f);
    MQA_TRY(find_what_ends(f, true));
    if (!f->rule_ends[g->root])
        return mqa_fail(f->err, MQA_ERR_FORMAT,
                        "nothing satisfies the grammar: its root can't come to an end");
    drop_dead_ends(f);
    MQA_TRY(find_what_ends(f, false));
    MQA_TRY(group(raw->skips, raw->n_skips, sizeof *raw->skips, raw->n_states, &f->skip_first, f->err));
    MQA_TRY(group(raw->edges, raw->n_edges, sizeof *raw->edges, raw->n_states, &g->edge_first, f->err));
    MQA_TRY(group(raw->calls, raw->n_calls, sizeof *raw->calls, raw->n_states, &g->call_first, f->err));
    g->edges = raw->edges;
    g->calls = raw->calls;
    raw->edges = NULL;
    raw->calls = NULL;
    MQA_TRY(close_states(f, c));
    MQA_TRY(order_rules(f, o));
    find_classes(g, raw->n_edges);
    return MQA_OK;
}

static size_t bytes_of(const mqa_grammar *g, const mqa_raw_nfa *raw)
{
    const size_t n = raw->n_states;
    return sizeof *g + g->n_rules * sizeof *g->starts + raw->n_edges * sizeof *g->edges +
           raw->n_calls * sizeof *g->calls + g->closure_first[n] * sizeof *g->closure +
           3 * (n + 1) * sizeof *g->edge_first + n * sizeof *g->ends;
}

mqa_status mqa_nfa_finish(mqa_raw_nfa *raw, const mqa_rule *rules, mqa_grammar **out, mqa_error *err)
{
    *out = NULL;
    finish f = {.raw = raw, .rules = rules, .g = calloc(1, sizeof *f.g), .err = err};
    if (!f.g) return no_memory(&f);
    atomic_init(&f.g->references, 1);
    f.g->n_rules = (uint32_t)raw->n_rules;
    closing c = {0};
    ordering o = {0};
    const mqa_status status = finish_all(&f, &c, &o);
    if (status == MQA_OK) f.g->n_bytes = bytes_of(f.g, raw);
    free(f.reaches_end);
    free(f.rule_ends);
    free(f.skip_first);
    free(c.seen);
    free(c.stack);
    free(c.wanted);
    free(o.arcs);
    free(o.first);
    free(o.n_before);
    free(o.before);
    free(o.queue);
    free(o.rank);
    if (status == MQA_OK)
        *out = f.g;
    else
        mqa_grammar_destroy(&f.g);
    return status;
}

mqa_grammar *mqa_grammar_keep(mqa_grammar *grammar)
{
    atomic_fetch_add(&grammar->references, 1);
    return grammar;
}

void mqa_grammar_destroy(mqa_grammar **grammar)
{
    if (!grammar || !*grammar) return;
    mqa_grammar *g = *grammar;
    *grammar = NULL;
    if (atomic_fetch_sub(&g->references, 1) > 1) return;
    free(g->starts);
    free(g->edges);
    free(g->calls);
    free(g->closure);
    free(g->edge_first);
    free(g->call_first);
    free(g->closure_first);
    free(g->ends);
    free(g);
}
