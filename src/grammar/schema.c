/* JSON Schema: keywords, references, types.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/take_struct.h"
#include "grammar/json.h"
#include "tokenizer/array.h"

enum { DEPTH_MAX = 64, PLACE_MAX = 200 };

/* ---- failing ---- */

static size_t print_place(const mqa_place *place, char *out, size_t size)
{
    if (!place->outer) return (size_t)snprintf(out, size, "%s", place->key);
    size_t n = print_place(place->outer, out, size);
    if (n >= size) return n;
    return n + (size_t)(place->key ? snprintf(out + n, size - n, "/%s", place->key)
                                   : snprintf(out + n, size - n, "/%zu", place->index));
}

mqa_expr mqa_schema_fail(mqa_translation *t, const mqa_place *place, const char *keyword, mqa_status status,
                         const char *fmt, ...)
{
    char where[PLACE_MAX], what[256];
    const mqa_place at = {.outer = place, .key = keyword};
    print_place(keyword ? &at : place, where, sizeof where);
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    mqa_book_fail(&t->book, status, "schema, %s: %s", where, what);
    return 0;
}

uint32_t mqa_schema_count(mqa_translation *t, const json_t *schema, const mqa_place *place,
                          const char *keyword, uint32_t otherwise)
{
    const json_t *value = json_object_get(schema, keyword);
    if (!value) return otherwise;
    const double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number != (double)(uint64_t)number || number > 1e15) {
        mqa_schema_fail(t, place, keyword, MQA_ERR_FORMAT, "give a whole number, 0 or more");
        return otherwise;
    }
    return number < UINT32_MAX - 1 ? (uint32_t)number : UINT32_MAX - 1;
}

/* ---- keywords ---- */

/* What a keyword is about. Those about one type say nothing of values of another. */
typedef enum about {
    NOTE, /* nothing that a value must satisfy */
    FORM, /* taken in mqa_schema_value */
    OBJECT,
    ARRAY,
    STRING,
    NUMBER,
    UNSUPPORTED,
} about;

static const struct {
    const char *name;
    about about;
} keywords[] = {
    {"$comment", NOTE},
    {"$defs", NOTE},
    {"$schema", NOTE},
    {"default", NOTE},
    {"definitions", NOTE},
    {"deprecated", NOTE},
    {"description", NOTE},
    {"examples", NOTE},
    {"readOnly", NOTE},
    {"title", NOTE},
    {"writeOnly", NOTE},
    {"$ref", FORM},
    {"anyOf", FORM},
    {"const", FORM},
    {"enum", FORM},
    {"allOf", FORM},
    {"nullable", FORM},
    {"type", FORM},
    {"additionalProperties", OBJECT},
    {"properties", OBJECT},
    {"required", OBJECT},
    {"items", ARRAY},
    {"maxItems", ARRAY},
    {"minItems", ARRAY},
    {"format", STRING},
    {"maxLength", STRING},
    {"minLength", STRING},
    {"pattern", STRING},
    {"exclusiveMaximum", NUMBER},
    {"exclusiveMinimum", NUMBER},
    {"maximum", NUMBER},
    {"minimum", NUMBER},
    {"multipleOf", NUMBER},
};

static about about_of(const char *key)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(key, keywords[i].name) == 0) return keywords[i].about;
    return UNSUPPORTED;
}

/* The kinds of keywords that a schema has, as bits; fails for those that aren't known. */
static unsigned kinds_of(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    unsigned kinds = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        const about a = about_of(key);
        if (a == UNSUPPORTED)
            mqa_schema_fail(t, place, key, MQA_ERR_UNSUPPORTED,
                            "this keyword isn't supported (docs/grammar.md has those that are)");
        kinds |= 1u << a;
    }
    return kinds;
}

/* Fails where besides keyword (and also, which may be NULL) the schema has others that a value must satisfy.
 */
static void expect_alone(mqa_translation *t, const json_t *schema, const mqa_place *place,
                         const char *keyword, const char *also)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        if (about_of(key) == NOTE || strcmp(key, keyword) == 0 || (also && strcmp(key, also) == 0) ||
            strcmp(key, "nullable") == 0)
            continue;
        mqa_schema_fail(t, place, key, MQA_ERR_UNSUPPORTED, "beside '%s' this isn't supported", keyword);
    }
}

/* ---- types ---- */

typedef mqa_expr translate(mqa_translation *t, const json_t *schema, const mqa_place *place);

static mqa_expr boolean_value(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    (void)schema, (void)place;
    return mqa_prelude(t, "boolean");
}

static mqa_expr null_value(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    (void)schema, (void)place;
    return mqa_prelude(t, "null");
}

/* number holds integer: where both are named, number comes first and is enough. */
enum { N_TYPES = 7, TYPE_NUMBER = 3, TYPE_INTEGER = 4, TYPE_NULL = 6 };
static const struct {
    const char *name;
    about about; /* the keywords that are about it */
    translate *translate;
} types[N_TYPES] = {
    {"object", OBJECT, mqa_schema_object},
    {"array", ARRAY, mqa_schema_array},
    {"string", STRING, mqa_schema_string},
    {"number", NUMBER, mqa_schema_number},
    {"integer", NUMBER, mqa_schema_integer},
    {"boolean", FORM, boolean_value},
    {"null", FORM, null_value},
};

static unsigned type_bit(mqa_translation *t, const json_t *name, const mqa_place *place)
{
    for (unsigned i = 0; i < N_TYPES && json_is_string(name); i++)
        if (strcmp(json_string_value(name), types[i].name) == 0) return 1u << i;
    mqa_schema_fail(t, place, "type", MQA_ERR_FORMAT,
                    "give object, array, string, number, integer, boolean or null, or an array of these");
    return 0;
}

/* The types that the schema lets be, as bits. Without "type" those that its keywords are about; 0: any. */
static unsigned types_of(mqa_translation *t, const json_t *schema, const mqa_place *place, unsigned kinds)
{
    const json_t *type = json_object_get(schema, "type");
    unsigned bits = 0;
    if (json_is_array(type)) {
        size_t i;
        json_t *name;
        json_array_foreach((json_t *)(uintptr_t)type, i, name) bits |= type_bit(t, name, place);
        if (json_array_size(type) == 0) type_bit(t, NULL, place);
    } else if (type) {
        bits = type_bit(t, type, place);
    } else {
        for (unsigned i = 0; i < N_TYPES; i++)
            if (types[i].about != FORM && kinds >> types[i].about & 1) bits |= 1u << i;
    }
    if (bits >> TYPE_NUMBER & 1) bits &= ~(1u << TYPE_INTEGER);
    return bits;
}

static unsigned type_of_value(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return 1u << 0;
    case JSON_ARRAY:
        return 1u << 1;
    case JSON_STRING:
        return 1u << 2;
    case JSON_REAL: {
        const double x = json_real_value(value);
        return 1u << TYPE_NUMBER |
               (x > -1e15 && x < 1e15 && x == (double)(int64_t)x ? 1u << TYPE_INTEGER : 0);
    }
    case JSON_INTEGER:
        return 1u << TYPE_NUMBER | 1u << TYPE_INTEGER;
    case JSON_TRUE:
    case JSON_FALSE:
        return 1u << 5;
    default:
        return 1u << TYPE_NULL;
    }
}

static mqa_expr given_values(mqa_translation *t, const json_t *schema, const mqa_place *place, unsigned bits)
{
    mqa_book *b = &t->book;
    const char *keyword = json_object_get(schema, "const") ? "const" : "enum";
    const json_t *values = json_object_get(schema, keyword);
    const bool single = keyword[0] == 'c';
    expect_alone(t, schema, place, keyword, "type");
    if (!single && (!json_is_array(values) || json_array_size(values) == 0))
        return mqa_schema_fail(t, place, keyword, MQA_ERR_FORMAT, "give an array of values");
    const size_t n = single ? 1 : json_array_size(values);
    mqa_expr *ways = calloc(n, sizeof *ways);
    if (!ways) mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for %zu values", n);
    size_t n_ways = 0;
    for (size_t i = 0; i < n && b->status == MQA_OK; i++) {
        const json_t *value = single ? values : json_array_get(values, i);
        if (bits == 0 || bits & type_of_value(value)) ways[n_ways++] = mqa_schema_literal(t, value);
    }
    const mqa_expr out = b->status == MQA_OK ? mqa_book_list(b, MQA_EXPR_CHOICE, ways, n_ways) : 0;
    free(ways);
    return out;
}

static mqa_expr any_of(mqa_translation *t, const json_t *schemas, const mqa_place *place, const char *keyword)
{
    mqa_book *b = &t->book;
    const size_t n = json_array_size(schemas);
    if (n == 0) return mqa_schema_fail(t, place, keyword, MQA_ERR_FORMAT, "give an array of schemas");
    if (keyword[1] == 'l' && n > 1)
        return mqa_schema_fail(t, place, keyword, MQA_ERR_UNSUPPORTED,
                               "more than one schema isn't supported");
    const mqa_place list = {.outer = place, .key = keyword};
    mqa_expr *ways = calloc(n, sizeof *ways);
    if (!ways) mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for %zu schemas", n);
    for (size_t i = 0; i < n && b->status == MQA_OK; i++) {
        const mqa_place at = {.outer = &list, .index = i};
        ways[i] = mqa_schema_value(t, json_array_get(schemas, i), &at);
    }
    const mqa_expr out = b->status == MQA_OK ? mqa_book_list(b, MQA_EXPR_CHOICE, ways, n) : 0;
    free(ways);
    return out;
}

/* ---- references ---- */

/* One step of a JSON pointer: the text up to the next '/', with ~0, ~1 and %XX undone. */
static bool take_step(const char **pointer, char *out, size_t size)
{
    size_t n = 0;
    const char *p = *pointer;
    for (; *p && *p != '/'; p++) {
        unsigned byte;
        if (n + 1 >= size) return false;
        if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1 && byte > 0 && p[1] && p[2]) {
            out[n++] = (char)byte;
            p += 2;
        } else if (*p == '~' && (p[1] == '0' || p[1] == '1')) {
            out[n++] = p[1] == '0' ? '~' : '/';
            p++;
        } else {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
    *pointer = *p ? p + 1 : p;
    return true;
}

static const json_t *resolve(const json_t *document, const char *reference)
{
    char step[512];
    const json_t *at = document;
    if (reference[0] != '#' || (reference[1] && reference[1] != '/')) return NULL;
    for (const char *p = reference + (reference[1] ? 2 : 1); at && *p;) {
        char *end;
        if (!take_step(&p, step, sizeof step)) return NULL;
        const size_t index = strtoul(step, &end, 10);
        at = json_is_array(at) ? (*step && !*end ? json_array_get(at, index) : NULL)
                               : json_object_get(at, step);
    }
    return at;
}

/* Each schema that is referred to is a rule: so it may refer to itself. */
static mqa_expr refer(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    mqa_book *b = &t->book;
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    expect_alone(t, schema, place, "$ref", NULL);
    if (!reference) return mqa_schema_fail(t, place, "$ref", MQA_ERR_FORMAT, "give a text");
    const json_t *target = resolve(t->document, reference);
    if (!target)
        return mqa_schema_fail(t, place, "$ref", MQA_ERR_FORMAT,
                               "there is no '%.60s' in this document (others aren't fetched)", reference);
    for (size_t i = 0; i < t->n_references; i++)
        if (t->references[i].schema == target) return mqa_book_call(b, t->references[i].rule);
    if (b->status == MQA_OK)
        b->status = mqa_array_reserve(&t->references, &t->references_capacity, t->n_references + 1,
                                      sizeof *t->references, b->err);
    const uint32_t rule = mqa_book_rule(b, reference, strlen(reference));
    if (b->status != MQA_OK) return 0;
    t->references[t->n_references++] = (mqa_reference){target, rule, reference};
    return mqa_book_call(b, rule);
}

/* What is referred to is translated by and by: it may refer to more. */
static void define_references(mqa_translation *t)
{
    for (size_t i = 0; i < t->n_references && t->book.status == MQA_OK; i++) {
        const mqa_place place = {.key = t->references[i].name};
        const uint32_t rule = t->references[i].rule;
        mqa_book_define(&t->book, rule, mqa_schema_value(t, t->references[i].schema, &place));
    }
}

/* ---- schemas ---- */

static mqa_expr with_null(mqa_translation *t, const json_t *schema, const mqa_place *place, mqa_expr value)
{
    const json_t *nullable = json_object_get(schema, "nullable");
    if (nullable && !json_is_boolean(nullable))
        return mqa_schema_fail(t, place, "nullable", MQA_ERR_FORMAT, "give true or false");
    return json_is_true(nullable) ? mqa_book_choice(&t->book, value, mqa_prelude(t, "null")) : value;
}

static mqa_expr form(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    mqa_book *b = &t->book;
    const unsigned kinds = kinds_of(t, schema, place);
    if (b->status != MQA_OK) return 0;
    if (json_object_get(schema, "$ref")) return refer(t, schema, place);
    for (int i = 0; i < 2; i++) {
        const char *keyword = i == 0 ? "anyOf" : "allOf";
        const json_t *schemas = json_object_get(schema, keyword);
        if (!schemas) continue;
        expect_alone(t, schema, place, keyword, NULL);
        return any_of(t, schemas, place, keyword);
    }
    const unsigned bits = types_of(t, schema, place, kinds);
    if (json_object_get(schema, "const") || json_object_get(schema, "enum"))
        return given_values(t, schema, place, bits);
    if (bits == 0) return mqa_prelude(t, "value");
    mqa_expr ways[N_TYPES];
    size_t n = 0;
    for (unsigned i = 0; i < N_TYPES && b->status == MQA_OK; i++)
        if (bits >> i & 1) ways[n++] = types[i].translate(t, schema, place);
    return b->status == MQA_OK ? mqa_book_list(b, MQA_EXPR_CHOICE, ways, n) : 0;
}

mqa_expr mqa_schema_value(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    mqa_book *b = &t->book;
    if (b->status != MQA_OK) return 0;
    if (json_is_true(schema)) return mqa_prelude(t, "value");
    if (json_is_false(schema)) return mqa_nothing(t);
    if (!json_is_object(schema))
        return mqa_schema_fail(t, place, NULL, MQA_ERR_FORMAT, "a schema is an object, true or false");
    if (t->depth >= DEPTH_MAX)
        return mqa_schema_fail(t, place, NULL, MQA_ERR_BUDGET, "schemas are nested more than %d deep",
                               DEPTH_MAX);
    t->depth++;
    const mqa_expr value = with_null(t, schema, place, form(t, schema, place));
    t->depth--;
    return value;
}

/* ---- the public calls ---- */

void mqa_json_options_init(mqa_json_options *out, size_t struct_size)
{
    const mqa_json_options own = {.struct_size = sizeof own};
    mqa_give_struct(&own, sizeof own, out, struct_size);
}

static mqa_status translate_document(mqa_translation *t, const char *text, size_t n_bytes, mqa_expr *out)
{
    json_error_t error;
    if (n_bytes > MQA_GRAMMAR_TEXT_MAX)
        return mqa_fail(t->book.err, MQA_ERR_BUDGET, "a schema of %zu bytes: at most %zu are taken", n_bytes,
                        MQA_GRAMMAR_TEXT_MAX);
    t->document =
        json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!t->document)
        return mqa_fail(t->book.err, MQA_ERR_FORMAT, "schema, line %d, column %d: %s", error.line,
                        error.column, error.text);
    const mqa_place place = {.key = "#"};
    *out = mqa_schema_value(t, t->document, &place);
    define_references(t);
    return t->book.status;
}

/* text NULL: any object. */
static mqa_status build(const char *text, size_t n_bytes, const mqa_json_options *options, mqa_grammar **out,
                        mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "grammar: out is NULL");
    *out = NULL;
    mqa_json_options own = {0};
    if (options) MQA_TRY(MQA_TAKE(mqa_json_options, options, &own, err));
    mqa_translation t = {0};
    uint32_t root;
    mqa_book_init(&t.book, err);
    mqa_status status = mqa_prelude_parse(&t, own.compact, &root);
    if (status == MQA_OK && text) {
        mqa_expr value = 0;
        status = translate_document(&t, text, n_bytes, &value);
        if (status == MQA_OK) {
            root = mqa_book_rule(&t.book, "#", 1);
            mqa_book_define(&t.book, root, value);
        }
    }
    if (status == MQA_OK) status = mqa_grammar_build(&t.book, root, out);
    json_decref(t.document);
    free(t.references);
    mqa_book_free(&t.book);
    return status;
}

mqa_status mqa_grammar_from_json_schema(const char *text, size_t n_bytes, const mqa_json_options *options,
                                        mqa_grammar **out, mqa_error *err)
{
    if (!text) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "schema: the text is NULL");
    return build(text, n_bytes, options, out, err);
}

mqa_status mqa_grammar_json_object(const mqa_json_options *options, mqa_grammar **out, mqa_error *err)
{
    return build(NULL, 0, options, out, err);
}
