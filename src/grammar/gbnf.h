/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_GRAMMAR_GBNF_H
#define MQA_GRAMMAR_GBNF_H

#include "grammar/expr.h"

/* Adds the rules of a grammar to the book, which had none; root is that of the rule "root". */
mqa_status mqa_gbnf_parse(mqa_book *book, const char *text, size_t n_bytes, uint32_t *root);

#endif
