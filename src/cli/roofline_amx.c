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

/* dot: the tile product; per: values of a row of A, which is 64 bytes. */
#define AMX_LOOP(name, dot, per)                                                                             \
    float name(long rounds, double *ops)                                                                     \
    {                                                                                                        \
        begin();                                                                                             \
        for (long i = 0; i < rounds; i++) {                                                                  \
            dot(0, 4, 6);                                                                                    \
            dot(1, 4, 7);                                                                                    \
            dot(2, 5, 6);                                                                                    \
            dot(3, 5, 7);                                                                                    \
        }                                                                                                    \
        TILE_RELEASE(0);                                                                                     \
        *ops += 4.0 * 2 * 16 * 16 * (per) * (double)rounds;                                                  \
        return 0;                                                                                            \
    }
AMX_LOOP(roofline_bf16_amx, _tile_dpbf16ps, 32)
AMX_LOOP(roofline_bytes_amx, _tile_dpbusd, 64)
