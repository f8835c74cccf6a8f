/* What the linear kernels need of AVX-512 with VNNI.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_LINEAR_DOT_AVX512_H
#define MQA_KERNELS_SIMD_LINEAR_DOT_AVX512_H

#include "kernels/simd/linear_dot_vnni.h"

#define DOT_ROWS 8

V16_INLINE vi bytes_low_nibbles(vi x)
{
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}
V16_INLINE vi bytes_high_nibbles(vi x)
{
    return bytes_low_nibbles(_mm512_srli_epi16(x, 4));
}
V16_INLINE vi bytes_or_plane(vi x, vi plane, int left, int mask_bits)
{
    if (left > 0) plane = _mm512_slli_epi16(plane, (unsigned)left);
    if (left < 0) plane = _mm512_srli_epi16(plane, (unsigned)-left);
    return _mm512_or_si512(x, _mm512_and_si512(plane, _mm512_set1_epi8((char)mask_bits)));
}

#endif
