/* AMX's recipe on any machine: the same source over tiles in plain C.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/simd/tile_c.h"

#define AMX_FILL mqa_attention_amx_c
#include "kernels/template/attention_amx.h"
