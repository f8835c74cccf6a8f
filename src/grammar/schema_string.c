/* JSON Schema: strings.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "grammar/json.h"

static mqa_expr quoted(mqa_translation *t, mqa_expr content)
{
    mqa_book *b = &t->book;
    return mqa_book_share(b, mqa_book_sequence(b, mqa_book_text(b, "\""), content, mqa_book_text(b, "\"")));
}

mqa_expr mqa_schema_string(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    mqa_book *b = &t->book;
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    const uint32_t min = mqa_schema_count(t, schema, place, "minLength", 0);
    uint32_t max = mqa_schema_count(t, schema, place, "maxLength", MQA_REPEAT_UNBOUNDED);
    const bool any_length = min == 0 && max == MQA_REPEAT_UNBOUNDED;
    if (format) {
        const char *rule = json_is_string(format) ? mqa_prelude_format(json_string_value(format)) : NULL;
        if (pattern || !any_length)
            return mqa_schema_fail(t, place, "format", MQA_ERR_UNSUPPORTED,
                                   "beside pattern, minLength or maxLength this isn't supported");
        if (!rule)
            return mqa_schema_fail(
                t, place, "format", MQA_ERR_UNSUPPORTED,
                "give date-time, date, time, duration, email, hostname, ipv4, ipv6 or uuid");
        return quoted(t, mqa_prelude(t, rule));
    }
    if (pattern) {
        if (!json_is_string(pattern))
            return mqa_schema_fail(t, place, "pattern", MQA_ERR_FORMAT, "give a text");
        uint64_t least = 0, most = 0;
        const mqa_expr content =
            mqa_regex(t, place, json_string_value(pattern), json_string_length(pattern), &least, &most);
        if (b->status == MQA_OK && (least < min || (max != MQA_REPEAT_UNBOUNDED && most > max)))
            return mqa_schema_fail(t, place, min > least ? "minLength" : "maxLength", MQA_ERR_UNSUPPORTED,
                                   "the pattern doesn't keep this already: put the length into the pattern");
        return quoted(t, content);
    }
    if (any_length) return mqa_prelude(t, "string");
    if (min > MQA_GRAMMAR_REPEAT_MAX)
        return mqa_schema_fail(t, place, "minLength", MQA_ERR_BUDGET, "at most %d", MQA_GRAMMAR_REPEAT_MAX);
    if (max != MQA_REPEAT_UNBOUNDED && max > MQA_GRAMMAR_REPEAT_MAX) max = MQA_GRAMMAR_REPEAT_MAX;
    return quoted(t, mqa_book_repeat(b, mqa_prelude(t, "char"), min, max));
}

/* A character as JSON must write it, or of what it may write as it is. */
static mqa_expr escaped(mqa_translation *t, uint32_t code)
{
    static const char letters[] = "\"\\\b\f\n\r\t", written[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";
    const char *letter = code ? strchr(letters, (int)code) : NULL;
    const char text[] = {
        '\\', letter ? written[letter - letters] : 'u', '0', '0', digits[code >> 4 & 15], digits[code & 15]};
    return mqa_book_bytes(&t->book, text, letter ? 2 : 6);
}

mqa_expr mqa_json_characters(mqa_translation *t, const mqa_range *ranges, size_t n)
{
    mqa_book *b = &t->book;
    mqa_expr ways[0x20 + 3], plain = 0;
    size_t n_ways = 0;
    mqa_range_list list = {0};
    for (size_t i = 0; i < n && b->status == MQA_OK; i++)
        b->status = mqa_range_list_add(&list, ranges[i].lo, ranges[i].hi, b->err);
    if (b->status == MQA_OK) b->status = mqa_range_list_normalize(&list, b->err);
    mqa_range_list as_is = {0};
    for (size_t i = 0; i < list.n && b->status == MQA_OK; i++) {
        uint32_t next = list.at[i].lo;
        for (uint32_t code = next; code <= list.at[i].hi && code <= '\\'; code++) {
            if (code >= 0x20 && code != '"' && code != '\\') continue;
            ways[n_ways++] = escaped(t, code);
            if (code > next) b->status = mqa_range_list_add(&as_is, next, code - 1, b->err);
            next = code + 1;
        }
        if (next <= list.at[i].hi && b->status == MQA_OK)
            b->status = mqa_range_list_add(&as_is, next, list.at[i].hi, b->err);
    }
    plain = mqa_book_set(b, as_is.at, as_is.n);
    if (as_is.n > 0) ways[n_ways++] = plain;
    free(list.at);
    free(as_is.at);
    return b->status == MQA_OK ? mqa_book_list(b, MQA_EXPR_CHOICE, ways, n_ways) : 0;
}
