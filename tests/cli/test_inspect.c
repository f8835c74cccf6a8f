/* mqa inspect: that its forms of output agree with one another, and its refusals that depend on the model.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "drive.h"

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TEXT                                                                                                 \
    "Once upon a time there was a <cat> & a dog. The cat said: \"Hello\", and the dog said nothing at all."

static const char *tiny(void)
{
    const char *path = drive_tiny_model();
    if (!path) skip();
    return path;
}

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mqa-inspect-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static char *read_file(const char *name, size_t *n)
{
    FILE *file = fopen(in_folder(name), "rb");
    if (!file) fail_msg("%s wasn't written", name);
    char *data = malloc(8 << 20);
    *n = fread(data, 1, (8 << 20) - 1, file);
    data[*n] = 0;
    fclose(file);
    return data;
}

static drive_result good(const char *const *args)
{
    const drive_options none = {0};
    drive_result r = drive(args, &none);
    if (r.code != 0) printf("code %d, signal %d, stderr: %s\n", r.code, r.signal, r.err);
    assert_int_equal(r.code, 0);
    return r;
}

static json_t *report(const char *const *args)
{
    drive_result r = good(args);
    json_t *o = json_loads(r.out, 0, NULL);
    assert_true(json_is_object(o));
    drive_free(&r);
    return o;
}

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_number(value)) fail_msg("no number %s", key);
    return json_number_value(value);
}

static json_t *head_of(const json_t *o, size_t layer, size_t head)
{
    json_t *heads = json_object_get(json_array_get(json_object_get(o, "layers"), layer), "heads");
    return json_array_get(heads, head);
}

/* The probabilities in the .npy file give the figures of the object; both are what was printed. */
static void forms_agree(void **state)
{
    (void)state;
    json_t *o =
        report(ARGS("inspect", "-m", tiny(), "-p", TEXT, "--json", "--npy", in_folder("p.npy"), "--csv",
                    in_folder("figures.csv"), "-w", "3,1", "--sinks", "1", "--kv-type", "f32"));
    const size_t n = (size_t)number(o, "tokens"), n_heads = (size_t)number(o, "heads");
    size_t bytes;
    char *npy = read_file("p.npy", &bytes), shape[64];
    assert_int_equal(bytes, 128 + 4 * n_heads * n * n * sizeof(float));
    assert_memory_equal(npy, "\x93NUMPY\x01\x00\x76\x00", 10);
    snprintf(shape, sizeof shape, "(4, %zu, %zu, %zu)", n_heads, n, n);
    assert_non_null(memmem(npy, 128, shape, strlen(shape)));
    const float *p = (const float *)(const void *)(npy + 128);
    size_t length;
    char *csv = read_file("figures.csv", &length), *line = strchr(csv, '\n') + 1;
    for (size_t layer = 0; layer < 4; layer++)
        for (size_t head = 0; head < n_heads; head++) {
            double sinks = 0, lost3 = 0;
            for (size_t i = 0; i < n; i++, p += n) {
                double all = 0;
                for (size_t t = 0; t < n; t++) all += (double)p[t];
                assert_true(all > 1 - 1e-5 && all < 1 + 1e-5);
                for (size_t t = i + 1; t < n; t++) assert_true(p[t] == 0);
                sinks += (double)p[0] / (double)n;
                for (size_t t = 0; t + 3 <= i; t++) lost3 += (double)p[t] / (double)n;
            }
            const json_t *h = head_of(o, layer, head);
            const double got = json_number_value(json_array_get(json_object_get(h, "lost"), 0));
            assert_true(number(h, "sinks") - sinks < 1e-6 && sinks - number(h, "sinks") < 1e-6);
            assert_true(got - lost3 < 1e-6 && lost3 - got < 1e-6);
            char want[160];
            snprintf(want, sizeof want, "%zu,%zu,0,%.9g,%.9g,%.9g,", layer, head, number(h, "entropy_bits"),
                     number(h, "self"), number(h, "previous"));
            if (strncmp(line, want, strlen(want)) != 0) fail_msg("%.80s, not %s", line, want);
            line = strchr(line, '\n') + 1;
        }
    assert_int_equal(*line, 0);
    assert_int_equal(strncmp(csv, "layer,head,window,entropy_bits,", 31), 0);
    json_decref(o);
    free(csv);
    free(npy);
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");
    fputs(text, file);
    fclose(file);
}

static void expect_documents(const json_t *o, const char *const *names, size_t n)
{
    const json_t *documents = json_object_get(o, "documents");
    assert_int_equal(json_array_size(documents), n);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *document = json_array_get(documents, i);
        assert_string_equal(json_string_value(json_object_get(document, "name")), names[i]);
        assert_int_equal((size_t)number(document, "first"), at);
        at += (size_t)number(document, "tokens");
    }
    assert_int_equal((size_t)number(o, "tokens"), at);
    const json_t *shares = json_object_get(head_of(o, 0, 0), "documents");
    for (size_t from = 0; n > 1 && from < n; from++) {
        double all = 0;
        for (size_t on = 0; on < n; on++)
            all += json_number_value(json_array_get(json_array_get(shares, from), on));
        assert_true(all > 1 - 1e-5 && all < 1 + 1e-5);
    }
}

static void documents(void **state)
{
    (void)state;
    write_text("one", "The cat.\n===\nThe dog sat.\n===\n");
    write_text("two", "A house stood there.");
    json_t *o =
        report(ARGS("inspect", "-m", tiny(), "-f", in_folder("one"), "-f", in_folder("two"), "--json"));
    expect_documents(o, ARGS("one", "two"), 2);
    json_decref(o);
    o = report(ARGS("inspect", "-m", tiny(), "-f", in_folder("one"), "-f", in_folder("two"), "--separator",
                    "===\n", "--json"));
    expect_documents(o, ARGS("one 1", "one 2", "two"), 3);
    json_decref(o);
    o = report(
        ARGS("inspect", "-m", tiny(), "-f", in_folder("one"), "-f", in_folder("two"), "-n", "4", "--json"));
    assert_int_equal((int)number(o, "tokens"), 4);
    expect_documents(o, ARGS("one"), 1);
    json_decref(o);
}

static size_t occurrences(const char *text, const char *word)
{
    size_t n = 0;
    for (; (text = strstr(text, word)); text += strlen(word)) n++;
    return n;
}

static void page_and_pictures(void **state)
{
    (void)state;
    mkdir(in_folder("maps"), 0700);
    drive_result r =
        good(ARGS("inspect", "-m", tiny(), "-p", TEXT, "--html", in_folder("page.html"), "--png",
                  in_folder("sheet.png"), "--maps", in_folder("maps"), "--layers", "1,3", "--heads", "2"));
    assert_non_null(strstr(r.out, "same as"));
    assert_int_equal(occurrences(r.out, "\n    0    all    0 "), 1);
    drive_free(&r);
    size_t n;
    char *page = read_file("page.html", &n);
    assert_int_equal(occurrences(page, "class=\"head\""), 2);
    assert_int_equal(occurrences(page, "alt=\"attention map of layer 3, head 2\""), 1);
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_int_equal(occurrences(page, "script-src 'sha256-"), 1);
    /* Loads nothing, from nowhere; the text is text. */
    assert_int_equal(occurrences(page, "src=\""), occurrences(page, "src=\"data:image/png;base64,"));
    assert_int_equal(occurrences(page, "http"),
                     occurrences(page, "http-equiv") + occurrences(page, "http://www.w3.org/1999/xhtml"));
    assert_int_equal(occurrences(page, "<cat"), 0);
    assert_non_null(strstr(page, "&lt;"));
    const char *script = strstr(page, "<script>") + strlen("<script>");
    const size_t length = (size_t)(strstr(page, "</script>") - script);
    assert_null(memchr(script, '<', length));
    assert_null(memchr(script, '&', length));
    free(page);
    static const char *const pictures[] = {"sheet.png", "maps/layer-01-head-02.png",
                                           "maps/layer-03-head-02.png"};
    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        char *png = read_file(pictures[i], &n);
        assert_true(n > 100);
        assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
        free(png);
    }
    assert_int_not_equal(access(in_folder("maps/layer-01-head-01.png"), F_OK), 0);
}

static void refuse(const char *const *args, const char *said)
{
    const drive_options none = {0};
    drive_result r = drive(args, &none);
    assert_true(drive_failed_well(args, &r));
    assert_int_equal(r.code, 1);
    if (!strstr(r.err, said)) fail_msg("%s doesn't say: %s", r.err, said);
    drive_free(&r);
}

static void refusals(void **state)
{
    (void)state;
    const char *model = tiny();
    write_text("empty", "");
    char *much = malloc(9001);
    memset(much, 'x', 9000);
    for (size_t i = 0; i < 9000; i += 2) much[i] = ' ';
    much[9000] = 0;
    write_text("long", much);
    free(much);
    refuse(ARGS("inspect", "-m", model, "-f", in_folder("long")), "more than the model's context of 2048");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "-c", "3"), "more than the -c of 3");
    refuse(ARGS("inspect", "-m", model, "-f", in_folder("one"), "-f", in_folder("empty")), "without a token");
    refuse(ARGS("inspect", "-m", model, "-f", in_folder("absent")), "No such file");
    refuse(ARGS("inspect", "-m", model, "-f", folder), "directory");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--layers", "4"), "there is no layer 4");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--heads", "1,9"), "there is no head 9");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--csv", in_folder("no/such")), "no/such");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--npy", folder), "not a regular file");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--html", in_folder("no/such")), "no/such");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--png", in_folder("no/such")), "no/such");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--maps", in_folder("no")), "layer-00-head-00.png");
    refuse(ARGS("inspect", "-m", model, "-p", TEXT, "--npy", "/dev/full"), "/dev/full");
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms_agree), cmocka_unit_test(documents),
                                       cmocka_unit_test(page_and_pictures), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
