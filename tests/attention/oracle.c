/* The formula in float64, with no other thought.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "harness.h"

static void row(const problem *p, int i, int64_t query, int head, float *out, float *lse)
{
    const problem_shape *s = &p->shape;
    const int kv = head / (s->n_heads / s->n_kv_heads);
    const int64_t position = s->n[i] - s->n_queries[i] + query;
    const int64_t lo = s->window && position + 1 > s->window ? position + 1 - s->window : 0;
    const float *q = p->q[i] + (query * s->n_heads + head) * s->d;
    double *score = malloc((size_t)(position + 1) * sizeof *score), max = -INFINITY, sum = 0;
    for (int64_t t = lo; t <= position; t++) {
        score[t] = 0;
        for (int c = 0; c < s->d; c++)
            score[t] += (double)q[c] * (double)p->k[i][(t * s->n_kv_heads + kv) * s->d + c];
        score[t] *= (double)p->sm_scale;
        if (score[t] > max) max = score[t];
    }
    for (int64_t t = lo; t <= position; t++) sum += score[t] = exp(score[t] - max);
    for (int c = 0; c < s->d_v; c++) {
        double x = 0;
        for (int64_t t = lo; t <= position; t++)
            x += score[t] * (double)p->v[i][(t * s->n_kv_heads + kv) * s->d_v + c];
        out[c] = (float)(x / sum);
    }
    *lse = (float)(max + log(sum));
    free(score);
}

answer oracle(const problem *p)
{
    const problem_shape *s = &p->shape;
    answer a;
    for (int i = 0; i < s->n_sequences; i++) {
        const int64_t rows = s->n_queries[i] * s->n_heads;
        a.out[i] = malloc((size_t)(rows * s->d_v) * sizeof(float));
        a.lse[i] = malloc((size_t)rows * sizeof(float));
        for (int64_t r = 0; r < rows; r++)
            row(p, i, r / s->n_heads, (int)(r % s->n_heads), a.out[i] + r * s->d_v, a.lse[i] + r);
    }
    return a;
}
