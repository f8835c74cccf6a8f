/* What this machine gives at best: read bandwidth by working set, and arithmetic by format.
 *
 * Measured on the context's threads and with its instruction set; each figure takes a tenth of a second or
 * more.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_ROOFLINE_H
#define MQA_CLI_ROOFLINE_H

#include "mqa/cache.h"
#include "mqa/context.h"

/* Bytes a second at which n_threads (at most the context's) read a working set of `bytes` in all, an equal
 * part each, again and again. The best of many tries. */
mqa_status roofline_read(mqa_context *ctx, int n_threads, size_t bytes, double *bytes_per_s, mqa_error *err);

/* Operations a second (a multiply-add is two) in the arithmetic of one of attention's products, Q.K or P.V,
 * over a cache of this format: what the instruction that the context's recipe uses gives in registers; where
 * we know none, what the context's own scores kernel gives on data in L1. Where a value goes in two digits,
 * both count as one operation. */
typedef enum roofline_product { ROOFLINE_SCORES, ROOFLINE_PV } roofline_product;
mqa_status roofline_peak(mqa_context *ctx, int n_threads, mqa_kv_type type, roofline_product product,
                         double *ops_per_s, mqa_error *err);
/* The two apart. f32 multiply-adds: roofline_instruction of MQA_KV_F32. 0 where an instruction isn't known.
 */
mqa_status roofline_kernel(mqa_context *ctx, int n_threads, mqa_kv_type type, double *ops_per_s,
                           mqa_error *err);
double roofline_instruction(mqa_context *ctx, int n_threads, mqa_kv_type type, roofline_product product);

/* Exponentials a second, by the polynomial of softmax. */
double roofline_exp(mqa_context *ctx, int n_threads);

/* A working set well inside level 2 or 3, or well outside all caches (4); 0 where there is no such level. */
size_t roofline_working_set(int level, int n_threads);

#endif
