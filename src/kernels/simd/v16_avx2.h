/* Sixteen f32 or i32 lanes on AVX2 (with FMA and F16C): two ymm registers.
 *
 * The same names with the same bits are in v16_avx512.h and v16_neon.h; templates are written on them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_V16_AVX2_H
#define MQA_KERNELS_SIMD_V16_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define V16_INLINE static inline __attribute__((always_inline))

typedef struct vf {
    __m256 a, b; /* lanes 0-7, 8-15 */
} vf;
typedef struct vi {
    __m256i a, b;
} vi;

V16_INLINE vf vf_load(const float *p)
{
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
V16_INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
V16_INLINE vf vf_set1(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return (vf){v, v};
}
V16_INLINE vf vf_zero(void)
{
    return (vf){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
V16_INLINE vf vf_add(vf x, vf y)
{
    return (vf){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
V16_INLINE vf vf_sub(vf x, vf y)
{
    return (vf){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
V16_INLINE vf vf_mul(vf x, vf y)
{
    return (vf){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
V16_INLINE vf vf_div(vf x, vf y)
{
    return (vf){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
/* x * y + z, rounded once */
V16_INLINE vf vf_fma(vf x, vf y, vf z)
{
    return (vf){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
/* z - x * y, rounded once */
V16_INLINE vf vf_fnma(vf x, vf y, vf z)
{
    return (vf){_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
/* x * y - z, rounded once */
V16_INLINE vf vf_fms(vf x, vf y, vf z)
{
    return (vf){_mm256_fmsub_ps(x.a, y.a, z.a), _mm256_fmsub_ps(x.b, y.b, z.b)};
}
V16_INLINE vf vf_neg(vf x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_xor_ps(sign, x.a), _mm256_xor_ps(sign, x.b)};
}
/* The even and the odd ones of the 32 values x, y; and back: the first and the last 16 of even, odd, even,
 * ... */
V16_INLINE __m256 vf_in_order(__m256 x)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
}
V16_INLINE vf vf_even(vf x, vf y)
{
    return (vf){vf_in_order(_mm256_shuffle_ps(x.a, x.b, 0x88)),
                vf_in_order(_mm256_shuffle_ps(y.a, y.b, 0x88))};
}
V16_INLINE vf vf_odd(vf x, vf y)
{
    return (vf){vf_in_order(_mm256_shuffle_ps(x.a, x.b, 0xdd)),
                vf_in_order(_mm256_shuffle_ps(y.a, y.b, 0xdd))};
}
V16_INLINE vf vf_zip8(__m256 even, __m256 odd)
{
    const __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    return (vf){_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}
V16_INLINE vf vf_zip_low(vf even, vf odd)
{
    return vf_zip8(even.a, odd.a);
}
V16_INLINE vf vf_zip_high(vf even, vf odd)
{
    return vf_zip8(even.b, odd.b);
}

/* y where x or y is NaN, and where both are zero */
V16_INLINE vf vf_max(vf x, vf y)
{
    return (vf){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
V16_INLINE vf vf_min(vf x, vf y)
{
    return (vf){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
V16_INLINE vf vf_abs(vf x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
/* to the nearest integer, ties to even */
V16_INLINE vf vf_rint(vf x)
{
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    return (vf){_mm256_round_ps(x.a, NEAREST), _mm256_round_ps(x.b, NEAREST)};
}
/* x < limit ? y : z */
V16_INLINE vf vf_if_less(vf x, vf limit, vf y, vf z)
{
    return (vf){_mm256_blendv_ps(z.a, y.a, _mm256_cmp_ps(x.a, limit.a, _CMP_LT_OQ)),
                _mm256_blendv_ps(z.b, y.b, _mm256_cmp_ps(x.b, limit.b, _CMP_LT_OQ))};
}
/* lane i: bit i of bits ? x : y */
V16_INLINE vf vf_if_bits(unsigned bits, vf x, vf y)
{
    const __m256i all = _mm256_set1_epi32((int)bits);
    const __m256i a = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), b = _mm256_slli_epi32(a, 8);
    const __m256i ma = _mm256_cmpeq_epi32(_mm256_and_si256(all, a), a);
    const __m256i mb = _mm256_cmpeq_epi32(_mm256_and_si256(all, b), b);
    return (vf){_mm256_blendv_ps(y.a, x.a, _mm256_castsi256_ps(ma)),
                _mm256_blendv_ps(y.b, x.b, _mm256_castsi256_ps(mb))};
}

V16_INLINE vi vi_load(const void *p)
{
    return (vi){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
V16_INLINE void vi_store(void *p, vi x)
{
    _mm256_storeu_si256((__m256i *)p, x.a);
    _mm256_storeu_si256((__m256i *)p + 1, x.b);
}
V16_INLINE vi vi_zero(void)
{
    return (vi){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
V16_INLINE vi vi_set1(int32_t x)
{
    return (vi){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
V16_INLINE vi vi_add(vi x, vi y)
{
    return (vi){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
V16_INLINE vi vi_sub(vi x, vi y)
{
    return (vi){_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
V16_INLINE vi vi_and(vi x, vi y)
{
    return (vi){_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
V16_INLINE vi vi_xor(vi x, vi y)
{
    return (vi){_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
/* n bits up; n bits down, copies of the sign above */
V16_INLINE vi vi_sll(vi x, int n)
{
    return (vi){_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
V16_INLINE vi vi_sra(vi x, int n)
{
    return (vi){_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)};
}
V16_INLINE vf vf_from_vi(vi x)
{
    return (vf){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
/* the same bits */
V16_INLINE vf vf_from_bits(vi x)
{
    return (vf){_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
/* to the nearest integer, ties to even; |x| < 2^31 */
V16_INLINE vi vi_from_vf(vf x)
{
    return (vi){_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}
/* x * 2^n for integral n, while the result is normal */
V16_INLINE vf vf_scale2(vf x, vf n)
{
    const vi e = vi_from_vf(n);
    return (vf){_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x.a), _mm256_slli_epi32(e.a, 23))),
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x.b), _mm256_slli_epi32(e.b, 23)))};
}

/* The bits of |x|, which are ordered as |x| is. */
V16_INLINE vi vf_abs_bits(vf x)
{
    const vf y = vf_abs(x);
    return (vi){_mm256_castps_si256(y.a), _mm256_castps_si256(y.b)};
}
V16_INLINE vi vi_max(vi x, vi y)
{
    return (vi){_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)};
}
V16_INLINE int32_t vi_max_lane(vi x)
{
    const __m256i y = _mm256_max_epi32(x.a, x.b);
    __m128i z = _mm_max_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    z = _mm_max_epi32(z, _mm_shuffle_epi32(z, 0x4e));
    z = _mm_max_epi32(z, _mm_shuffle_epi32(z, 0xb1));
    return _mm_cvtsi128_si32(z);
}
V16_INLINE int32_t vi_sum_lanes(vi x)
{
    const __m256i y = _mm256_add_epi32(x.a, x.b);
    __m128i z = _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    z = _mm_add_epi32(z, _mm_shuffle_epi32(z, 0x4e));
    z = _mm_add_epi32(z, _mm_shuffle_epi32(z, 0xb1));
    return _mm_cvtsi128_si32(z);
}
/* Sixteen bytes, of lanes in [-128, 127]. */
V16_INLINE void vi_store_s8(int8_t *p, vi x)
{
    const __m256i pairs = _mm256_packs_epi32(x.a, x.b); /* 0-3 8-11 | 4-7 12-15 */
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    _mm_storeu_si128((__m128i *)p, _mm_shuffle_epi32(bytes, 0xd8));
}
/* In each four lanes byte i becomes their byte order[i], or zero where that is negative. */
V16_INLINE vi vi_shuffle_quads(vi x, const int8_t order[16])
{
    const __m256i o = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)order));
    return (vi){_mm256_shuffle_epi8(x.a, o), _mm256_shuffle_epi8(x.b, o)};
}
/* A step of a transpose: x becomes x0 y0 x2 y2 …, y becomes x1 y1 x3 y3 … in runs of so many bytes: 4, 8, 16
 * or 32, a constant. */
V16_INLINE void vi_swap(vi *x, vi *y, int bytes)
{
    const vi u = *x, v = *y;
    if (bytes == 32) {
        *x = (vi){u.a, v.a};
        *y = (vi){u.b, v.b};
    } else if (bytes == 16) {
        *x = (vi){_mm256_permute2x128_si256(u.a, v.a, 0x20), _mm256_permute2x128_si256(u.b, v.b, 0x20)};
        *y = (vi){_mm256_permute2x128_si256(u.a, v.a, 0x31), _mm256_permute2x128_si256(u.b, v.b, 0x31)};
    } else if (bytes == 8) {
        *x = (vi){_mm256_unpacklo_epi64(u.a, v.a), _mm256_unpacklo_epi64(u.b, v.b)};
        *y = (vi){_mm256_unpackhi_epi64(u.a, v.a), _mm256_unpackhi_epi64(u.b, v.b)};
    } else {
        *x = (vi){_mm256_blend_epi32(u.a, _mm256_slli_epi64(v.a, 32), 0xaa),
                  _mm256_blend_epi32(u.b, _mm256_slli_epi64(v.b, 32), 0xaa)};
        *y = (vi){_mm256_blend_epi32(_mm256_srli_epi64(u.a, 32), v.a, 0xaa),
                  _mm256_blend_epi32(_mm256_srli_epi64(u.b, 32), v.b, 0xaa)};
    }
}
/* acc + the products of the four u8 of each lane of u with the s8 of s: where there is AVX-VNNI, or
 * AVX-512's, which is the same instruction in another encoding. */
#ifdef __AVXVNNI__
#define V16_DPBUSD _mm256_dpbusd_avx_epi32
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define V16_DPBUSD _mm256_dpbusd_epi32
#endif
#ifdef V16_DPBUSD
V16_INLINE vi vi_dot_u8s8(vi acc, vi u, vi s)
{
    return (vi){V16_DPBUSD(acc.a, u.a, s.a), V16_DPBUSD(acc.b, u.b, s.b)};
}
#endif

/* Sixteen pairs of bf16: the first and the second of each pair, widened. */
V16_INLINE vf vf_bf16_first(vi pairs)
{
    return (vf){_mm256_castsi256_ps(_mm256_slli_epi32(pairs.a, 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(pairs.b, 16))};
}
V16_INLINE vf vf_bf16_second(vi pairs)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    return (vf){_mm256_castsi256_ps(_mm256_and_si256(pairs.a, high)),
                _mm256_castsi256_ps(_mm256_and_si256(pairs.b, high))};
}
/* Sixteen bf16 or f16 in a row, widened. */
V16_INLINE vf vf_load_bf16(const void *p)
{
    const __m128i *x = (const __m128i *)p;
    return (vf){_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(x)), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(x + 1)), 16))};
}
V16_INLINE vf vf_load_f16(const void *p)
{
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p + 1))};
}

/* The tree of docs/numerics.md section 1: i += i+8, +4, +2, +1. */
V16_INLINE float vf_tree_sum(vf x)
{
    __m256 y = _mm256_add_ps(x.a, x.b);
    __m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_add_ps(z, _mm_movehl_ps(z, z));
    z = _mm_add_ss(z, _mm_shuffle_ps(z, z, 1));
    return _mm_cvtss_f32(z);
}
V16_INLINE float vf_tree_max(vf x)
{
    __m256 y = _mm256_max_ps(x.a, x.b);
    __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_max_ps(z, _mm_movehl_ps(z, z));
    z = _mm_max_ss(z, _mm_shuffle_ps(z, z, 1));
    return _mm_cvtss_f32(z);
}

#endif
