/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_KERNELS_REFERENCE_REFERENCE_H
#define MQA_KERNELS_REFERENCE_REFERENCE_H

#include "kernels/kernels.h"

/* exp of docs/numerics.md section 6, one value. */
float mqa_exp_reference(float x);
/* pack_q of the int8 format with q as s16: what instruction sets without another wish use. */
int mqa_pack_q_int8(const float *const *q, int rows, int d, float sm_scale, void *q_block);
/* The same with q = 128 * high + low in two balanced s8 digits, for VNNI and AMX. */
int mqa_pack_q_int8_digits(const float *const *q, int rows, int d, float sm_scale, void *q_block);

mqa_softmax_fn mqa_softmax_float_reference;
mqa_softmax_fn mqa_softmax_int8_reference; /* leaves u_t as 32 bits in the place of each score */
mqa_softmax_fn mqa_softmax_int8_avx512;    /* likewise */

mqa_v_from_k_fn mqa_v_from_k_reference;

/* pack_q and softmax of the bf16 recipes. */
void mqa_bf16_rows_reference(mqa_attention_kernels *a);
void mqa_bf16_rows_avx512(mqa_attention_kernels *a); /* needs AVX-512 BF16 */

/* For MQA_FLOAT_FORMATS: the table's functions of one, from a file's own scores_float and pv_float. */
#define FLOAT_KERNELS(TYPE, SUFFIX)                                                                          \
    static void scores_##SUFFIX(const void *q_block, int rows, int d, const void *const *k_runs,             \
                                int n_granules, const mqa_ahead *ahead, float *s, size_t s_stride)           \
    {                                                                                                        \
        scores_float(TYPE, q_block, rows, d, k_runs, n_granules, ahead, s, s_stride);                        \
    }                                                                                                        \
    static void pv_##SUFFIX(const float *p, size_t p_stride, const float *p_scale, int rows,                 \
                            const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead,      \
                            float *o)                                                                        \
    {                                                                                                        \
        (void)p_scale;                                                                                       \
        pv_float(TYPE, p, p_stride, rows, v_runs, n_granules, d_v, ahead, o);                                \
    }

/* Each fills its part of a table. The plain C ones come first, an instruction set's overwrite. */
void mqa_attention_reference(mqa_kernels *k);
void mqa_linear_reference(mqa_kernels *k); /* called by the next */
void mqa_linear_rows_reference(mqa_kernels *k);
void mqa_attention_avx2(mqa_kernels *k);
void mqa_linear_rows_avx2(mqa_kernels *k);
void mqa_attention_avx2_vnni(mqa_kernels *k);
void mqa_linear_rows_avx2_vnni(mqa_kernels *k);
void mqa_attention_avx512(mqa_kernels *k);
void mqa_linear_rows_avx512(mqa_kernels *k);
void mqa_attention_neon(mqa_kernels *k);
void mqa_linear_rows_neon(mqa_kernels *k);
void mqa_attention_neon_dotprod(mqa_kernels *k);
void mqa_linear_rows_neon_dotprod(mqa_kernels *k);
void mqa_attention_neon_i8mm(mqa_kernels *k);
void mqa_linear_rows_neon_i8mm(mqa_kernels *k);

/* The fast recipes of the bf16 format, in their own instructions and in plain C with the same bits. */
void mqa_attention_avx512_bf16(mqa_kernels *k);
void mqa_avx512_bf16_reference(mqa_kernels *k);
void mqa_attention_neon_bf16(mqa_kernels *k);
void mqa_neon_bf16_reference(mqa_kernels *k);
void mqa_attention_amx(mqa_kernels *k);
void mqa_attention_amx_c(mqa_kernels *k);

#endif
