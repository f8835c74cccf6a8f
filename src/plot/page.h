/* One self-contained HTML page, written from top to bottom: headings, paragraphs, tables, charts, images.
 *
 * It is well-formed XML as well, loads nothing (a Content-Security-Policy forbids it), reads well from 320
 * pixels to wide screens and in print, in light and dark. All strings are UTF-8 and are escaped; none is
 * taken as markup.
 *
 *     mqa_page page;
 *     mqa_page_begin(&page, stream, &(mqa_page_options){.title = "A plan"});
 *     mqa_page_heading(&page, 2, "What fits");
 *     mqa_page_paragraph(&page, "Four requests of 60,000 tokens.");
 *     mqa_page_chart(&page, &chart, "KV cache against context.");
 *     MQA_TRY(mqa_page_end(&page, err));
 *
 * The first failure is kept; calls after it write nothing, and mqa_page_end returns it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_PAGE_H
#define MQA_PLOT_PAGE_H

#include "plot/chart.h"

typedef struct mqa_page {
    FILE *out;
    mqa_error first;
    const char *script; /* of the options */
} mqa_page;

typedef struct mqa_page_options {
    const char *title;  /* the window's, and the heading of level 1 */
    const char *lead;   /* a paragraph in larger letters below it; NULL: none */
    const char *style;  /* CSS of the program's own, after the page's; NULL: none. Not escaped: a constant */
    const char *script; /* JavaScript, at the end of the body; NULL: none. Not escaped: a constant without "<"
                           and "&" */
    const char *script_hash; /* "sha256-<base64>" of script, exactly: without it no browser runs it */
} mqa_page_options;

void mqa_page_begin(mqa_page *page, FILE *out, const mqa_page_options *options);
void mqa_page_heading(mqa_page *page, int level, const char *text); /* level 2 or 3 */
void mqa_page_paragraph(mqa_page *page, const char *text);
/* A paragraph that stands out: a verdict, a warning. */
void mqa_page_callout(mqa_page *page, const char *text);
void mqa_page_list(mqa_page *page, const char *const *items, size_t n);
/* Lines as they are, in letters of one width: a command, its output. */
void mqa_page_lines(mqa_page *page, const char *text);

typedef struct mqa_page_table {
    const char *caption;        /* NULL: none */
    const char *const *columns; /* [n_columns] headings, NULL: none; the first column names its row */
    const char *const *cells;   /* [n_rows][n_columns]; NULL: an empty cell */
    size_t n_columns, n_rows;
    const bool *text_columns; /* [n_columns] true: words, to the left; NULL: all but the first hold numbers,
                                 to the right */
    const bool *marked;       /* [n_rows] rows that stand out; NULL: none */
} mqa_page_table;
/* Wider than the screen it scrolls by itself. */
void mqa_page_table_write(mqa_page *page, const mqa_page_table *table);

/* The chart twice, for wide screens and paper and for narrow ones, of which the reader sees one. caption
 * NULL: none. The chart's own width and height are not heeded. */
void mqa_page_chart(mqa_page *page, const mqa_chart *chart, const char *caption);
/* A PNG inside the page. alt: what it shows, for those who don't see it. width: CSS pixels at most.
 * pixelated: enlarged without smoothing, for maps. */
void mqa_page_image(mqa_page *page, const void *png, size_t n, const char *alt, const char *caption,
                    int width, bool pixelated);
/* Escaped text into the stream between markup of the program's own. */
void mqa_page_text(mqa_page *page, const char *text);

mqa_status mqa_page_end(mqa_page *page, mqa_error *err);

#endif
