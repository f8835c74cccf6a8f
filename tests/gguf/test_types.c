/* Block types against the gguf package's reference (data/blocks.bin, scripts/golden_gguf_blocks.py), and
 * unpacked integers against dequantised values.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "gguf/types.h"

static bool same(float a, float b)
{
    return mqa_f32_bits(a) == mqa_f32_bits(b) || (isnan(a) && isnan(b));
}

static void check_unpack(uint32_t type, const uint8_t *blocks, size_t n_blocks, const float *expected)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    const mqa_gguf_quant *quant = &info->quant;
    const size_t n = n_blocks * info->block_values, groups = n / quant->group;
    uint8_t *q = malloc(n);
    float *scale = calloc(groups, sizeof *scale), *min = calloc(groups, sizeof *min);
    memset(min, 0xff, groups * sizeof *min);
    const bool finite = mqa_gguf_unpack(type, blocks, n_blocks, q, scale, min);
    bool values_finite = true;
    for (size_t i = 0; i < n; i++) {
        const float s = scale[i / quant->group], m = min[i / quant->group];
        const float product = (float)(q[i] - quant->zero) * s;
        assert_true(q[i] < 1 << quant->bits);
        assert_true(same(quant->has_min ? product + m : product, expected[i]));
        if (!quant->has_min) assert_true(m == 0.0f);
        if (quant->f16_scales && !isnan(s)) assert_true(same(mqa_f16_to_f32(mqa_f32_to_f16(s)), s));
        if (quant->f16_scales && !isnan(m)) assert_true(same(mqa_f16_to_f32(mqa_f32_to_f16(m)), m));
        values_finite &= isfinite(expected[i]) != 0;
    }
    if (finite) assert_true(values_finite); /* what unpack calls finite has only finite values */
    if (!quant->has_min) assert_int_equal(mqa_gguf_unpack(type, blocks, n_blocks, q, scale, NULL), finite);

    const size_t block_groups = info->block_values / quant->group;
    for (size_t b = 0; b < n_blocks; b++) { /* block by block: the verdict is about this block alone */
        bool block_finite = true;
        for (size_t g = 0; g < block_groups; g++)
            block_finite &= isfinite(scale[b * block_groups + g]) && isfinite(min[b * block_groups + g]);
        uint8_t bq[MQA_GGUF_MAX_BLOCK];
        float bs[16], bm[16];
        const bool verdict = mqa_gguf_unpack(type, blocks + b * info->block_bytes, 1, bq, bs, bm);
        if (type == MQA_GGUF_MXFP4)
            assert_int_equal(verdict, blocks[b * info->block_bytes] <= 252);
        else
            assert_int_equal(verdict, block_finite);
        assert_memory_equal(bq, q + b * info->block_values, info->block_values);
    }
    free(q), free(scale), free(min);
}

static void goldens(void **state)
{
    (void)state;
    mqa_file file;
    mqa_error err;
    assert_int_equal(mqa_file_map(MQA_TEST_DATA "/blocks.bin", &file, &err), MQA_OK);
    mqa_cursor c = mqa_cursor_make(file.data, file.size);
    int n_types = 0;
    for (; c.position < c.size; n_types++) {
        const uint32_t type = mqa_cursor_u32(&c), n_blocks = mqa_cursor_u32(&c);
        const uint32_t block_values = mqa_cursor_u32(&c), block_bytes = mqa_cursor_u32(&c);
        const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
        assert_non_null(info);
        assert_true(info->readable);
        assert_int_equal(info->block_values, block_values);
        assert_int_equal(info->block_bytes, block_bytes);
        const size_t n = (size_t)n_blocks * block_values;
        const uint8_t *blocks = mqa_cursor_bytes(&c, (size_t)n_blocks * block_bytes);
        float *expected = calloc(n, sizeof *expected), *got = calloc(n, sizeof *got);
        bool finite = true;
        for (size_t i = 0; i < n; i++) finite &= isfinite(expected[i] = mqa_cursor_f32(&c)) != 0;
        assert_true(c.ok);
        assert_int_equal(mqa_gguf_dequantize(type, blocks, got, n, &err),
                         finite ? MQA_OK : MQA_ERR_NOT_FINITE);
        for (size_t i = 0; i < n; i++)
            if (!same(got[i], expected[i]))
                fail_msg("%s value %zu: %a, not %a", info->name, i, got[i], expected[i]);
        if (info->quant.bits) check_unpack(type, blocks, n_blocks, expected);
        free(expected), free(got);
    }
    assert_int_equal(n_types, 15);
    mqa_file_unmap(&file);
}

static void refusals(void **state)
{
    (void)state;
    mqa_error err;
    uint8_t block[256] = {0}, q[256];
    float values[256], scale[16], min[16];
    assert_int_equal(mqa_gguf_dequantize(MQA_GGUF_Q4_0, block, values, 33, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_gguf_dequantize(16, block, values, 256, &err), MQA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "IQ2_XXS"));
    assert_int_equal(mqa_gguf_dequantize(UINT32_MAX, block, values, 256, &err), MQA_ERR_UNSUPPORTED);
    assert_false(mqa_gguf_unpack(MQA_GGUF_F32, block, 1, q, scale, min));
    assert_null(mqa_gguf_type_find(4));
    assert_null(mqa_gguf_type_find(1000));
    assert_string_equal(mqa_gguf_type_name(4), "?");
    assert_string_equal(mqa_gguf_type_name(MQA_GGUF_MXFP4), "MXFP4");
}

/* Every f16 and back; f32 to f16 against a search for the nearest. */
static void halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float f = mqa_f16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00) {
            assert_true(isnan(f));
            assert_true((mqa_f32_to_f16(f) & 0x7fff) > 0x7c00);
            continue;
        }
        const int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 0x3ff);
        float expected = exponent == 31 ? INFINITY
                         : exponent     ? ldexpf((float)(1024 + fraction), exponent - 25)
                                        : ldexpf((float)fraction, -24);
        if (h & 0x8000) expected = -expected;
        assert_true(same(f, expected));
        assert_int_equal(mqa_f32_to_f16(f), h);
        if ((h & 0x7fff) >= 0x7bff) continue;
        const float next = mqa_f16_to_f32((uint16_t)(h + 1)), middle = (f + next) / 2;
        assert_int_equal(mqa_f32_to_f16(middle), h + (h & 1)); /* ties to even */
        assert_int_equal(mqa_f32_to_f16(nextafterf(middle, f)), h);
        assert_int_equal(mqa_f32_to_f16(nextafterf(middle, next)), h + 1);
    }
    assert_int_equal(mqa_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(mqa_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(mqa_f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(mqa_f32_to_bf16(1.00390625f), 0x3f80); /* a tie, to even */
    assert_int_equal(mqa_f32_to_bf16(1.01171875f), 0x3f82);
    assert_int_equal(mqa_f32_to_bf16(3.4e38f), 0x7f80);
    assert_true(isnan(mqa_bf16_to_f32(mqa_f32_to_bf16(mqa_f32_from_bits(0x7f800001)))));
}

/* ---- the other way ---- */

static float quantized_value(uint32_t seed)
{
    seed = seed * 2654435761u;
    return (float)((int32_t)(seed ^ seed >> 13) >> 8) * 0x1p-23f;
}

/* Rounded to nearest: off by half a step at most, and what is on a step stays there. */
static void quantized_and_back(void **state)
{
    (void)state;
    enum { N = 320 };
    static const uint32_t types[] = {MQA_GGUF_F32, MQA_GGUF_F16, MQA_GGUF_BF16, MQA_GGUF_Q8_0, MQA_GGUF_Q4_0};
    static const float step[] = {0, 0x1p-11f, 0x1p-8f, 1.01f / 127, 1.01f / 8}; /* of the block's largest */
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        float x[N], y[N], z[N];
        uint8_t blocks[4 * N], again[4 * N];
        for (int i = 0; i < N; i++) x[i] = i < 32 ? 0 : quantized_value((uint32_t)i);
        assert_int_equal(mqa_gguf_quantize(types[t], x, blocks, N, NULL), MQA_OK);
        assert_int_equal(mqa_gguf_dequantize(types[t], blocks, y, N, NULL), MQA_OK);
        double worst = 0;
        for (int i = 0; i < N; i++) worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
        assert_true(worst <= (types[t] == MQA_GGUF_Q4_0 ? 1.0 : 0.5) * (double)step[t]); /* no 8 above */
        assert_true(worst >= 0.3 * (double)step[t]);
        for (int i = 0; i < 32; i++) assert_true(y[i] == 0);
        if (types[t] == MQA_GGUF_Q8_0) continue; /* whose largest level the f16 scale may miss */
        assert_int_equal(mqa_gguf_quantize(types[t], y, again, N, NULL), MQA_OK);
        assert_int_equal(mqa_gguf_dequantize(types[t], again, z, N, NULL), MQA_OK);
        for (int i = 0; i < N; i++) assert_true(y[i] == z[i]);
    }
    mqa_error err = {0};
    float x[256] = {0};
    uint8_t blocks[256];
    assert_int_equal(mqa_gguf_quantize(MQA_GGUF_Q4_K, x, blocks, 256, &err), MQA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "Q4_K"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(goldens), cmocka_unit_test(refusals),
                                       cmocka_unit_test(halves), cmocka_unit_test(quantized_and_back)};
    return cmocka_run_group_tests_name("gguf_types", tests, NULL, NULL);
}
