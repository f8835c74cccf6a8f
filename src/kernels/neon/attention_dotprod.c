/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_neon.h"

#include "kernels/neon/blocks.h"
#include "kernels/simd/dot8_neon_dotprod.h"

#define ATTENTION_FILL         mqa_attention_neon_dotprod
#define ATTENTION_MOST_ROWS_K8 3 /* 24 accumulators (two digits), 4 registers of K, 2 broadcasts */
#define ATTENTION_MOST_ROWS_V8 3 /* likewise */
#include "kernels/template/attention.h"
