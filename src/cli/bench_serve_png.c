/* mqa bench serve's picture: what share of first tokens, and of the times from token to token, came within
 * which time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "bench.h"
#include "bench_serve.h"
#include "plot/chart_png.h"

enum { POINTS = 400 };

/* The share of values that are at most x, as a curve. */
typedef struct curve {
    double x[POINTS], y[POINTS];
    char name[32];
} curve;

static mqa_series distribution(curve *c, const double *sorted, size_t n)
{
    const size_t points = n < POINTS ? n : POINTS;
    for (size_t i = 0; i < points; i++) {
        const size_t at = points > 1 ? i * (n - 1) / (points - 1) : 0;
        c->x[i] = sorted[at];
        c->y[i] = (double)(at + 1) / (double)n;
    }
    return (mqa_series){.name = c->name[0] ? c->name : NULL, .x = c->x, .y = c->y, .n = points};
}

/* Of a key's requests, of all where key < 0. */
static size_t first_tokens(const bench_serve_result *r, int key, double *out)
{
    size_t n = 0;
    for (int64_t i = 0; i < r->n_requests; i++)
        if (r->requests[i].n_tokens > 0 && (key < 0 || r->requests[i].key == key))
            out[n++] = r->requests[i].first;
    bench_sort(out, (int)n);
    return n;
}

static mqa_chart chart_of(const char *title, const char *subtitle, const mqa_series *series, size_t n)
{
    return (mqa_chart){.title = title,
                       .subtitle = subtitle,
                       .x = {.label = "within", .unit = MQA_UNIT_SECONDS, .log = true},
                       .y = {.label = "share", .unit = MQA_UNIT_SHARE, .hi = 1},
                       .series = series,
                       .n_series = n};
}

mqa_status bench_serve_png(const bench_serve_result *r, FILE *out, mqa_error *err)
{
    const bool by_key = r->n_keys > 1 && r->n_keys <= MQA_CHART_STYLES;
    const int n = by_key ? r->n_keys : 1;
    mqa_series first[MQA_CHART_STYLES], gaps;
    curve *curves = calloc(MQA_CHART_STYLES + 1, sizeof *curves);
    double *scratch = malloc((size_t)r->n_requests * sizeof *scratch);
    mqa_status status = MQA_OK;
    if (!curves || !scratch)
        status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a picture");
    else {
        for (int k = 0; k < n; k++) {
            if (by_key) snprintf(curves[k].name, sizeof curves[k].name, "key %d", k + 1);
            first[k] = distribution(&curves[k], scratch, first_tokens(r, by_key ? k : -1, scratch));
            first[k].kind = MQA_SERIES_CURVE;
        }
        gaps = distribution(&curves[n], r->gaps, r->n_gaps);
        gaps.kind = MQA_SERIES_CURVE;
        const mqa_chart charts[] = {chart_of("First token", r->summary, first, (size_t)n),
                                    chart_of("Token to token", r->summary, &gaps, 1)};
        status = mqa_chart_sheet_png(charts, 2, 2, out, err);
    }
    free(curves);
    free(scratch);
    return status;
}
