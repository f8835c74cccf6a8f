/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define DOT_ACC             __m512
#define DOT_OPERAND         __m512bh
#define DOT_OPS             64
#define DOT_STEP(acc, x, y) _mm512_dpbf16_ps(acc, x, y)
#define DOT_NAME            roofline_bf16_avx512
#include "roofline_dot.h"
