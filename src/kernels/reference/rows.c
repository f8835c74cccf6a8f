/* The arbiter of the row kernels (docs/numerics.md section 5).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "kernels/reference/reference.h"

static float tree_sum(float x[16])
{
    for (int step = 8; step; step /= 2)
        for (int i = 0; i < step; i++) x[i] += x[i + step];
    return x[0];
}

static void rms_norm(const float *x, const float *w, int n, float eps, float *y)
{
    float sum[16] = {0};
    for (int i = 0; i < n; i++) sum[i % 16] = fmaf(x[i], x[i], sum[i % 16]);
    const float r = 1.0f / sqrtf(tree_sum(sum) / (float)n + eps);
    for (int i = 0; i < n; i++) y[i] = (x[i] * r) * w[i];
}

static void rope(float *x, int n, int neox, const float *c, const float *s)
{
    for (int i = 0; i < n / 2; i++) {
        float *first = neox ? x + i : x + 2 * i, *second = neox ? x + i + n / 2 : first + 1;
        const float a = *first, b = *second;
        *first = fmaf(a, c[i], -(b * s[i]));
        *second = fmaf(a, s[i], b * c[i]);
    }
}

static void hadamard(float *x, int n, int block)
{
    const float norm = mqa_hadamard_norm(block);
    if (block == 1) return;
    for (int i = 0; i < n; i++) x[i] = x[i] * norm + 0.0f;
    for (int step = 1; step < block; step *= 2)
        for (int i = 0; i < n; i++) {
            if (i & step) continue;
            const float a = x[i], b = x[i + step];
            x[i] = a + b;
            x[i + step] = a - b;
        }
}

static void gelu_mul(const float *gate, const float *up, int n, float *y)
{
    for (int i = 0; i < n; i++) {
        const float x = gate[i];
        const float u = MQA_GELU_A * fmaf((MQA_GELU_B * x) * x, x, x);
        const float t = 1.0f - 2.0f / (mqa_exp_reference(2.0f * u) + 1.0f);
        y[i] = ((0.5f * x) * (1.0f + t)) * up[i];
    }
}

static void silu_mul(const float *gate, const float *up, int n, float *y)
{
    for (int i = 0; i < n; i++) y[i] = (gate[i] / (1.0f + mqa_exp_reference(-gate[i]))) * up[i];
}

static void add(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++) y[i] += x[i];
}

static void scale(float *y, const float *x, float a, int n)
{
    for (int i = 0; i < n; i++) y[i] = a * x[i];
}

static float exp_sum(const float *x, float shift, int n, float *y)
{
    float sum[16] = {0};
    for (int i = 0; i < n; i++) {
        y[i] = mqa_exp_reference(x[i] - shift);
        sum[i % 16] += y[i];
    }
    return tree_sum(sum);
}

void mqa_linear_rows_reference(mqa_kernels *k)
{
    mqa_linear_reference(k);
    k->rows = (mqa_row_kernels){
        .rms_norm = rms_norm,
        .rope = rope,
        .hadamard = hadamard,
        .gelu_mul = gelu_mul,
        .silu_mul = silu_mul,
        .add = add,
        .scale = scale,
        .exp_sum = exp_sum,
    };
}
