/* Charts as PNG: read back by libpng.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plot/chart_png.h"

typedef struct picture {
    unsigned width, height;
    uint8_t *rgb;
} picture;

static picture decode(const void *data, size_t n)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&image, data, n));
    image.format = PNG_FORMAT_RGB;
    picture p = {image.width, image.height, malloc(PNG_IMAGE_SIZE(image))};
    assert_non_null(p.rgb);
    assert_true(png_image_finish_read(&image, NULL, p.rgb, 0, NULL));
    return p;
}

/* Pixels nearer to this colour than antialiasing blurs. */
static int count(const picture *p, uint8_t r, uint8_t g, uint8_t b)
{
    int n = 0;
    for (size_t i = 0; i < (size_t)p->width * p->height; i++)
        n +=
            abs(p->rgb[3 * i] - r) < 12 && abs(p->rgb[3 * i + 1] - g) < 12 && abs(p->rgb[3 * i + 2] - b) < 12;
    return n;
}

static void chart(void **state)
{
    (void)state;
    static const double y[] = {1, 3, 2};
    static const mqa_series lines[] = {{.y = y, .n = 3}, {.y = y + 1, .n = 2}};
    char *data;
    size_t n;
    for (size_t n_series = 0; n_series <= 2; n_series++) {
        FILE *out = open_memstream(&data, &n);
        mqa_error err;
        const mqa_chart c = {
            .title = "a title", .series = lines, .n_series = n_series, .width = 400, .height = 300};
        if (mqa_chart_png(&c, out, &err) != MQA_OK) fail_msg("%s", err.message);
        fclose(out);
        picture p = decode(data, n);
        assert_int_equal(p.width, 800);
        assert_int_equal(p.height, 600);
        assert_true(count(&p, 255, 255, 255) > 800 * 600 / 2); /* light */
        assert_true(count(&p, 0x22, 0x22, 0x22) > 500);        /* there is a font, and text in it */
        assert_int_equal(n_series >= 1, count(&p, 0x00, 0x72, 0xb2) > 500);
        assert_int_equal(n_series >= 2, count(&p, 0xd5, 0x5e, 0x00) > 500);
        free(p.rgb);
        free(data);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *svg;
        double scale;
        mqa_status status;
    } cases[] = {
        {"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>", 1, MQA_OK},
        {"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>", 0, MQA_ERR_INVALID_ARGUMENT},
        {"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>", 1e9, MQA_ERR_INVALID_ARGUMENT},
        {"<svg xmlns='http://www.w3.org/2000/svg' width='30000' height='30000'/>", 1,
         MQA_ERR_INVALID_ARGUMENT},
        {"<svg xmlns='http://www.w3.org/2000/svg'/>", 1, MQA_ERR_FORMAT},
        {"not SVG", 1, MQA_ERR_FORMAT},
        {"", 1, MQA_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *data;
        size_t n;
        FILE *out = open_memstream(&data, &n);
        mqa_error err;
        mqa_status status = mqa_svg_to_png(cases[i].svg, strlen(cases[i].svg), cases[i].scale, out, &err);
        fclose(out);
        if (status != cases[i].status)
            printf("case %zu: %s\n", i, status == MQA_OK ? "no error" : err.message);
        assert_int_equal(status, cases[i].status);
        assert_int_equal(status == MQA_OK, n > 0);
        free(data);
    }
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    setvbuf(full, NULL, _IONBF, 0);
    mqa_error err;
    assert_int_equal(mqa_chart_png(&(mqa_chart){.title = "t"}, full, &err), MQA_ERR_IO);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chart), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
