/* Bounds from what is rounded, not from what was seen: so they grow with Σ|q k| as the error does, and hold
 * for scores of any size. Independent roundings add up by their squares; 3 to 4 deviations are allowed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double U = 0x1p-24;       /* f32 rounds by so much, relatively */
static const double TINY = 0x1p-126;   /* the bf16 recipes take less for zero */
static const double TINY_P = 0x1p-125; /* exp gives 0 below e^-87 */
/* int8: a span whose largest p times V's scale is less than 65535 / FLT_MAX counts for zero. */
static const double TINY_W = 127 * 65535 / 0x1.fffffep127;

static const format_error exact_float = {.nmse_to_stored = 1e-12};
static const format_error fast_bf16 = {.q_relative = 0x1p-9, .p_relative = 0x1p-9, .nmse_to_stored = 1e-5};
static const format_error int8 = {
    .q_absolute = 0.5 / 16256, .p_absolute = 0.5 / 65535, .nmse_to_stored = 1e-8};

const format_error *format_error_of(mqa_kv_type type, bool fast)
{
    switch (type) {
    case MQA_KV_BF16:
        return fast ? &fast_bf16 : &exact_float;
    case MQA_KV_INT8:
        return &int8;
    default:
        return &exact_float;
    }
}

typedef struct row_values {
    const problem *p;
    row_id id;
    int kv;
    double q_largest, q_sum; /* of |q| sm_scale */
} row_values;

static const float *k_of(const row_values *r, int64_t t)
{
    const problem_shape *s = &r->p->shape;
    return r->p->k[r->id.sequence] + (t * s->n_kv_heads + r->kv) * s->d;
}

static const float *v_of(const row_values *r, int64_t t)
{
    const problem_shape *s = &r->p->shape;
    return r->p->v[r->id.sequence] + (t * s->n_kv_heads + r->kv) * s->d_v;
}

static row_values values_of_row(const problem *p, row_id id)
{
    const problem_shape *s = &p->shape;
    row_values r = {.p = p, .id = id, .kv = id.head / (s->n_heads / s->n_kv_heads)};
    const float *q = p->q[id.sequence] + (id.query * s->n_heads + id.head) * s->d;
    for (int c = 0; c < s->d; c++) {
        const double x = fabs((double)q[c] * (double)p->sm_scale);
        r.q_largest = fmax(r.q_largest, x);
        r.q_sum += x;
    }
    return r;
}

/* By how much token t's exponent may be wrong. */
static double score_error(const row_values *r, const oracle_row *right, const format_error *f, int64_t t)
{
    const problem_shape *s = &r->p->shape;
    const double distance = fabs((double)(t - position_of(r->p, r->id.sequence, r->id.query)));
    const double bias = r->p->slopes ? fabs((double)r->p->slopes[r->id.head]) * distance : 0;
    double k_square = 0;
    for (int c = 0; c < s->d && f->q_absolute > 0; c++)
        k_square += (double)k_of(r, t)[c] * (double)k_of(r, t)[c];
    /* The cap of a score shrinks its error, and adds its own. */
    const double roundings =
        fmin(s->d, 16) + fmax(log2(s->d / 16.0), 0); /* of a sum that a product is part of */
    return U * (4 + sqrt(roundings)) * right->size[t] + 4 * f->q_relative * right->square[t] +
           4 * f->q_absolute * r->q_largest * sqrt(k_square) + TINY * (r->q_sum + s->d) +
           8 * U * (fabs(right->score[t]) + fabs(right->lse) + bias + 1);
}

/* Of token t's V in blocks that are transformed: 1 for what was given, v_block for what is stored. Where V is
 * in K, all of K, whose scale it has. */
static double largest_v(const row_values *r, int64_t t, int block)
{
    const problem_shape *s = &r->p->shape;
    const int n = s->v_in_k ? s->d : s->d_v;
    double v[1024], a = 0;
    hadamard64(s->v_in_k ? k_of(r, t) : v_of(r, t), n, block, v);
    for (int c = 0; c < n; c++) a = fmax(a, fabs(v[c]));
    return a;
}

/* The length of one block of a vector: where o is transformed back, that is what each of its dims is rounded
 * in the size of. */
static double block_length(const float *x, int block)
{
    double square = 0;
    for (int c = 0; c < block; c++) square += (double)x[c] * (double)x[c];
    return sqrt(square);
}

/* Scores and sums that f32 can't hold make no number; near that, who knows. */
static bool beyond_f32(const row_values *r, const oracle_row *right)
{
    const double limit = 1e38;
    const int64_t n = r->p->shape.of[r->id.sequence].n;
    const double grows = sqrt(v_block(&r->p->shape)) * (double)n; /* at most, in a transform and a sum */
    for (int64_t t = 0; t < n; t++)
        if (right->size[t] > limit || fabs(right->score[t]) > limit || largest_v(r, t, 1) * grows > limit)
            return true;
    return false;
}

bool within_bounds(const problem *stored, row_id id, const oracle_row *right, bool fast, const float *out,
                   float lse, char *why)
{
    const problem_shape *s = &stored->shape;
    const int64_t n = s->of[id.sequence].n;
    const row_values r = values_of_row(stored, id);
    const format_error *fk = format_error_of(s->k_type, fast);
    const format_error *fv = format_error_of(s->v_in_k ? s->k_type : s->v_type, fast);
    if (beyond_f32(&r, right)) return true;
    if (right->n_seen == 0) {
        for (int c = 0; c < s->d_v && out; c++)
            if (out[c] != 0) return snprintf(why, 256, "out is not 0, but nothing is seen"), false;
        if ((double)lse == right->lse || (stored->sinks && fabs((double)lse - right->lse) < 1e-6))
            return true;
        return snprintf(why, 256, "lse is %g, but nothing is seen", (double)lse), false;
    }

    double *error = calloc(n > 0 ? (size_t)n : 1, sizeof *error);
    double *largest = calloc(n > 0 ? (size_t)n : 1, sizeof *largest);
    double worst = 0, lse_error = 0, p_largest = 0;
    for (int64_t t = 0; t < n; t++) {
        if (right->p[t] == 0) continue;
        error[t] = score_error(&r, right, fk, t);
        lse_error += right->p[t] * error[t];
        if (error[t] > worst) worst = error[t];
        if (fv->p_absolute > 0) largest[t] = largest_v(&r, t, v_block(s));
        p_largest = fmax(p_largest, right->p[t] * largest[t]);
    }
    /* First order, until that says nothing. */
    const double grown = worst < 1 ? exp(2 * worst) : INFINITY;
    bool good = true;
    const int block = v_block(s);
    double magnitude = 0, lost = 0; /* of a block: of p V, and of what is too small for p */
    for (int c = 0; c < s->d_v && good && out; c++) {
        double bound = 0, squares = 0, codes = 0;
        if (c % block == 0) {
            magnitude = lost = 0;
            for (int64_t t = 0; t < n; t++) {
                if (right->p[t] == 0) continue;
                const double size = block_length(v_of(&r, t) + c, block);
                magnitude += right->p[t] * size;
                lost += TINY_P * size + (fv->p_absolute > 0 ? TINY_W * sqrt(block) : 0);
            }
        }
        for (int64_t t = 0; t < n; t++) {
            if (right->p[t] == 0) continue;
            const double v = fabs((double)v_of(&r, t)[c]);
            squares += right->p[t] * v * right->p[t] * v;
            bound += right->p[t] * error[t] * (v + fabs(right->out[c]));
            if (largest[t] > 0) codes += v / largest[t] * (v / largest[t]);
        }
        bound = bound * grown + 16 * U * magnitude + 4 * fv->p_relative * sqrt(squares) +
                4 * fv->p_absolute * p_largest * sqrt(codes) + TINY * sqrt(block) * (double)(2 * n) + lost;
        const double off = fabs((double)out[c] - right->out[c]);
        if (isfinite(grown) ? off <= bound : isfinite(out[c])) continue;
        snprintf(why, 256, "out[%d] is %.9g, the oracle's %.9g: %.2g off, may be %.2g", c, (double)out[c],
                 right->out[c], off, bound);
        good = false;
    }
    const double lse_bound = lse_error * grown + 1e-6 + 4 * U * fabs(right->lse);
    if (good && isfinite(grown) && !(fabs((double)lse - right->lse) <= lse_bound)) {
        snprintf(why, 256, "lse is %.9g, the oracle's %.9g: may be %.2g off", (double)lse, right->lse,
                 lse_bound);
        good = false;
    }
    free(error), free(largest);
    return good;
}
