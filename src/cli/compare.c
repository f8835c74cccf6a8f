/* mqa compare: designs of attention side by side, run, beside what the planner says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "compare.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "calibrate.h"
#include "plan.h"

static const cli_list all_contexts = {{512, 2048, 8192}, 3}, all_requests = {{1, 4, 16}, 3};
static const cli_list quick_contexts = {{256, 1024}, 2}, quick_requests = {{1, 4}, 2};

/* "mha,gqa-8": each once. */
static int parse_designs(const char *text, mqa_compare_options *o)
{
    while (o->n_variants < MQA_VARIANTS) {
        char name[24];
        mqa_error err;
        mqa_variant variant;
        const size_t n = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), text);
        if (mqa_variant_parse(name, &variant, &err) != MQA_OK)
            return cli_error(CLI_USAGE, "--designs: %s", err.message);
        for (int i = 0; i < o->n_variants; i++)
            if (o->variants[i] == variant) return cli_error(CLI_USAGE, "--designs: %s twice", name);
        o->variants[o->n_variants++] = variant;
        if (text[n] == 0) return CLI_GO_ON;
        text += n + 1;
    }
    return cli_error(CLI_USAGE, "--designs: more than the %d there are", MQA_VARIANTS);
}

static int take_list(const char *option, const cli_list *list, int64_t *out, int *n)
{
    for (int i = 0; i < list->n; i++) {
        if (i > 0 && list->at[i] <= list->at[i - 1])
            return cli_error(CLI_USAGE, "--%s: give them in ascending order", option);
        out[i] = list->at[i];
    }
    *n = list->n;
    return CLI_GO_ON;
}

static int random_model(const compare_job *job, int64_t context, mqa_random_model *out)
{
    mqa_error err;
    *out = (mqa_random_model){.n_layers = (int)job->layers,
                              .n_embd = (int)job->embd,
                              .n_ff = (int)job->ff,
                              .n_heads = (int)job->heads,
                              .head_dim = (int)job->head_dim,
                              .n_vocab = (int)job->vocab,
                              .context_length = (int)context};
    if (mqa_weights_parse(job->weights, &out->weights, &err) != MQA_OK)
        return cli_error(CLI_USAGE, "--weights: %s", err.message);
    return CLI_GO_ON;
}

static int options_of(const compare_job *job, mqa_compare_options *out)
{
    *out = (mqa_compare_options){.path = job->path,
                                 .k_type = job->common.kv[0],
                                 .v_type = job->common.kv[1],
                                 .chunk = (int)job->chunk,
                                 .rounds = (int)job->rounds,
                                 .prompts = !job->no_prompts,
                                 .memory = job->memory,
                                 .progress = cli_progress,
                                 .stop = &cli_stop};
    int code = parse_designs(job->designs, out);
    if (code == CLI_GO_ON) code = take_list("contexts", &job->contexts, out->contexts, &out->n_contexts);
    if (code == CLI_GO_ON) code = take_list("requests", &job->requests, out->batches, &out->n_batches);
    if (code == CLI_GO_ON) code = random_model(job, out->contexts[out->n_contexts - 1], &out->random);
    return code;
}

/* So that a path which can't be written is known before minutes have gone. */
static mqa_status open_files(compare_job *job, mqa_error *err)
{
    if (job->csv) MQA_TRY(mqa_new_file_open(job->csv, &job->csv_file, err));
    return job->png ? mqa_new_file_open(job->png, &job->png_file, err) : MQA_OK;
}

static mqa_status write_files(compare_job *job, mqa_error *err)
{
    if (job->csv) {
        compare_write_csv(job, job->csv_file.stream);
        MQA_TRY(mqa_new_file_finish(&job->csv_file, err));
    }
    if (!job->png) return MQA_OK;
    MQA_TRY(compare_write_png(job, job->png_file.stream, err));
    return mqa_new_file_finish(&job->png_file, err);
}

static int find_machine(compare_job *job)
{
    mqa_error err;
    if (job->calibrate) { /* until it is measured */
        job->machine = *mqa_machine_at(0);
        mqa_machine_assume(&job->machine);
        return CLI_GO_ON;
    }
    if (!job->machine_name) return plan_this_machine(&job->common, false, &job->machine);
    if (mqa_machine_find(job->machine_name, &job->machine, &err) != MQA_OK)
        return cli_error(CLI_USAGE, "--machine: %s", err.message);
    return CLI_GO_ON;
}

/* Calibration and comparison in turns: what a shared machine's memory gives changes by the minute, and a plan
 * is of the minutes that it was calibrated in. */
static mqa_status run_calibrating(compare_job *job, mqa_error *err)
{
    mqa_machine rounds[CALIBRATE_ROUNDS];
    fprintf(stderr, "calibrating and comparing in turns: some minutes in which others should rest\n");
    for (int i = 0; i < CALIBRATE_ROUNDS; i++) {
        MQA_TRY(calibrate_round(job->ctx, i, CALIBRATE_ROUNDS, &rounds[i], err));
        MQA_TRY(mqa_compare_run(job->compare, err));
        cli_progress_clear();
    }
    calibrate_middle(rounds, &job->machine);
    plan_keep_machine(job->ctx, &job->machine);
    return mqa_compare_plan(job->compare, &job->machine, err);
}

static int work(compare_job *job)
{
    mqa_compare_options options;
    mqa_error err;
    int code = options_of(job, &options);
    if (code != CLI_GO_ON) return code;
    code = find_machine(job);
    if (code != CLI_GO_ON) return code;
    code = cli_open_context(&job->common, &job->ctx);
    if (code != CLI_DONE) return code;
    mqa_status status = open_files(job, &err);
    if (status == MQA_OK) status = mqa_compare_create(job->ctx, &options, &job->machine, &job->compare, &err);
    if (status == MQA_OK)
        status = job->calibrate ? run_calibrating(job, &err) : mqa_compare_run(job->compare, &err);
    cli_progress_clear();
    if (status == MQA_OK) {
        job->result = mqa_compare_result_of(job->compare);
        status = write_files(job, &err);
    }
    if (status != MQA_OK) return cli_error_status(status, &err);
    (job->common.json ? compare_print_json : compare_print_table)(job);
    return CLI_DONE;
}

int cli_compare(int argc, char **argv)
{
    compare_job job = {.common = CLI_COMMON_DEFAULT,
                       .designs = "mha,gqa-8,gqa-4,mqa,mla",
                       .weights = "q8_0",
                       .layers = 4,
                       .embd = 512,
                       .heads = 16,
                       .head_dim = 64,
                       .ff = 1536,
                       .vocab = 4096,
                       .chunk = 512,
                       .rounds = 7,
                       .memory = (size_t)6 << 30};
    const cli_option table[] = {
        {'m', "model", CLI_TEXT, &job.path, "FILE",
         "a GGUF whose layers are used (llama, gemma3); else random", 0, 0, false},
        {0, "designs", CLI_TEXT, &job.designs, "NAME,...",
         "as-is, mha, gqa-8, gqa-4, mqa, mla; default mha,gqa-8,gqa-4,mqa,mla", 0, 0, false},
        {'c', "contexts", CLI_LIST, &job.contexts, "N,...", "tokens, default 512,2048,8192", 1, 1 << 24,
         false},
        {0, "requests", CLI_LIST, &job.requests, "N,...", "that decode at once, default 1,4,16", 1, 4096,
         false},
        {0, "no-prompts", CLI_FLAG, &job.no_prompts, NULL, "decoding only", 0, 0, false},
        {0, "quick", CLI_FLAG, &job.quick, NULL, "contexts 256,1024, requests 1,4, three rounds", 0, 0,
         false},
        {'r', "rounds", CLI_INT, &job.rounds, "N", "of alternating runs; default 7", 1, 64, false},
        {0, "memory", CLI_BYTES, &job.memory, "SIZE", "for all designs' caches together, default 6GiB", 1,
         CLI_MAX_INT, false},
        {0, "chunk", CLI_INT, &job.chunk, "N", "tokens of a prompt at once, default 512", 1, 65536, false},
        {0, "layers", CLI_INT, &job.layers, "N", "of the random model, default 4", 1, 1024, false},
        {0, "embd", CLI_INT, &job.embd, "N", "its width, default 512", 32, 65536, false},
        {0, "ff", CLI_INT, &job.ff, "N", "width inside its feed-forward part, default 1536", 32, 1 << 20,
         false},
        {0, "heads", CLI_INT, &job.heads, "N", "query heads, default 16", 1, 4096, false},
        {0, "head-dim", CLI_INT, &job.head_dim, "N", "values of a head, default 64", 2, 1024, false},
        {0, "vocab", CLI_INT, &job.vocab, "N", "tokens it knows, default 4096", 8, 1 << 24, false},
        {0, "weights", CLI_TEXT, &job.weights, "TYPE", "q8_0 (default), q4_0, bf16, f32", 0, 0, false},
        {0, "machine", CLI_TEXT, &job.machine_name, "NAME", "plan for a machine of the table, not this one",
         0, 0, false},
        {0, "calibrate", CLI_FLAG, &job.calibrate, NULL,
         "measure this machine anew, in turns with the designs", 0, 0, false},
        {0, "csv", CLI_TEXT, &job.csv, "FILE", "write a line for each figure", 0, 0, false},
        {0, "png", CLI_TEXT, &job.png, "FILE", "write a picture", 0, 0, false},
        CLI_OPTIONS_KV(&job.common),
        CLI_OPTIONS_CONTEXT(&job.common),
        CLI_OPTIONS_END,
    };
    int code =
        cli_parse(argc, argv, table,
                  "the same model with MHA, GQA, MQA and MLA: real decoding and prompts, beside the plan.",
                  NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (job.calibrate && job.machine_name)
        return cli_error(CLI_USAGE,
                         "--calibrate measures this machine, --machine names one: give one of them");
    if (job.quick) job.rounds = 3;
    if (job.calibrate) job.rounds = (job.rounds + CALIBRATE_ROUNDS - 1) / CALIBRATE_ROUNDS;
    if (job.contexts.n == 0) job.contexts = job.quick ? quick_contexts : all_contexts;
    if (job.requests.n == 0) job.requests = job.quick ? quick_requests : all_requests;
    cli_catch_interrupt();
    code = work(&job);
    mqa_new_file_abandon(&job.csv_file);
    mqa_new_file_abandon(&job.png_file);
    mqa_compare_destroy(&job.compare);
    mqa_context_destroy(&job.ctx);
    return code;
}
