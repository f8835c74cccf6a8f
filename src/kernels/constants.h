/* The numbers of docs/numerics.md, for every instruction set alike.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_CONSTANTS_H
#define MQA_KERNELS_CONSTANTS_H

#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__
#error "masks need infinities and sums need their order: compile mqa without -ffast-math and its like"
#endif

#define MQA_MAX_HEAD_DIM 1024

#define MQA_TILE        16  /* tokens (or output columns) in a K tile: the lanes */
#define MQA_GRANULE     64  /* tokens in the smallest page */
#define MQA_SPAN        512 /* tokens between two running rescales */
#define MQA_DOT_BLOCK   16  /* values of d in one chain of a score */
#define MQA_DOT_LEVELS  19  /* of sums of chains, pairwise: the widest matrices have 2^22 inputs */
#define MQA_GROUP_SPANS 16  /* spans folded before groups are folded */

#define MQA_LOG2E    0x1.715476p+0f
#define MQA_LN2_HI   0x1.62e4p-1f /* few enough bits that n * LN2_HI is exact */
#define MQA_LN2_LO   0x1.7f7d1cp-20f
#define MQA_EXP_LOW  (-87.0f)
#define MQA_EXP_HIGH 88.0f

#define MQA_TANH_HIGH 20.0f /* 2x from which on tanh(x) is 1 in f32 */

/* scripts/fit_exp.py prints these; 3.1e-9 is the polynomial's own largest relative error. */
#define MQA_EXP_C2 0x1.fffffcp-2f
#define MQA_EXP_C3 0x1.555492p-3f
#define MQA_EXP_C4 0x1.5558b0p-5f
#define MQA_EXP_C5 0x1.123988p-7f
#define MQA_EXP_C6 0x1.6a4ce4p-10f

#define MQA_GELU_A 0.79788456f
#define MQA_GELU_B 0.044715f

#endif
