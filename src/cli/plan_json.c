/* The report of `mqa plan` for programs. Keys are an interface: mqa(1) lists them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plan.h"

static json_t *bytes_json(size_t bytes)
{
    return json_integer((json_int_t)bytes); /* sizes beyond 2^63 are refused before */
}

static json_t *kinds_json(const mqa_figures *f)
{
    json_t *object = json_object();
    for (int k = 0; k < MQA_KINDS; k++) {
        const mqa_kv_figures *kv = &f->kv[k];
        if (!kv->n_layers) continue;
        json_object_set_new(object, mqa_kind_name((mqa_kind)k),
                            json_pack("{s:i, s:o, s:o, s:o}", "layers", kv->n_layers, "bytes_per_token",
                                      bytes_json(kv->bytes_per_token), "request_bytes",
                                      bytes_json(kv->request_bytes), "bytes", bytes_json(kv->bytes)));
    }
    return object;
}

static json_t *cache_formats_json(const mqa_figures *f)
{
    json_t *object = json_object();
    for (int t = 0; t < MQA_KV_TYPES; t++)
        json_object_set_new(object, mqa_kv_type_name((mqa_kv_type)t), bytes_json(f->kv_request_by_type[t]));
    return object;
}

static json_t *weight_formats_json(const mqa_design *design)
{
    json_t *object = json_object();
    for (int i = 0; i < MQA_WEIGHT_FORMATS; i++) {
        size_t bytes = 0;
        if (mqa_design_weight_bytes(design, mqa_weight_formats[i], &bytes, NULL) == MQA_OK)
            json_object_set_new(object, mqa_weights_name(mqa_weight_formats[i]), bytes_json(bytes));
    }
    return object;
}

static json_t *times_json(const mqa_times *t)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:s, s:f, s:f, s:f, s:f, s:f}", "ms", t->seconds * 1e3,
                     "weights_ms", t->weights * 1e3, "attention_ms", t->attention * 1e3, "overhead_ms",
                     t->overhead * 1e3, "bound", mqa_bound_name(t->bound), "weight_bytes", t->weight_bytes,
                     "kv_bytes", t->kv_bytes, "operations", t->operations, "intensity", t->intensity,
                     "attention_intensity", t->attention_intensity);
}

static json_t *verdict_json(const mqa_report *r, int design)
{
    if (design > 0) return json_string(r->beside[design]);
    char all[MQA_VERDICT_LINES * sizeof r->verdict[0]] = "";
    size_t n = 0;
    for (int i = 0; i < r->n_verdict; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? " " : "", r->verdict[i]);
    return json_string(all);
}

static json_t *tenants_json(const mqa_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->demand.n_tenants; i++) {
        const mqa_tenant *t = &r->demand.tenants[i];
        const mqa_tenant_figures *f = &r->tenants[i];
        const bool budget = t->budget_bytes > 0;
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:b, s:o, s:o}", "tenant", t->name, "requests",
                            (json_int_t)t->requests, "context", (json_int_t)t->context, "shared",
                            (json_int_t)t->shared, "kv_bytes", bytes_json(f->kv_bytes), "budget_bytes",
                            budget ? bytes_json(t->budget_bytes) : json_null(), "fits", (int)f->fits,
                            "max_requests", budget ? json_integer(f->max_requests) : json_null(),
                            "max_context", budget ? json_integer(f->max_context) : json_null()));
    }
    return list;
}

static json_t *changes_json(const mqa_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_changes; i++) {
        const mqa_change *c = &r->changes[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:f, s:b, s:b, s:b, s:o, s:f, s:f}", "change", c->what,
                                        "cost", c->cost, "gain", c->gain, "retrains", (int)c->retrains,
                                        "settles", (int)c->settles, "fits", (int)c->figures.fits,
                                        "peak_bytes", bytes_json(c->figures.peak_bytes), "prompt_ms",
                                        c->figures.prompt_ms, "ms_per_token", c->figures.ms_per_token));
    }
    return list;
}

static json_t *row_json(const mqa_report *r, int design, int context)
{
    const mqa_design *d = &r->designs[design];
    const mqa_demand *q = &r->demand;
    const mqa_figures *f = &r->rows[design][context];
    const bool limited = f->memory > 0;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:s, s:s, s:s,"                /* what was asked */
        " s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o," /* memory */
        " s:f, s:f, s:f, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}",                    /* time */
        "design", d->label, "model", d->name, "arch", d->arch, "machine", r->machine.name, "calibrated",
        (int)r->machine.measured, "context", (json_int_t)f->context, "requests", (json_int_t)q->requests,
        "generate", (json_int_t)q->generate, "shared", (json_int_t)q->shared, "k_type",
        mqa_kv_type_name(q->k_type), "v_type", mqa_kv_type_name(q->v_type), "weights",
        mqa_weights_name(q->weights), "parameters", (json_int_t)f->parameters, "active_parameters",
        (json_int_t)f->active_parameters, "weights_bytes", bytes_json(f->weights_bytes), "kv_bytes_per_token",
        bytes_json(f->kv_bytes_per_token), "kv_bytes_growth", bytes_json(f->kv_bytes_growth),
        "kv_request_bytes", bytes_json(f->kv_request_bytes), "kv_bytes", bytes_json(f->kv_bytes),
        "kv_saved_bytes", bytes_json(f->kv_saved_bytes), "kv_peak_bytes", bytes_json(f->kv_peak_bytes),
        "work_bytes", bytes_json(f->work_bytes), "peak_bytes", bytes_json(f->peak_bytes), "memory_bytes",
        limited ? bytes_json(f->memory) : json_null(), "fits", (int)f->fits, "max_requests",
        limited ? json_integer(f->max_requests) : json_null(), "max_context",
        limited ? json_integer(f->max_context) : json_null(), "prompt_ms", f->prompt_ms, "ms_per_token",
        f->ms_per_token, "tokens_per_s", f->tokens_per_s, "bound", mqa_bound_name(f->token.bound),
        "meets_speed", (int)f->meets_speed, "kv_by_kind", kinds_json(f), "kv_request_by_type",
        cache_formats_json(f), "weights_by_type", weight_formats_json(d), "prompt", times_json(&f->prompt),
        "token", times_json(&f->token), "verdict", verdict_json(r, design));
}

void plan_print_json(const mqa_report *r)
{
    for (int d = 0; d < r->n_designs; d++)
        for (int c = 0; c < r->demand.n_contexts; c++) {
            json_t *object = row_json(r, d, c);
            if (object && d == 0) {
                json_object_set_new(object, "tenants", tenants_json(r));
                json_object_set_new(object, "changes", changes_json(r));
            }
            cli_print_json(object);
        }
}

/* ---- CSV ---- */

static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    putchar('"');
}

void plan_print_csv(const mqa_report *r)
{
    puts("design,context,requests,parameters,weights_bytes,kv_bytes_per_token,kv_bytes,kv_peak_bytes,peak_"
         "bytes,"
         "fits,max_requests,prompt_ms,ms_per_token,tokens_per_s,bound,intensity,attention_intensity");
    for (int d = 0; d < r->n_designs; d++)
        for (int c = 0; c < r->demand.n_contexts; c++) {
            const mqa_figures *f = &r->rows[d][c];
            print_quoted(r->designs[d].label);
            printf(",%" PRId64 ",%" PRId64 ",%" PRIu64 ",%zu,%zu,%zu,%zu,%zu,%d,", f->context,
                   r->demand.requests, f->parameters, f->weights_bytes, f->kv_bytes_per_token, f->kv_bytes,
                   f->kv_peak_bytes, f->peak_bytes, f->fits);
            if (f->memory > 0) printf("%" PRId64, f->max_requests);
            printf(",%.6g,%.6g,%.6g,%s,%.6g,%.6g\n", f->prompt_ms, f->ms_per_token, f->tokens_per_s,
                   mqa_bound_name(f->token.bound), f->token.intensity, f->token.attention_intensity);
        }
}
