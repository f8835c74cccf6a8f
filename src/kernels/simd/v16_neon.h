/* Sixteen f32 or i32 lanes on NEON (aarch64, which always has FMA): four registers of four lanes. See
 * v16_avx2.h for what the names mean; where NEON's own instruction means something else, it isn't used.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_V16_NEON_H
#define MQA_KERNELS_SIMD_V16_NEON_H

#include <arm_neon.h>
#include <stdint.h>

#define V16_INLINE static inline __attribute__((always_inline))

typedef struct vf {
    float32x4_t a, b, c, d; /* lanes 0-3, 4-7, 8-11, 12-15 */
} vf;
typedef struct vi {
    int32x4_t a, b, c, d;
} vi;

/* An operation on each quarter, as an initialiser. */
#define QUARTERS(op, x)                                                                                      \
    {                                                                                                        \
        op((x).a), op((x).b), op((x).c), op((x).d)                                                           \
    }
#define QUARTERS_2(op, x, y)                                                                                 \
    {                                                                                                        \
        op((x).a, (y).a), op((x).b, (y).b), op((x).c, (y).c), op((x).d, (y).d)                               \
    }
#define QUARTERS_3(op, x, y, z)                                                                              \
    {                                                                                                        \
        op((x).a, (y).a, (z).a), op((x).b, (y).b, (z).b), op((x).c, (y).c, (z).c), op((x).d, (y).d, (z).d)   \
    }

V16_INLINE vf vf_load(const float *p)
{
    return (vf){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
V16_INLINE void vf_store(float *p, vf x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}
V16_INLINE vf vf_set1(float x)
{
    const float32x4_t v = vdupq_n_f32(x);
    return (vf){v, v, v, v};
}
V16_INLINE vf vf_zero(void)
{
    return vf_set1(0.0f);
}
V16_INLINE vf vf_add(vf x, vf y)
{
    return (vf)QUARTERS_2(vaddq_f32, x, y);
}
V16_INLINE vf vf_sub(vf x, vf y)
{
    return (vf)QUARTERS_2(vsubq_f32, x, y);
}
V16_INLINE vf vf_mul(vf x, vf y)
{
    return (vf)QUARTERS_2(vmulq_f32, x, y);
}
V16_INLINE vf vf_div(vf x, vf y)
{
    return (vf)QUARTERS_2(vdivq_f32, x, y);
}
V16_INLINE vf vf_neg(vf x)
{
    return (vf)QUARTERS(vnegq_f32, x);
}
V16_INLINE vf vf_fma(vf x, vf y, vf z)
{
    return (vf)QUARTERS_3(vfmaq_f32, z, x, y);
}
V16_INLINE vf vf_fnma(vf x, vf y, vf z)
{
    return (vf)QUARTERS_3(vfmsq_f32, z, x, y);
}
V16_INLINE vf vf_fms(vf x, vf y, vf z)
{
    return vf_fma(x, y, vf_neg(z));
}
V16_INLINE vf vf_even(vf x, vf y)
{
    return (vf){vuzp1q_f32(x.a, x.b), vuzp1q_f32(x.c, x.d), vuzp1q_f32(y.a, y.b), vuzp1q_f32(y.c, y.d)};
}
V16_INLINE vf vf_odd(vf x, vf y)
{
    return (vf){vuzp2q_f32(x.a, x.b), vuzp2q_f32(x.c, x.d), vuzp2q_f32(y.a, y.b), vuzp2q_f32(y.c, y.d)};
}
V16_INLINE vf vf_zip_low(vf even, vf odd)
{
    return (vf){vzip1q_f32(even.a, odd.a), vzip2q_f32(even.a, odd.a), vzip1q_f32(even.b, odd.b),
                vzip2q_f32(even.b, odd.b)};
}
V16_INLINE vf vf_zip_high(vf even, vf odd)
{
    return (vf){vzip1q_f32(even.c, odd.c), vzip2q_f32(even.c, odd.c), vzip1q_f32(even.d, odd.d),
                vzip2q_f32(even.d, odd.d)};
}

/* fmax and fmin would give a NaN wherever there is one, and tell zeros apart. */
V16_INLINE float32x4_t vf_max4(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcgtq_f32(x, y), x, y);
}
V16_INLINE float32x4_t vf_min4(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcltq_f32(x, y), x, y);
}
V16_INLINE vf vf_max(vf x, vf y)
{
    return (vf)QUARTERS_2(vf_max4, x, y);
}
V16_INLINE vf vf_min(vf x, vf y)
{
    return (vf)QUARTERS_2(vf_min4, x, y);
}
V16_INLINE vf vf_abs(vf x)
{
    return (vf)QUARTERS(vabsq_f32, x);
}
V16_INLINE vf vf_rint(vf x)
{
    return (vf)QUARTERS(vrndnq_f32, x);
}
V16_INLINE vf vf_if_less(vf x, vf limit, vf y, vf z)
{
    return (vf){vbslq_f32(vcltq_f32(x.a, limit.a), y.a, z.a), vbslq_f32(vcltq_f32(x.b, limit.b), y.b, z.b),
                vbslq_f32(vcltq_f32(x.c, limit.c), y.c, z.c), vbslq_f32(vcltq_f32(x.d, limit.d), y.d, z.d)};
}
V16_INLINE float32x4_t vf_if_bits4(unsigned bits, float32x4_t x, float32x4_t y)
{
    static const uint32_t lanes[4] = {1, 2, 4, 8};
    return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), vld1q_u32(lanes)), x, y);
}
V16_INLINE vf vf_if_bits(unsigned bits, vf x, vf y)
{
    return (vf){vf_if_bits4(bits, x.a, y.a), vf_if_bits4(bits >> 4, x.b, y.b),
                vf_if_bits4(bits >> 8, x.c, y.c), vf_if_bits4(bits >> 12, x.d, y.d)};
}

V16_INLINE vi vi_load(const void *p)
{
    const uint8_t *q = p;
    return (vi){vreinterpretq_s32_u8(vld1q_u8(q)), vreinterpretq_s32_u8(vld1q_u8(q + 16)),
                vreinterpretq_s32_u8(vld1q_u8(q + 32)), vreinterpretq_s32_u8(vld1q_u8(q + 48))};
}
V16_INLINE void vi_store(void *p, vi x)
{
    uint8_t *q = p;
    vst1q_u8(q, vreinterpretq_u8_s32(x.a));
    vst1q_u8(q + 16, vreinterpretq_u8_s32(x.b));
    vst1q_u8(q + 32, vreinterpretq_u8_s32(x.c));
    vst1q_u8(q + 48, vreinterpretq_u8_s32(x.d));
}
V16_INLINE vi vi_set1(int32_t x)
{
    const int32x4_t v = vdupq_n_s32(x);
    return (vi){v, v, v, v};
}
V16_INLINE vi vi_zero(void)
{
    return vi_set1(0);
}
V16_INLINE vi vi_add(vi x, vi y)
{
    return (vi)QUARTERS_2(vaddq_s32, x, y);
}
V16_INLINE vi vi_sub(vi x, vi y)
{
    return (vi)QUARTERS_2(vsubq_s32, x, y);
}
V16_INLINE vi vi_and(vi x, vi y)
{
    return (vi)QUARTERS_2(vandq_s32, x, y);
}
V16_INLINE vi vi_xor(vi x, vi y)
{
    return (vi)QUARTERS_2(veorq_s32, x, y);
}
V16_INLINE int32x4_t shuffle_bytes(int32x4_t x, uint8x16_t order)
{
    return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(x), order)); /* beyond 15: zero */
}
V16_INLINE vi vi_shuffle_quads(vi x, const int8_t order[16])
{
    const uint8x16_t o = vreinterpretq_u8_s8(vld1q_s8(order));
    return (vi){shuffle_bytes(x.a, o), shuffle_bytes(x.b, o), shuffle_bytes(x.c, o), shuffle_bytes(x.d, o)};
}
V16_INLINE int32x4_t low_halves(int32x4_t x, int32x4_t y)
{
    return vreinterpretq_s32_s64(vtrn1q_s64(vreinterpretq_s64_s32(x), vreinterpretq_s64_s32(y)));
}
V16_INLINE int32x4_t high_halves(int32x4_t x, int32x4_t y)
{
    return vreinterpretq_s32_s64(vtrn2q_s64(vreinterpretq_s64_s32(x), vreinterpretq_s64_s32(y)));
}
V16_INLINE void vi_swap(vi *x, vi *y, int bytes)
{
    const vi u = *x, v = *y;
    if (bytes == 32) {
        *x = (vi){u.a, u.b, v.a, v.b};
        *y = (vi){u.c, u.d, v.c, v.d};
    } else if (bytes == 16) {
        *x = (vi){u.a, v.a, u.c, v.c};
        *y = (vi){u.b, v.b, u.d, v.d};
    } else if (bytes == 8) {
        *x = (vi)QUARTERS_2(low_halves, u, v);
        *y = (vi)QUARTERS_2(high_halves, u, v);
    } else {
        *x = (vi)QUARTERS_2(vtrn1q_s32, u, v);
        *y = (vi)QUARTERS_2(vtrn2q_s32, u, v);
    }
}
V16_INLINE vi vi_sll(vi x, int n)
{
    const int32x4_t up = vdupq_n_s32(n);
    return (vi){vshlq_s32(x.a, up), vshlq_s32(x.b, up), vshlq_s32(x.c, up), vshlq_s32(x.d, up)};
}
V16_INLINE vi vi_sra(vi x, int n)
{
    return vi_sll(x, -n); /* SSHL by less than nothing is an arithmetic shift down */
}
V16_INLINE vf vf_from_bits(vi x)
{
    return (vf)QUARTERS(vreinterpretq_f32_s32, x);
}
V16_INLINE vf vf_from_vi(vi x)
{
    return (vf)QUARTERS(vcvtq_f32_s32, x);
}
V16_INLINE vi vi_from_vf(vf x)
{
    return (vi)QUARTERS(vcvtnq_s32_f32, x);
}
V16_INLINE float32x4_t vf_scale2_4(float32x4_t x, float32x4_t n)
{
    const uint32x4_t e = vshlq_n_u32(vreinterpretq_u32_s32(vcvtnq_s32_f32(n)), 23);
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(x), e));
}
V16_INLINE vf vf_scale2(vf x, vf n)
{
    return (vf)QUARTERS_2(vf_scale2_4, x, n);
}
V16_INLINE vi vf_abs_bits(vf x)
{
    const vf y = vf_abs(x);
    return (vi)QUARTERS(vreinterpretq_s32_f32, y);
}
V16_INLINE vi vi_max(vi x, vi y)
{
    return (vi)QUARTERS_2(vmaxq_s32, x, y);
}
V16_INLINE int32_t vi_max_lane(vi x)
{
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.a, x.b), vmaxq_s32(x.c, x.d)));
}
V16_INLINE int32_t vi_sum_lanes(vi x)
{
    return vaddvq_s32(vaddq_s32(vaddq_s32(x.a, x.b), vaddq_s32(x.c, x.d)));
}
V16_INLINE void vi_store_s8(int8_t *p, vi x)
{
    const int16x8_t low = vuzp1q_s16(vreinterpretq_s16_s32(x.a), vreinterpretq_s16_s32(x.b));
    const int16x8_t high = vuzp1q_s16(vreinterpretq_s16_s32(x.c), vreinterpretq_s16_s32(x.d));
    vst1q_s8(p, vuzp1q_s8(vreinterpretq_s8_s16(low), vreinterpretq_s8_s16(high)));
}

V16_INLINE float32x4_t vf_bf16_first4(int32x4_t pairs)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(pairs, 16));
}
V16_INLINE float32x4_t vf_bf16_second4(int32x4_t pairs)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_s32(pairs), vdupq_n_u32(0xffff0000u)));
}
V16_INLINE vf vf_bf16_first(vi pairs)
{
    return (vf)QUARTERS(vf_bf16_first4, pairs);
}
V16_INLINE vf vf_bf16_second(vi pairs)
{
    return (vf)QUARTERS(vf_bf16_second4, pairs);
}
V16_INLINE float32x4_t vf_load_bf16_4(const uint8_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
V16_INLINE vf vf_load_bf16(const void *p)
{
    const uint8_t *q = p;
    return (vf){vf_load_bf16_4(q), vf_load_bf16_4(q + 8), vf_load_bf16_4(q + 16), vf_load_bf16_4(q + 24)};
}
V16_INLINE float32x4_t vf_load_f16_4(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
V16_INLINE vf vf_load_f16(const void *p)
{
    const uint8_t *q = p;
    return (vf){vf_load_f16_4(q), vf_load_f16_4(q + 8), vf_load_f16_4(q + 16), vf_load_f16_4(q + 24)};
}

V16_INLINE float vf_tree_sum(vf x)
{
    const float32x4_t y = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    const float32x2_t z = vadd_f32(vget_low_f32(y), vget_high_f32(y));
    return vget_lane_f32(z, 0) + vget_lane_f32(z, 1);
}
V16_INLINE float vf_tree_max(vf x)
{
    const float32x4_t y = vf_max4(vf_max4(x.a, x.c), vf_max4(x.b, x.d));
    const float32x4_t z = vf_max4(y, vextq_f32(y, y, 2));
    const float first = vgetq_lane_f32(z, 0), second = vgetq_lane_f32(z, 1);
    return first > second ? first : second;
}

#endif
