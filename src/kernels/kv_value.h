/* Single values of a run, for plain C: where one lies, and what it is. The vector kernels know it in their
 * own way.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_KV_VALUE_H
#define MQA_KERNELS_KV_VALUE_H

#include <stdint.h>

#include "base/half.h"
#include "kernels/kv_format.h"

/* Which value of the run's cells is value i of a token. K: tiles of 16 tokens, cells along d. */
static inline size_t mqa_k_place(mqa_kv_type type, int d, int token, int i)
{
    const int per = mqa_kv_formats[type].per_cell;
    const size_t tile = (size_t)(token / MQA_TILE) * MQA_TILE * (size_t)MQA_PAD(d);
    return tile + ((size_t)(i / per) * MQA_TILE + (size_t)(token % MQA_TILE)) * (size_t)per +
           (size_t)(i % per);
}

/* V: rows of cells along the tokens. */
static inline size_t mqa_v_place(mqa_kv_type type, int d_v, int token, int i)
{
    const int per = mqa_kv_formats[type].per_cell;
    return ((size_t)(token / per) * (size_t)MQA_PAD(d_v) + (size_t)i) * (size_t)per + (size_t)(token % per);
}

static inline size_t mqa_kv_place(int is_v, mqa_kv_type type, int d, int token, int i)
{
    return is_v ? mqa_v_place(type, d, token, i) : mqa_k_place(type, d, token, i);
}

/* Value i of a token as f32, exactly; without the token's scale, if the format has one. */
static inline float mqa_kv_value(int is_v, mqa_kv_type type, const void *run, int d, int token, int i)
{
    const uint8_t *cells = (const uint8_t *)run + mqa_kv_header_bytes(type, d);
    const size_t at = mqa_kv_place(is_v, type, d, token, i);
    switch (type) {
    case MQA_KV_F32:
        return ((const float *)cells)[at];
    case MQA_KV_BF16:
        return mqa_bf16_to_f32(((const uint16_t *)cells)[at]);
    case MQA_KV_INT8:
        return (float)(is_v ? (int8_t)cells[at] : (int)cells[at] - 128);
    case MQA_KV_F16:
        return mqa_f16_to_f32(((const uint16_t *)cells)[at]);
    case MQA_KV_FP8_E4M3:
        return mqa_e4m3_to_f32(cells[at]);
    case MQA_KV_FP8_E5M2:
        return mqa_e5m2_to_f32(cells[at]);
    case MQA_KV_INT4: {
        const int nibble = cells[at / 2] >> at % 2 * 4 & 15;
        const int line = i / mqa_kv_formats[MQA_KV_INT4].scale_values;
        return (float)((nibble ^ 8) - 8) *
               mqa_bf16_to_f32(((const uint16_t *)run)[line * MQA_GRANULE + token]);
    }
    }
    return 0.0f;
}

/* The scale of a whole token: 1 where the format has none. */
static inline float mqa_kv_token_scale(mqa_kv_type type, const void *run, int token)
{
    return mqa_kv_has_token_scale(type) ? ((const float *)run)[token] : 1.0f;
}

#endif
