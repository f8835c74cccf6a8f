/* Charts of a report: curves are the planner's own figures at more contexts and more memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan_charts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { MOST_X = 48, ROOF = 3, MOST_MARKS = 6, TEXT = 160 };

typedef struct curve {
    double x[MOST_X], y[MOST_X];
    size_t n;
} curve;

struct plan_charts {
    int n;
    mqa_chart chart[PLAN_CHARTS];
    curve curves[PLAN_CHART_ROOFLINE][MQA_REPORT_DESIGNS];
    double roof[2][ROOF];
    struct {
        double attention[2], whole[2]; /* intensity, operations a second */
    } steps[MQA_REPORT_DESIGNS];
    double tenant_kv[MQA_DEMAND_TENANTS], tenant_budget[MQA_DEMAND_TENANTS];
    const char *tenants[MQA_DEMAND_TENANTS];
    mqa_series series[PLAN_CHARTS][2 * MQA_REPORT_DESIGNS + 1];
    mqa_mark marks[PLAN_CHARTS][MOST_MARKS];
    char texts[PLAN_CHARTS][MOST_MARKS][TEXT], subtitles[PLAN_CHARTS][512], roof_name[TEXT];
};

static const struct {
    const char *name, *caption;
} facts[PLAN_CHARTS] = {
    [PLAN_CHART_CACHE] = {"cache", "What the KV cache of all requests takes at each context. The dashed line "
                                   "is what the first design's "
                                   "weights and work leave of the memory: above it nothing fits."},
    [PLAN_CHART_SPEED] =
        {"speed",
         "Tokens a second of all requests together, while they decode at that context. A line ends where the "
         "memory does."},
    [PLAN_CHART_REQUESTS] =
        {"requests",
         "How many requests fit at once, by the memory that there is for everything. A line begins where "
         "the weights and the first request fit."},
    [PLAN_CHART_ROOFLINE] =
        {"roofline",
         "One decoding step: operations a second against operations for each byte read. Under the slope "
         "memory "
         "holds a design back, under the flat part arithmetic does. Sharing K and V moves attention to the "
         "right; "
         "the weights of a step, read once for all requests, are in the points of the whole step."},
    [PLAN_CHART_TENANTS] = {
        "tenants", "What each tenant's requests take in the first design, beside what it may take."}};

const char *plan_chart_name(plan_chart chart)
{
    return facts[chart].name;
}

const char *plan_chart_caption(plan_chart chart)
{
    return facts[chart].caption;
}

static void add_mark(plan_charts *p, plan_chart which, bool vertical, double at, const char *text)
{
    mqa_chart *chart = &p->chart[which];
    if (chart->n_marks == MOST_MARKS) return;
    char *copy = p->texts[which][chart->n_marks];
    snprintf(copy, TEXT, "%s", text);
    p->marks[which][chart->n_marks++] = (mqa_mark){.text = copy, .at = at, .vertical = vertical};
}

static void mark_contexts(plan_charts *p, plan_chart which, const mqa_demand *demand)
{
    for (int i = 0; i < demand->n_contexts && i < MOST_MARKS - 2; i++) {
        char text[TEXT];
        mqa_unit_text(MQA_UNIT_TOKENS, (double)demand->contexts[i], text);
        strcat(text, " tokens");
        add_mark(p, which, true, (double)demand->contexts[i], text);
    }
}

/* Ascending, each once. */
static size_t insert(double *x, size_t n, double v)
{
    size_t at = 0;
    while (at < n && x[at] < v) at++;
    if (n == MOST_X || (at < n && x[at] == v)) return n;
    memmove(x + at + 1, x + at, (n - at) * sizeof *x);
    x[at] = v;
    return n + 1;
}

/* Powers of two around what was asked, and what was asked itself. */
static size_t choose_contexts(const mqa_report *report, double *x)
{
    const mqa_demand *demand = &report->demand;
    double lo = 1024, hi = 32768;
    for (int i = 0; i < demand->n_contexts; i++) {
        lo = fmin(lo, exp2(floor(log2((double)demand->contexts[i]))));
        hi = fmax(hi, exp2(ceil(log2((double)demand->contexts[i] * 2))));
    }
    size_t n = 0;
    for (double at = fmax(lo, 64);
         at <= hi && at <= (double)MQA_MAX_CONTEXT && n < MOST_X - MQA_DEMAND_CONTEXTS; at *= 2)
        x[n++] = at;
    for (int i = 0; i < demand->n_contexts; i++) n = insert(x, n, (double)demand->contexts[i]);
    return n;
}

/* A line for each design, in the style that it has in all charts. */
static void add_curves(plan_charts *p, plan_chart which, const mqa_report *report)
{
    for (int d = 0; d < report->n_designs; d++)
        p->series[which][d] = (mqa_series){.name = report->designs[d].label,
                                           .x = p->curves[which][d].x,
                                           .y = p->curves[which][d].y,
                                           .n = p->curves[which][d].n,
                                           .style = d % MQA_CHART_STYLES + 1};
    p->chart[which].n_series = (size_t)report->n_designs;
}

/* A figure that can't be had (too large for 64 bits) leaves a gap. */
static void draw_contexts(plan_charts *p, const mqa_report *report)
{
    double x[MOST_X];
    const size_t n = choose_contexts(report, x);
    for (int d = 0; d < report->n_designs; d++) {
        curve *cache = &p->curves[PLAN_CHART_CACHE][d], *speed = &p->curves[PLAN_CHART_SPEED][d];
        cache->n = speed->n = n;
        for (size_t i = 0; i < n; i++) {
            mqa_figures f;
            const bool known = mqa_forecast(&report->designs[d], &report->machine, &report->demand,
                                            (int64_t)x[i], &f, NULL) == MQA_OK;
            cache->x[i] = speed->x[i] = x[i];
            cache->y[i] = known ? (double)f.kv_bytes : NAN;
            speed->y[i] = known && f.fits ? f.tokens_per_s : NAN;
        }
    }
    add_curves(p, PLAN_CHART_CACHE, report);
    add_curves(p, PLAN_CHART_SPEED, report);
}

static void draw_requests(plan_charts *p, const mqa_report *report)
{
    const mqa_figures *first = &report->rows[0][0];
    double hi = (double)(first->memory ? first->memory : first->peak_bytes), lo = hi;
    for (int d = 0; d < report->n_designs; d++) lo = fmin(lo, (double)report->rows[d][0].weights_bytes);
    hi = exp2(ceil(log2(hi)) + 3);
    lo = fmax(exp2(floor(log2(fmax(lo, 1)))), hi / 4096);
    mqa_demand demand = report->demand;
    for (int d = 0; d < report->n_designs; d++) {
        curve *c = &p->curves[PLAN_CHART_REQUESTS][d];
        c->n = 0;
        for (double m = lo; m <= hi * 1.01 && c->n < MOST_X;
             m *= M_SQRT2) { /* the steps of few requests show */
            mqa_figures f;
            demand.memory = (size_t)m;
            const bool known = mqa_forecast(&report->designs[d], &report->machine, &demand,
                                            report->demand.contexts[0], &f, NULL) == MQA_OK;
            c->x[c->n] = m;
            c->y[c->n++] = known ? (double)f.max_requests : NAN;
        }
    }
    add_curves(p, PLAN_CHART_REQUESTS, report);
}

static void draw_roof(plan_charts *p, const mqa_report *report, double lo, double hi)
{
    static const char *const rates[MQA_RATES] = {"f32", "bf16", "int8"};
    const mqa_rate rate = mqa_rate_of_kv(report->demand.k_type);
    const mqa_times *first = &report->rows[0][0].token;
    const double peak = report->machine.peak[rate];
    const double bandwidth = mqa_machine_bandwidth(&report->machine, first->weight_bytes + first->kv_bytes);
    const double x[ROOF] = {fmin(lo, peak / bandwidth / 2), peak / bandwidth, fmax(hi, 2 * peak / bandwidth)};
    for (int i = 0; i < ROOF; i++) {
        p->roof[0][i] = x[i];
        p->roof[1][i] = fmin(peak, x[i] * bandwidth);
    }
    char slope[32], flat[32];
    mqa_unit_text(MQA_UNIT_NUMBER, bandwidth, slope);
    mqa_unit_text(MQA_UNIT_NUMBER, peak, flat);
    snprintf(p->roof_name, TEXT, "limit: %s bytes/s, %s op/s in %s", slope, flat, rates[rate]);
    p->series[PLAN_CHART_ROOFLINE][0] = (mqa_series){.name = p->roof_name,
                                                     .x = p->roof[0],
                                                     .y = p->roof[1],
                                                     .n = ROOF,
                                                     .kind = MQA_SERIES_CURVE,
                                                     .style = 6};
}

/* Two markers a design, in the style that it has in the other charts. */
static void draw_roofline(plan_charts *p, const mqa_report *report)
{
    double lo = INFINITY, hi = 0;
    for (int d = 0; d < report->n_designs; d++) {
        const mqa_times *t = &report->rows[d][0].token;
        const double attention[] = {t->attention_intensity, t->attention_operations / t->attention};
        const double whole[] = {t->intensity, t->operations / t->seconds};
        memcpy(p->steps[d].attention, attention, sizeof attention);
        memcpy(p->steps[d].whole, whole, sizeof whole);
        lo = fmin(lo, fmin(attention[0], whole[0]) / 2);
        hi = fmax(hi, fmax(attention[0], whole[0]) * 2);
        mqa_series point = {.n = 1, .kind = MQA_SERIES_POINTS, .style = d % MQA_CHART_STYLES + 1};
        point.name = report->designs[d].label;
        point.x = &p->steps[d].attention[0];
        point.y = &p->steps[d].attention[1];
        p->series[PLAN_CHART_ROOFLINE][1 + d] = point;
        point.name = NULL;
        point.hollow = true;
        point.x = &p->steps[d].whole[0];
        point.y = &p->steps[d].whole[1];
        p->series[PLAN_CHART_ROOFLINE][1 + report->n_designs + d] = point;
    }
    p->chart[PLAN_CHART_ROOFLINE].n_series = 1 + 2 * (size_t)report->n_designs;
    draw_roof(p, report, lo, hi);
}

static void draw_tenants(plan_charts *p, const mqa_report *report)
{
    const size_t n = (size_t)report->demand.n_tenants;
    for (size_t i = 0; i < n; i++) {
        const mqa_tenant *t = &report->demand.tenants[i];
        p->tenants[i] = t->name;
        p->tenant_kv[i] = (double)report->tenants[i].kv_bytes;
        p->tenant_budget[i] = t->budget_bytes ? (double)t->budget_bytes : NAN;
    }
    mqa_chart *chart = &p->chart[PLAN_CHART_TENANTS];
    chart->categories = p->tenants;
    chart->n_categories = n;
    mqa_series *series = p->series[PLAN_CHART_TENANTS];
    series[0] = (mqa_series){
        .name = "KV of its requests", .y = p->tenant_kv, .n = n, .kind = MQA_SERIES_BARS, .style = 1};
    series[1] = (mqa_series){
        .name = "its budget", .y = p->tenant_budget, .n = n, .kind = MQA_SERIES_BARS, .style = 2};
    chart->n_series = 2;
}

static void describe(plan_charts *p, const mqa_report *report)
{
    const mqa_demand *demand = &report->demand;
    const long long requests = (long long)demand->requests;
    const char *kv = mqa_kv_type_name(demand->k_type);
    char common[TEXT];
    snprintf(common, sizeof common, "%lld request%s, KV in %s", requests, requests == 1 ? "" : "s", kv);
    char context[40];
    mqa_unit_text(MQA_UNIT_TOKENS, (double)demand->contexts[0], context);
    const size_t size = sizeof p->subtitles[0];
    snprintf(p->subtitles[PLAN_CHART_CACHE], size, "%s: %s", report->designs[0].name, common);
    snprintf(p->subtitles[PLAN_CHART_SPEED], size, "%s: %s, on %s", report->designs[0].name, common,
             report->machine.name);
    snprintf(p->subtitles[PLAN_CHART_REQUESTS], size, "%s: requests of %s tokens, KV in %s",
             report->designs[0].name, context, kv);
    snprintf(p->subtitles[PLAN_CHART_ROOFLINE], size,
             "%s: %s, %s tokens, on %s. Filled: attention alone; hollow: the whole step",
             report->designs[0].name, common, context, report->machine.name);
    snprintf(p->subtitles[PLAN_CHART_TENANTS], size, "%s: KV in %s", report->designs[0].name, kv);
}

static void mark_limits(plan_charts *p, const mqa_report *report)
{
    const mqa_figures *f = &report->rows[0][0];
    char text[TEXT];
    if (f->memory > 0) {
        if (f->memory > f->weights_bytes + f->work_bytes) {
            const double left = (double)(f->memory - f->weights_bytes - f->work_bytes);
            snprintf(text, sizeof text, "%s left for KV", cli_bytes(left));
            add_mark(p, PLAN_CHART_CACHE, false, left, text);
        }
        snprintf(text, sizeof text, "%s of memory", cli_bytes((double)f->memory));
        add_mark(p, PLAN_CHART_REQUESTS, true, (double)f->memory, text);
    }
    const mqa_demand *demand = &report->demand;
    if (demand->requests > 1) {
        snprintf(text, sizeof text, "%lld asked for", (long long)demand->requests);
        add_mark(p, PLAN_CHART_REQUESTS, false, (double)demand->requests, text);
    }
    if (demand->want_tokens_per_s > 0) {
        snprintf(text, sizeof text, "wanted: %.4g tokens/s a request", demand->want_tokens_per_s);
        add_mark(p, PLAN_CHART_SPEED, false, demand->want_tokens_per_s * (double)demand->requests, text);
    }
    mark_contexts(p, PLAN_CHART_CACHE, demand);
    mark_contexts(p, PLAN_CHART_SPEED, demand);
}

/* Everything but series and marks. */
static void frame(plan_charts *p)
{
    const mqa_axis context = {.label = "context, tokens", .unit = MQA_UNIT_TOKENS, .log = true};
    const mqa_axis cache = {.label = "KV cache", .unit = MQA_UNIT_BYTES, .log = true};
    const mqa_axis memory = {.label = "memory for everything", .unit = MQA_UNIT_BYTES, .log = true};
    const mqa_chart charts[PLAN_CHARTS] = {
        [PLAN_CHART_CACHE] = {.title = "KV cache against context", .x = context, .y = cache},
        [PLAN_CHART_SPEED] = {.title = "Tokens a second against context",
                              .x = context,
                              .y = {.label = "tokens/s, all requests", .log = true}},
        [PLAN_CHART_REQUESTS] = {.title = "Requests that fit against memory",
                                 .x = memory,
                                 .y = {.label = "requests at once", .log = true}},
        [PLAN_CHART_ROOFLINE] = {.title = "Roofline of a decoding step",
                                 .x = {.label = "operations for each byte read", .log = true},
                                 .y = {.label = "operations a second", .log = true}},
        [PLAN_CHART_TENANTS] = {.title = "Tenants and their budgets",
                                .y = {.label = "KV cache", .unit = MQA_UNIT_BYTES}}};
    for (int c = 0; c < PLAN_CHARTS; c++) {
        p->chart[c] = charts[c];
        p->chart[c].subtitle = p->subtitles[c];
        p->chart[c].description = facts[c].caption;
        p->chart[c].series = p->series[c];
        p->chart[c].marks = p->marks[c];
    }
}

mqa_status plan_charts_make(const mqa_report *report, plan_charts **out, mqa_error *err)
{
    plan_charts *p = *out = calloc(1, sizeof *p);
    if (!p) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "out of memory for charts");
    p->n = report->demand.n_tenants > 0 ? PLAN_CHARTS : PLAN_CHART_TENANTS;
    frame(p);
    describe(p, report);
    draw_contexts(p, report);
    draw_requests(p, report);
    draw_roofline(p, report);
    draw_tenants(p, report);
    mark_limits(p, report);
    return MQA_OK;
}

void plan_charts_free(plan_charts *charts)
{
    free(charts);
}

int plan_charts_count(const plan_charts *charts)
{
    return charts->n;
}

const mqa_chart *plan_charts_get(const plan_charts *charts, plan_chart chart)
{
    return &charts->chart[chart];
}
