/* The book of expressions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "grammar/expr.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/array.h"

void mqa_book_init(mqa_book *book, mqa_error *err)
{
    *book = (mqa_book){.err = err};
    mqa_book_list(book, MQA_EXPR_SEQUENCE, NULL, 0); /* expression 0: what failed calls return */
}

void mqa_book_free(mqa_book *book)
{
    free(book->nodes);
    free(book->bytes);
    free(book->ranges);
    free(book->kids);
    free(book->rules);
    *book = (mqa_book){0};
}

void mqa_book_fail(mqa_book *book, mqa_status status, const char *fmt, ...)
{
    if (book->status != MQA_OK) return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0) text[0] = '\0';
    va_end(args);
    book->status = mqa_fail(book->err, status, "%s", text);
}

/* Room for more elements of one of the book's arrays. */
static bool reserve(mqa_book *book, void *data, size_t *capacity, size_t n, size_t more, size_t size)
{
    if (book->status != MQA_OK) return false;
    if (n + more > MQA_GRAMMAR_NODES_MAX)
        mqa_book_fail(book, MQA_ERR_BUDGET, "the grammar is too large: more than %zu parts",
                      MQA_GRAMMAR_NODES_MAX);
    else
        book->status = mqa_array_reserve(data, capacity, n + more, size, book->err);
    return book->status == MQA_OK;
}

static uint32_t saturated(uint64_t x)
{
    return x < UINT32_MAX ? (uint32_t)x : UINT32_MAX;
}

static mqa_expr add(mqa_book *book, mqa_expr_node node)
{
    if (!reserve(book, &book->nodes, &book->nodes_capacity, book->n_nodes, 1, sizeof node)) return 0;
    if (node.depth > MQA_GRAMMAR_DEPTH_MAX) {
        mqa_book_fail(book, MQA_ERR_BUDGET, "the grammar is nested more than %d deep", MQA_GRAMMAR_DEPTH_MAX);
        return 0;
    }
    book->nodes[book->n_nodes] = node;
    return (mqa_expr)book->n_nodes++;
}

mqa_expr mqa_book_bytes(mqa_book *book, const void *bytes, size_t n)
{
    if (n > MQA_GRAMMAR_NODES_MAX) n = MQA_GRAMMAR_NODES_MAX + 1;
    if (!reserve(book, &book->bytes, &book->bytes_capacity, book->n_bytes, n, 1)) return 0;
    if (n) memcpy(book->bytes + book->n_bytes, bytes, n);
    const mqa_expr_node node = {
        .kind = MQA_EXPR_BYTES, .first = (uint32_t)book->n_bytes, .n = (uint32_t)n, .weight = (uint32_t)n};
    book->n_bytes += n;
    return add(book, node);
}

mqa_expr mqa_book_set(mqa_book *book, const mqa_range *ranges, size_t n)
{
    mqa_range_list list = {0};
    for (size_t i = 0; i < n && book->status == MQA_OK; i++)
        book->status = mqa_range_list_add(&list, ranges[i].lo, ranges[i].hi, book->err);
    if (book->status == MQA_OK) book->status = mqa_range_list_normalize(&list, book->err);
    if (!reserve(book, &book->ranges, &book->ranges_capacity, book->n_ranges, list.n, sizeof *list.at)) {
        free(list.at);
        return 0;
    }
    if (list.n) memcpy(book->ranges + book->n_ranges, list.at, list.n * sizeof *list.at);
    const uint32_t many = list.n > 0 && list.at[list.n - 1].hi >= 0x80 ? 8 : 1;
    const mqa_expr_node node = {.kind = MQA_EXPR_SET,
                                .first = (uint32_t)book->n_ranges,
                                .n = (uint32_t)list.n,
                                .weight = saturated((uint64_t)list.n * many)};
    book->n_ranges += list.n;
    free(list.at);
    return add(book, node);
}

mqa_expr mqa_book_list(mqa_book *book, mqa_expr_kind kind, const mqa_expr *kids, size_t n)
{
    if (n == 1) return kids[0];
    if (!reserve(book, &book->kids, &book->kids_capacity, book->n_kids, n, sizeof *kids)) return 0;
    mqa_expr_node node = {.kind = kind, .first = (uint32_t)book->n_kids, .n = (uint32_t)n};
    uint64_t weight = 1;
    for (size_t i = 0; i < n; i++) {
        const mqa_expr_node *kid = &book->nodes[kids[i]];
        book->kids[book->n_kids++] = kids[i];
        weight += kid->weight;
        if (kid->depth >= node.depth) node.depth = kid->depth + 1;
    }
    node.weight = saturated(weight);
    return add(book, node);
}

mqa_expr mqa_book_repeat(mqa_book *book, mqa_expr expr, uint32_t min, uint32_t max)
{
    if (book->status != MQA_OK) return 0;
    if ((max != MQA_REPEAT_UNBOUNDED && max > MQA_GRAMMAR_REPEAT_MAX) || min > MQA_GRAMMAR_REPEAT_MAX) {
        mqa_book_fail(book, MQA_ERR_BUDGET, "a repetition goes above %d times", MQA_GRAMMAR_REPEAT_MAX);
        return 0;
    }
    if (min > max) return mqa_book_list(book, MQA_EXPR_CHOICE, NULL, 0);
    const mqa_expr_node *kid = &book->nodes[expr];
    const uint64_t copies = max == MQA_REPEAT_UNBOUNDED ? (uint64_t)min + 1 : max;
    return add(book, (mqa_expr_node){.kind = MQA_EXPR_REPEAT,
                                     .first = expr,
                                     .min = min,
                                     .max = max,
                                     .depth = kid->depth + 1,
                                     .weight = saturated(copies * (kid->weight + 1ull))});
}

mqa_expr mqa_book_call(mqa_book *book, uint32_t rule)
{
    return add(book, (mqa_expr_node){.kind = MQA_EXPR_CALL, .first = rule, .weight = 1});
}

uint32_t mqa_book_rule(mqa_book *book, const char *name, size_t n)
{
    if (!reserve(book, &book->rules, &book->rules_capacity, book->n_rules, 1, sizeof *book->rules)) return 0;
    if (book->n_rules == MQA_GRAMMAR_RULES_MAX) {
        mqa_book_fail(book, MQA_ERR_BUDGET, "the grammar has more than %zu rules", MQA_GRAMMAR_RULES_MAX);
        return 0;
    }
    mqa_rule rule = {.body = MQA_EXPR_NONE};
    memcpy(rule.name, name, n < sizeof rule.name ? n : sizeof rule.name - 1);
    book->rules[book->n_rules] = rule;
    return (uint32_t)book->n_rules++;
}

void mqa_book_define(mqa_book *book, uint32_t rule, mqa_expr body)
{
    if (book->status == MQA_OK) book->rules[rule].body = body;
}

mqa_expr mqa_book_share(mqa_book *book, mqa_expr body)
{
    if (book->status == MQA_OK && book->nodes[body].kind == MQA_EXPR_CALL) return body;
    const uint32_t rule = mqa_book_rule(book, "", 0);
    mqa_book_define(book, rule, body);
    return mqa_book_call(book, rule);
}
