/* Row kernels on sixteen lanes: docs/numerics.md section 5, lane i of a vector being value i mod 16.
 *
 * A parametrised source, included once per instruction set after v16_<isa>.h and v16_math.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

/* n values, at most 16, and zeros; the first n lanes. */
V16_INLINE vf load_some(const float *p, int n)
{
    float x[16] = {0};
    if (n >= 16) return vf_load(p);
    memcpy(x, p, sizeof(float) * (size_t)n);
    return vf_load(x);
}
V16_INLINE void store_some(float *p, vf x, int n)
{
    float tail[16];
    if (n >= 16) {
        vf_store(p, x);
        return;
    }
    vf_store(tail, x);
    memcpy(p, tail, sizeof(float) * (size_t)n);
}

static void rms_norm(const float *x, const float *w, int n, float eps, float *y)
{
    vf sum = vf_zero();
    for (int i = 0; i < n; i += 16) {
        const vf v = load_some(x + i, n - i);
        sum = vf_fma(v, v, sum);
    }
    const vf r = vf_set1(1.0f / sqrtf(vf_tree_sum(sum) / (float)n + eps));
    for (int i = 0; i < n; i += 16)
        store_some(y + i, vf_mul(vf_mul(load_some(x + i, n - i), r), load_some(w + i, n - i)), n - i);
}

V16_INLINE void rotate(vf *x, vf *y, vf c, vf s)
{
    const vf a = *x, b = *y;
    *x = vf_fms(a, c, vf_mul(b, s));
    *y = vf_fma(a, s, vf_mul(b, c));
}

static void rope(float *x, int n, int neox, const float *c, const float *s)
{
    const int pairs = n / 2;
    for (int i = 0; i < pairs; i += 16) {
        const int left = pairs - i, left2 = 2 * left - 16;
        const vf ci = load_some(c + i, left), si = load_some(s + i, left);
        float *p0 = neox ? x + i : x + 2 * i, *p1 = neox ? p0 + pairs : p0 + 16;
        if (neox) {
            vf a = load_some(p0, left), b = load_some(p1, left);
            rotate(&a, &b, ci, si);
            store_some(p0, a, left);
            store_some(p1, b, left);
        } else {
            const vf low = load_some(p0, 2 * left), high = left2 > 0 ? load_some(p1, left2) : vf_zero();
            vf a = vf_even(low, high), b = vf_odd(low, high);
            rotate(&a, &b, ci, si);
            store_some(p0, vf_zip_low(a, b), 2 * left);
            if (left2 > 0) store_some(p1, vf_zip_high(a, b), left2);
        }
    }
}

/* Steps 1 to 16 of 32 values in registers: each is of neighbours, and moves the lowest bit of their places to
 * the top, so that five of them, butterflies or not, bring all back to where they were. */
V16_INLINE void hadamard32(vf *low, vf *high, int block)
{
    for (int step = 1; step < 32; step *= 2) {
        const vf a = vf_even(*low, *high), b = vf_odd(*low, *high);
        *low = step < block ? vf_add(a, b) : a;
        *high = step < block ? vf_sub(a, b) : b;
    }
}

static void hadamard(float *x, int n, int block)
{
    const vf norm = vf_set1(mqa_hadamard_norm(block)), zero = vf_zero();
    if (block == 1) return;
    for (int i = 0; i < n; i += 32) {
        const int left = n - i;
        vf low = vf_add(vf_mul(load_some(x + i, left), norm), zero);
        vf high = left > 16 ? vf_add(vf_mul(load_some(x + i + 16, left - 16), norm), zero) : zero;
        hadamard32(&low, &high, block);
        store_some(x + i, low, left);
        if (left > 16) store_some(x + i + 16, high, left - 16);
    }
    for (int step = 32; step < block; step *= 2)
        for (int i = 0; i < n; i += 16) {
            if (i & step) continue;
            const vf a = vf_load(x + i), b = vf_load(x + i + step);
            vf_store(x + i, vf_add(a, b));
            vf_store(x + i + step, vf_sub(a, b));
        }
}

static void gelu_mul(const float *gate, const float *up, int n, float *y)
{
    const vf one = vf_set1(1.0f), two = vf_set1(2.0f);
    for (int i = 0; i < n; i += 16) {
        const vf x = load_some(gate + i, n - i);
        const vf u = vf_mul(vf_set1(MQA_GELU_A), vf_fma(vf_mul(vf_mul(vf_set1(MQA_GELU_B), x), x), x, x));
        const vf t = vf_sub(one, vf_div(two, vf_add(vf_exp(vf_mul(two, u)), one)));
        const vf g = vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(one, t));
        store_some(y + i, vf_mul(g, load_some(up + i, n - i)), n - i);
    }
}

static void silu_mul(const float *gate, const float *up, int n, float *y)
{
    const vf one = vf_set1(1.0f);
    for (int i = 0; i < n; i += 16) {
        const vf x = load_some(gate + i, n - i);
        const vf g = vf_div(x, vf_add(one, vf_exp(vf_neg(x))));
        store_some(y + i, vf_mul(g, load_some(up + i, n - i)), n - i);
    }
}

static void add(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i += 16)
        store_some(y + i, vf_add(load_some(y + i, n - i), load_some(x + i, n - i)), n - i);
}

static void scale(float *y, const float *x, float a, int n)
{
    for (int i = 0; i < n; i += 16) store_some(y + i, vf_mul(vf_set1(a), load_some(x + i, n - i)), n - i);
}

static float exp_sum(const float *x, float shift, int n, float *y)
{
    vf sum = vf_zero();
    for (int i = 0; i < n; i += 16) {
        const vf e = vf_exp(vf_sub(load_some(x + i, n - i), vf_set1(shift)));
        store_some(y + i, e, n - i);
        sum = vf_add(sum, n - i < 16 ? vf_if_bits((1u << (n - i)) - 1, e, vf_zero()) : e);
    }
    return vf_tree_sum(sum);
}

#define ROW_KERNELS                                                                                          \
    {                                                                                                        \
        .rms_norm = rms_norm, .rope = rope, .hadamard = hadamard, .gelu_mul = gelu_mul,                      \
        .silu_mul = silu_mul, .add = add, .scale = scale, .exp_sum = exp_sum                                 \
    }
