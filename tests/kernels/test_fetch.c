/* What is handed out to be fetched: all of it, in order, once, evenly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/fetch.h"

enum { MOST = 4, BYTES = 1 << 16 };

typedef struct world {
    char memory[MOST][2][BYTES];
    unsigned char asked[MOST][2][BYTES / MQA_LINE];
    mqa_ahead ahead[MOST];
    int n;
} world;
static world w;

/* Marks the lines that one run of a loop asks for; those behind a stretch's end are nobody's. */
static int take(const mqa_fetch *f, int steps)
{
    int marked = 0;
    for (int side = 0; side < 2 && f->lines; side++)
        for (int line = 0; line < steps * f->lines; line++)
            for (int a = 0; a < w.n; a++)
                for (int i = 0; i < 2; i++) {
                    const ptrdiff_t at = f->at[side] + line * MQA_LINE - (const char *)w.ahead[a].from[i];
                    if (at < 0 || (size_t)at >= w.ahead[a].bytes[i]) continue;
                    w.asked[a][i][at / MQA_LINE] = 1;
                    marked++;
                }
    return marked;
}

static void set(int n, const size_t bytes[][2])
{
    memset(&w, 0, sizeof w);
    w.n = n;
    for (int a = 0; a < n; a++)
        for (int i = 0; i < 2; i++) {
            w.ahead[a].from[i] = w.memory[a][i];
            w.ahead[a].bytes[i] = bytes[a][i];
        }
}

static size_t missing(void)
{
    size_t n = 0;
    for (int a = 0; a < w.n; a++)
        for (int i = 0; i < 2; i++)
            for (size_t line = 0; line < (w.ahead[a].bytes[i] + MQA_LINE - 1) / MQA_LINE; line++)
                n += !w.asked[a][i][line];
    return n;
}

/* Loops enough for a line a step: all is asked for, and the gaps between shares are even. */
static void all_of_it_evenly(void **state)
{
    (void)state;
    static const size_t bytes[MOST][2] = {{4096, 0}, {0, 0}, {20000, 31744}, {64, 8192}};
    const int loops[] = {40, 64, 100, 1000, 4096}, steps[] = {16, 32, 128};
    for (size_t l = 0; l < sizeof loops / sizeof *loops; l++)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            set(MOST, bytes);
            mqa_fetch_pace p = mqa_fetch_begin(w.ahead, w.n, loops[l], steps[s]);
            int last = -1, gap = 0;
            for (int i = 0; i < loops[l]; i++) {
                const mqa_fetch f = mqa_fetch_next(&p);
                if (!take(&f, steps[s])) continue;
                if (last >= 0 && gap == 0) gap = i - last;
                if (gap) assert_true(last < 0 || i - last == gap);
                last = i;
            }
            assert_int_equal(missing(), 0);
            assert_true(last >= loops[l] / 2 - 1); /* not all at the beginning */
        }
}

/* Too few steps for a line each: a few lines a step, and what is left over is left out. */
static void a_few_lines_a_step(void **state)
{
    (void)state;
    static const size_t bytes[1][2] = {{32768, 16384}};
    set(1, bytes);
    mqa_fetch_pace p = mqa_fetch_begin(w.ahead, 1, 4, 32);
    for (int i = 0; i < 4; i++) {
        const mqa_fetch f = mqa_fetch_next(&p);
        assert_int_equal(f.lines, MQA_FETCH_FEW);
        take(&f, 32);
    }
    assert_int_equal(missing(), 0);
    set(1, bytes);
    p = mqa_fetch_begin(w.ahead, 1, 2, 32);
    for (int i = 0; i < 2; i++) {
        const mqa_fetch f = mqa_fetch_next(&p);
        take(&f, 32);
    }
    assert_int_equal(missing(), 256);
}

static void nothing_ahead(void **state)
{
    (void)state;
    static const size_t bytes[2][2] = {{0, 0}, {0, 0}};
    set(2, bytes);
    mqa_fetch_pace none = mqa_fetch_begin(NULL, 8, 10, 10), empty = mqa_fetch_begin(w.ahead, 2, 10, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(mqa_fetch_next(&none).lines, 0);
        assert_int_equal(mqa_fetch_next(&empty).lines, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_of_it_evenly),
                                       cmocka_unit_test(a_few_lines_a_step), cmocka_unit_test(nothing_ahead)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
