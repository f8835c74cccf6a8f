/* Text into markup, and how wide it will be.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/markup.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

/* No character of XML, or a control: C0 and C1, marks and overrides of direction, noncharacters. */
static bool unwanted(uint32_t code)
{
    if (code < 0x20) return code != '\t' && code != '\n';
    return (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

void mqa_markup(FILE *out, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t length; n > 0; p += length, n -= length) {
        length = mqa_utf8_length(p, n);
        const bool drop = length == 0 || unwanted(mqa_utf8_code_point(p, length));
        if (length == 0) length = 1;
        if (drop) {
            fputs("\xef\xbf\xbd", out);
            continue;
        }
        switch (p[0]) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fwrite(p, 1, length, out);
        }
    }
}

/* DejaVu Sans, hundredths of the font size, from the space to the tilde. */
static const uint8_t widths[] = {32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36,  32, 34, 64, 64, 64,
                                 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63,
                                 58, 77, 75, 29, 29, 66, 56, 86, 75, 79, 60, 79, 69, 63,  61, 73, 68, 99, 69,
                                 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35,  63, 63, 28, 28, 58,
                                 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59,  52, 64, 34, 64, 84};

static double width_of(uint32_t code)
{
    if (code >= 0x20 && code < 0x7f) return widths[code - 0x20] / 100.0;
    const bool wide =
        code >= 0x1100 && (code < 0x2000 || code >= 0x2e80); /* CJK and emoji; too much for some */
    return wide ? 1.0 : 0.7;
}

/* Walks text until width is used up; the bytes that fit, and in *used their width. */
static size_t walk(const char *text, size_t n, double size, bool bold, double width, double *used)
{
    const uint8_t *p = (const uint8_t *)text;
    const double unit = size * (bold ? 1.14 : 1.0);
    size_t at = 0;
    *used = 0;
    while (at < n) {
        size_t length = mqa_utf8_length(p + at, n - at);
        const double w = unit * (length ? width_of(mqa_utf8_code_point(p + at, length)) : 0.9);
        if (*used + w > width) break;
        *used += w;
        at += length ? length : 1;
    }
    return at;
}

double mqa_text_width(const char *text, size_t n, double size, bool bold)
{
    double used;
    walk(text, n, size, bold, 1e30, &used);
    return used;
}

size_t mqa_text_fit(const char *text, size_t n, double size, bool bold, double width)
{
    double used;
    return walk(text, n, size, bold, width, &used);
}

int mqa_text_wrap(const char *text, double size, bool bold, double width, int most, mqa_text_line *lines)
{
    int n_lines = 0;
    size_t left = strlen(text);
    while (n_lines < most) {
        while (left > 0 && *text == ' ') text++, left--;
        if (left == 0) break;
        mqa_text_line *line = &lines[n_lines++];
        size_t fits = mqa_text_fit(text, left, size, bold, width);
        if (fits == left) {
            *line = (mqa_text_line){.at = text, .n = left};
            return n_lines;
        }
        size_t end = fits;
        while (end > 0 && text[end] != ' ') end--;
        if (n_lines == most || end == 0) { /* no line is left for the rest, or a word longer than a line */
            fits = mqa_text_fit(text, left, size, bold, width - size);
            *line = (mqa_text_line){.at = text, .n = fits, .cut = true};
            return n_lines;
        }
        *line = (mqa_text_line){.at = text, .n = end};
        text += end;
        left -= end;
    }
    return n_lines;
}

void mqa_markup_png(FILE *out, const void *png, size_t n)
{
    const uint8_t *data = png;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fputs("data:image/png;base64,", out);
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const uint32_t b = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                           (left > 2 ? data[i + 2] : 0u);
        putc(digits[b >> 18], out);
        putc(digits[b >> 12 & 63], out);
        putc(left > 1 ? digits[b >> 6 & 63] : '=', out);
        putc(left > 2 ? digits[b & 63] : '=', out);
    }
}
