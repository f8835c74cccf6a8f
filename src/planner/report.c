/* Reports: designs side by side, tenants, changes, verdict.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "planner/forecast.h"

static bool tenants_keep_budgets(const mqa_report *r)
{
    for (int i = 0; i < r->demand.n_tenants; i++)
        if (!r->tenants[i].fits) return false;
    return true;
}

static bool is_slow(const mqa_report *r)
{
    return r->demand.want_tokens_per_s > 0 && r->demand.want_tokens_per_s * r->rows[0][0].token.seconds > 1;
}

static bool is_late(const mqa_report *r)
{
    return r->demand.want_prompt_ms > 0 && r->rows[0][0].prompt_ms > r->demand.want_prompt_ms;
}

mqa_goal mqa_goal_of(const mqa_report *r)
{
    if (!r->rows[0][0].fits) return MQA_GOAL_MEMORY;
    if (!tenants_keep_budgets(r)) return MQA_GOAL_BUDGETS;
    return is_late(r) && !is_slow(r) ? MQA_GOAL_PROMPT : MQA_GOAL_TOKEN;
}

bool mqa_goal_is_missed(const mqa_report *r)
{
    return mqa_goal_of(r) != MQA_GOAL_TOKEN || is_slow(r);
}

double mqa_goal_value(mqa_goal goal, const mqa_figures *f)
{
    switch (goal) {
    case MQA_GOAL_MEMORY:
        return (double)f->peak_bytes;
    case MQA_GOAL_BUDGETS:
        return (double)f->kv_peak_bytes;
    case MQA_GOAL_PROMPT:
        return f->prompt_ms;
    case MQA_GOAL_TOKEN:
        return f->ms_per_token;
    }
    return 0;
}

/* ---- designs ---- */

static void leave_out(mqa_report *r, const char *name, const char *why)
{
    const size_t n = strlen(r->left_out), size = sizeof r->left_out;
    snprintf(r->left_out + n, size - n, "%s%s: %s", n ? "; " : "", name, why);
}

static bool is_there(const mqa_report *r, const mqa_design *design)
{
    for (int i = 0; i < r->n_designs; i++)
        if (mqa_design_same_attention(&r->designs[i], design)) return true;
    return false;
}

/* Variants that can't be are no error; anything else is. */
static mqa_status add_variant(mqa_report *r, const mqa_design *design, mqa_variant variant, mqa_error *err)
{
    mqa_error detail = {.message = ""};
    mqa_design *out = &r->designs[r->n_designs];
    const mqa_status status = mqa_design_vary(design, variant, out, &detail);
    if (status == MQA_OK) {
        if (is_there(r, out))
            leave_out(r, mqa_variant_name(variant), "what it is already");
        else
            r->n_designs++;
        return MQA_OK;
    }
    if (status != MQA_ERR_UNSUPPORTED) return mqa_fail(err, status, "%s", detail.message);
    leave_out(r, mqa_variant_name(variant), detail.message);
    return MQA_OK;
}

static mqa_status add_designs(mqa_report *r, const mqa_design *design, const mqa_variant *variants, int n,
                              mqa_error *err)
{
    r->designs[r->n_designs++] = *design;
    for (int i = 0; i < n && r->n_designs < MQA_REPORT_DESIGNS; i++)
        if (variants[i] != MQA_VARIANT_AS_IS) MQA_TRY(add_variant(r, design, variants[i], err));
    for (int d = 0; d < r->n_designs; d++)
        for (int c = 0; c < r->demand.n_contexts; c++)
            MQA_TRY(mqa_forecast(&r->designs[d], &r->machine, &r->demand, r->demand.contexts[c],
                                 &r->rows[d][c], err));
    return MQA_OK;
}

/* ---- tenants ---- */

static mqa_status add_tenants(mqa_report *r, mqa_error *err)
{
    const mqa_figures *f = &r->rows[0][0];
    size_t sum = f->weights_bytes;
    bool counted = mqa_add(sum, f->work_bytes, &sum);
    for (int i = 0; i < r->demand.n_tenants; i++) {
        mqa_tenant_figures *t = &r->tenants[i];
        MQA_TRY(mqa_forecast_tenant(&r->designs[0], &r->demand, &r->demand.tenants[i], t, err));
        counted = counted && mqa_add(sum, t->kv_bytes, &sum);
    }
    r->tenants_fit = f->memory == 0 || (counted && sum <= f->memory);
    return MQA_OK;
}

mqa_status mqa_report_make(const mqa_design *design, const mqa_variant *variants, int n_variants,
                           const mqa_machine *machine, const mqa_demand *demand, mqa_report *out,
                           mqa_error *err)
{
    memset(out, 0, sizeof *out);
    MQA_TRY(mqa_demand_check(demand, err));
    MQA_TRY(mqa_machine_check(machine, err));
    out->machine = *machine;
    out->demand = *demand;
    MQA_TRY(add_designs(out, design, variants, n_variants, err));
    MQA_TRY(add_tenants(out, err));
    MQA_TRY(mqa_report_changes(out, err));
    mqa_report_verdict(out);
    return MQA_OK;
}
