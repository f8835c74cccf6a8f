/* Good command lines: output, exit codes and the keys of JSON objects.
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

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static drive_result good(const char *const *args, const drive_options *options)
{
    drive_result r = drive(args, options);
    if (r.code != 0) printf("code %d, signal %d, stderr: %s\n", r.code, r.signal, r.err);
    assert_int_equal(r.code, 0);
    return r;
}

/* The only line of stdout as an object with exactly the keys of the list (among others where open). */
static json_t *object(const drive_result *r, const char *const *keys)
{
    char *newline = strchr(r->out, '\n');
    assert_non_null(newline);
    assert_int_equal(newline[1], 0);
    json_error_t error;
    json_t *o = json_loads(r->out, 0, &error);
    if (!o) printf("%s in %s\n", error.text, r->out);
    assert_true(json_is_object(o));
    for (int i = 0; keys[i]; i++) {
        if (!json_object_get(o, keys[i])) printf("no key %s in %s\n", keys[i], r->out);
        assert_non_null(json_object_get(o, keys[i]));
    }
    return o;
}

static const char *tiny(void)
{
    const char *path = drive_tiny_model();
    if (!path) skip();
    return path;
}

static void help_and_version(void **state)
{
    (void)state;
    static const char *const lines[][4] = {{"--help"},
                                           {"-h"},
                                           {"help"},
                                           {"--version"},
                                           {"help", "run"},
                                           {"run", "--help"},
                                           {"help", "bench"},
                                           {"info", "-h"},
                                           {"help", "tokenize"},
                                           {"help", "detokenize"},
                                           {"help", "perplexity"},
                                           {"help", "bench", "model"},
                                           {"help", "bench", "attention"},
                                           {"bench", "roofline", "--help"},
                                           {"bench", "-h"}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        drive_result r = good(lines[i], NULL);
        assert_true(r.n_out > 3);
        assert_int_equal(r.n_err, 0);
        drive_free(&r);
    }
}

static void bench_attention(void **state)
{
    (void)state;
    static const char *const types[] = {"f32", "bf16", "int8", "f16", "fp8_e4m3", "fp8_e5m2", "int4"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        drive_result r =
            good(ARGS("bench", "attention", "--heads", "8", "--head-dim", "64", "--context", "300",
                      "--queries", "3", "--kv-type", types[i], "-t", "2", "-r", "3", "--json"),
                 NULL);
        json_t *o = object(&r, ARGS("bench", "heads", "kv_heads", "head_dim", "context", "queries", "kv_type",
                                    "threads", "ms", "gflops", "gbps", "limit_ms", "of_limit"));
        assert_string_equal(json_string_value(json_object_get(o, "bench")), "attention");
        assert_string_equal(json_string_value(json_object_get(o, "kv_type")), types[i]);
        double ms = json_real_value(json_object_get(o, "ms")),
               gflops = json_real_value(json_object_get(o, "gflops"));
        /* 3 queries see 298, 299 and 300 keys: 4 * 8 * 64 * 897 operations */
        assert_true(ms > 0 && gflops > 0);
        assert_true(ms * gflops * 1e6 > 0.999 * 4 * 8 * 64 * 897 &&
                    ms * gflops * 1e6 < 1.001 * 4 * 8 * 64 * 897);
        json_decref(o);
        drive_free(&r);
    }
}

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_number(value)) printf("no number %s\n", key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void close_to(double x, double y)
{
    if (!(x > y * 0.9999 && x < y * 1.0001)) printf("%.9g, not %.9g\n", x, y);
    assert_true(x > y * 0.9999 && x < y * 1.0001);
}

/* What each kind of work takes at least, counted by hand. */
static void bench_attention_works(void **state)
{
    (void)state;
    static const struct {
        const char *args[20];
        double pairs, dims, tokens, token_bytes; /* (query, key) pairs; K's and V's; of K and V to be read */
    } works[] = {
        /* a prompt: 1 + 2 + ... + 100 keys */
        {{"--prefill", "--context", "100"}, 5050, 32, 100, 32 * 2},
        /* a window of 10: 1 + ... + 9, then 91 times 10 */
        {{"--prefill", "--context", "100", "--window", "10"}, 45 + 910, 32, 100, 32 * 2},
        /* three tokens that ask see 18 keys between them */
        {{"--queries", "3", "--context", "100", "--window", "16"}, 3 * 16, 32, 18, 32 * 2},
        {{"--context", "100", "--head-dim-v", "32", "-ctk", "int8"}, 100, 48, 100, 16 + 4 + 32 * 2},
        {{"--context", "100", "--head-dim", "32", "--head-dim-v", "16", "--v-in-k"}, 100, 48, 100, 32 * 2},
        {{"--context", "100,200,40"}, 340, 32, 340, 32 * 2},
        /* 70 of 80 tokens are the same for all five */
        {{"--context", "80", "--requests", "5", "--shared", "70"}, 400, 32, 70 + 5 * 10, 32 * 2},
        /* of which a window of 20 shows 10 */
        {{"--context", "80", "--requests", "5", "--shared", "70", "--window", "20"}, 100, 32, 60, 32 * 2},
    };
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        const char *args[40] = {"bench", "attention", "--heads", "4", "--head-dim", "16",
                                "-r",    "1",         "-t",      "1", "--json"};
        for (int j = 0; works[i].args[j]; j++) args[11 + j] = works[i].args[j];
        drive_result r = good(args, NULL);
        json_t *o = object(&r, ARGS("contexts", "head_dim_v", "v_in_k", "requests", "shared", "window", "isa",
                                    "numerics", "limit_gbps", "limit_gflops", "limit_gexps", "ms_best",
                                    "repetitions"));
        close_to(number(o, "ops"), 2 * 4 * works[i].pairs * works[i].dims);
        close_to(number(o, "bytes"), works[i].tokens * works[i].token_bytes);
        close_to(number(o, "exponentials_ms") * number(o, "limit_gexps") * 1e6, 4 * works[i].pairs);
        close_to(number(o, "bandwidth_ms") * number(o, "limit_gbps") * 1e6, number(o, "bytes"));
        close_to(number(o, "arithmetic_ms") * number(o, "limit_gflops") * 1e6, number(o, "ops"));
        assert_true(number(o, "plan_ms") > 0 && number(o, "append_ms") > 0);
        /* the limit is the largest, under its name */
        char key[32];
        snprintf(key, sizeof key, "%s_ms", json_string_value(json_object_get(o, "bound")));
        close_to(number(o, "limit_ms"), number(o, key));
        static const char *const bounds[] = {"bandwidth_ms", "arithmetic_ms", "exponentials_ms"};
        for (int j = 0; j < 3; j++) assert_true(number(o, bounds[j]) <= number(o, "limit_ms"));
        json_decref(o);
        drive_free(&r);
    }
}

/* A value of the random streams, which other programs draw too (bench.h). */
static float drawn(uint64_t stream, uint64_t i)
{
    uint64_t z = (stream << 40) + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)((z ^ z >> 31) >> 40) * 0x1p-23f - 1.0f;
}

/* Two requests: one has the shared token alone, the other one more and a window of 1. So each has one V. */
static void bench_attention_dump(void **state)
{
    (void)state;
    char path[] = "/tmp/mqa-test-dump-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const drive_options options = {.input = "\n\n"};
    drive_result r = good(ARGS("bench", "attention", "--heads", "6", "--kv-heads", "2", "--head-dim", "3",
                               "--head-dim-v", "5", "--context", "1,2", "--shared", "1", "--window", "1",
                               "--kv-type", "f32", "--dump", path, "--by-line", "-r", "2", "--json"),
                          &options);
    float out[2 * 6 * 5 + 1];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(out, sizeof *out, 2 * 6 * 5 + 1, f), 2 * 6 * 5);
    fclose(f);
    remove(path);
    for (int request = 0; request < 2; request++)
        for (int head = 0; head < 6; head++)
            for (int i = 0; i < 5; i++) {
                const uint64_t kv_head = (uint64_t)head / 3, column = (uint64_t)i;
                /* the shared tokens are sequence 2, the second request's own sequence 1, from token 1 on */
                const float v =
                    request == 0 ? drawn(6, kv_head * 5 + column) : drawn(4, 1 * 10 + kv_head * 5 + column);
                assert_true(out[(request * 6 + head) * 5 + i] == v);
            }
    /* a line for each of the input's, then the whole */
    int lines = 0;
    char *last = r.out;
    for (char *p = r.out; (p = strchr(p, '\n')); p++) {
        lines++;
        if (p[1]) last = p + 1;
    }
    assert_int_equal(lines, 3);
    assert_non_null(strstr(r.out, "\"ms\""));
    json_t *o = json_loads(last, 0, NULL);
    assert_true(number(o, "repetitions") == 4);
    assert_true(number(o, "context") == 2);
    json_decref(o);
    drive_free(&r);
}

static void forced_isa(void **state)
{
    (void)state;
    const drive_options options = {.environment = "MQA_ISA=reference"};
    drive_result r = good(ARGS("bench", "attention", "--heads", "2", "--head-dim", "16", "--context", "64",
                               "-r", "1", "--numerics", "portable", "--json"),
                          &options);
    json_t *o = object(&r, ARGS("recipe"));
    assert_string_equal(json_string_value(json_object_get(o, "recipe")), "portable/2");
    json_decref(o);
    drive_free(&r);
}

static void closed_pipe(void **state)
{
    (void)state;
    const drive_options options = {.closed_output = true};
    drive_result r = drive(ARGS("--help"), &options);
    assert_int_equal(r.code, 1);
    assert_int_equal(r.n_err, 0);
    drive_free(&r);
}

static void info_of_file(void **state)
{
    (void)state;
    const char *path = tiny();
    drive_result r = good(ARGS("info", path, "--tensors"), NULL);
    assert_non_null(strstr(r.out, "KV cache"));
    drive_free(&r);
    r = good(ARGS("info", "--json", path), NULL);
    json_decref(object(&r, ARGS("file", "version", "arch", "parameters", "tensors", "metadata")));
    drive_free(&r);
}

static void tokens_there_and_back(void **state)
{
    (void)state;
    const char *path = tiny();
    static const char text[] = "Once there was a small boat, and the sea was calm.";
    drive_result ids = good(ARGS("tokenize", "-m", path, "-p", text), NULL);
    const drive_options options = {.input = ids.out};
    drive_result back = good(ARGS("detokenize", "-m", path), &options);
    assert_string_equal(back.out, text);
    drive_free(&back);
    drive_free(&ids);
    ids = good(ARGS("tokenize", "-m", path, "-p", text, "--json"), NULL);
    json_t *o = object(&ids, ARGS("ids", "tokens"));
    assert_int_equal(json_array_size(json_object_get(o, "ids")),
                     json_integer_value(json_object_get(o, "tokens")));
    json_decref(o);
    drive_free(&ids);
}

static void run_as_json(void **state)
{
    (void)state;
    const char *path = tiny();
    static const char *const keys[] = {"text",
                                       "prompt_tokens",
                                       "generated_tokens",
                                       "prompt_tokens_per_s",
                                       "generated_tokens_per_s",
                                       "kv_bytes",
                                       "kv_bytes_multi_head",
                                       "recipe",
                                       "seed",
                                       NULL};
    char *first = NULL;
    for (int i = 0; i < 3; i++) { /* the same seed gives the same text, whatever the threads and the stream */
        drive_result r = good(ARGS("run", "-m", path, "-p", "Once", "-n", "12", "-s", "7", "-t",
                                   i == 1 ? "2" : "1", i == 2 ? "--top-k=40" : "--json"),
                              NULL);
        if (i == 2) {
            size_t n = strlen(first);
            assert_memory_equal(r.out, first, n);
            assert_true(r.n_out == n || (r.n_out == n + 1 && r.out[n] == '\n'));
            assert_non_null(strstr(r.err, "as multi-head it would be"));
        } else {
            assert_int_equal(r.n_err, 0);
            json_t *o = object(&r, keys);
            const char *text = json_string_value(json_object_get(o, "text"));
            assert_true(json_integer_value(json_object_get(o, "generated_tokens")) <= 12);
            assert_true(json_integer_value(json_object_get(o, "kv_bytes")) > 0);
            if (first) assert_string_equal(text, first);
            if (!first) first = strdup(text);
            json_decref(o);
        }
        drive_free(&r);
    }
    free(first);
}

static void run_from_stdin(void **state)
{
    (void)state;
    const char *path = tiny();
    const drive_options options = {.input = "Once upon a time\n"};
    drive_result in = good(ARGS("run", "-m", path, "-n", "8", "--temp", "0"), &options);
    drive_result arg =
        good(ARGS("run", "-m", path, "-n", "8", "--temp", "0", "-p", "Once upon a time"), NULL);
    assert_string_equal(in.out, arg.out);
    drive_free(&in);
    drive_free(&arg);
}

static void prompt_beyond_context(void **state)
{
    (void)state;
    const char *path = tiny();
    const char *const *args =
        ARGS("run", "-m", path, "-c", "4", "-p", "one two three four five six seven eight nine");
    drive_result r = drive(args, NULL);
    assert_true(drive_failed_well(args, &r));
    assert_int_equal(r.code, 1);
    drive_free(&r);
}

static void context_ends_generation(void **state)
{
    (void)state;
    const char *path = tiny();
    drive_result r = good(ARGS("run", "-m", path, "-c", "16", "-p", "Once", "--json", "-s", "1"), NULL);
    json_t *o = object(&r, ARGS("generated_tokens"));
    assert_true(json_integer_value(json_object_get(o, "generated_tokens")) +
                    json_integer_value(json_object_get(o, "prompt_tokens")) <=
                17);
    json_decref(o);
    drive_free(&r);
}

/* A file of this text, under a name from mkstemp. */
static void write_file(char *path, const char *text)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Whatever the model would like to say: small numbers that differ by the seed, in JSON. */
static void run_by_schema(void **state)
{
    (void)state;
    const char *path = tiny();
    char schema[] = "/tmp/mqa-test-schema-XXXXXX";
    write_file(schema, "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":7,"
                       "\"maximum\":25}},\"required\":[\"n\"],\"additionalProperties\":false}");
    const char *seeds[] = {"1", "2", "3", "4"};
    for (int i = 0; i < 6; i++) {
        drive_result r =
            good(ARGS("run", "-m", path, "-p", "Once", "--json-schema", schema, "-s", seeds[i % 4], "--temp",
                      i < 4 ? "1" : "0", i == 5 ? "-n1" : "-n60", "--json"),
                 NULL);
        json_t *o = object(&r, ARGS("text", "complete"));
        json_t *made = json_loads(json_string_value(json_object_get(o, "text")), 0, NULL);
        const json_int_t n = json_integer_value(json_object_get(made, "n"));
        assert_int_equal(json_is_true(json_object_get(o, "complete")), i < 5);
        assert_true(i == 5 ? !made : json_object_size(made) == 1 && n >= 7 && n <= 25);
        json_decref(made);
        json_decref(o);
        drive_free(&r);
    }
    remove(schema);
}

static void run_by_grammar(void **state)
{
    (void)state;
    const char *path = tiny();
    char grammar[] = "/tmp/mqa-test-grammar-XXXXXX";
    write_file(grammar, "root ::= \"Zyx\" [0-9]{3} \"\\n\"");
    drive_result r = good(ARGS("run", "-m", path, "-p", "Once", "--grammar", grammar, "-n", "30"), NULL);
    assert_int_equal(r.n_out, 7);
    assert_memory_equal(r.out, "Zyx", 3);
    for (int i = 3; i < 6; i++) assert_in_range(r.out[i], '0', '9');
    assert_null(strstr(r.err, "cut short"));
    drive_free(&r);
    r = good(ARGS("run", "-m", path, "-p", "Once", "--grammar", grammar, "-n", "1"), NULL);
    assert_non_null(strstr(r.err, "cut short"));
    drive_free(&r);
    remove(grammar);
}

static void perplexity(void **state)
{
    (void)state;
    const char *path = tiny();
    char text[4096] = "";
    while (strlen(text) < 3000) strcat(text, "The cat sat on the mat and looked at the rain. ");
    const drive_options options = {.input = text};
    drive_result r = good(ARGS("perplexity", "-m", path, "-c", "64", "--json"), &options);
    json_t *o = object(&r, ARGS("perplexity", "tokens"));
    assert_true(json_real_value(json_object_get(o, "perplexity")) > 1);
    /* windows of 64 score positions 32 .. 62 */
    json_int_t tokens = json_integer_value(json_object_get(o, "tokens"));
    assert_true(tokens > 0 && tokens % 31 == 0);
    json_decref(o);
    drive_free(&r);
}

static void bench_model(void **state)
{
    (void)state;
    const char *path = tiny();
    drive_result r =
        good(ARGS("bench", "model", "-m", path, "-p", "16", "-n", "0", "-d", "8", "-r", "2", "--json"), NULL);
    json_t *o = object(&r, ARGS("bench", "test", "depth", "tokens_per_s"));
    assert_string_equal(json_string_value(json_object_get(o, "test")), "pp16");
    assert_int_equal(json_integer_value(json_object_get(o, "depth")), 8);
    json_decref(o);
    drive_free(&r);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(bench_attention),
        cmocka_unit_test(bench_attention_works),
        cmocka_unit_test(bench_attention_dump),
        cmocka_unit_test(forced_isa),
        cmocka_unit_test(closed_pipe),
        cmocka_unit_test(info_of_file),
        cmocka_unit_test(tokens_there_and_back),
        cmocka_unit_test(run_as_json),
        cmocka_unit_test(run_from_stdin),
        cmocka_unit_test(prompt_beyond_context),
        cmocka_unit_test(context_ends_generation),
        cmocka_unit_test(run_by_schema),
        cmocka_unit_test(run_by_grammar),
        cmocka_unit_test(perplexity),
        cmocka_unit_test(bench_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
