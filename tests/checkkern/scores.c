/* What comes between scores and softmax, and softmax of scores beyond f32: each instruction set against the
 * plain C; and the plain C against the C library's long double.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "checkkern.h"
#include "kernels/reference/reference.h"

enum { N = 256 };

/* Zeros, subnormals, and all magnitudes up to infinity; NaN if asked for. */
static void fill_wild(float *x, int n, int nan)
{
    static const float edges[] = {0.0f,     -0.0f,  1e-45f,   -1e-40f, 0x1p-126f, 1.0f,     -1.0f,     10.0f,
                                  9.99999f, -20.0f, 0x1p-12f, 3.4e38f, -3.4e38f,  INFINITY, -INFINITY, 88.0f};
    for (int i = 0; i < n; i++) {
        const uint32_t kind = ck_random() % 4;
        x[i] = kind == 0   ? edges[ck_random() % 16]
               : kind == 1 ? ck_uniform(-1, 1) * exp2f(ck_uniform(-30, 30))
                           : ck_normal() * 10;
        if (nan && ck_random() % 16 == 0) x[i] = NAN;
    }
}

static void check_one(const mqa_attention_kernels *reference, const mqa_attention_kernels *tested, int n)
{
    float *x = ck_buffer(sizeof(float) * N, 64), *a = ck_buffer(sizeof(float) * (size_t)n, 64);
    float *b = ck_buffer(sizeof(float) * (size_t)n, 64);
    static const float caps[] = {30, 50, 1e-3f, 1e4f, 0x1p-126f, 3e38f};
    static const float slopes[] = {0, -0.25f, 0.7f, 3e38f, -3e38f, 1e-45f};
    static const int32_t firsts[] = {0, -7, 1000, INT32_MIN + 1, INT32_MAX - N, -16777219};
    for (int i = 0; i < 6; i++) {
        fill_wild(x, n, i % 2);
        memcpy(a, x, sizeof(float) * (size_t)n);
        memcpy(b, x, sizeof(float) * (size_t)n);
        reference->softcap(a, n, caps[i]);
        tested->softcap(b, n, caps[i]);
        ck_same("softcap", a, b, (size_t)n);
        reference->alibi(a, n, slopes[i], firsts[5 - i]);
        tested->alibi(b, n, slopes[i], firsts[5 - i]);
        ck_same("alibi", a, b, (size_t)n);
    }
    ck_release_all();
}

/* Infinities and NaN among the scores, seen and not; all of them -inf. */
static void check_softmax(const mqa_attention_kernels *reference, const mqa_attention_kernels *tested,
                          int type)
{
    enum { GRANULES = N / MQA_GRANULE };
    void *v[GRANULES];
    float one = 1, m[2], l[2], p_scale[2];
    uint16_t valid[N / MQA_TILE];
    for (int g = 0; g < GRANULES; g++) {
        const size_t bytes = mqa_v_run_bytes((mqa_kv_type)type, 1);
        v[g] = memset(ck_buffer(bytes, 64), 0, bytes);
        for (int t = 0; t < MQA_GRANULE; t++) mqa_pack_v((mqa_kv_type)type, v[g], 1, t, &one);
    }
    float *x[2] = {ck_buffer(sizeof(float) * N, 64), ck_buffer(sizeof(float) * N, 64)};
    for (int kind = 0; kind < 4; kind++) {
        fill_wild(x[0], N, kind == 1);
        for (int t = 0; t < N; t++) {
            if (kind == 2) x[0][t] = -INFINITY;
            if (kind == 3 && x[0][t] == INFINITY) x[0][t] = 0;
        }
        for (int w = 0; w < N / MQA_TILE; w++) valid[w] = (uint16_t)ck_random();
        memcpy(x[1], x[0], sizeof(float) * N);
        reference->softmax[type](x[0], GRANULES, valid, (const void *const *)v, &m[0], &l[0], &p_scale[0]);
        tested->softmax[type](x[1], GRANULES, valid, (const void *const *)v, &m[1], &l[1], &p_scale[1]);
        ck_same("m", &m[0], &m[1], 1);
        ck_same("l", &l[0], &l[1], 1);
        if (isnan(l[0])) continue; /* the row is NaN whatever p is */
        ck_same("p_scale", &p_scale[0], &p_scale[1], 1);
        if (type == MQA_KV_F32) ck_same("p", x[0], x[1], N); /* the others' is their own affair */
        if (kind == 2 && (l[0] != 0 || m[0] != -INFINITY)) ck_fail("scores of -inf have a weight");
    }
    ck_release_all();
}

static void check_accuracy(const mqa_attention_kernels *reference)
{
    long double worst = 0, at = 0;
    for (int i = 0; i < 200000; i++) {
        float x[16];
        for (int j = 0; j < 16; j++) x[j] = ck_uniform(-1, 1) * exp2f(ck_uniform(-40, 5));
        float y[16];
        memcpy(y, x, sizeof y);
        reference->softcap(y, 16, 1);
        for (int j = 0; j < 16; j++) {
            const long double right = tanhl((long double)x[j]), error = fabsl((long double)y[j] / right - 1);
            if (x[j] != 0 && !(error <= worst)) worst = error, at = (long double)x[j];
        }
    }
    printf("  %-28s largest error %.2Le at %.9Lg\n", "tanh, relative", worst, at);
    ck_case("tanh");
    if (!(worst <= 3e-7L)) ck_fail("error %Le at %Lg", worst, at);
}

void check_scores(void)
{
    static mqa_kernels bf16; /* softmax is one in all bf16 recipes */
    mqa_attention_reference(&bf16);
    mqa_avx512_bf16_reference(&bf16);
    const mqa_kernels *plain = mqa_kernels_get(MQA_ISA_REFERENCE);
    check_accuracy(&plain->attention[MQA_NUMERICS_PORTABLE]);
    for (int i = 0; i < ck_n_tables; i++) {
        const mqa_attention_kernels *reference = &plain->attention[MQA_NUMERICS_PORTABLE];
        const mqa_attention_kernels *tested = ck_tables[i]->attention;
        ck_case("scores, %s", ck_name(ck_tables[i]));
        for (int n = 16; n <= N; n += 48) check_one(reference, &tested[MQA_NUMERICS_PORTABLE], n);
        for (int round = 0; round < 20; round++) {
            for (int type = 0; type < MQA_KV_TYPES; type++) {
                ck_case("softmax beyond f32, %s, V %d", ck_name(ck_tables[i]), type);
                check_softmax(reference, &tested[MQA_NUMERICS_PORTABLE], type);
            }
            if (strcmp(tested[MQA_NUMERICS_FAST].recipe, MQA_RECIPE_PORTABLE) == 0) continue;
            ck_case("softmax beyond f32, %s", tested[MQA_NUMERICS_FAST].recipe);
            check_softmax(&bf16.attention[MQA_NUMERICS_FAST], &tested[MQA_NUMERICS_FAST], MQA_KV_BF16);
        }
    }
}
