/* docs/numerics.md once more, for one row at a time, from the unpacked K and V: no pages, tiles, granules,
 * blocks or threads. Shares only constants.h with the library.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kernels/constants.h"

enum { MAX_D = 1024 };

static float exp32(float x)
{
    if (x < MQA_EXP_LOW) return 0;
    if (x > MQA_EXP_HIGH) x = MQA_EXP_HIGH;
    const float n = rintf(x * MQA_LOG2E);
    const float r = fmaf(n, -MQA_LN2_LO, fmaf(n, -MQA_LN2_HI, x));
    const float c[] = {MQA_EXP_C6, MQA_EXP_C5, MQA_EXP_C4, MQA_EXP_C3, MQA_EXP_C2, 1, 1};
    float y = 0;
    for (int i = 0; i < 7; i++) y = fmaf(y, r, c[i]);
    return ldexpf(y, (int)n);
}

/* Section 3: what a format keeps of a vector. */
typedef struct kept {
    float scale;    /* int8 and fp8 */
    float x[MAX_D]; /* the values before they are scaled */
} kept;

/* x in `bits` of significand, ties to even, where the least normal number is 2^least. */
static float rounded(float x, int bits, int least)
{
    int e;
    frexpf(x, &e); /* |x| in [2^(e-1), 2^e) */
    const int last = (e - 1 > least ? e - 1 : least) - (bits - 1);
    return ldexpf(rintf(ldexpf(x, -last)), last);
}

/* One scale's values of int4: whole numbers times bf16, which f32 holds. */
static void keep_int4(const float *x, int n, float *out)
{
    float m = 0;
    for (int i = 0; i < n; i++) m = fabsf(x[i]) > fabsf(m) ? x[i] : m;
    const float scale = rounded(m / -8, 8, -126), inv = m != 0 ? 1 / scale : 0;
    for (int i = 0; i < n; i++) {
        const float q = rintf(x[i] * inv);
        out[i] = (q > 7 ? 7 : q < -8 ? -8 : q) * scale;
    }
}

static void keep(mqa_kv_type type, const float *x, int d, kept *out)
{
    const float top = type == MQA_KV_INT8       ? 127
                      : type == MQA_KV_FP8_E4M3 ? 448
                      : type == MQA_KV_FP8_E5M2 ? 57344
                                                : 0;
    float a = 0;
    for (int i = 0; i < d; i++) a = fabsf(x[i]) > a ? fabsf(x[i]) : a;
    const float inv = top > 0 && a > 0 ? top / a : 0;
    out->scale = top > 0 ? a / top : 1;
    for (int i = 0; i < d; i++) {
        if (type == MQA_KV_F32) out->x[i] = x[i];
        if (type == MQA_KV_INT8) out->x[i] = rintf(x[i] * inv);
        if (type == MQA_KV_BF16) out->x[i] = rounded(x[i], 8, -126);
        if (type == MQA_KV_F16) out->x[i] = rounded(x[i], 11, -14);
        if (type == MQA_KV_INT4 && i % 32 == 0) keep_int4(x + i, d - i < 32 ? d - i : 32, out->x + i);
        if (type == MQA_KV_FP8_E4M3) out->x[i] = rounded(x[i] * inv, 4, -6);
        if (type == MQA_KV_FP8_E5M2) out->x[i] = rounded(x[i] * inv, 3, -14);
    }
}

static float score(mqa_kv_type type, const float *q, const kept *k, int d)
{
    float x = 0;
    if (type != MQA_KV_INT8) {
        for (int i = 0; i < d; i++) x = fmaf(q[i], k->x[i], x);
        return x * k->scale;
    }
    float a = 0;
    for (int i = 0; i < d; i++) a = fabsf(q[i]) > a ? fabsf(q[i]) : a;
    int64_t sum = 0;
    for (int i = 0; i < d; i++) sum += (int64_t)(a > 0 ? rintf(q[i] * (16256 / a)) : 0) * (int64_t)k->x[i];
    return ((float)sum * (a / 16256)) * k->scale;
}

typedef struct state {
    float m, l, o[MAX_D];
} state;

static const state empty = {.m = -INFINITY};

static void fold(state *a, const state *b, int d_v)
{
    const float m = a->m > b->m ? a->m : b->m;
    const float wa = m == -INFINITY ? 0 : exp32(a->m - m), wb = m == -INFINITY ? 0 : exp32(b->m - m);
    a->m = m;
    a->l = fmaf(a->l, wa, b->l * wb);
    for (int c = 0; c < d_v; c++) a->o[c] = fmaf(a->o[c], wa, b->o[c] * wb);
}

typedef struct row_of {
    const problem *p;
    const kept *k, *v; /* [n][n_kv_heads] of one sequence */
    int kv;
    float q[MAX_D];
} row_of;

/* Tokens [lo, hi) lie within one span. */
static void span_state(const row_of *r, int64_t lo, int64_t hi, state *out)
{
    const problem_shape *s = &r->p->shape;
    float p[MQA_SPAN], sum[16] = {0}, largest = 0;
    *out = empty;
    for (int64_t t = lo; t < hi; t++) {
        p[t % MQA_SPAN] = score(s->k_type, r->q, &r->k[t * s->n_kv_heads + r->kv], s->d);
        if (p[t % MQA_SPAN] > out->m) out->m = p[t % MQA_SPAN];
    }
    out->m += 0.0f;
    for (int64_t t = lo; t < hi; t++) {
        p[t % MQA_SPAN] = exp32(p[t % MQA_SPAN] - out->m);
        sum[t % 16] += p[t % MQA_SPAN];
    }
    for (int step = 8; step; step /= 2)
        for (int i = 0; i < step; i++) sum[i] += sum[i + step];
    out->l = sum[0];

    if (s->v_type != MQA_KV_INT8) {
        for (int64_t t = lo; t < hi; t++)
            for (int c = 0; c < s->d_v; c++)
                out->o[c] = fmaf(p[t % MQA_SPAN] * r->v[t * s->n_kv_heads + r->kv].scale,
                                 r->v[t * s->n_kv_heads + r->kv].x[c], out->o[c]);
    } else {
        for (int64_t t = lo; t < hi; t++) {
            p[t % MQA_SPAN] *= r->v[t * s->n_kv_heads + r->kv].scale;
            if (p[t % MQA_SPAN] > largest) largest = p[t % MQA_SPAN];
        }
        for (int c = 0; c < s->d_v; c++) {
            int64_t high = 0, low = 0;
            for (int64_t t = lo; t < hi && largest > 0; t++) {
                int64_t u = (int64_t)rintf(p[t % MQA_SPAN] * (65535 / largest));
                if (u > 65535) u = 65535;
                const int64_t x = (int64_t)r->v[t * s->n_kv_heads + r->kv].x[c];
                high += (u >> 8) * x;
                low += (u & 255) * x;
            }
            out->o[c] = fmaf((float)high, 256, (float)low) * (largest / 65535);
        }
    }
    for (int c = 0; c < s->d_v; c++) out->o[c] += 0.0f;
}

static void row(const row_of *r, int64_t position, float *out, float *lse)
{
    const problem_shape *s = &r->p->shape;
    const int64_t lo = s->window && position + 1 > s->window ? position + 1 - s->window : 0;
    const int64_t group_tokens = MQA_SPAN * MQA_GROUP_SPANS;
    state total = empty, group, span;
    for (int64_t g = 0; g <= position; g += group_tokens) {
        group = empty;
        for (int64_t t = g; t < g + group_tokens; t += MQA_SPAN) {
            const int64_t a = t > lo ? t : lo, b = t + MQA_SPAN < position + 1 ? t + MQA_SPAN : position + 1;
            if (a >= b) continue;
            span_state(r, a, b, &span);
            fold(&group, &span, s->d_v);
        }
        fold(&total, &group, s->d_v);
    }
    for (int c = 0; c < s->d_v; c++) out[c] = total.o[c] / total.l;
    *lse = (float)((double)total.m + log((double)total.l));
}

static kept *keep_all(mqa_kv_type type, const float *x, int64_t n, int d)
{
    kept *out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) keep(type, x + i * d, d, &out[i]);
    return out;
}

answer specified(const problem *p)
{
    const problem_shape *s = &p->shape;
    answer a;
    for (int i = 0; i < s->n_sequences; i++) {
        const int64_t rows = s->n_queries[i] * s->n_heads;
        a.out[i] = malloc((size_t)(rows * s->d_v) * sizeof(float));
        a.lse[i] = malloc((size_t)rows * sizeof(float));
        kept *k = keep_all(s->k_type, p->k[i], s->n[i] * s->n_kv_heads, s->d);
        kept *v = keep_all(s->v_type, p->v[i], s->n[i] * s->n_kv_heads, s->d_v);
        for (int64_t j = 0; j < rows; j++) {
            const int head = (int)(j % s->n_heads);
            row_of r = {.p = p, .k = k, .v = v, .kv = head / (s->n_heads / s->n_kv_heads)};
            for (int c = 0; c < s->d; c++) r.q[c] = p->q[i][j * s->d + c] * p->sm_scale;
            row(&r, s->n[i] - s->n_queries[i] + j / s->n_heads, a.out[i] + j * s->d_v, a.lse[i] + j);
        }
        free(k), free(v);
    }
    return a;
}
