/* What the examples share: stopping at the first error, and numbers that stand for a model's.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_EXAMPLES_TOY_H
#define MQA_EXAMPLES_TOY_H

#include <mqa/mqa.h>
#include <stdio.h>
#include <stdlib.h>

static mqa_error err;

static void must(mqa_status status)
{
    if (!status) return;
    fprintf(stderr, "%s: %s\n", mqa_status_name(status), err.message);
    exit(1);
}

/* Stands for a model's projections: n numbers of a token, another set for q, k, v of each layer. */
static void project(int set, int64_t token, int n, float *out)
{
    uint32_t x = (uint32_t)token * 2654435761u + (uint32_t)set * 40503u + 1;
    for (int i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        out[i] = (float)(x >> 8) / (float)(1 << 23) - 1;
    }
}

#endif
