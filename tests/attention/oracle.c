/* The formula in float64, with no other thought.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "harness.h"

static double *doubles(int64_t n)
{
    double *x = calloc((size_t)n, sizeof *x);
    if (!x) abort();
    return x;
}

static double score_of(const problem *p, row_id row, int64_t t, double *size, double *square)
{
    const problem_shape *s = &p->shape;
    const int kv = row.head / (s->n_heads / s->n_kv_heads);
    const float *q = p->q[row.sequence] + (row.query * s->n_heads + row.head) * s->d;
    const float *k = p->k[row.sequence] + (t * s->n_kv_heads + kv) * s->d;
    double score = 0;
    *size = *square = 0;
    for (int c = 0; c < s->d; c++) {
        const double x = (double)q[c] * (double)k[c];
        score += x;
        *size += fabs(x);
        *square += x * x;
    }
    *size *= fabs((double)p->sm_scale);
    *square = sqrt(*square) * fabs((double)p->sm_scale);
    score *= (double)p->sm_scale;
    if (s->softcap > 0) score = (double)s->softcap * tanh(score / (double)s->softcap);
    const int64_t position = position_of(p, row.sequence, row.query);
    if (p->slopes) score += (double)p->slopes[row.head] * (double)(t - position);
    return score;
}

oracle_row oracle_of(const problem *p, row_id row)
{
    const problem_shape *s = &p->shape;
    const int64_t n = s->of[row.sequence].n;
    const int kv = row.head / (s->n_heads / s->n_kv_heads);
    oracle_row r = {.out = doubles(s->d_v),
                    .score = doubles(n),
                    .p = doubles(n),
                    .size = doubles(n),
                    .square = doubles(n)};
    double max = p->sinks ? (double)p->sinks[row.head] : -INFINITY;
    for (int64_t t = 0; t < n; t++) {
        r.p[t] = -1;
        if (!sees(p, row.sequence, row.query, t)) continue;
        r.p[t] = 0;
        r.score[t] = score_of(p, row, t, &r.size[t], &r.square[t]);
        r.n_seen++;
        if (r.score[t] > max) max = r.score[t];
    }
    double sum = p->sinks ? exp((double)p->sinks[row.head] - max) : 0;
    for (int64_t t = 0; t < n; t++) sum += r.p[t] = r.p[t] < 0 ? 0 : exp(r.score[t] - max);
    for (int64_t t = 0; t < n && sum > 0; t++) {
        r.p[t] /= sum;
        const float *v = p->v[row.sequence] + (t * s->n_kv_heads + kv) * s->d_v;
        for (int c = 0; c < s->d_v && r.p[t] > 0; c++) r.out[c] += r.p[t] * (double)v[c];
    }
    r.lse = sum > 0 ? max + log(sum) : -INFINITY;
    return r;
}

void free_oracle_row(oracle_row *r)
{
    free(r->out), free(r->score), free(r->p), free(r->size), free(r->square);
}

answer oracle(const problem *p)
{
    const problem_shape *s = &p->shape;
    answer a = {0};
    for (int i = 0; i < s->n_sequences; i++) {
        const int64_t rows = s->of[i].n_queries * s->n_heads;
        a.out[i] = malloc((size_t)(rows * s->d_v) * sizeof(float));
        a.lse[i] = malloc((size_t)rows * sizeof(float));
        for (int64_t j = 0; j < rows; j++) {
            oracle_row r = oracle_of(p, (row_id){i, j / s->n_heads, (int)(j % s->n_heads)});
            for (int c = 0; c < s->d_v; c++) a.out[i][j * s->d_v + c] = (float)r.out[c];
            a.lse[i][j] = (float)r.lse;
            free_oracle_row(&r);
        }
    }
    return a;
}
