/* GBNF: the notation of llama.cpp's grammars.
 *
 *     root  ::= (name | "x" [a-z0-9]{2,4})* # a comment
 *     name  ::= [^\x00-\x1F"]+ "\u00e9"? .
 *
 * A rule ends with its line, but inside parentheses and behind "::=" and "|" lines may be broken.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "grammar/gbnf.h"
#include "tokenizer/array.h"
#include "tokenizer/utf8.h"

enum { NESTING_MAX = 128 };

typedef struct name {
    const char *text;
    size_t n;
    uint32_t rule;
} name;

typedef struct parser {
    mqa_book *book;
    const char *text;
    size_t n, at, nesting;
    name *names; /* sorted */
    size_t n_names, names_capacity;
} parser;

__attribute__((format(printf, 3, 4))) static mqa_status fail_at(const parser *p, size_t at, const char *fmt,
                                                                ...)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++)
        if (p->text[i] == '\n')
            line++, column = 1;
        else
            column += (p->text[i] & 0xC0) != 0x80;
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return mqa_fail(p->book->err, MQA_ERR_FORMAT, "grammar, line %zu, column %zu: %s", line, column, what);
}

static int peek(const parser *p)
{
    return p->at < p->n ? (uint8_t)p->text[p->at] : -1;
}

static bool take(parser *p, const char *what)
{
    const size_t n = strlen(what);
    if (p->n - p->at < n || memcmp(p->text + p->at, what, n) != 0) return false;
    p->at += n;
    return true;
}

/* Blanks and comments; newlines too where lines may be broken. */
static void skip_space(parser *p, bool lines)
{
    for (int c; (c = peek(p)) >= 0;) {
        if (c == '#')
            while (peek(p) >= 0 && peek(p) != '\n' && peek(p) != '\r') p->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            p->at++;
        else
            return;
    }
}

/* ---- names ---- */

static bool is_word(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static mqa_status find_rule(parser *p, const char *text, size_t n, size_t at, uint32_t *rule)
{
    size_t low = 0, high = p->n_names;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const name *m = &p->names[middle];
        int order = memcmp(m->text, text, m->n < n ? m->n : n);
        if (order == 0) order = (m->n > n) - (m->n < n);
        if (order == 0) {
            *rule = m->rule;
            return MQA_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    MQA_TRY(mqa_array_reserve(&p->names, &p->names_capacity, p->n_names + 1, sizeof *p->names, p->book->err));
    memmove(p->names + low + 1, p->names + low, (p->n_names - low) * sizeof *p->names);
    p->n_names++;
    *rule = mqa_book_rule(p->book, text, n);
    MQA_TRY(p->book->status);
    p->book->rules[*rule].place = (uint32_t)at;
    p->names[low] = (name){text, n, *rule};
    return MQA_OK;
}

static mqa_status parse_name(parser *p, uint32_t *rule)
{
    const size_t at = p->at;
    while (is_word(peek(p))) p->at++;
    if (p->at == at) return fail_at(p, at, "a rule's name is missing (letters, digits, - and _)");
    return find_rule(p, p->text + at, p->at - at, at, rule);
}

/* ---- literals and classes ---- */

static mqa_status parse_hex(parser *p, size_t n_digits, uint32_t *out)
{
    const size_t at = p->at;
    *out = 0;
    for (size_t i = 0; i < n_digits; i++, p->at++) {
        const int value = mqa_hex_digit(peek(p));
        if (value < 0) return fail_at(p, at, "an escape lacks some of its %zu hexadecimal digits", n_digits);
        *out = *out << 4 | (uint32_t)value;
    }
    if (*out > MQA_CODE_POINT_MAX || (*out >= 0xD800 && *out <= 0xDFFF))
        return fail_at(p, at, "U+%04X is no character", *out);
    return MQA_OK;
}

/* One character of a literal or a class, which may be an escape. */
static mqa_status parse_character(parser *p, const char *where, uint32_t *out)
{
    const size_t at = p->at;
    if (peek(p) < 0 || peek(p) == '\n') return fail_at(p, at, "%s isn't closed", where);
    if (peek(p) != '\\') {
        const uint8_t *bytes = (const uint8_t *)p->text + at;
        const size_t length = mqa_utf8_length(bytes, p->n - at);
        *out = mqa_utf8_code_point(bytes, length);
        p->at += length;
        return MQA_OK;
    }
    static const char letters[] = "trn\\\"[]-^'/", meant[] = "\t\r\n\\\"[]-^'/";
    p->at++;
    const int c = peek(p);
    const char *known = c > 0 ? strchr(letters, c) : NULL;
    if (c >= 0) p->at++;
    if (c == 'x') return parse_hex(p, 2, out);
    if (c == 'u') return parse_hex(p, 4, out);
    if (c == 'U') return parse_hex(p, 8, out);
    if (!known)
        return fail_at(p, at,
                       "an unknown escape: there are \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\- \\^");
    *out = (uint8_t)meant[known - letters];
    return MQA_OK;
}

static mqa_status parse_literal(parser *p, mqa_expr *out)
{
    mqa_text text = {0};
    mqa_status status = MQA_OK;
    p->at++;
    while (status == MQA_OK && !take(p, "\"")) {
        uint32_t code = 0;
        uint8_t bytes[4];
        status = parse_character(p, "a \"literal\"", &code);
        if (status == MQA_OK)
            status = mqa_text_append(&text, bytes, mqa_utf8_encode(code, bytes), p->book->err);
    }
    if (status == MQA_OK) *out = mqa_book_bytes(p->book, text.bytes, text.n);
    mqa_text_free(&text);
    return status == MQA_OK ? p->book->status : status;
}

static mqa_status parse_ranges(parser *p, mqa_range_list *list)
{
    p->at++;
    const bool negated = take(p, "^");
    while (!take(p, "]")) {
        const size_t at = p->at;
        uint32_t lo = 0, hi;
        MQA_TRY(parse_character(p, "a [class]", &lo));
        hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->n && p->text[p->at + 1] != ']') {
            p->at++;
            MQA_TRY(parse_character(p, "a [class]", &hi));
            if (hi < lo) return fail_at(p, at, "a range runs backwards");
        }
        MQA_TRY(mqa_range_list_add(list, lo, hi, p->book->err));
    }
    return negated ? mqa_range_list_negate(list, p->book->err) : MQA_OK;
}

static mqa_status parse_class(parser *p, mqa_expr *out)
{
    mqa_range_list list = {0};
    mqa_status status = parse_ranges(p, &list);
    if (status == MQA_OK) *out = mqa_book_set(p->book, list.at, list.n);
    free(list.at);
    return status == MQA_OK ? p->book->status : status;
}

/* ---- what consists of them ---- */

static mqa_status parse_number(parser *p, uint32_t *out)
{
    const size_t at = p->at;
    *out = 0;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *out = *out * 10 + (uint32_t)(peek(p) - '0');
        if (*out > MQA_GRAMMAR_REPEAT_MAX)
            return fail_at(p, at, "a repetition goes above %d times", MQA_GRAMMAR_REPEAT_MAX);
    }
    return p->at > at ? MQA_OK : fail_at(p, at, "a number of times is missing, as in {2}, {2,} or {2,5}");
}

/* Any of * + ? {m} {m,} {m,n} behind an expression; several apply one after the other. */
static mqa_status parse_repeats(parser *p, bool lines, mqa_expr *expr)
{
    for (;;) {
        const size_t at = p->at;
        uint32_t min = 0, max = MQA_REPEAT_UNBOUNDED;
        if (take(p, "+")) {
            min = 1;
        } else if (take(p, "?")) {
            max = 1;
        } else if (take(p, "{")) {
            skip_space(p, lines);
            MQA_TRY(parse_number(p, &min));
            skip_space(p, lines);
            max = min;
            if (take(p, ",")) {
                skip_space(p, lines);
                max = MQA_REPEAT_UNBOUNDED;
                if (peek(p) != '}') MQA_TRY(parse_number(p, &max));
                skip_space(p, lines);
            }
            if (!take(p, "}")) return fail_at(p, p->at, "'}' is missing");
            if (max < min) return fail_at(p, at, "a repetition of at least %u and at most %u", min, max);
        } else if (!take(p, "*")) {
            return MQA_OK;
        }
        *expr = mqa_book_repeat(p->book, *expr, min, max);
        MQA_TRY(p->book->status);
        skip_space(p, lines);
    }
}

static mqa_status parse_choice(parser *p, mqa_expr *out);

static mqa_status parse_group(parser *p, mqa_expr *out)
{
    const size_t at = p->at++;
    if (++p->nesting > NESTING_MAX)
        return fail_at(p, at, "parentheses are nested more than %d deep", NESTING_MAX);
    skip_space(p, true);
    MQA_TRY(parse_choice(p, out));
    if (!take(p, ")")) return fail_at(p, at, "')' is missing for this '('");
    p->nesting--;
    return MQA_OK;
}

/* What a sequence consists of; *found false where something else comes. */
static mqa_status parse_item(parser *p, mqa_expr *out, bool *found)
{
    const int c = peek(p);
    *found = true;
    if (c == '"') return parse_literal(p, out);
    if (c == '[') return parse_class(p, out);
    if (c == '(') return parse_group(p, out);
    if (c == '.') {
        p->at++;
        *out = mqa_book_set(p->book, &(mqa_range){0, MQA_CODE_POINT_MAX}, 1);
        return p->book->status;
    }
    if (is_word(c)) {
        uint32_t rule;
        MQA_TRY(parse_name(p, &rule));
        *out = mqa_book_call(p->book, rule);
        return p->book->status;
    }
    if (c == '<' || c == '!')
        return fail_at(p, p->at, "tokens by name or number aren't supported: write their text");
    *found = false;
    return MQA_OK;
}

typedef struct list {
    mqa_expr *at;
    size_t n, capacity;
} list;

static mqa_status push(parser *p, list *l, mqa_expr expr)
{
    MQA_TRY(mqa_array_reserve(&l->at, &l->capacity, l->n + 1, sizeof *l->at, p->book->err));
    l->at[l->n++] = expr;
    return MQA_OK;
}

static mqa_status parse_sequence(parser *p, mqa_expr *out)
{
    const bool lines = p->nesting > 0;
    list items = {0};
    mqa_status status = MQA_OK;
    for (;;) {
        mqa_expr item = 0;
        bool found;
        status = parse_item(p, &item, &found);
        if (status != MQA_OK || !found) break;
        skip_space(p, lines);
        status = parse_repeats(p, lines, &item);
        if (status == MQA_OK) status = push(p, &items, item);
        if (status != MQA_OK) break;
    }
    if (status == MQA_OK) *out = mqa_book_list(p->book, MQA_EXPR_SEQUENCE, items.at, items.n);
    free(items.at);
    return status == MQA_OK ? p->book->status : status;
}

static mqa_status parse_choice(parser *p, mqa_expr *out)
{
    list ways = {0};
    mqa_status status;
    do {
        mqa_expr way = 0;
        skip_space(p, true);
        status = parse_sequence(p, &way);
        if (status == MQA_OK) status = push(p, &ways, way);
    } while (status == MQA_OK && take(p, "|"));
    if (status == MQA_OK) *out = mqa_book_list(p->book, MQA_EXPR_CHOICE, ways.at, ways.n);
    free(ways.at);
    return status == MQA_OK ? p->book->status : status;
}

static mqa_status parse_rule(parser *p)
{
    const size_t at = p->at;
    uint32_t rule;
    mqa_expr body;
    MQA_TRY(parse_name(p, &rule));
    const size_t end = p->at;
    skip_space(p, false);
    if (!take(p, "::=")) return fail_at(p, p->at, "'::=' is missing behind a rule's name");
    if (p->book->rules[rule].body != MQA_EXPR_NONE)
        return fail_at(p, at, "rule '%.*s' is defined twice", (int)(end - at < 64 ? end - at : 64),
                       p->text + at);
    MQA_TRY(parse_choice(p, &body));
    if (peek(p) >= 0 && peek(p) != '\n' && peek(p) != '\r')
        return fail_at(p, p->at, peek(p) == ')' ? "')' without its '('" : "this can't stand in a rule");
    mqa_book_define(p->book, rule, body);
    return MQA_OK;
}

static mqa_status parse(parser *p, uint32_t *root)
{
    if (p->n > MQA_GRAMMAR_TEXT_MAX)
        return mqa_fail(p->book->err, MQA_ERR_BUDGET, "a grammar of %zu bytes: at most %zu are taken", p->n,
                        MQA_GRAMMAR_TEXT_MAX);
    const size_t valid = mqa_utf8_valid_length((const uint8_t *)p->text, p->n);
    if (valid < p->n) return fail_at(p, valid, "this isn't UTF-8");
    for (skip_space(p, true); p->at < p->n; skip_space(p, true)) MQA_TRY(parse_rule(p));
    for (size_t i = 0; i < p->n_names; i++) {
        const mqa_rule *rule = &p->book->rules[p->names[i].rule];
        if (rule->body == MQA_EXPR_NONE)
            return fail_at(p, rule->place, "rule '%s' is nowhere defined", rule->name);
    }
    const size_t n_rules = p->book->n_rules;
    MQA_TRY(find_rule(p, "root", 4, 0, root));
    if (p->book->n_rules > n_rules)
        return mqa_fail(p->book->err, MQA_ERR_FORMAT,
                        "the grammar has no rule 'root', with which it would begin");
    return MQA_OK;
}

mqa_status mqa_gbnf_parse(mqa_book *book, const char *text, size_t n_bytes, uint32_t *root)
{
    parser p = {.book = book, .text = text, .n = n_bytes};
    const mqa_status status = parse(&p, root);
    free(p.names);
    if (book->status == MQA_OK) book->status = status;
    return status;
}

mqa_status mqa_grammar_parse_gbnf(const char *text, size_t n_bytes, mqa_grammar **out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "grammar: out is NULL");
    *out = NULL;
    if (!text && n_bytes > 0) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "grammar: the text is NULL");
    mqa_book book;
    uint32_t root;
    mqa_book_init(&book, err);
    mqa_status status = mqa_gbnf_parse(&book, text ? text : "", n_bytes, &root);
    if (status == MQA_OK) status = mqa_grammar_build(&book, root, out);
    mqa_book_free(&book);
    return status;
}
