/* From expressions to automata.
 *
 * An expression is put between two states that exist already; it adds no edge into the first or out of the
 * second, so alternatives can share both.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "grammar/nfa.h"
#include "tokenizer/array.h"

/* Copies of a repeated expression are written out up to this weight; above it they are calls of a rule, so
 * that repetitions of repetitions add up rather than multiply. */
enum { INLINE_MAX = 256 };

typedef struct builder {
    mqa_book *book;
    mqa_raw_nfa nfa;
    uint32_t *called; /* rules, in the order of their first call */
    bool *is_called;  /* [rules so far] */
    size_t n_called, called_capacity, n_known, known_capacity;
} builder;

#define ADD(b, list, ...)                                                                                    \
    do {                                                                                                     \
        mqa_raw_nfa *nfa_ = &(b)->nfa;                                                                       \
        if (nfa_->n_##list >= MQA_GRAMMAR_EDGES_MAX) return too_large(b);                                    \
        MQA_TRY(mqa_array_reserve(&nfa_->list, &nfa_->list##_capacity, nfa_->n_##list + 1,                   \
                                  sizeof *nfa_->list, (b)->book->err));                                      \
        nfa_->list[nfa_->n_##list++] = __VA_ARGS__;                                                          \
    } while (0)

static mqa_status too_large(builder *b)
{
    return mqa_fail(b->book->err, MQA_ERR_BUDGET,
                    "the grammar is too large: more than %zu states or %zu edges", MQA_GRAMMAR_STATES_MAX,
                    MQA_GRAMMAR_EDGES_MAX);
}

static mqa_status add_state(builder *b, uint32_t *out)
{
    *out = 0;
    if (b->nfa.n_states >= MQA_GRAMMAR_STATES_MAX) return too_large(b);
    *out = (uint32_t)b->nfa.n_states++;
    return MQA_OK;
}

static mqa_status add_edge(builder *b, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi)
{
    ADD(b, edges, (mqa_edge){.from = from, .to = to, .lo = lo, .hi = hi});
    return MQA_OK;
}

static mqa_status add_skip(builder *b, uint32_t from, uint32_t to)
{
    if (from != to) ADD(b, skips, (mqa_edge){.from = from, .to = to});
    return MQA_OK;
}

static mqa_status call_rule(builder *b, uint32_t rule)
{
    MQA_TRY(mqa_array_reserve(&b->is_called, &b->known_capacity, b->book->n_rules, 1, b->book->err));
    while (b->n_known < b->book->n_rules) b->is_called[b->n_known++] = false;
    if (b->is_called[rule]) return MQA_OK;
    MQA_TRY(mqa_array_reserve(&b->called, &b->called_capacity, b->n_called + 1, sizeof rule, b->book->err));
    b->is_called[rule] = true;
    b->called[b->n_called++] = rule;
    return MQA_OK;
}

static mqa_status add_call(builder *b, uint32_t from, uint32_t rule, uint32_t ret)
{
    MQA_TRY(call_rule(b, rule));
    ADD(b, calls, (mqa_call){.from = from, .rule = rule, .ret = ret});
    return MQA_OK;
}

static mqa_status put_bytes(builder *b, const uint8_t *bytes, size_t n, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t next = to;
        if (i + 1 < n) MQA_TRY(add_state(b, &next));
        MQA_TRY(add_edge(b, from, next, bytes[i], bytes[i]));
        from = next;
    }
    return MQA_OK;
}

/* ---- characters ---- */

/* Of one set: states from which n bytes 80 .. BF lead to its end. */
typedef struct tails {
    uint32_t at[4]; /* at[0] is the end; 0 elsewhere: not made yet (state 0 is a start) */
} tails;

static mqa_status tail(builder *b, tails *t, size_t n, uint32_t *out)
{
    for (size_t i = 1; i <= n; i++)
        if (t->at[i] == 0) {
            MQA_TRY(add_state(b, &t->at[i]));
            MQA_TRY(add_edge(b, t->at[i], t->at[i - 1], 0x80, 0xBF));
        }
    *out = t->at[n];
    return MQA_OK;
}

static bool all(const uint8_t *bytes, size_t n, uint8_t value)
{
    while (n > 0 && bytes[n - 1] == value) n--;
    return n == 0;
}

/* The characters of n bytes from lo to hi, as bytes compare. */
static mqa_status put_span(builder *b, tails *t, uint32_t from, const uint8_t *lo, const uint8_t *hi,
                           size_t n)
{
    static const uint8_t lowest[] = {0x80, 0x80, 0x80}, highest[] = {0xBF, 0xBF, 0xBF};
    uint32_t next;
    uint8_t first = lo[0], last = hi[0];
    const bool whole_low = all(lo + 1, n - 1, 0x80), whole_high = all(hi + 1, n - 1, 0xBF);
    if (first == last && !(whole_low && whole_high)) {
        MQA_TRY(add_state(b, &next));
        MQA_TRY(add_edge(b, from, next, first, first));
        return put_span(b, t, next, lo + 1, hi + 1, n - 1);
    }
    if (!whole_low) {
        MQA_TRY(add_state(b, &next));
        MQA_TRY(add_edge(b, from, next, first, first));
        MQA_TRY(put_span(b, t, next, lo + 1, highest, n - 1));
        first++;
    }
    if (!whole_high) {
        MQA_TRY(add_state(b, &next));
        MQA_TRY(add_edge(b, from, next, last, last));
        MQA_TRY(put_span(b, t, next, lowest, hi + 1, n - 1));
        last--;
    }
    if (first > last) return MQA_OK;
    MQA_TRY(tail(b, t, n - 1, &next));
    return add_edge(b, from, next, first, last);
}

static mqa_status put_set(builder *b, const mqa_range *ranges, size_t n, uint32_t from, uint32_t to)
{
    static const mqa_range of_length[] = {
        {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, MQA_CODE_POINT_MAX}};
    tails t = {.at = {to}};
    for (size_t i = 0; i < n; i++)
        for (size_t length = 1; length <= 4; length++) {
            const mqa_range l = of_length[length - 1];
            const uint32_t lo = ranges[i].lo > l.lo ? ranges[i].lo : l.lo;
            const uint32_t hi = ranges[i].hi < l.hi ? ranges[i].hi : l.hi;
            if (lo > hi) continue;
            uint8_t first[4], last[4];
            mqa_utf8_encode(lo, first);
            mqa_utf8_encode(hi, last);
            MQA_TRY(put_span(b, &t, from, first, last, length));
        }
    return MQA_OK;
}

/* ---- what consists of expressions ---- */

static mqa_status put(builder *b, mqa_expr expr, uint32_t from, uint32_t to);

static mqa_status put_sequence(builder *b, const mqa_expr_node *node, uint32_t from, uint32_t to)
{
    if (node->n == 0) return add_skip(b, from, to);
    for (uint32_t i = 0; i < node->n; i++) {
        uint32_t next = to;
        if (i + 1 < node->n) MQA_TRY(add_state(b, &next));
        MQA_TRY(put(b, b->book->kids[node->first + i], from, next));
        from = next;
    }
    return MQA_OK;
}

static mqa_status put_repeat(builder *b, mqa_expr expr, uint32_t from, uint32_t to)
{
    mqa_expr_node *node = &b->book->nodes[expr];
    const bool bounded = node->max != MQA_REPEAT_UNBOUNDED;
    const uint32_t copies = bounded ? node->max : node->min + 1;
    mqa_expr repeated = node->first;
    if (copies > 1 && node->weight > INLINE_MAX && b->book->nodes[repeated].weight > 2) {
        repeated = node->rule ? node->rule - 1 : mqa_book_share(b->book, repeated);
        MQA_TRY(b->book->status);
        node = &b->book->nodes[expr];
        node->rule = repeated + 1;
    }
    const uint32_t min = node->min, max = node->max;
    if (bounded && max == 0) return add_skip(b, from, to);
    for (uint32_t i = 0; i < (bounded ? max : min); i++) {
        uint32_t next = to;
        if (i >= min) MQA_TRY(add_skip(b, from, to));
        if (!bounded || i + 1 < max) MQA_TRY(add_state(b, &next));
        MQA_TRY(put(b, repeated, from, next));
        from = next;
    }
    if (bounded) return MQA_OK;
    uint32_t loop;
    MQA_TRY(add_state(b, &loop));
    MQA_TRY(add_skip(b, from, loop));
    MQA_TRY(put(b, repeated, loop, loop));
    return add_skip(b, loop, to);
}

/* As deep as the book lets expressions be. */
static mqa_status put(builder *b, mqa_expr expr, uint32_t from, uint32_t to)
{
    const mqa_expr_node node = b->book->nodes[expr];
    switch (node.kind) {
    case MQA_EXPR_BYTES:
        return node.n ? put_bytes(b, b->book->bytes + node.first, node.n, from, to) : add_skip(b, from, to);
    case MQA_EXPR_SET:
        return node.n ? put_set(b, b->book->ranges + node.first, node.n, from, to) : MQA_OK; /* no text */
    case MQA_EXPR_SEQUENCE:
        return put_sequence(b, &node, from, to);
    case MQA_EXPR_CHOICE:
        for (uint32_t i = 0; i < node.n; i++) MQA_TRY(put(b, b->book->kids[node.first + i], from, to));
        return MQA_OK;
    case MQA_EXPR_REPEAT:
        return put_repeat(b, expr, from, to);
    case MQA_EXPR_CALL:
        return add_call(b, from, node.first, to);
    }
    return mqa_fail(b->book->err, MQA_ERR_INTERNAL, "grammar: an expression of kind %d", (int)node.kind);
}

/* The rules that root needs, in place of all. */
static mqa_status put_rules(builder *b, uint32_t root)
{
    mqa_raw_nfa *nfa = &b->nfa;
    MQA_TRY(call_rule(b, root));
    for (size_t i = 0; i < b->n_called; i++) { /* calls, and repetitions, add some as we go */
        const uint32_t rule = b->called[i];
        const mqa_expr body = b->book->rules[rule].body;
        uint32_t start, end;
        MQA_TRY(add_state(b, &start));
        MQA_TRY(add_state(b, &end));
        MQA_TRY(mqa_array_reserve(&nfa->starts, &nfa->starts_capacity, i + 1, sizeof start, b->book->err));
        MQA_TRY(mqa_array_reserve(&nfa->ends, &nfa->ends_capacity, i + 1, sizeof end, b->book->err));
        nfa->starts[i] = start;
        nfa->ends[i] = end;
        nfa->n_rules = i + 1;
        if (body == MQA_EXPR_NONE)
            return mqa_fail(b->book->err, MQA_ERR_INTERNAL, "grammar: rule %u has no body", rule);
        MQA_TRY(put(b, body, start, end));
    }
    return MQA_OK;
}

/* Numbers rules as they were put, which is how starts and ends have them. */
static mqa_status number_rules(builder *b)
{
    mqa_book *book = b->book;
    uint32_t *number = malloc((book->n_rules + 1) * sizeof *number);
    mqa_rule *rules = malloc((b->n_called + 1) * sizeof *rules);
    if (!number || !rules) {
        free(number);
        free(rules);
        return mqa_fail(book->err, MQA_ERR_OUT_OF_MEMORY, "grammar: no memory for %zu rules", book->n_rules);
    }
    for (uint32_t i = 0; i < b->n_called; i++) {
        number[b->called[i]] = i;
        rules[i] = book->rules[b->called[i]];
    }
    for (size_t i = 0; i < b->nfa.n_calls; i++) b->nfa.calls[i].rule = number[b->nfa.calls[i].rule];
    free(number);
    free(book->rules);
    book->rules = rules;
    book->n_rules = book->rules_capacity = b->n_called;
    return MQA_OK;
}

mqa_status mqa_grammar_build(mqa_book *book, uint32_t root, mqa_grammar **out)
{
    *out = NULL;
    builder b = {.book = book};
    mqa_status status = book->status;
    if (status == MQA_OK) status = put_rules(&b, root);
    if (status == MQA_OK) status = number_rules(&b);
    if (status == MQA_OK) status = mqa_nfa_finish(&b.nfa, book->rules, out, book->err);
    free(b.called);
    free(b.is_called);
    free(b.nfa.edges);
    free(b.nfa.calls);
    free(b.nfa.skips);
    free(b.nfa.starts);
    free(b.nfa.ends);
    return status;
}
