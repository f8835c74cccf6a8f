/* The kernels of attention, stage by stage, against the plain C of the same recipe; and the plain C ones
 * together against binary64 arithmetic.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkkern.h"
#include "kernels/reference/reference.h"
#include "kernels/valid.h"

enum { MAX_GRANULES = 8 };
static const char *const type_names[MQA_KV_TYPES] = {"f32",      "bf16",     "int8", "f16",
                                                     "fp8_e4m3", "fp8_e5m2", "int4"};

typedef struct shape {
    int rows, d, n_granules, tokens; /* tokens: written ones; the rest of the granules is zero */
} shape;

typedef struct data {
    void *k[MQA_KV_TYPES][MAX_GRANULES], *v[MQA_KV_TYPES][MAX_GRANULES];
    const float *q[MQA_MAX_ROWS];
    uint16_t valid[MQA_MAX_ROWS][MAX_GRANULES * 4]; /* what a row sees */
} data;

static void make_data(shape s, data *x)
{
    float *row = ck_buffer(sizeof(float) * (size_t)s.d, 4);
    for (int type = 0; type < MQA_KV_TYPES; type++) {
        const size_t k_bytes = mqa_k_run_bytes((mqa_kv_type)type, s.d);
        const size_t v_bytes = mqa_v_run_bytes((mqa_kv_type)type, s.d);
        for (int g = 0; g < s.n_granules; g++) {
            x->k[type][g] = memset(ck_buffer(k_bytes, 64), 0, k_bytes);
            x->v[type][g] = memset(ck_buffer(v_bytes, 64), 0, v_bytes);
        }
    }
    for (int t = 0; t < s.tokens; t++) {
        for (int which = 0; which < 2; which++) {
            ck_fill_normal(row, (size_t)s.d, 1.0f);
            for (int type = 0; type < MQA_KV_TYPES; type++) {
                void *run = (which ? x->v : x->k)[type][t / MQA_GRANULE];
                if (!(which ? mqa_pack_v : mqa_pack_k)((mqa_kv_type)type, run, s.d, t % MQA_GRANULE, row))
                    ck_fail("a token was refused");
            }
        }
    }
    for (int r = 0; r < s.rows; r++) {
        float *q = ck_buffer(sizeof(float) * (size_t)s.d, 4);
        ck_fill_normal(q, (size_t)s.d, 1.0f);
        x->q[r] = q;
        int hi = (int)(ck_random() % (uint32_t)(s.tokens + 1));
        int lo = (int)(ck_random() % (uint32_t)(hi + 1)); /* empty rows too */
        if (r % 3 == 0) lo = 0;
        if (r % 4 == 0) hi = s.tokens;
        mqa_valid_range(x->valid[r], s.n_granules * 4, lo, hi);
        for (int w = 0; r % 5 == 3 && w < s.n_granules * 4; w++) x->valid[r][w] &= (uint16_t)ck_random();
    }
}

/* What a table makes of the data. */
typedef struct result {
    float *scores, *o, m[MQA_MAX_ROWS], l[MQA_MAX_ROWS], p_scale[MQA_MAX_ROWS];
} result;

static size_t stride_of(shape s)
{
    return (size_t)s.n_granules * MQA_GRANULE + 16;
}

static float scale_of(shape s)
{
    return 1.0f / sqrtf((float)s.d);
}

static void run_table(const mqa_attention_kernels *a, int k_type, int v_type, shape s, const data *x,
                      result *y)
{
    const size_t stride = stride_of(s), s_bytes = sizeof(float) * stride * (size_t)s.rows;
    void *q_block = ck_buffer((size_t)s.rows * MQA_Q_ROW_BYTES(s.d), 64);
    float *p = ck_buffer(s_bytes, 64);
    y->scores = ck_buffer(s_bytes, 64);
    y->o = ck_buffer(sizeof(float) * (size_t)s.rows * MQA_PAD(s.d), 64);
    memset(y->scores, 0xff, s_bytes); /* NaN */
    memset(y->o, 0xff, sizeof(float) * (size_t)s.rows * MQA_PAD(s.d));
    if (!a->pack_q[k_type](x->q, s.rows, s.d, scale_of(s), q_block)) ck_fail("pack_q refused");
    const void *const *k = (const void *const *)x->k[k_type], *const *v = (const void *const *)x->v[v_type];
    mqa_ahead *ahead = malloc((size_t)s.n_granules * sizeof *ahead);
    for (int g = 0; g < s.n_granules; g++) /* more than is there: nothing may come of it */
        ahead[g] =
            (mqa_ahead){{v[g], g % 2 ? k[0] : NULL}, {mqa_v_run_bytes(v_type, s.d), g % 2 ? 1 << 20 : 0}};
    a->scores[k_type](q_block, s.rows, s.d, k, s.n_granules, ahead, y->scores, stride);
    free(ahead);
    memcpy(p, y->scores, s_bytes);
    for (int r = 0; r < s.rows; r++) {
        const bool all = r == 0 && s.tokens == s.n_granules * MQA_GRANULE;
        a->softmax[v_type](p + (size_t)r * stride, s.n_granules, all ? NULL : x->valid[r], v, &y->m[r],
                           &y->l[r], &y->p_scale[r]);
    }
    a->pv[v_type](p, stride, y->p_scale, s.rows, v, s.n_granules, s.d, NULL, y->o);
}

static void compare(shape s, const result *a, const result *b)
{
    const size_t stride = stride_of(s), rows = (size_t)s.rows;
    for (size_t r = 0; r < rows; r++)
        ck_same("scores", a->scores + r * stride, b->scores + r * stride, stride - 16);
    ck_same("m", a->m, b->m, rows);
    ck_same("l", a->l, b->l, rows);
    ck_same("p_scale", a->p_scale, b->p_scale, rows);
    ck_same("o", a->o, b->o, rows * MQA_PAD(s.d));
}

/* Folds what two halves of the rows gave, empty states among them, and divides. */
static void check_fold(const mqa_attention_kernels *reference, const mqa_attention_kernels *tested, shape s,
                       const result *x)
{
    const int rows = s.rows / 2;
    if (rows == 0) return;
    const size_t o_size = (size_t)rows * MQA_PAD(s.d), o_bytes = sizeof(float) * o_size;
    float m[2][MQA_MAX_ROWS], l[2][MQA_MAX_ROWS], lse[2][MQA_MAX_ROWS], *o[2], *out[2][MQA_MAX_ROWS];
    for (int i = 0; i < 2; i++) {
        const mqa_attention_kernels *a = i ? tested : reference;
        o[i] = memcpy(ck_buffer(o_bytes, 64), x->o, o_bytes);
        memcpy(m[i], x->m, sizeof(float) * (size_t)rows);
        memcpy(l[i], x->l, sizeof(float) * (size_t)rows);
        for (int r = 0; r < rows; r++) out[i][r] = ck_buffer(sizeof(float) * (size_t)s.d, 4);
        a->fold(rows, s.d, m[i], l[i], o[i], x->m + rows, x->l + rows, x->o + o_size);
        a->finish(rows, s.d, m[i], l[i], o[i], out[i], lse[i]);
    }
    ck_same("folded m", m[0], m[1], (size_t)rows);
    ck_same("folded l", l[0], l[1], (size_t)rows);
    ck_same("folded o", o[0], o[1], o_size);
    ck_same("lse", lse[0], lse[1], (size_t)rows);
    for (int r = 0; r < rows; r++) ck_same("out", out[0][r], out[1][r], (size_t)s.d);
}

/* Softmax attention in binary64 over the stored values. */
static void check_exact(const mqa_attention_kernels *a, int k_type, int v_type, shape s, const data *x,
                        const result *y)
{
    double limit = 0; /* int8 rounds q and p too */
    for (int which = 0; which < 2; which++) limit += (which ? v_type : k_type) == MQA_KV_INT8 ? 2e-4 : 3e-6;
    float *row = malloc(sizeof(float) * (size_t)s.d), *out = malloc(sizeof(float) * (size_t)s.d), lse;
    double *sum = malloc(sizeof(double) * (size_t)s.d);
    for (int r = 0; r < s.rows; r++) {
        double l = 0, worst = 0;
        memset(sum, 0, sizeof(double) * (size_t)s.d);
        for (int t = 0; t < s.tokens; t++) {
            if (!(x->valid[r][t / 16] >> t % 16 & 1)) continue;
            double score = 0;
            mqa_unpack_k((mqa_kv_type)k_type, x->k[k_type][t / MQA_GRANULE], s.d, t % MQA_GRANULE, row);
            for (int i = 0; i < s.d; i++) score += (double)scale_of(s) * (double)x->q[r][i] * (double)row[i];
            const double p = exp(score);
            l += p;
            mqa_unpack_v((mqa_kv_type)v_type, x->v[v_type][t / MQA_GRANULE], s.d, t % MQA_GRANULE, row);
            for (int i = 0; i < s.d; i++) sum[i] += p * (double)row[i];
        }
        a->finish(1, s.d, &y->m[r], &y->l[r], y->o + (size_t)r * MQA_PAD(s.d), &out, &lse);
        for (int i = 0; i < s.d; i++) {
            const double error = fabs((double)out[i] - (l > 0 ? sum[i] / l : 0));
            if (!(error <= worst)) worst = error;
        }
        if (!(worst <= limit)) ck_fail("plain C: row %d is %g off binary64", r, worst);
        if (l > 0 ? !(fabs((double)lse - log(l)) <= limit) : lse != -INFINITY)
            ck_fail("plain C: lse of row %d is %g, in binary64 %g", r, (double)lse, log(l));
    }
    free(row);
    free(out);
    free(sum);
}

const mqa_attention_kernels *ck_plain_of(const char *recipe)
{
    static mqa_kernels tables[4];
    mqa_kernels *k = &tables[0];
    if (strcmp(recipe, MQA_RECIPE_AVX512_BF16) == 0) k = &tables[1];
    if (strcmp(recipe, MQA_RECIPE_AMX_BF16) == 0) k = &tables[2];
    if (strcmp(recipe, MQA_RECIPE_NEON_BF16) == 0) k = &tables[3];
    if (k->attention[MQA_NUMERICS_FAST].recipe == NULL) {
        mqa_attention_reference(k);
        if (k == &tables[1]) mqa_avx512_bf16_reference(k);
        if (k == &tables[2]) mqa_attention_amx_c(k);
        if (k == &tables[3]) mqa_neon_bf16_reference(k);
    }
    if (strcmp(k->attention[MQA_NUMERICS_FAST].recipe, recipe) != 0) ck_fail("no plain C of %s", recipe);
    return &k->attention[MQA_NUMERICS_FAST];
}

static void check_shape(shape s)
{
    static data x;
    static result expected, got;
    ck_case("attention data, d %d", s.d);
    make_data(s, &x);
    for (int k_type = 0; k_type < MQA_KV_TYPES; k_type++)
        for (int v_type = 0; v_type < MQA_KV_TYPES; v_type++) {
            if (k_type != v_type && s.rows > 4) continue;
            const mqa_attention_kernels *portable = ck_plain_of(MQA_RECIPE_PORTABLE);
            ck_case("attention plain C, K %s, V %s, %d rows, d %d, %d tokens", type_names[k_type],
                    type_names[v_type], s.rows, s.d, s.tokens);
            run_table(portable, k_type, v_type, s, &x, &expected);
            check_exact(portable, k_type, v_type, s, &x, &expected);
            for (int i = 0; i < ck_n_tables; i++)
                for (int numerics = 0; numerics < 2; numerics++) {
                    const mqa_kernels *table = ck_tables[i];
                    const mqa_attention_kernels *a = &table->attention[numerics],
                                                *plain = ck_plain_of(a->recipe);
                    if (numerics == MQA_NUMERICS_PORTABLE && strcmp(a->recipe, MQA_RECIPE_PORTABLE) != 0)
                        ck_fail("portable has recipe %s", a->recipe);
                    ck_case("attention %s %s, K %s, V %s, %d rows, d %d, %d granules, %d tokens",
                            ck_name(table), a->recipe, type_names[k_type], type_names[v_type], s.rows, s.d,
                            s.n_granules, s.tokens);
                    if (plain == a) continue;
                    run_table(plain, k_type, v_type, s, &x, &expected);
                    run_table(a, k_type, v_type, s, &x, &got);
                    compare(s, &expected, &got);
                    check_fold(plain, a, s, &got);
                }
        }
    ck_release_all();
}

/* A K run read as V: values are where mqa_unpack_v looks for them, and other tables give the same bytes. */
static void check_v_from_k(int d, int d_v, int tokens)
{
    static data x;
    const shape s = {1, d, 1, tokens};
    make_data(s, &x);
    for (int i = 0; i < MQA_KV_TYPES; i++) {
        const mqa_kv_type type = (mqa_kv_type)i;
        const size_t bytes = mqa_v_run_bytes(type, d_v);
        void *expected = ck_buffer(bytes, 64);
        ck_case("V from K, plain C, %s, d %d, d_v %d, %d tokens", type_names[i], d, d_v, tokens);
        mqa_v_from_k_reference(type, x.k[i][0], d, d_v, expected);
        for (int t = 0; t < MQA_GRANULE; t++) {
            float k[1024], v[1024];
            mqa_unpack_k(type, x.k[i][0], d, t, k);
            mqa_unpack_v(type, expected, d_v, t, v);
            ck_same("a token's values", k, v, (size_t)d_v);
        }
        for (int j = 0; j < 2 * ck_n_tables; j++) {
            const mqa_kernels *table = ck_tables[j / 2];
            void *got = ck_buffer(bytes, 64);
            ck_case("V from K, %s, %s, d %d, d_v %d, %d tokens", ck_name(table), type_names[i], d, d_v,
                    tokens);
            table->attention[j % 2].v_from_k(type, x.k[i][0], d, d_v, got);
            ck_same_bytes("the run", expected, got, bytes);
        }
    }
    ck_release_all();
}

void check_attention(void)
{
    check_v_from_k(576, 512, 64);
    check_v_from_k(80, 80, 63);
    check_v_from_k(33, 17, 40);
    check_v_from_k(200, 1, 5);
    check_v_from_k(1, 1, 64);
    static const int dims[] = {1, 15, 16, 17, 48, 64, 80, 256};
    for (int rows = 1; rows <= 10; rows++)
        check_shape((shape){rows, dims[rows % 8], 1 + rows % 3, 64 * (rows % 3) + 1 + 7 * rows % 64});
    check_shape((shape){3, 64, 8, 512});
    check_shape((shape){4, 256, 8, 500});
    check_shape((shape){16, 128, 4, 250});
    check_shape((shape){33, 64, 2, 128});
    check_shape((shape){MQA_MAX_ROWS, 80, 2, 127});
    check_shape((shape){3, 112, 1, 64}); /* 7, 11 and 64 blocks of d: every way for their sums to meet */
    check_shape((shape){2, 176, 1, 50});
    check_shape((shape){2, 1024, 1, 64});
}

/* --- rates --- */

typedef struct bench_case {
    const mqa_attention_kernels *a;
    int type, stage;
    shape s;
    const data *x;
    void *q_block;
    float *scores, *p, *o, p_scale[MQA_MAX_ROWS];
    result *y;
} bench_case;

static void run_stage(void *arg)
{
    bench_case *b = arg;
    const void *const *k = (const void *const *)b->x->k[b->type], *const *v =
                                                                      (const void *const *)b->x->v[b->type];
    const size_t stride = stride_of(b->s);
    float m, l;
    switch (b->stage) {
    case 0:
        b->a->scores[b->type](b->q_block, b->s.rows, b->s.d, k, b->s.n_granules, NULL, b->scores, stride);
        break;
    case 1:
        for (int r = 0; r < b->s.rows; r++) { /* softmax works in place: the copy is measured too */
            memcpy(b->p + (size_t)r * stride, b->scores + (size_t)r * stride, sizeof(float) * (stride - 16));
            b->a->softmax[b->type](b->p + (size_t)r * stride, b->s.n_granules, NULL, v, &m, &l,
                                   &b->p_scale[r]);
        }
        break;
    default:
        b->a->pv[b->type](b->p, stride, b->p_scale, b->s.rows, v, b->s.n_granules, b->s.d, NULL, b->o);
    }
}

typedef struct turn_bench {
    const mqa_attention_kernels *a;
    mqa_kv_type type;
    const void *k;
    void *v;
} turn_bench;

static void run_turn(void *arg)
{
    const turn_bench *b = arg;
    b->a->v_from_k(b->type, b->k, 576, 512, b->v);
}

static void bench_v_from_k(const mqa_attention_kernels *a)
{
    static data x;
    make_data((shape){1, 576, 1, MQA_GRANULE}, &x);
    printf("  V from K, d 576, d_v 512, in the cache, GB/s of V:");
    for (int i = 0; i < MQA_KV_TYPES; i++) {
        const size_t bytes = mqa_v_run_bytes((mqa_kv_type)i, 512);
        turn_bench b = {a, (mqa_kv_type)i, x.k[i][0], ck_buffer(bytes, 64)};
        printf("  %s %.1f", type_names[i], 1e-9 * (double)bytes * ck_rate(run_turn, &b));
    }
    printf("\n");
    ck_release_all();
}

void bench_attention(void)
{
    static data x;
    static const int rows[] = {1, 4, 16, 32, 64};
    const mqa_kernels *table = mqa_kernels_get(MQA_ISA_AUTO);
    printf("attention %s, one thread at %.2f GHz, a span of 512 tokens, head_dim 128: GFLOP/s (softmax: "
           "Gvalues/s)\n",
           mqa_isa_name(table->isa), ck_gigahertz());
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const shape s = {rows[i], 128, 8, 512};
            make_data(s, &x);
            bench_case b = {.a = &table->attention[MQA_NUMERICS_FAST], .type = type, .s = s, .x = &x};
            const size_t s_bytes = sizeof(float) * stride_of(s) * (size_t)s.rows;
            b.q_block = ck_buffer((size_t)s.rows * MQA_Q_ROW_BYTES(s.d), 64);
            b.scores = ck_buffer(s_bytes, 64);
            b.p = ck_buffer(s_bytes, 64);
            b.o = ck_buffer(sizeof(float) * (size_t)s.rows * MQA_PAD(s.d), 64);
            if (!b.a->pack_q[type](x.q, s.rows, s.d, 0.125f, b.q_block)) ck_fail("pack_q refused");
            printf("  %-8s rows %2d:", type_names[type], s.rows);
            for (b.stage = 0; b.stage < 3; b.stage++) {
                const double values = (double)s.rows * s.tokens * (b.stage == 1 ? 1 : 2 * s.d);
                printf("  %s %7.2f",
                       b.stage == 0   ? "scores"
                       : b.stage == 1 ? "softmax"
                                      : "P.V",
                       1e-9 * values * ck_rate(run_stage, &b));
            }
            printf("\n");
            ck_release_all();
        }
    bench_v_from_k(&table->attention[MQA_NUMERICS_FAST]);
}
