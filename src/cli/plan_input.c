/* What `mqa plan` plans: a file's design, a machine, and the demand, in which options go before scenarios.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/file.h"
#include "plan.h"

/* Exit code 2 where the command line alone is wrong. */
static int failed(const plan_options *o, mqa_status status, const mqa_error *err)
{
    return o->input ? cli_error_status(status, err) : cli_error(CLI_USAGE, "%s", err->message);
}

/* ---- the file ---- */

static mqa_status read_scenario(const char *path, const mqa_file *file, plan_input *in, mqa_error *err)
{
    mqa_scenario *s = &in->scenario;
    MQA_TRY(mqa_scenario_parse(path, (const char *)file->data, file->size, s, err));
    return s->model_file[0] ? mqa_design_from_file(s->model_file, &in->design, err)
                            : mqa_design_from_shape(&s->shape, &in->design, err);
}

/* What isn't said anywhere is left as the default has it, but for the context, which stays open. */
static mqa_status read_file(const plan_options *o, plan_input *in, mqa_error *err)
{
    mqa_file file;
    MQA_TRY(mqa_file_map(o->input, &file, err));
    const bool is_scenario = mqa_is_scenario((const char *)file.data, file.size);
    mqa_status status = MQA_OK;
    if (is_scenario) status = read_scenario(o->input, &file, in, err);
    mqa_file_unmap(&file);
    if (is_scenario) return status;
    in->scenario.demand.n_contexts = 0;
    return mqa_design_from_file(o->input, &in->design, err);
}

static int read_design(const plan_options *o, plan_input *in)
{
    mqa_error err;
    mqa_demand_default(&in->scenario.demand);
    if (o->input && (o->shape.layers || o->shape.heads))
        return cli_error(CLI_USAGE, "a file and a shape: give one of them");
    if (!o->input && !o->shape.layers && !o->shape.heads)
        return cli_error(CLI_USAGE,
                         "nothing to plan: give a GGUF, a config.json, a scenario, or --layers, --heads "
                         "and the other options of a shape");
    if (!o->input) in->scenario.demand.n_contexts = 0;
    const mqa_status status =
        o->input ? read_file(o, in, &err) : mqa_design_from_shape(&o->shape, &in->design, &err);
    return status == MQA_OK ? CLI_GO_ON : failed(o, status, &err);
}

/* ---- the demand ---- */

static int bad_text(const char *option, const char *text, const char *give)
{
    return cli_error(CLI_USAGE, "'%.80s' for --%s: give %s", text, option, give);
}

static int take_designs(const char *list, mqa_scenario *s)
{
    s->n_designs = 0;
    for (const char *at = list;; at++) {
        char word[24];
        const size_t n = strcspn(at, ",");
        mqa_error err;
        if (n >= sizeof word || s->n_designs == MQA_VARIANTS)
            return bad_text("designs", list, "up to 7 of as-is, mha, gqa-8, gqa-4, mqa, mla, window");
        memcpy(word, at, n);
        word[n] = 0;
        if (mqa_variant_parse(word, &s->designs[s->n_designs++], &err) != MQA_OK)
            return cli_error(CLI_USAGE, "--designs: %s", err.message);
        at += n;
        if (*at == 0) return CLI_GO_ON;
    }
}

static int take_texts(const plan_options *o, mqa_scenario *s)
{
    mqa_error err;
    if (o->weights && mqa_weights_parse(o->weights, &s->demand.weights, &err) != MQA_OK)
        return cli_error(CLI_USAGE, "--weights: %s", err.message);
    if (o->memory && !mqa_parse_bytes(o->memory, &s->demand.memory))
        return bad_text("memory", o->memory, "bytes, as in 2GiB");
    return o->designs ? take_designs(o->designs, s) : CLI_GO_ON;
}

static void take_numbers(const plan_options *o, const mqa_design *design, mqa_demand *d)
{
    if (o->contexts.n > 0) d->n_contexts = o->contexts.n;
    for (int i = 0; i < o->contexts.n; i++) d->contexts[i] = o->contexts.at[i];
    if (d->n_contexts == 0) {
        d->n_contexts = 1;
        d->contexts[0] = design->context_length > 0 ? design->context_length : 4096;
    }
    if (o->generate >= 0) d->generate = o->generate;
    if (o->requests >= 0) d->requests = o->requests;
    if (o->shared >= 0) d->shared = o->shared;
    if (o->chunk >= 0) d->chunk = (int)o->chunk;
    if (o->page_tokens >= 0) d->page_tokens = (int)o->page_tokens;
    if (o->common.kv[0] < MQA_KV_TYPES) d->k_type = o->common.kv[0];
    if (o->common.kv[1] < MQA_KV_TYPES) d->v_type = o->common.kv[1];
    if (o->tokens_per_s > 0) d->want_tokens_per_s = o->tokens_per_s;
    if (o->prompt_ms > 0) d->want_prompt_ms = o->prompt_ms;
}

static int read_demand(const plan_options *o, plan_input *in)
{
    const int code = take_texts(o, &in->scenario);
    if (code != CLI_GO_ON) return code;
    take_numbers(o, &in->design, &in->scenario.demand);
    mqa_error err;
    const mqa_status status = mqa_demand_check(&in->scenario.demand, &err);
    return status == MQA_OK ? CLI_GO_ON : failed(o, status, &err);
}

/* ---- the machine ---- */

static int take_rates(const plan_options *o, mqa_machine *given)
{
    if (o->bandwidth && !mqa_parse_rate(o->bandwidth, &given->bandwidth))
        return bad_text("bandwidth", o->bandwidth, "a rate, as in 42GB/s");
    if (!o->flops) return CLI_GO_ON;
    double flops;
    if (!mqa_parse_rate(o->flops, &flops)) return bad_text("flops", o->flops, "a rate, as in 460GFLOP/s");
    for (int i = 0; i < MQA_RATES; i++) given->peak[i] = flops;
    return CLI_GO_ON;
}

/* Figures that were given in place of the machine's. */
static void put_over(const mqa_machine *given, mqa_machine *m)
{
    bool any = false;
    if (given->bandwidth > 0) {
        m->bandwidth = given->bandwidth;
        m->n_caches = 0;
        any = true;
    }
    for (int i = 0; i < MQA_RATES; i++) {
        if (given->peak[i] > 0) m->peak[i] = given->peak[i];
        any |= given->peak[i] > 0;
    }
    if (given->memory > 0) m->memory = given->memory;
    if (!any) return;
    const size_t n = strlen(m->name);
    if (n + 16 < sizeof m->name) strcat(m->name, ", as given");
}

static bool is_whole(const mqa_machine *given)
{
    return given->bandwidth > 0 && (given->peak[MQA_RATE_F32] > 0 || given->peak[MQA_RATE_BF16] > 0);
}

static int read_machine(const plan_options *o, plan_input *in)
{
    mqa_scenario *s = &in->scenario;
    const char *name = o->machine ? o->machine : s->machine_name;
    mqa_error err;
    const int code = take_rates(o, &s->machine);
    if (code != CLI_GO_ON) return code;
    if (*name) {
        const mqa_status status = mqa_machine_find(name, &in->machine, &err);
        if (status != MQA_OK)
            return o->machine ? cli_error(CLI_USAGE, "%s", err.message) : failed(o, status, &err);
    } else if (is_whole(&s->machine)) {
        in->machine = (mqa_machine){.name = "machine", .source = "figures given"};
    } else {
        const int this_one = plan_this_machine(&o->common, o->calibrate, &in->machine);
        if (this_one != CLI_GO_ON) return this_one;
    }
    put_over(&s->machine, &in->machine);
    mqa_machine_assume(&in->machine);
    return CLI_GO_ON;
}

int plan_read_input(const plan_options *o, plan_input *out)
{
    int code = read_design(o, out);
    if (code == CLI_GO_ON) code = read_demand(o, out);
    return code == CLI_GO_ON ? read_machine(o, out) : code;
}
