/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_neon.h"

#ifndef ATTENTION_FILL
#define ATTENTION_FILL mqa_attention_neon
#endif
/* 32 registers of four lanes, a vector of 16 takes four: at most 24 accumulate; K or V takes four and, packed
 * as bf16, four more. One and two rows take two vectors, so that enough chains run. Reasoned, and read in the
 * code that GCC 12 makes of it (of the blocks in use only that of two rows of bf16 touches the stack), not
 * measured. */
#define ATTENTION_VECTORS(rows)   ((rows) <= 2 ? 2 : 1)
#define ATTENTION_VECTORS_8(rows) 1
#define ATTENTION_MOST_ROWS(type) ((type) == MQA_KV_F32 ? 6 : 5)
#if defined(__ARM_FEATURE_MATMUL_INT8)
#include "kernels/simd/dot8_neon_i8mm.h"
#define ATTENTION_MOST_ROWS_K8 3 /* 24 accumulators, 2 registers of K and 2 that it is zipped of, 3 of q */
#define ATTENTION_MOST_ROWS_V8 3 /* likewise */
#elif defined(__ARM_FEATURE_DOTPROD)
#include "kernels/simd/dot8_neon_dotprod.h"
#define ATTENTION_MOST_ROWS_K8 3 /* 24 accumulators (two digits), 4 registers of K, 2 broadcasts */
#define ATTENTION_MOST_ROWS_V8 3 /* likewise */
#else
#include "kernels/simd/dot8_neon.h"
#define ATTENTION_MOST_ROWS_K8 4 /* 16 accumulators, 8 registers of K, 1 of q */
#define ATTENTION_MOST_ROWS_V8 2 /* 16 accumulators (two digits), 8 registers of V, 1 of p */
#endif
#include "kernels/template/attention.h"
