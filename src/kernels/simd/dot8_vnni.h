/* Exact integer dot products of the int8 cache format with vpdpbusd (AVX-512 VNNI, AVX-VNNI), which takes u8
 * times s8: so q (times biased u8 K) goes in two balanced s8 digits, and p (times s8 V) in two u8 digits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_DOT8_VNNI_H
#define MQA_KERNELS_SIMD_DOT8_VNNI_H

#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

enum { DOT8_DEPTH = 4, DOT8_PARTS = 1 }; /* attention.h */

typedef vi bytes16; /* sixteen lanes of four bytes */

V16_INLINE vi dot8_bcast(const void *quad)
{
    int32_t x;
    memcpy(&x, quad, sizeof x);
    return vi_set1(x);
}

/* --- K: biased u8; q = 128 * high + low --- */

#define dot8_pack_q mqa_pack_q_int8_digits

typedef struct k8_acc {
    vi high, low;
} k8_acc;

V16_INLINE bytes16 k8_load(const uint8_t *p)
{
    return vi_load(p);
}
V16_INLINE k8_acc k8_zero(void)
{
    return (k8_acc){vi_zero(), vi_zero()};
}
V16_INLINE k8_acc k8_step(k8_acc acc, bytes16 k, const mqa_q_row *q, int d_pad, int i)
{
    acc.high = vi_dot_u8s8(acc.high, k, dot8_bcast(&q->x.s8[i]));
    acc.low = vi_dot_u8s8(acc.low, k, dot8_bcast(&q->x.s8[d_pad + i]));
    return acc;
}
V16_INLINE vi k8_total(const k8_acc *acc)
{
    return vi_add(vi_sll(acc->high, 7), acc->low); /* modulo 2^32, as is the bias */
}

/* --- V: s8; p: per quad of tokens four u8 high digits, then four low --- */

typedef struct v8_acc {
    vi high, low;
} v8_acc;

V16_INLINE bytes16 v8_load(const uint8_t *p, size_t row_bytes)
{
    (void)row_bytes;
    return vi_load(p);
}
V16_INLINE v8_acc v8_zero(void)
{
    return (v8_acc){vi_zero(), vi_zero()};
}
V16_INLINE v8_acc v8_step(v8_acc acc, bytes16 v, const float *p_quad)
{
    acc.high = vi_dot_u8s8(acc.high, dot8_bcast(p_quad), v);
    acc.low = vi_dot_u8s8(acc.low, dot8_bcast(p_quad + 1), v);
    return acc;
}
V16_INLINE vf v8_total(const v8_acc *acc)
{
    return vf_fma(vf_from_vi(acc->high), vf_set1(256.0f), vf_from_vi(acc->low));
}
V16_INLINE void v8_store_p(float *p, vi u)
{
    static const int8_t digits[16] = {1, 5, 9, 13, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1};
    vi_store(p, vi_shuffle_quads(u, digits));
}

#endif
