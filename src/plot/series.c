/* What is inside a chart's axes: lines, bars, markers, marks and labels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "plot/canvas.h"
#include "plot/markup.h"
#include "plot/theme.h"

enum { MOST_MARKERS = 64 }; /* of a line; with more it is drawn without */

static bool inside(const mqa_canvas *c, double x, double y)
{
    const double slack = 0.5;
    return x >= c->plot.left - slack && x <= c->plot.right + slack && y >= c->plot.top - slack &&
           y <= c->plot.bottom + slack;
}

/* One path of all points in order, broken where one can't be shown. */
static void line(mqa_canvas *c, const mqa_series *s, int style)
{
    const char *dashes = s->kind == MQA_SERIES_LINE ? mqa_theme_look(style).dashes : "";
    fprintf(c->out, "<path class=\"line s%d\"", style);
    if (dashes[0]) fprintf(c->out, " stroke-dasharray=\"%s\"", dashes);
    fputs(" d=\"", c->out);
    bool connected = false;
    double last_x = 0, last_y = 0;
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!mqa_canvas_point(c->chart, s, i, &x, &y)) {
            connected = false;
            continue;
        }
        x = mqa_canvas_x(c, x);
        y = mqa_canvas_y(c, y);
        fprintf(c->out, "%c%.2f %.2f", connected ? 'L' : 'M', x, y);
        if (connected) mqa_places_line(&c->places, last_x, last_y, x, y);
        connected = true;
        last_x = x, last_y = y;
    }
    fputs("\"/>\n", c->out);
}

/* What the mouse shows. */
static void tooltip(const mqa_canvas *c, const mqa_series *s, size_t i, double x, double y)
{
    char x_text[64], y_text[32];
    mqa_canvas_x_text(c->chart, x, x_text, sizeof x_text);
    mqa_unit_text(c->chart->y.unit, y, y_text);
    const char *name = s->labels && s->labels[i] ? s->labels[i] : s->name;
    fputs("<title>", c->out);
    if (name) {
        mqa_markup(c->out, name, strlen(name));
        fputs(": ", c->out);
    }
    mqa_markup(c->out, x_text, strlen(x_text));
    fprintf(c->out, ", %s</title>", y_text);
}

static void markers(mqa_canvas *c, const mqa_series *s, int style)
{
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!mqa_canvas_point(c->chart, s, i, &x, &y)) continue;
        const double px = mqa_canvas_x(c, x), py = mqa_canvas_y(c, y);
        if (!inside(c, px, py)) continue;
        fprintf(c->out, "<g class=\"s%d\">", style);
        tooltip(c, s, i, x, y);
        mqa_canvas_marker(c, style, s->hollow, px, py);
        fputs("</g>\n", c->out);
        mqa_places_take(&c->places, (mqa_box){px - 6, py - 6, px + 6, py + 6});
    }
}

/* Text written where it was placed, with the background's colour around it. */
static void put_label(mqa_canvas *c, mqa_box at, const char *text, size_t n, bool cut)
{
    mqa_canvas_text(c, at.left, at.bottom - 4, "start", "small halo", text, n, cut);
}

static const double label_font = 12, label_height = 16;

static void label_point(mqa_canvas *c, const char *text, double x, double y)
{
    const size_t length = strlen(text), n = mqa_text_fit(text, length, label_font, false, 200);
    const double w = mqa_text_width(text, n, label_font, false) + (n < length ? label_font : 0),
                 h = label_height, d = 8;
    const mqa_box boxes[] = {
        {x + d, y - h / 2, x + d + w, y + h / 2},         {x - w / 2, y - d - h, x + w / 2, y - d},
        {x - d - w, y - h / 2, x - d, y + h / 2},         {x - w / 2, y + d, x + w / 2, y + d + h},
        {x + d / 2, y - d - h, x + d / 2 + w, y - d},     {x - d / 2 - w, y - d - h, x - d / 2, y - d},
        {x + d / 2, y + d, x + d / 2 + w, y + d + h},     {x - d / 2 - w, y + d, x - d / 2, y + d + h},
        {x + d, y - d - 2 * h, x + d + w, y - d - h},     {x - d - w, y - d - 2 * h, x - d, y - d - h},
        {x + d, y + d + h, x + d + w, y + d + 2 * h},     {x - d - w, y + d + h, x - d, y + d + 2 * h},
        {x - w / 2, y - d - 2 * h, x + w / 2, y - d - h}, {x - w / 2, y + d + h, x + w / 2, y + d + 2 * h},
    };
    put_label(c, mqa_places_choose(&c->places, boxes, sizeof boxes / sizeof boxes[0]), text, n, n < length);
}

static void labels(mqa_canvas *c, const mqa_series *s)
{
    for (size_t i = 0; s->labels && s->kind != MQA_SERIES_BARS && i < s->n; i++) {
        double x, y;
        if (!s->labels[i] || !mqa_canvas_point(c->chart, s, i, &x, &y)) continue;
        x = mqa_canvas_x(c, x);
        y = mqa_canvas_y(c, y);
        if (inside(c, x, y)) label_point(c, s->labels[i], x, y);
    }
}

/* Bars stand from 0 (or the axis' nearer end). k: which of n_bars series of bars. */
static void bars(mqa_canvas *c, const mqa_series *s, int style, size_t k, size_t n_bars)
{
    const double slot = (c->plot.right - c->plot.left) / (double)c->chart->n_categories;
    const double width = fmin(slot * 0.76 / (double)n_bars, 90);
    const double zero = mqa_canvas_y(c, fmin(fmax(0, c->y.lo), c->y.hi));
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!mqa_canvas_point(c->chart, s, i, &x, &y)) continue;
        const double middle = mqa_canvas_x(c, x) + width * ((double)k - (double)(n_bars - 1) / 2);
        const double end = fmin(fmax(mqa_canvas_y(c, y), c->plot.top), c->plot.bottom), top = fmin(end, zero);
        if (middle < c->plot.left || middle > c->plot.right) continue;
        fprintf(c->out, "<g class=\"s%d\">", style);
        tooltip(c, s, i, x, y);
        fprintf(c->out, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/></g>\n",
                middle - width / 2 + 1, top, fmax(width - 2, 1), fmax(fabs(end - zero), 0.5));
        char text[32];
        mqa_unit_text(c->chart->y.unit, y, text);
        const char *label = s->labels && s->labels[i] ? s->labels[i] : text;
        const double room = fmax(width, n_bars == 1 ? slot : width) + 6;
        if (mqa_text_width(label, strlen(label), label_font, false) <= room)
            mqa_canvas_text(c, middle, end <= zero ? top - 4 : end + 13, "middle", "small halo", label,
                            strlen(label), false);
    }
}

/* Where a mark runs, in pixels; false where it doesn't cross the plot. */
static bool mark_at(const mqa_canvas *c, const mqa_mark *m, double *at)
{
    if (!mqa_scale_shows(m->vertical ? &c->chart->x : &c->chart->y, m->at)) return false;
    *at = m->vertical ? mqa_canvas_x(c, m->at) : mqa_canvas_y(c, m->at);
    return inside(c, m->vertical ? *at : c->plot.left, m->vertical ? c->plot.top : *at);
}

static void mark(mqa_canvas *c, const mqa_mark *m)
{
    const mqa_box p = c->plot;
    double at;
    if (!mark_at(c, m, &at)) return;
    const double x0 = m->vertical ? at : p.left, y0 = m->vertical ? p.top : at;
    const double x1 = m->vertical ? at : p.right, y1 = m->vertical ? p.bottom : at;
    fprintf(c->out, "<path class=\"mark\" stroke-dasharray=\"6 4\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", x0, y0,
            x1, y1);
    mqa_places_take(&c->places, (mqa_box){x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5});
}

static void label_mark(mqa_canvas *c, const mqa_mark *m)
{
    const mqa_box p = c->plot;
    double at;
    if (!m->text || !mark_at(c, m, &at)) return;
    const size_t length = strlen(m->text);
    const size_t n = mqa_text_fit(m->text, length, label_font, false, p.right - p.left - 2 * label_font);
    const double w = mqa_text_width(m->text, n, label_font, false) + (n < length ? label_font : 0);
    const double h = label_height, gap = 3;
    enum { PLACES = 5 };
    mqa_box boxes[2 * PLACES];
    for (int i = 0; i < PLACES; i++) { /* from the start to the end of the line, on its two sides */
        const double part = (double)i / (PLACES - 1);
        const double x = m->vertical ? at + gap : p.left + gap + part * (p.right - p.left - 2 * gap - w);
        const double y = m->vertical ? p.top + gap + part * (p.bottom - p.top - 2 * gap - h) : at - h - 1;
        const double dx = m->vertical ? -w - 2 * gap : 0, dy = m->vertical ? 0 : h + gap;
        boxes[2 * i] = (mqa_box){x, y, x + w, y + h};
        boxes[2 * i + 1] = (mqa_box){x + dx, y + dy, x + dx + w, y + dy + h};
    }
    put_label(c, mqa_places_choose(&c->places, boxes, 2 * PLACES), m->text, n, n < length);
}

void mqa_canvas_series(mqa_canvas *c)
{
    const mqa_chart *chart = c->chart;
    const mqa_box p = c->plot;
    c->places.inside = (mqa_box){p.left, p.top - 10, c->width - 2, p.bottom};
    if (c->n_points == 0) {
        static const char nothing[] = "nothing here can be drawn";
        mqa_canvas_text(c, (p.left + p.right) / 2, (p.top + p.bottom) / 2, "middle", "soft", nothing,
                        sizeof nothing - 1, false);
        return;
    }
    size_t n_bars = 0, k = 0;
    for (size_t i = 0; i < chart->n_series; i++) n_bars += chart->series[i].kind == MQA_SERIES_BARS;
    for (size_t i = 0; i < chart->n_series; i++)
        if (chart->series[i].kind == MQA_SERIES_BARS)
            bars(c, &chart->series[i], mqa_canvas_style(chart, i), k++, n_bars);

    /* A nested <svg> clips without the ids that a clip path needs, which would have to differ within a page.
     */
    fprintf(c->out,
            "<svg x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" viewBox=\"%.1f %.1f %.1f %.1f\" "
            "overflow=\"hidden\">\n",
            p.left, p.top - 2, p.right - p.left + 2, p.bottom - p.top + 4, p.left, p.top - 2,
            p.right - p.left + 2, p.bottom - p.top + 4);
    for (size_t i = 0; i < chart->n_series; i++)
        if (chart->series[i].kind == MQA_SERIES_LINE || chart->series[i].kind == MQA_SERIES_CURVE)
            line(c, &chart->series[i], mqa_canvas_style(chart, i));
    fputs("</svg>\n", c->out);
    for (size_t i = 0; i < chart->n_series; i++) {
        const mqa_series *s = &chart->series[i];
        if (s->kind == MQA_SERIES_POINTS || (s->kind == MQA_SERIES_LINE && s->n <= MOST_MARKERS))
            markers(c, s, mqa_canvas_style(chart, i));
    }
    for (size_t i = 0; i < chart->n_marks; i++) mark(c, &chart->marks[i]);
    for (size_t i = 0; i < chart->n_marks; i++) label_mark(c, &chart->marks[i]);
    for (size_t i = 0; i < chart->n_series; i++) labels(c, &chart->series[i]);
}
