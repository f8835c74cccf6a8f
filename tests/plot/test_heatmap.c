/* Maps as PNG: read back by libpng, cell for cell.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "plot/heatmap.h"

/* Every colour once, each darker than the one before. */
static void colours_are_ordered(void **state)
{
    (void)state;
    double before = 2;
    for (int i = 0; i < 256; i++) {
        uint8_t rgb[3];
        mqa_heatmap_colour((uint8_t)i, rgb);
        const double light = 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
        if (i > 0 && light >= before) fail_msg("colour %d is no darker than the one before", i);
        before = light;
    }
    assert_true(before < 20);
}

static void cells_come_back(void **state)
{
    (void)state;
    enum { WIDTH = 70, HEIGHT = 5, STRIDE = 80, SCALE = 3 };
    uint8_t cells[HEIGHT * STRIDE];
    for (int i = 0; i < HEIGHT * STRIDE; i++) cells[i] = (uint8_t)(i * 37);
    char *png;
    size_t n;
    mqa_error err;
    const mqa_heatmap map = {
        .cells = cells, .width = WIDTH, .height = HEIGHT, .stride = STRIDE, .scale = SCALE};
    assert_int_equal(mqa_heatmap_png_bytes(&map, &png, &n, &err), MQA_OK);
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&image, png, n));
    assert_int_equal(image.width, WIDTH * SCALE);
    assert_int_equal(image.height, HEIGHT * SCALE);
    image.format = PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
    assert_true(png_image_finish_read(&image, NULL, pixels, 0, NULL));
    for (int y = 0; y < HEIGHT * SCALE; y++)
        for (int x = 0; x < WIDTH * SCALE; x++) {
            uint8_t rgb[3];
            mqa_heatmap_colour(cells[y / SCALE * STRIDE + x / SCALE], rgb);
            assert_memory_equal(pixels + 3 * (y * WIDTH * SCALE + x), rgb, 3);
        }
    free(pixels);
    free(png);
}

static void refused(void **state)
{
    (void)state;
    static const uint8_t cell = 0;
    static const mqa_heatmap maps[] = {{&cell, 0, 1, 1, 1},       {&cell, 1, 0, 1, 1},
                                       {&cell, 1, 1, 1, 0},       {&cell, -1, 1, 1, 1},
                                       {&cell, 1, 1, 1, 8001},    {&cell, 70000, 1000, 1, 1},
                                       {&cell, 1000, 1000, 1, 9}, {&cell, 2147483647, 2147483647, 1, 4096}};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        char *png;
        size_t n;
        mqa_error err;
        assert_int_equal(mqa_heatmap_png_bytes(&maps[i], &png, &n, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_null(png);
    }
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    setvbuf(full, NULL, _IONBF, 0);
    mqa_error err;
    assert_int_equal(mqa_heatmap_png(&(mqa_heatmap){&cell, 1, 1, 1, 9}, full, &err), MQA_ERR_IO);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(colours_are_ordered),
                                       cmocka_unit_test(cells_come_back), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
