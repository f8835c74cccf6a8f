/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_avx512.h"

#define VECTOR_BYTES   64
#define N_ACCUMULATORS 24
#define NAMED(x)       roofline_##x##_avx512
#include "roofline_loops.h"

#define DOT_ACC             __m512i
#define DOT_OPERAND         __m512i
#define DOT_OPS             128
#define DOT_STEP(acc, x, y) _mm512_dpbusd_epi32(acc, x, y)
#define DOT_NAME            roofline_bytes_avx512
#include "roofline_dot.h"
