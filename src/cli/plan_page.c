/* A plan as one HTML page, or as pictures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/new_file.h"
#include "cli.h"
#include "plan_charts.h"
#include "plot/chart_png.h"
#include "plot/page.h"

/* ---- tables, cell by cell ---- */

enum { MOST_COLUMNS = 12, MOST_ROWS = MQA_REPORT_DESIGNS * MQA_DEMAND_CONTEXTS, CELL = 208 };

typedef struct table {
    const char *columns[MOST_COLUMNS];
    bool words[MOST_COLUMNS], marked[MOST_ROWS];
    char text[MOST_ROWS * MOST_COLUMNS][CELL];
    const char *cells[MOST_ROWS * MOST_COLUMNS];
    size_t n_columns, n_cells;
} table;

static void column(table *t, const char *name, bool words)
{
    t->words[t->n_columns] = words;
    t->columns[t->n_columns++] = name;
}

__attribute__((format(printf, 2, 3))) static void cell(table *t, const char *fmt, ...)
{
    if (t->n_cells == t->n_columns * MOST_ROWS) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->text[t->n_cells], CELL, fmt, args);
    va_end(args);
    t->cells[t->n_cells] = t->text[t->n_cells];
    t->n_cells++;
}

static void mark_row(table *t)
{
    t->marked[t->n_cells / t->n_columns] = true;
}

/* Writes it and begins anew. */
static void finish(table *t, mqa_page *page, const char *caption)
{
    const mqa_page_table all = {.caption = caption,
                                .columns = t->columns[0] ? t->columns : NULL,
                                .cells = t->cells,
                                .n_columns = t->n_columns,
                                .n_rows = t->n_cells / t->n_columns,
                                .text_columns = t->words,
                                .marked = t->marked};
    mqa_page_table_write(page, &all);
    memset(t->marked, 0, sizeof t->marked);
    t->columns[0] = NULL;
    t->n_columns = t->n_cells = 0;
}

/* ---- figures as text ---- */

static const char *bytes(size_t n)
{
    return cli_bytes((double)n);
}

/* A number of requests or tokens that may be "as many as you like", in one of four buffers. */
static const char *limited(int64_t n, int64_t most)
{
    static char buffers[4][32];
    static int next;
    char *out = buffers[next++ % 4];
    if (n >= most)
        snprintf(out, sizeof buffers[0], "any");
    else
        snprintf(out, sizeof buffers[0], "%lld", (long long)n);
    return out;
}

static const char *milliseconds(double ms)
{
    static char buffers[4][32];
    static int next;
    char *out = buffers[next++ % 4];
    mqa_unit_text(MQA_UNIT_SECONDS, ms / 1000, out);
    return out;
}

static const char *per_second(double rate)
{
    static char text[32];
    snprintf(text, sizeof text, rate < 100 ? "%.1f" : "%.0f", rate);
    return text;
}

/* ---- the page's parts ---- */

static void verdict(mqa_page *page, const mqa_report *r)
{
    mqa_page_heading(page, 2, "Verdict");
    if (r->n_verdict > 0) mqa_page_callout(page, r->verdict[0]);
    const char *rest[MQA_VERDICT_LINES];
    for (int i = 1; i < r->n_verdict; i++) rest[i - 1] = r->verdict[i];
    if (r->n_verdict > 1) mqa_page_list(page, rest, (size_t)r->n_verdict - 1);
}

static void asked(mqa_page *page, table *t, const mqa_report *r)
{
    const mqa_demand *d = &r->demand;
    const mqa_machine *m = &r->machine;
    mqa_page_heading(page, 2, "What was asked");
    t->n_columns = 2; /* without headings */
    t->words[1] = true;
    cell(t, "model"), cell(t, "%s", r->designs[0].name);
    cell(t, "machine"), cell(t, "%s", m->name);
    cell(t, "its figures"), cell(t, "%.4g GB/s from memory; %s", m->bandwidth / 1e9, m->source);
    cell(t, "efficiencies"), cell(t, m->measured ? "measured with this program's kernels"
                                                 : "assumed, not measured on this machine");
    cell(t, "memory for everything"),
        cell(t, "%s", r->rows[0][0].memory ? bytes(r->rows[0][0].memory) : "not known");
    cell(t, "requests at once"), cell(t, "%lld", (long long)d->requests);
    if (d->shared) cell(t, "tokens that all begin with"), cell(t, "%lld", (long long)d->shared);
    cell(t, "cache"), cell(t, "K in %s, V in %s, pages of %d tokens", mqa_kv_type_name(d->k_type),
                           mqa_kv_type_name(d->v_type), d->page_tokens);
    cell(t, "weights"), cell(t, "%s", mqa_weights_name(d->weights));
    if (d->want_tokens_per_s > 0) cell(t, "wanted"), cell(t, "%.4g tokens/s a request", d->want_tokens_per_s);
    if (d->want_prompt_ms > 0)
        cell(t, "wanted"), cell(t, "first token within %s", milliseconds(d->want_prompt_ms));
    finish(t, page, NULL);
}

/* The columns that name a row of figures. */
static void row_columns(table *t, const mqa_report *r)
{
    column(t, "design", false);
    if (r->demand.n_contexts > 1) column(t, "context", false);
}

static void row_cells(table *t, const mqa_report *r, int design, int c)
{
    char context[32];
    if (design == 0) mark_row(t);
    cell(t, "%s", r->designs[design].label);
    mqa_unit_text(MQA_UNIT_TOKENS, (double)r->rows[design][c].context, context);
    if (r->demand.n_contexts > 1) cell(t, "%s", context);
}

static const char *contexts_of(const mqa_report *r)
{
    static char text[64];
    char context[32];
    mqa_unit_text(MQA_UNIT_TOKENS, (double)r->demand.contexts[0], context);
    if (r->demand.n_contexts > 1) return "";
    snprintf(text, sizeof text, ", requests of %s tokens", context);
    return text;
}

/* What each design changes, in words. */
static void beside(mqa_page *page, const mqa_report *r)
{
    char lines[MQA_REPORT_DESIGNS][sizeof r->beside[0] + sizeof r->designs[0].label + 4];
    const char *items[MQA_REPORT_DESIGNS];
    size_t n = 0;
    for (int d = 1; d < r->n_designs; d++) {
        if (!r->beside[d][0]) continue;
        snprintf(lines[n], sizeof lines[n], "%s: %s", r->designs[d].label, r->beside[d]);
        items[n] = lines[n];
        n++;
    }
    mqa_page_list(page, items, n);
}

static void designs(mqa_page *page, table *t, const mqa_report *r)
{
    static const char *const columns[] = {"parameters",        "weights",  "KV a token",
                                          "KV of all",         "peak",     "fits",
                                          "requests that fit", "tokens/s", "bound"};
    mqa_page_heading(page, 2, "Designs side by side");
    if (r->left_out[0]) {
        char text[sizeof r->left_out + 16];
        snprintf(text, sizeof text, "Left out: %s.", r->left_out);
        mqa_page_paragraph(page, text);
    }
    row_columns(t, r);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) column(t, columns[i], false);
    for (int c = 0; c < r->demand.n_contexts; c++)
        for (int d = 0; d < r->n_designs; d++) {
            const mqa_figures *f = &r->rows[d][c];
            row_cells(t, r, d, c);
            cell(t, "%.2f G", (double)f->parameters / 1e9);
            cell(t, "%s", bytes(f->weights_bytes));
            cell(t, "%s", bytes(f->kv_bytes_per_token));
            cell(t, "%s", bytes(f->kv_bytes));
            cell(t, "%s", bytes(f->peak_bytes));
            cell(t, "%s", f->fits ? "yes" : "no");
            cell(t, "%s", limited(f->max_requests, MQA_MAX_REQUESTS));
            cell(t, "%s", per_second(f->tokens_per_s));
            cell(t, "%s", mqa_bound_name(f->token.bound));
        }
    char caption[128];
    snprintf(caption, sizeof caption, "Memory and speed%s; the marked rows are the model as it is",
             contexts_of(r));
    finish(t, page, caption);
    beside(page, r);
    mqa_page_paragraph(page, "Cache and weights are exact, to the byte what the program takes. Times are the "
                             "roofline's, divided by the "
                             "share of it that kernels reach.");
}

static void layers(mqa_page *page, table *t, const mqa_report *r)
{
    const mqa_figures *f = &r->rows[0][0];
    mqa_page_heading(page, 2, "Where the cache goes");
    column(t, "layers", true), column(t, "how many", false), column(t, "a token", false),
        column(t, "a request", false), column(t, "all requests", false);
    for (int k = 0; k < MQA_KINDS; k++) {
        if (f->kv[k].n_layers == 0) continue;
        cell(t, "%s", mqa_kind_name((mqa_kind)k));
        cell(t, "%d", f->kv[k].n_layers);
        cell(t, "%s", bytes(f->kv[k].bytes_per_token));
        cell(t, "%s", bytes(f->kv[k].request_bytes));
        cell(t, "%s", bytes(f->kv[k].bytes));
    }
    finish(t, page, "By kind of layers, first design and context");

    column(t, "K and V in", true), column(t, "one request", false), column(t, "of bf16", false);
    for (int k = 0; k < MQA_KV_TYPES; k++) {
        if (k == (int)r->demand.k_type) mark_row(t);
        cell(t, "%s", mqa_kv_type_name((mqa_kv_type)k));
        cell(t, "%s", bytes(f->kv_request_by_type[k]));
        const double part = (double)f->kv_request_by_type[k] / (double)f->kv_request_by_type[MQA_KV_BF16];
        cell(t, "%.1f %%", 100 * part);
    }
    finish(t, page, "By format");
}

static void time_parts(mqa_page *page, table *t, const mqa_report *r)
{
    static const char *const columns[] = {"prompt",   "a token",           "of it weights", "attention",
                                          "overhead", "operations a byte", "in attention"};
    mqa_page_heading(page, 2, "Where the time goes");
    row_columns(t, r);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) column(t, columns[i], false);
    for (int c = 0; c < r->demand.n_contexts; c++)
        for (int d = 0; d < r->n_designs; d++) {
            const mqa_figures *f = &r->rows[d][c];
            const mqa_times *s = &f->token;
            row_cells(t, r, d, c);
            cell(t, "%s", milliseconds(f->prompt_ms));
            cell(t, "%s", milliseconds(f->ms_per_token));
            cell(t, "%s", milliseconds(1000 * s->weights));
            cell(t, "%s", milliseconds(1000 * s->attention));
            cell(t, "%s", milliseconds(1000 * s->overhead));
            cell(t, "%.3g", s->intensity);
            cell(t, "%.3g", s->attention_intensity);
        }
    char caption[128];
    snprintf(caption, sizeof caption, "A prompt, and a step that gives each request a token%s",
             contexts_of(r));
    finish(t, page, caption);
}

static void tenants(mqa_page *page, table *t, const mqa_report *r)
{
    if (r->demand.n_tenants == 0) return;
    mqa_page_heading(page, 2, "Tenants");
    static const char *const columns[] = {"tenant", "requests", "context",           "shared",         "KV",
                                          "budget", "fits",     "requests that fit", "longest context"};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) column(t, columns[i], false);
    for (int i = 0; i < r->demand.n_tenants; i++) {
        const mqa_tenant *asked_for = &r->demand.tenants[i];
        const mqa_tenant_figures *f = &r->tenants[i];
        if (!f->fits) mark_row(t);
        cell(t, "%s", asked_for->name);
        cell(t, "%lld", (long long)asked_for->requests);
        cell(t, "%lld", (long long)asked_for->context);
        cell(t, "%lld", (long long)asked_for->shared);
        cell(t, "%s", bytes(f->kv_bytes));
        cell(t, "%s", asked_for->budget_bytes ? bytes(asked_for->budget_bytes) : "none");
        cell(t, "%s", f->fits ? "yes" : "no");
        cell(t, "%s", limited(f->max_requests, MQA_MAX_REQUESTS));
        cell(t, "%s", limited(f->max_context, MQA_MAX_CONTEXT));
    }
    finish(t, page,
           r->tenants_fit ? "All of them together fit beside the weights"
                          : "Together they don't fit beside the weights");
}

static void changes(mqa_page *page, table *t, const mqa_report *r)
{
    if (r->n_changes == 0) return;
    mqa_page_heading(page, 2, "What would help");
    column(t, "change", true), column(t, "better by", false), column(t, "peak", false),
        column(t, "tokens/s", false);
    column(t, "requests that fit", false), column(t, "what it costs", true);
    for (int i = 0; i < r->n_changes; i++) {
        const mqa_change *c = &r->changes[i];
        cell(t, "%s", c->what);
        cell(t, "%.2f times", c->gain);
        cell(t, "%s", bytes(c->figures.peak_bytes));
        cell(t, "%s", per_second(c->figures.tokens_per_s));
        cell(t, "%s", limited(c->figures.max_requests, MQA_MAX_REQUESTS));
        cell(t, "%s%s", c->cost, c->retrains ? " (needs a model trained so)" : "");
    }
    finish(t, page, "One thing done otherwise, best first");
}

typedef struct source {
    const mqa_report *report;
    const plan_charts *charts;
    const char *title, *question;
    plan_chart which; /* PLAN_CHARTS: all */
} source;

static mqa_status write_html(const source *s, FILE *out, mqa_error *err)
{
    const mqa_report *r = s->report;
    char title[200];
    snprintf(title, sizeof title, "%s on %s", r->designs[0].name, r->machine.name);
    table *t = calloc(1, sizeof *t);
    if (!t) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "out of memory for a page");
    mqa_page page;
    mqa_page_begin(&page, out,
                   &(mqa_page_options){.title = s->title[0] ? s->title : title,
                                       .lead = s->question[0] ? s->question : NULL});
    verdict(&page, r);
    asked(&page, t, r);
    tenants(&page, t, r);
    designs(&page, t, r);
    for (int c = 0; c < plan_charts_count(s->charts); c++)
        mqa_page_chart(&page, plan_charts_get(s->charts, (plan_chart)c), plan_chart_caption((plan_chart)c));
    time_parts(&page, t, r);
    layers(&page, t, r);
    changes(&page, t, r);
    free(t);
    return mqa_page_end(&page, err);
}

/* The charts that are wanted, in a row of the array they lie in. */
static mqa_status write_picture(const source *s, bool png, FILE *out, mqa_error *err)
{
    const bool all = s->which == PLAN_CHARTS;
    if (!all && (int)s->which >= plan_charts_count(s->charts))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "no plot of tenants: there are none; a scenario may have some");
    const mqa_chart *charts = plan_charts_get(s->charts, all ? (plan_chart)0 : s->which);
    const size_t n = all ? (size_t)plan_charts_count(s->charts) : 1;
    const int columns = all ? 2 : 1;
    return png ? mqa_chart_sheet_png(charts, n, columns, out, err)
               : mqa_chart_sheet_svg(charts, n, columns, out, err);
}

static mqa_status write_svg(const source *s, FILE *out, mqa_error *err)
{
    return write_picture(s, false, out, err);
}

static mqa_status write_png(const source *s, FILE *out, mqa_error *err)
{
    return write_picture(s, true, out, err);
}

static mqa_status write_file(const char *path, mqa_status (*write)(const source *, FILE *, mqa_error *),
                             const source *s, mqa_error *err)
{
    if (!path) return MQA_OK;
    mqa_new_file file;
    MQA_TRY(mqa_new_file_open(path, &file, err));
    mqa_status status = write(s, file.stream, err);
    if (status == MQA_OK) return mqa_new_file_finish(&file, err);
    mqa_new_file_abandon(&file);
    return status;
}

static plan_chart find_chart(const char *name)
{
    int c = 0;
    while (name && c < PLAN_CHARTS && strcmp(name, plan_chart_name((plan_chart)c)) != 0) c++;
    return name ? (plan_chart)c : PLAN_CHARTS;
}

int plan_files_check(const plan_files *files)
{
    if (!files->plot) return CLI_DONE;
    if (find_chart(files->plot) == PLAN_CHARTS)
        return cli_error(CLI_USAGE, "no plot '%s': there are cache, speed, requests, roofline and tenants",
                         files->plot);
    if (!files->svg && !files->png)
        return cli_error(CLI_USAGE, "--plot %s without a picture: give --svg FILE or --png FILE, too",
                         files->plot);
    return CLI_DONE;
}

mqa_status plan_files_write(const plan_files *files, const mqa_report *report, const char *title,
                            const char *question, mqa_error *err)
{
    if (!files->html && !files->svg && !files->png) return MQA_OK;
    plan_charts *charts;
    MQA_TRY(plan_charts_make(report, &charts, err));
    const source s = {.report = report,
                      .charts = charts,
                      .title = title,
                      .question = question,
                      .which = find_chart(files->plot)};
    mqa_status status = write_file(files->html, write_html, &s, err);
    if (status == MQA_OK) status = write_file(files->svg, write_svg, &s, err);
    if (status == MQA_OK) status = write_file(files->png, write_png, &s, err);
    plan_charts_free(charts);
    return status;
}
