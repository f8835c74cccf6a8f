/* Dot products of pairs of bf16 with BFDOT (recipe neon-bf16). Include after v16_neon.h. See pairs_avx512.h
 * for what the names mean.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_PAIRS_NEON_H
#define MQA_KERNELS_SIMD_PAIRS_NEON_H

typedef struct pairs16 {
    bfloat16x8_t a, b, c, d;
} pairs16;
V16_INLINE pairs16 pairs_load(const void *p)
{
    const vi x = vi_load(p);
    return (pairs16)QUARTERS(vreinterpretq_bf16_s32, x);
}

enum { PAIRS_DEPTH = 4 };
typedef bfloat16x8_t row_pairs;
V16_INLINE row_pairs row_pairs_load(const void *p)
{
    return vreinterpretq_bf16_u8(vld1q_u8(p));
}

#define PAIRS_LANE(acc, x, y, j)                                                                             \
    ((vf){vbfdotq_laneq_f32((acc).a, (x).a, y, j), vbfdotq_laneq_f32((acc).b, (x).b, y, j),                  \
          vbfdotq_laneq_f32((acc).c, (x).c, y, j), vbfdotq_laneq_f32((acc).d, (x).d, y, j)})
V16_INLINE vf pairs_dot(vf acc, pairs16 x, row_pairs y, int j)
{
    switch (j) { /* a lane's number must be a literal */
    case 0:
        return PAIRS_LANE(acc, x, y, 0);
    case 1:
        return PAIRS_LANE(acc, x, y, 1);
    case 2:
        return PAIRS_LANE(acc, x, y, 2);
    default:
        return PAIRS_LANE(acc, x, y, 3);
    }
}

V16_INLINE void vf_store_bf16(uint16_t *p, vf x)
{
    const bfloat16x8_t low = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(x.a), x.b),
                       high = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(x.c), x.d);
    vst1q_u16(p, vreinterpretq_u16_bf16(low));
    vst1q_u16(p + 8, vreinterpretq_u16_bf16(high));
}

#endif
