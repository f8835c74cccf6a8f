/* The 64 bytes that ldtilecfg reads: the shape of each tile register.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_SIMD_TILE_CONFIG_H
#define MQA_KERNELS_SIMD_TILE_CONFIG_H

#include <stdint.h>

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16]; /* bytes a row */
    uint8_t rows[16];
} tile_config;

_Static_assert(sizeof(tile_config) == 64, "ldtilecfg reads 64 bytes");

#endif
