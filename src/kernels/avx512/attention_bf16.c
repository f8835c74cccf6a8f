/* The bf16 format's dot products with vdpbf16ps, for CPUs where it outruns f32 FMA.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/simd/v16_avx512.h"

#include "kernels/simd/pairs_avx512.h"

#define PAIRS_FILL          mqa_attention_avx512_bf16
#define PAIRS_RECIPE        MQA_RECIPE_AVX512_BF16
#define PAIRS_MOST_ROWS     6 /* 24 of 32 registers accumulate */
#define PAIRS_VECTORS(rows) 4
#include "kernels/template/attention_bf16.h"

void mqa_bf16_rows_avx512(mqa_attention_kernels *a)
{
    fill_rows(a);
}
