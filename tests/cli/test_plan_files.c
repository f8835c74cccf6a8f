/* mqa plan --html, --svg, --png: what is written, read back by others' parsers, and what isn't written when
 * it fails.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <libxml/parser.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../plot/document.h"
#include "drive.h"

#define ARGS(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define SCENARIO   MQA_SOURCE "/examples/scenarios/slow-and-costly.scenario"
#define TENANTS    MQA_SOURCE "/examples/scenarios/many-tenants.scenario"
#define SHAPE_ARGS "plan", "--layers", "4", "--heads", "8", "--head-dim", "64", "--machine", "L4"

static char folder[] = "/tmp/mqa-plan-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[8][80];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Nothing but what tests made themselves: no temporary file, none half written. */
static void only_entries(int n)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d)) n--;
    closedir(d);
    assert_int_equal(n, -2); /* . and .. */
}

static void run_well(const char *const *args)
{
    drive_result r = drive(args, NULL);
    if (r.code != 0) printf("code %d, signal %d, stderr: %s\n", r.code, r.signal, r.err);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.n_err, 0);
    assert_true(r.n_out > 100); /* the report is printed all the same */
    drive_free(&r);
}

static document read_document(const char *path)
{
    document d = {.xml = xmlReadFile(path, NULL, XML_PARSE_NONET | XML_PARSE_HUGE)};
    assert_non_null(d.xml);
    return d;
}

static void count_is(const document *d, const char *xpath, int n)
{
    const int found = document_count(d, xpath);
    if (found != n) printf("%s: %d, not %d\n", xpath, found, n);
    assert_int_equal(found, n);
}

/* All that belongs on a page is there, and its figures are those of --json. */
static void page(void **state)
{
    (void)state;
    const char *path = in_folder("page.html");
    run_well(ARGS("plan", SCENARIO, "--html", path));
    document d = read_document(path);
    count_is(&d, "//h:h1[.='A slow, costly long-context service']", 1);
    count_is(&d, "//h:p[@class='lead'][contains(., 'What is the bottleneck')]", 1);
    count_is(&d, "//h:p[@class='callout'][contains(., '16 requests of 32,768 tokens do not fit')]", 1);
    count_is(&d, "//h:figure", 4);
    count_is(&d, "//s:svg[@role='img']", 8); /* for wide screens and for narrow ones */
    count_is(&d, "//s:svg[s:title='KV cache against context']", 2);
    count_is(&d, "//s:text[.='wanted: 20 tokens/s a request']", 2);
    count_is(&d, "//h:h2[.='Tenants']", 0);
    count_is(&d, "//h:script | //h:link | //h:a", 0);

    drive_result r = drive(ARGS("plan", SCENARIO, "--json"), NULL);
    const char *line = r.out;
    for (int row = 1; *line; row++) { /* an object a design */
        json_t *o = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(o);
        char xpath[200];
        const double gib = (double)json_integer_value(json_object_get(o, "weights_bytes")) / (1 << 30);
        snprintf(xpath, sizeof xpath,
                 "//h:table[contains(h:caption, 'Memory and speed')]//h:tbody/h:tr[%d][h:td[2]='%.2f "
                 "GiB'][h:td[7]='%lld']",
                 row, gib, (long long)json_integer_value(json_object_get(o, "max_requests")));
        count_is(&d, xpath, 1);
        json_decref(o);
        line = strchr(line, '\n') + 1;
    }
    drive_free(&r);
    document_free(&d);
    unlink(path);
}

static void page_of_tenants(void **state)
{
    (void)state;
    const char *path = in_folder("page.html");
    run_well(ARGS("plan", TENANTS, "--html", path));
    document d = read_document(path);
    count_is(&d, "//h:h2[.='Tenants']", 1);
    count_is(&d, "//h:tr[h:th='Ash & Partners'][h:td='24.00 GiB']", 1);
    count_is(&d, "//h:table[contains(.//h:th, 'tenant')]//h:tr[@class='marked']", 1);
    count_is(&d, "//h:tr[@class='marked'][h:th='Dogwood']", 1);
    count_is(&d, "//h:figure", 5);
    count_is(
        &d,
        "//s:svg[s:title='Tenants and their budgets'][count(.//s:rect[@class='bar'][not(@width=12)]) = 8]",
        2);
    document_free(&d);
    unlink(path);
}

static void pictures(void **state)
{
    (void)state;
    const char *svg = in_folder("plan.svg"), *png = in_folder("plan.png");
    run_well(ARGS("plan", SCENARIO, "--svg", svg, "--png", png));
    document d = read_document(svg);
    count_is(&d, "/s:svg/s:g/s:title", 4);
    document_free(&d);
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&image, png));
    assert_int_equal(image.width, 2 * 2 * 720);
    assert_int_equal(image.height, 2 * 2 * 440);
    png_image_free(&image);

    static const struct {
        const char *name, *title;
    } plots[] = {{"cache", "KV cache against context"},
                 {"speed", "Tokens a second against context"},
                 {"requests", "Requests that fit against memory"},
                 {"roofline", "Roofline of a decoding step"}};
    for (size_t i = 0; i < sizeof plots / sizeof plots[0]; i++) {
        run_well(ARGS(SHAPE_ARGS, "--svg", svg, "--plot", plots[i].name));
        d = read_document(svg);
        count_is(&d, "//s:title[not(parent::s:g/@class)]", 1);
        char *title = document_text(&d, "//s:title[not(parent::s:g/@class)]");
        assert_string_equal(title, plots[i].title);
        xmlFree(title);
        document_free(&d);
    }
    unlink(svg), unlink(png);
}

/* Names of a scenario are text on the page, whatever they are. */
static void hostile_names(void **state)
{
    (void)state;
    const char *scenario = in_folder("evil.scenario"), *path = in_folder("page.html"),
               *svg = in_folder("plan.svg");
    FILE *f = fopen(scenario, "w");
    assert_non_null(f);
    fputs(
        "title = </title><script>alert(1)</script>\nquestion = \"><img src=x onerror=alert(1)>\n[model]\n"
        "name = </text><script>alert(2)</script>&\nlayers = 2\nheads = 4\nembd = 256\n[machine]\nname = L4\n"
        "[demand]\ncontext = 1024\n[tenant <b>\"'&]\nrequests = 2\n",
        f);
    fclose(f);
    run_well(ARGS("plan", scenario, "--html", path, "--svg", svg));
    document d = read_document(path);
    count_is(&d, "//h:script | //h:img | //h:b | //s:script", 0);
    count_is(&d, "//h:h1[.='</title><script>alert(1)</script>']", 1);
    count_is(&d, "//h:th[.=concat('<b>\"', \"'&\")]", 1);
    document_free(&d);
    d = read_document(svg);
    count_is(&d, "//s:script", 0);
    document_free(&d);
    unlink(scenario), unlink(path), unlink(svg);
}

/* The ends of what may be asked. */
static void extremes(void **state)
{
    (void)state;
    static const char *const asked[][4] = {{"--context", "1"},
                                           {"--context", "1099511627776"},
                                           {"--requests", "16777216"},
                                           {"--memory", "1"},
                                           {"--memory", "4096TiB"},
                                           {"--bandwidth", "1", "--flops", "1"},
                                           {"--context", "1,2,3,1000,60000,1000000,1099511627776"}};
    const char *path = in_folder("page.html"), *svg = in_folder("plan.svg");
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        const char *args[20] = {SHAPE_ARGS, "--html", path, "--svg", svg};
        int n = 0;
        while (args[n]) n++;
        for (int k = 0; k < 4 && asked[i][k]; k++) args[n++] = asked[i][k];
        run_well(args);
        document d = read_document(path);
        count_is(&d, "//h:figure", 4);
        document_free(&d);
        d = read_document(svg);
        document_free(&d);
    }
    unlink(path), unlink(svg);
}

static void failures(void **state)
{
    (void)state;
    const char *good = in_folder("good.html"), *nowhere = in_folder("no/page.html");
    const char *link = in_folder("link"); /* as /dev/stdout is one */
    const char *fifo = in_folder("fifo"); /* a device would do, but not if the check were broken */
    assert_int_equal(symlink("nothing", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *option, *path;
    } files[] = {{"--html", NULL}, {"--svg", NULL}, {"--png", NULL},
                 {"--html", fifo}, {"--svg", link}, {"--png", folder}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *const *args = ARGS(SHAPE_ARGS, files[i].option, files[i].path ? files[i].path : nowhere);
        drive_result r = drive(args, NULL);
        assert_true(drive_failed_well(args, &r));
        assert_int_equal(r.code, 1);
        drive_free(&r);
    }
    static const char *const wrong[][5] = {
        {"--plot", "cache"}, {"--svg", "x", "--plot", "cash"}, {"--png", "x", "--plot", ""}, {"--html"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *args[20] = {SHAPE_ARGS};
        int n = 0;
        while (args[n]) n++;
        for (int k = 0; wrong[i][k]; k++) args[n++] = wrong[i][k];
        drive_result r = drive(args, NULL);
        assert_true(drive_failed_well(args, &r));
        assert_int_equal(r.code, 2);
        drive_free(&r);
    }
    const char *const no_tenants[] = {SHAPE_ARGS, "--svg", in_folder("x.svg"), "--plot", "tenants", NULL};
    drive_result nobody = drive(no_tenants, NULL);
    assert_true(drive_failed_well(no_tenants, &nobody));
    assert_int_equal(nobody.code, 1);
    drive_free(&nobody);
    only_entries(2);
    unlink(link), unlink(fifo);
    /* What was there stays where the plan fails. */
    FILE *f = fopen(good, "w");
    assert_non_null(f);
    fputs("old", f);
    fclose(f);
    const char *const *args = ARGS("plan", "--layers", "4", "--heads", "7", "--kv-heads", "2", "--embd", "70",
                                   "--machine", "L4", "--html", good);
    drive_result r = drive(args, NULL);
    assert_true(drive_failed_well(args, &r));
    drive_free(&r);
    char text[8] = "";
    f = fopen(good, "r");
    assert_int_equal(fread(text, 1, sizeof text, f), 3);
    fclose(f);
    unlink(good);
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: %s MQA\n", argv[0]), 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(page),     cmocka_unit_test(page_of_tenants),
                                       cmocka_unit_test(pictures), cmocka_unit_test(hostile_names),
                                       cmocka_unit_test(extremes), cmocka_unit_test(failures)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
