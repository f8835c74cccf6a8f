/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_neon.h"

#include "kernels/neon/blocks.h"
#include "kernels/simd/dot8_neon.h"

#define ATTENTION_FILL         mqa_attention_neon
#define ATTENTION_MOST_ROWS_K8 4 /* 16 accumulators, 8 registers of K */
#define ATTENTION_MOST_ROWS_V8 2 /* 16 accumulators (two digits), 8 registers of V */
#include "kernels/template/attention.h"
