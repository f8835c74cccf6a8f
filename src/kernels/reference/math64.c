/* Binary64 exp, log, sine and cosine of IEEE operations only: the same bits wherever fma is. Their relative
 * errors are below 1e-15 (sine and cosine: absolute error near their zeros, and |x| at most 2^50).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/row_kernels.h"

/* ln 2 and pi/2 in parts so short that an integer times all but the last is exact. */
static const double LOG2E = 0x1.71547652b82fep+0;
static const double LN2_HI = 0x1.62e42fefa3800p-1, LN2_LO = 0x1.ef35793c76730p-45;
static const double TWO_OVER_PI = 0x1.45f306dc9c883p-1;
static const double PIO2_1 = 0x1.921fb54400000p+0;  /* 33 bits */
static const double PIO2_2 = 0x1.0b46118000000p-34; /* 26 bits */
static const double PIO2_3 = 0x1.313198a2e0370p-61;
/* The same in words of 53 bits. */
static const double PIO2_A = 0x1.921fb54442d18p+0, PIO2_B = 0x1.1a62633145c07p-54;

static double power_of_two(int n) /* -1022 .. 1023 */
{
    const uint64_t bits = (uint64_t)(n + 1023) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Taylor's series of exp on |r| <= ln 2 / 2: the first term left out is below 2^-57. */
double mqa_exp64(double x)
{
    if (!(x < 710.0)) return x > 0 ? INFINITY : x; /* NaN comes back */
    if (x < -746.0) return 0.0;
    const double n = rint(x * LOG2E);
    double r = fma(-n, LN2_HI, x);
    r = fma(-n, LN2_LO, r);
    static const double inverse_factorial[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
        1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5,
    };
    double p = 0.0;
    for (int i = 0; i < 12; i++) p = fma(p, r, inverse_factorial[i]);
    p = fma(r * r, p, r) + 1.0;
    const int half = (int)n / 2; /* in two steps: n runs from -1076 to 1024 */
    return p * power_of_two(half) * power_of_two((int)n - half);
}

/* x = 2^k (1 + f); log(1 + f) = 2 atanh(s), s = f / (2 + f), |s| < 0.172. */
double mqa_log64(double x)
{
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY) return x;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    k += (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    memcpy(&x, &bits, sizeof x);
    if (x > 1.4142135623730951) {
        x *= 0.5;
        k++;
    }
    const double f = x - 1.0, s = f / (2.0 + f), z = s * s, half_square = 0.5 * f * f;
    double p = 0.0;
    for (int i = 25; i >= 3; i -= 2) p = fma(p, z, 2.0 / i);
    p *= z;
    return k * LN2_HI - ((half_square - fma(s, half_square + p, k * LN2_LO)) - f);
}

/* sin and cos of r + low, |r| <= pi/4, by their series. */
static double sin_part(double r, double low)
{
    static const double c[] = {1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
                               1.0 / 362880,          -1.0 / 5040,          1.0 / 120,        -1.0 / 6};
    const double z = r * r;
    double p = 0.0;
    for (int i = 0; i < 8; i++) p = fma(p, z, c[i]);
    return r + fma(r * z, p, fma(-0.5 * z, low, low));
}
static double cos_part(double r, double low)
{
    static const double c[] = {
        -1.0 / 6402373705728000, 1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600,
        -1.0 / 3628800,          1.0 / 40320,          -1.0 / 720,         1.0 / 24};
    const double z = r * r, half = 0.5 * z, w = 1.0 - half;
    double p = 0.0;
    for (int i = 0; i < 8; i++) p = fma(p, z, c[i]);
    return w + (((1.0 - w) - half) + fma(z * z, p, -r * low));
}

void mqa_sincos64(double x, double *sine, double *cosine)
{
    if (!(fabs(x) <= 0x1p50)) { /* inf, NaN, and where rint could be far off */
        *sine = *cosine = NAN;
        return;
    }
    const double n = rint(x * TWO_OVER_PI);
    double t, w, last; /* x - n pi/2 = t - w - n last; t and w are exact */
    if (fabs(x) < 0x1p27) {
        t = fma(-n, PIO2_1, x), w = n * PIO2_2, last = PIO2_3;
    } else { /* n is too long for PIO2_2, but the product with PIO2_A is near x */
        const double product = n * PIO2_A;
        t = x - product, w = fma(n, PIO2_A, -product), last = PIO2_B;
    }
    const double r0 = t - w, back = r0 - t;
    const double error = (t - (r0 - back)) - (w + back); /* of the subtraction: exact */
    const double tail = fma(-n, last, error);
    const double r = r0 + tail, low = (r0 - r) + tail;
    const double s = sin_part(r, low), c = cos_part(r, low);
    const int quadrant = (int)((int64_t)fmod(n, 4.0) & 3);
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}
