/* The loops of roofline_loops.h by instruction set. read: a sum of the data, whole blocks of 512 bytes;
 * data aligned to 64. fma: adds the operations done to *ops. The results only keep the work from being
 * optimised away.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_ROOFLINE_LOOPS_ALL_H
#define MQA_CLI_ROOFLINE_LOOPS_ALL_H

#include <stddef.h>
#include <stdint.h>

uint64_t roofline_read_base(const void *data, size_t bytes);
uint64_t roofline_read_avx2(const void *data, size_t bytes);
uint64_t roofline_read_avx512(const void *data, size_t bytes);
float roofline_fma_base(long rounds, double *ops);
float roofline_fma_avx2(long rounds, double *ops);
float roofline_fma_avx512(long rounds, double *ops);

#endif
