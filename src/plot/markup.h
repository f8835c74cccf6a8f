/* Text into markup, and how wide it will be.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_MARKUP_H
#define MQA_PLOT_MARKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* n bytes of text as content of an element or of an attribute in double quotes. What XML can't hold or would
 * turn the reading direction of the rest becomes U+FFFD. */
void mqa_markup(FILE *out, const char *text, size_t n);

/* A PNG as an attribute's value: a data URI. */
void mqa_markup_png(FILE *out, const void *png, size_t n);

/* Pixels that n bytes of UTF-8 take at a font size of `size` pixels: those of DejaVu Sans, which is wider
 * than what most browsers use, and an estimate outside ASCII. */
double mqa_text_width(const char *text, size_t n, double size, bool bold);
/* How many bytes of text fit into width, cut between characters. */
size_t mqa_text_fit(const char *text, size_t n, double size, bool bold, double width);

/* One line of a wrapped text: bytes [at, at + n), "…" behind them where cut. */
typedef struct mqa_text_line {
    const char *at;
    size_t n;
    bool cut;
} mqa_text_line;
/* Breaks text between words into at most `most` lines of width; the last one is cut if need be. Number of
 * lines. */
int mqa_text_wrap(const char *text, double size, bool bold, double width, int most, mqa_text_line *lines);

#endif
