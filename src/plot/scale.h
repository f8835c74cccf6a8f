/* From values to places on an axis, and where the ticks are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_SCALE_H
#define MQA_PLOT_SCALE_H

#include "plot/chart.h"

enum { MQA_SCALE_TICKS = 24 };

typedef struct mqa_scale {
    mqa_unit unit;
    bool log;
    double lo, hi; /* lo < hi, both finite */
    double tick[MQA_SCALE_TICKS];
    int n_ticks;
} mqa_scale;

/* lo, hi: of the data that can be drawn (lo > hi: there is none). most: ticks that there is room for, at
 * least 2. to_ticks: a linear axis ends at a tick. */
mqa_scale mqa_scale_make(const mqa_axis *axis, double lo, double hi, int most, bool to_ticks);
/* Whether the axis can show v at all. */
bool mqa_scale_shows(const mqa_axis *axis, double v);
/* 0 at lo, 1 at hi, beyond that outside. */
double mqa_scale_at(const mqa_scale *scale, double v);

#endif
