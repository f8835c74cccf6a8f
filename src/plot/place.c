/* Where a label hides least.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/place.h"

#include <math.h>

void mqa_places_take(mqa_places *p, mqa_box box)
{
    if (p->n_taken < sizeof p->taken / sizeof p->taken[0]) p->taken[p->n_taken++] = box;
}

void mqa_places_line(mqa_places *p, double x0, double y0, double x1, double y1)
{
    enum { STEP = 10, MOST = 400 };
    const double length = hypot(x1 - x0, y1 - y0);
    const int n = length > STEP * MOST ? MOST : (int)(length / STEP) + 1;
    for (int i = 0; i <= n && p->n_lines < sizeof p->lines / sizeof p->lines[0]; i++) {
        const double x = x0 + (x1 - x0) * i / n, y = y0 + (y1 - y0) * i / n;
        p->lines[p->n_lines++] = (mqa_box){x - 2, y - 2, x + 2, y + 2};
    }
}

static double overlap(mqa_box a, mqa_box b)
{
    const double width = fmin(a.right, b.right) - fmax(a.left, b.left);
    const double height = fmin(a.bottom, b.bottom) - fmax(a.top, b.top);
    return width > 0 && height > 0 ? width * height : 0;
}

static double area(mqa_box a)
{
    return (a.right - a.left) * (a.bottom - a.top);
}

static double cost_of(const mqa_places *p, mqa_box box)
{
    double cost = 20 * (area(box) - overlap(box, p->inside));
    for (size_t i = 0; i < p->n_taken; i++) cost += 10 * overlap(box, p->taken[i]);
    for (size_t i = 0; i < p->n_lines; i++) cost += overlap(box, p->lines[i]);
    return cost;
}

mqa_box mqa_places_choose(mqa_places *p, const mqa_box *candidates, size_t n)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        const double cost = cost_of(p, candidates[i]) + (double)i;
        if (cost < least) least = cost, best = i;
    }
    mqa_places_take(p, candidates[best]);
    return candidates[best];
}
