/* Maps as pictures: each in a file of its own, or all on one sheet with labels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect_pictures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/new_file.h"
#include "plot/chart_png.h"
#include "plot/heatmap.h"
#include "plot/markup.h"

enum { MAP_FILE_PIXELS = 384 }; /* at least, along a side */

static bool named(const cli_list *list, int64_t n)
{
    for (int i = 0; i < list->n; i++)
        if (list->at[i] == n) return true;
    return list->n == 0;
}

bool inspect_shows_layer(const inspect_job *job, int layer)
{
    return named(&job->layers, layer);
}

bool inspect_shows_head(const inspect_job *job, int head)
{
    return named(&job->heads, head);
}

mqa_status inspect_map_png(const inspect_job *job, int layer, int head, int scale, char **png, size_t *n,
                           mqa_error *err)
{
    const mqa_maps *maps = &job->in->maps;
    const mqa_heatmap map = {.cells = mqa_maps_row(maps, layer * job->in->n_heads + head, 0),
                             .width = maps->bins,
                             .height = maps->bins,
                             .stride = (size_t)maps->bins,
                             .scale = scale};
    return mqa_heatmap_png_bytes(&map, png, n, err);
}

mqa_status inspect_legend_png(char **png, size_t *n, mqa_error *err)
{
    uint8_t cells[256];
    for (int i = 0; i < 256; i++) cells[i] = (uint8_t)i;
    return mqa_heatmap_png_bytes(&(mqa_heatmap){cells, 256, 1, 256, 1}, png, n, err);
}

void inspect_caption(const inspect_job *job, int layer, int head, char *out, size_t size)
{
    const mqa_head_figures *f = mqa_inspection_head(job->in, layer, head);
    snprintf(out, size, "%.1f bits, sinks %.0f %%", f->entropy, 100 * f->sinks);
}

void inspect_sight(const inspect_job *job, int layer, char *out, size_t size)
{
    const int window = job->in->layer_window[layer];
    if (window)
        snprintf(out, size, "sees %d", window);
    else
        snprintf(out, size, "sees all");
}

/* ---- a file for each map ---- */

static mqa_status write_map(const inspect_job *job, int layer, int head, mqa_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/layer-%02d-head-%02d.png", job->maps, layer, head) >=
        (int)sizeof path)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%.80s…: too long a path", job->maps);
    const int bins = job->in->maps.bins;
    char *png;
    size_t n;
    MQA_TRY(inspect_map_png(job, layer, head, (MAP_FILE_PIXELS + bins - 1) / bins, &png, &n, err));
    mqa_new_file file;
    mqa_status status = mqa_new_file_open(path, &file, err);
    if (status == MQA_OK) {
        fwrite(png, 1, n, file.stream);
        status = mqa_new_file_finish(&file, err);
    }
    free(png);
    return status;
}

int inspect_write_maps(const inspect_job *job)
{
    mqa_error err;
    for (int layer = 0; layer < job->in->n_layers; layer++)
        for (int head = 0; head < job->in->n_heads; head++) {
            if (!inspect_shows_layer(job, layer) || !inspect_shows_head(job, head)) continue;
            const mqa_status status = write_map(job, layer, head, &err);
            if (status != MQA_OK) return cli_error_status(status, &err);
        }
    return CLI_DONE;
}

/* ---- a sheet ---- */

enum { CELL = 150, GAP = 12, LABELS = 84, TOP = 78, CAPTION = 18, BOTTOM = 50 };

static void put(FILE *out, double x, double y, const char *class, const char *text)
{
    fprintf(out, "<text x=\"%g\" y=\"%g\" class=\"%s\">", x, y, class);
    mqa_markup(out, text, strlen(text));
    fputs("</text>\n", out);
}

static mqa_status put_image(FILE *out, double x, double y, int width, int height, char *png, size_t n)
{
    fprintf(out,
            "<image x=\"%g\" y=\"%g\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" "
            "image-rendering=\"optimizeSpeed\" href=\"",
            x, y, width, height);
    mqa_markup_png(out, png, n);
    fputs("\"/>\n", out);
    free(png);
    return MQA_OK;
}

static mqa_status put_map(const inspect_job *job, FILE *out, int layer, int head, double x, double y,
                          mqa_error *err)
{
    char *png, text[80];
    size_t n;
    MQA_TRY(inspect_map_png(job, layer, head, 1, &png, &n, err));
    MQA_TRY(put_image(out, x, y, CELL, CELL, png, n));
    fprintf(out, "<rect x=\"%g\" y=\"%g\" width=\"%d\" height=\"%d\" class=\"box\"/>\n", x - 0.5, y - 0.5,
            CELL + 1, CELL + 1);
    inspect_caption(job, layer, head, text, sizeof text);
    put(out, x, y + CELL + 13, "small", text);
    return MQA_OK;
}

static mqa_status put_row(const inspect_job *job, FILE *out, int layer, double y, mqa_error *err)
{
    char text[40];
    snprintf(text, sizeof text, "layer %d", layer);
    put(out, GAP, y + CELL / 2.0 - 4, "label", text);
    inspect_sight(job, layer, text, sizeof text);
    put(out, GAP, y + CELL / 2.0 + 13, "small", text);
    double x = LABELS;
    for (int head = 0; head < job->in->n_heads; head++) {
        if (!inspect_shows_head(job, head)) continue;
        MQA_TRY(put_map(job, out, layer, head, x, y, err));
        x += CELL + GAP;
    }
    return MQA_OK;
}

static mqa_status put_legend(FILE *out, double y, mqa_error *err)
{
    static const char *const ticks[] = {"0.01 %", "0.1 %", "1 %", "10 %", "100 %"};
    char *png;
    size_t n;
    MQA_TRY(inspect_legend_png(&png, &n, err));
    MQA_TRY(put_image(out, LABELS, y, 256, 12, png, n));
    fprintf(out, "<rect x=\"%g\" y=\"%g\" width=\"257\" height=\"13\" class=\"box\"/>\n", LABELS - 0.5,
            y - 0.5);
    for (int i = 0; i < 5; i++)
        put(out, LABELS + 64 * i, y + 26, i == 0 ? "small" : "small middle", ticks[i]);
    return MQA_OK;
}

static mqa_status draw(const inspect_job *job, FILE *out, mqa_error *err)
{
    const mqa_inspection *in = job->in;
    int rows = 0, columns = 0;
    for (int i = 0; i < in->n_layers; i++) rows += inspect_shows_layer(job, i);
    for (int i = 0; i < in->n_heads; i++) columns += inspect_shows_head(job, i);
    int width = LABELS + columns * (CELL + GAP) + GAP;
    if (width < 420) width = 420;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
            "height=\"%d\">\n<style>text{font-family:\"DejaVu "
            "Sans\",sans-serif;font-size:12px;fill:#222}.title{font-size:15px;font-weight:bold}"
            ".small{font-size:10.5px;fill:#555}.middle{text-anchor:middle}.box{fill:none;stroke:#c8c8c8}</"
            "style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            width, TOP + rows * (CELL + CAPTION + GAP) + BOTTOM);
    char text[160];
    snprintf(text, sizeof text, "%.60s: %" PRId64 " tokens",
             job->info.name[0] ? job->info.name : job->info.arch, in->n_tokens);
    put(out, GAP, 24, "title", text);
    put(out, GAP, 43, "small", "queries down, keys across; the darker, the more of a query's attention");
    double x = LABELS;
    for (int head = 0; head < in->n_heads; head++) {
        if (!inspect_shows_head(job, head)) continue;
        snprintf(text, sizeof text, "head %d", head);
        put(out, x, TOP - 8, "label", text);
        x += CELL + GAP;
    }
    double y = TOP;
    for (int layer = 0; layer < in->n_layers; layer++) {
        if (!inspect_shows_layer(job, layer)) continue;
        MQA_TRY(put_row(job, out, layer, y, err));
        y += CELL + CAPTION + GAP;
    }
    MQA_TRY(put_legend(out, y + 4, err));
    fputs("</svg>\n", out);
    return MQA_OK;
}

static mqa_status write_sheet(const inspect_job *job, const char *svg, size_t n, mqa_error *err)
{
    mqa_new_file file;
    MQA_TRY(mqa_new_file_open(job->png, &file, err));
    mqa_status status = mqa_svg_to_png(svg, n, 1.5, file.stream, err);
    if (status == MQA_OK) return mqa_new_file_finish(&file, err);
    mqa_new_file_abandon(&file);
    return status;
}

int inspect_write_sheet(const inspect_job *job)
{
    char *svg = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&svg, &n);
    if (!out) return cli_error(CLI_FAILED, "%s: no memory", job->png);
    mqa_error err;
    mqa_status status = draw(job, out, &err);
    if (fclose(out) != 0 && status == MQA_OK)
        status = mqa_fail(&err, MQA_ERR_OUT_OF_MEMORY, "%s: no memory", job->png);
    if (status == MQA_OK) status = write_sheet(job, svg, n, &err);
    free(svg);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}
