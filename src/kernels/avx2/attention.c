/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_avx2.h"

#include "kernels/simd/dot8_avx2.h"

#define ATTENTION_FILL mqa_attention_avx2
/* 16 registers: at most 12 accumulate (two a vector), two hold K or V, one a broadcast. */
#define ATTENTION_VECTORS(rows)   ((rows) == 1 ? 4 : (rows) <= 3 ? 2 : 1)
#define ATTENTION_VECTORS_8(rows) ((rows) <= 2 ? 2 : 1)
#include "kernels/template/attention.h"
