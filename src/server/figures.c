/* /metrics and /status.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/status.h"
#include "server/endpoints.h"
#include "server/inside.h"

/* ---- for Prometheus ---- */

static mqa_status render_engine(mqa_service *s, mqa_text *out, mqa_error *err)
{
    mqa_engine_stats stats = {.struct_size = sizeof stats};
    MQA_TRY(mqa_engine_get_stats(s->engine, &stats, err));
    const mqa_languages_stats languages = mqa_languages_get_stats(s->languages);
    const struct {
        const char *name, *help;
        double figure;
    } gauges[] = {
        {"requests_waiting", "Requests that wait to be started.", stats.waiting},
        {"requests_running", "Requests that run.", stats.running},
        {"batch_choices", "Answers that are generated side by side.", stats.choices},
        {"kv_budget_bytes", "KV pages there may be.", (double)stats.budget_bytes},
        {"kv_in_use_bytes", "KV pages in use.", (double)stats.bytes_in_use},
        {"kv_kept_bytes", "Of those, kept for prompts to come.", (double)stats.bytes_kept},
        {"kv_reserved_bytes", "What running requests have or may come to.", (double)stats.bytes_reserved},
        {"step_seconds", "How long the last step took.", stats.step_seconds},
        {"steps", "Steps so far.", (double)stats.steps},
        {"drafted_tokens", "Tokens guessed and checked, so far.", (double)stats.drafted_tokens},
        {"accepted_tokens", "Of those, the ones that held.", (double)stats.accepted_tokens},
        {"preemptions", "Answers put back for want of memory, so far.", (double)stats.preempted},
        {"kv_spilled_bytes", "State of answers that were put back, on disk.", (double)stats.bytes_spilled},
        {"spills", "Answers put back whose state was written to disk, so far.", (double)stats.spilled},
        {"restores", "Of these, read back.", (double)stats.restored},
        {"spill_errors", "Of what was put back, what the disk failed to write or to read, so far.",
         (double)stats.spill_errors},
        {"evictions", "Kept beginnings given up for want of memory, so far.", (double)stats.evicted},
        {"grammars_compiled", "Grammars and schemas compiled so far.", (double)languages.compiled},
        {"grammars_found", "Those that were there already, so far.", (double)languages.found},
        {"grammar_bytes", "Of grammars that are kept.", (double)languages.bytes},
        {"connections", "Open connections.", mqa_http_n_connections(s->http)},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        MQA_TRY(mqa_metrics_gauge(out, gauges[i].name, gauges[i].help, NULL, NULL, gauges[i].figure, err));
    return MQA_OK;
}

static bool next_tenant(mqa_service *s, int index, mqa_tenant_stats *out)
{
    *out = (mqa_tenant_stats){.struct_size = sizeof *out};
    return mqa_engine_get_tenant_stats(s->engine, index, out, NULL) == MQA_OK;
}

/* The engine's tenant "", which is nobody's here. */
static bool is_unused(const mqa_tenant_stats *t)
{
    return t->name[0] == 0 && t->bytes_in_use == 0 && t->bytes_spilled == 0;
}

static double of_tenant(const mqa_tenant_stats *t, int metric)
{
    const double figures[] = {(double)t->bytes_in_use, (double)t->bytes_spilled, t->waiting};
    return figures[metric];
}

static mqa_status render_tenants(mqa_service *s, mqa_text *out, mqa_error *err)
{
    static const char *const names[] = {"tenant_kv_bytes", "tenant_kv_spilled_bytes", "tenant_waiting"};
    static const char *const help[] = {"KV pages in use by tenant.", "State on disk by tenant.",
                                       "Requests that wait, by tenant."};
    mqa_tenant_stats t;
    for (int metric = 0; metric < 3; metric++) {
        bool first = true;
        for (int i = 0; next_tenant(s, i, &t); i++) {
            if (is_unused(&t)) continue;
            MQA_TRY(mqa_metrics_gauge(out, names[metric], first ? help[metric] : NULL, "tenant", t.name,
                                      of_tenant(&t, metric), err));
            first = false;
        }
    }
    return MQA_OK;
}

void mqa_endpoint_metrics(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    (void)asking;
    mqa_text out = {0};
    mqa_error err;
    mqa_api_error e;
    mqa_status status = mqa_metrics_render(s->metrics, &out, &err);
    if (status == MQA_OK) status = render_engine(s, &out, &err);
    if (status == MQA_OK) status = render_tenants(s, &out, &err);
    if (status == MQA_OK) {
        mqa_exchange_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", out.bytes, out.n);
    } else {
        mqa_api_failed(&e, status, &err);
        mqa_exchange_error(x, &e);
    }
    mqa_text_free(&out);
}

/* ---- for the page ---- */

void mqa_endpoint_status(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    (void)asking;
    mqa_engine_stats stats = {.struct_size = sizeof stats};
    mqa_error err;
    mqa_api_error e;
    const mqa_status status = mqa_engine_get_stats(s->engine, &stats, &err);
    if (status != MQA_OK) {
        mqa_api_failed(&e, status, &err);
        mqa_exchange_error(x, &e);
        return;
    }
    json_t *tenants = json_array();
    mqa_tenant_stats t;
    for (int i = 0; next_tenant(s, i, &t); i++) {
        if (is_unused(&t)) continue;
        json_array_append_new(
            tenants, json_pack("{s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "name", t.name, "kv_bytes",
                               (json_int_t)t.bytes_in_use, "kv_cached_bytes", (json_int_t)t.bytes_kept,
                               "kv_spilled_bytes", (json_int_t)t.bytes_spilled, "budget_bytes",
                               (json_int_t)t.budget_bytes, "running", t.running, "waiting", t.waiting));
    }
    mqa_exchange_json(x, json_pack("{s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:o}", "model", s->model_name,
                                   "recipe", s->fingerprint, "kv_bytes", (json_int_t)stats.bytes_in_use,
                                   "kv_budget_bytes", (json_int_t)stats.budget_bytes, "kv_spilled_bytes",
                                   (json_int_t)stats.bytes_spilled, "running", stats.running, "waiting",
                                   stats.waiting, "tenants", tenants));
}
