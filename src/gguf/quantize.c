/* Floats to tensors' blocks: the simple types, for files that we make ourselves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "gguf/types.h"

enum { BLOCK = 32 };

static uint8_t *put_half(uint8_t *out, uint16_t half)
{
    memcpy(out, &half, sizeof half);
    return out + sizeof half;
}

/* The value that is largest without its sign, with it. */
static float extreme(const float *x)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    return most;
}

static void q8_0(const float *x, uint8_t *out)
{
    const float d = fabsf(extreme(x)) / 127, inverse = d > 0 ? 1 / d : 0;
    out = put_half(out, mqa_f32_to_f16(d));
    for (int i = 0; i < BLOCK; i++) out[i] = (uint8_t)(int8_t)rintf(x[i] * inverse);
}

/* Levels -8 .. 7 of d: the extreme one is -8, whatever its sign. */
static uint8_t q4_level(float x, float inverse)
{
    const float level = rintf(x * inverse) + 8;
    return (uint8_t)(level > 15 ? 15 : level);
}

static void q4_0(const float *x, uint8_t *out)
{
    const float d = extreme(x) / -8, inverse = d != 0 ? 1 / d : 0;
    out = put_half(out, mqa_f32_to_f16(d));
    for (int i = 0; i < BLOCK / 2; i++)
        out[i] = (uint8_t)(q4_level(x[i], inverse) | q4_level(x[i + BLOCK / 2], inverse) << 4);
}

mqa_status mqa_gguf_quantize(uint32_t type, const float *src, void *dst, size_t n_values, mqa_error *err)
{
    uint8_t *out = dst;
    switch (type) {
    case MQA_GGUF_F32:
        memcpy(dst, src, n_values * sizeof *src);
        return MQA_OK;
    case MQA_GGUF_F16:
        for (size_t i = 0; i < n_values; i++) out = put_half(out, mqa_f32_to_f16(src[i]));
        return MQA_OK;
    case MQA_GGUF_BF16:
        for (size_t i = 0; i < n_values; i++) out = put_half(out, mqa_f32_to_bf16(src[i]));
        return MQA_OK;
    case MQA_GGUF_Q8_0:
        for (size_t i = 0; i < n_values; i += BLOCK, out += 34) q8_0(src + i, out);
        return MQA_OK;
    case MQA_GGUF_Q4_0:
        for (size_t i = 0; i < n_values; i += BLOCK, out += 18) q4_0(src + i, out);
        return MQA_OK;
    default:
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%s: mqa writes F32, F16, BF16, Q8_0 and Q4_0",
                        mqa_gguf_type_name(type));
    }
}
