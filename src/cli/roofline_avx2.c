/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_avx2.h"

#define VECTOR_BYTES   32
#define N_ACCUMULATORS 12
#define NAMED(x)       roofline_##x##_avx2
#include "roofline_loops.h"

/* What kernels/simd/dot8_avx2.h makes of bytes: pairs of s16. */
#define DOT_ACC             __m256i
#define DOT_OPERAND         __m256i
#define DOT_OPS             32
#define DOT_STEP(acc, x, y) _mm256_add_epi32(acc, _mm256_madd_epi16(x, y))
#define DOT_NAME            roofline_bytes_avx2
#include "roofline_dot.h"
