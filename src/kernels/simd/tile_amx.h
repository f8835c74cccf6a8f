/* AMX's tile operations. See tile_c.h for the same in plain C.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_TILE_AMX_H
#define MQA_KERNELS_SIMD_TILE_AMX_H

#include <immintrin.h>

#include "kernels/simd/tile_config.h"

typedef int tile_state; /* the registers themselves */

#define TILE_STATE(name) tile_state name = 0
/* GCC 12's _tile_loadconfig says it reads 8 bytes of the 64: the barrier keeps the stores of the rest. */
#define TILE_CONFIG(state, cfg)                                                                              \
    do {                                                                                                     \
        (void)(state);                                                                                       \
        __asm__ volatile("" : : "r"(cfg) : "memory");                                                        \
        _tile_loadconfig(cfg);                                                                               \
    } while (0)
#define TILE_RELEASE(state)             _tile_release()
#define TILE_ZERO(state, t)             _tile_zero(t)
#define TILE_LOAD(state, t, p, stride)  _tile_loadd(t, p, stride)
#define TILE_STORE(state, t, p, stride) _tile_stored(t, p, stride)
#define TILE_DPBF16(state, c, a, b)     _tile_dpbf16ps(c, a, b)
#define TILE_DPSU8(state, c, a, b)      _tile_dpbsud(c, a, b)
#define TILE_DPUS8(state, c, a, b)      _tile_dpbusd(c, a, b)

#endif
