/* mqa plan: what it takes, in which order, and the keys of what it prints.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "drive.h"

#define ARGS(...)    ((const char *const[]){__VA_ARGS__, NULL})
#define CONFIG(name) MQA_SOURCE "/tests/planner/data/" name ".json"
#define SCENARIO     MQA_SOURCE "/examples/scenarios/one-kv-head.scenario"

static drive_result good(const char *const *args)
{
    drive_result r = drive(args, &(drive_options){0});
    if (r.code != 0) fail_msg("code %d, signal %d, stderr: %s", r.code, r.signal, r.err);
    assert_int_equal(r.n_err, 0);
    return r;
}

/* Line i of stdout as an object. */
static json_t *object(const drive_result *r, int i)
{
    const char *line = r->out;
    for (; i > 0; i--) {
        line = strchr(line, '\n');
        assert_non_null(line);
        line++;
    }
    json_error_t error;
    json_t *o = json_loads(line, JSON_DISABLE_EOF_CHECK, &error);
    if (!json_is_object(o)) fail_msg("%s in %s", error.text, line);
    return o;
}

static json_int_t integer(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_integer(value)) fail_msg("%s is no integer", key);
    return json_integer_value(value);
}

static const char *text(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    if (!value) fail_msg("%s is no text", key);
    return value;
}

static int count_lines(const char *out)
{
    int n = 0;
    for (; (out = strchr(out, '\n')); out++) n++;
    return n;
}

/* The keys are an interface. */
static void keys(void **state)
{
    (void)state;
    static const char *const in_all[] = {"design",
                                         "model",
                                         "arch",
                                         "machine",
                                         "calibrated",
                                         "context",
                                         "requests",
                                         "generate",
                                         "shared",
                                         "k_type",
                                         "v_type",
                                         "weights",
                                         "parameters",
                                         "active_parameters",
                                         "weights_bytes",
                                         "kv_bytes_per_token",
                                         "kv_bytes_growth",
                                         "kv_request_bytes",
                                         "kv_bytes",
                                         "kv_saved_bytes",
                                         "kv_peak_bytes",
                                         "work_bytes",
                                         "peak_bytes",
                                         "memory_bytes",
                                         "fits",
                                         "max_requests",
                                         "max_context",
                                         "prompt_ms",
                                         "ms_per_token",
                                         "tokens_per_s",
                                         "bound",
                                         "meets_speed",
                                         "kv_by_kind",
                                         "kv_request_by_type",
                                         "weights_by_type",
                                         "prompt",
                                         "token",
                                         "verdict"};
    drive_result r =
        good(ARGS("plan", CONFIG("llama-3-8b"), "--machine", "h100 sxm", "--context", "4096,60000",
                  "--requests", "4", "--kv-type", "int8", "--memory", "40GiB", "--json"));
    assert_int_equal(count_lines(r.out), 2 * 6);
    for (int i = 0; i < 12; i++) {
        json_t *o = object(&r, i);
        for (size_t k = 0; k < sizeof in_all / sizeof in_all[0]; k++)
            if (!json_object_get(o, in_all[k])) fail_msg("no key %s", in_all[k]);
        assert_true((json_object_get(o, "tenants") != NULL) == (i < 2));
        assert_true((json_object_get(o, "changes") != NULL) == (i < 2));
        assert_int_equal(integer(o, "memory_bytes"), (json_int_t)40 << 30);
        json_decref(o);
    }
    json_t *o = object(&r, 1);
    assert_string_equal(text(o, "design"), "as is, GQA-8");
    assert_string_equal(text(o, "model"), "llama-3-8b");
    assert_int_equal(integer(o, "context"), 60000);
    assert_int_equal(integer(o, "parameters"), 8030261248);
    assert_int_equal(integer(o, "kv_bytes_per_token"),
                     32 * 8 * 2 * (128 + 4)); /* a scale for each token and head */
    assert_int_equal(integer(o, "kv_bytes"), (json_int_t)4 * 60032 * 67584);
    json_decref(o);
    drive_free(&r);
}

/* What the command line says goes before what a scenario says. */
static void options_first(void **state)
{
    (void)state;
    drive_result r =
        good(ARGS("plan", SCENARIO, "--json", "--context", "1000", "--requests", "3", "--weights", "q4_k",
                  "--machine", "H200", "--designs", "mqa", "-ctv", "f32", "--generate", "7"));
    assert_int_equal(count_lines(r.out), 2);
    json_t *o = object(&r, 1);
    assert_string_equal(text(o, "design"), "MQA");
    assert_string_equal(text(o, "machine"), "H200");
    assert_string_equal(text(o, "weights"), "q4_k");
    assert_string_equal(text(o, "k_type"), "bf16");
    assert_string_equal(text(o, "v_type"), "f32");
    assert_int_equal(integer(o, "context"), 1000);
    assert_int_equal(integer(o, "requests"), 3);
    assert_int_equal(integer(o, "generate"), 7);
    json_decref(o);
    drive_free(&r);
}

/* A shape and a machine of figures alone: nothing is measured, nothing limits it. */
static void figures_alone(void **state)
{
    (void)state;
    drive_result r =
        good(ARGS("plan", "--layers", "32", "--heads", "32", "--kv-heads", "1", "--embd", "4096", "--vocab",
                  "1000", "--bandwidth", "1TB/s", "--flops", "100TFLOP/s", "--json", "--designs", "as-is"));
    json_t *o = object(&r, 0);
    assert_true(json_is_null(json_object_get(o, "max_requests")));
    assert_true(json_is_null(json_object_get(o, "memory_bytes")));
    assert_true(json_is_true(json_object_get(o, "fits")));
    assert_true(json_is_false(json_object_get(o, "calibrated")));
    assert_int_equal(integer(o, "context"), 4096);
    assert_int_equal(integer(o, "kv_bytes_per_token"), 32 * 2 * 128 * 2);
    json_decref(o);
    drive_free(&r);
}

static void other_forms(void **state)
{
    (void)state;
    drive_result r = good(ARGS("plan", SCENARIO));
    assert_non_null(strstr(r.out, "MHA"));
    assert_non_null(strstr(r.out, "do not fit"));
    assert_non_null(strstr(r.out, "What helps most"));
    drive_free(&r);
    r = good(ARGS("plan", SCENARIO, "--csv"));
    assert_int_equal(count_lines(r.out), 13); /* six designs, two contexts, a head */
    assert_int_equal(strncmp(r.out, "design,context,requests,", 24), 0);
    drive_free(&r);
    r = good(ARGS("plan", "--machine", "list"));
    assert_non_null(strstr(r.out, "Raspberry Pi 5"));
    drive_free(&r);
    r = good(ARGS("plan", "--machine", "list", "--json"));
    json_t *o = object(&r, 3);
    assert_string_equal(text(o, "machine"), "H100 SXM");
    json_decref(o);
    drive_free(&r);
    r = good(ARGS("help", "plan"));
    assert_non_null(strstr(r.out, "--calibrate"));
    drive_free(&r);
}

/* A GGUF's weights are those that mqa holds in memory. */
static void gguf(void **state)
{
    (void)state;
    const char *tiny = drive_tiny_model();
    if (!tiny) skip();
    drive_result r = good(ARGS("plan", tiny, "--machine", "L4", "--json"));
    json_t *o = object(&r, 0);
    assert_string_equal(text(o, "arch"), "llama");
    assert_true(integer(o, "weights_bytes") > 0);
    json_decref(o);
    drive_free(&r);
}

/* Scenarios that are wrong say where. */
static void wrong_scenario(void **state)
{
    (void)state;
    static const char path[] = "wrong.scenario";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("[model]\nlayers = 4\nheads = 4\nembd = 64\n[demand]\ncontexts = 5\n", file);
    fclose(file);
    const char *const *args = ARGS("plan", path, "--machine", "L4");
    drive_result r = drive(args, &(drive_options){0});
    assert_true(drive_failed_well(args, &r));
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(r.err, "wrong.scenario, line 6: no key 'contexts'"));
    drive_free(&r);
    remove(path);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys),          cmocka_unit_test(options_first),
                                       cmocka_unit_test(figures_alone), cmocka_unit_test(other_forms),
                                       cmocka_unit_test(gguf),          cmocka_unit_test(wrong_scenario)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
