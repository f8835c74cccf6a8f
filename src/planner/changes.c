/* What would help: each change alone, forecast like the design itself, the best first.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

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

/* Forecasts it and keeps it if it helps. */
static mqa_status try_change(mqa_report *r, const candidate *c, const mqa_design *design,
                             const mqa_demand *demand, mqa_error *err)
{
    if (r->n_changes == MQA_REPORT_CHANGES) return MQA_OK;
    mqa_change *change = &r->changes[r->n_changes];
    *change = (mqa_change){.retrains = c->retrains};
    MQA_TRY(mqa_forecast(design, &r->machine, demand, demand->contexts[0], &change->figures, err));
    const mqa_figures *now = &r->rows[0][0];
    const mqa_goal goal = mqa_goal_of(&r->demand, now);
    change->gain = mqa_goal_value(goal, now) / mqa_goal_value(goal, &change->figures);
    if (!(change->gain > 1.01)) return MQA_OK;
    snprintf(change->what, sizeof change->what, "%s", c->what);
    snprintf(change->cost, sizeof change->cost, "%s", c->cost);
    r->n_changes++;
    return MQA_OK;
}

static mqa_status try_cache_formats(mqa_report *r, mqa_error *err)
{
    static const struct {
        candidate c;
        mqa_kv_type type;
    } formats[] = {{{"K and V in int8", cost_int8, false}, MQA_KV_INT8},
                   {{"K and V in int4", cost_int4, false}, MQA_KV_INT4}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        mqa_demand demand = r->demand;
        demand.k_type = demand.v_type = formats[i].type;
        MQA_TRY(try_change(r, &formats[i].c, &r->designs[0], &demand, err));
    }
    return MQA_OK;
}

static mqa_status try_weight_formats(mqa_report *r, mqa_error *err)
{
    static const struct {
        candidate c;
        uint32_t type;
    } formats[] = {{{"weights in q8_0", cost_8bit, false}, MQA_GGUF_Q8_0},
                   {{"weights in q4_k", cost_4bit, false}, MQA_GGUF_Q4_K}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        mqa_demand demand = r->demand;
        demand.weights = formats[i].type;
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

static int by_gain(const void *a, const void *b)
{
    const double x = ((const mqa_change *)a)->gain, y = ((const mqa_change *)b)->gain;
    return (x < y) - (x > y);
}

mqa_status mqa_report_changes(mqa_report *r, mqa_error *err)
{
    MQA_TRY(try_cache_formats(r, err));
    MQA_TRY(try_weight_formats(r, err));
    MQA_TRY(try_designs(r, err));
    qsort(r->changes, (size_t)r->n_changes, sizeof r->changes[0], by_gain);
    return MQA_OK;
}
