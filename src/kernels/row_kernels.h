/* Kernels on rows of activations. n: any positive number; pointers aligned to 4 bytes unless said.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_ROW_KERNELS_H
#define MQA_KERNELS_ROW_KERNELS_H

#include <stddef.h>

typedef struct mqa_row_kernels {
    /* y = x / rms(x) * w (docs/numerics.md section 5); y may be x. */
    void (*rms_norm)(const float *x, const float *w, int n, float eps, float *y);
    /* Rotates pairs in place: pair i is (x[i], x[i + n/2]) if neox, else (x[2i], x[2i+1]); c, s: n/2 values.
     */
    void (*rope)(float *x, int n, int neox, const float *c, const float *s);
    /* The Hadamard transform of each block of consecutive values (docs/numerics.md section 5), in place; its
     * own inverse up to rounding. block: a power of two that divides n; 1 changes nothing. */
    void (*hadamard)(float *x, int n, int block);
    /* y = gelu_tanh(gate) * up, y = silu(gate) * up; y may be gate or up. */
    void (*gelu_mul)(const float *gate, const float *up, int n, float *y);
    void (*silu_mul)(const float *gate, const float *up, int n, float *y);
    /* y += x */
    void (*add)(float *y, const float *x, int n);
    /* y = a * x; y may be x. */
    void (*scale)(float *y, const float *x, float a, int n);
    /* y = exp(x - shift) and the sum of y by the tree of docs/numerics.md section 1; y may be x. */
    float (*exp_sum)(const float *x, float shift, int n, float *y);
} mqa_row_kernels;

/* The block of a head of d dims: the largest power of two that divides d (96: 32, 576: 64). */
static inline int mqa_hadamard_block(int d)
{
    return d & -d;
}

/* 1 / sqrt(block), rounded once: what the transform multiplies by, so that lengths stay as they are. */
static inline float mqa_hadamard_norm(int block)
{
    float norm = 1.0f;
    for (; block >= 4; block /= 4) norm *= 0.5f;
    return block == 2 ? norm * 0x1.6a09e6p-1f : norm;
}

/* Binary64 functions for tables and lse, IEEE operations only (docs/numerics.md section 6). */
double mqa_exp64(double x);
double mqa_log64(double x);
/* |x| <= 2^50; NaN beyond. */
void mqa_sincos64(double x, double *sin, double *cos);

#endif
