/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_avx2.h"

#ifndef ATTENTION_FILL
#define ATTENTION_FILL mqa_attention_avx2
#endif
/* 16 registers: accumulators (two a vector), K or V, a broadcast; bf16 needs more for widening. Measured
 * on Zen 3, d 128: bf16 6 rows 43 GFLOP/s for P.V, 5 rows 72; 3 rows of two vectors 42, of one 55. */
#define ATTENTION_VECTORS(rows)   ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#define ATTENTION_MOST_ROWS(type) ((type) == MQA_KV_F32 ? 6 : 5)
#ifdef V16_DPBUSD
/* Two digits take four accumulators a vector: 12, K or V and two broadcasts fill the registers. Not measured.
 */
#include "kernels/simd/dot8_vnni.h"
#define ATTENTION_VECTORS_8(rows) ((rows) == 1 ? 2 : 1)
#define ATTENTION_MOST_ROWS_K8    3
#define ATTENTION_MOST_ROWS_V8    3
#else
#include "kernels/simd/dot8_avx2.h"
#define ATTENTION_VECTORS_8(rows) ((rows) <= 2 ? 2 : 1)
#define ATTENTION_MOST_ROWS_K8    4
#define ATTENTION_MOST_ROWS_V8    4
#endif
#include "kernels/template/attention.h"
