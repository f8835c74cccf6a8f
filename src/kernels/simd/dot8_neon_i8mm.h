/* Exact integer dot products of the int8 cache format with NEON's i8mm extension. USMMLA multiplies two rows
 * of eight u8 by two of eight s8, all four ways: the two digits of a query or a probability are one pair of
 * rows, two neighbours in a tile the other. Of a neighbour the tile has four bytes side by side and the next
 * four a row of cells further down; ZIP puts them together, once for all rows of a block.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_DOT8_NEON_I8MM_H
#define MQA_KERNELS_SIMD_DOT8_NEON_I8MM_H

#include <string.h>

#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

/* A part is a register of a row of cells: four neighbours. */
enum { DOT8_DEPTH = 8, DOT8_PARTS = 4 };

typedef struct bytes16 { /* eight bytes of neighbours 0 and 1; of 2 and 3 */
    uint8x16_t a, b;
} bytes16;
typedef struct dot8_acc { /* four sums each of neighbours 0 and 1; of 2 and 3 */
    int32x4_t a, b;
} dot8_acc;

V16_INLINE bytes16 dot8_load(const uint8_t *p, size_t row_bytes)
{
    const uint32x4_t first = vreinterpretq_u32_u8(vld1q_u8(p)),
                     next = vreinterpretq_u32_u8(vld1q_u8(p + row_bytes));
    return (bytes16){vreinterpretq_u8_u32(vzip1q_u32(first, next)),
                     vreinterpretq_u8_u32(vzip2q_u32(first, next))};
}
V16_INLINE dot8_acc dot8_zero(void)
{
    return (dot8_acc){vdupq_n_s32(0), vdupq_n_s32(0)};
}

/* --- K: biased u8; q = 128 * high + low: of each eight values the high digits, then the low --- */

static int dot8_pack_q(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    enum { MOST = MQA_MAX_HEAD_DIM };
    if (!mqa_pack_q_int8_digits(q, rows, d, sm_scale, q_block)) return 0;
    for (int r = 0; r < rows; r++) {
        int8_t x[2 * MOST], *to = mqa_q_row_at(q_block, r, d)->x.s8;
        memcpy(x, to, 2 * (size_t)MQA_PAD(d));
        for (int i = 0; i < MQA_PAD(d); i += 8)
            vst1q_s8(to + 2 * i, vcombine_s8(vld1_s8(x + i), vld1_s8(x + MQA_PAD(d) + i)));
    }
    return 1;
}

typedef dot8_acc k8_acc; /* by neighbour: high, low */

V16_INLINE bytes16 k8_load(const uint8_t *p)
{
    return dot8_load(p, MQA_CELL_ROW);
}
V16_INLINE k8_acc k8_zero(void)
{
    return dot8_zero();
}
V16_INLINE k8_acc k8_step(k8_acc acc, bytes16 k, const mqa_q_row *q, int d_pad, int i)
{
    (void)d_pad;
    const int8x16_t digits = vld1q_s8(&q->x.s8[2 * i]);
    return (k8_acc){vusmmlaq_s32(acc.a, k.a, digits), vusmmlaq_s32(acc.b, k.b, digits)};
}
V16_INLINE int32x4_t k8_total4(k8_acc acc)
{
    return vaddq_s32(vshlq_n_s32(vuzp1q_s32(acc.a, acc.b), 7), vuzp2q_s32(acc.a, acc.b));
}
V16_INLINE vi k8_total(const k8_acc *acc)
{
    return (vi){k8_total4(acc[0]), k8_total4(acc[1]), k8_total4(acc[2]), k8_total4(acc[3])};
}

/* --- V: s8; p: of each eight tokens eight u8 high digits, then eight low --- */

typedef dot8_acc v8_acc; /* high of both neighbours, low of both */

V16_INLINE bytes16 v8_load(const uint8_t *p, size_t row_bytes)
{
    return dot8_load(p, row_bytes);
}
V16_INLINE v8_acc v8_zero(void)
{
    return dot8_zero();
}
V16_INLINE v8_acc v8_step(v8_acc acc, bytes16 v, const float *p)
{
    const uint8x16_t digits = vld1q_u8((const uint8_t *)p);
    return (v8_acc){vusmmlaq_s32(acc.a, digits, vreinterpretq_s8_u8(v.a)),
                    vusmmlaq_s32(acc.b, digits, vreinterpretq_s8_u8(v.b))};
}
V16_INLINE float32x4_t v8_total4(v8_acc acc)
{
    const float32x4_t high = vcvtq_f32_s32(low_halves(acc.a, acc.b)),
                      low = vcvtq_f32_s32(high_halves(acc.a, acc.b));
    return vfmaq_f32(low, high, vdupq_n_f32(256.0f));
}
V16_INLINE vf v8_total(const v8_acc *acc)
{
    return (vf){v8_total4(acc[0]), v8_total4(acc[1]), v8_total4(acc[2]), v8_total4(acc[3])};
}
V16_INLINE void v8_store_eight(float *p, int32x4_t u0, int32x4_t u1)
{
    const uint16x8_t x =
        vcombine_u16(vmovn_u32(vreinterpretq_u32_s32(u0)), vmovn_u32(vreinterpretq_u32_s32(u1)));
    vst1q_u8((uint8_t *)p, vcombine_u8(vshrn_n_u16(x, 8), vmovn_u16(x)));
}
V16_INLINE void v8_store_p(float *p, vi u)
{
    v8_store_eight(p, u.a, u.b);
    v8_store_eight(p + 8, u.c, u.d);
}

#endif
