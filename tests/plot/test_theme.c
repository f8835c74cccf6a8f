/* Whether the colours of series are told apart by eyes of each kind, on light and on dark.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plot/chart.h"
#include "plot/theme.h"

typedef struct triple {
    double at[3];
} triple;

static triple apply(const double m[3][3], triple v)
{
    triple out;
    for (int i = 0; i < 3; i++) out.at[i] = m[i][0] * v.at[0] + m[i][1] * v.at[1] + m[i][2] * v.at[2];
    return out;
}

static const double xyz[3][3] = {
    {0.4124, 0.3576, 0.1805}, {0.2126, 0.7152, 0.0722}, {0.0193, 0.1192, 0.9505}};

/* "0072b2" in linear light. */
static triple parse(const char *hex)
{
    triple out;
    for (int i = 0; i < 3; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};
        const double c = (double)strtol(digits, NULL, 16) / 255;
        out.at[i] = c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
    }
    return out;
}

static triple lab(triple linear)
{
    static const double white[3] = {0.95047, 1, 1.08883};
    for (int i = 0; i < 3; i++) linear.at[i] = fmin(fmax(linear.at[i], 0), 1);
    triple f = apply(xyz, linear);
    for (int i = 0; i < 3; i++) {
        const double t = f.at[i] / white[i];
        f.at[i] = t > 0.008856 ? cbrt(t) : 7.787 * t + 16.0 / 116;
    }
    return (triple){{116 * f.at[1] - 16, 500 * (f.at[0] - f.at[1]), 200 * (f.at[1] - f.at[2])}};
}

static double contrast(const char *a, const char *b)
{
    const double x = apply(xyz, parse(a)).at[1] + 0.05, y = apply(xyz, parse(b)).at[1] + 0.05;
    return x > y ? x / y : y / x;
}

/* Severe protanomaly, deuteranomaly and tritanomaly: Machado, Oliveira, Fernandes 2009, table 1,
 * severity 1.0. */
static const double eyes[4][3][3] = {
    {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
    {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
    {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
    {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}};

static void told_apart(const char *css, const char *background)
{
    const char *colours[MQA_CHART_STYLES];
    for (int i = 0; i < MQA_CHART_STYLES; i++) {
        char rule[32];
        snprintf(rule, sizeof rule, ".s%d { color: #", i + 1);
        const char *found = strstr(css, rule);
        assert_non_null(found);
        colours[i] = found + strlen(rule);
        assert_int_equal(strspn(colours[i], "0123456789abcdef"), 6);
        assert_true(contrast(colours[i], background) >= 2.99);
    }
    for (int eye = 0; eye < 4; eye++)
        for (int i = 0; i < MQA_CHART_STYLES; i++)
            for (int k = 0; k < i; k++) {
                const triple a = lab(apply(eyes[eye], parse(colours[i]))),
                             b = lab(apply(eyes[eye], parse(colours[k])));
                const double distance =
                    sqrt(pow(a.at[0] - b.at[0], 2) + pow(a.at[1] - b.at[1], 2) + pow(a.at[2] - b.at[2], 2));
                if (distance < 14)
                    printf("eye %d, styles %d and %d on #%s: %.1f\n", eye, k + 1, i + 1, background,
                           distance);
                assert_true(distance >= 14);
            }
}

static void colours(void **state)
{
    (void)state;
    char *css;
    size_t n;
    FILE *out = open_memstream(&css, &n);
    mqa_chart_style(out);
    fclose(out);
    const char *dark = strstr(css, "prefers-color-scheme: dark");
    assert_non_null(dark);
    told_apart(css, "ffffff");
    told_apart(dark, "16181d");
    free(css);
}

/* Without colour: no two styles have the same dashes or the same marker. */
static void shapes(void **state)
{
    (void)state;
    for (int i = 1; i <= MQA_CHART_STYLES; i++)
        for (int k = 1; k < i; k++) {
            assert_string_not_equal(mqa_theme_look(i).dashes, mqa_theme_look(k).dashes);
            assert_string_not_equal(mqa_theme_look(i).marker, mqa_theme_look(k).marker);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(colours), cmocka_unit_test(shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
