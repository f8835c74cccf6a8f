/* Sixteen f32 or i32 lanes on AVX-512: one zmm register. See v16_avx2.h for what the names mean.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_V16_AVX512_H
#define MQA_KERNELS_SIMD_V16_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define V16_INLINE static inline __attribute__((always_inline))

typedef __m512 vf;
typedef __m512i vi;

V16_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
V16_INLINE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
V16_INLINE vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
V16_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
V16_INLINE vf vf_add(vf x, vf y)
{
    return _mm512_add_ps(x, y);
}
V16_INLINE vf vf_sub(vf x, vf y)
{
    return _mm512_sub_ps(x, y);
}
V16_INLINE vf vf_mul(vf x, vf y)
{
    return _mm512_mul_ps(x, y);
}
V16_INLINE vf vf_div(vf x, vf y)
{
    return _mm512_div_ps(x, y);
}
V16_INLINE vf vf_fma(vf x, vf y, vf z)
{
    return _mm512_fmadd_ps(x, y, z);
}
V16_INLINE vf vf_fnma(vf x, vf y, vf z)
{
    return _mm512_fnmadd_ps(x, y, z);
}
V16_INLINE vf vf_fms(vf x, vf y, vf z)
{
    return _mm512_fmsub_ps(x, y, z);
}
V16_INLINE vf vf_neg(vf x)
{
    return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
}
V16_INLINE vf vf_even(vf x, vf y)
{
    const __m512i i = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(x, i, y);
}
V16_INLINE vf vf_odd(vf x, vf y)
{
    const __m512i i = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(x, i, y);
}
V16_INLINE vf vf_zip_low(vf even, vf odd)
{
    const __m512i i = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(even, i, odd);
}
V16_INLINE vf vf_zip_high(vf even, vf odd)
{
    const __m512i i = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(even, i, odd);
}
V16_INLINE vf vf_max(vf x, vf y)
{
    return _mm512_max_ps(x, y);
}
V16_INLINE vf vf_min(vf x, vf y)
{
    return _mm512_min_ps(x, y);
}
V16_INLINE vf vf_abs(vf x)
{
    return _mm512_abs_ps(x);
}
V16_INLINE vf vf_rint(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V16_INLINE vf vf_if_less(vf x, vf limit, vf y, vf z)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), z, y);
}
V16_INLINE vf vf_if_bits(unsigned bits, vf x, vf y)
{
    return _mm512_mask_blend_ps((__mmask16)bits, y, x);
}

V16_INLINE vi vi_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
V16_INLINE void vi_store(void *p, vi x)
{
    _mm512_storeu_si512(p, x);
}
V16_INLINE vi vi_zero(void)
{
    return _mm512_setzero_si512();
}
V16_INLINE vi vi_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}
V16_INLINE vi vi_add(vi x, vi y)
{
    return _mm512_add_epi32(x, y);
}
V16_INLINE vi vi_sub(vi x, vi y)
{
    return _mm512_sub_epi32(x, y);
}
V16_INLINE vi vi_and(vi x, vi y)
{
    return _mm512_and_si512(x, y);
}
V16_INLINE vi vi_xor(vi x, vi y)
{
    return _mm512_xor_si512(x, y);
}
V16_INLINE vi vi_sll(vi x, int n)
{
    return _mm512_slli_epi32(x, (unsigned)n);
}
V16_INLINE vi vi_sra(vi x, int n)
{
    return _mm512_srai_epi32(x, (unsigned)n);
}
V16_INLINE vf vf_from_vi(vi x)
{
    return _mm512_cvtepi32_ps(x);
}
V16_INLINE vf vf_from_bits(vi x)
{
    return _mm512_castsi512_ps(x);
}
V16_INLINE vi vi_from_vf(vf x)
{
    return _mm512_cvtps_epi32(x);
}
V16_INLINE vf vf_scale2(vf x, vf n)
{
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23)));
}
V16_INLINE vi vf_abs_bits(vf x)
{
    return _mm512_castps_si512(vf_abs(x));
}
V16_INLINE vi vi_max(vi x, vi y)
{
    return _mm512_max_epi32(x, y);
}
V16_INLINE int32_t vi_max_lane(vi x)
{
    return _mm512_reduce_max_epi32(x);
}
V16_INLINE int32_t vi_sum_lanes(vi x)
{
    return _mm512_reduce_add_epi32(x);
}
V16_INLINE void vi_store_s8(int8_t *p, vi x)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(x));
}
V16_INLINE vi vi_shuffle_quads(vi x, const int8_t order[16])
{
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)order)));
}
V16_INLINE void vi_swap(vi *x, vi *y, int bytes)
{
    const vi u = *x, v = *y;
    if (bytes == 32) {
        *x = _mm512_shuffle_i64x2(u, v, 0x44);
        *y = _mm512_shuffle_i64x2(u, v, 0xee);
    } else if (bytes == 16) {
        *x = _mm512_mask_shuffle_i64x2(u, 0xcc, v, v, 0xa0);
        *y = _mm512_mask_shuffle_i64x2(v, 0x33, u, u, 0xf5);
    } else if (bytes == 8) {
        *x = _mm512_unpacklo_epi64(u, v);
        *y = _mm512_unpackhi_epi64(u, v);
    } else {
        *x = _mm512_mask_shuffle_epi32(u, 0xaaaa, v, _MM_PERM_CCAA);
        *y = _mm512_mask_shuffle_epi32(v, 0x5555, u, _MM_PERM_DDBB);
    }
}
V16_INLINE vi vi_dot_u8s8(vi acc, vi u, vi s)
{
    return _mm512_dpbusd_epi32(acc, u, s);
}

V16_INLINE vf vf_bf16_first(vi pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
V16_INLINE vf vf_bf16_second(vi pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}
V16_INLINE vf vf_load_bf16(const void *p)
{
    const __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}
V16_INLINE vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

V16_INLINE float vf_tree_sum(vf x)
{
    const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_add_ps(z, _mm_movehl_ps(z, z));
    z = _mm_add_ss(z, _mm_shuffle_ps(z, z, 1));
    return _mm_cvtss_f32(z);
}
V16_INLINE float vf_tree_max(vf x)
{
    const __m256 y = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_max_ps(z, _mm_movehl_ps(z, z));
    z = _mm_max_ss(z, _mm_shuffle_ps(z, z, 1));
    return _mm_cvtss_f32(z);
}

#endif
