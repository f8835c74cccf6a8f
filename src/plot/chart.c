/* The frame of a chart: checks, layout, titles, legend, axes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/chart.h"

#include <math.h>
#include <string.h>

#include "plot/canvas.h"
#include "plot/markup.h"
#include "plot/theme.h"

static const char xml[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
enum { DEFAULT_WIDTH = 720, DEFAULT_HEIGHT = 440 };
static const double font = MQA_CHART_FONT, small = 12, title_font = 16, edge = 14;

int mqa_canvas_style(const mqa_chart *chart, size_t series)
{
    const int style = chart->series[series].style;
    return style ? style : (int)(series % MQA_CHART_STYLES) + 1;
}

bool mqa_canvas_point(const mqa_chart *chart, const mqa_series *series, size_t i, double *x, double *y)
{
    *x = series->x ? series->x[i] : (double)i;
    *y = series->y[i];
    return mqa_scale_shows(&chart->x, *x) && mqa_scale_shows(&chart->y, *y);
}

static double near(double pixels)
{
    return fmin(fmax(pixels, -1e5), 1e5);
}

double mqa_canvas_x(const mqa_canvas *c, double v)
{
    return near(c->plot.left + mqa_scale_at(&c->x, v) * (c->plot.right - c->plot.left));
}

double mqa_canvas_y(const mqa_canvas *c, double v)
{
    return near(c->plot.bottom - mqa_scale_at(&c->y, v) * (c->plot.bottom - c->plot.top));
}

void mqa_canvas_text(const mqa_canvas *c, double x, double y, const char *anchor, const char *classes,
                     const char *text, size_t n, bool cut)
{
    fprintf(c->out, "<text x=\"%.1f\" y=\"%.1f\"", x, y);
    if (anchor[0] != 's') fprintf(c->out, " text-anchor=\"%s\"", anchor);
    if (classes[0]) fprintf(c->out, " class=\"%s\"", classes);
    putc('>', c->out);
    mqa_markup(c->out, text, n);
    fputs(cut ? "…</text>\n" : "</text>\n", c->out);
}

void mqa_canvas_marker(const mqa_canvas *c, int style, bool hollow, double x, double y)
{
    fprintf(c->out, "<path class=\"marker%s\" transform=\"translate(%.1f %.1f)\" d=\"%s\"/>",
            hollow ? " hollow" : "", x, y, mqa_theme_look(style).marker);
}

void mqa_canvas_x_text(const mqa_chart *chart, double x, char *out, size_t size)
{
    char number[32];
    if (chart->categories && x >= 0 && x < (double)chart->n_categories) {
        const char *name = chart->categories[(size_t)x];
        const size_t n = mqa_text_fit(name, strlen(name), 1, false, (double)size / 4);
        snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), name);
        return;
    }
    mqa_unit_text(chart->x.unit, x, number);
    snprintf(out, size, "%s", number);
}

static mqa_status check_axis(const mqa_axis *axis, char name, mqa_error *err)
{
    if (axis->lo == 0 && axis->hi == 0) return MQA_OK;
    if (!mqa_scale_shows(axis, axis->lo) || !mqa_scale_shows(axis, axis->hi) ||
        !(axis->hi - axis->lo > 1e-300))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chart: axis %c from %g to %g can't be drawn", name,
                        axis->lo, axis->hi);
    return MQA_OK;
}

static mqa_status check(const mqa_chart *chart, mqa_error *err)
{
    if (chart->n_series > MQA_CHART_MAX_SERIES || chart->n_categories > MQA_CHART_MAX_SERIES ||
        chart->n_marks > MQA_CHART_MAX_SERIES)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chart: more than %d series, categories or marks",
                        MQA_CHART_MAX_SERIES);
    size_t points = 0;
    for (size_t i = 0; i < chart->n_series; i++) {
        const mqa_series *s = &chart->series[i];
        if (s->n > MQA_CHART_MAX_POINTS - points)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chart: more than %d points",
                            MQA_CHART_MAX_POINTS);
        points += s->n;
        if (s->style < 0 || s->style > MQA_CHART_STYLES)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chart: style %d of series %zu; there are 1 to %d",
                            s->style, i, MQA_CHART_STYLES);
        if (s->kind == MQA_SERIES_BARS && (!chart->categories || chart->y.log))
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "chart: bars stand over categories, on a linear axis");
    }
    const int w = chart->width, h = chart->height;
    if ((w && (w < 200 || w > 4000)) || (h && (h < 200 || h > 4000)))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chart: %d by %d pixels; 200 to 4000 each way", w, h);
    MQA_TRY(check_axis(&chart->x, 'x', err));
    return check_axis(&chart->y, 'y', err);
}

typedef struct range {
    double lo, hi;
} range;

static void include(range *r, double v)
{
    r->lo = fmin(r->lo, v);
    r->hi = fmax(r->hi, v);
}

static void find_ranges(mqa_canvas *c, range *rx, range *ry)
{
    const mqa_chart *chart = c->chart;
    *rx = *ry = (range){INFINITY, -INFINITY};
    for (size_t s = 0; s < chart->n_series; s++)
        for (size_t i = 0; i < chart->series[s].n; i++) {
            double x, y;
            if (!mqa_canvas_point(chart, &chart->series[s], i, &x, &y)) continue;
            include(rx, x);
            include(ry, y);
            c->n_points++;
        }
    if (c->n_points == 0) return;
    for (size_t i = 0; i < chart->n_marks; i++) {
        const mqa_mark *mark = &chart->marks[i];
        if (mqa_scale_shows(mark->vertical ? &chart->x : &chart->y, mark->at))
            include(mark->vertical ? rx : ry, mark->at);
    }
}

/* Writes the lines of a text from top downward and returns where they end. */
static double paragraph(const mqa_canvas *c, double top, const char *text, double size, bool bold,
                        const char *classes, int most)
{
    mqa_text_line lines[4];
    const int n = mqa_text_wrap(text, size, bold, c->width - 2 * edge, most, lines);
    for (int i = 0; i < n; i++) {
        top += size * 1.3;
        mqa_canvas_text(c, edge, top - size * 0.3, "start", classes, lines[i].at, lines[i].n, lines[i].cut);
    }
    return n ? top + 4 : top;
}

static void legend_sample(const mqa_canvas *c, const mqa_series *s, int style, double x, double y)
{
    fprintf(c->out, "<g class=\"s%d\">", style);
    const char *dashes = s->kind == MQA_SERIES_LINE ? mqa_theme_look(style).dashes : "";
    if (s->kind == MQA_SERIES_BARS)
        fprintf(c->out, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\"/>", x + 2,
                y - 6);
    if (s->kind == MQA_SERIES_LINE || s->kind == MQA_SERIES_CURVE)
        fprintf(c->out, "<path class=\"line\" stroke-dasharray=\"%s\" d=\"M%.1f %.1fh32\"/>",
                dashes[0] ? dashes : "none", x, y);
    if (s->kind == MQA_SERIES_LINE || s->kind == MQA_SERIES_POINTS)
        mqa_canvas_marker(c, style, s->hollow, s->kind == MQA_SERIES_LINE ? x + 16 : x + 8, y);
    fputs("</g>", c->out);
}

static double legend(const mqa_canvas *c, double top)
{
    const mqa_chart *chart = c->chart;
    const double row = 20, gap = 18;
    size_t named = 0;
    for (size_t i = 0; i < chart->n_series; i++) named += chart->series[i].name != NULL;
    if (named < 2) return top;
    double x = edge, y = top + 12;
    for (size_t i = 0; i < chart->n_series; i++) {
        const mqa_series *s = &chart->series[i];
        if (!s->name) continue;
        const bool lines = s->kind == MQA_SERIES_LINE || s->kind == MQA_SERIES_CURVE;
        const double sample = lines ? 38 : 20;
        const size_t length = strlen(s->name),
                     n = mqa_text_fit(s->name, length, font, false, c->width - 2 * edge - sample - font);
        const double width = sample + mqa_text_width(s->name, n, font, false) + (n < length ? font : 0);
        if (x > edge && x + width > c->width - edge) x = edge, y += row;
        legend_sample(c, s, mqa_canvas_style(chart, i), x, y);
        mqa_canvas_text(c, x + sample, y + 4.5, "start", "", s->name, n, n < length);
        x += width + gap;
    }
    return y + 14;
}

static void y_axis(const mqa_canvas *c)
{
    const mqa_scale *s = &c->y;
    fputs("<path class=\"grid\" d=\"", c->out);
    for (int i = 0; i < s->n_ticks; i++)
        fprintf(c->out, "M%.1f %.1fH%.1f", c->plot.left, mqa_canvas_y(c, s->tick[i]), c->plot.right);
    fputs("\"/>\n", c->out);
    for (int i = 0; i < s->n_ticks; i++) {
        char text[32];
        mqa_unit_text(s->unit, s->tick[i], text);
        mqa_canvas_text(c, c->plot.left - 8, mqa_canvas_y(c, s->tick[i]) + 4.5, "end", "", text, strlen(text),
                        false);
    }
}

static void category_names(const mqa_canvas *c)
{
    const double slot = (c->plot.right - c->plot.left) / (double)c->chart->n_categories;
    for (size_t i = 0; i < c->chart->n_categories; i++) {
        mqa_text_line lines[2];
        const int n = mqa_text_wrap(c->chart->categories[i], small, false, slot - 6, 2, lines);
        for (int k = 0; k < n; k++)
            mqa_canvas_text(c, mqa_canvas_x(c, (double)i), c->plot.bottom + 18 + 15 * k, "middle", "small",
                            lines[k].at, lines[k].n, lines[k].cut);
    }
}

static void x_axis(const mqa_canvas *c)
{
    const mqa_scale *s = &c->x;
    if (c->chart->categories) {
        category_names(c);
    } else {
        fprintf(c->out, "<path class=\"%s\" d=\"", s->log && c->y.log ? "grid" : "axis");
        for (int i = 0; i < s->n_ticks; i++)
            fprintf(c->out, "M%.1f %.1fV%.1f", mqa_canvas_x(c, s->tick[i]), c->plot.bottom + 5,
                    s->log && c->y.log ? c->plot.top : c->plot.bottom);
        fputs("\"/>\n", c->out);
        for (int i = 0; i < s->n_ticks; i++) {
            char text[32];
            mqa_unit_text(s->unit, s->tick[i], text);
            mqa_canvas_text(c, mqa_canvas_x(c, s->tick[i]), c->plot.bottom + 20, "middle", "", text,
                            strlen(text), false);
        }
    }
    const double base =
        !s->log && !c->y.log && c->y.lo < 0 && c->y.hi > 0 ? mqa_canvas_y(c, 0) : c->plot.bottom;
    fprintf(c->out, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", c->plot.left, base, c->plot.right);
}

static double widest_tick(const mqa_scale *s)
{
    double widest = 0;
    for (int i = 0; i < s->n_ticks; i++) {
        char text[32];
        mqa_unit_text(s->unit, s->tick[i], text);
        widest = fmax(widest, mqa_text_width(text, strlen(text), font, false));
    }
    return widest;
}

/* top: where titles and legend end. */
static void lay_out(mqa_canvas *c, double top)
{
    const mqa_chart *chart = c->chart;
    range rx, ry;
    find_ranges(c, &rx, &ry);
    const double above = chart->y.label ? font * 1.4 + 6 : 0;
    const double below = (chart->categories ? 38 : 24) + (chart->x.label ? 20 : 0) + edge / 2;
    c->plot = (mqa_box){edge, top + 8 + above, c->width - edge - (chart->x.unit == MQA_UNIT_BYTES ? 20 : 14),
                        c->height - below};
    if (c->plot.bottom < c->plot.top + 40)
        c->plot.bottom = c->plot.top + 40; /* too long a legend grows out of the picture */
    const double spacing = chart->y.log ? 32 : 40;
    c->y = mqa_scale_make(&chart->y, ry.lo, ry.hi, (int)((c->plot.bottom - c->plot.top) / spacing) + 1, true);
    c->plot.left += widest_tick(&c->y) + 8;
    mqa_axis x = chart->x;
    if (chart->categories) x = (mqa_axis){.lo = -0.5, .hi = (double)chart->n_categories - 0.5};
    const double tick_room = x.unit == MQA_UNIT_BYTES ? 78 : x.unit == MQA_UNIT_SECONDS ? 60 : 46;
    c->x = mqa_scale_make(&x, rx.lo, rx.hi, (int)((c->plot.right - c->plot.left) / tick_room), false);
}

/* What a screen reader says beyond the title. */
static void describe(const mqa_canvas *c)
{
    const mqa_chart *chart = c->chart;
    fputs("<desc>", c->out);
    if (chart->description) mqa_markup(c->out, chart->description, strlen(chart->description));
    for (size_t s = 0; s < chart->n_series && s < 16; s++) {
        const mqa_series *series = &chart->series[s];
        size_t n = 0;
        double x, y, first_x = 0, first_y = 0, last_x = 0, last_y = 0;
        for (size_t i = 0; i < series->n; i++) {
            if (!mqa_canvas_point(chart, series, i, &x, &y)) continue;
            if (n++ == 0) first_x = x, first_y = y;
            last_x = x, last_y = y;
        }
        if (!series->name || n == 0) continue;
        char text[4][64];
        mqa_unit_text(chart->y.unit, first_y, text[0]);
        mqa_canvas_x_text(chart, first_x, text[1], sizeof text[1]);
        mqa_unit_text(chart->y.unit, last_y, text[2]);
        mqa_canvas_x_text(chart, last_x, text[3], sizeof text[3]);
        fputs(" ", c->out);
        mqa_markup(c->out, series->name, strlen(series->name));
        fprintf(c->out, ": %s at ", text[0]);
        mqa_markup(c->out, text[1], strlen(text[1]));
        if (n > 1) {
            fprintf(c->out, ", %s at ", text[2]);
            mqa_markup(c->out, text[3], strlen(text[3]));
        }
        putc('.', c->out);
    }
    fputs("</desc>\n", c->out);
}

static void open_svg(FILE *out, int width, int height, bool sized)
{
    fprintf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"mqa-chart\" role=\"img\" viewBox=\"0 0 %d %d\"",
        width, height);
    if (sized) fprintf(out, " width=\"%d\" height=\"%d\"", width, height);
    fputs(">\n", out);
}

static void style_sheet(FILE *out)
{
    fputs("<style>\n", out);
    mqa_chart_style(out);
    fputs("</style>\n", out);
}

static void head(const mqa_canvas *c)
{
    const char *title = c->chart->title ? c->chart->title : "chart";
    fputs("<title>", c->out);
    mqa_markup(c->out, title, strlen(title));
    fputs("</title>\n", c->out);
    describe(c);
}

static void axis_labels(const mqa_canvas *c)
{
    const double room = c->width - 2 * edge;
    const char *x = c->chart->x.label, *y = c->chart->y.label;
    if (y) {
        const size_t n = mqa_text_fit(y, strlen(y), font, false, room);
        mqa_canvas_text(c, edge, c->plot.top - 12, "start", "soft", y, n, false);
    }
    if (x) {
        const size_t n = mqa_text_fit(x, strlen(x), font, false, room);
        mqa_canvas_text(c, c->plot.right, c->height - edge + 3, "end", "soft", x, n, false);
    }
}

/* All but the <svg> around it, its <title> and <desc>. */
static void body(mqa_canvas *c)
{
    fprintf(c->out, "<rect class=\"bg\" width=\"%.0f\" height=\"%.0f\"/>\n", c->width, c->height);
    double top = edge - 4;
    if (c->chart->title) top = paragraph(c, top, c->chart->title, title_font, true, "title", 3);
    if (c->chart->subtitle) top = paragraph(c, top, c->chart->subtitle, font, false, "soft", 3);
    top = legend(c, top);
    lay_out(c, top);
    y_axis(c);
    x_axis(c);
    axis_labels(c);
    mqa_canvas_series(c);
}

static mqa_canvas canvas_of(const mqa_chart *chart, FILE *out)
{
    return (mqa_canvas){.out = out,
                        .chart = chart,
                        .width = chart->width ? chart->width : DEFAULT_WIDTH,
                        .height = chart->height ? chart->height : DEFAULT_HEIGHT};
}

mqa_status mqa_chart_svg(const mqa_chart *chart, mqa_chart_form form, FILE *out, mqa_error *err)
{
    MQA_TRY(check(chart, err));
    mqa_canvas c = canvas_of(chart, out);
    const bool file = form == MQA_CHART_FILE;
    if (file) fputs(xml, out);
    open_svg(out, (int)c.width, (int)c.height, file);
    head(&c);
    if (file) style_sheet(out);
    body(&c);
    fputs("</svg>\n", out);
    return MQA_OK;
}

mqa_status mqa_chart_sheet_svg(const mqa_chart *charts, size_t n, int columns, FILE *out, mqa_error *err)
{
    int width = 0, height = 0;
    if (n == 0 || n > MQA_CHART_MAX_SERIES || columns < 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chart: a sheet of %zu charts in %d columns", n,
                        columns);
    if ((size_t)columns > n) columns = (int)n;
    for (size_t i = 0; i < n; i++) {
        MQA_TRY(check(&charts[i], err));
        const mqa_canvas c = canvas_of(&charts[i], out);
        width = (int)fmax(width, c.width);
        height = (int)fmax(height, c.height);
    }
    const int rows = (int)((n + (size_t)columns - 1) / (size_t)columns);
    fputs(xml, out);
    open_svg(out, width * columns, height * rows, true);
    style_sheet(out);
    fprintf(out, "<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n", width * columns, height * rows);
    for (size_t i = 0; i < n; i++) {
        mqa_canvas c = canvas_of(&charts[i], out);
        const int column = (int)(i % (size_t)columns), row = (int)(i / (size_t)columns);
        fprintf(out, "<g transform=\"translate(%d %d)\">\n", column * width, row * height);
        head(&c);
        body(&c);
        fputs("</g>\n", out);
    }
    fputs("</svg>\n", out);
    return MQA_OK;
}
