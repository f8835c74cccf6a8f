/* exp on sixteen lanes (docs/numerics.md section 6). Include after a v16_<isa>.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_V16_MATH_H
#define MQA_KERNELS_SIMD_V16_MATH_H

#include "kernels/constants.h"

V16_INLINE vf vf_exp_below_high(vf x)
{
    const vf n = vf_rint(vf_mul(x, vf_set1(MQA_LOG2E)));
    vf r = vf_fnma(n, vf_set1(MQA_LN2_HI), x);
    r = vf_fnma(n, vf_set1(MQA_LN2_LO), r);
    vf p = vf_set1(MQA_EXP_C6);
    p = vf_fma(p, r, vf_set1(MQA_EXP_C5));
    p = vf_fma(p, r, vf_set1(MQA_EXP_C4));
    p = vf_fma(p, r, vf_set1(MQA_EXP_C3));
    p = vf_fma(p, r, vf_set1(MQA_EXP_C2));
    p = vf_fma(p, r, vf_set1(1.0f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_if_less(x, vf_set1(MQA_EXP_LOW), vf_zero(), vf_scale2(p, n));
}

V16_INLINE vf vf_exp(vf x)
{
    return vf_exp_below_high(vf_min(x, vf_set1(MQA_EXP_HIGH)));
}

#endif
