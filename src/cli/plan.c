/* mqa plan: what an attention design costs on a machine, before anything is run.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

static int parse(int argc, char **argv, plan_options *o)
{
    mqa_shape *s = &o->shape;
    const cli_option table[] = {
        {'c', "context", CLI_LIST, &o->contexts, "N,...",
         "tokens of a request, prompt and answer; several: a row each (default: the model's)", 1,
         (double)MQA_MAX_CONTEXT, false},
        {'n', "generate", CLI_INT, &o->generate, "N", "how many of them are generated; default 0", 0,
         (double)MQA_MAX_CONTEXT, false},
        {'r', "requests", CLI_INT, &o->requests, "N", "requests at once, default 1", 1,
         (double)MQA_MAX_REQUESTS, false},
        {0, "shared", CLI_INT, &o->shared, "N", "tokens that all requests begin with; default 0", 0,
         (double)MQA_MAX_CONTEXT, false},
        {0, "weights", CLI_TEXT, &o->weights, "TYPE",
         "as-is (default), f32, bf16, q8_0, q6_k, q5_k, q4_k, q4_0, mxfp4", 0, 0, false},
        CLI_OPTIONS_KV(&o->common),
        {0, "chunk", CLI_INT, &o->chunk, "N", "tokens of a prompt evaluated at once, default 512", 1, 65536,
         false},
        {0, "page-tokens", CLI_INT, &o->page_tokens, "N", "64 (default), 128 or 256", 64, 256, false},
        {0, "tokens-per-s", CLI_REAL, &o->tokens_per_s, "X", "what each request is to get", 1e-9, 1e9, false},
        {0, "prompt-ms", CLI_REAL, &o->prompt_ms, "X", "when the first token is to come", 1e-9, 1e12, false},
        {0, "designs", CLI_TEXT, &o->designs, "LIST",
         "side by side: as-is, mha, gqa-8, gqa-4, mqa, mla, window (default: all that can be)", 0, 0, false},
        {0, "machine", CLI_TEXT, &o->machine, "NAME",
         "of the table ('list' shows it); default: this one, as calibrated", 0, 0, false},
        {0, "memory", CLI_TEXT, &o->memory, "SIZE", "for everything, as in 2GiB (default: the machine's)", 0,
         0, false},
        {0, "bandwidth", CLI_TEXT, &o->bandwidth, "RATE", "of memory, as in 42GB/s", 0, 0, false},
        {0, "flops", CLI_TEXT, &o->flops, "RATE", "peak, as in 460GFLOP/s", 0, 0, false},
        {0, "calibrate", CLI_FLAG, &o->calibrate, NULL, "measure this machine anew, and keep it", 0, 0,
         false},
        {0, "layers", CLI_INT, &s->layers, "N", "a shape in place of a file: layers", 1, CLI_MAX_INT, false},
        {0, "heads", CLI_INT, &s->heads, "N", "query heads", 1, CLI_MAX_INT, false},
        {0, "kv-heads", CLI_INT, &s->kv_heads, "N", "KV heads (default: as heads)", 1, CLI_MAX_INT, false},
        {0, "head-dim", CLI_INT, &s->head_dim, "N", "values a head (default: width / heads)", 1, CLI_MAX_INT,
         false},
        {0, "embd", CLI_INT, &s->embd, "N", "width (default: heads * values a head)", 1, CLI_MAX_INT, false},
        {0, "ff", CLI_INT, &s->ff, "N", "width of the feed-forward part (default: 8/3 of the width)", 1,
         CLI_MAX_INT, false},
        {0, "vocab", CLI_INT, &s->vocab, "N", "vocabulary, default 32000", 1, CLI_MAX_INT, false},
        {0, "latent-rank", CLI_INT, &s->latent_rank, "N", "MLA: values of the latent vector", 1, CLI_MAX_INT,
         false},
        {0, "rope-dims", CLI_INT, &s->rope_dims, "N", "MLA: values of the RoPE key", 1, CLI_MAX_INT, false},
        {0, "query-rank", CLI_INT, &s->query_rank, "N", "MLA: values of q's latent vector (default: none)", 1,
         CLI_MAX_INT, false},
        {0, "window", CLI_INT, &s->window, "N", "keys that a query of a window layer sees", 1, CLI_MAX_INT,
         false},
        {0, "window-pattern", CLI_INT, &s->window_pattern, "N",
         "every N-th layer is global (default: none is)", 1, CLI_MAX_INT, false},
        {0, "sinks", CLI_INT, &s->sinks, "N", "first tokens that window layers keep", 1, CLI_MAX_INT, false},
        {0, "csv", CLI_FLAG, &o->csv, NULL, "print CSV", 0, 0, false},
        {0, "html", CLI_TEXT, &o->files.html, "FILE", "write a page with tables and plots, too", 0, 0, false},
        {0, "svg", CLI_TEXT, &o->files.svg, "FILE", "write the plots, too", 0, 0, false},
        {0, "png", CLI_TEXT, &o->files.png, "FILE", "the same as pixels", 0, 0, false},
        {0, "plot", CLI_TEXT, &o->files.plot, "NAME",
         "of --svg and --png: cache, speed, requests, roofline or tenants (default: all)", 0, 0, false},
        CLI_OPTIONS_CONTEXT(&o->common),
        CLI_OPTIONS_END,
    };
    const char **files;
    int n_files;
    const int code =
        cli_parse(argc, argv, table,
                  "what an attention design costs on a machine: memory, time, how many users.\n"
                  "The input is a GGUF, a transformers config.json, a scenario, or a shape by options.",
                  "[FILE]", 1, &files, &n_files);
    if (code == CLI_GO_ON && n_files) o->input = files[0];
    return code;
}

static int check(const plan_options *o)
{
    if (o->csv && o->common.json) return cli_error(CLI_USAGE, "--csv and --json: give one of them");
    if (o->machine && o->calibrate)
        return cli_error(CLI_USAGE, "--calibrate is for this machine: give no --machine");
    const int code = plan_files_check(&o->files);
    return code == CLI_DONE ? CLI_GO_ON : code;
}

static int report(const plan_options *o, const plan_input *in)
{
    static const mqa_variant all[] = {MQA_VARIANT_MHA, MQA_VARIANT_GQA8, MQA_VARIANT_GQA4,
                                      MQA_VARIANT_MQA, MQA_VARIANT_MLA,  MQA_VARIANT_WINDOW};
    const mqa_scenario *s = &in->scenario;
    const mqa_variant *variants = s->n_designs > 0 ? s->designs : all;
    const int n = s->n_designs > 0 ? s->n_designs : (int)(sizeof all / sizeof all[0]);
    mqa_report *r = malloc(sizeof *r);
    if (!r) return cli_error(CLI_FAILED, "no memory for a report");
    mqa_error err;
    mqa_status status = mqa_report_make(&in->design, variants, n, &in->machine, &s->demand, r, &err);
    if (status == MQA_OK) status = plan_files_write(&o->files, r, s->title, s->question, &err);
    if (status == MQA_OK) {
        if (o->common.json)
            plan_print_json(r);
        else if (o->csv)
            plan_print_csv(r);
        else
            plan_print_table(r);
    }
    free(r);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

int cli_plan(int argc, char **argv)
{
    static plan_options o = {.common = CLI_COMMON_DEFAULT,
                             .generate = -1,
                             .requests = -1,
                             .shared = -1,
                             .chunk = -1,
                             .page_tokens = -1};
    static plan_input in;
    o.common.kv[0] = o.common.kv[1] = (mqa_kv_type)MQA_KV_TYPES;
    int code = parse(argc, argv, &o);
    if (code == CLI_GO_ON) code = check(&o);
    if (code != CLI_GO_ON) return code;
    if (o.machine && strcmp(o.machine, "list") == 0) {
        plan_print_machines(o.common.json);
        return CLI_DONE;
    }
    cli_catch_interrupt();
    if (o.calibrate && !o.input && o.shape.layers == 0) {
        code = plan_this_machine(&o.common, true, &in.machine);
        return code == CLI_GO_ON ? CLI_DONE : code;
    }
    code = plan_read_input(&o, &in);
    return code == CLI_GO_ON ? report(&o, &in) : code;
}
