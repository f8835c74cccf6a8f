/* Every code of every small float, against what its bits mean; and rounding around every middle.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/half.h"

typedef struct small_float {
    int bits, bias, fraction_bits;
    uint32_t largest; /* finite code; those above are no numbers, or infinity */
    float (*widen)(uint32_t code);
    uint32_t (*narrow)(float value);
    uint32_t too_large; /* what becomes of a value beyond the largest */
} small_float;

#define CONVERSIONS(NAME, TYPE)                                                                              \
    static float NAME##_widen(uint32_t code)                                                                 \
    {                                                                                                        \
        return mqa_##NAME##_to_f32((TYPE)code);                                                              \
    }                                                                                                        \
    static uint32_t NAME##_narrow(float value)                                                               \
    {                                                                                                        \
        return mqa_f32_to_##NAME(value);                                                                     \
    }
CONVERSIONS(f16, uint16_t)
CONVERSIONS(bf16, uint16_t)
CONVERSIONS(e4m3, uint8_t)
CONVERSIONS(e5m2, uint8_t)

static const small_float f16 = {16, 15, 10, 0x7bff, f16_widen, f16_narrow, 0x7c00};
static const small_float bf16 = {16, 127, 7, 0x7f7f, bf16_widen, bf16_narrow, 0x7f80};
static const small_float e4m3 = {8, 7, 3, 0x7e, e4m3_widen, e4m3_narrow, 0x7e};
static const small_float e5m2 = {8, 15, 2, 0x7b, e5m2_widen, e5m2_narrow, 0x7b};

/* What a finite code means. */
static double meaning(const small_float *f, uint32_t code)
{
    const uint32_t fraction = code & ((1u << f->fraction_bits) - 1);
    const int exponent = (int)(code >> f->fraction_bits);
    if (exponent == 0) return ldexp(fraction, 1 - f->bias - f->fraction_bits);
    return ldexp(fraction + (1u << f->fraction_bits), exponent - f->bias - f->fraction_bits);
}

static void check(const small_float *f)
{
    const uint32_t sign = 1u << (f->bits - 1);
    for (uint32_t code = 0; code <= f->largest; code++) {
        const double value = meaning(f, code), next = meaning(f, code + 1);
        assert_true((double)f->widen(code) == value && (double)f->widen(sign | code) == -value);
        assert_true(signbit(f->widen(sign | code)) && !signbit(f->widen(code)));
        assert_int_equal(f->narrow((float)value), code);
        assert_int_equal(f->narrow(-(float)value), sign | code);
        const float middle = (float)((value + next) / 2);
        const uint32_t above = code == f->largest ? f->too_large : code + 1;
        assert_int_equal(f->narrow(middle), code % 2 ? above : code);
        assert_int_equal(f->narrow(nextafterf(middle, 0)), code);
        assert_int_equal(f->narrow(-nextafterf(middle, INFINITY)), sign | above);
    }
    assert_int_equal(f->narrow(INFINITY), f->too_large);
    assert_int_equal(f->narrow(0x1p127f), f->bits == 16 && f->bias == 127 ? 0x7f00 : f->too_large);
    assert_int_equal(f->narrow(0x1p-149f), 0);
    assert_true(isnan(f->widen(f->narrow(NAN))));
}

static void every_f16(void **state)
{
    (void)state;
    check(&f16);
    assert_true(isinf(mqa_f16_to_f32(0x7c00)) && isnan(mqa_f16_to_f32(0xfc01)));
}

static void every_bf16(void **state)
{
    (void)state;
    check(&bf16);
}

static void every_fp8(void **state)
{
    (void)state;
    check(&e4m3);
    check(&e5m2);
    assert_true(mqa_e4m3_to_f32(0x7e) == 448.0f && mqa_e5m2_to_f32(0x7b) == 57344.0f);
    assert_true(mqa_e4m3_to_f32(0x01) == 0x1p-9f && mqa_e5m2_to_f32(0x01) == 0x1p-16f);
    assert_true(isnan(mqa_e4m3_to_f32(0xff)) && isinf(mqa_e5m2_to_f32(0xfc)) && isnan(mqa_e5m2_to_f32(0x7d)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16),
        cmocka_unit_test(every_bf16),
        cmocka_unit_test(every_fp8),
    };
    return cmocka_run_group_tests_name("half", tests, NULL, NULL);
}
