/* Regular expressions of JSON Schema's "pattern": the part of ECMAScript's that is regular.
 *
 * Validators differ in what \d, \w and \s are beyond ASCII. So a class means what all agree on: where it
 * stands for itself the least that any takes it for, inside [^…] the most.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "grammar/json.h"
#include "tokenizer/array.h"
#include "tokenizer/utf8.h"

enum { NESTING_MAX = 64 };
#define NO_LIMIT UINT64_MAX

/* An expression and how many characters its texts have. */
typedef struct piece {
    mqa_expr expr;
    uint64_t min, max;
} piece;

typedef struct regex {
    mqa_translation *t;
    const mqa_place *place;
    const char *text;
    size_t n, at, nesting;
} regex;

__attribute__((format(printf, 3, 4))) static piece fail(regex *r, mqa_status status, const char *fmt, ...)
{
    char what[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    size_t character = 1;
    for (size_t i = 0; i < r->at && i < r->n; i++) character += (r->text[i] & 0xC0) != 0x80;
    mqa_schema_fail(r->t, r->place, "pattern", status, "character %zu: %s", character, what);
    r->at = r->n; /* so that all loops end */
    return (piece){0};
}

static int peek(const regex *r)
{
    return r->at < r->n ? (uint8_t)r->text[r->at] : -1;
}

static bool take(regex *r, const char *what)
{
    const size_t n = strlen(what);
    if (r->n - r->at < n || memcmp(r->text + r->at, what, n) != 0) return false;
    r->at += n;
    return true;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > NO_LIMIT - b ? NO_LIMIT : a + b;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t out;
    return a == 0 || b == 0 ? 0 : __builtin_mul_overflow(a, b, &out) ? NO_LIMIT : out;
}

/* ---- characters ---- */

#define RANGES(...)                                                                                          \
    {                                                                                                        \
        __VA_ARGS__,                                                                                         \
        {                                                                                                    \
            1, 0                                                                                             \
        }                                                                                                    \
    }

/* By letter; each list ends with a range that is none. */
static const struct {
    char letter;
    mqa_range least[8], most[16];
} shorthands[] = {
    {'d', RANGES({'0', '9'}),
     RANGES({'0', '9'}, {0x660, 0x1C59}, {0xA620, 0xABF9}, {0xFF10, 0xFF19}, {0x104A0, 0x1E959},
            {0x1FBF0, 0x1FBF9})},
    {'w', RANGES({'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}),
     RANGES({'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}, {0x80, 0x200F}, {0x2028, 0x202F},
            {0x205F, MQA_CODE_POINT_MAX})},
    {'s', RANGES({'\t', '\r'}, {' ', ' '}),
     RANGES({'\t', '\r'}, {0x1C, ' '}, {0x85, 0x85}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x180E, 0x180E},
            {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
            {0xFEFF, 0xFEFF})},
};

static mqa_status add_ranges(mqa_range_list *list, const mqa_range *ranges, mqa_error *err)
{
    for (; ranges->lo <= ranges->hi; ranges++) MQA_TRY(mqa_range_list_add(list, ranges->lo, ranges->hi, err));
    return MQA_OK;
}

/* \d \D \w \W \s \S: false for other letters. most: what any validator takes it for, else what all do. */
static bool add_shorthand(regex *r, int letter, bool most, mqa_range_list *list)
{
    mqa_book *b = &r->t->book;
    const bool negated = letter >= 'A' && letter <= 'Z';
    for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++) {
        if (shorthands[i].letter != (letter | 0x20)) continue;
        mqa_range_list own = {0};
        const mqa_range *ranges = most != negated ? shorthands[i].most : shorthands[i].least;
        mqa_status status = add_ranges(&own, ranges, b->err);
        if (status == MQA_OK && negated) status = mqa_range_list_negate(&own, b->err);
        for (size_t j = 0; j < own.n && status == MQA_OK; j++)
            status = mqa_range_list_add(list, own.at[j].lo, own.at[j].hi, b->err);
        free(own.at);
        if (b->status == MQA_OK) b->status = status;
        return true;
    }
    return false;
}

static uint32_t take_hex(regex *r, size_t n_digits)
{
    uint32_t out = 0;
    for (size_t i = 0; i < n_digits; i++, r->at++) {
        const int value = mqa_hex_digit(peek(r));
        if (value < 0) {
            fail(r, MQA_ERR_FORMAT, "an escape needs %zu hexadecimal digits", n_digits);
            return 0;
        }
        out = out << 4 | (uint32_t)value;
    }
    return out;
}

/* Behind a backslash: the character that the escape stands for. */
static uint32_t escaped_character(regex *r)
{
    static const char letters[] = "tnvfr", meant[] = "\t\n\v\f\r";
    const int c = peek(r);
    const char *known = c > 0 ? strchr(letters, c) : NULL;
    if (c >= 0) r->at++;
    if (known) return (uint8_t)meant[known - letters];
    if (c == 'x') return take_hex(r, 2);
    if (c == '0' && !(peek(r) >= '0' && peek(r) <= '9')) return 0;
    if (c == 'u' && peek(r) != '{') {
        const uint32_t high = take_hex(r, 4);
        if (high < 0xD800 || high > 0xDFFF) return high;
        const uint32_t low = high < 0xDC00 && take(r, "\\u") ? take_hex(r, 4) : 0;
        if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((high - 0xD800) << 10 | (low - 0xDC00));
        fail(r, MQA_ERR_FORMAT, "half a surrogate pair");
        return 0;
    }
    const bool punctuation =
        c > 0x20 && c < 0x7F && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9');
    if (punctuation || c == ' ') return (uint32_t)c;
    r->at--;
    fail(r, MQA_ERR_UNSUPPORTED,
         "this escape isn't supported (there are \\d \\w \\s, \\D \\W \\S, \\t \\n \\v \\f \\r, \\xHH, "
         "\\uHHHH)");
    return 0;
}

static uint32_t plain_character(regex *r)
{
    const uint8_t *p = (const uint8_t *)r->text + r->at;
    const size_t length = mqa_utf8_length(p, r->n - r->at);
    if (length == 0) {
        fail(r, MQA_ERR_FORMAT, "this isn't UTF-8");
        return 0;
    }
    r->at += length;
    return mqa_utf8_code_point(p, length);
}

static piece characters(regex *r, const mqa_range *ranges, size_t n)
{
    return (piece){mqa_json_characters(r->t, ranges, n), 1, 1};
}

/* What stands for one character in a class: false where it was a shorthand, which has been added. */
static bool class_member(regex *r, bool negated, mqa_range_list *list, uint32_t *code)
{
    if (!take(r, "\\")) {
        *code = plain_character(r);
        return true;
    }
    if (add_shorthand(r, peek(r), negated, list)) {
        r->at++;
        return false;
    }
    *code = peek(r) == '-' ? (r->at++, (uint32_t)'-') : escaped_character(r);
    return true;
}

/* Behind '['. */
static piece class(regex *r)
{
    mqa_book *b = &r->t->book;
    mqa_range_list list = {0};
    const bool negated = take(r, "^");
    if (peek(r) == ']') return fail(r, MQA_ERR_UNSUPPORTED, "']' at the beginning of a class: write \\]");
    while (peek(r) >= 0 && !take(r, "]") && b->status == MQA_OK) {
        uint32_t lo = 0, hi;
        const bool single = class_member(r, negated, &list, &lo);
        hi = lo;
        if (peek(r) == '-' && r->at + 1 < r->n && r->text[r->at + 1] != ']') {
            r->at++;
            if (!single || !class_member(r, negated, &list, &hi))
                fail(r, MQA_ERR_FORMAT, "a range from or to a class");
            else if (hi < lo)
                fail(r, MQA_ERR_FORMAT, "a range runs backwards");
        }
        if (single && b->status == MQA_OK) b->status = mqa_range_list_add(&list, lo, hi, b->err);
    }
    if (b->status == MQA_OK && r->text[r->at - 1] != ']') fail(r, MQA_ERR_FORMAT, "a class isn't closed");
    if (b->status == MQA_OK && negated) b->status = mqa_range_list_negate(&list, b->err);
    const piece out = characters(r, list.at, list.n);
    free(list.at);
    return out;
}

/* ---- what consists of them ---- */

static piece choice(regex *r, bool outermost);

/* Behind '('. */
static piece group(regex *r)
{
    if (take(r, "?")) {
        const bool named = peek(r) == '<' && r->at + 1 < r->n && !strchr("=!", r->text[r->at + 1]);
        if (named)
            while (peek(r) >= 0 && !take(r, ">")) r->at++;
        else if (!take(r, ":"))
            return fail(r, MQA_ERR_UNSUPPORTED, "(?…) isn't supported, but for (?:…) and (?<name>…)");
    }
    if (++r->nesting > NESTING_MAX)
        return fail(r, MQA_ERR_BUDGET, "groups are nested more than %d deep", NESTING_MAX);
    const piece out = choice(r, false);
    r->nesting--;
    return take(r, ")") ? out : fail(r, MQA_ERR_FORMAT, "')' is missing");
}

static piece item(regex *r)
{
    static const mqa_range dot[] = {
        {0, '\n' - 1}, {'\n' + 1, '\r' - 1}, {'\r' + 1, 0x2027}, {0x202A, MQA_CODE_POINT_MAX}};
    if (take(r, "(")) return group(r);
    if (take(r, "[")) return class(r);
    if (take(r, ".")) return characters(r, dot, 4);
    const int c = peek(r);
    if (c > 0 && strchr("*+?{", c)) return fail(r, MQA_ERR_FORMAT, "nothing to repeat in front of '%c'", c);
    if (c > 0 && strchr("]}", c)) return fail(r, MQA_ERR_FORMAT, "'%c' alone: write \\%c", c, c);
    if (c == '^' || c == '$')
        return fail(r, MQA_ERR_UNSUPPORTED, "'%c' is supported only at the ends of the pattern", c);
    uint32_t code;
    if (take(r, "\\")) {
        mqa_range_list list = {0};
        if (add_shorthand(r, peek(r), false, &list)) {
            r->at++;
            const piece out = characters(r, list.at, list.n);
            free(list.at);
            return out;
        }
        code = escaped_character(r);
    } else {
        code = plain_character(r);
    }
    return characters(r, &(mqa_range){code, code}, 1);
}

static bool take_count(regex *r, uint32_t *out)
{
    const size_t at = r->at;
    *out = 0;
    for (; peek(r) >= '0' && peek(r) <= '9' && *out <= MQA_GRAMMAR_REPEAT_MAX; r->at++)
        *out = *out * 10 + (uint32_t)(peek(r) - '0');
    return r->at > at;
}

static piece repeated(regex *r, piece p)
{
    uint32_t min = 0, max = MQA_REPEAT_UNBOUNDED;
    if (take(r, "+")) {
        min = 1;
    } else if (take(r, "?")) {
        max = 1;
    } else if (take(r, "{")) {
        if (!take_count(r, &min))
            return fail(r, MQA_ERR_FORMAT, "'{' begins no {2}, {2,} or {2,5}: write \\{");
        max = min;
        if (take(r, ",") && !take_count(r, &max)) max = MQA_REPEAT_UNBOUNDED;
        if (!take(r, "}")) return fail(r, MQA_ERR_FORMAT, "'}' is missing");
        if (max < min) return fail(r, MQA_ERR_FORMAT, "at least %u and at most %u times", min, max);
    } else if (!take(r, "*")) {
        return p;
    }
    take(r, "?"); /* which match is found makes no difference here */
    if (peek(r) > 0 && strchr("*+?{", peek(r))) return fail(r, MQA_ERR_FORMAT, "nothing to repeat");
    return (piece){mqa_book_repeat(&r->t->book, p.expr, min, max), times(p.min, min),
                   max == MQA_REPEAT_UNBOUNDED && p.max > 0 ? NO_LIMIT : times(p.max, max)};
}

typedef struct list {
    mqa_expr *at;
    size_t n, capacity;
} list;

static void push(regex *r, list *l, mqa_expr expr)
{
    mqa_book *b = &r->t->book;
    if (b->status == MQA_OK)
        b->status = mqa_array_reserve(&l->at, &l->capacity, l->n + 1, sizeof *l->at, b->err);
    if (b->status == MQA_OK) l->at[l->n++] = expr;
}

/* Anything may stand before and behind what a pattern asks for, unless it says ^ and $. */
static void push_anything(regex *r, list *l, piece *p)
{
    push(r, l, mqa_book_repeat(&r->t->book, mqa_prelude(r->t, "char"), 0, MQA_REPEAT_UNBOUNDED));
    p->max = NO_LIMIT;
}

static piece sequence(regex *r, bool outermost)
{
    mqa_book *b = &r->t->book;
    list parts = {0};
    piece out = {0};
    bool ends = !outermost;
    if (outermost && !take(r, "^")) push_anything(r, &parts, &out);
    while (peek(r) >= 0 && peek(r) != '|' && peek(r) != ')' && b->status == MQA_OK) {
        if (outermost && peek(r) == '$' && (r->at + 1 == r->n || r->text[r->at + 1] == '|')) {
            ends = true;
            r->at++;
            break;
        }
        const piece p = repeated(r, item(r));
        push(r, &parts, p.expr);
        out.min = plus(out.min, p.min);
        out.max = plus(out.max, p.max);
    }
    if (!ends) push_anything(r, &parts, &out);
    out.expr = b->status == MQA_OK ? mqa_book_list(b, MQA_EXPR_SEQUENCE, parts.at, parts.n) : 0;
    free(parts.at);
    return out;
}

static piece choice(regex *r, bool outermost)
{
    mqa_book *b = &r->t->book;
    list ways = {0};
    piece out = {.min = NO_LIMIT};
    do {
        const piece p = sequence(r, outermost);
        push(r, &ways, p.expr);
        if (p.min < out.min) out.min = p.min;
        if (p.max > out.max) out.max = p.max;
    } while (take(r, "|") && b->status == MQA_OK);
    out.expr = b->status == MQA_OK ? mqa_book_list(b, MQA_EXPR_CHOICE, ways.at, ways.n) : 0;
    free(ways.at);
    return out;
}

mqa_expr mqa_regex(mqa_translation *t, const mqa_place *place, const char *pattern, size_t n, uint64_t *min,
                   uint64_t *max)
{
    regex r = {.t = t, .place = place, .text = pattern, .n = n};
    const piece out = choice(&r, true);
    if (r.at < r.n) fail(&r, MQA_ERR_FORMAT, "')' without its '('");
    *min = out.min;
    *max = out.max;
    return out.expr;
}
