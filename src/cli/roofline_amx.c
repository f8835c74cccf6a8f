/* AMX's dot products, back to back on tile registers: two tiles of A times two of B, as a GEMM has them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/simd/tile_amx.h"
#include "roofline_loops_all.h"

static void begin(void)
{
    static const tile_config shape = {
        .palette = 1, .colsb = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    TILE_CONFIG(0, &shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}

/* per: values of a row of A, which is 64 bytes. */
static double end(long rounds, int per)
{
    TILE_RELEASE(0);
    return 4.0 * 2 * 16 * 16 * per * (double)rounds;
}

float roofline_bf16_amx(long rounds, double *ops)
{
    begin();
    for (long i = 0; i < rounds; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    *ops += end(rounds, 32);
    return 0;
}

float roofline_bytes_amx(long rounds, double *ops)
{
    begin();
    for (long i = 0; i < rounds; i++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    *ops += end(rounds, 64);
    return 0;
}
