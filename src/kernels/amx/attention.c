/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/tile_amx.h"

#define AMX_FILL mqa_attention_amx
#include "kernels/template/attention_amx.h"
