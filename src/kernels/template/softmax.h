/* Softmax of a row's span on sixteen lanes (docs/numerics.md section 2). Include after v16_<isa>.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_TEMPLATE_SOFTMAX_H
#define MQA_KERNELS_TEMPLATE_SOFTMAX_H

#include <math.h>
#include <stdbool.h>

#include "kernels/attention_kernels.h"
#include "kernels/simd/v16_math.h"

/* A word of valid bits per tile: most rows see all of a span, or all of a tile and none of the next. */
V16_INLINE vf softmax_if_seen(const uint16_t *valid, int t, vf x, vf other)
{
    return valid && valid[t / MQA_TILE] != 0xffff ? vf_if_bits(valid[t / MQA_TILE], x, other) : x;
}

typedef void softmax_store_fn(float *s, int t, vf p);

V16_INLINE void softmax_store_f32(float *s, int t, vf p)
{
    vf_store(s + t, p);
}

/* store puts p of tokens t .. t + 15; what it overwrites of the row lies before s + t + 16. */
V16_INLINE void softmax_row(float *s, int n, const uint16_t *valid, softmax_store_fn *store, float *m,
                            float *l)
{
    vf largest = vf_set1(-INFINITY);
    for (int t = 0; t < n; t += MQA_TILE)
        largest = vf_max(softmax_if_seen(valid, t, vf_load(s + t), largest), largest);
    *m = vf_tree_max(largest) + 0.0f;
    const vf shift = vf_set1(*m == -INFINITY ? 0.0f : *m);
    vf sum = vf_zero();
    for (int t = 0; t < n; t += MQA_TILE) {
        const vf p = softmax_if_seen(valid, t, vf_exp_below_high(vf_sub(vf_load(s + t), shift)), vf_zero());
        store(s, t, p);
        sum = vf_add(sum, p);
    }
    *l = vf_tree_sum(sum);
}

#endif
