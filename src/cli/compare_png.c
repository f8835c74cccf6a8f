/* mqa compare's picture: times against contexts, measured as markers on planned lines.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "compare.h"
#include "plot/chart_png.h"

enum { MAX_SERIES = 2 * MQA_VARIANTS, MAX_CHARTS = MQA_COMPARE_LENGTHS + 1 };

/* One number of requests, or prompts, and what its chart points to. */
typedef struct figure {
    char title[64];
    double x[MQA_COMPARE_LENGTHS];
    double y[MAX_SERIES][MQA_COMPARE_LENGTHS];
    mqa_series series[MAX_SERIES];
    mqa_chart chart;
} figure;

static bool of_figure(const mqa_compare_cell *c, bool prompt, int batch)
{
    return c->prompt == prompt && c->batch == batch;
}

static void draw(const mqa_compare_result *r, bool prompt, int batch, figure *f)
{
    size_t n = 0;
    for (int i = 0; i < r->n_cells; i++) {
        const mqa_compare_cell *c = &r->cells[i];
        if (!of_figure(c, prompt, batch)) continue;
        f->x[n] = (double)c->context;
        f->y[2 * c->design][n] = c->plan_seconds;
        f->y[2 * c->design + 1][n] = c->left_out ? NAN : c->seconds;
        if (c->design == r->n_designs - 1) n++;
    }
    for (int i = 0; i < 2 * r->n_designs; i++)
        f->series[i] = (mqa_series){.name = i % 2 ? r->designs[i / 2].label : NULL,
                                    .x = f->x,
                                    .y = f->y[i],
                                    .n = n,
                                    .kind = i % 2 ? MQA_SERIES_POINTS : MQA_SERIES_CURVE,
                                    .style = i / 2 + 1};
    if (prompt)
        snprintf(f->title, sizeof f->title, "A prompt");
    else
        snprintf(f->title, sizeof f->title, "A token for %d request%s", batch, batch == 1 ? "" : "s");
    f->chart = (mqa_chart){.title = f->title,
                           .subtitle = "markers: measured; lines: planned",
                           .x = {.label = "context, tokens", .unit = MQA_UNIT_TOKENS, .log = true},
                           .y = {.label = "time", .unit = MQA_UNIT_SECONDS, .log = true},
                           .series = f->series,
                           .n_series = (size_t)(2 * r->n_designs)};
}

/* All the charts there are to draw; their number. */
static int draw_all(const compare_job *job, figure *figures)
{
    int n = 0;
    for (int b = 0; b < job->requests.n; b++)
        draw(job->result, false, (int)job->requests.at[b], &figures[n++]);
    if (!job->no_prompts) draw(job->result, true, 1, &figures[n++]);
    return n;
}

mqa_status compare_write_png(const compare_job *job, FILE *out, mqa_error *err)
{
    mqa_chart charts[MAX_CHARTS];
    figure *figures = calloc(MAX_CHARTS, sizeof *figures);
    if (!figures) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for charts");
    const int n = draw_all(job, figures);
    for (int i = 0; i < n; i++) charts[i] = figures[i].chart;
    const mqa_status status = mqa_chart_sheet_png(charts, (size_t)n, n > 1 ? 2 : 1, out, err);
    free(figures);
    return status;
}
