/* Random grammars, and a matcher for them that is slow and plain: by sets of the places where an expression
 * may end. It shares nothing with the one it judges, not even the grammar's text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GRAMMAR_NAIVE_H
#define GRAMMAR_NAIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAIVE_EXPRS = 64, NAIVE_RULES = 4, NAIVE_TEXT_MAX = 24 };

typedef enum naive_kind { N_LITERAL, N_CLASS, N_SEQUENCE, N_CHOICE, N_REPEAT, N_RULE } naive_kind;

typedef struct naive_expr {
    naive_kind kind;
    char literal[8];
    bool has[5], negated; /* of naive_alphabet */
    int kids[3], n_kids;  /* a repeat's first is what is repeated */
    int min, max;         /* max -1: unbounded */
    int rule;
} naive_expr;

typedef struct naive_grammar {
    naive_expr exprs[NAIVE_EXPRS];
    int n_exprs;
    int bodies[NAIVE_RULES], n_rules;
    bool ends[NAIVE_EXPRS]; /* some text satisfies it */
} naive_grammar;

extern const char *const naive_alphabet[5];

void naive_random(naive_grammar *g, uint64_t *seed);
/* As GBNF; the first rule is the root. */
void naive_print(const naive_grammar *g, char *out, size_t size);
/* Whether the text is a sentence, or the beginning of one. At most NAIVE_TEXT_MAX bytes. Not for grammars
 * with left recursion. */
bool naive_is_sentence(const naive_grammar *g, const char *text, size_t n);
bool naive_is_beginning(const naive_grammar *g, const char *text, size_t n);

#endif
