/* The grid, and what the planner says of each cell.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "compare/inside.h"

/* The same machine, if its kernels reached all of what it gives: times become the roofline's. */
static mqa_machine ideal(const mqa_machine *machine)
{
    mqa_machine m = *machine;
    for (int p = 0; p < MQA_CURVE_POINTS; p++) {
        for (int i = 0; i < MQA_WEIGHT_CLASSES; i++) m.linear[i].share[p] = m.linear[i].memory[p] = 1;
        for (int i = 0; i < MQA_KV_TYPES; i++) m.attention[i].share[p] = m.attention[i].memory[p] = 1;
    }
    for (int i = 0; i < m.n_caches; i++) m.caches[i].share = 1;
    for (int i = 0; i < MQA_KV_TYPES; i++) {
        m.seconds_per_kv_value[i] = m.seconds_per_score[i] = 0;
        m.seconds_per_turned_value[i] = 0;
    }
    m.seconds_per_request = m.seconds_per_unit = 0;
    m.seconds_per_step = m.seconds_per_layer = m.seconds_per_value = 0;
    m.curve_bytes = m.seconds_per_granule = m.seconds_per_small_page = 0;
    return m;
}

static mqa_status plan_cell(const mqa_compare *c, mqa_compare_cell *cell, mqa_error *err)
{
    const mqa_compare_options *o = &c->options;
    const mqa_design *design = &c->result.designs[cell->design];
    const mqa_machine roof = ideal(&c->machine);
    mqa_demand demand;
    mqa_figures figures;
    mqa_demand_default(&demand);
    demand.contexts[0] = cell->context;
    demand.n_contexts = 1;
    demand.requests = cell->batch;
    demand.chunk = o->chunk;
    demand.k_type = o->k_type;
    demand.v_type = o->v_type;
    demand.weights = MQA_WEIGHTS_AS_IS;
    MQA_TRY(mqa_forecast(design, &roof, &demand, cell->context, &figures, err));
    cell->limit_seconds = (cell->prompt ? figures.prompt : figures.token).seconds;
    MQA_TRY(mqa_forecast(design, &c->machine, &demand, cell->context, &figures, err));
    const mqa_times *t = cell->prompt ? &figures.prompt : &figures.token;
    cell->plan_seconds = t->seconds;
    cell->bound = t->bound;
    cell->plan_kv_bytes = figures.kv_bytes;
    return MQA_OK;
}

/* All designs at one context and batch. */
static void add_group(mqa_compare *c, bool prompt, int64_t context, int batch)
{
    mqa_compare_result *r = &c->result;
    for (int i = 0; i < r->n_designs; i++)
        r->cells[r->n_cells++] =
            (mqa_compare_cell){.design = i, .prompt = prompt, .context = context, .batch = batch};
}

/* They are measured together or not at all. */
static void leave_out_beyond_memory(const mqa_compare *c, mqa_compare_cell *group)
{
    size_t all = 0;
    for (int i = 0; i < c->result.n_designs; i++)
        if (!mqa_add(all, group[i].plan_kv_bytes, &all)) all = SIZE_MAX;
    for (int i = 0; i < c->result.n_designs; i++) group[i].left_out = all > c->options.memory;
}

mqa_status mqa_compare_lay_out(mqa_compare *c, mqa_error *err)
{
    const mqa_compare_options *o = &c->options;
    mqa_compare_result *r = &c->result;
    r->cells = calloc(MQA_COMPARE_CELLS, sizeof *r->cells);
    c->samples = calloc(MQA_COMPARE_CELLS, sizeof *c->samples);
    if (!r->cells || !c->samples)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a comparison's cells");
    for (int i = 0; i < o->n_contexts; i++)
        for (int b = 0; b < o->n_batches; b++) add_group(c, false, o->contexts[i], (int)o->batches[b]);
    for (int i = 0; o->prompts && i < o->n_contexts; i++) add_group(c, true, o->contexts[i], 1);
    MQA_TRY(mqa_compare_plan(c, &c->machine, err));
    for (int i = 0; i < r->n_cells; i += r->n_designs) leave_out_beyond_memory(c, r->cells + i);
    return MQA_OK;
}

static mqa_status median_error(mqa_compare_result *r, bool of_prompts, mqa_error *err)
{
    double *errors = malloc((size_t)r->n_cells * sizeof *errors + 1);
    if (!errors) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %d errors", r->n_cells);
    int n = 0;
    for (int i = 0; i < r->n_cells; i++)
        if (r->cells[i].runs > 0 && r->cells[i].prompt == of_prompts)
            errors[n++] = fabs(mqa_compare_error(&r->cells[i]));
    r->median_error[of_prompts] = mqa_compare_median(errors, n);
    free(errors);
    return MQA_OK;
}

mqa_status mqa_compare_find_errors(mqa_compare *c, mqa_error *err)
{
    for (int prompts = 0; prompts < 2; prompts++) MQA_TRY(median_error(&c->result, prompts, err));
    return MQA_OK;
}

mqa_status mqa_compare_plan(mqa_compare *c, const mqa_machine *machine, mqa_error *err)
{
    c->machine = *machine;
    for (int i = 0; i < c->result.n_cells; i++) MQA_TRY(plan_cell(c, &c->result.cells[i], err));
    return mqa_compare_find_errors(c, err);
}
