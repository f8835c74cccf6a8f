/* Where a label hides least.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_PLACE_H
#define MQA_PLOT_PLACE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mqa_box {
    double left, top, right, bottom;
} mqa_box;

/* What lies in the picture already; the first so many of each kind count. */
typedef struct mqa_places {
    mqa_box inside;      /* no label leaves it */
    mqa_box taken[256];  /* labels and markers */
    mqa_box lines[1024]; /* pieces of lines, which a label may cover if it must */
    size_t n_taken, n_lines;
} mqa_places;

void mqa_places_take(mqa_places *places, mqa_box box);
/* A straight line, as small boxes. */
void mqa_places_line(mqa_places *places, double x0, double y0, double x1, double y1);
/* Of n boxes, in the order of preference, the one that covers least; it is taken. */
mqa_box mqa_places_choose(mqa_places *places, const mqa_box *candidates, size_t n);

#endif
