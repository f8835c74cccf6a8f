/* SVG to PNG, by librsvg, which is loaded when first needed: a server or a text on a terminal doesn't pay for
 * it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_CHART_PNG_H
#define MQA_PLOT_CHART_PNG_H

#include "plot/chart.h"

/* Renders an SVG document (mqa_chart_svg's or any other with width and height) at scale pixels for each of
 * its own, and writes a PNG. scale: 0.1 to 10. MQA_ERR_UNSUPPORTED where librsvg isn't installed;
 * MQA_ERR_INVALID_ARGUMENT for more than 64 million pixels; MQA_ERR_FORMAT for what isn't SVG. Not thread
 * safe on the first call. */
mqa_status mqa_svg_to_png(const char *svg, size_t n, double scale, FILE *out, mqa_error *err);
/* Charts as PNG, twice as fine as their CSS pixels, in light colours: mqa_chart_sheet_svg's. */
mqa_status mqa_chart_sheet_png(const mqa_chart *charts, size_t n, int columns, FILE *out, mqa_error *err);
static inline mqa_status mqa_chart_png(const mqa_chart *chart, FILE *out, mqa_error *err)
{
    return mqa_chart_sheet_png(chart, 1, 1, out, err);
}

#endif
