/* What `mqa inspect` prints: a table, an object, lines of commas.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect.h"

#include "base/new_file.h"
#include <inttypes.h>
#include <stdio.h>

double inspect_mean_of_others(const mqa_inspection *in, const double *matrices, int layer, int head)
{
    if (in->n_heads < 2) return 0;
    const double *row = matrices + ((size_t)layer * (size_t)in->n_heads + (size_t)head) * (size_t)in->n_heads;
    double sum = 0;
    for (int i = 0; i < in->n_heads; i++) sum += i == head ? 0 : row[i];
    return sum / (in->n_heads - 1);
}

/* ---- the table ---- */

static void print_windows(const inspect_job *job, const char *before, const char *format)
{
    for (int i = 0; i < job->in->options.n_windows; i++) {
        char text[24];
        snprintf(text, sizeof text, format, (long long)job->in->options.windows[i]);
        printf("%s%6s", before, text);
    }
}

static void print_header(const inspect_job *job)
{
    const mqa_inspection *in = job->in;
    printf("%s%s%s: %d layers of %d heads on %d KV head%s; %" PRId64 " tokens", job->info.arch,
           job->info.name[0] ? " " : "", job->info.name, in->n_layers, in->n_heads, in->n_kv_heads,
           in->n_kv_heads == 1 ? "" : "s", in->n_tokens);
    if (job->n_documents > 1) printf(" of %d documents", job->n_documents);
    printf(
        "\nShares are %% of a head's attention, means over all queries; 'lost at W': what lies outside of a "
        "window of W tokens.\n\n");
    printf("%5s %6s %4s %7s %6s %6s %7s %7s %6s", "", "", "", "entropy", "", "prev-", "span", "span",
           "sinks");
    print_windows(job, " ", in->options.n_windows ? "lost" : "");
    printf(" %7s\n", "same as");
    printf("%5s %6s %4s %7s %6s %6s %7s %7s %6s", "layer", "sees", "head", "bits", "self", "ious", "50 %",
           "90 %", "");
    print_windows(job, " ", "@%lld");
    printf(" %7s\n", "others");
}

static void print_head(const inspect_job *job, int layer, int head)
{
    const mqa_inspection *in = job->in;
    const mqa_head_figures *f = mqa_inspection_head(in, layer, head);
    char number[16], sees[16] = "all";
    snprintf(number, sizeof number, "%d", layer);
    if (in->layer_window[layer]) snprintf(sees, sizeof sees, "%d", in->layer_window[layer]);
    printf("%5s %6s %4d %7.2f %6.1f %6.1f %7.0f %7.0f %6.1f", head == 0 ? number : "", head == 0 ? sees : "",
           head, f->entropy, 100 * f->self, 100 * f->previous, f->span50, f->span90, 100 * f->sinks);
    for (int i = 0; i < in->options.n_windows; i++) printf(" %6.1f", 100 * f->lost[i]);
    printf(" %7.1f\n", 100 * inspect_mean_of_others(in, in->overlap, layer, head));
}

/* Share of attention that the queries of each document have on each, mean over all heads. */
static void print_documents(const inspect_job *job)
{
    const mqa_inspection *in = job->in;
    const size_t n = (size_t)job->n_documents, heads = (size_t)in->n_layers * (size_t)in->n_heads;
    printf("\nattention on documents, %%, mean over all heads (queries of the line's, keys of the "
           "column's)\n%-24s",
           "");
    for (size_t i = 0; i < n; i++) printf(" %6zu", i);
    printf("\n");
    for (size_t from = 0; from < n; from++) {
        printf("%2zu %-21.21s", from, job->documents[from].name);
        for (size_t on = 0; on <= from; on++) {
            double sum = 0;
            for (size_t head = 0; head < heads; head++) sum += in->on_document[(head * n + from) * n + on];
            printf(" %6.1f", 100 * sum / (double)heads);
        }
        printf("\n");
    }
}

static double layer_overlap(const mqa_inspection *in, int layer)
{
    double sum = 0;
    for (int head = 0; head < in->n_heads; head++)
        sum += inspect_mean_of_others(in, in->overlap, layer, head);
    return sum / in->n_heads;
}

static void print_overlap(const mqa_inspection *in)
{
    int least = 0, most = 0;
    double sum = 0;
    for (int i = 0; i < in->n_layers; i++) {
        const double x = layer_overlap(in, i);
        sum += x;
        if (x < layer_overlap(in, least)) least = i;
        if (x > layer_overlap(in, most)) most = i;
    }
    printf("\nTwo heads of a layer look at the same tokens with %.0f %% of their attention (layer %d: %.0f "
           "%%, layer "
           "%d: %.0f %%).\n",
           100 * sum / in->n_layers, least, 100 * layer_overlap(in, least), most,
           100 * layer_overlap(in, most));
}

void inspect_print_table(const inspect_job *job)
{
    const mqa_inspection *in = job->in;
    print_header(job);
    for (int layer = 0; layer < in->n_layers; layer++)
        for (int head = 0; head < in->n_heads; head++) print_head(job, layer, head);
    if (in->on_document) print_documents(job);
    if (in->n_heads > 1 && in->n_compared > 0) print_overlap(in);
    printf("%.1f s", job->seconds);
    if (job->peak_bytes)
        printf("; memory at most %s, %s of it beyond the loaded model", cli_bytes((double)job->peak_bytes),
               cli_bytes((double)job->peak_bytes - (double)job->loaded_bytes));
    printf("; KV cache %s, analysis %s\n", cli_bytes((double)in->kv_bytes),
           cli_bytes((double)in->work_bytes));
}

/* ---- JSON ---- */

static json_t *list_of(const double *x, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(x[i]));
    return list;
}

static json_t *matrix_of(const double *x, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, list_of(x + i * n, n));
    return list;
}

static json_t *head_json(const inspect_job *job, int layer, int head)
{
    const mqa_inspection *in = job->in;
    const mqa_head_figures *f = mqa_inspection_head(in, layer, head);
    const size_t windows = (size_t)in->options.n_windows, n = (size_t)job->n_documents;
    json_t *o = json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "head", head, "entropy_bits",
                          f->entropy, "self", f->self, "previous", f->previous, "span50", f->span50, "span90",
                          f->span90, "sinks", f->sinks, "lost", list_of(f->lost, windows), "lost_sinks_kept",
                          list_of(f->lost_no_sinks, windows));
    if (o && in->on_document)
        json_object_set_new(
            o, "documents",
            matrix_of(in->on_document + ((size_t)layer * (size_t)in->n_heads + (size_t)head) * n * n, n));
    return o;
}

static json_t *layer_json(const inspect_job *job, int layer)
{
    const mqa_inspection *in = job->in;
    const size_t n = (size_t)in->n_heads;
    json_t *heads = json_array();
    for (int head = 0; head < in->n_heads; head++) json_array_append_new(heads, head_json(job, layer, head));
    return json_pack("{s:i, s:i, s:o, s:o, s:o}", "layer", layer, "window", in->layer_window[layer], "heads",
                     heads, "divergence_bits", matrix_of(in->divergence + (size_t)layer * n * n, n),
                     "overlap", matrix_of(in->overlap + (size_t)layer * n * n, n));
}

void inspect_print_json(const inspect_job *job)
{
    const mqa_inspection *in = job->in;
    json_t *layers = json_array(), *documents = json_array(), *windows = json_array();
    for (int i = 0; i < in->n_layers; i++) json_array_append_new(layers, layer_json(job, i));
    for (int i = 0; i < job->n_documents; i++)
        json_array_append_new(documents, json_pack("{s:s, s:I, s:I}", "name", job->documents[i].name, "first",
                                                   (json_int_t)job->documents[i].first, "tokens",
                                                   (json_int_t)job->documents[i].n_tokens));
    for (int i = 0; i < in->options.n_windows; i++)
        json_array_append_new(windows, json_integer(in->options.windows[i]));
    cli_print_json(json_pack(
        "{s:s, s:s, s:I, s:i, s:i, s:o, s:i, s:o, s:s, s:s, s:I, s:f, s:I, s:I, s:I, s:I, s:o}", "arch",
        job->info.arch, "name", job->info.name, "tokens", (json_int_t)in->n_tokens, "heads", in->n_heads,
        "kv_heads", in->n_kv_heads, "documents", documents, "sinks", in->options.n_sinks, "windows", windows,
        "k_type", mqa_kv_type_name(in->options.k_type), "v_type", mqa_kv_type_name(in->options.v_type),
        "compared_queries", (json_int_t)in->n_compared, "seconds", job->seconds, "loaded_bytes",
        (json_int_t)job->loaded_bytes, "peak_bytes", (json_int_t)job->peak_bytes, "kv_bytes",
        (json_int_t)in->kv_bytes, "work_bytes", (json_int_t)in->work_bytes, "layers", layers));
}

/* ---- CSV ---- */

static void csv_line(FILE *file, const inspect_job *job, int layer, int head)
{
    const mqa_inspection *in = job->in;
    const mqa_head_figures *f = mqa_inspection_head(in, layer, head);
    fprintf(file, "%d,%d,%d,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", layer, head, in->layer_window[layer], f->entropy,
            f->self, f->previous, f->span50, f->span90, f->sinks);
    for (int i = 0; i < in->options.n_windows; i++) fprintf(file, ",%.9g", f->lost[i]);
    for (int i = 0; i < in->options.n_windows; i++) fprintf(file, ",%.9g", f->lost_no_sinks[i]);
    fprintf(file, ",%.9g,%.9g\n", inspect_mean_of_others(in, in->overlap, layer, head),
            inspect_mean_of_others(in, in->divergence, layer, head));
}

static void csv_header(FILE *file, const mqa_inspect_options *o)
{
    fputs("layer,head,window,entropy_bits,self,previous,span50,span90,sinks", file);
    for (int i = 0; i < o->n_windows; i++) fprintf(file, ",lost_%" PRId64, o->windows[i]);
    for (int i = 0; i < o->n_windows; i++) fprintf(file, ",lost_sinks_kept_%" PRId64, o->windows[i]);
    fputs(",overlap_others,divergence_others_bits\n", file);
}

int inspect_write_csv(const inspect_job *job)
{
    mqa_error err;
    mqa_new_file file;
    mqa_status status = mqa_new_file_open(job->csv, &file, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    csv_header(file.stream, &job->in->options);
    for (int layer = 0; layer < job->in->n_layers; layer++)
        for (int head = 0; head < job->in->n_heads; head++) csv_line(file.stream, job, layer, head);
    status = mqa_new_file_finish(&file, &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}
