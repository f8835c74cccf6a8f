/* A chart while it is drawn: its layout and scales, and the stream. chart.c makes it and draws the frame,
 * series.c what is inside.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_CANVAS_H
#define MQA_PLOT_CANVAS_H

#include "plot/chart.h"
#include "plot/place.h"
#include "plot/scale.h"

#define MQA_CHART_FONT 13.0 /* pixels, as in theme.c */

typedef struct mqa_canvas {
    FILE *out;
    const mqa_chart *chart;
    double width, height;
    mqa_box plot; /* inside the axes */
    mqa_scale x, y;
    size_t n_points; /* that can be drawn */
    mqa_places places;
} mqa_canvas;

int mqa_canvas_style(const mqa_chart *chart, size_t series);
/* The value of point i, and whether both axes can show it. */
bool mqa_canvas_point(const mqa_chart *chart, const mqa_series *series, size_t i, double *x, double *y);
/* Pixels. Far outside values are kept near, so that the numbers stay small. */
double mqa_canvas_x(const mqa_canvas *canvas, double v);
double mqa_canvas_y(const mqa_canvas *canvas, double v);

/* <text> at (x, y), its first n bytes; anchor "start", "middle" or "end". */
void mqa_canvas_text(const mqa_canvas *canvas, double x, double y, const char *anchor, const char *classes,
                     const char *text, size_t n, bool cut);
/* The marker of a style, at (x, y). */
void mqa_canvas_marker(const mqa_canvas *canvas, int style, bool hollow, double x, double y);
/* The value of x as a reader names it: a category or a number. */
void mqa_canvas_x_text(const mqa_chart *chart, double x, char *out, size_t size);

/* Lines, bars, markers; then marks and labels, where they cover least. */
void mqa_canvas_series(mqa_canvas *canvas);

#endif
