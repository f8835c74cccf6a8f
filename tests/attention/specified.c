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
    if (isnan(x)) return x;
    if (x < MQA_EXP_LOW) return 0;
    if (x > MQA_EXP_HIGH) x = MQA_EXP_HIGH;
    const float n = rintf(x * MQA_LOG2E);
    const float r = fmaf(n, -MQA_LN2_LO, fmaf(n, -MQA_LN2_HI, x));
    const float c[] = {MQA_EXP_C6, MQA_EXP_C5, MQA_EXP_C4, MQA_EXP_C3, MQA_EXP_C2, 1, 1};
    float y = 0;
    for (int i = 0; i < 7; i++) y = fmaf(y, r, c[i]);
    return ldexpf(y, (int)n);
}

/* Section 6. exp(y) - 1 is put together from parts that don't cancel. */
static float tanh32(float x)
{
    if (isnan(x)) return x;
    const float y = 2 * fabsf(x) < MQA_TANH_HIGH ? 2 * fabsf(x) : MQA_TANH_HIGH, n = rintf(y * MQA_LOG2E);
    const float r = fmaf(n, -MQA_LN2_LO, fmaf(n, -MQA_LN2_HI, y));
    const float c[] = {MQA_EXP_C6, MQA_EXP_C5, MQA_EXP_C4, MQA_EXP_C3, MQA_EXP_C2, 1};
    float g = 0; /* exp(r) = 1 + g r */
    for (int i = 0; i < 6; i++) g = fmaf(g, r, c[i]);
    const float two_n = ldexpf(1, (int)n), e = fmaf(two_n, g * r, two_n - 1);
    return x < 0 ? -(e / (e + 2)) : e / (e + 2);
}

/* Section 3: what a format keeps of a vector. */
typedef struct kept {
    float scale; /* int8 and fp8 */
    float *x;    /* the values before they are scaled */
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
    const float scale = rounded(m / -8, 8, -126), inv = 1 / scale;
    for (int i = 0; i < n; i++) {
        const float q = isfinite(inv) ? rintf(x[i] * inv) : 0;
        out[i] = (q > 7 ? 7 : q < -8 ? -8 : q) * scale;
    }
}

/* most / a, but 0 where that isn't finite. */
static float inverse(float most, float a)
{
    return a > 0 && isfinite(most / a) ? most / a : 0;
}

static void keep(mqa_kv_type type, const float *x, int d, kept *out)
{
    const float top = type == MQA_KV_INT8       ? 127
                      : type == MQA_KV_FP8_E4M3 ? 448
                      : type == MQA_KV_FP8_E5M2 ? 57344
                                                : 0;
    float a = 0;
    for (int i = 0; i < d; i++) a = fabsf(x[i]) > a ? fabsf(x[i]) : a;
    const float inv = inverse(top, a);
    out->scale = top == 0 ? 1 : inv > 0 ? a / top : 0;
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

/* Section 5's Hadamard transform, halves first. */
static void butterflies(float *x, int block)
{
    const int half = block / 2;
    if (half == 0) return;
    butterflies(x, half);
    butterflies(x + half, half);
    for (int i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
    }
}

static void hadamard32(float *x, int d, int block)
{
    if (block == 1) return;
    int log = 0;
    while (1 << log < block) log++;
    const float norm = ldexpf(log % 2 ? sqrtf(0.5f) : 1, -(log / 2));
    for (int i = 0; i < d; i++) x[i] = x[i] * norm + 0.0f;
    for (int i = 0; i < d; i += block) butterflies(x + i, block);
}

/* Chains of 16, the left half of a sum being as long as a power of two makes it. */
static float dot(const float *a, const float *b, int n)
{
    float x = 0;
    int half = 16;
    if (n <= half) {
        for (int i = 0; i < n; i++) x = fmaf(a[i], b[i], x);
        return x;
    }
    while (2 * half < n) half *= 2;
    return dot(a, b, half) + dot(a + half, b + half, n - half);
}

static float score(mqa_kv_type type, const float *q, const kept *k, int d)
{
    if (type != MQA_KV_INT8) return dot(q, k->x, d) * k->scale;
    float a = 0;
    for (int i = 0; i < d; i++) a = fabsf(q[i]) > a ? fabsf(q[i]) : a;
    const float inv = inverse(16256, a), q_scale = inv > 0 ? a / 16256 : 0;
    int64_t sum = 0;
    for (int i = 0; i < d; i++) sum += (int64_t)rintf(q[i] * inv) * (int64_t)k->x[i];
    return ((float)sum * q_scale) * k->scale;
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
    const kept *k, *v; /* [n] of one sequence and KV head */
    row_id id;
    int64_t position;
    float q[MAX_D];
} row_of;

/* Section 2: dot product, soft cap, ALiBi. */
static float seen_score(const row_of *r, int64_t t)
{
    const problem_shape *s = &r->p->shape;
    float x = score(s->k_type, r->q, &r->k[t], s->d);
    if (s->softcap > 0) x = s->softcap * tanh32(x / s->softcap);
    if (r->p->slopes) x = fmaf(r->p->slopes[r->id.head], (float)(t - r->position), x);
    return x;
}

/* Of the span that begins with token `begin`. */
static void span_state(const row_of *r, int64_t begin, state *out)
{
    const problem_shape *s = &r->p->shape;
    const mqa_kv_type v_type = s->v_in_k ? s->k_type : s->v_type;
    const int64_t left = s->of[r->id.sequence].n - begin;
    const int n = left < MQA_SPAN ? (int)left : MQA_SPAN;
    bool seen[MQA_SPAN];
    float p[MQA_SPAN] = {0}, sum[16] = {0}, largest = 0;
    *out = empty;
    for (int t = 0; t < n; t++) {
        seen[t] = sees(r->p, r->id.sequence, r->id.query, begin + t);
        if (!seen[t]) continue;
        p[t] = seen_score(r, begin + t);
        if (p[t] > out->m) out->m = p[t];
    }
    out->m += 0.0f;
    for (int t = 0; t < n; t++) {
        if (!seen[t]) continue;
        p[t] = exp32(out->m == -INFINITY ? p[t] : p[t] - out->m);
        sum[t % 16] += p[t];
    }
    for (int step = 8; step; step /= 2)
        for (int i = 0; i < step; i++) sum[i] += sum[i + step];
    out->l = sum[0];
    if (isnan(out->l)) return; /* and so is the row's */

    if (v_type != MQA_KV_INT8) {
        for (int c = 0; c < s->d_v; c++) {
            float x = 0; /* of 64 tokens */
            for (int t = 0; t < n; t++) {
                if (t % 64 == 0) out->o[c] += x, x = 0;
                if (seen[t]) x = fmaf(p[t] * r->v[begin + t].scale, r->v[begin + t].x[c], x);
            }
            out->o[c] += x;
        }
    } else {
        for (int t = 0; t < n; t++) {
            if (seen[t]) p[t] *= r->v[begin + t].scale;
            if (p[t] > largest) largest = p[t];
        }
        const float inv = 65535 / largest;
        for (int c = 0; c < s->d_v && largest > 0 && isfinite(inv); c++) {
            int64_t high = 0, low = 0;
            for (int t = 0; t < n; t++) {
                int64_t u = (int64_t)rintf(p[t] * inv);
                if (u > 65535) u = 65535;
                const int64_t x = (int64_t)r->v[begin + t].x[c];
                high += (u >> 8) * x;
                low += (u & 255) * x;
            }
            out->o[c] = fmaf((float)high, 256, (float)low) * (largest / 65535);
        }
    }
    for (int c = 0; c < s->d_v; c++) out->o[c] += 0.0f;
}

static float canonical(float x)
{
    return isnan(x) ? NAN : x;
}

static void row(const row_of *r, float *out, float *lse)
{
    const problem_shape *s = &r->p->shape;
    const int64_t group_tokens = MQA_SPAN * MQA_GROUP_SPANS, n = s->of[r->id.sequence].n;
    state total = empty, group, span;
    for (int64_t g = 0; g < n; g += group_tokens) {
        group = empty;
        for (int64_t t = g; t < g + group_tokens && t < n; t += MQA_SPAN) {
            span_state(r, t, &span);
            fold(&group, &span, s->d_v);
        }
        hadamard32(group.o, s->d_v, v_block(s));
        fold(&total, &group, s->d_v);
    }
    if (r->p->sinks) {
        const state sink = {.m = r->p->sinks[r->id.head], .l = 1};
        fold(&total, &sink, s->d_v);
    }
    for (int c = 0; c < s->d_v; c++) out[c] = total.l == 0 ? 0 : canonical(total.o[c] / total.l);
    *lse = total.l == 0 ? -INFINITY : canonical((float)((double)total.m + log((double)total.l)));
}

/* One KV head's vectors. */
static kept *keep_head(mqa_kv_type type, const float *x, int64_t n, int n_kv_heads, int kv, int d, int block)
{
    float vector[MAX_D];
    kept *out = malloc((size_t)(n + 1) * sizeof *out);
    float *values = out[0].x = malloc((size_t)(n * d + 1) * sizeof *values);
    for (int64_t t = 0; t < n; t++) {
        out[t].x = values + t * d;
        memcpy(vector, x + (t * n_kv_heads + kv) * d, (size_t)d * sizeof *vector);
        hadamard32(vector, d, block);
        keep(type, vector, d, &out[t]);
    }
    return out;
}

static void free_head(kept *x)
{
    free(x[0].x);
    free(x);
}

/* The rows of queries [first, end) and heads [head, head + n_heads), which share a KV head. Row j of the
 * sequence goes to row j - to of out and lse. */
static void rows_of(const problem *p, int i, int64_t first, int64_t end, int head, int n_heads, int64_t to,
                    float *out, float *lse)
{
    const problem_shape *s = &p->shape;
    const int kv = head / (s->n_heads / s->n_kv_heads);
    kept *k = keep_head(s->k_type, p->k[i], s->of[i].n, s->n_kv_heads, kv, s->d, k_block(s));
    kept *v =
        s->v_in_k ? k : keep_head(s->v_type, p->v[i], s->of[i].n, s->n_kv_heads, kv, s->d_v, v_block(s));
    for (int64_t query = first; query < end; query++)
        for (int h = head; h < head + n_heads; h++) {
            row_of r = {.p = p, .k = k, .v = v, .id = {i, query, h}, .position = position_of(p, i, query)};
            const int64_t j = query * s->n_heads + h;
            memcpy(r.q, p->q[i] + j * s->d, (size_t)s->d * sizeof *r.q);
            hadamard32(r.q, s->d, k_block(s));
            for (int c = 0; c < s->d; c++) r.q[c] *= p->sm_scale;
            row(&r, out + (j - to) * s->d_v, lse + j - to);
        }
    if (v != k) free_head(v);
    free_head(k);
}

void specified_row(const problem *p, row_id id, float *out, float *lse)
{
    rows_of(p, id.sequence, id.query, id.query + 1, id.head, 1, id.query * p->shape.n_heads + id.head, out,
            lse);
}

answer specified(const problem *p)
{
    const problem_shape *s = &p->shape;
    const int group = s->n_heads / s->n_kv_heads;
    answer a = {0};
    for (int i = 0; i < s->n_sequences; i++) {
        const int64_t rows = s->of[i].n_queries * s->n_heads;
        a.out[i] = malloc((size_t)(rows * s->d_v) * sizeof(float));
        a.lse[i] = malloc((size_t)rows * sizeof(float));
        for (int head = 0; head < s->n_heads; head += group)
            rows_of(p, i, 0, s->of[i].n_queries, head, group, 0, a.out[i], a.lse[i]);
    }
    return a;
}
