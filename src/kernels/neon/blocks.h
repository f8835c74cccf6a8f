/* Register blocks of attention's f32 and bf16 kernels on NEON. 32 registers of four lanes, a vector of 16
 * takes four: the largest block has 6 rows (24 accumulators, 4 registers of K or V, broadcasts), in bf16 5,
 * which needs the packed pairs, their widened halves and a mask besides. One row takes four vectors and two
 * rows two, so that 16 chains run: enough for four FMA pipes of four cycles. Reasoned and read in the
 * compiler's output (no spills in the loops), not measured.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define ATTENTION_VECTORS(rows)   ((rows) <= 2 ? 2 : 1)
#define ATTENTION_VECTORS_8(rows) 1
#define ATTENTION_MOST_ROWS(type) ((int)(type) == MQA_KV_F32 ? 6 : 5)
