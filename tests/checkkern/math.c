/* Our own functions against the C library's long double: the largest errors, printed and bounded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "checkkern.h"

/* The largest of what was given to note, and where it was. */
typedef struct worst {
    long double error, at;
} worst;

static void note(worst *w, long double error, long double at)
{
    if (!(error <= w->error)) *w = (worst){error, at};
}
static void judge(const char *what, worst w, long double limit)
{
    printf("  %-28s largest error %.2Le at %.9Lg\n", what, w.error, w.at);
    ck_case("%s", what);
    if (!(w.error <= limit)) ck_fail("error %Le at %Lg is above %Le", w.error, w.at, limit);
}
static double uniform64(double lo, double hi)
{
    const double x = ((double)ck_random() + (double)ck_random() * 0x1p-32) * 0x1p-32;
    return lo + (hi - lo) * x;
}
static long double relative(double got, long double want)
{
    return fabsl((long double)got - want) / fabsl(want);
}

static void check_binary64(void)
{
    worst e = {0}, l = {0}, s = {0}, far = {0}, very_far = {0}, near_zeros = {0};
    for (int i = 0; i < 300000; i++) {
        double sine, cosine, x = uniform64(-708, 709);
        note(&e, relative(mqa_exp64(x), expl((long double)x)), x);
        x = i % 2 ? uniform64(0.5, 2) : exp(uniform64(-700, 700));
        if (x != 1.0) note(&l, relative(mqa_log64(x), logl((long double)x)), x);
        x = uniform64(-8, 8);
        mqa_sincos64(x, &sine, &cosine);
        note(&s, relative(sine, sinl((long double)x)), x);
        note(&s, relative(cosine, cosl((long double)x)), x);
        x = uniform64(-0x1p27, 0x1p27);
        mqa_sincos64(x, &sine, &cosine);
        note(&far, fabsl((long double)sine - sinl((long double)x)), x);
        note(&far, fabsl((long double)cosine - cosl((long double)x)), x);
        x = exp2(uniform64(27, 50)) * (i % 2 ? 1 : -1);
        mqa_sincos64(x, &sine, &cosine);
        note(&very_far, fabsl((long double)sine - sinl((long double)x)), x);
        note(&very_far, fabsl((long double)cosine - cosl((long double)x)), x);
        x = (double)(rintl((long double)x * M_2_PIl) * M_PI_2l); /* what is left of it is tiny */
        mqa_sincos64(x, &sine, &cosine);
        note(&near_zeros,
             fabs(sine) < fabs(cosine) ? fabsl((long double)sine - sinl((long double)x))
                                       : fabsl((long double)cosine - cosl((long double)x)),
             x);
    }
    judge("exp64, relative", e, 5e-16L);
    judge("log64, relative", l, 5e-16L);
    judge("sincos64, |x| < 8, relative", s, 5e-16L);
    judge("sincos64, |x| < 2^27", far, 3e-16L);
    judge("sincos64, |x| < 2^50", very_far, 3e-16L);
    judge("  there, near zeros", near_zeros, 3e-17L);

    ck_case("binary64 at the edges");
    double sine, cosine;
    mqa_sincos64(0.0, &sine, &cosine);
    if (mqa_exp64(0) != 1 || mqa_log64(1) != 0 || sine != 0 || cosine != 1)
        ck_fail("exp 0, log 1, sin 0, cos 0");
    if (mqa_exp64(-INFINITY) != 0 || mqa_exp64(1000) != INFINITY || mqa_exp64(-1000) != 0) ck_fail("exp");
    if (!isnan(mqa_exp64(NAN)) || !isnan(mqa_log64(NAN)) || !isnan(mqa_log64(-1))) ck_fail("NaN");
    if (mqa_log64(0) != -INFINITY || mqa_log64(INFINITY) != INFINITY) ck_fail("log");
    if (relative(mqa_log64(0x1p-1074), logl(0x1p-1074L)) > 1e-15L) ck_fail("log of a subnormal");
    if (relative(mqa_exp64(-740), expl(-740.0L)) > 0.01L) ck_fail("exp to a subnormal");
    mqa_sincos64(-0x1p50, &sine, &cosine);
    if (isnan(sine) || isnan(cosine)) ck_fail("sin of -2^50");
    for (int i = 0; i < 3; i++) {
        mqa_sincos64((const double[]){INFINITY, NAN, -0x1.0000000000001p50}[i], &sine, &cosine);
        if (!isnan(sine) || !isnan(cosine)) ck_fail("sin of infinity, NaN and beyond 2^50");
    }
}

static void check_rows_accuracy(void)
{
    const mqa_row_kernels *k = &mqa_kernels_get(MQA_ISA_REFERENCE)->rows;
    const float one = 1.0f;
    worst e = {0}, gelu = {0}, silu = {0}, rms = {0}, rotation = {0};
    for (int i = 0; i < 200000; i++) {
        float y, x = ck_uniform(-87, 88);
        k->exp_sum(&x, 0, 1, &y);
        note(&e, relative((double)y, expl((long double)x)), (long double)x);
        x = ck_uniform(-12, 12);
        const long double lx = (long double)x;
        k->gelu_mul(&x, &one, 1, &y);
        const long double u = sqrtl(2 / M_PIl) * (lx + 0.044715L * lx * lx * lx);
        note(&gelu, fabsl((long double)y - 0.5L * lx * (1 + tanhl(u))) / fmaxl(1, fabsl(lx)), lx);
        k->silu_mul(&x, &one, 1, &y);
        note(&silu, relative((double)y, lx / (1 + expl(-lx))), lx);
    }
    for (int i = 0; i < 300; i++) {
        float x[640], w[640], y[640], c[320], s[320];
        ck_fill_normal(x, 640, 3.0f);
        ck_fill_normal(w, 640, 1.0f);
        k->rms_norm(x, w, 640, 1e-6f, y);
        long double sum = 0;
        for (int j = 0; j < 640; j++) sum += (long double)x[j] * (long double)x[j];
        const long double r = 1 / sqrtl(sum / 640 + 1e-6L);
        for (int j = 0; j < 640; j++)
            if (x[j] != 0 && w[j] != 0)
                note(&rms, relative((double)y[j], (long double)x[j] * r * (long double)w[j]), i);
        long double angle[320];
        for (int j = 0; j < 320; j++) {
            angle[j] = i * 97 * powl(1e6L, -j / 320.0L);
            c[j] = (float)cosl(angle[j]);
            s[j] = (float)sinl(angle[j]);
        }
        for (int j = 0; j < 640; j++) y[j] = x[j];
        k->rope(y, 640, 1, c, s);
        for (int j = 0; j < 320; j++) {
            const long double a = (long double)x[j], b = (long double)x[j + 320], size = hypotl(a, b);
            const long double cosine = cosl(angle[j]), sine = sinl(angle[j]);
            note(&rotation, fabsl((long double)y[j] - (a * cosine - b * sine)) / size, i);
            note(&rotation, fabsl((long double)y[j + 320] - (a * sine + b * cosine)) / size, i);
        }
    }
    judge("exp (f32), relative", e, 1.5e-7L);
    judge("gelu, to max(1, |x|)", gelu, 3e-7L);
    judge("silu, relative", silu, 4e-7L);
    judge("rms_norm, relative", rms, 4e-7L);
    judge("rope, to the pair's length", rotation, 2e-7L);
}

void check_math(void)
{
    check_binary64();
    check_rows_accuracy();
}
