/* The cases of data/rope.bin (scripts/golden_rope.py has its format): configurations, and vectors that
 * transformers turned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KERNELS_ROPE_GOLDEN_H
#define TESTS_KERNELS_ROPE_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/rope.h"

enum { GOLDEN_DIMS = 128, GOLDEN_POSITIONS = 8 };

typedef struct golden_case {
    char name[33];
    int head_dim, n_positions;
    mqa_rope_config config;
    double freq_factors[GOLDEN_DIMS / 2];
    double frequencies[GOLDEN_DIMS / 2], attention_factor; /* by float64: what config must come to */
    float x[GOLDEN_DIMS];
    struct {
        int64_t position;
        float by_float32[GOLDEN_DIMS], by_float64[GOLDEN_DIMS];
    } turned[GOLDEN_POSITIONS];
} golden_case;

static FILE *golden_open(void)
{
    FILE *f = fopen(MQA_TEST_DATA "/rope.bin", "rb");
    assert_non_null(f);
    return f;
}

static void golden_read(FILE *f, void *out, size_t size)
{
    assert_int_equal(fread(out, 1, size, f), size);
}

/* 0 at the end of the file. */
static int golden_next(FILE *f, golden_case *g)
{
    int32_t n[8];
    double d[8];
    memset(g, 0, sizeof *g);
    if (fread(g->name, 1, 32, f) != 32) return 0;
    golden_read(f, n, sizeof n);
    golden_read(f, d, sizeof d);
    g->head_dim = n[0];
    g->n_positions = n[7];
    g->config = mqa_rope_config_default();
    g->config.n_dims = n[1], g->config.first_dim = n[2];
    g->config.style = (mqa_rope_style)n[3], g->config.scaling = (mqa_rope_scaling)n[4];
    g->config.truncate = n[5];
    g->config.base = d[0], g->config.factor = d[1], g->config.original_context = d[2];
    g->config.low_freq_factor = d[3], g->config.high_freq_factor = d[4];
    g->config.beta_fast = d[5], g->config.beta_slow = d[6];
    g->config.attention_factor = d[7];
    assert_true(g->head_dim <= GOLDEN_DIMS && g->n_positions <= GOLDEN_POSITIONS && n[1] <= g->head_dim);

    const size_t pairs = (size_t)n[1] / 2, head_bytes = (size_t)g->head_dim * sizeof(float);
    if (n[6]) golden_read(f, g->freq_factors, pairs * sizeof(double));
    golden_read(f, g->frequencies, pairs * sizeof(double));
    golden_read(f, &g->attention_factor, sizeof(double));
    golden_read(f, g->x, head_bytes);
    for (int i = 0; i < g->n_positions; i++) {
        golden_read(f, &g->turned[i].position, sizeof(int64_t));
        golden_read(f, g->turned[i].by_float32, head_bytes);
        golden_read(f, g->turned[i].by_float64, head_bytes);
    }
    if (n[6]) g->config.freq_factors = g->freq_factors;
    return 1;
}

#endif
