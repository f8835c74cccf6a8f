/* From a JSON Schema to expressions: what the parts of the translation share.
 *
 * The rule: every sentence satisfies the schema. What can't be said exactly is narrowed where docs/grammar.md
 * says so, and else refused; a keyword is never passed over.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GRAMMAR_JSON_H
#define MQA_GRAMMAR_JSON_H

#include <jansson.h>

#include "grammar/expr.h"

/* A schema, from the outside in, for messages: "#/properties/name". */
typedef struct mqa_place {
    const struct mqa_place *outer;
    const char *key; /* NULL: an element of an array */
    size_t index;
} mqa_place;

typedef struct mqa_reference {
    const json_t *schema;
    uint32_t rule;
    const char *name; /* "#/$defs/name" */
} mqa_reference;

typedef struct mqa_translation {
    mqa_book book;
    json_t *document;
    size_t n_prelude; /* the first rules are the prelude's */
    mqa_reference *references;
    size_t n_references, references_capacity;
    unsigned depth; /* of schemas under way */
} mqa_translation;

/* Fails for a keyword of the schema at place (or, keyword NULL, the schema). Returns an expression to go on
 * with. */
__attribute__((format(printf, 5, 6))) mqa_expr mqa_schema_fail(mqa_translation *t, const mqa_place *place,
                                                               const char *keyword, mqa_status status,
                                                               const char *fmt, ...);

/* A rule of the prelude, called (prelude.c). */
mqa_expr mqa_prelude(mqa_translation *t, const char *name);
/* The prelude's text; compact: no white space. */
mqa_status mqa_prelude_parse(mqa_translation *t, bool compact, uint32_t *root);
/* The prelude's rule for strings of a format, or NULL. */
const char *mqa_prelude_format(const char *format);

/* A value of the schema, its white space included. */
mqa_expr mqa_schema_value(mqa_translation *t, const json_t *schema, const mqa_place *place);
/* Values of one type, by the keywords for it. */
mqa_expr mqa_schema_object(mqa_translation *t, const json_t *schema, const mqa_place *place);
mqa_expr mqa_schema_array(mqa_translation *t, const json_t *schema, const mqa_place *place);
mqa_expr mqa_schema_string(mqa_translation *t, const json_t *schema, const mqa_place *place);
mqa_expr mqa_schema_integer(mqa_translation *t, const json_t *schema, const mqa_place *place);
mqa_expr mqa_schema_number(mqa_translation *t, const json_t *schema, const mqa_place *place);

/* Exactly this value. */
mqa_expr mqa_schema_literal(mqa_translation *t, const json_t *value);

/* A keyword that is a number of things, 0 or more; otherwise where it is absent. */
uint32_t mqa_schema_count(mqa_translation *t, const json_t *schema, const mqa_place *place,
                          const char *keyword, uint32_t otherwise);

/* No text at all. */
static inline mqa_expr mqa_nothing(mqa_translation *t)
{
    return mqa_book_list(&t->book, MQA_EXPR_CHOICE, NULL, 0);
}

/* A regular expression for the whole of a JSON string's content; *min and *max: its characters. */
mqa_expr mqa_regex(mqa_translation *t, const mqa_place *place, const char *pattern, size_t n, uint64_t *min,
                   uint64_t *max);

/* Strings' content as characters of a set, each as JSON writes it. */
mqa_expr mqa_json_characters(mqa_translation *t, const mqa_range *ranges, size_t n);

#endif
