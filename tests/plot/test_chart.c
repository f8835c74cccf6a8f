/* Charts as SVG: read back by libxml2.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "plot/chart.h"

static void draw(document *d, const mqa_chart *chart)
{
    mqa_error err;
    document_open(d);
    if (mqa_chart_svg(chart, MQA_CHART_FILE, d->stream, &err) != MQA_OK) fail_msg("%s", err.message);
    document_read(d);
}

static void count_is(const document *d, const char *xpath, int n)
{
    const int found = document_count(d, xpath);
    if (found != n) printf("%s: %d, not %d\n", xpath, found, n);
    assert_int_equal(found, n);
}

static const double tokens[] = {4096, 8192, 16384}, bytes[] = {1 << 20, 2 << 20, 4 << 20};

static void parts(void **state)
{
    (void)state;
    const mqa_series series[] = {
        {.name = "MQA", .x = tokens, .y = bytes, .n = 3},
        {.name = "limit", .x = tokens, .y = bytes, .n = 3, .kind = MQA_SERIES_CURVE},
        {.name = "points", .x = tokens, .y = bytes, .n = 2, .kind = MQA_SERIES_POINTS}};
    const mqa_mark mark = {.text = "all memory", .at = 3 << 20};
    const mqa_chart chart = {.title = "KV cache",
                             .subtitle = "of one request",
                             .description = "What the cache takes.",
                             .x = {.label = "context", .unit = MQA_UNIT_TOKENS, .log = true},
                             .y = {.label = "bytes", .unit = MQA_UNIT_BYTES},
                             .series = series,
                             .n_series = 3,
                             .marks = &mark,
                             .n_marks = 1};
    document d;
    draw(&d, &chart);
    count_is(&d, "/s:svg[@role='img']/s:title", 1);
    count_is(&d, "//s:path[contains(@class, 'line ')]",
             2);                      /* those in the plot; the legend's have no style of their own */
    count_is(&d, "//s:g/s:title", 5); /* tooltips: 3 markers and 2 */
    count_is(&d, "//s:path[@class='mark']", 1);
    count_is(&d, "//s:text[.='all memory']", 1);
    count_is(&d, "//s:text[.='4k']", 1);
    count_is(&d, "//s:text[.='2 MiB']", 1);
    count_is(&d, "//s:text[.='MQA' or .='limit' or .='points']", 3);
    count_is(&d, "//*[@id]", 0); /* several charts on one page can't clash */
    char *text = document_text(&d, "/s:svg/s:desc");
    assert_non_null(strstr(text, "What the cache takes. MQA: 1 MiB at 4k, 4 MiB at 16k."));
    xmlFree(text);
    document_free(&d);

    document again; /* the text depends on the description alone */
    draw(&d, &chart);
    draw(&again, &chart);
    assert_string_equal(d.text, again.text);
    document_free(&d);
    document_free(&again);
}

static void bars(void **state)
{
    (void)state;
    static const char *const names[] = {"MHA", "GQA-8", "MQA"};
    static const double sizes[] = {64, 8, -1};
    const mqa_series series = {.y = sizes, .n = 3, .kind = MQA_SERIES_BARS};
    const mqa_chart chart = {.categories = names, .n_categories = 3, .series = &series, .n_series = 1};
    document d;
    draw(&d, &chart);
    count_is(&d, "//s:rect[@class='bar']", 3);
    count_is(&d, "//s:text[.='GQA-8']", 1);
    count_is(&d, "//s:text[.='64']", 1);
    double height[3]; /* as 64 to 8 to 1 */
    for (int i = 0; i < 3; i++) {
        char path[80];
        snprintf(path, sizeof path, "(//s:rect[@class='bar'])[%d]/@height", i + 1);
        char *text = document_text(&d, path);
        height[i] = atof(text);
        xmlFree(text);
    }
    assert_true(fabs(height[0] / height[1] - 8) < 0.05 && fabs(height[1] / height[2] - 8) < 0.3);
    document_free(&d);
}

static void hostile_strings(void **state)
{
    (void)state;
    static const char evil[] = "</title></svg><script>alert('1 & 2')</script>\"'<![CDATA[ ]]> "
                               "\x01\x1b\xff\xc3 \xe2\x80\xae \xef\xbf\xbf é 漢";
    static const char *const labels[] = {evil, NULL, evil};
    const mqa_series series[] = {{.name = evil, .x = tokens, .y = bytes, .n = 3, .labels = labels},
                                 {.name = evil, .x = tokens, .y = bytes, .n = 3, .kind = MQA_SERIES_POINTS}};
    const mqa_mark mark = {.text = evil, .at = 1 << 20};
    const mqa_chart chart = {.title = evil,
                             .subtitle = evil,
                             .description = evil,
                             .x = {.label = evil},
                             .y = {.label = evil},
                             .series = series,
                             .n_series = 2,
                             .marks = &mark,
                             .n_marks = 1};
    document d;
    draw(&d, &chart);
    count_is(&d, "//s:script", 0);
    count_is(&d, "/s:svg/s:title", 1);
    char *text =
        document_text(&d, "/s:svg/s:title"); /* what is text comes back as it was; the rest as U+FFFD */
    assert_string_equal(
        text,
        "</title></svg><script>alert('1 & 2')</script>\"'<![CDATA[ ]]> \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd é 漢");
    xmlFree(text);
    document_free(&d);
}

/* A long name doesn't leave the picture: every text starts inside, and is cut. */
static void long_strings(void **state)
{
    (void)state;
    static char long_name[20001];
    memset(long_name, 'w', sizeof long_name - 1);
    const mqa_series series[] = {{.name = long_name, .x = tokens, .y = bytes, .n = 3},
                                 {.name = long_name, .x = tokens, .y = bytes, .n = 3}};
    const mqa_mark mark = {.text = long_name, .at = 1 << 20};
    const mqa_chart chart = {.title = long_name,
                             .subtitle = long_name,
                             .x = {.label = long_name},
                             .y = {.label = long_name},
                             .series = series,
                             .n_series = 2,
                             .marks = &mark,
                             .n_marks = 1};
    document d;
    draw(&d, &chart);
    count_is(&d, "//s:text[string-length(.) > 200]", 0);
    document_free(&d);
}

static void degenerate_data(void **state)
{
    (void)state;
    static const struct {
        double x[4], y[4];
        size_t n;
        int markers, log; /* markers expected; log: both axes */
    } cases[] = {
        {{0}, {0}, 0, 0, 0},
        {{5}, {7}, 1, 1, 0},
        {{5}, {7}, 1, 1, 1},
        {{0, 0, 0}, {0, 0, 0}, 3, 3, 0},
        {{0, 0, 0}, {0, 0, 0}, 3, 0, 1},
        {{1, NAN, 3, 4}, {1, 2, INFINITY, 4}, 4, 2, 0},
        {{1e18, 2e18, 3e18}, {1e18, 1e18, 1e18}, 3, 3, 0},
        {{1e18, 2e18, 3e18}, {1e18, 1e18, 1e18}, 3, 3, 1},
        {{-1e300, 1e300, 1e301}, {1e300, -1e300, 1}, 3, 2, 0},
        {{1e-300, 1e300, 1}, {5e-324, 1, 1e300}, 3, 2, 1},
        {{-1, -2}, {-3, -4}, 2, 2, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int unit = MQA_UNIT_NUMBER; unit <= MQA_UNIT_SHARE; unit++) {
            const mqa_series series = {.x = cases[i].x, .y = cases[i].y, .n = cases[i].n};
            const mqa_axis axis = {.unit = (mqa_unit)unit, .log = cases[i].log};
            const mqa_chart chart = {.x = axis, .y = axis, .series = &series, .n_series = 1};
            document d;
            draw(&d, &chart);
            count_is(&d, "//s:path[@class='marker']", cases[i].markers);
            count_is(&d, "//s:text[.='nothing here can be drawn']", cases[i].markers == 0);
            assert_null(strstr(d.text, "nan"));
            assert_null(strstr(d.text, "inf"));
            document_free(&d);
        }
}

/* ---- random charts ---- */

static uint64_t seed = 1;

static unsigned draw_below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % n;
}

static double draw_value(void)
{
    static const double extremes[] = {0,     -0.0,   1,       -1,     NAN,    INFINITY, -INFINITY,
                                      1e300, -1e300, 1.7e308, 5e-324, 1e-300, 1e18,     0.1};
    if (draw_below(3) == 0) return extremes[draw_below(sizeof extremes / sizeof extremes[0])];
    return ((double)draw_below(2000) - 500) * pow(10, (double)draw_below(20) - 8);
}

static const char *draw_text(void)
{
    static const char *const texts[] = {
        NULL,
        "",
        "MQA",
        "a longer name with <b>markup</b> & more",
        "\xff\xfe\x01",
        "漢字漢字漢字",
        "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"};
    return texts[draw_below(sizeof texts / sizeof texts[0])];
}

static mqa_axis draw_axis(void)
{
    mqa_axis axis = {
        .label = draw_text(), .unit = (mqa_unit)draw_below(MQA_UNIT_SHARE + 1), .log = draw_below(2)};
    if (draw_below(4) == 0) axis.lo = draw_value(), axis.hi = draw_value();
    return axis;
}

/* Drawn or refused; what is drawn is well-formed and has finite numbers only. */
static void random_charts(void **state)
{
    (void)state;
    enum { CHARTS = 1500, MOST = 8, POINTS = 40 };
    static double x[MOST][POINTS], y[MOST][POINTS];
    static const char *labels[MOST][POINTS], *categories[MOST];
    int drawn = 0;
    for (int n = 0; n < CHARTS; n++) {
        mqa_series series[MOST];
        mqa_mark marks[MOST];
        mqa_chart chart = {.title = draw_text(),
                           .subtitle = draw_text(),
                           .description = draw_text(),
                           .x = draw_axis(),
                           .y = draw_axis(),
                           .series = series,
                           .n_series = draw_below(MOST + 1),
                           .marks = marks,
                           .n_marks = draw_below(MOST + 1)};
        if (draw_below(2))
            chart.width = 200 + (int)draw_below(3801), chart.height = 200 + (int)draw_below(3801);
        if (draw_below(2)) chart.categories = categories, chart.n_categories = 1 + draw_below(MOST);
        for (int s = 0; s < MOST; s++) {
            marks[s] = (mqa_mark){draw_text(), draw_value(), draw_below(2)};
            const char *name = draw_text();
            categories[s] = name ? name : "none";
            for (int i = 0; i < POINTS; i++)
                x[s][i] = draw_value(), y[s][i] = draw_value(), labels[s][i] = draw_text();
            series[s] = (mqa_series){.name = draw_text(),
                                     .x = draw_below(2) ? x[s] : NULL,
                                     .y = y[s],
                                     .labels = draw_below(2) ? labels[s] : NULL,
                                     .n = draw_below(POINTS + 1),
                                     .kind = (mqa_series_kind)draw_below(MQA_SERIES_BARS + 1),
                                     .hollow = draw_below(2),
                                     .style = (int)draw_below(MQA_CHART_STYLES + 1)};
        }
        document d;
        document_open(&d);
        if (mqa_chart_svg(&chart, MQA_CHART_FILE, d.stream, NULL) == MQA_OK) {
            drawn++;
            document_read(&d);
            const char *body = strstr(d.text, "</style>");
            assert_null(strstr(body, "\"nan"));
            assert_null(strstr(body, "nan "));
            assert_null(strstr(body, "inf\""));
            assert_null(strstr(body, "inf "));
            count_is(&d, "//s:path[string-length(@d) > 1500]", 0); /* no coordinates of 300 digits */
        } else {
            fclose(d.stream);
            assert_int_equal(d.n, 0);
        }
        document_free(&d);
    }
    assert_true(drawn > CHARTS / 8);
}

static void sheets(void **state)
{
    (void)state;
    const mqa_series series = {.x = tokens, .y = bytes, .n = 3};
    const mqa_chart charts[] = {{.title = "one", .series = &series, .n_series = 1, .width = 300},
                                {.title = "two", .series = &series, .n_series = 1},
                                {.title = "three", .series = &series, .n_series = 1, .height = 600}};
    document d;
    mqa_error err;
    document_open(&d);
    assert_int_equal(mqa_chart_sheet_svg(charts, 3, 2, d.stream, &err), MQA_OK);
    document_read(&d);
    count_is(&d, "/s:svg[@width='1440'][@height='1200']", 1);
    count_is(&d, "/s:svg/s:g/s:title", 3);
    count_is(&d, "//s:g[@transform='translate(720 0)'][s:title='two']", 1);
    count_is(&d, "//s:g[@transform='translate(0 600)'][s:title='three']", 1);
    count_is(&d, "//s:style", 1);
    document_free(&d);
    assert_int_equal(mqa_chart_sheet_svg(charts, 0, 2, stdout, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_chart_sheet_svg(charts, 3, 0, stdout, &err), MQA_ERR_INVALID_ARGUMENT);
}

/* A line is broken where a value can't be shown, and its ends aren't moved. */
static void broken_lines(void **state)
{
    (void)state;
    static const double x[] = {0, 1, 2, 3, 4}, y[] = {1, NAN, 3, 4, INFINITY};
    const mqa_series series = {.x = x, .y = y, .n = 5};
    document d;
    draw(&d, &(mqa_chart){.series = &series, .n_series = 1});
    char *path = document_text(&d, "//s:path[contains(@class, 'line ')]/@d");
    int moves = 0, lines = 0;
    for (const char *p = path; *p; p++) moves += *p == 'M', lines += *p == 'L';
    assert_int_equal(moves, 2);
    assert_int_equal(lines, 1);
    xmlFree(path);
    document_free(&d);
}

static void refused(void **state)
{
    (void)state;
    static double many[MQA_CHART_MAX_POINTS + 1];
    static const mqa_series too_many[] = {{.y = many, .n = 10}, {.y = many, .n = MQA_CHART_MAX_POINTS - 9}};
    static const mqa_series huge[] = {{.y = many, .n = 10}, {.y = many, .n = SIZE_MAX}};
    static const mqa_series style = {.y = many, .n = 1, .style = 9},
                            bar = {.y = many, .n = 1, .kind = MQA_SERIES_BARS};
    static const mqa_series sixty_five[MQA_CHART_MAX_SERIES + 1];
    const mqa_chart charts[] = {
        {.series = too_many, .n_series = 2},
        {.series = huge, .n_series = 2},
        {.series = sixty_five, .n_series = MQA_CHART_MAX_SERIES + 1},
        {.series = &style, .n_series = 1},
        {.series = &bar, .n_series = 1},
        {.width = 199},
        {.height = 4001},
        {.width = -5},
        {.x = {.lo = 2, .hi = 1}},
        {.x = {.lo = 1, .hi = 1}},
        {.y = {.lo = NAN, .hi = 1}},
        {.y = {.lo = 0, .hi = 1, .log = true}},
        {.y = {.lo = 0, .hi = INFINITY}},
    };
    for (size_t i = 0; i < sizeof charts / sizeof charts[0]; i++) {
        document d;
        document_open(&d);
        mqa_error err;
        assert_int_equal(mqa_chart_svg(&charts[i], MQA_CHART_FILE, d.stream, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_true(strncmp(err.message, "chart: ", 7) == 0);
        fclose(d.stream);
        assert_int_equal(d.n, 0);
        document_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts),           cmocka_unit_test(bars),
                                       cmocka_unit_test(hostile_strings), cmocka_unit_test(long_strings),
                                       cmocka_unit_test(degenerate_data), cmocka_unit_test(random_charts),
                                       cmocka_unit_test(broken_lines),    cmocka_unit_test(sheets),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
