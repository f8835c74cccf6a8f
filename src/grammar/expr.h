/* Grammars as expressions: what parsers build and mqa_grammar_build compiles.
 *
 * A book fails once: the first failure is kept in it, every later call does nothing and returns an expression
 * that may be used on, so that nested expressions can be written as such. mqa_grammar_build reports it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GRAMMAR_EXPR_H
#define MQA_GRAMMAR_EXPR_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "mqa/grammar.h"

#define MQA_GRAMMAR_TEXT_MAX   ((size_t)1 << 20) /* bytes of a grammar's or a schema's text */
#define MQA_GRAMMAR_NODES_MAX  ((size_t)1 << 20) /* of expressions, of bytes and ranges in them */
#define MQA_GRAMMAR_RULES_MAX  ((size_t)1 << 15)
#define MQA_GRAMMAR_DEPTH_MAX  512 /* expressions within expressions */
#define MQA_GRAMMAR_REPEAT_MAX 100000
#define MQA_GRAMMAR_STATES_MAX ((size_t)1 << 18)
#define MQA_GRAMMAR_EDGES_MAX  ((size_t)1 << 20)

#define MQA_REPEAT_UNBOUNDED UINT32_MAX
#define MQA_CODE_POINT_MAX   0x10FFFFu

/* Code points lo .. hi. */
typedef struct mqa_range {
    uint32_t lo, hi;
} mqa_range;

typedef struct mqa_range_list {
    mqa_range *at;
    size_t n, capacity;
} mqa_range_list;

typedef uint32_t mqa_expr;

typedef enum mqa_expr_kind {
    MQA_EXPR_BYTES,    /* first, n in bytes */
    MQA_EXPR_SET,      /* first, n in ranges: one character; ascending, apart, without surrogates */
    MQA_EXPR_SEQUENCE, /* first, n in kids; none: the empty text */
    MQA_EXPR_CHOICE,   /* first, n in kids; none: no text at all */
    MQA_EXPR_REPEAT,   /* first is the expression, min .. max times */
    MQA_EXPR_CALL      /* first is the rule */
} mqa_expr_kind;

typedef struct mqa_expr_node {
    mqa_expr_kind kind;
    uint32_t first, n, min, max;
    uint32_t depth;  /* of expressions within it */
    uint32_t weight; /* about its states; stops at UINT32_MAX */
    uint32_t rule;   /* the compiler's: the rule whose body it has become, plus one */
} mqa_expr_node;

typedef struct mqa_rule {
    mqa_expr body;  /* MQA_EXPR_NONE: not defined (yet) */
    char name[40];  /* for messages, cut off; "" where it has none */
    uint32_t place; /* the parser's: where it was first mentioned */
} mqa_rule;

#define MQA_EXPR_NONE UINT32_MAX

typedef struct mqa_book {
    mqa_status status;
    mqa_error *err; /* may be NULL */
    mqa_expr_node *nodes;
    uint8_t *bytes;
    mqa_range *ranges;
    mqa_expr *kids;
    mqa_rule *rules;
    size_t n_nodes, nodes_capacity, n_bytes, bytes_capacity, n_ranges, ranges_capacity, n_kids, kids_capacity,
        n_rules, rules_capacity;
} mqa_book;

void mqa_book_init(mqa_book *book, mqa_error *err);
void mqa_book_free(mqa_book *book);
/* Keeps the failure, if it is the first. */
__attribute__((format(printf, 3, 4))) void mqa_book_fail(mqa_book *book, mqa_status status, const char *fmt,
                                                         ...);

mqa_expr mqa_book_bytes(mqa_book *book, const void *bytes, size_t n);
/* Ranges in any order, overlapping or not. */
mqa_expr mqa_book_set(mqa_book *book, const mqa_range *ranges, size_t n);
mqa_expr mqa_book_list(mqa_book *book, mqa_expr_kind kind, const mqa_expr *kids, size_t n);
mqa_expr mqa_book_repeat(mqa_book *book, mqa_expr expr, uint32_t min, uint32_t max);
mqa_expr mqa_book_call(mqa_book *book, uint32_t rule);
/* A rule without a body; calls to it may be made before it has one. */
uint32_t mqa_book_rule(mqa_book *book, const char *name, size_t n);
void mqa_book_define(mqa_book *book, uint32_t rule, mqa_expr body);
/* A rule of this body, called: to be used wherever an expression occurs more than once. */
mqa_expr mqa_book_share(mqa_book *book, mqa_expr body);

#define MQA_KIDS(...)                                                                                        \
    (const mqa_expr[]){__VA_ARGS__}, sizeof((const mqa_expr[]){__VA_ARGS__}) / sizeof(mqa_expr)
#define mqa_book_sequence(b, ...)  mqa_book_list(b, MQA_EXPR_SEQUENCE, MQA_KIDS(__VA_ARGS__))
#define mqa_book_choice(b, ...)    mqa_book_list(b, MQA_EXPR_CHOICE, MQA_KIDS(__VA_ARGS__))
#define mqa_book_optional(b, expr) mqa_book_repeat(b, expr, 0, 1)
#define mqa_book_text(b, literal)  mqa_book_bytes(b, literal, sizeof(literal) - 1)

/* ---- sets of code points ---- */

mqa_status mqa_range_list_add(mqa_range_list *list, uint32_t lo, uint32_t hi, mqa_error *err);
/* Sorts, joins what overlaps or touches, takes surrogates out. */
mqa_status mqa_range_list_normalize(mqa_range_list *list, mqa_error *err);
/* All other code points. */
mqa_status mqa_range_list_negate(mqa_range_list *list, mqa_error *err);

/* Writes a code point (no surrogate) to out and returns its length. */
size_t mqa_utf8_encode(uint32_t code, uint8_t out[4]);

/* Compiles what root needs of the book, whose rules it uses up, and reports the book's own failure. */
mqa_status mqa_grammar_build(mqa_book *book, uint32_t root, mqa_grammar **out);

#endif
