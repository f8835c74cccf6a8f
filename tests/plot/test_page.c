/* Pages as HTML that is XML, too: read back by libxml2.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "plot/page.h"

static const char evil[] = "</p></td><script>alert(\"1\")</script> & ' \x02\xff";

static void everything(void **state)
{
    (void)state;
    static const char *const columns[] = {"design", evil}, *const cells[] = {"MHA", "64 GiB", evil, NULL},
                             *const items[] = {evil, "two"};
    static const bool marked[] = {false, true};
    static const double y[] = {1, 2};
    const mqa_series series = {.y = y, .n = 2, .name = evil};
    const mqa_chart chart = {.title = evil, .series = &series, .n_series = 1};
    const mqa_page_table table = {evil, columns, cells, 2, 2, NULL, marked};
    document d;
    document_open(&d);
    mqa_page page;
    mqa_page_begin(&page, d.stream, &(mqa_page_options){.title = evil, .lead = evil});
    mqa_page_heading(&page, 2, evil);
    mqa_page_heading(&page, 3, "x");
    mqa_page_paragraph(&page, evil);
    mqa_page_callout(&page, evil);
    mqa_page_list(&page, items, 2);
    mqa_page_lines(&page, evil);
    mqa_page_table_write(&page, &table);
    mqa_page_chart(&page, &chart, evil);
    mqa_page_image(&page, "\x89PNG?", 5, evil, NULL, 100, true);
    mqa_page_text(&page, evil);
    mqa_error err;
    assert_int_equal(mqa_page_end(&page, &err), MQA_OK);
    document_read(&d);

    static const struct {
        const char *xpath;
        int n;
    } want[] = {{"//h:script", 0},
                {"/h:html/h:head/h:title", 1},
                {"//h:h1", 1},
                {"//h:h2", 1},
                {"//h:h3", 1},
                {"//h:p", 3},
                {"//h:li", 2},
                {"//h:tbody/h:tr", 2},
                {"//h:tr[@class='marked']/h:th", 1},
                {"//h:thead//h:th", 2},
                {"//h:pre", 1},
                {"//s:svg/s:title", 2}, /* wide and narrow */
                {"//h:figure", 2},
                {"//h:figcaption", 1},
                {"//h:style[contains(., '.callout') and contains(., '@media print')]", 1},
                {"//@*[name()='src' and not(starts-with(., 'data:'))]", 0},
                {"//h:link | //h:a | //h:iframe | //h:object", 0}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const int n = document_count(&d, want[i].xpath);
        if (n != want[i].n) printf("%s: %d, not %d\n", want[i].xpath, n, want[i].n);
        assert_int_equal(n, want[i].n);
    }
    char *policy = document_text(&d, "//h:meta[@http-equiv='Content-Security-Policy']/@content");
    assert_non_null(policy);
    assert_non_null(strstr(policy, "default-src 'none'"));
    assert_null(strstr(policy, "script-src"));
    xmlFree(policy);
    char *image = document_text(&d, "//h:img/@src");
    assert_string_equal(image, "data:image/png;base64,iVBORz8=");
    xmlFree(image);
    char *paragraph = document_text(&d, "//h:p[not(@class)]");
    assert_string_equal(paragraph, "</p></td><script>alert(\"1\")</script> & ' \xef\xbf\xbd\xef\xbf\xbd");
    xmlFree(paragraph);
    document_free(&d);
}

static void script(void **state)
{
    (void)state;
    document d;
    document_open(&d);
    mqa_page page;
    mqa_page_begin(&page, d.stream,
                   &(mqa_page_options){.title = "t", .script = "let x = 1;", .script_hash = "sha256-AAAA"});
    mqa_error err;
    assert_int_equal(mqa_page_end(&page, &err), MQA_OK);
    document_read(&d);
    char *text = document_text(&d, "//h:body/h:script");
    assert_string_equal(text, "let x = 1;");
    xmlFree(text);
    text = document_text(&d, "//h:meta[@http-equiv='Content-Security-Policy']/@content");
    assert_non_null(strstr(text, "script-src 'sha256-AAAA'"));
    xmlFree(text);
    document_free(&d);
}

static void failures_are_kept(void **state)
{
    (void)state;
    document d;
    document_open(&d);
    mqa_page page;
    mqa_page_begin(&page, d.stream, &(mqa_page_options){.title = "t"});
    mqa_page_chart(&page, &(mqa_chart){.x = {.lo = 2, .hi = 1}}, NULL);
    fflush(d.stream);
    const size_t n = d.n;
    mqa_page_paragraph(&page, "more");
    fflush(d.stream);
    assert_int_equal(d.n, n);
    mqa_error err;
    assert_int_equal(mqa_page_end(&page, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_string_equal(err.message, "chart: axis x from 2 to 1 can't be drawn");
    fclose(d.stream);
    free(d.text);

    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    mqa_page_begin(&page, full, &(mqa_page_options){.title = "t"});
    for (int i = 0; i < 1000; i++) mqa_page_paragraph(&page, "a line that fills the buffer of the stream");
    assert_int_equal(mqa_page_end(&page, &err), MQA_ERR_IO);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything), cmocka_unit_test(script),
                                       cmocka_unit_test(failures_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
