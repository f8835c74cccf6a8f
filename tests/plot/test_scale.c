/* Ticks and numbers as text.
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
#include <string.h>

#include "plot/scale.h"

static void texts(void **state)
{
    (void)state;
    static const struct {
        mqa_unit unit;
        double value;
        const char *text;
    } cases[] = {
        {MQA_UNIT_NUMBER, 0, "0"},
        {MQA_UNIT_NUMBER, 0.25, "0.25"},
        {MQA_UNIT_NUMBER, 1500, "1.5k"},
        {MQA_UNIT_NUMBER, 999, "999"},
        {MQA_UNIT_NUMBER, 2e9, "2G"},
        {MQA_UNIT_NUMBER, 1e18, "1E"},
        {MQA_UNIT_NUMBER, -2000, "-2k"},
        {MQA_UNIT_NUMBER, 1e300, "1e+282E"},
        {MQA_UNIT_NUMBER, NAN, "-"},
        {MQA_UNIT_NUMBER, INFINITY, "-"},
        {MQA_UNIT_BYTES, 512, "512 B"},
        {MQA_UNIT_BYTES, 1024, "1 KiB"},
        {MQA_UNIT_BYTES, 1023, "1023 B"},
        {MQA_UNIT_BYTES, 70272, "68.6 KiB"},
        {MQA_UNIT_BYTES, 24.0 * (1 << 30), "24 GiB"},
        {MQA_UNIT_TOKENS, 4096, "4k"},
        {MQA_UNIT_TOKENS, 131072, "128k"},
        {MQA_UNIT_TOKENS, 60000, "60,000"},
        {MQA_UNIT_TOKENS, 1048576, "1M"},
        {MQA_UNIT_TOKENS, 100, "100"},
        {MQA_UNIT_SECONDS, 0.00002, "20 µs"},
        {MQA_UNIT_SECONDS, 0.0125, "12.5 ms"},
        {MQA_UNIT_SECONDS, 1, "1 s"},
        {MQA_UNIT_SECONDS, 3600, "3600 s"},
        {MQA_UNIT_SECONDS, 3e-9, "3 ns"},
        {MQA_UNIT_SHARE, 0.255, "25.5 %"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        mqa_unit_text(cases[i].unit, cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void ticks_are(const mqa_axis *axis, double lo, double hi, int most, const char *want)
{
    const mqa_scale s = mqa_scale_make(axis, lo, hi, most, true);
    char got[400] = "";
    for (int i = 0; i < s.n_ticks; i++) {
        char text[32];
        mqa_unit_text(axis->unit, s.tick[i], text);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? ", " : "", text);
    }
    assert_string_equal(got, want);
}

static void ticks(void **state)
{
    (void)state;
    const double gib = 1 << 30;
    ticks_are(&(mqa_axis){0}, 3, 95, 6, "0, 20, 40, 60, 80, 100");
    ticks_are(&(mqa_axis){0}, -3, 4, 6, "-4, -2, 0, 2, 4");
    ticks_are(&(mqa_axis){.unit = MQA_UNIT_BYTES}, gib, 70 * gib, 6,
              "0 B, 16 GiB, 32 GiB, 48 GiB, 64 GiB, 80 GiB");
    ticks_are(&(mqa_axis){.unit = MQA_UNIT_TOKENS, .log = true}, 1024, 131072, 9,
              "1k, 2k, 4k, 8k, 16k, 32k, 64k, 128k");
    ticks_are(&(mqa_axis){.unit = MQA_UNIT_TOKENS, .log = true}, 1000, 60000, 5, "1k, 4k, 16k, 64k");
    ticks_are(&(mqa_axis){.log = true}, 1, 1e6, 8, "1, 10, 100, 1k, 10k, 100k, 1M");
    ticks_are(&(mqa_axis){.log = true}, 3, 60, 8, "2, 5, 10, 20, 50, 100");
    ticks_are(&(mqa_axis){.unit = MQA_UNIT_SECONDS, .log = true}, 1e-3, 10, 8,
              "1 ms, 10 ms, 100 ms, 1 s, 10 s");
    ticks_are(&(mqa_axis){.unit = MQA_UNIT_BYTES, .log = true}, 1024, gib, 6,
              "1 KiB, 32 KiB, 1 MiB, 32 MiB, 1 GiB");
    ticks_are(&(mqa_axis){.lo = 10, .hi = 25}, 0, 100, 4, "10, 15, 20, 25");
}

/* Whatever the data: ends apart and finite, ticks ascending and between them, places finite. */
static void extremes(void **state)
{
    (void)state;
    static const double ends[][2] = {
        {1, 1},          {0, 0},           {-5, -5},        {1e18, 1e18}, {1e18, 1e18 + 256}, {0, 1e300},
        {-1e300, 1e300}, {5e-324, 5e-324}, {1e-300, 1e300}, {1, 0},       {1e-12, 1},         {0, 1e-310}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        for (int unit = MQA_UNIT_NUMBER; unit <= MQA_UNIT_SHARE; unit++)
            for (int log = 0; log < 2; log++) {
                double lo = ends[i][0], hi = ends[i][1];
                const mqa_axis axis = {.unit = (mqa_unit)unit, .log = log};
                if (!mqa_scale_shows(&axis, lo) || !mqa_scale_shows(&axis, hi)) continue;
                const mqa_scale s = mqa_scale_make(&axis, lo, hi, 6, true);
                if (!(s.lo < s.hi && isfinite(s.lo) && isfinite(s.hi)))
                    printf("%g .. %g, unit %d, log %d: %g .. %g\n", lo, hi, unit, log, s.lo, s.hi);
                assert_true(s.lo < s.hi && isfinite(s.lo) && isfinite(s.hi));
                assert_true(lo > hi || (s.lo <= lo && s.hi >= hi * (1 - 1e-9)));
                assert_in_range(s.n_ticks, 1, MQA_SCALE_TICKS);
                for (int k = 0; k < s.n_ticks; k++) {
                    const double at = mqa_scale_at(&s, s.tick[k]);
                    if (!(at > -1e-6 && at < 1 + 1e-6))
                        printf("%g .. %g, unit %d, log %d: tick %g at %g\n", lo, hi, unit, log, s.tick[k],
                               at);
                    assert_true(at > -1e-6 && at < 1 + 1e-6);
                    assert_true(k == 0 || s.tick[k] > s.tick[k - 1]);
                }
            }
    assert_false(mqa_scale_shows(&(mqa_axis){0}, NAN));
    assert_false(mqa_scale_shows(&(mqa_axis){0}, -INFINITY));
    assert_false(mqa_scale_shows(&(mqa_axis){.log = true}, 0));
    assert_true(mqa_scale_shows(&(mqa_axis){0}, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(ticks),
                                       cmocka_unit_test(extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
