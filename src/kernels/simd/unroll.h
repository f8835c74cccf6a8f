/* UNROLL before a loop over a register block, so that its arrays become registers. The build may define it to
 * be nothing: sanitizers make too much of unrolled code.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_UNROLL_H
#define MQA_KERNELS_SIMD_UNROLL_H

#ifndef UNROLL
#ifdef __clang__ /* knows "GCC unroll", but heeds it too late for that */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#endif

#endif
