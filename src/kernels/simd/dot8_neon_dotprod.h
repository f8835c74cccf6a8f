/* Exact integer dot products of the int8 cache format with NEON's dot product extension. SDOT and UDOT take
 * bytes of one sign: q and K as s8, q in two balanced digits; p in two u8 digits and V biased to u8. The bias
 * is undone by the sums of p's digits, which lie beside them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_DOT8_NEON_DOTPROD_H
#define MQA_KERNELS_SIMD_DOT8_NEON_DOTPROD_H

#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

enum { DOT8_DEPTH = 4, DOT8_PARTS = 1 }; /* attention.h */

typedef struct bytes16 { /* sixteen lanes of four bytes, the top bit of each flipped */
    uint8x16_t a, b, c, d;
} bytes16;

V16_INLINE bytes16 dot8_load(const uint8_t *p)
{
    const uint8x16_t flip = vdupq_n_u8(128);
    return (bytes16){veorq_u8(vld1q_u8(p), flip), veorq_u8(vld1q_u8(p + 16), flip),
                     veorq_u8(vld1q_u8(p + 32), flip), veorq_u8(vld1q_u8(p + 48), flip)};
}
V16_INLINE uint8x16_t dot8_bcast(const void *quad)
{
    uint32_t x;
    memcpy(&x, quad, sizeof x);
    return vreinterpretq_u8_u32(vdupq_n_u32(x));
}
V16_INLINE int32x4_t dot8_signed(int32x4_t acc, uint8x16_t x, uint8x16_t y)
{
    return vdotq_s32(acc, vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(y));
}
V16_INLINE int32x4_t dot8_unsigned(int32x4_t acc, uint8x16_t x, uint8x16_t y)
{
    return vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(acc), x, y));
}
#define DOT8_QUADS(dot, acc, x, y)                                                                           \
    ((vi){dot((acc).a, (x).a, y), dot((acc).b, (x).b, y), dot((acc).c, (x).c, y), dot((acc).d, (x).d, y)})

/* --- K: biased u8, made signed when loaded; q = 128 * high + low --- */

static int dot8_pack_q(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    if (!mqa_pack_q_int8_digits(q, rows, d, sm_scale, q_block)) return 0;
    for (int r = 0; r < rows; r++) mqa_q_row_at(q_block, r, d)->sum = 0; /* no bias left to undo */
    return 1;
}

typedef struct k8_acc {
    vi high, low;
} k8_acc;

V16_INLINE bytes16 k8_load(const uint8_t *p)
{
    return dot8_load(p);
}
V16_INLINE k8_acc k8_zero(void)
{
    return (k8_acc){vi_zero(), vi_zero()};
}
V16_INLINE k8_acc k8_step(k8_acc acc, bytes16 k, const mqa_q_row *q, int d_pad, int i)
{
    const uint8x16_t high = dot8_bcast(&q->x.s8[i]), low = dot8_bcast(&q->x.s8[d_pad + i]);
    acc.high = DOT8_QUADS(dot8_signed, acc.high, k, high);
    acc.low = DOT8_QUADS(dot8_signed, acc.low, k, low);
    return acc;
}
V16_INLINE int32x4_t k8_total4(int32x4_t high, int32x4_t low)
{
    return vaddq_s32(vshlq_n_s32(high, 7), low);
}
V16_INLINE vi k8_total(const k8_acc *acc)
{
    return (vi)QUARTERS_2(k8_total4, acc->high, acc->low);
}

/* --- V: s8, biased when loaded; p: per quad of tokens four u8 high digits, four low ones, and the sums
 * of both as u32 --- */

typedef struct v8_acc {
    vi high, low;
    uint64_t sums; /* of the high digits in the lower half, as they lie in memory */
} v8_acc;

V16_INLINE bytes16 v8_load(const uint8_t *p, size_t row_bytes)
{
    (void)row_bytes;
    return dot8_load(p);
}
V16_INLINE v8_acc v8_zero(void)
{
    return (v8_acc){vi_zero(), vi_zero(), 0};
}
V16_INLINE v8_acc v8_step(v8_acc acc, bytes16 v, const float *p_quad)
{
    const uint8x16_t high = dot8_bcast(p_quad), low = dot8_bcast(p_quad + 1);
    uint64_t sums;
    memcpy(&sums, p_quad + 2, sizeof sums);
    acc.high = DOT8_QUADS(dot8_unsigned, acc.high, v, high);
    acc.low = DOT8_QUADS(dot8_unsigned, acc.low, v, low);
    acc.sums += sums;
    return acc;
}
V16_INLINE vf v8_total(const v8_acc *acc)
{
    const vi high = vi_sub(acc->high, vi_set1((int32_t)(128 * (acc->sums & 0xffffffff))));
    const vi low = vi_sub(acc->low, vi_set1((int32_t)(128 * (acc->sums >> 32))));
    return vf_fma(vf_from_vi(high), vf_set1(256.0f), vf_from_vi(low));
}
V16_INLINE void v8_store_two_quads(float *p, int32x4_t u0, int32x4_t u1)
{
    const uint16x8_t x =
        vcombine_u16(vmovn_u32(vreinterpretq_u32_s32(u0)), vmovn_u32(vreinterpretq_u32_s32(u1)));
    const uint32x2_t high = vreinterpret_u32_u8(vshrn_n_u16(x, 8)), low = vreinterpret_u32_u8(vmovn_u16(x));
    const uint8x8_t first = vreinterpret_u8_u32(vzip1_u32(high, low)),
                    second = vreinterpret_u8_u32(vzip2_u32(high, low));
    const uint32x2_t first_sums = vpaddl_u16(vpaddl_u8(first)), second_sums = vpaddl_u16(vpaddl_u8(second));
    vst1q_u8((uint8_t *)p, vcombine_u8(first, vreinterpret_u8_u32(first_sums)));
    vst1q_u8((uint8_t *)(p + 4), vcombine_u8(second, vreinterpret_u8_u32(second_sums)));
}
V16_INLINE void v8_store_p(float *p, vi u)
{
    v8_store_two_quads(p, u.a, u.b);
    v8_store_two_quads(p + 8, u.c, u.d);
}

#endif
