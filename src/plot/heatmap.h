/* Maps: a byte a cell, drawn as a PNG in colours from white (0) over yellow and red to near black (255), ever
 * darker, so that print and eyes of each kind keep the order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_HEATMAP_H
#define MQA_PLOT_HEATMAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef struct mqa_heatmap {
    const uint8_t *cells; /* [height], stride bytes apart */
    int width, height;
    size_t stride;
    int scale; /* pixels of a cell's side */
} mqa_heatmap;

/* No two cells have the same colour: the picture can be read back. */
void mqa_heatmap_colour(uint8_t cell, uint8_t rgb[3]);

/* MQA_ERR_INVALID_ARGUMENT for no cells, or more than 64 million pixels. */
mqa_status mqa_heatmap_png(const mqa_heatmap *map, FILE *out, mqa_error *err);
/* The same in memory, for the caller to free. */
mqa_status mqa_heatmap_png_bytes(const mqa_heatmap *map, char **png, size_t *n, mqa_error *err);

#endif
