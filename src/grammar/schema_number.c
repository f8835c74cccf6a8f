/* JSON Schema: integers and numbers, as their digits.
 *
 * A range of numbers is a few ways to write digits: while those written are a bound's own, the next one is
 * bounded by it ("tight"); afterwards all are free.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/json.h"

/* Magnitudes of integers have up to 18 digits, whole parts of bounded numbers up to 15, fractions up to 6. */
enum { INTEGER_DIGITS = 18, WHOLE_DIGITS = 15, FRACTION_DIGITS = 6, MULTIPLE_MAX = 1000 };
#define INTEGER_MAX 999999999999999999
#define WHOLE_MAX   999999999999999
#define EXACT_MAX                                                                                            \
    1000000000 /* bounds up to here are told from all numbers with 6 digits behind the point                 \
                */

/* One end of a range. */
typedef struct bound {
    bool given, exclusive;
    double value;
    int64_t integer; /* the value, where is_integer */
    bool is_integer;
    const char *keyword;
} bound;

static void read_bound(mqa_translation *t, const json_t *schema, const mqa_place *place, const char *keyword,
                       bool exclusive, bool lower, bound *out)
{
    const json_t *value = json_object_get(schema, keyword);
    if (!value) return;
    if (!json_is_number(value)) {
        mqa_schema_fail(t, place, keyword, MQA_ERR_FORMAT, "give a number");
        return;
    }
    bound b = {.given = true, .exclusive = exclusive, .value = json_number_value(value), .keyword = keyword};
    b.is_integer = json_is_integer(value) || (fabs(b.value) < 1e15 && b.value == floor(b.value));
    b.integer = json_is_integer(value) ? json_integer_value(value) : b.is_integer ? (int64_t)b.value : 0;
    /* Of two, the one that leaves less. */
    const bool tighter = lower ? b.value > out->value : b.value < out->value;
    if (!out->given || tighter || (b.value == out->value && exclusive)) *out = b;
}

typedef struct range {
    bound lower, upper;
    int64_t multiple; /* 0: of nothing */
} range;

static range read_range(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    range r = {0};
    read_bound(t, schema, place, "minimum", false, true, &r.lower);
    read_bound(t, schema, place, "exclusiveMinimum", true, true, &r.lower);
    read_bound(t, schema, place, "maximum", false, false, &r.upper);
    read_bound(t, schema, place, "exclusiveMaximum", true, false, &r.upper);
    const json_t *multiple = json_object_get(schema, "multipleOf");
    if (!multiple) return r;
    const double value = json_number_value(multiple);
    if (!json_is_number(multiple) || !(value > 0))
        mqa_schema_fail(t, place, "multipleOf", MQA_ERR_FORMAT, "give a number above 0");
    else if (value != floor(value) || value > MULTIPLE_MAX)
        mqa_schema_fail(t, place, "multipleOf", MQA_ERR_UNSUPPORTED,
                        "only whole numbers up to %d are supported", MULTIPLE_MAX);
    else
        r.multiple = (int64_t)value;
    return r;
}

/* ---- integers ---- */

/* Digits of one number of digits, lo .. hi, that with what was read before are a multiple. */
typedef struct digits {
    mqa_translation *t;
    uint32_t multiple;
    /* free[n][remainder]: n digits more, whichever; 0: not made yet */
    mqa_expr (*free)[MULTIPLE_MAX];
    char lo[24], hi[24]; /* an int64_t's digits */
    size_t n;
} digits;

static mqa_expr digit(mqa_book *b, char lo, char hi)
{
    const mqa_range one = {(uint8_t)lo, (uint8_t)hi};
    return mqa_book_set(b, &one, 1);
}

static mqa_expr digits_from(digits *d, size_t at, bool low, bool high, uint32_t remainder);

/* A digit of from .. to, then what may follow it. */
static mqa_expr branch(digits *d, size_t at, char from, char to, bool low, bool high, uint32_t remainder)
{
    mqa_book *b = &d->t->book;
    const uint32_t next = (remainder * 10 + (uint32_t)(from - '0')) % d->multiple;
    return mqa_book_sequence(b, digit(b, from, to), digits_from(d, at + 1, low, high, next));
}

static mqa_expr make_digits(digits *d, size_t at, bool low, bool high, uint32_t remainder)
{
    mqa_book *b = &d->t->book;
    mqa_expr ways[10];
    size_t n = 0;
    const char first = low ? d->lo[at] : '0', last = high ? d->hi[at] : '9';
    for (char c = first, end; c <= last && b->status == MQA_OK; c = (char)(end + 1)) {
        const bool at_low = low && c == d->lo[at], at_high = high && c == d->hi[at];
        end = c;
        if (d->multiple == 1 && !at_low && !at_high) end = high ? (char)(last - 1) : last; /* all alike */
        ways[n++] = branch(d, at, c, end, at_low, at_high, remainder);
    }
    return mqa_book_list(b, MQA_EXPR_CHOICE, ways, n);
}

/* Behind digits that are lo's own (low) or hi's (high). */
static mqa_expr digits_from(digits *d, size_t at, bool low, bool high, uint32_t remainder)
{
    mqa_book *b = &d->t->book;
    const size_t left = d->n - at;
    if (b->status != MQA_OK) return 0;
    if (left == 0) return remainder == 0 ? mqa_book_text(b, "") : mqa_nothing(d->t);
    if (low || high) return make_digits(d, at, low, high, remainder);
    if (d->multiple == 1) return mqa_book_repeat(b, digit(b, '0', '9'), (uint32_t)left, (uint32_t)left);
    mqa_expr *known = &d->free[left][remainder];
    if (*known == 0) *known = mqa_book_share(b, make_digits(d, at, false, false, remainder));
    return *known;
}

/* Whole numbers lo .. hi, 1 or more, that are multiples. */
static mqa_expr magnitudes(digits *d, int64_t lo, int64_t hi)
{
    mqa_book *b = &d->t->book;
    mqa_expr out = mqa_nothing(d->t);
    uint32_t whole_from = 0, whole_to = 0; /* numbers of digits of which there are all */
    int64_t least = 1;
    for (uint32_t n = 1; n <= INTEGER_DIGITS; n++, least *= 10) {
        const int64_t most = least * 10 - 1;
        const int64_t from = lo > least ? lo : least, to = hi < most ? hi : most;
        if (from > to) continue;
        if (d->multiple == 1 && from == least && to == most) {
            if (whole_from == 0) whole_from = n;
            whole_to = n;
            continue;
        }
        d->n = n;
        snprintf(d->lo, sizeof d->lo, "%lld", (long long)from);
        snprintf(d->hi, sizeof d->hi, "%lld", (long long)to);
        out = mqa_book_choice(b, out, digits_from(d, 0, true, true, 0));
    }
    if (whole_from == 0) return out;
    const mqa_expr more = mqa_book_repeat(b, digit(b, '0', '9'), whole_from - 1, whole_to - 1);
    return mqa_book_choice(b, out, mqa_book_sequence(b, digit(b, '1', '9'), more));
}

static mqa_expr integers(mqa_translation *t, int64_t lo, int64_t hi, int64_t multiple)
{
    mqa_book *b = &t->book;
    digits d = {.t = t, .multiple = multiple ? (uint32_t)multiple : 1};
    d.free = calloc(INTEGER_DIGITS + 1, sizeof *d.free);
    if (!d.free) {
        mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for a range");
        return 0;
    }
    mqa_expr out = mqa_nothing(t);
    if (lo <= 0 && hi >= 0) out = mqa_book_choice(b, out, mqa_book_text(b, "0"));
    if (hi >= 1) out = mqa_book_choice(b, out, magnitudes(&d, lo > 1 ? lo : 1, hi));
    if (lo <= -1)
        out = mqa_book_choice(
            b, out, mqa_book_sequence(b, mqa_book_text(b, "-"), magnitudes(&d, hi < -1 ? -hi : 1, -lo)));
    free(d.free);
    return mqa_book_share(b, out);
}

/* The least integer that a lower bound lets be, and the other way about for upper ones. */
static int64_t integer_bound(const bound *b, bool lower)
{
    if (!b->given) return lower ? -INTEGER_MAX : INTEGER_MAX;
    const double inside = lower ? ceil(b->value) : floor(b->value);
    if (!b->is_integer && inside >= 1e18) return lower ? INT64_MAX : INTEGER_MAX;
    if (!b->is_integer && inside <= -1e18) return lower ? -INTEGER_MAX : INT64_MIN;
    int64_t at = b->is_integer ? b->integer : (int64_t)inside;
    const bool whole = b->is_integer || inside == b->value;
    if (whole && b->exclusive && at != (lower ? INT64_MAX : INT64_MIN)) at += lower ? 1 : -1;
    if (lower) return at < -INTEGER_MAX ? -INTEGER_MAX : at;
    return at > INTEGER_MAX ? INTEGER_MAX : at;
}

static mqa_expr integers_of(mqa_translation *t, const mqa_place *place, const range *r)
{
    const int64_t lo = integer_bound(&r->lower, true), hi = integer_bound(&r->upper, false);
    if (lo > INTEGER_MAX || hi < -INTEGER_MAX)
        return mqa_schema_fail(t, place, lo > INTEGER_MAX ? r->lower.keyword : r->upper.keyword,
                               MQA_ERR_UNSUPPORTED, "integers have at most %d digits here", INTEGER_DIGITS);
    return integers(t, lo, hi, r->multiple);
}

mqa_expr mqa_schema_integer(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    const range r = read_range(t, schema, place);
    if (t->book.status != MQA_OK) return 0;
    if (!r.lower.given && !r.upper.given && r.multiple <= 1) return mqa_prelude(t, "integer");
    return integers_of(t, place, &r);
}

/* ---- numbers ---- */

/* A bound of magnitudes: a whole part and 6 digits behind the point. */
typedef struct decimal {
    int64_t whole;
    char fraction[FRACTION_DIGITS + 1];
    bool exclusive;
} decimal;

static bool all_zeros(const char *digits_left)
{
    return strspn(digits_left, "0") == strlen(digits_left);
}

/* The digits behind the point, those up to at written: low and high as above, of the bounds' fractions. */
static mqa_expr fraction_from(mqa_book *b, const decimal *lo, const decimal *hi, size_t at, bool low,
                              bool high)
{
    if (b->status != MQA_OK) return 0;
    const uint32_t left = FRACTION_DIGITS - (uint32_t)at;
    if (!low && !high) return mqa_book_repeat(b, digit(b, '0', '9'), 0, left);
    mqa_expr ways[11];
    size_t n = 0;
    /* What ends here has zeros behind. */
    const bool above = !low || (all_zeros(lo->fraction + at) && !lo->exclusive);
    const bool below = !high || !hi->exclusive || !all_zeros(hi->fraction + at);
    if (above && below && at > 0) ways[n++] = mqa_book_text(b, "");
    const char first = low ? lo->fraction[at] : '0', last = high ? hi->fraction[at] : '9';
    for (char c = first, end; left > 0 && c <= last; c = (char)(end + 1)) {
        const bool at_low = low && c == lo->fraction[at], at_high = high && c == hi->fraction[at];
        end = c;
        if (!at_low && !at_high) end = high ? (char)(last - 1) : last;
        ways[n++] = mqa_book_sequence(b, digit(b, c, end), fraction_from(b, lo, hi, at + 1, at_low, at_high));
    }
    return mqa_book_list(b, MQA_EXPR_CHOICE, ways, n);
}

/* The whole part is written, and is a bound's own where low or high: a point and more, or nothing. */
static mqa_expr behind_whole(mqa_book *b, const decimal *lo, const decimal *hi, bool low, bool high)
{
    const bool above = !low || (all_zeros(lo->fraction) && !lo->exclusive);
    const bool below = !high || !hi->exclusive || !all_zeros(hi->fraction);
    mqa_expr digits_more = fraction_from(b, lo, hi, 0, low, high);
    if (!low && !high) digits_more = mqa_book_repeat(b, digit(b, '0', '9'), 1, FRACTION_DIGITS);
    const mqa_expr point = mqa_book_sequence(b, mqa_book_text(b, "."), digits_more);
    return above && below ? mqa_book_optional(b, point) : point;
}

/* Numbers between two, 0 or more. */
static mqa_expr magnitudes_between(mqa_translation *t, const decimal *lo, const decimal *hi)
{
    mqa_book *b = &t->book;
    if (lo->whole > hi->whole) return mqa_nothing(t);
    const bool same = lo->whole == hi->whole;
    mqa_expr out =
        mqa_book_sequence(b, integers(t, lo->whole, lo->whole, 0), behind_whole(b, lo, hi, true, same));
    if (same) return out;
    if (hi->whole - lo->whole > 1)
        out = mqa_book_choice(b, out,
                              mqa_book_sequence(b, integers(t, lo->whole + 1, hi->whole - 1, 0),
                                                behind_whole(b, lo, hi, false, false)));
    return mqa_book_choice(
        b, out,
        mqa_book_sequence(b, integers(t, hi->whole, hi->whole, 0), behind_whole(b, lo, hi, false, true)));
}

static decimal read_decimal(mqa_translation *t, const mqa_place *place, const bound *b)
{
    decimal d = {.whole = WHOLE_MAX, .fraction = "999999"};
    if (!b->given) return d;
    char text[40];
    const double value = fabs(b->value);
    snprintf(text, sizeof text, "%.6f", value < 1e16 ? value : 0.0);
    const bool exact = value <= EXACT_MAX && strtod(text, NULL) == value;
    if (!exact && (b->exclusive || !b->is_integer || value > (double)WHOLE_MAX)) {
        mqa_schema_fail(
            t, place, b->keyword, MQA_ERR_UNSUPPORTED,
            "for numbers that aren't integers, bounds up to %d with up to %d digits behind the point "
            "are supported, and whole ones up to 15 digits if they aren't exclusive",
            EXACT_MAX, FRACTION_DIGITS);
        return d;
    }
    d.whole = strtoll(text, NULL, 10);
    memcpy(d.fraction, strchr(text, '.') + 1, FRACTION_DIGITS);
    d.exclusive = b->exclusive;
    return d;
}

mqa_expr mqa_schema_number(mqa_translation *t, const json_t *schema, const mqa_place *place)
{
    mqa_book *b = &t->book;
    const range r = read_range(t, schema, place);
    if (b->status != MQA_OK) return 0;
    if (r.multiple) return integers_of(t, place, &r);
    if (!r.lower.given && !r.upper.given) return mqa_prelude(t, "number");
    const decimal lo = read_decimal(t, place, &r.lower), hi = read_decimal(t, place, &r.upper);
    const decimal zero = {.fraction = "000000"}, above_zero = {.fraction = "000000", .exclusive = true};
    const bool negative = !r.lower.given || r.lower.value < 0,
               positive = !r.upper.given || r.upper.value >= 0;
    mqa_expr out = mqa_nothing(t);
    if (positive) out = mqa_book_choice(b, out, magnitudes_between(t, negative ? &zero : &lo, &hi));
    if (negative) {
        const mqa_expr below = magnitudes_between(t, positive ? &above_zero : &hi, &lo);
        out = mqa_book_choice(b, out, mqa_book_sequence(b, mqa_book_text(b, "-"), below));
    }
    return mqa_book_share(b, out);
}
