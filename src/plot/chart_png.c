/* SVG to PNG by librsvg, loaded at run time.
 *
 * Linked, it would bring fifty shared libraries into every start of mqa (7 ms, 8 MiB) and into every
 * container that only serves. Its headers give the types; one handle finds its own symbols and those of what
 * it is linked to.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/chart_png.h"

#include <cairo.h>
#include <dlfcn.h>
#include <librsvg/rsvg.h>
#include <math.h>
#include <stdlib.h>

static struct {
    __typeof__(rsvg_handle_new_from_data) *from_data;
    __typeof__(rsvg_handle_get_intrinsic_size_in_pixels) *size_of;
    __typeof__(rsvg_handle_render_document) *render;
    __typeof__(cairo_image_surface_create) *surface_create;
    __typeof__(cairo_create) *create;
    __typeof__(cairo_status) *status;
    __typeof__(cairo_destroy) *destroy;
    __typeof__(cairo_surface_write_to_png_stream) *write_png;
    __typeof__(cairo_surface_destroy) *surface_destroy;
    __typeof__(g_object_unref) *unref;
    __typeof__(g_error_free) *error_free;
} rsvg;

#ifdef __SANITIZE_ADDRESS__
/* fontconfig keeps what it has read until the process ends. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}
const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
#endif

#ifdef __SANITIZE_THREAD__
/* Nor are these libraries instrumented: their threads' meetings aren't seen. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libfontconfig\nrace:libpango\nrace:libcairo\nrace:libglib\nrace:libgobject\nrace:librsvg";
}
#endif

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    *(void **)function = symbol;
    return symbol != NULL;
}

static mqa_status load(mqa_error *err)
{
    static bool loaded; /* for good: GLib can't be unloaded */
    if (loaded) return MQA_OK;
    void *library = dlopen("librsvg-2.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "PNG needs librsvg (Debian: librsvg2-2), or take SVG: %s",
                        dlerror());
    loaded = find(library, "rsvg_handle_new_from_data", &rsvg.from_data) &&
             find(library, "rsvg_handle_get_intrinsic_size_in_pixels", &rsvg.size_of) &&
             find(library, "rsvg_handle_render_document", &rsvg.render) &&
             find(library, "cairo_image_surface_create", &rsvg.surface_create) &&
             find(library, "cairo_create", &rsvg.create) && find(library, "cairo_status", &rsvg.status) &&
             find(library, "cairo_destroy", &rsvg.destroy) &&
             find(library, "cairo_surface_write_to_png_stream", &rsvg.write_png) &&
             find(library, "cairo_surface_destroy", &rsvg.surface_destroy) &&
             find(library, "g_object_unref", &rsvg.unref) && find(library, "g_error_free", &rsvg.error_free);
    if (loaded) return MQA_OK;
    return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                    "PNG needs librsvg 2.52 or newer, or take SVG: this one has no %s", dlerror());
}

static cairo_status_t write_some(void *stream, const unsigned char *data, unsigned length)
{
    return fwrite(data, 1, length, stream) == length ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static mqa_status fail_with(mqa_error *err, GError *error)
{
    mqa_status status =
        mqa_fail(err, MQA_ERR_FORMAT, "SVG can't be drawn: %s", error ? error->message : "no reason given");
    if (error) rsvg.error_free(error);
    return status;
}

static mqa_status draw(RsvgHandle *handle, double scale, FILE *out, mqa_error *err)
{
    double width, height;
    if (!rsvg.size_of(handle, &width, &height))
        return mqa_fail(err, MQA_ERR_FORMAT, "SVG has no width and height in pixels");
    width = ceil(width * scale);
    height = ceil(height * scale);
    if (!(width >= 1 && height >= 1 && width <= 32767 && height <= 32767 && width * height <= 64e6))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a PNG of %.0f by %.0f pixels: at most 64 million",
                        width, height);
    cairo_surface_t *surface = rsvg.surface_create(CAIRO_FORMAT_ARGB32, (int)width, (int)height);
    cairo_t *cairo = rsvg.create(surface);
    const RsvgRectangle all = {.width = width, .height = height};
    GError *error = NULL;
    mqa_status status = MQA_OK;
    if (rsvg.status(cairo) != CAIRO_STATUS_SUCCESS)
        status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "out of memory for a PNG of %.0f by %.0f pixels", width,
                          height);
    else if (!rsvg.render(handle, cairo, &all, &error))
        status = fail_with(err, error);
    else if (rsvg.write_png(surface, write_some, out) != CAIRO_STATUS_SUCCESS)
        status = mqa_fail(err, MQA_ERR_IO, "the PNG can't be written");
    rsvg.destroy(cairo);
    rsvg.surface_destroy(surface);
    return status;
}

mqa_status mqa_svg_to_png(const char *svg, size_t n, double scale, FILE *out, mqa_error *err)
{
    if (!(scale >= 0.1 && scale <= 10))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "scale %g: 0.1 to 10", scale);
    MQA_TRY(load(err));
    GError *error = NULL;
    RsvgHandle *handle = rsvg.from_data((const guint8 *)svg, n, &error);
    if (!handle) return fail_with(err, error);
    mqa_status status = draw(handle, scale, out, err);
    rsvg.unref(handle);
    return status;
}

mqa_status mqa_chart_sheet_png(const mqa_chart *charts, size_t n, int columns, FILE *out, mqa_error *err)
{
    char *svg = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&svg, &size);
    if (!text) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "out of memory for a chart");
    mqa_status status = mqa_chart_sheet_svg(charts, n, columns, text, err);
    const bool whole = !ferror(text);
    if ((fclose(text) != 0 || !whole) && status == MQA_OK)
        status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "out of memory for a chart");
    if (status == MQA_OK) status = mqa_svg_to_png(svg, size, 2, out, err);
    free(svg);
    return status;
}
