/* The loops that roofline.c times, by instruction set. Their results only keep the work from being optimised
 * away.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_ROOFLINE_LOOPS_ALL_H
#define MQA_CLI_ROOFLINE_LOOPS_ALL_H

#include <stddef.h>
#include <stdint.h>

/* A sum of the data, whole blocks of 512 bytes; data aligned to 64. ahead: so many bytes ahead lines are
 * fetched by instructions, too, which get more from memory than the hardware's own prefetch; 0: none. */
uint64_t roofline_read_base(const void *data, size_t bytes, size_t ahead);
uint64_t roofline_read_avx2(const void *data, size_t bytes, size_t ahead);
uint64_t roofline_read_avx512(const void *data, size_t bytes, size_t ahead);
uint64_t roofline_read_neon(const void *data, size_t bytes, size_t ahead);

/* The rest compute in registers, and add the operations done to *ops: multiply-adds of f32
 * (roofline_loops.h), */
typedef float roofline_loop(long rounds, double *ops);
roofline_loop roofline_fma_base, roofline_fma_avx2, roofline_fma_avx512, roofline_fma_neon;
/* exponentials, */
roofline_loop roofline_exp_avx2, roofline_exp_avx512, roofline_exp_neon;
/* and dot products of narrow values (roofline_dot.h), each in an instruction of its own. */
roofline_loop roofline_bf16_avx512, roofline_bf16_amx, roofline_bf16_neon;
roofline_loop roofline_bytes_avx2, roofline_bytes_avx2_vnni, roofline_bytes_avx512, roofline_bytes_amx;
roofline_loop roofline_bytes_neon_dotprod, roofline_bytes_neon_i8mm;

#endif
