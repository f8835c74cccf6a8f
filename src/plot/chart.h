/* Charts: a description of axes, series and marks, drawn as SVG text (chart_png.h: and from that as PNG).
 *
 * The SVG has real <text>, a <title> and a <desc> for screen readers, and a tooltip at each marker. Series
 * differ in colour, dashes and marker, so that print and colour-blind eyes lose nothing. Colours follow the
 * reader's light or dark setting. Strings are UTF-8 and may be hostile: they are escaped, and cut where they
 * would leave the picture.
 *
 *     const double x[] = {4096, 8192, 16384}, y[] = {1e6, 2e6, 4e6};
 *     const mqa_series series = {.name = "MQA", .x = x, .y = y, .n = 3};
 *     const mqa_chart chart = {.title = "KV cache against context",
 *                              .x = {.label = "context, tokens", .unit = MQA_UNIT_TOKENS, .log = true},
 *                              .y = {.label = "KV cache", .unit = MQA_UNIT_BYTES},
 *                              .series = &series, .n_series = 1};
 *     MQA_TRY(mqa_chart_svg(&chart, MQA_CHART_FILE, stream, err));
 *
 * Everything is borrowed for the call; calls may run side by side on different streams. The text of a chart
 * depends on its description alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_CHART_H
#define MQA_PLOT_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

/* How values of an axis are written, and where its ticks are. */
typedef enum mqa_unit {
    MQA_UNIT_NUMBER,  /* ticks at 1, 2 and 5 times powers of ten: "0.5", "20", "1.5k", "2G" */
    MQA_UNIT_BYTES,   /* at powers of two and their multiples: "512 KiB", "24 GiB" */
    MQA_UNIT_TOKENS,  /* the same, as the field writes them: 4096 is "4k", 60000 is "60,000" */
    MQA_UNIT_SECONDS, /* "20 µs", "1.5 s" */
    MQA_UNIT_SHARE    /* a part of 1: "25 %" */
} mqa_unit;

typedef struct mqa_axis {
    const char *label; /* NULL: none */
    mqa_unit unit;
    bool log;      /* values that aren't above 0 are then left out */
    double lo, hi; /* both 0: from series and marks, and a linear axis has 0 in it */
} mqa_axis;

typedef enum mqa_series_kind {
    MQA_SERIES_LINE,   /* a line with markers, in the order given; broken where a value isn't finite */
    MQA_SERIES_CURVE,  /* a whole line without markers: a limit, a law */
    MQA_SERIES_POINTS, /* markers alone */
    MQA_SERIES_BARS    /* upright; several series of bars stand side by side */
} mqa_series_kind;

#define MQA_CHART_STYLES 8

typedef struct mqa_series {
    const char *name;          /* in the legend; NULL: not there */
    const double *x, *y;       /* [n]; x NULL: 0, 1, 2 ... (categories) */
    const char *const *labels; /* [n] written beside the points, any may be NULL; NULL: none */
    size_t n;
    mqa_series_kind kind;
    bool hollow; /* markers with the background in them */
    int style;   /* 1 .. MQA_CHART_STYLES: colour, dashes and marker, the same in every chart; 0: by its place
                    in series */
} mqa_series;

/* A straight line across the chart with words at it: a limit. */
typedef struct mqa_mark {
    const char *text; /* NULL: the line alone */
    double at;
    bool vertical; /* at is an x */
} mqa_mark;

typedef struct mqa_chart {
    const char *title;       /* NULL: none drawn */
    const char *subtitle;    /* smaller, below; NULL: none */
    const char *description; /* for screen readers, beside what is made from the series; NULL: none */
    mqa_axis x, y;
    const char *const
        *categories; /* names of x = 0, 1, 2 ..., in place of an axis with numbers; NULL: numbers */
    size_t n_categories;
    const mqa_series *series;
    size_t n_series;
    const mqa_mark *marks;
    size_t n_marks;
    int width, height; /* in CSS pixels, 200 to 4000; 0: 720 by 440 */
} mqa_chart;

typedef enum mqa_chart_form {
    MQA_CHART_FILE,  /* a document of its own, with its style sheet */
    MQA_CHART_INLINE /* an element for a page that has mqa_chart_style's rules */
} mqa_chart_form;

#define MQA_CHART_MAX_POINTS 65536 /* of all series together */
#define MQA_CHART_MAX_SERIES 64    /* and as many categories and marks */

/* Writes the SVG. MQA_ERR_INVALID_ARGUMENT before anything is written: too many points, a size out of range,
 * lo above hi. Any doubles will do as data: what can't be drawn (NaN, infinite, 0 on a logarithmic axis) is
 * left out, and a chart with nothing left says so. The stream's error flag is the caller's to look at. */
mqa_status mqa_chart_svg(const mqa_chart *chart, mqa_chart_form form, FILE *out, mqa_error *err);
/* n charts (at most MQA_CHART_MAX_SERIES) on one sheet, a document of its own, in rows of so many columns;
 * each has the room of the largest. */
mqa_status mqa_chart_sheet_svg(const mqa_chart *charts, size_t n, int columns, FILE *out, mqa_error *err);
/* The CSS rules of charts, once a page, to stand inside <style>. */
void mqa_chart_style(FILE *out);

/* A value as it stands beside ticks, in tooltips and in tables: "1.5 GiB", "60,000", "-". */
void mqa_unit_text(mqa_unit unit, double value, char out[32]);

#endif
