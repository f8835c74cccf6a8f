/* SPDX-License-Identifier: Apache-2.0 */
#include "plot/heatmap.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { MOST_PIXELS = 64000000 };

void mqa_heatmap_colour(uint8_t cell, uint8_t rgb[3])
{
    static const struct {
        int at, rgb[3];
    } stops[] = {{0, {255, 255, 255}}, {40, {254, 236, 184}}, {90, {251, 182, 102}}, {140, {232, 104, 72}},
                 {185, {168, 40, 92}}, {225, {86, 16, 94}},   {255, {18, 6, 38}}};
    int i = 0;
    while (cell > stops[i + 1].at) i++;
    const int width = stops[i + 1].at - stops[i].at, to = cell - stops[i].at;
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)((stops[i].rgb[c] * (width - to) + stops[i + 1].rgb[c] * to + width / 2) / width);
}

/* The cells as pixels of a palette, each scale x scale times. */
static uint8_t *enlarge(const mqa_heatmap *map)
{
    const size_t scale = (size_t)map->scale, width = (size_t)map->width * scale;
    uint8_t *pixels = malloc(width * (size_t)map->height * scale), *row = pixels;
    for (int y = 0; pixels && y < map->height; y++) {
        const uint8_t *cells = map->cells + (size_t)y * map->stride;
        for (int x = 0; x < map->width; x++) memset(row + (size_t)x * scale, cells[x], scale);
        for (size_t copy = 1; copy < scale; copy++) memcpy(row + copy * width, row, width);
        row += scale * width;
    }
    return pixels;
}

mqa_status mqa_heatmap_png(const mqa_heatmap *map, FILE *out, mqa_error *err)
{
    if (map->width < 1 || map->height < 1 || map->scale < 1 || map->scale > 4096 ||
        map->width > MOST_PIXELS || (double)map->width * map->height * map->scale * map->scale > MOST_PIXELS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "a picture of %d x %d cells of %d pixels: at most %d pixels", map->width, map->height,
                        map->scale, MOST_PIXELS);
    uint8_t *pixels = enlarge(map), palette[256][3];
    if (!pixels) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a picture");
    for (int i = 0; i < 256; i++) mqa_heatmap_colour((uint8_t)i, palette[i]);
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)(map->width * map->scale),
                       .height = (png_uint_32)(map->height * map->scale),
                       .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = 256};
    const int written = png_image_write_to_stdio(&image, out, 0, pixels, 0, palette);
    free(pixels);
    if (written) return MQA_OK;
    return mqa_fail(err, MQA_ERR_IO, "the PNG can't be written: %s", image.message);
}

mqa_status mqa_heatmap_png_bytes(const mqa_heatmap *map, char **png, size_t *n, mqa_error *err)
{
    *png = NULL;
    FILE *out = open_memstream(png, n);
    if (!out) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a picture");
    mqa_status status = mqa_heatmap_png(map, out, err);
    if (fclose(out) != 0 && status == MQA_OK)
        status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a picture");
    if (status == MQA_OK) return MQA_OK;
    free(*png);
    *png = NULL;
    return status;
}
