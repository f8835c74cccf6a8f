/* From values to places on an axis; ticks; numbers as text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/scale.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const double most_value = 1e300; /* a difference of two such is still finite */

static bool binary(mqa_unit unit)
{
    return unit == MQA_UNIT_BYTES || unit == MQA_UNIT_TOKENS;
}

bool mqa_scale_shows(const mqa_axis *axis, double v)
{
    return fabs(v) <= most_value && (!axis->log || v >= 1 / most_value);
}

double mqa_scale_at(const mqa_scale *s, double v)
{
    if (s->log) return (log(v) - log(s->lo)) / (log(s->hi) - log(s->lo));
    return (v - s->lo) / (s->hi - s->lo);
}

/* The largest 1, 2 or 5 times a power of ten (or power of two) that is not above v > 0, and the next one. */
static double step_below(double v, bool two)
{
    if (two) return exp2(floor(log2(v) + 1e-9));
    const double decade = pow(10, floor(log10(v) + 1e-9)), m = v / decade * (1 + 1e-9);
    return decade * (m >= 5 ? 5 : m >= 2 ? 2 : 1);
}

static double step_above(double v, bool two)
{
    const double below = step_below(v, two);
    if (below >= v * (1 - 1e-9)) return below;
    if (two) return 2 * below;
    const double lead = below / pow(10, floor(log10(below) + 1e-9));
    return below * (lead > 1.5 && lead < 3 ? 2.5 : 2);
}

static void add_tick(mqa_scale *s, double at)
{
    if (s->n_ticks < MQA_SCALE_TICKS) s->tick[s->n_ticks++] = at;
}

static void linear_ticks(mqa_scale *s, int most, bool to_ticks, bool fixed)
{
    const bool two = binary(s->unit);
    double step = step_above((s->hi - s->lo) / most, two);
    if (two && step < 1) step = 1; /* there are no parts of a byte */
    if (to_ticks && !fixed) {
        s->hi = ceil(s->hi / step - 1e-9) * step;
        s->lo = floor(s->lo / step + 1e-9) * step;
    }
    const double first = ceil(s->lo / step - 1e-9);
    for (int i = 0; i < MQA_SCALE_TICKS; i++) {
        const double at = (first + i) * step;
        if (at > s->hi + step * 1e-9) break;
        add_tick(s, at);
    }
}

static void binary_ticks(mqa_scale *s, int most)
{
    const double first = log2(s->lo), last = log2(s->hi);
    static const int strides[] = {1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000};
    int stride = 2000;
    for (size_t i = sizeof strides / sizeof strides[0]; i-- > 0;)
        if ((last - first) / strides[i] <= most - 1) stride = strides[i];
    for (double k = ceil(first / stride - 1e-9) * stride; k <= last + 1e-9; k += stride) add_tick(s, exp2(k));
}

static void decimal_ticks(mqa_scale *s, int most)
{
    const double first = log10(s->lo), last = log10(s->hi);
    if ((last - first) * 3 <= most - 1) {
        for (double at = step_above(s->lo, false); at <= s->hi * (1 + 1e-9); at = step_above(at * 1.5, false))
            add_tick(s, at);
        return;
    }
    static const int strides[] = {1, 2, 3, 6, 12, 30, 60, 120};
    int stride = 300;
    for (size_t i = sizeof strides / sizeof strides[0]; i-- > 0;)
        if ((last - first) / strides[i] <= most - 1) stride = strides[i];
    for (double k = ceil(first / stride - 1e-9) * stride; k <= last + 1e-9; k += stride)
        add_tick(s, pow(10, k));
}

/* Ends that enclose the data, and are apart. */
static void choose_range(mqa_scale *s, double lo, double hi)
{
    if (s->log) {
        s->lo = step_below(lo, binary(s->unit));
        s->hi = step_above(hi, binary(s->unit));
        if (s->hi <= s->lo * 1.01) s->lo /= 2, s->hi *= 2;
        return;
    }
    s->lo = lo < 0 ? lo : 0;
    s->hi = hi > 0 ? hi : 0;
    if (s->hi - s->lo < 1e-290) s->hi = s->lo + 1; /* only zeroes */
}

mqa_scale mqa_scale_make(const mqa_axis *axis, double lo, double hi, int most, bool to_ticks)
{
    mqa_scale s = {.unit = axis->unit, .log = axis->log};
    const bool fixed = axis->lo != 0 || axis->hi != 0;
    if (fixed)
        s.lo = axis->lo, s.hi = axis->hi;
    else if (lo > hi)
        s.lo = axis->log ? 1 : 0, s.hi = axis->log ? 10 : 1;
    else
        choose_range(&s, lo, hi);
    if (most > MQA_SCALE_TICKS - 1) most = MQA_SCALE_TICKS - 1;
    if (most < 2) most = 2;
    if (!s.log)
        linear_ticks(&s, most, to_ticks, fixed);
    else if (binary(s.unit))
        binary_ticks(&s, most);
    else
        decimal_ticks(&s, most);
    return s;
}

static void with_suffix(double v, double base, const char *const *suffixes, int n_suffixes, char *out,
                        size_t size)
{
    int i = 0;
    while (i + 1 < n_suffixes && fabs(v) >= base * (1 - 1e-9)) v /= base, i++;
    snprintf(out, size, fabs(v) >= 1e6 ? "%.3g%s" : fabs(v) >= 999.5 ? "%.0f%s" : "%.3g%s", v, suffixes[i]);
}

/* 1234567 as "1,234,567". */
static void grouped(double v, char *out, size_t size)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", v);
    size_t at = 0;
    for (int i = 0; i < n && at + 2 < size; i++) {
        if (i > 0 && digits[i - 1] != '-' && (n - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void mqa_unit_text(mqa_unit unit, double v, char out[32])
{
    static const char *const bytes[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    static const char *const tokens[] = {"", "k", "M", "G", "T"};
    static const char *const si[] = {"", "k", "M", "G", "T", "P", "E"};
    enum { SIZE = 32 };
    if (!isfinite(v)) {
        snprintf(out, SIZE, "-");
        return;
    }
    switch (unit) {
    case MQA_UNIT_BYTES:
        with_suffix(v, 1024, bytes, 7, out, SIZE);
        return;
    case MQA_UNIT_TOKENS:
        if (fabs(v) < 1e6 && fmod(v, 1024) != 0 && fabs(v) >= 1000)
            grouped(v, out, SIZE);
        else
            with_suffix(v, 1024, tokens, 5, out, SIZE);
        return;
    case MQA_UNIT_SECONDS:
        if (v == 0 || fabs(v) >= 0.9995)
            snprintf(out, SIZE, fabs(v) >= 999.5 && fabs(v) < 1e9 ? "%.0f s" : "%.3g s", v);
        else if (fabs(v) >= 0.9995e-3)
            snprintf(out, SIZE, "%.3g ms", v * 1e3);
        else if (fabs(v) >= 0.9995e-6)
            snprintf(out, SIZE, "%.3g µs", v * 1e6);
        else
            snprintf(out, SIZE, "%.3g ns", v * 1e9);
        return;
    case MQA_UNIT_SHARE:
        snprintf(out, SIZE, "%.3g %%", 100 * v);
        return;
    case MQA_UNIT_NUMBER:
        break;
    }
    with_suffix(v, 1000, si, 7, out, SIZE);
}
