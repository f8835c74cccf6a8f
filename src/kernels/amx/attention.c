/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/tile_amx.h"

#define AMX_FILL         mqa_attention_amx
#define AMX_BF16_ROWS    mqa_bf16_rows_avx512
#define AMX_SOFTMAX_INT8 mqa_softmax_int8_avx512
#include "kernels/template/attention_amx.h"
