/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define DOT_ACC             __m256i
#define DOT_OPERAND         __m256i
#define DOT_OPS             64
#define DOT_STEP(acc, x, y) _mm256_dpbusd_avx_epi32(acc, x, y)
#define DOT_NAME            roofline_bytes_avx2_vnni
#include "roofline_dot.h"
