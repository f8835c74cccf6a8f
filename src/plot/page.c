/* One self-contained HTML page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/page.h"

#include <string.h>

#include "embedded/report_css.h"
#include "plot/markup.h"

static bool ready(const mqa_page *page)
{
    return page->first.status == MQA_OK;
}

static void escaped(const mqa_page *page, const char *text)
{
    mqa_markup(page->out, text, strlen(text));
}

/* <tag class="...">text</tag> */
static void element(const mqa_page *page, const char *tag, const char *class, const char *text)
{
    fprintf(page->out, class ? "<%s class=\"%s\">" : "<%s>", tag, class);
    escaped(page, text);
    fprintf(page->out, "</%s>\n", tag);
}

void mqa_page_begin(mqa_page *page, FILE *out, const mqa_page_options *o)
{
    *page = (mqa_page){.out = out};
    fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta "
          "charset=\"utf-8\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'; img-src data:; "
          "base-uri 'none'; form-action 'none'",
          out);
    if (o->script && o->script_hash) {
        fputs("; script-src '", out);
        escaped(page, o->script_hash);
        putc('\'', out);
    }
    fputs("\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"referrer\" content=\"no-referrer\"/>\n",
          out);
    element(page, "title", NULL, o->title);
    fputs("<style>\n", out);
    fputs((const char *)mqa_embedded_report_css, out);
    mqa_chart_style(out);
    if (o->style) fputs(o->style, out);
    fputs("</style>\n</head>\n<body>\n<main>\n", out);
    element(page, "h1", NULL, o->title);
    if (o->lead) element(page, "p", "lead", o->lead);
    page->script = o->script;
}

void mqa_page_heading(mqa_page *page, int level, const char *text)
{
    if (ready(page)) element(page, level <= 2 ? "h2" : "h3", NULL, text);
}

void mqa_page_paragraph(mqa_page *page, const char *text)
{
    if (ready(page)) element(page, "p", NULL, text);
}

void mqa_page_callout(mqa_page *page, const char *text)
{
    if (ready(page)) element(page, "p", "callout", text);
}

void mqa_page_list(mqa_page *page, const char *const *items, size_t n)
{
    if (!ready(page) || n == 0) return;
    fputs("<ul>\n", page->out);
    for (size_t i = 0; i < n; i++) element(page, "li", NULL, items[i]);
    fputs("</ul>\n", page->out);
}

void mqa_page_lines(mqa_page *page, const char *text)
{
    if (ready(page)) element(page, "pre", NULL, text);
}

void mqa_page_text(mqa_page *page, const char *text)
{
    if (ready(page)) escaped(page, text);
}

static void cell(const mqa_page *page, const mqa_page_table *t, size_t row, size_t column)
{
    const char *text = t->cells[row * t->n_columns + column];
    const bool words = t->text_columns && t->text_columns[column];
    fputs(column == 0 ? "<th scope=\"row\">" : words ? "<td class=\"words\">" : "<td>", page->out);
    if (text) escaped(page, text);
    fputs(column == 0 ? "</th>" : "</td>", page->out);
}

static void headings(const mqa_page *page, const mqa_page_table *t)
{
    fputs("<thead><tr>", page->out);
    for (size_t i = 0; i < t->n_columns; i++) {
        const bool words = t->text_columns && t->text_columns[i];
        fputs(words ? "<th scope=\"col\" class=\"words\">" : "<th scope=\"col\">", page->out);
        escaped(page, t->columns[i]);
        fputs("</th>", page->out);
    }
    fputs("</tr></thead>\n", page->out);
}

void mqa_page_table_write(mqa_page *page, const mqa_page_table *t)
{
    if (!ready(page)) return;
    fputs("<div class=\"wide\" tabindex=\"0\"><table>\n", page->out); /* in focus, arrow keys scroll it */
    if (t->caption) element(page, "caption", NULL, t->caption);
    if (t->columns) headings(page, t);
    fputs("<tbody>\n", page->out);
    for (size_t row = 0; row < t->n_rows; row++) {
        fputs(t->marked && t->marked[row] ? "<tr class=\"marked\">" : "<tr>", page->out);
        for (size_t i = 0; i < t->n_columns; i++) cell(page, t, row, i);
        fputs("</tr>\n", page->out);
    }
    fputs("</tbody>\n</table></div>\n", page->out);
}

static void caption_of_figure(const mqa_page *page, const char *caption)
{
    if (caption) element(page, "figcaption", NULL, caption);
    fputs("</figure>\n", page->out);
}

void mqa_page_chart(mqa_page *page, const mqa_chart *chart, const char *caption)
{
    if (!ready(page)) return;
    static const struct {
        const char *class;
        int width, height;
    } sizes[] = {{"wide-chart", 860, 480}, {"narrow-chart", 360, 400}};
    fputs("<figure>\n", page->out);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && ready(page); i++) {
        mqa_chart sized = *chart;
        sized.width = sizes[i].width;
        sized.height = sizes[i].height;
        fprintf(page->out, "<div class=\"%s\">\n", sizes[i].class);
        mqa_chart_svg(&sized, MQA_CHART_INLINE, page->out, &page->first);
        fputs("</div>\n", page->out);
    }
    caption_of_figure(page, caption);
}

void mqa_page_image(mqa_page *page, const void *png, size_t n, const char *alt, const char *caption,
                    int width, bool pixelated)
{
    if (!ready(page)) return;
    fprintf(page->out, "<figure><img width=\"%d\"%s alt=\"", width, pixelated ? " class=\"pixelated\"" : "");
    escaped(page, alt);
    fputs("\" src=\"", page->out);
    mqa_markup_png(page->out, png, n);
    fputs("\"/>\n", page->out);
    caption_of_figure(page, caption);
}

mqa_status mqa_page_end(mqa_page *page, mqa_error *err)
{
    if (!ready(page)) return mqa_fail(err, page->first.status, "%s", page->first.message);
    fputs("</main>\n", page->out);
    if (page->script) fprintf(page->out, "<script>%s</script>\n", page->script);
    fputs("</body>\n</html>\n", page->out);
    return ferror(page->out) ? mqa_fail(err, MQA_ERR_IO, "the page can't be written") : MQA_OK;
}
