/* The cache's layouts as attention_kernels.h draws them, and what becomes of a token's values in each format.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/attention_kernels.h"

enum { D = 80, PAD = 80, TOKENS = 64, MAX_RUN = 64 * PAD * 4 };

/* The drawing. */
static const struct drawn {
    const char *name;
    int per, scale_bytes, group; /* values side by side; group: values along d with a scale of their own */
    double step;                 /* a value's error, of itself … */
    double least;                /* … or of the largest that shares its scale, whichever is more */
} drawings[MQA_KV_TYPES] = {
    [MQA_KV_F32] = {"f32", 1, 0, D, 0, 0},
    [MQA_KV_BF16] = {"bf16", 2, 0, D, 0x1p-8, 0},
    [MQA_KV_INT8] = {"int8", 4, 4, D, 0, 0.5001 / 127},
    [MQA_KV_F16] = {"f16", 2, 0, D, 0x1p-11, 0},
    [MQA_KV_FP8_E4M3] = {"fp8_e4m3", 4, 4, D, 0x1.001p-4, 0x1.001p-10 / 448},
    [MQA_KV_FP8_E5M2] = {"fp8_e5m2", 4, 4, D, 0x1.001p-3, 0x1.001p-17 / 57344},
    [MQA_KV_INT4] = {"int4", 8, 2, 32, 0, 1.02 / 8},
};

static _Alignas(64) uint8_t run[MAX_RUN], other[MAX_RUN];

static size_t run_bytes(int type, int is_v)
{
    return (is_v ? mqa_v_run_bytes : mqa_k_run_bytes)((mqa_kv_type)type, D);
}

static void pack(int type, int is_v, uint8_t *to, int token, const float *x)
{
    assert_true((is_v ? mqa_pack_v : mqa_pack_k)((mqa_kv_type)type, to, D, token, x));
}

static void unpack(int type, int is_v, const uint8_t *from, int token, float *x)
{
    (is_v ? mqa_unpack_v : mqa_unpack_k)((mqa_kv_type)type, from, D, token, x);
}

static void random_values(uint64_t *state, float *x)
{
    for (int i = 0; i < D; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((int32_t)(*state >> 40) - 0x800000) * 0x1p-22f * (i % 3 ? 1.0f : 0.01f);
    }
}

/* Where value i of a token lies, in bits from the run's start. */
static size_t drawn_bit(const struct drawn *f, int is_v, int token, int i)
{
    const size_t header =
        f->scale_bytes ? (size_t)((D + f->group - 1) / f->group * TOKENS * f->scale_bytes) : 0;
    const size_t per = (size_t)f->per, t = (size_t)token, c = (size_t)i;
    const size_t value =
        is_v ? (t / per * PAD + c) * per + t % per                               /* [t/per][d][per] */
             : ((t / 16 * (PAD / per) + c / per) * 16 + t % 16) * per + c % per; /* [d/per][16][per] */
    return header * 8 + value * (32 / per);
}

static size_t drawn_scale(const struct drawn *f, int token, int i)
{
    return (size_t)((i / f->group * TOKENS + token) * f->scale_bytes);
}

/* One value that isn't zero sets its own bits and its scale's, and no others. */
static void layout(void **state)
{
    (void)state;
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (int is_v = 0; is_v < 2; is_v++) {
            const struct drawn *f = &drawings[type];
            const size_t bytes = run_bytes(type, is_v);
            for (int i = 0; i < D; i += 7)
                for (int token = i % 5; token < TOKENS; token += 9) {
                    float x[D] = {0};
                    memset(run, 0, sizeof run);
                    pack(type, is_v, run, token, x);
                    memcpy(other, run, sizeof run);
                    x[i] = 1.0f;
                    pack(type, is_v, run, token, x);
                    const size_t bit = drawn_bit(f, is_v, token, i), width = 32 / (size_t)f->per;
                    bool changed = false;
                    for (size_t b = 0; b < sizeof run * 8; b++) {
                        if (((run[b / 8] ^ other[b / 8]) >> b % 8 & 1) == 0) continue;
                        const size_t scale = 8 * drawn_scale(f, token, i);
                        const bool own = b >= bit && b < bit + width;
                        if (!own && !(b >= scale && b < scale + 8 * (size_t)f->scale_bytes))
                            fail_msg("%s: value %d of token %d reaches bit %zu", f->name, i, token, b);
                        changed |= own;
                    }
                    assert_true(changed && bit + width <= 8 * bytes);
                }
        }
}

/* Tokens written in any order, and over one another, are what each is when written alone. */
static void neighbours(void **state)
{
    (void)state;
    uint64_t rng = 1;
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (int is_v = 0; is_v < 2; is_v++) {
            float x[TOKENS][D], alone[D], got[D];
            memset(run, 0, sizeof run);
            for (int n = 0; n < 3 * TOKENS; n++) {
                random_values(&rng, x[n * 37 % TOKENS]);
                pack(type, is_v, run, n * 37 % TOKENS, x[n * 37 % TOKENS]);
            }
            for (int t = 0; t < TOKENS; t++) {
                memset(other, 0, sizeof other);
                pack(type, is_v, other, t, x[t]);
                unpack(type, is_v, other, t, alone);
                unpack(type, is_v, run, t, got);
                assert_memory_equal(alone, got, sizeof got);
            }
        }
}

static float largest_of(const struct drawn *f, const float *x, int i)
{
    float a = 0;
    for (int j = i / f->group * f->group; j < D && j < (i / f->group + 1) * f->group; j++)
        a = fmaxf(a, fabsf(x[j]));
    return a;
}

static void errors(void **state)
{
    (void)state;
    static const float sizes[] = {1.0f, 0x1p-20f, 0x1p30f, 0x1p-60f};
    uint64_t rng = 2;
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (int n = 0; n < 400; n++) {
            const struct drawn *f = &drawings[type];
            const float size = type == MQA_KV_F16 ? 1.0f : sizes[n / 2 % 4];
            float x[D], y[D];
            random_values(&rng, x);
            for (int i = 0; i < D; i++) x[i] *= size;
            pack(type, n % 2, run, 11, x);
            unpack(type, n % 2, run, 11, y);
            for (int i = 0; i < D; i++) {
                const double bound =
                    fmax(f->step * fabs((double)x[i]), f->least * (double)largest_of(f, x, i));
                if (!(fabs((double)y[i] - (double)x[i]) <= bound + (type == MQA_KV_F16 ? 0x1p-25 : 0)))
                    fail_msg("%s: %a became %a, of largest %a", f->name, (double)x[i], (double)y[i],
                             (double)largest_of(f, x, i));
            }
        }
}

/* int4 has one number more on one side: the largest value takes it, whatever its sign. */
static void int4_takes_all_numbers(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        float x[D] = {0}, y[D];
        for (int i = 0; i < 16; i++) x[i] = x[32 + i] = (float)(sign * (i - 8));
        x[33] = 0.0f, x[32] *= 4.0f; /* a scale of its own */
        pack(MQA_KV_INT4, 0, run, 3, x);
        unpack(MQA_KV_INT4, 0, run, 3, y);
        for (int i = 0; i < 32; i++) assert_true(y[i] == x[i]);
        assert_true(y[32] == x[32] && y[47] == (float)(sign * 8) && y[35] == (float)(sign * -4));
    }
}

/* Nothing, and next to nothing, is zero: the scale too, and so are tokens that were never written. */
static void zeros(void **state)
{
    (void)state;
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (int is_v = 0; is_v < 2; is_v++) {
            const struct drawn *f = &drawings[type];
            float x[D] = {0}, y[D];
            memset(run, 0, sizeof run);
            unpack(type, is_v, run, 9, y);
            if (type != MQA_KV_INT8 || is_v) /* K is biased, but nothing times a scale of zero is nothing */
                for (int i = 0; i < D; i++) assert_true(y[i] == 0.0f && !signbit(y[i]));
            pack(type, is_v, run, 9, x);
            unpack(type, is_v, run, 9, y);
            for (int i = 0; i < D; i++) assert_true(y[i] == 0.0f);
            if (f->scale_bytes == 0) continue;
            for (int i = 0; i < D; i++) x[i] = i % 2 ? 0x1p-140f : -0x1p-141f;
            pack(type, is_v, run, 9, x);
            unpack(type, is_v, run, 9, y);
            for (int i = 0; i < D; i++) {
                static const uint8_t none[4];
                assert_true(y[i] == 0.0f);
                assert_memory_equal(run + drawn_scale(f, 9, i), none, (size_t)f->scale_bytes);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout), cmocka_unit_test(neighbours),
        cmocka_unit_test(errors), cmocka_unit_test(int4_takes_all_numbers),
        cmocka_unit_test(zeros),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
