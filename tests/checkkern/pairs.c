/* Dot products of pairs of bf16 over values of every size: the arithmetic of the plain C, one operation at a
 * time, against the machine's own rounding towards zero; and each instruction set's kernels against the plain
 * C.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "checkkern.h"
#include "kernels/q_row.h"
#include "kernels/reference/bf16_dot.h"
#include "kernels/reference/reference.h"

static const uint16_t edges[] = {0x0000, 0x0001, 0x007f, 0x0080, 0x00ff, 0x2000, 0x1fff, 0x3f80,
                                 0x3f81, 0x3fff, 0x4000, 0x5f7f, 0x5f80, 0x5fff, 0x7f00, 0x7f7f};

/* A finite bf16. middle, width: of its exponent; width 0: any bits. */
static uint16_t some_bf16(int middle, int width)
{
    const uint32_t bits = ck_random();
    if (bits >> 16 & 8) {
        if (width == 0) return edges[bits >> 20 & 15] | (bits & 0x8000);
        return 0;
    }
    int exponent = (int)(bits >> 7 & 255);
    if (width) exponent = middle + (int)(ck_random() % (uint32_t)width) - width / 2;
    exponent = exponent < 0 ? 0 : exponent > 254 ? 254 : exponent;
    return (uint16_t)((bits & 0x807f) | (uint32_t)exponent << 7);
}

/* Rounded to odd, by rounding towards zero and what the machine's flags say. */
static float to_odd(float a, float b, int multiply)
{
    volatile float x = a, y = b, z;
    fesetround(FE_TOWARDZERO);
    feclearexcept(FE_ALL_EXCEPT);
    z = multiply ? x * y : x + y;
    const int flags = fetestexcept(FE_OVERFLOW | FE_INEXACT);
    fesetround(FE_TONEAREST);
    if (flags & FE_OVERFLOW) return copysignf(INFINITY, z);
    return mqa_flushed(flags & FE_INEXACT ? mqa_f32_from_bits(mqa_f32_bits(z) | 1) : z);
}

static void check_operations(void)
{
    ck_case("round to odd");
    for (int i = 0; i < 1000000; i++) {
        const uint16_t a = some_bf16(127, 0),
                       b = some_bf16(i % 4 == 0 ? 254 - (a >> 7 & 255) : 127, i % 4 * 60);
        const float product = mqa_bf16_mul_to_odd(a, b);
        const float expected = to_odd(mqa_flushed(mqa_bf16_to_f32(a)), mqa_flushed(mqa_bf16_to_f32(b)), 1);
        ck_same("a product", &expected, &product, 1);

        uint32_t x = mqa_f32_bits(product) ^ (ck_random() & 0x807fffff), y = ck_random();
        if (i % 2) y = (x + ((y & 31) << 23)) ^ (y & 0x80ffffff); /* a neighbour, so that bits meet */
        const float u = mqa_f32_from_bits(x), v = mqa_f32_from_bits(y);
        if (isnan(u) || isnan(v)) continue;
        const float sum = mqa_add_to_odd(u, v), right = to_odd(mqa_flushed(u), mqa_flushed(v), 0);
        ck_same("a sum", &right, &sum, 1);
    }
}

enum { ROWS = 7, GRANULES = 2, D = 48, TOKENS = GRANULES * MQA_GRANULE };

typedef struct operands {
    void *k[GRANULES], *v[GRANULES];
    uint16_t q[ROWS][D], p[ROWS][TOKENS];
} operands;

static void fill(operands *x, int middle, int width)
{
    float row[D];
    for (int g = 0; g < GRANULES; g++) {
        x->k[g] = memset(ck_buffer(mqa_k_run_bytes(MQA_KV_BF16, D), 64), 0, mqa_k_run_bytes(MQA_KV_BF16, D));
        x->v[g] = memset(ck_buffer(mqa_v_run_bytes(MQA_KV_BF16, D), 64), 0, mqa_v_run_bytes(MQA_KV_BF16, D));
        for (int t = 0; t < 2 * MQA_GRANULE; t++) {
            for (int i = 0; i < D; i++) row[i] = mqa_bf16_to_f32(some_bf16(middle, width));
            if (t % 2)
                mqa_pack_k(MQA_KV_BF16, x->k[g], D, t / 2, row);
            else
                mqa_pack_v(MQA_KV_BF16, x->v[g], D, t / 2, row);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < D; i++) x->q[r][i] = some_bf16(middle, width);
        for (int t = 0; t < TOKENS; t++) x->p[r][t] = some_bf16(middle, width);
    }
}

/* Whatever q and p are, they are theirs: pack_q and softmax, which others test, stay out of it. */
static void run(const mqa_attention_kernels *a, const operands *x, int rows, float *s, float *o)
{
    void *q = ck_buffer((size_t)rows * MQA_Q_ROW_BYTES(D), 64);
    float *p = ck_buffer(sizeof(float) * (size_t)rows * TOKENS, 64), p_scale[ROWS];
    for (int r = 0; r < rows; r++) {
        memcpy(mqa_q_row_at(q, r, D)->x.bf16, x->q[r], sizeof x->q[r]);
        memcpy(p + r * TOKENS, x->p[r], sizeof x->p[r]);
        p_scale[r] = 1;
    }
    const void *const *k = (const void *const *)x->k, *const *v = (const void *const *)x->v;
    a->scores[MQA_KV_BF16](q, rows, D, k, GRANULES, NULL, s, TOKENS);
    a->pv[MQA_KV_BF16](p, TOKENS, p_scale, rows, v, GRANULES, D, NULL, o);
}

/* Middles of exponents: sums near 1, beyond f32 and below its normal ones. */
static void check_kernels(const mqa_kernels *table)
{
    static const int middles[] = {127, 127, 190, 189, 64, 65}, widths[] = {0, 6, 4, 2, 4, 20};
    const mqa_attention_kernels *a = &table->attention[MQA_NUMERICS_FAST];
    const mqa_attention_kernels *plain = ck_plain_of(a->recipe);
    if (a->pack_q[MQA_KV_BF16] == a->pack_q[MQA_KV_F32]) return; /* no bf16 instruction */
    for (int round = 0; round < 60; round++) {
        static operands x;
        static float s[2][ROWS * TOKENS], o[2][ROWS * D];
        const int kind = round % 6, rows = 1 + round % ROWS;
        fill(&x, middles[kind], widths[kind]);
        ck_case("pairs, %s %s, %d rows, exponents %d +- %d", ck_name(table), a->recipe, rows, middles[kind],
                widths[kind] / 2);
        run(plain, &x, rows, s[0], o[0]);
        run(a, &x, rows, s[1], o[1]);
        ck_same("scores", s[0], s[1], (size_t)rows * TOKENS);
        ck_same("o", o[0], o[1], (size_t)rows * D);
        ck_release_all();
    }
}

void check_pairs(void)
{
    check_operations();
    for (int i = 0; i < ck_n_tables; i++) check_kernels(ck_tables[i]);
}
