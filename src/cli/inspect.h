/* What the files of `mqa inspect` share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_INSPECT_H
#define MQA_CLI_INSPECT_H

#include "args.h"
#include "inspect/inspect.h"

typedef struct inspect_document {
    char name[160]; /* one line */
    int64_t first, n_tokens;
} inspect_document;

typedef struct inspect_job {
    cli_common common;
    const char *model_path, *prompt, *separator, *fold;
    cli_texts files;
    cli_list windows, layers, heads;
    int64_t most_tokens, context, sinks, bins;
    const char *csv, *npy, *png, *maps, *html; /* where to write, or NULL; maps: a folder */

    mqa_context *ctx;
    mqa_model *model;
    mqa_model_info info;
    mqa_tokens tokens;
    inspect_document documents[MQA_INSPECT_DOCUMENTS];
    int n_documents;
    mqa_inspection *in;
    double seconds;
    size_t loaded_bytes,
        peak_bytes; /* resident, with the model loaded and at most after that; 0: not known */
} inspect_job;

/* The texts as tokens, document by document. Exit code 0, 1 or 2. */
int inspect_read(inspect_job *job);

/* Heads alike: the mean over a layer's other heads of a matrix's row; 1 (or 0) on the diagonal is left out.
 */
double inspect_mean_of_others(const mqa_inspection *in, const double *matrices, int layer, int head);

void inspect_print_table(const inspect_job *job);
void inspect_print_json(const inspect_job *job);
/* Figures of each head, a line each. Exit code 0 or 1. */
int inspect_write_csv(const inspect_job *job);
/* Maps: in a file each, on one sheet, in a page to look into. Exit code 0 or 1. */
int inspect_write_maps(const inspect_job *job);
int inspect_write_sheet(const inspect_job *job);
int inspect_write_page(const inspect_job *job);

/* All probabilities as an array of float32 [layers][heads][tokens][tokens], in NumPy's file format, written
 * as they come. open and close give an exit code. */
typedef struct inspect_npy inspect_npy;
int inspect_npy_open(const inspect_job *job, inspect_npy **out);
void inspect_npy_row(void *npy, int layer, int head, int64_t query, int64_t first_key, const float *p, int n);
int inspect_npy_close(inspect_npy **npy, bool keep);

#endif
