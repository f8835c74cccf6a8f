/* exp on sixteen lanes (docs/numerics.md section 6). Include after a v16_<isa>.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_V16_MATH_H
#define MQA_KERNELS_SIMD_V16_MATH_H

#include "kernels/constants.h"

/* x = n ln 2 + r; returns r, and p with exp(r) = 1 + p r. */
V16_INLINE vf vf_exp_reduce(vf x, vf *n, vf *p)
{
    *n = vf_rint(vf_mul(x, vf_set1(MQA_LOG2E)));
    vf r = vf_fnma(*n, vf_set1(MQA_LN2_HI), x);
    r = vf_fnma(*n, vf_set1(MQA_LN2_LO), r);
    vf y = vf_set1(MQA_EXP_C6);
    y = vf_fma(y, r, vf_set1(MQA_EXP_C5));
    y = vf_fma(y, r, vf_set1(MQA_EXP_C4));
    y = vf_fma(y, r, vf_set1(MQA_EXP_C3));
    y = vf_fma(y, r, vf_set1(MQA_EXP_C2));
    *p = vf_fma(y, r, vf_set1(1.0f));
    return r;
}

V16_INLINE vf vf_exp_below_high(vf x)
{
    vf n, p;
    const vf r = vf_exp_reduce(x, &n, &p);
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_if_less(x, vf_set1(MQA_EXP_LOW), vf_zero(), vf_scale2(p, n));
}

V16_INLINE vf vf_exp(vf x)
{
    return vf_exp_below_high(vf_min(x, vf_set1(MQA_EXP_HIGH)));
}

V16_INLINE vf vf_tanh(vf x)
{
    vf n, p;
    const vf y = vf_abs(x);
    const vf r = vf_exp_reduce(vf_min(vf_set1(MQA_TANH_HIGH), vf_add(y, y)), &n, &p); /* keeps a NaN */
    const vf power = vf_scale2(vf_set1(1.0f), n);
    const vf e = vf_fma(power, vf_mul(p, r), vf_sub(power, vf_set1(1.0f))); /* exp(2 |x|) - 1 */
    const vf t = vf_div(e, vf_add(e, vf_set1(2.0f)));
    return vf_if_less(x, vf_zero(), vf_neg(t), t);
}

#endif
