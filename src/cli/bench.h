/* What the benchmarks share: order statistics and random data.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_BENCH_H
#define MQA_CLI_BENCH_H

#include <stdint.h>

#include "args.h"

enum { BENCH_MAX_REPEATS = 1000 };

void bench_sort(double *x, int n);
double bench_median(const double *sorted, int n);

uint64_t bench_random(uint64_t *state);
void bench_fill(uint64_t *state, float *x, size_t n); /* evenly from [-1, 1) */
/* Values first .. first + n - 1 of one of 2^24 streams: they can be had in any order, by others too. */
void bench_fill_at(uint64_t stream, uint64_t first, float *x, size_t n);

#endif
