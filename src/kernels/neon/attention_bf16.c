/* The bf16 format's dot products with BFDOT.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/simd/v16_neon.h"

#include "kernels/simd/pairs_neon.h"

#define PAIRS_FILL   mqa_attention_neon_bf16
#define PAIRS_RECIPE MQA_RECIPE_NEON_BF16
/* A vector takes four of 32 registers: 20 accumulate, K or V takes four, the rows' pairs five. One and two
 * rows take two vectors, so that enough chains run. */
#define PAIRS_MOST_ROWS     5
#define PAIRS_VECTORS(rows) ((rows) <= 2 ? 2 : 1)
#include "kernels/template/attention_bf16.h"
