/* What the files of `mqa compare` share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_COMPARE_H
#define MQA_CLI_COMPARE_H

#include "args.h"
#include "base/new_file.h"
#include "compare/compare.h"

typedef struct compare_job {
    cli_common common;
    const char *path, *designs, *weights, *machine_name;
    const char *csv, *png; /* where to write, or NULL */
    cli_list contexts, requests;
    int64_t layers, embd, heads, head_dim, ff, vocab, chunk, rounds;
    size_t memory;
    bool quick, no_prompts, calibrate;

    mqa_context *ctx;
    mqa_machine machine;
    mqa_compare *compare;
    const mqa_compare_result *result;
    mqa_new_file csv_file, png_file; /* opened before anything is measured */
} compare_job;

void compare_print_table(const compare_job *job);
void compare_print_json(const compare_job *job);
/* A line for each cell. */
void compare_write_csv(const compare_job *job, FILE *out);
/* Measured and planned times against the context. */
mqa_status compare_write_png(const compare_job *job, FILE *out, mqa_error *err);

#endif
