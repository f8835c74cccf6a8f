/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/sums.h"

#include <stdint.h>

enum { LANES = 16 };

/* log2 of a positive normal x, within 2e-7 + 1e-7 |log2 x|; finite for 0. x = 2^e m with m in [2/3, 4/3), and
 * a polynomial in m - 1 that was fitted at Chebyshev's points. */
static inline float log2_of(float x)
{
    union {
        float f;
        int32_t i;
    } u = {.f = x}, m;
    const int32_t e = (u.i - 0x3f2aaaab) & (int32_t)0xff800000;
    m.i = u.i - e;
    const float f = m.f - 1.0f;
    float r = -0x1.c71b92p-3f;
    r = r * f + 0x1.f99338p-3f;
    r = r * f + -0x1.e4f064p-3f;
    r = r * f + 0x1.246f96p-2f;
    r = r * f + -0x1.7172d2p-2f;
    r = r * f + 0x1.ec823ap-2f;
    r = r * f + -0x1.715456p-1f;
    r = r * f + 0x1.715472p+0f;
    return r * f + (float)e * 0x1p-23f;
}

static float add_lanes(const float *lane)
{
    float sum[LANES];
    for (int i = 0; i < LANES; i++) sum[i] = lane[i];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

float mqa_sum(const float *p, int n)
{
    float lane[LANES] = {0}, rest = 0;
    int t = 0;
    for (; t + LANES <= n; t += LANES)
        for (int i = 0; i < LANES; i++) lane[i] += p[t + i];
    for (; t < n; t++) rest += p[t];
    return n < LANES ? rest : add_lanes(lane) + rest;
}

float mqa_largest(const float *p, int n)
{
    float largest = 0;
    for (int t = 0; t < n; t++) largest = p[t] > largest ? p[t] : largest;
    return largest;
}

float mqa_scale_sum_plogp(float *p, int n, float factor)
{
    float lane[LANES] = {0};
    for (int t = 0; t < n; t += LANES)
        for (int i = 0; i < LANES; i++) {
            const float x = p[t + i] * factor;
            p[t + i] = x;
            lane[i] += x * log2_of(x);
        }
    return add_lanes(lane);
}

mqa_two_rows mqa_compare_rows(const float *a, const float *b, int n)
{
    float middle[LANES] = {0}, overlap[LANES] = {0};
    for (int t = 0; t < n; t += LANES)
        for (int i = 0; i < LANES; i++) {
            const float x = a[t + i], y = b[t + i], half = 0.5f * (x + y);
            middle[i] += half * log2_of(half);
            overlap[i] += x < y ? x : y;
        }
    return (mqa_two_rows){.middle_plogp = add_lanes(middle), .overlap = add_lanes(overlap)};
}
