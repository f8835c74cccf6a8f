/* The table of tensor types, and dequantisation: unpacking, then one multiply and one add.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/types.h"

#include <string.h>

#include "base/half.h"

/* {bits, zero, group, has_min, f16_scales} */
static const mqa_gguf_type_info types[] = {
    [MQA_GGUF_F32] = {"F32", 1, 4, true, {0}},
    [MQA_GGUF_F16] = {"F16", 1, 2, true, {0}},
    [MQA_GGUF_Q4_0] = {"Q4_0", 32, 18, true, {4, 8, 32, false, true}},
    [MQA_GGUF_Q4_1] = {"Q4_1", 32, 20, true, {4, 0, 32, true, true}},
    [MQA_GGUF_Q5_0] = {"Q5_0", 32, 22, true, {5, 16, 32, false, true}},
    [MQA_GGUF_Q5_1] = {"Q5_1", 32, 24, true, {5, 0, 32, true, true}},
    [MQA_GGUF_Q8_0] = {"Q8_0", 32, 34, true, {8, 128, 32, false, true}},
    [9] = {"Q8_1", 32, 40, false, {0}},
    [MQA_GGUF_Q2_K] = {"Q2_K", 256, 84, true, {4, 0, 16, true, false}},
    [MQA_GGUF_Q3_K] = {"Q3_K", 256, 110, true, {4, 4, 16, false, false}},
    [MQA_GGUF_Q4_K] = {"Q4_K", 256, 144, true, {4, 0, 32, true, false}},
    [MQA_GGUF_Q5_K] = {"Q5_K", 256, 176, true, {5, 0, 32, true, false}},
    [MQA_GGUF_Q6_K] = {"Q6_K", 256, 210, true, {6, 32, 16, false, false}},
    [15] = {"Q8_K", 256, 292, false, {0}},
    [16] = {"IQ2_XXS", 256, 66, false, {0}},
    [17] = {"IQ2_XS", 256, 74, false, {0}},
    [18] = {"IQ3_XXS", 256, 98, false, {0}},
    [19] = {"IQ1_S", 256, 50, false, {0}},
    [MQA_GGUF_IQ4_NL] = {"IQ4_NL", 32, 18, true, {8, 128, 32, false, true}},
    [21] = {"IQ3_S", 256, 110, false, {0}},
    [22] = {"IQ2_S", 256, 82, false, {0}},
    [23] = {"IQ4_XS", 256, 136, false, {0}},
    [24] = {"I8", 1, 1, false, {0}},
    [25] = {"I16", 1, 2, false, {0}},
    [26] = {"I32", 1, 4, false, {0}},
    [27] = {"I64", 1, 8, false, {0}},
    [28] = {"F64", 1, 8, false, {0}},
    [29] = {"IQ1_M", 256, 56, false, {0}},
    [MQA_GGUF_BF16] = {"BF16", 1, 2, true, {0}},
    [34] = {"TQ1_0", 256, 54, false, {0}},
    [35] = {"TQ2_0", 256, 66, false, {0}},
    [MQA_GGUF_MXFP4] = {"MXFP4", 32, 17, true, {8, 128, 32, false, false}},
    [40] = {"NVFP4", 64, 36, false, {0}},
    [41] = {"Q1_0", 128, 18, false, {0}},
};

const mqa_gguf_type_info *mqa_gguf_type_find(uint32_t type)
{
    return type < sizeof types / sizeof types[0] && types[type].name ? &types[type] : NULL;
}

const char *mqa_gguf_type_name(uint32_t type)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    return info ? info->name : "?";
}

static void widen(uint32_t type, const uint8_t *src, float *dst, size_t n)
{
    if (type == MQA_GGUF_F32) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = (uint16_t)(src[2 * i] | src[2 * i + 1] << 8);
        dst[i] = type == MQA_GGUF_F16 ? mqa_f16_to_f32(half) : mqa_bf16_to_f32(half);
    }
}

static void dequantize_block(uint32_t type, const mqa_gguf_type_info *info, const uint8_t *src, float *dst)
{
    const mqa_gguf_quant *quant = &info->quant;
    uint8_t q[MQA_GGUF_MAX_BLOCK];
    float scale[MQA_GGUF_MAX_BLOCK / 16], min[MQA_GGUF_MAX_BLOCK / 16];
    mqa_gguf_unpack(type, src, 1, q, scale, min);
    for (int g = 0; g < info->block_values / quant->group; g++)
        for (int i = g * quant->group; i < (g + 1) * quant->group; i++) {
            const float product = (float)(q[i] - quant->zero) * scale[g];
            dst[i] = quant->has_min ? product + min[g] : product; /* -0 + 0 would lose a sign */
        }
}

/* Index of the first value that is NaN or infinite, or n. */
static size_t first_not_finite(const float *x, size_t n)
{
    uint32_t largest = 0; /* of the magnitudes, as bits: no early exit, so that it runs in vectors */
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = mqa_f32_bits(x[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    if (largest < 0x7f800000) return n;
    for (size_t i = 0; i < n; i++)
        if ((mqa_f32_bits(x[i]) & 0x7fffffff) >= 0x7f800000) return i;
    return n;
}

mqa_status mqa_gguf_dequantize(uint32_t type, const void *src, float *dst, size_t n_values, mqa_error *err)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    if (info == NULL || !info->readable)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "tensor type %s (%u) can't be read by this version of mqa",
                        mqa_gguf_type_name(type), type);
    if (n_values % info->block_values != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%zu values are no whole blocks of %s (%u values)",
                        n_values, info->name, info->block_values);
    const uint8_t *block = src;
    if (info->quant.bits == 0)
        widen(type, block, dst, n_values);
    else
        for (size_t i = 0; i < n_values; i += info->block_values, block += info->block_bytes)
            dequantize_block(type, info, block, dst + i);
    const size_t bad = first_not_finite(dst, n_values);
    if (bad < n_values)
        return mqa_fail(err, MQA_ERR_NOT_FINITE, "value %zu (%s) is NaN or infinite", bad, info->name);
    return MQA_OK;
}
