/* The cache's layout: where each value of a token lies in its granule's run. Plain C, one implementation
 * for every instruction set; attention_kernels.h draws the layouts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/attention_kernels.h"

#define INT8_HEADER (MQA_GRANULE * sizeof(float))

static size_t value_bytes(mqa_kv_type type)
{
    switch (type) {
    case MQA_KV_F32:
        return 4;
    case MQA_KV_BF16:
        return 2;
    case MQA_KV_INT8:
        return 1;
    }
    return 0;
}

static size_t run_bytes(mqa_kv_type type, int d)
{
    const size_t header = type == MQA_KV_INT8 ? INT8_HEADER : 0;
    return header + value_bytes(type) * MQA_GRANULE * (size_t)MQA_PAD(d);
}

size_t mqa_k_run_bytes(mqa_kv_type type, int d)
{
    return run_bytes(type, d);
}

size_t mqa_v_run_bytes(mqa_kv_type type, int d_v)
{
    return run_bytes(type, d_v);
}

/* Where K's value i of a token stands, in values from the run's first: tiles of 16 tokens, d in groups of
 * `per` (1 f32, 2 bf16, 4 int8). */
static inline size_t k_place(int d, int per, int token, int i)
{
    const size_t tile = (size_t)(token / MQA_TILE) * MQA_TILE * (size_t)MQA_PAD(d);
    return tile + ((size_t)(i / per) * MQA_TILE + (size_t)(token % MQA_TILE)) * (size_t)per +
           (size_t)(i % per);
}

/* The same for V: tokens in groups of `per`. */
static inline size_t v_place(int d_v, int per, int token, int i)
{
    return ((size_t)(token / per) * (size_t)MQA_PAD(d_v) + (size_t)i) * (size_t)per + (size_t)(token % per);
}

static inline size_t place(int is_v, int d, int per, int token, int i)
{
    return is_v ? v_place(d, per, token, i) : k_place(d, per, token, i);
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

static int pack(int is_v, mqa_kv_type type, void *run, int d, int token, const float *x)
{
    const float a = largest(x, d);
    if (!isfinite(a) || (type == MQA_KV_BF16 && !isfinite(mqa_bf16_to_f32(mqa_f32_to_bf16(a))))) return 0;
    switch (type) {
    case MQA_KV_F32:
        for (int i = 0; i < d; i++) ((float *)run)[place(is_v, d, 1, token, i)] = x[i];
        break;
    case MQA_KV_BF16:
        for (int i = 0; i < d; i++) ((uint16_t *)run)[place(is_v, d, 2, token, i)] = mqa_f32_to_bf16(x[i]);
        break;
    case MQA_KV_INT8: {
        uint8_t *values = (uint8_t *)run + INT8_HEADER;
        const float inv = a > 0.0f ? 127.0f / a : 0.0f;
        /* A subnormal largest value makes inv infinite; such a vector is kept as zero. */
        const int keep = isfinite(inv);
        ((float *)run)[token] = keep ? a / 127.0f : 0.0f;
        for (int i = 0; i < MQA_PAD(d); i++) {
            const int q = keep && i < d ? (int)rintf(x[i] * inv) : 0;
            values[place(is_v, d, 4, token, i)] = (uint8_t)(is_v ? q : q + 128);
        }
        break;
    }
    }
    return 1;
}

static void unpack(int is_v, mqa_kv_type type, const void *run, int d, int token, float *x)
{
    for (int i = 0; i < d; i++) {
        switch (type) {
        case MQA_KV_F32:
            x[i] = ((const float *)run)[place(is_v, d, 1, token, i)];
            break;
        case MQA_KV_BF16:
            x[i] = mqa_bf16_to_f32(((const uint16_t *)run)[place(is_v, d, 2, token, i)]);
            break;
        case MQA_KV_INT8: {
            const uint8_t q = ((const uint8_t *)run + INT8_HEADER)[place(is_v, d, 4, token, i)];
            x[i] = ((const float *)run)[token] * (float)(is_v ? (int8_t)q : (int)q - 128);
            break;
        }
        }
    }
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
