/* mqa compare: its table, objects, lines and picture; and command lines that are wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "drive.h"

/* A tiny model, planned for a machine of the table: nothing is calibrated. */
#define TINY                                                                                                 \
    "compare", "--layers", "2", "--embd", "64", "--ff", "96", "--heads", "16", "--head-dim", "32",           \
        "--vocab", "64", "--machine", "H100 SXM", "-t", "2", "-r", "1"
#define MAX_ARGS 48

static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mqa-cli-compare-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static drive_result good(const char *const *args)
{
    drive_result r = drive(args, NULL);
    if (r.code != 0) printf("code %d, signal %d, stderr: %s\n", r.code, r.signal, r.err);
    assert_int_equal(r.code, 0);
    return r;
}

/* The n-th line of stdout as an object. */
static json_t *object(const char **line)
{
    json_error_t error;
    const char *end = strchr(*line, '\n');
    assert_non_null(end);
    json_t *o = json_loadb(*line, (size_t)(end - *line), 0, &error);
    if (!o) printf("%s in %s\n", error.text, *line);
    assert_true(json_is_object(o));
    *line = end + 1;
    return o;
}

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_number(value)) printf("no number %s\n", key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void an_object_for_each_cell(void **state)
{
    (void)state;
    const char *const args[] = {TINY, "-c", "64,200", "--requests", "1,3", "--json", NULL};
    static const char *const keys[] = {
        "design",   "phase",        "context",    "requests",      "heads",   "kv_heads",
        "head_dim", "head_dim_v",   "parameters", "plan_kv_bytes", "plan_ms", "plan_tokens_per_s",
        "limit_ms", "bound",        "left_out",   "kv_bytes",      "ms",      "ms_best",
        "spread",   "tokens_per_s", "error",      "of_limit",      "runs"};
    static const char *const designs[] = {"MHA", "GQA-8", "GQA-4", "MQA", "MLA"};
    static const int values[] = {16 * 64, 8 * 64, 4 * 64, 64, 144}; /* of a token and layer */
    drive_result r = good(args);
    const char *line = r.out;
    for (int i = 0; i < 5 * 2 * 3; i++) {
        json_t *o = object(&line);
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (!json_object_get(o, keys[k])) fail_msg("no key %s", keys[k]);
        assert_int_equal(json_object_size(o), sizeof keys / sizeof keys[0]);
        assert_string_equal(json_string_value(json_object_get(o, "design")), designs[i % 5]);
        assert_string_equal(json_string_value(json_object_get(o, "phase")), i < 20 ? "decode" : "prompt");
        const double context = number(o, "context"), requests = number(o, "requests");
        const double bytes = requests * (context > 64 ? 256 : 64) * values[i % 5] * 2 * 2;
        assert_true(number(o, "kv_bytes") == bytes && number(o, "plan_kv_bytes") == bytes);
        const double ms = number(o, "ms"), tokens = i < 20 ? requests : context;
        assert_true(ms > 0 && number(o, "ms_best") <= ms);
        const double rate = number(o, "tokens_per_s") * ms / 1e3 / tokens;
        assert_true(rate > 0.999 && rate < 1.001);
        const double error = (number(o, "plan_ms") / ms - 1) - number(o, "error");
        assert_true(error > -1e-6 && error < 1e-6);
        json_decref(o);
    }
    json_t *o = object(&line);
    assert_true(number(o, "decode_error") >= 0 && number(o, "prompt_error") >= 0);
    assert_string_equal(json_string_value(json_object_get(o, "k_type")), "bf16");
    assert_string_equal(json_string_value(json_object_get(o, "designs_left_out")), "");
    json_decref(o);
    assert_string_equal(line, "");
    drive_free(&r);
}

static void a_table_says_what_is_left_out(void **state)
{
    (void)state;
    const char *const args[] = {
        TINY,       "-c",     "64,200",       "--requests", "1", "--designs", "mla,mqa,window",
        "--memory", "100KiB", "--no-prompts", NULL};
    drive_result r = good(args);
    assert_non_null(strstr(r.out, "a token for 1 request of 64"));
    assert_non_null(strstr(r.out, "left out: window"));
    assert_non_null(strstr(r.out, "more than --memory"));
    assert_non_null(strstr(r.out, "the plan is off by"));
    assert_null(strstr(r.out, "prompt of"));
    assert_int_equal(r.n_err, 0);
    drive_free(&r);
}

static size_t read_file(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(out, 1, size - 1, file);
    out[n] = 0;
    fclose(file);
    return n;
}

static void lines_and_a_picture(void **state)
{
    (void)state;
    char csv[96], png[96], text[8192];
    snprintf(csv, sizeof csv, "%s/out.csv", folder);
    snprintf(png, sizeof png, "%s/out.png", folder);
    const char *const args[] = {TINY, "-c", "64,200", "--requests", "1", "--csv", csv, "--png", png, NULL};
    drive_result r = good(args);
    drive_free(&r);
    read_file(csv, text, sizeof text);
    int lines = 0, commas = 0;
    for (const char *p = text; *p; p++) {
        lines += *p == '\n';
        commas += *p == ',';
    }
    assert_int_equal(lines, 1 + 5 * 2 * 2);
    assert_int_equal(commas, lines * 16);
    assert_true(read_file(png, text, sizeof text) > 1000);
    assert_memory_equal(text, "\x89PNG\r\n", 6);
    assert_int_equal(unlink(csv) | unlink(png), 0);
}

/* A file's own layers; its tensors are what heads are made of. */
static void a_models_own_layers(void **state)
{
    (void)state;
    const char *path = drive_tiny_model();
    if (!path) skip();
    const char *const args[] = {"compare", "-m",           path,         "--machine", "H100 SXM",
                                "-c",      "64",           "--requests", "1",         "-r",
                                "1",       "--no-prompts", "--json",     "--designs", "as-is,mha,gqa-4,mla",
                                NULL};
    drive_result r = good(args);
    const char *line = r.out;
    static const double kv_heads[] = {1, 4, 1};
    for (int i = 0; i < 3; i++) {
        json_t *o = object(&line);
        assert_true(number(o, "kv_heads") == kv_heads[i]);
        json_decref(o);
    }
    json_t *o = object(&line);
    assert_non_null(strstr(json_string_value(json_object_get(o, "designs_left_out")), "GQA-4: the same"));
    json_decref(o);
    drive_free(&r);
}

static void wrong_lines_are_refused(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *args[8];
        const char *says;
    } cases[] = {{2, {"word"}, "word"},
                 {2, {"--designs", "mha,walk"}, "walk"},
                 {2, {"--designs", "mha,mha"}, "twice"},
                 {2, {"--designs", ""}, "designs"},
                 {2, {"-c", "64,32"}, "ascending"},
                 {2, {"-c", "0"}, "contexts"},
                 {2, {"-c", "999999999999999999"}, "contexts"},
                 {2, {"--requests", "5000"}, "requests"},
                 {2, {"--requests", "2,2"}, "ascending"},
                 {2, {"-r", "65"}, "rounds"},
                 {2, {"--calibrate", "--machine", "H100 SXM"}, "give one of them"},
                 {2, {"--layers", "0"}, "layers"},
                 {2, {"--heads", "-1"}, "heads"},
                 {2, {"--memory", "much"}, "memory"},
                 {2, {"--weights", "f7"}, "weights"},
                 {2, {"--machine", "abacus"}, "machine"},
                 {2, {"--kv-type", "f7"}, "kv-type"},
                 {1, {"--weights", "q4_k"}, "Q4_K"},
                 {1, {"--embd", "33"}, "multiples"},
                 {1, {"--embd", "65536", "--ff", "1048576"}, "too many"},
                 {1, {"--designs", "window"}, "nothing to compare"},
                 {1, {"-m", "/nonexistent/model.gguf"}, "/nonexistent"},
                 {1, {"-m", "/dev/null"}, "/dev/null"},
                 {1, {"--csv", "/nonexistent/out"}, "/nonexistent/out"},
                 {1, {"--png", "/nonexistent/out"}, "/nonexistent/out"}};
    const char *const tiny[] = {TINY, "-c", "64", "--requests", "1", "--no-prompts"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *args[MAX_ARGS] = {NULL};
        size_t n = sizeof tiny / sizeof tiny[0];
        memcpy(args, tiny, sizeof tiny);
        for (int k = 0; cases[i].args[k]; k++) args[n++] = cases[i].args[k];
        drive_result r = drive(args, NULL);
        if (!drive_failed_well(args, &r) || r.code != cases[i].code || !strstr(r.err, cases[i].says))
            fail_msg("case %zu: code %d: %s", i, r.code, r.err);
        drive_free(&r);
    }
}

static void ctrl_c_ends_it(void **state)
{
    (void)state;
    const char *const args[] = {"compare", "--machine", "H100 SXM",   "--layers", "8",
                                "-c",      "4096",      "--requests", "1,4",      NULL};
    drive_result r = drive(args, &(drive_options){.interrupt_ms = 700});
    assert_int_equal(r.code, 130);
    assert_non_null(strstr(r.err, "interrupted"));
    assert_int_equal(r.n_out, 0);
    drive_free(&r);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_for_each_cell), cmocka_unit_test(a_table_says_what_is_left_out),
        cmocka_unit_test(lines_and_a_picture),     cmocka_unit_test(a_models_own_layers),
        cmocka_unit_test(wrong_lines_are_refused), cmocka_unit_test(ctrl_c_ends_it),
    };
    return cmocka_run_group_tests_name("mqa compare", tests, setup, teardown);
}
