/* The linear kernels' dot products with vpdpbusd: u8 quants times s8 activations, exact in s32. See
 * linear_dot_avx2.h for what the names mean.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_LINEAR_DOT_VNNI_H
#define MQA_KERNELS_SIMD_LINEAR_DOT_VNNI_H

#include <string.h>

#define DOT_STEPS(bits) 8
#define DOT_ZERO8       0

typedef vi dot_quad;
V16_INLINE dot_quad dot_load_quad(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return vi_set1(x);
}
V16_INLINE vi dot_prepare8(vi q)
{
    return q;
}
V16_INLINE vi dot_next(int bits, vi sum, vi w, dot_quad x)
{
    (void)bits;
    return vi_dot_u8s8(sum, w, x);
}
V16_INLINE vi dot_first(int bits, vi w, dot_quad x)
{
    return dot_next(bits, vi_zero(), w, x);
}
V16_INLINE vi dot_total(vi sum)
{
    return sum;
}

#endif
