/* JSON Schema: objects and arrays.
 *
 *     { "a" : value , "b" : value }     properties in the schema's order, then others
 *
 * Which property comes first decides where commas stand: behind the first all are alike.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/json.h"
#include "tokenizer/array.h"
#include "tokenizer/utf8.h"

enum { NAME_MAX_CHARACTERS = 512, SHARE_EVERY = 16 };

typedef struct property {
    const char *name;
    mqa_expr pair; /* "name" : value, a call */
    bool required;
} property;

typedef struct object {
    mqa_translation *t;
    const json_t *schema;
    const mqa_place *place;
    property *properties;
    size_t n, capacity;
    bool open;     /* others may follow */
    mqa_expr more; /* a pair of theirs */
} object;

/* ---- names that aren't given ---- */

typedef struct name {
    uint32_t *codes;
    size_t n;
} name;

static int by_codes(const void *x, const void *y)
{
    const name *a = x, *b = y;
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (a->codes[i] != b->codes[i]) return a->codes[i] < b->codes[i] ? -1 : 1;
    return (a->n > b->n) - (a->n < b->n);
}

/* What may follow the first at characters, which all these sorted names share, up to the closing quote, so
 * that the whole is none of them. Others than plain characters aren't used. */
static mqa_expr other_than(mqa_translation *t, const name *names, size_t n, size_t at)
{
    mqa_book *b = &t->book;
    mqa_expr out = mqa_nothing(t), tail[2];
    mqa_range_list others = {0};
    bool is_name = false;
    static const mqa_range escaped[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
    for (size_t i = 0; i < 3 && b->status == MQA_OK; i++)
        b->status = mqa_range_list_add(&others, escaped[i].lo, escaped[i].hi, b->err);
    for (size_t i = 0, end; i < n && b->status == MQA_OK; i = end) {
        end = i + 1;
        if (names[i].n == at) {
            is_name = true;
            continue;
        }
        const uint32_t code = names[i].codes[at];
        while (end < n && names[end].n > at && names[end].codes[at] == code) end++;
        b->status = mqa_range_list_add(&others, code, code, b->err);
        if (code < 0x20 || code == '"' || code == '\\') continue; /* never written so */
        const mqa_range one = {code, code};
        mqa_expr way =
            mqa_book_sequence(b, mqa_book_set(b, &one, 1), other_than(t, names + i, end - i, at + 1));
        if (at % SHARE_EVERY == 0) way = mqa_book_share(b, way);
        out = mqa_book_choice(b, out, way);
    }
    if (b->status == MQA_OK) b->status = mqa_range_list_negate(&others, b->err);
    tail[0] = mqa_book_set(b, others.at, others.n);
    tail[1] = mqa_book_sequence(b, mqa_book_repeat(b, mqa_prelude(t, "plain"), 0, MQA_REPEAT_UNBOUNDED),
                                mqa_book_text(b, "\""));
    out = mqa_book_choice(b, out, mqa_book_list(b, MQA_EXPR_SEQUENCE, tail, 2));
    if (!is_name) out = mqa_book_choice(b, out, mqa_book_text(b, "\""));
    free(others.at);
    return out;
}

static mqa_status read_name(const char *text, name *out, mqa_error *err)
{
    const size_t n = strlen(text);
    out->codes = malloc((n + 1) * sizeof *out->codes);
    if (!out->codes) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for a name");
    for (size_t at = 0, length; at < n; at += length) { /* jansson has checked that it is UTF-8 */
        const uint8_t *p = (const uint8_t *)text + at;
        mqa_utf8_next(p, n - at, &length);
        out->codes[out->n++] = mqa_utf8_code_point(p, length);
    }
    return MQA_OK;
}

/* A name that is none of the object's properties, with its quotes. */
static mqa_expr other_name(object *o)
{
    mqa_book *b = &o->t->book;
    name *names = calloc(o->n + 1, sizeof *names);
    if (!names) mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for %zu names", o->n);
    for (size_t i = 0; i < o->n && b->status == MQA_OK; i++) {
        b->status = read_name(o->properties[i].name, &names[i], b->err);
        if (names[i].n > NAME_MAX_CHARACTERS)
            mqa_schema_fail(o->t, o->place, "properties", MQA_ERR_BUDGET,
                            "a name has more than %d characters, beside additional properties",
                            NAME_MAX_CHARACTERS);
    }
    mqa_expr out = 0;
    if (b->status == MQA_OK) {
        qsort(names, o->n, sizeof *names, by_codes);
        out = mqa_book_sequence(b, mqa_book_text(b, "\""), other_than(o->t, names, o->n, 0));
    }
    for (size_t i = 0; names && i < o->n; i++) free(names[i].codes);
    free(names);
    return out;
}

/* ---- objects ---- */

static mqa_expr pair(mqa_translation *t, mqa_expr quoted, mqa_expr value)
{
    mqa_book *b = &t->book;
    return mqa_book_share(b,
                          mqa_book_sequence(b, quoted, mqa_book_text(b, ":"), mqa_prelude(t, "sp"), value));
}

static void add_property(object *o, const char *key, mqa_expr value, bool required)
{
    mqa_book *b = &o->t->book;
    json_t *text = json_string(key);
    const mqa_expr whole = mqa_schema_literal(o->t, text);
    json_decref(text);
    if (b->status == MQA_OK)
        b->status = mqa_array_reserve(&o->properties, &o->capacity, o->n + 1, sizeof *o->properties, b->err);
    if (b->status != MQA_OK) return;
    o->properties[o->n++] = (property){key, pair(o->t, whole, value), required};
}

static bool requires(const json_t *required, const char *key)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)required, i,
                       one) if (json_is_string(one) && strcmp(json_string_value(one), key) == 0) return true;
    return false;
}

static void read_properties(object *o)
{
    mqa_book *b = &o->t->book;
    json_t *properties = json_object_get(o->schema, "properties");
    const json_t *required = json_object_get(o->schema, "required");
    const json_t *additional = json_object_get(o->schema, "additionalProperties");
    const mqa_place list = {.outer = o->place, .key = "properties"};
    const char *key;
    json_t *value;
    size_t i;
    if (properties && !json_is_object(properties))
        mqa_schema_fail(o->t, o->place, "properties", MQA_ERR_FORMAT, "give an object of schemas");
    if (required && !json_is_array(required))
        mqa_schema_fail(o->t, o->place, "required", MQA_ERR_FORMAT, "give an array of names");
    json_object_foreach(properties, key, value)
    {
        if (b->status != MQA_OK) return;
        const mqa_place at = {.outer = &list, .key = key};
        add_property(o, key, mqa_schema_value(o->t, value, &at), requires(required, key));
    }
    /* Not said: any others are right, but none is needed, unless nothing at all is said of properties. */
    o->open = additional ? !json_is_false(additional) : json_object_size(properties) == 0;
    const mqa_place at = {.outer = o->place, .key = "additionalProperties"};
    const mqa_expr other = additional ? mqa_schema_value(o->t, additional, &at) : mqa_prelude(o->t, "value");
    json_array_foreach((json_t *)(uintptr_t)required, i, value)
    {
        if (b->status != MQA_OK) return;
        if (!json_is_string(value))
            mqa_schema_fail(o->t, o->place, "required", MQA_ERR_FORMAT, "give an array of names");
        else if (!json_object_get(properties, json_string_value(value)))
            add_property(o, json_string_value(value), other, true);
    }
    if (o->open) o->more = pair(o->t, other_name(o), other);
}

/* All behind the first property: from property first on, each with its comma, and the end. */
static mqa_expr rest(object *o, size_t first, mqa_expr comma)
{
    mqa_book *b = &o->t->book;
    mqa_expr *parts = calloc(o->n + 3, sizeof *parts), out = 0;
    size_t n = 0;
    if (!parts) mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for %zu properties", o->n);
    for (size_t i = first; i < o->n && b->status == MQA_OK; i++) {
        const mqa_expr part = mqa_book_sequence(b, comma, o->properties[i].pair);
        parts[n++] = o->properties[i].required ? part : mqa_book_optional(b, part);
    }
    if (b->status == MQA_OK) {
        if (o->open)
            parts[n++] = mqa_book_repeat(b, mqa_book_sequence(b, comma, o->more), 0, MQA_REPEAT_UNBOUNDED);
        parts[n++] = mqa_prelude(o->t, "ws");
        parts[n++] = mqa_book_text(b, "}");
        out = mqa_book_share(b, mqa_book_list(b, MQA_EXPR_SEQUENCE, parts, n));
    }
    free(parts);
    return out;
}

/* The ways to begin: with any of the properties up to the first that is required. */
static mqa_expr members(object *o)
{
    mqa_book *b = &o->t->book;
    const mqa_expr comma =
        mqa_book_share(b, mqa_book_sequence(b, mqa_book_text(b, ","), mqa_prelude(o->t, "ws")));
    size_t last = 0;
    while (last < o->n && !o->properties[last].required) last++;
    const bool may_be_empty = last == o->n;
    mqa_expr *ways = calloc(o->n + 2, sizeof *ways), behind, out = 0;
    size_t n = 0;
    if (!ways) mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for %zu properties", o->n);
    if (b->status == MQA_OK) {
        behind = rest(o, may_be_empty ? o->n : last + 1, comma);
        if (may_be_empty && o->open) ways[n++] = mqa_book_sequence(b, o->more, behind);
        for (size_t i = may_be_empty ? o->n : last + 1; i-- > 0 && b->status == MQA_OK;) {
            const property *p = &o->properties[i];
            ways[n++] = mqa_book_sequence(b, p->pair, behind);
            if (i == 0) break;
            const mqa_expr next = mqa_book_sequence(b, comma, p->pair);
            behind = mqa_book_share(
                b, mqa_book_sequence(b, p->required ? next : mqa_book_optional(b, next), behind));
        }
    }
    if (b->status == MQA_OK) {
        out = mqa_book_sequence(b, mqa_prelude(o->t, "ws"), mqa_book_list(b, MQA_EXPR_CHOICE, ways, n));
        if (may_be_empty) out = mqa_book_choice(b, mqa_book_text(b, "}"), out);
        out = mqa_book_share(b, mqa_book_sequence(b, mqa_book_text(b, "{"), out));
    }
    free(ways);
    return out;
}

mqa_expr mqa_schema_object(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    object o = {.t = t, .schema = schema, .place = place};
    read_properties(&o);
    const mqa_expr out = t->book.status == MQA_OK ? members(&o) : 0;
    free(o.properties);
    return out;
}

/* ---- arrays ---- */

mqa_expr mqa_schema_array(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    mqa_book *b = &t->book;
    const json_t *items = json_object_get(schema, "items");
    const uint32_t min = mqa_schema_count(t, schema, place, "minItems", 0);
    uint32_t max = mqa_schema_count(t, schema, place, "maxItems", MQA_REPEAT_UNBOUNDED);
    if (max != MQA_REPEAT_UNBOUNDED && max > MQA_GRAMMAR_REPEAT_MAX) max = MQA_GRAMMAR_REPEAT_MAX;
    if (min > MQA_GRAMMAR_REPEAT_MAX)
        return mqa_schema_fail(t, place, "minItems", MQA_ERR_BUDGET, "at most %d", MQA_GRAMMAR_REPEAT_MAX);
    const mqa_place at = {.outer = place, .key = "items"};
    const mqa_expr item =
        mqa_book_share(b, items ? mqa_schema_value(t, items, &at) : mqa_prelude(t, "value"));
    const mqa_expr next = mqa_book_sequence(b, mqa_book_text(b, ","), mqa_prelude(t, "ws"), item);
    const uint32_t more = max == MQA_REPEAT_UNBOUNDED || max == 0 ? max : max - 1;
    mqa_expr out = max == 0 ? mqa_nothing(t)
                            : mqa_book_sequence(b, mqa_book_text(b, "["), mqa_prelude(t, "ws"), item,
                                                mqa_book_repeat(b, next, min ? min - 1 : 0, more),
                                                mqa_prelude(t, "ws"), mqa_book_text(b, "]"));
    if (min > max) out = mqa_nothing(t);
    if (min == 0) out = mqa_book_choice(b, out, mqa_book_text(b, "[]"));
    return mqa_book_share(b, out);
}
