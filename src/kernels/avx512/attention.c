/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_avx512.h"

#include "kernels/simd/dot8_vnni.h"

#define ATTENTION_FILL mqa_attention_avx512
/* 32 registers: at most 24 accumulate. On Zen 4 (one core, d 128) bf16 and int8 reach 224 and 222 of the 236
 * GFLOP/s that vdpbf16ps and vpdpbusd give from registers alone, f32 116 of 118. */
#define ATTENTION_VECTORS(rows)   4
#define ATTENTION_VECTORS_8(rows) 2
#define ATTENTION_MOST_ROWS(type) 6
#define ATTENTION_MOST_ROWS_K8    4
#define ATTENTION_MOST_ROWS_V8    4
#include "kernels/template/attention.h"

V16_INLINE void store_u(float *s, vi u)
{
    vi_store(s, u);
}

void mqa_softmax_int8_avx512(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                             float *m, float *l, float *p_scale)
{
    softmax_int8_row(s, n_granules, valid, v_runs, store_u, m, l, p_scale);
}
