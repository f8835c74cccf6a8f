/* The cache's layout: where each value of a token lies in its granule's run. Plain C, one implementation
 * for every instruction set; attention_kernels.h draws the layouts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdbool.h>

#include "kernels/attention_kernels.h"
#include "kernels/kv_value.h"

static size_t run_bytes(mqa_kv_type type, int d)
{
    const size_t values = MQA_GRANULE * (size_t)MQA_PAD(d);
    return mqa_kv_header_bytes(type, d) + values / (size_t)mqa_kv_formats[type].per_cell * MQA_CELL_BYTES;
}

size_t mqa_k_run_bytes(mqa_kv_type type, int d)
{
    return run_bytes(type, d);
}

size_t mqa_v_run_bytes(mqa_kv_type type, int d_v)
{
    return run_bytes(type, d_v);
}

/* The largest magnitude, or NaN or infinity if a value is. */
static float largest(const float *x, int n)
{
    float a = 0.0f;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) return x[i];
        a = fmaxf(a, fabsf(x[i]));
    }
    return a;
}

/* Whether values as large as a, which is finite or isn't itself, stay finite when they are rounded. */
static bool stays_finite(mqa_kv_type type, float a)
{
    if (type == MQA_KV_BF16 || type == MQA_KV_INT4) return isfinite(mqa_bf16_to_f32(mqa_f32_to_bf16(a)));
    if (type == MQA_KV_F16) return isfinite(mqa_f16_to_f32(mqa_f32_to_f16(a)));
    return isfinite(a);
}

/* What the largest value of a token becomes: the largest there is. */
static float top_of(mqa_kv_type type)
{
    return type == MQA_KV_INT8 ? 127.0f : type == MQA_KV_FP8_E4M3 ? 448.0f : 57344.0f;
}

/* Sets a token's scale and returns what its values are multiplied by: the largest, a, becomes top. A
 * subnormal a would make that infinite: such a vector is kept as zero. */
static float set_token_scale(void *run, int token, float a, float top)
{
    const float inv = a > 0.0f ? top / a : 0.0f;
    const bool keep = isfinite(inv);
    ((float *)run)[token] = keep ? a / top : 0.0f;
    return keep ? inv : 0.0f;
}

/* Sets a scale of int4 and returns what its n values are multiplied by: the first of the largest becomes -8,
 * the number that has no counterpart. */
static float set_group_scale(uint16_t *scale, const float *x, int n)
{
    float m = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(m)) m = x[i];
    *scale = mqa_f32_to_bf16(m / -8.0f);
    const float inv = 1.0f / mqa_bf16_to_f32(*scale);
    if (isfinite(inv)) return inv;
    *scale = 0; /* nothing, or subnormal */
    return 0.0f;
}

static inline void put(int is_v, mqa_kv_type type, uint8_t *cells, size_t at, float x)
{
    switch (type) {
    case MQA_KV_F32:
        ((float *)cells)[at] = x;
        break;
    case MQA_KV_BF16:
        ((uint16_t *)cells)[at] = mqa_f32_to_bf16(x);
        break;
    case MQA_KV_INT8:
        cells[at] = (uint8_t)((int)rintf(x) + (is_v ? 0 : 128));
        break;
    case MQA_KV_F16:
        ((uint16_t *)cells)[at] = mqa_f32_to_f16(x);
        break;
    case MQA_KV_FP8_E4M3:
        cells[at] = mqa_f32_to_e4m3(x);
        break;
    case MQA_KV_FP8_E5M2:
        cells[at] = mqa_f32_to_e5m2(x);
        break;
    case MQA_KV_INT4: {
        const int shift = at % 2 * 4, q = (int)fmaxf(fminf(rintf(x), 7.0f), -8.0f);
        cells[at / 2] = (uint8_t)((cells[at / 2] & 0xf0 >> shift) | (q & 15) << shift);
        break;
    }
    }
}

static inline int pack_as(int is_v, mqa_kv_type type, void *run, int d, int token, const float *x)
{
    const float a = largest(x, d);
    if (!stays_finite(type, a)) return 0;
    uint8_t *cells = (uint8_t *)run + mqa_kv_header_bytes(type, d);
    const int group = mqa_kv_formats[type].scale_values;
    float inv = 1.0f;
    if (mqa_kv_has_token_scale(type)) inv = set_token_scale(run, token, a, top_of(type));
    for (int i = 0; i < MQA_PAD(d); i++) {
        if (group && i % group == 0)
            inv = set_group_scale((uint16_t *)run + i / group * MQA_GRANULE + token, x + i,
                                  d - i < group ? d - i : group);
        put(is_v, type, cells, mqa_kv_place(is_v, type, d, token, i), i < d ? x[i] * inv : 0.0f);
    }
    return 1;
}

static inline void unpack_as(int is_v, mqa_kv_type type, const void *run, int d, int token, float *x)
{
    const float scale = mqa_kv_token_scale(type, run, token);
    for (int i = 0; i < d; i++) x[i] = scale * mqa_kv_value(is_v, type, run, d, token, i);
}

/* The loops with each format's numbers built in. */
static int pack(int is_v, mqa_kv_type type, void *run, int d, int token, const float *x)
{
#define PACK(TYPE, SUFFIX)                                                                                   \
    case TYPE:                                                                                               \
        return pack_as(is_v, TYPE, run, d, token, x);
    switch (type) {
        MQA_FLOAT_FORMATS(PACK)
        PACK(MQA_KV_INT8, int8)
    }
#undef PACK
    return 0;
}

static void unpack(int is_v, mqa_kv_type type, const void *run, int d, int token, float *x)
{
#define UNPACK(TYPE, SUFFIX)                                                                                 \
    case TYPE:                                                                                               \
        unpack_as(is_v, TYPE, run, d, token, x);                                                             \
        break;
    switch (type) {
        MQA_FLOAT_FORMATS(UNPACK)
        UNPACK(MQA_KV_INT8, int8)
    }
#undef UNPACK
}

int mqa_pack_k(mqa_kv_type type, void *run, int d, int token, const float *x)
{
    return pack(0, type, run, d, token, x);
}

int mqa_pack_v(mqa_kv_type type, void *run, int d_v, int token, const float *x)
{
    return pack(1, type, run, d_v, token, x);
}

void mqa_unpack_k(mqa_kv_type type, const void *run, int d, int token, float *x)
{
    unpack(0, type, run, d, token, x);
}

void mqa_unpack_v(mqa_kv_type type, const void *run, int d_v, int token, float *x)
{
    unpack(1, type, run, d_v, token, x);
}
