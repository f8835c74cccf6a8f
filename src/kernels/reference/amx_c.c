/* AMX's recipe on any machine: the same source over tiles in plain C.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/simd/tile_c.h"

#define AMX_FILL         mqa_attention_amx_c
#define AMX_BF16_ROWS    mqa_bf16_rows_reference
#define AMX_SOFTMAX_INT8 mqa_softmax_int8_reference
#include "kernels/template/attention_amx.h"
