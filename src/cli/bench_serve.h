/* What `mqa bench serve` measured, for its picture.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_BENCH_SERVE_H
#define MQA_CLI_BENCH_SERVE_H

#include <stdio.h>

#include "load.h"
#include "mqa/status.h"

typedef struct bench_serve_result {
    const load_request *requests;
    int64_t n_requests;
    int n_keys;
    const double *gaps; /* [n_gaps], ascending */
    size_t n_gaps;
    const char *summary; /* a line for below the titles */
} bench_serve_result;

/* Both distributions, first tokens by key where there are a few. */
mqa_status bench_serve_png(const bench_serve_result *result, FILE *out, mqa_error *err);

#endif
