/* mqa inspect: which head attends where.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* A line of /proc/self/status in bytes; 0 where there is none. */
static size_t memory_of(const char *field)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0) sscanf(line + strlen(field), ": %llu", &kib);
    if (file) fclose(file);
    return (size_t)kib * 1024;
}

/* Loading reads the whole file through memory; what comes after is measured from here on. */
static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (!file) return;
    fputs("5", file);
    fclose(file);
}

static int check_options(const inspect_job *job)
{
    if (!job->model_path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    if (job->prompt && job->files.n > 0)
        return cli_error(CLI_USAGE, "both a prompt and a file: give -p or -f, or neither to read stdin");
    if (job->separator && !*job->separator)
        return cli_error(CLI_USAGE, "an empty --separator: give some text");
    if (strcmp(job->fold, "mean") != 0 && strcmp(job->fold, "max") != 0)
        return cli_error(CLI_USAGE, "'%.80s' for --fold: give mean or max", job->fold);
    if (job->bins & (job->bins - 1))
        return cli_error(CLI_USAGE, "%" PRId64 " for --bins: give a power of two from %d to %d", job->bins,
                         MQA_MAP_LEAST_BINS, MQA_MAP_MOST_BINS);
    return CLI_DONE;
}

/* Layers and heads asked for must be there. */
static int check_named(const cli_list *list, int n, const char *what)
{
    for (int i = 0; i < list->n; i++)
        if (list->at[i] >= n)
            return cli_error(CLI_FAILED, "there is no %s %" PRId64 ": they go from 0 to %d", what,
                             list->at[i], n - 1);
    return CLI_DONE;
}

static int check_length(const inspect_job *job)
{
    const int64_t n = (int64_t)job->tokens.n, most = job->context ? job->context : job->info.context_length;
    if (n <= most) return CLI_DONE;
    return cli_error(CLI_FAILED,
                     "the text has %" PRId64 " tokens, more than the %s of %" PRId64
                     ": take its beginning by -n %" PRId64 ", or go beyond by -c %" PRId64,
                     n, job->context ? "-c" : "model's context", most, most, n);
}

static mqa_inspect_options options_of(const inspect_job *job)
{
    static char label[] = "looking";
    mqa_inspect_options o = mqa_inspect_options_default();
    o.n_sinks = (int)job->sinks;
    for (int i = 0; i < job->windows.n; i++) o.windows[o.n_windows++] = job->windows.at[i];
    for (int64_t window = 64; job->windows.n == 0 && window < (int64_t)job->tokens.n && window <= 4096;
         window *= 4)
        o.windows[o.n_windows++] = window;
    for (int i = 0; i < job->n_documents; i++) o.documents[o.n_documents++] = job->documents[i].first;
    o.fold = strcmp(job->fold, "max") == 0 ? MQA_MAP_MAX : MQA_MAP_MEAN;
    o.max_bins = (int)job->bins;
    o.k_type = job->common.kv[0];
    o.v_type = job->common.kv[1];
    o.kv_plain = job->common.kv_plain;
    o.progress = cli_progress;
    o.progress_user = label;
    return o;
}

static int look(inspect_job *job)
{
    mqa_inspect_options options = options_of(job);
    inspect_npy *npy = NULL;
    if (job->npy) {
        const int code = inspect_npy_open(job, &npy);
        if (code != CLI_DONE) return code;
        options.row = inspect_npy_row;
        options.row_user = npy;
    }
    job->loaded_bytes = memory_of("VmRSS");
    forget_peak();
    mqa_error err;
    const double start = cli_now();
    const mqa_status status =
        mqa_inspect(job->model, &options, job->tokens.ids, (int64_t)job->tokens.n, &cli_stop, &job->in, &err);
    job->seconds = cli_now() - start;
    job->peak_bytes = memory_of("VmHWM");
    cli_progress_clear();
    const int code = npy ? inspect_npy_close(&npy, status == MQA_OK) : CLI_DONE;
    return status == MQA_OK ? code : cli_error_status(status, &err);
}

static int work(inspect_job *job)
{
    int code = check_options(job);
    if (code != CLI_DONE) return code;
    cli_catch_interrupt();
    code = inspect_read(job);
    if (code == CLI_DONE) code = check_length(job);
    if (code == CLI_DONE) code = check_named(&job->layers, job->info.n_layers, "layer");
    if (code == CLI_DONE) code = check_named(&job->heads, job->info.n_heads, "head");
    if (code == CLI_DONE) code = look(job);
    if (code == CLI_DONE && job->csv) code = inspect_write_csv(job);
    if (code == CLI_DONE && job->html) code = inspect_write_page(job);
    if (code == CLI_DONE && job->png) code = inspect_write_sheet(job);
    if (code == CLI_DONE && job->maps) code = inspect_write_maps(job);
    if (code != CLI_DONE) return code;
    if (job->common.json)
        inspect_print_json(job);
    else
        inspect_print_table(job);
    return CLI_DONE;
}

int cli_inspect(int argc, char **argv)
{
    static inspect_job job = {.common = CLI_COMMON_DEFAULT, .fold = "mean", .sinks = 4, .bins = 256};
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&job.model_path),
        {'p', "prompt", CLI_TEXT, &job.prompt, "TEXT", "the text", 0, 0, false},
        {'f', "file", CLI_TEXTS, &job.files, "FILE",
         "the text (default: stdin); several times: several documents, one after the other", 0, 0, false},
        {0, "separator", CLI_TEXT, &job.separator, "TEXT",
         "ends a document wherever it stands in the text, and belongs to it", 0, 0, false},
        {'n', "tokens", CLI_INT, &job.most_tokens, "N", "take the first N tokens only", 1,
         MQA_INSPECT_MAX_TOKENS, false},
        {'c', "ctx-size", CLI_INT, &job.context, "N",
         "tokens allowed (default: what the model was trained for)", 1, MQA_INSPECT_MAX_TOKENS, false},
        {'w', "window", CLI_LIST, &job.windows, "N,…",
         "windows whose loss is asked for (default: 64,256,1024,4096, as far as the text goes)", 1,
         MQA_INSPECT_MAX_TOKENS, false},
        {0, "sinks", CLI_INT, &job.sinks, "N", "first tokens that count as sinks, default 4", 0,
         MQA_INSPECT_MAX_SINKS, false},
        {0, "bins", CLI_INT, &job.bins, "N", "bins along a map's side at most, a power of two, default 256",
         MQA_MAP_LEAST_BINS, MQA_MAP_MOST_BINS, false},
        {0, "fold", CLI_TEXT, &job.fold, "mean|max",
         "what a bin shows: its share of attention (default), or its largest probability", 0, 0, false},
        {0, "layers", CLI_LIST, &job.layers, "N,…", "layers whose maps are written (default: all)", 0, 65535,
         false},
        {0, "heads", CLI_LIST, &job.heads, "N,…", "heads whose maps are written (default: all)", 0, 65535,
         false},
        {0, "html", CLI_TEXT, &job.html, "FILE", "write a page to look into the maps with", 0, 0, false},
        {0, "png", CLI_TEXT, &job.png, "FILE", "write the maps on one sheet, a PNG", 0, 0, false},
        {0, "maps", CLI_TEXT, &job.maps, "FOLDER", "write each map, a PNG, into this folder", 0, 0, false},
        {0, "csv", CLI_TEXT, &job.csv, "FILE", "write the figures, a head a line", 0, 0, false},
        {0, "npy", CLI_TEXT, &job.npy, "FILE",
         "write all probabilities, float32 [layers][heads][tokens][tokens], for NumPy", 0, 0, false},
        CLI_OPTIONS_SESSION(&job.common),
        CLI_OPTIONS_CONTEXT(&job.common),
        CLI_OPTIONS_END,
    };
    int code =
        cli_parse(argc, argv, table,
                  "which head attends where in a text: entropy, span, sinks, documents, what windows would "
                  "lose,\nand whether the heads of a layer, which share K and V, differ.",
                  NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    code = work(&job);
    mqa_inspection_destroy(&job.in);
    mqa_model_destroy(&job.model);
    mqa_context_destroy(&job.ctx);
    mqa_tokens_free(&job.tokens);
    return code;
}
