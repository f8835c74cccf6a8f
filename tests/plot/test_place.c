/* Where labels go: they avoid one another and markers, then lines, and stay inside.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plot/place.h"

static mqa_box at(double x, double y)
{
    return (mqa_box){x, y, x + 10, y + 10};
}

static void chosen(mqa_places *places, const mqa_box *boxes, size_t n, size_t want)
{
    const mqa_box got = mqa_places_choose(places, boxes, n);
    assert_true(got.left == boxes[want].left && got.top == boxes[want].top);
}

static void preference_and_what_is_taken(void **state)
{
    (void)state;
    static mqa_places places;
    places = (mqa_places){.inside = {0, 0, 100, 100}};
    const mqa_box boxes[] = {at(50, 50), at(20, 20), at(-2, 20), at(52, 52)};
    chosen(&places, boxes, 4, 0);     /* all free: the first */
    chosen(&places, boxes, 4, 1);     /* the first is taken now */
    chosen(&places, boxes, 3, 2);     /* a little outside is less bad than on another label */
    chosen(&places, boxes + 3, 1, 0); /* there is always one */
}

static void lines_give_way(void **state)
{
    (void)state;
    static mqa_places places;
    places = (mqa_places){.inside = {0, 0, 100, 100}};
    mqa_places_line(&places, 0, 15, 100, 15); /* across the first */
    const mqa_box boxes[] = {at(20, 10), at(20, 40)};
    chosen(&places, boxes, 2, 1);
    chosen(&places, boxes, 2, 0); /* a line is less bad than a label */
}

/* More than there is room for is left out, not written. */
static void full(void **state)
{
    (void)state;
    static mqa_places places;
    places = (mqa_places){.inside = {0, 0, 100, 100}};
    for (int i = 0; i < 5000; i++) mqa_places_take(&places, at(i, i));
    for (int i = 0; i < 500; i++) mqa_places_line(&places, -1e5, i, 1e5, i);
    assert_int_equal(places.n_taken, sizeof places.taken / sizeof places.taken[0]);
    assert_int_equal(places.n_lines, sizeof places.lines / sizeof places.lines[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(preference_and_what_is_taken),
                                       cmocka_unit_test(lines_give_way), cmocka_unit_test(full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
