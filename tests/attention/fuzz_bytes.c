/* Numbers from bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <float.h>
#include <math.h>

#include "fuzz_world.h"

uint8_t take_byte(reader *r)
{
    return r->at < r->end ? *r->at++ : 0;
}

uint16_t take_two(reader *r)
{
    const uint8_t low = take_byte(r);
    return (uint16_t)(low | take_byte(r) << 8);
}

int64_t take_from(reader *r, int64_t lo, int64_t hi)
{
    return lo + (hi - lo < 256 ? take_byte(r) : take_two(r)) % (hi - lo + 1);
}

bool take_one_in(reader *r, int n)
{
    return take_byte(r) % n == n - 1;
}

int64_t take_number(reader *r, int64_t lo, int64_t hi)
{
    static const int64_t wild[] = {INT64_MIN,
                                   INT64_MAX,
                                   INT64_MAX / 2,
                                   -1,
                                   0,
                                   1,
                                   INT32_MIN,
                                   INT32_MAX,
                                   INT64_C(1) << 20,
                                   INT64_C(1) << 31,
                                   INT64_C(1) << 32,
                                   INT64_C(1) << 40,
                                   INT64_C(1) << 53,
                                   INT64_C(1) << 61,
                                   INT64_C(1) << 62,
                                   4096};
    if (take_byte(r) < 245) return take_from(r, lo, hi);
    r->wild = true;
    const uint64_t n = (uint64_t)wild[take_byte(r) % 16];
    return (int64_t)(n + (uint64_t)(int64_t)take_from(r, -2, 2));
}

int take_int(reader *r, int lo, int hi)
{
    return (int)(uint32_t)(uint64_t)take_number(r, lo, hi);
}

float take_float(reader *r, const float *usual, int n)
{
    static const float wild[] = {NAN,   INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, -1e-45f,
                                 1e30f, -1e30f,   1e-30f,    -0.0f,   1e10f,    -1e10f,  0,      -1};
    if (take_byte(r) < 245) return usual[take_byte(r) % n];
    r->wild = true;
    return wild[take_byte(r) % 16];
}

double take_double(reader *r, double usual)
{
    static const double wild[] = {NAN,    INFINITY, -INFINITY, DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324, 0,
                                  1e-300, 1e300,    1,         -1,      1e-10,    1e10,    1024,   1 + 1e-15};
    if (take_byte(r) < 245) return usual;
    r->wild = true;
    return wild[take_byte(r) % 16];
}

size_t take_struct_size(reader *r, size_t right)
{
    if (take_byte(r) < 252) return right;
    r->wild = true; /* a little more would be a newer program's, whose fields beyond ours are looked at */
    return take_one_in(r, 2) ? (size_t)1 << (17 + take_byte(r) % 47) : take_two(r) % right;
}

uint64_t take_seed(reader *r)
{
    return (uint64_t)take_two(r) + 1;
}
