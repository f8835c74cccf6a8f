/* mqa bench: picks the benchmark. And what the benchmarks share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *full_name, *summary;
    int (*main)(int argc, char **argv);
} benches[] = {
    {"model", "bench model", "prompts and generation, tokens a second", cli_bench_model},
    {"attention", "bench attention", "one layer of attention beside its limit", cli_bench_attention},
    {"roofline", "bench roofline", "what memory, caches and arithmetic give", cli_bench_roofline},
    {"serve", "bench serve", "load on a server with OpenAI's completions", cli_bench_serve},
};
enum { N_BENCHES = sizeof benches / sizeof benches[0] };

int cli_bench(int argc, char **argv)
{
    if (argc < 2) return cli_error(CLI_USAGE, "no benchmark: give model, attention, roofline or serve");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        printf("Usage: mqa bench BENCHMARK [OPTION...]\n\n");
        for (int i = 0; i < N_BENCHES; i++) printf("  %-10s %s\n", benches[i].name, benches[i].summary);
        printf("\n'mqa help bench BENCHMARK' lists its options.\n");
        return CLI_DONE;
    }
    for (int i = 0; i < N_BENCHES; i++) {
        if (strcmp(argv[1], benches[i].name) != 0) continue;
        cli_command = benches[i].full_name;
        return benches[i].main(argc - 1, argv + 1);
    }
    return cli_error(CLI_USAGE, "no benchmark '%.80s': give model, attention, roofline or serve", argv[1]);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
}

double bench_median(const double *sorted, int n)
{
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

static const uint64_t random_step = 0x9e3779b97f4a7c15u; /* splitmix64 */

uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += random_step;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void bench_fill(uint64_t *state, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(bench_random(state) >> 40) * 0x1p-23f - 1.0f;
}

void bench_fill_at(uint64_t stream, uint64_t first, float *x, size_t n)
{
    uint64_t state = (stream << 40) + first * random_step;
    bench_fill(&state, x, n);
}
