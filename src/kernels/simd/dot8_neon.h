/* Exact integer dot products of the int8 cache format on NEON without the dot product extension: LD4 takes
 * quads apart, so that a register holds one value of each of 16 quads; bytes are widened to s16, q and the
 * two digits of p are s16, and SMLAL by a lane of theirs adds to s32.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_DOT8_NEON_H
#define MQA_KERNELS_SIMD_DOT8_NEON_H

#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

enum { DOT8_DEPTH = 4, DOT8_PARTS = 1 }; /* attention.h */

typedef struct bytes16 { /* value j of the quads of lanes 0-7, 8-15 */
    int16x8_t low[4], high[4];
} bytes16;

V16_INLINE bytes16 dot8_widen(uint8x16x4_t x, uint8_t flip)
{
    bytes16 y;
    for (int j = 0; j < 4; j++) {
        const int8x16_t s = vreinterpretq_s8_u8(veorq_u8(x.val[j], vdupq_n_u8(flip)));
        y.low[j] = vmovl_s8(vget_low_s8(s));
        y.high[j] = vmovl_high_s8(s);
    }
    return y;
}
/* acc + value j of each quad * y[j]; a lane's number must be a literal. */
#define DOT8_VALUE(acc, x, y, j)                                                                             \
    do {                                                                                                     \
        (acc).a = vmlal_lane_s16((acc).a, vget_low_s16((x).low[j]), y, j);                                   \
        (acc).b = vmlal_high_lane_s16((acc).b, (x).low[j], y, j);                                            \
        (acc).c = vmlal_lane_s16((acc).c, vget_low_s16((x).high[j]), y, j);                                  \
        (acc).d = vmlal_high_lane_s16((acc).d, (x).high[j], y, j);                                           \
    } while (0)
V16_INLINE vi dot8_quads(vi acc, bytes16 x, int16x4_t y)
{
    DOT8_VALUE(acc, x, y, 0);
    DOT8_VALUE(acc, x, y, 1);
    DOT8_VALUE(acc, x, y, 2);
    DOT8_VALUE(acc, x, y, 3);
    return acc;
}

/* --- K: biased u8, made signed when loaded; q: s16 --- */

static int dot8_pack_q(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    if (!mqa_pack_q_int8(q, rows, d, sm_scale, q_block)) return 0;
    for (int r = 0; r < rows; r++) mqa_q_row_at(q_block, r, d)->sum = 0; /* no bias left to undo */
    return 1;
}

typedef vi k8_acc;

V16_INLINE bytes16 k8_load(const uint8_t *p)
{
    return dot8_widen(vld4q_u8(p), 128);
}
V16_INLINE k8_acc k8_zero(void)
{
    return vi_zero();
}
V16_INLINE k8_acc k8_step(k8_acc acc, bytes16 k, const mqa_q_row *q, int d_pad, int i)
{
    (void)d_pad;
    return dot8_quads(acc, k, vld1_s16(&q->x.s16[i]));
}
V16_INLINE vi k8_total(const k8_acc *acc)
{
    return *acc;
}

/* --- V: s8; p: per quad of tokens eight s16, the high digits, then the low --- */

typedef struct v8_acc {
    vi high, low;
} v8_acc;

V16_INLINE bytes16 v8_load(const uint8_t *p, size_t row_bytes)
{
    (void)row_bytes;
    return dot8_widen(vld4q_u8(p), 0);
}
V16_INLINE v8_acc v8_zero(void)
{
    return (v8_acc){vi_zero(), vi_zero()};
}
V16_INLINE v8_acc v8_step(v8_acc acc, bytes16 v, const float *p_quad)
{
    const int16x8_t digits = vreinterpretq_s16_u8(vld1q_u8((const uint8_t *)p_quad));
    acc.high = dot8_quads(acc.high, v, vget_low_s16(digits));
    acc.low = dot8_quads(acc.low, v, vget_high_s16(digits));
    return acc;
}
V16_INLINE vf v8_total(const v8_acc *acc)
{
    return vf_fma(vf_from_vi(acc->high), vf_set1(256.0f), vf_from_vi(acc->low));
}
V16_INLINE void v8_store_quad(float *p, int32x4_t u)
{
    const uint16x4_t x = vmovn_u32(vreinterpretq_u32_s32(u));
    const uint16x8_t digits = vcombine_u16(vshr_n_u16(x, 8), vand_u16(x, vdup_n_u16(255)));
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u16(digits));
}
V16_INLINE void v8_store_p(float *p, vi u)
{
    v8_store_quad(p, u.a);
    v8_store_quad(p + 4, u.b);
    v8_store_quad(p + 8, u.c);
    v8_store_quad(p + 12, u.d);
}

#endif
