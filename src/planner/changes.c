/* What would help: each change alone, forecast like the design itself, the best first.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "planner/forecast.h"

/* Costs as published, or as docs/precision.md measures them; a cost that isn't known says how to find it out.
 */
static const char cost_int8[] =
    "an error of 1e-4 of attention's output where bf16's is 1e-5 (docs/precision.md); no retraining";
static const char cost_int4[] =
    "an error of 1e-2 of attention's output where bf16's is 1e-5 (docs/precision.md): try it on your texts";
static const char cost_8bit[] = "hardly any: try it with mqa perplexity; no retraining";
static const char cost_4bit[] =
    "about 1 % of perplexity for a 7B model (llama.cpp, pull request 1684): try it with mqa perplexity";
static const char cost_gqa[] = "training on with 5 % of the first compute; quality near MHA's: 47.1 to 47.2 "
                               "(Ainslie et al. 2023, table 1)";
static const char cost_mqa[] = "training on with 5 % of the first compute; some quality: 46.6 to MHA's 47.2 "
                               "(Ainslie et al. 2023, table 1)";
static const char cost_mla[] =
    "a model trained so; quality at least MHA's in DeepSeek-V2's ablations (arXiv:2405.04434, appendix D)";
static const char cost_window[] =
    "a model trained so; little perplexity in Gemma 3's ablations (arXiv:2503.19786, section 5.2)";

typedef struct candidate {
    const char *what, *cost;
    bool retrains;
} candidate;

/* Whether what is short wouldn't be any more. */
static mqa_status settles(const mqa_report *r, mqa_goal goal, const mqa_design *design,
                          const mqa_demand *demand, const mqa_figures *f, bool *out, mqa_error *err)
{
    *out = mqa_goal_is_missed(r) && f->fits &&
           (goal == MQA_GOAL_MEMORY || goal == MQA_GOAL_BUDGETS || f->meets_speed);
    for (int i = 0; goal == MQA_GOAL_BUDGETS && i < demand->n_tenants; i++) {
        mqa_tenant_figures tenant;
        MQA_TRY(mqa_forecast_tenant(design, demand, &demand->tenants[i], &tenant, err));
        *out = *out && tenant.fits;
    }
    return MQA_OK;
}

/* Whether b goes before a. Candidates come in the order of what they cost: where something is short, the
 * cheapest that settles it is best, not the one that gains most. */
static bool is_better(const mqa_change *a, const mqa_change *b)
{
    if (a->settles || b->settles) return b->settles && !a->settles;
    return b->gain > a->gain;
}

/* Forecasts it, and puts it in its place if it helps. */
static mqa_status try_change(mqa_report *r, const candidate *c, const mqa_design *design,
                             const mqa_demand *demand, mqa_error *err)
{
    const mqa_goal goal = mqa_goal_of(r);
    mqa_change change = {.retrains = c->retrains};
    MQA_TRY(mqa_forecast(design, &r->machine, demand, demand->contexts[0], &change.figures, err));
    change.gain = mqa_goal_value(goal, &r->rows[0][0]) / mqa_goal_value(goal, &change.figures);
    if (!(change.gain > 1.01) || r->n_changes == MQA_REPORT_CHANGES) return MQA_OK;
    MQA_TRY(settles(r, goal, design, demand, &change.figures, &change.settles, err));
    snprintf(change.what, sizeof change.what, "%s", c->what);
    snprintf(change.cost, sizeof change.cost, "%s", c->cost);
    int at = r->n_changes++;
    for (; at > 0 && is_better(&r->changes[at - 1], &change); at--) r->changes[at] = r->changes[at - 1];
    r->changes[at] = change;
    return MQA_OK;
}

static mqa_status try_formats(mqa_report *r, mqa_error *err)
{
    static const struct {
        candidate c;
        int kv; /* mqa_kv_type; MQA_KV_TYPES: as they are */
        uint32_t weights;
    } formats[] = {{{"weights in q8_0", cost_8bit, false}, MQA_KV_TYPES, MQA_GGUF_Q8_0},
                   {{"K and V in int8", cost_int8, false}, MQA_KV_INT8, MQA_WEIGHTS_AS_IS},
                   {{"weights in q4_k", cost_4bit, false}, MQA_KV_TYPES, MQA_GGUF_Q4_K},
                   {{"K and V in int4", cost_int4, false}, MQA_KV_INT4, MQA_WEIGHTS_AS_IS}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        mqa_demand demand = r->demand;
        if (formats[i].kv < MQA_KV_TYPES)
            demand.k_type = demand.v_type = (mqa_kv_type)formats[i].kv;
        else
            demand.weights = formats[i].weights;
        MQA_TRY(try_change(r, &formats[i].c, &r->designs[0], &demand, err));
    }
    return MQA_OK;
}

static mqa_status try_designs(mqa_report *r, mqa_error *err)
{
    static const struct {
        candidate c;
        mqa_variant variant;
    } variants[] = {{{"8 KV heads (GQA-8)", cost_gqa, true}, MQA_VARIANT_GQA8},
                    {{"one KV head (MQA)", cost_mqa, true}, MQA_VARIANT_MQA},
                    {{"a latent vector (MLA)", cost_mla, true}, MQA_VARIANT_MLA},
                    {{"a window of 1,024 in five layers of six", cost_window, true}, MQA_VARIANT_WINDOW}};
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        mqa_design design;
        if (mqa_design_vary(&r->designs[0], variants[i].variant, &design, NULL) == MQA_OK)
            MQA_TRY(try_change(r, &variants[i].c, &design, &r->demand, err));
    }
    return MQA_OK;
}

mqa_status mqa_report_changes(mqa_report *r, mqa_error *err)
{
    MQA_TRY(try_formats(r, err));
    return try_designs(r, err);
}
