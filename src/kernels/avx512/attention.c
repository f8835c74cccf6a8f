/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_avx512.h"

#include "kernels/simd/dot8_avx512.h"

#define ATTENTION_FILL mqa_attention_avx512
/* 32 registers: at most 24 accumulate. Not yet measured on such a CPU. */
#define ATTENTION_VECTORS(rows)   4
#define ATTENTION_VECTORS_8(rows) 2
#define ATTENTION_MOST_ROWS(type) 6
#include "kernels/template/attention.h"
