/* The page of `mqa inspect`: maps to look into, and the figures.
 *
 * Its script (inspect_page.js) reads the maps' values back from the pictures' colours; tokens and what else
 * it needs stand in the page as text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/new_file.h"
#include "embedded/inspect_css.h"
#include "embedded/inspect_js.h"
#include "inspect_pictures.h"
#include "plot/heatmap.h"
#include "plot/markup.h"
#include "plot/page.h"

enum { MOST_BYTES = 32 << 20 }; /* of pictures: what browsers still open at once */

/* ---- what the script reads ---- */

/* A token on one line: what isn't to be seen has a sign of its own. */
static void put_token(const mqa_page *page, const char *text, size_t n)
{
    for (size_t i = 0, begin = 0; i <= n; i++) {
        const char c = i < n ? text[i] : '\n';
        if (c != '\n' && c != '\r' && c != '\t') continue;
        mqa_markup(page->out, text + begin, i - begin);
        if (i < n) fputs(c == '\n' ? "⏎" : c == '\r' ? "␍" : "→", page->out);
        begin = i + 1;
    }
}

static mqa_status put_tokens(const inspect_job *job, const mqa_page *page, mqa_error *err)
{
    const mqa_tokenizer *tokenizer = mqa_model_tokenizer(job->model);
    fputs("<div class=\"data\" id=\"tokens\">", page->out);
    mqa_text text = {0};
    mqa_status status = MQA_OK;
    for (size_t i = 0; i < job->tokens.n && status == MQA_OK; i++) {
        text.n = 0;
        status = mqa_tokenizer_decode(tokenizer, &job->tokens.ids[i], 1, MQA_DECODE_SPECIAL, &text, err);
        if (i) putc('\n', page->out);
        if (status == MQA_OK && text.n) put_token(page, text.bytes, text.n);
    }
    mqa_text_free(&text);
    fputs("</div>\n", page->out);
    return status;
}

static json_t *maps_json(const inspect_job *job)
{
    json_t *list = json_array();
    for (int layer = 0; layer < job->in->n_layers; layer++)
        for (int head = 0; head < job->in->n_heads; head++)
            if (inspect_shows_layer(job, layer) && inspect_shows_head(job, head))
                json_array_append_new(list, json_pack("{s:i, s:i}", "layer", layer, "head", head));
    return list;
}

static mqa_status put_data(const inspect_job *job, const mqa_page *page, mqa_error *err)
{
    const mqa_maps *maps = &job->in->maps;
    json_t *documents = json_array();
    for (int i = 0; i < job->n_documents; i++)
        json_array_append_new(documents, json_pack("{s:s, s:I}", "name", job->documents[i].name, "first",
                                                   (json_int_t)job->documents[i].first));
    json_t *data = json_pack("{s:i, s:I, s:I, s:i, s:f, s:s, s:o, s:o}", "bins", maps->bins, "tokens_per_bin",
                             (json_int_t)1 << maps->shift, "tokens", (json_int_t)job->in->n_tokens, "decades",
                             MQA_MAP_DECADES, "least", MQA_MAP_LEAST, "fold", job->fold, "documents",
                             documents, "maps", maps_json(job));
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    if (!text) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a page");
    fputs("<div class=\"data\" id=\"data\">", page->out);
    mqa_markup(page->out, text, strlen(text));
    free(text);
    fputs("</div>\n<div class=\"data\" id=\"palette\">", page->out);
    for (int i = 0; i < 256; i++) {
        uint8_t rgb[3];
        mqa_heatmap_colour((uint8_t)i, rgb);
        fprintf(page->out, "%02x%02x%02x", rgb[0], rgb[1], rgb[2]);
    }
    fputs("</div>\n", page->out);
    return put_tokens(job, page, err);
}

/* ---- maps ---- */

static mqa_status put_head(const inspect_job *job, const mqa_page *page, int layer, int head, size_t *bytes,
                           mqa_error *err)
{
    char *png, text[80];
    size_t n;
    MQA_TRY(inspect_map_png(job, layer, head, 1, &png, &n, err));
    *bytes += n;
    fprintf(page->out,
            "<button type=\"button\" class=\"head\" aria-pressed=\"false\"><img class=\"pixelated\" "
            "alt=\"attention map of layer %d, head %d\" src=\"",
            layer, head);
    mqa_markup_png(page->out, png, n);
    free(png);
    inspect_caption(job, layer, head, text, sizeof text);
    fprintf(page->out, "\"/><span>head %d: %s</span></button>\n", head, text);
    if (*bytes <= MOST_BYTES) return MQA_OK;
    return mqa_fail(
        err, MQA_ERR_INVALID_ARGUMENT,
        "%s: the maps take more than %d MiB: choose some by --layers and --heads, or fewer --bins", job->html,
        MOST_BYTES >> 20);
}

/* How alike the heads are, each with each: a small map in plain percent. */
static mqa_status put_alike(const inspect_job *job, const mqa_page *page, int layer, mqa_error *err)
{
    const mqa_inspection *in = job->in;
    const size_t n_heads = (size_t)in->n_heads, cells = n_heads * n_heads;
    uint8_t *cell = malloc(cells);
    if (!cell) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a page");
    double mean = 0;
    for (size_t i = 0; i < cells; i++) {
        cell[i] = (uint8_t)(255 * in->overlap[(size_t)layer * cells + i]);
        mean += in->overlap[(size_t)layer * cells + i];
    }
    mean = n_heads > 1 ? (mean - (double)n_heads) / (double)(cells - n_heads) : 1;
    char *png;
    size_t n;
    const mqa_status status =
        mqa_heatmap_png_bytes(&(mqa_heatmap){cell, in->n_heads, in->n_heads, n_heads, 1}, &png, &n, err);
    free(cell);
    if (status != MQA_OK) return status;
    fprintf(page->out,
            "<div class=\"alike\"><img class=\"pixelated\" alt=\"overlap of each two heads of layer %d\" "
            "src=\"",
            layer);
    mqa_markup_png(page->out, png, n);
    free(png);
    fprintf(page->out, "\"/><span>heads alike: each two share %.0f %% of their attention</span></div>\n",
            100 * mean);
    return MQA_OK;
}

static mqa_status put_layer(const inspect_job *job, mqa_page *page, int layer, size_t *bytes, mqa_error *err)
{
    char sight[24], text[64];
    inspect_sight(job, layer, sight, sizeof sight);
    snprintf(text, sizeof text, "Layer %d, %s%s", layer, sight,
             job->in->layer_window[layer] ? " tokens" : "");
    mqa_page_heading(page, 3, text);
    fputs("<div class=\"heads\">\n", page->out);
    for (int head = 0; head < job->in->n_heads; head++)
        if (inspect_shows_head(job, head)) MQA_TRY(put_head(job, page, layer, head, bytes, err));
    MQA_TRY(put_alike(job, page, layer, err));
    fputs("</div>\n", page->out);
    return MQA_OK;
}

static const char viewer[] =
    "<div class=\"viewer\" id=\"viewer\" hidden=\"hidden\">\n"
    "<canvas id=\"map\" tabindex=\"0\" role=\"application\" aria-label=\"attention map, by arrow keys\" "
    "aria-describedby=\"say keys\"></canvas>\n"
    "<div class=\"say\" id=\"say\" aria-live=\"polite\"></div>\n"
    "<div class=\"tools\"><button type=\"button\" id=\"before\">previous head</button>"
    "<button type=\"button\" id=\"after\">next head</button><button type=\"button\" "
    "id=\"closer\">closer</button>"
    "<button type=\"button\" id=\"wider\">wider</button><button type=\"button\" "
    "id=\"whole\">whole</button></div>\n"
    "<p class=\"keys\" id=\"keys\">Point, wheel and drag; or arrow keys (with Shift: far), + and −, 0 for "
    "the whole, "
    "Home for the first token, End for the query's own, Page up and down for other heads.</p>\n</div>\n";

static mqa_status put_maps(const inspect_job *job, mqa_page *page, mqa_error *err)
{
    char *png;
    size_t n, bytes = 0;
    MQA_TRY(inspect_legend_png(&png, &n, err));
    fputs("<div class=\"legend\"><span>0.01 %</span><img alt=\"colours, by logarithm\" src=\"", page->out);
    mqa_markup_png(page->out, png, n);
    free(png);
    fputs("\"/><span>100 % of a query's attention, by logarithm</span></div>\n<div class=\"maps\">\n",
          page->out);
    fputs(viewer, page->out);
    fputs("<div class=\"layers\">\n", page->out);
    for (int layer = 0; layer < job->in->n_layers; layer++)
        if (inspect_shows_layer(job, layer)) MQA_TRY(put_layer(job, page, layer, &bytes, err));
    fputs("</div>\n</div>\n", page->out);
    return MQA_OK;
}

/* ---- figures ---- */

enum { CELL_BYTES = 24, FIXED_COLUMNS = 9 };

static void fill_row(const inspect_job *job, int layer, int head, size_t n_columns, char (*text)[CELL_BYTES])
{
    const mqa_inspection *in = job->in;
    const mqa_head_figures *f = mqa_inspection_head(in, layer, head);
    snprintf(text[0], CELL_BYTES, "layer %d, head %d", layer, head);
    inspect_sight(job, layer, text[1], CELL_BYTES);
    memmove(text[1], text[1] + strlen("sees "), strlen(text[1] + strlen("sees ")) + 1);
    snprintf(text[2], CELL_BYTES, "%.2f", f->entropy);
    snprintf(text[3], CELL_BYTES, "%.1f", 100 * f->self);
    snprintf(text[4], CELL_BYTES, "%.1f", 100 * f->previous);
    snprintf(text[5], CELL_BYTES, "%.0f", f->span50);
    snprintf(text[6], CELL_BYTES, "%.0f", f->span90);
    snprintf(text[7], CELL_BYTES, "%.1f", 100 * f->sinks);
    for (int i = 0; i < in->options.n_windows; i++)
        snprintf(text[8 + i], CELL_BYTES, "%.1f", 100 * f->lost[i]);
    snprintf(text[n_columns - 1], CELL_BYTES, "%.1f",
             100 * inspect_mean_of_others(in, in->overlap, layer, head));
}

static mqa_status put_figures(const inspect_job *job, mqa_page *page, mqa_error *err)
{
    static const char *const fixed[] = {"head",        "sees tokens", "entropy, bits", "self, %",
                                        "previous, %", "span 50 %",   "span 90 %",     "sinks, %"};
    const mqa_inspection *in = job->in;
    const size_t windows = (size_t)in->options.n_windows, n_columns = FIXED_COLUMNS + windows;
    const size_t n_rows = (size_t)in->n_layers * (size_t)in->n_heads;
    const char *columns[FIXED_COLUMNS + MQA_INSPECT_WINDOWS];
    char names[MQA_INSPECT_WINDOWS][CELL_BYTES];
    memcpy(columns, fixed, sizeof fixed);
    for (size_t i = 0; i < windows; i++) {
        snprintf(names[i], CELL_BYTES, "lost at %" PRId64 ", %%", in->options.windows[i]);
        columns[FIXED_COLUMNS - 1 + i] = names[i];
    }
    columns[n_columns - 1] = "same as others, %";
    char(*text)[CELL_BYTES] = calloc(n_rows * n_columns, CELL_BYTES);
    const char **cells = calloc(n_rows * n_columns, sizeof *cells);
    for (size_t i = 0; text && i < n_rows; i++)
        fill_row(job, (int)(i / (size_t)in->n_heads), (int)(i % (size_t)in->n_heads), n_columns,
                 text + i * n_columns);
    for (size_t i = 0; text && cells && i < n_rows * n_columns; i++) cells[i] = text[i];
    if (text && cells)
        mqa_page_table_write(
            page,
            &(mqa_page_table){.columns = columns, .cells = cells, .n_columns = n_columns, .n_rows = n_rows});
    const bool whole = text && cells;
    free(text);
    free(cells);
    return whole ? MQA_OK : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a page");
}

/* ---- the page ---- */

/* "188 x 188 bins of 16 tokens". */
static void describe_bins(const mqa_inspection *in, char *out, size_t size)
{
    const char *what = in->options.fold == MQA_MAP_MAX ? "the largest probability of each bin"
                                                       : "the share of attention that each bin of keys has";
    if (in->maps.shift == 0)
        snprintf(out, size, "maps of all %d x %d probabilities", in->maps.bins, in->maps.bins);
    else
        snprintf(out, size, "maps of %d x %d bins of %d tokens: %s", in->maps.bins, in->maps.bins,
                 1 << in->maps.shift, what);
}

static mqa_status write_page(const inspect_job *job, FILE *out, mqa_error *err)
{
    static const char *const explanations[] = {
        "entropy: how evenly a query's attention is spread; 0 bits is one token, 10 bits is like 1,024 equal "
        "ones",
        "self, previous: the share on the query's own token and on the one before it",
        "span: so many tokens back from the query have 50 or 90 % of a head's attention",
        "sinks: the share on the first tokens of the text",
        "lost at W: what lies outside of a window of W tokens, and would be lost with it",
        "same as others: the attention that two heads have in common (the sum of the smaller of their two "
        "probabilities), mean over the layer's other heads"};
    const mqa_inspection *in = job->in;
    char title[200], lead[400], bins[160];
    snprintf(title, sizeof title, "Where the heads of %.100s look",
             job->info.name[0] ? job->info.name : job->info.arch);
    describe_bins(in, bins, sizeof bins);
    snprintf(lead, sizeof lead,
             "%d layers of %d heads on %d KV head%s; %" PRId64 " tokens in %d document%s; %s", in->n_layers,
             in->n_heads, in->n_kv_heads, in->n_kv_heads == 1 ? "" : "s", in->n_tokens, job->n_documents,
             job->n_documents == 1 ? "" : "s", bins);
    mqa_page page;
    mqa_page_begin(&page, out,
                   &(mqa_page_options){.title = title,
                                       .lead = lead,
                                       .style = (const char *)mqa_embedded_inspect_css,
                                       .script = (const char *)mqa_embedded_inspect_js,
                                       .script_hash = MQA_EMBEDDED_INSPECT_JS_SHA256});
    mqa_page_heading(&page, 2, "Maps");
    mqa_page_paragraph(&page, "Queries go down, keys across. A click on a map opens it.");
    MQA_TRY(put_maps(job, &page, err));
    mqa_page_heading(&page, 2, "Figures");
    mqa_page_list(&page, explanations, sizeof explanations / sizeof explanations[0]);
    MQA_TRY(put_figures(job, &page, err));
    MQA_TRY(put_data(job, &page, err));
    return mqa_page_end(&page, err);
}

int inspect_write_page(const inspect_job *job)
{
    mqa_error err;
    mqa_new_file file;
    mqa_status status = mqa_new_file_open(job->html, &file, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    status = write_page(job, file.stream, &err);
    if (status == MQA_OK)
        status = mqa_new_file_finish(&file, &err);
    else
        mqa_new_file_abandon(&file);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}
