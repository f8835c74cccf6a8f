/* mqa batch: answers in OpenAI's form, restarts, and lines that are wrong.
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

static char folder[64], input[96], output[96];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mqa-batch-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(input, sizeof input, "%s/in.jsonl", folder);
    snprintf(output, sizeof output, "%s/in.out.jsonl", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(input);
    unlink(output);
    return rmdir(folder);
}

static const char *tiny(void)
{
    const char *path = drive_tiny_model();
    if (!path) skip();
    return path;
}

static void write_file(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    static char text[1 << 20];
    *n = fread(text, 1, sizeof text - 1, f);
    text[*n] = 0;
    fclose(f);
    return text;
}

/* The output by custom_id. */
static json_t *answers(void)
{
    size_t n;
    json_t *all = json_object();
    for (char *line = read_file(output, &n), *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        json_t *answer = json_loadb(line, (size_t)(end - line), 0, NULL);
        const char *id = json_string_value(json_object_get(answer, "custom_id"));
        assert_non_null(id);
        assert_null(json_object_get(all, id));
        assert_true(json_is_null(json_object_get(answer, "error")));
        json_object_set_new(all, id, answer);
    }
    return all;
}

static int status_of(const json_t *all, const char *id)
{
    const json_t *answer = json_object_get(all, id);
    assert_non_null(answer);
    return (int)json_integer_value(json_object_get(json_object_get(answer, "response"), "status_code"));
}

static json_t *body_of(const json_t *all, const char *id)
{
    return json_object_get(json_object_get(json_object_get(all, id), "response"), "body");
}

static json_t *choice_of(const json_t *all, const char *id, size_t index)
{
    json_t *choice = json_array_get(json_object_get(body_of(all, id), "choices"), index);
    assert_int_equal(json_integer_value(json_object_get(choice, "index")), index);
    return choice;
}

static const char *text_of(const json_t *all, const char *id, size_t index)
{
    const char *text = json_string_value(json_object_get(choice_of(all, id, index), "text"));
    assert_non_null(text);
    return text;
}

#define LINE(id, url, body)                                                                                  \
    "{\"custom_id\": \"" id "\", \"method\": \"POST\", \"url\": \"/v1/" url "\", \"body\": {" body "}}\n"
#define GREEDY "\"prompt\": \"The licenses for most software\", \"temperature\": 0"

static const char requests[] = LINE("greedy", "completions", GREEDY ", \"max_tokens\": 24") LINE(
    "again", "completions", GREEDY ", \"max_tokens\": 24, \"logprobs\": 2")
    LINE("ids", "completions", "\"prompt\": [5, 6, 7, 8], \"seed\": 3, \"max_tokens\": 5") "\n" LINE(
        "three", "completions", "\"prompt\": \"The\", \"n\": 3, \"seed\": 1, \"max_tokens\": 8")
        LINE("chat", "chat/completions",
             "\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Hello\"}]}],"
             "\"max_completion_tokens\": 6, \"ignore_eos\": true, \"logprobs\": true, \"top_logprobs\": 3")
            LINE("bias", "completions",
                 GREEDY ", \"max_tokens\": 3, \"logit_bias\": {\"65\": 100}, \"logprobs\": 0")
                LINE("temperature", "completions", "\"prompt\": \"a\", \"temperature\": -1")
                    LINE("prompt", "completions", "\"max_tokens\": 3")
                        LINE("tools", "completions", "\"prompt\": \"a\", \"tools\": [{}]")
                            LINE("url", "embeddings", "\"input\": \"a\"") LINE(
                                "token", "completions",
                                "\"prompt\": [99999999]") "{\"custom_id\": \"get\", \"method\": \"GET\", "
                                                          "\"url\": \"/v1/completions\", \"body\": {}}\n";
enum { GOOD = 6, BAD = 6 };

static drive_result run_batch(const char *budget)
{
    drive_result r =
        drive(ARGS("batch", "-m", tiny(), "--json", "-t", "2", "--kv-budget", budget, input), NULL);
    if (r.code != 0) printf("code %d, stderr: %s\n", r.code, r.err);
    assert_int_equal(r.code, 0);
    return r;
}

static void expect_counts(drive_result *r, int completed, int failed, int skipped)
{
    json_t *report = json_loads(r->out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(report, "completed")), completed);
    assert_int_equal(json_integer_value(json_object_get(report, "failed")), failed);
    assert_int_equal(json_integer_value(json_object_get(report, "skipped")), skipped);
    json_decref(report);
    drive_free(r);
}

static void check_logprobs(const json_t *all)
{
    const json_t *flat = json_object_get(choice_of(all, "again", 0), "logprobs");
    assert_true(json_is_null(json_object_get(choice_of(all, "greedy", 0), "logprobs")));
    assert_int_equal(json_array_size(json_object_get(flat, "tokens")), 24);
    assert_int_equal(json_array_size(json_object_get(flat, "text_offset")), 24);
    char whole[1024] = "";
    for (size_t i = 0; i < 24; i++) {
        const char *token = json_string_value(json_array_get(json_object_get(flat, "tokens"), i));
        const json_t *top = json_array_get(json_object_get(flat, "top_logprobs"), i);
        /* Greedy: the token is the likeliest, and its log probability the same in both places. */
        assert_true(json_number_value(json_object_get(top, token)) ==
                    json_number_value(json_array_get(json_object_get(flat, "token_logprobs"), i)));
        assert_int_equal(json_integer_value(json_array_get(json_object_get(flat, "text_offset"), i)),
                         strlen(whole));
        strcat(whole, token);
    }
    assert_string_equal(whole, text_of(all, "again", 0));
    const json_t *chat = json_object_get(json_object_get(choice_of(all, "chat", 0), "logprobs"), "content");
    assert_int_equal(json_array_size(chat), 6);
    assert_int_equal(json_array_size(json_object_get(json_array_get(chat, 0), "top_logprobs")), 3);
}

static void answers_as_openai_has_them(void **state)
{
    (void)state;
    write_file(input, requests, sizeof requests - 1);
    drive_result r = run_batch("64MiB");
    expect_counts(&r, GOOD, BAD, 0);
    json_t *all = answers();
    assert_int_equal(json_object_size(all), GOOD + BAD);
    static const char *const bad[] = {"temperature", "prompt", "tools", "url", "token", "get"};
    for (int i = 0; i < BAD; i++) {
        assert_int_equal(status_of(all, bad[i]), 400);
        const json_t *error = json_object_get(body_of(all, bad[i]), "error");
        assert_string_equal(json_string_value(json_object_get(error, "type")), "invalid_request_error");
        assert_true(strlen(json_string_value(json_object_get(error, "message"))) > 5);
    }
    assert_int_equal(status_of(all, "greedy"), 200);
    assert_string_equal(json_string_value(json_object_get(body_of(all, "greedy"), "object")),
                        "text_completion");
    assert_string_equal(json_string_value(json_object_get(body_of(all, "chat"), "object")),
                        "chat.completion");
    const json_t *message = json_object_get(choice_of(all, "chat", 0), "message");
    assert_string_equal(json_string_value(json_object_get(message, "role")), "assistant");
    assert_true(json_is_string(json_object_get(message, "content")));
    assert_string_equal(text_of(all, "greedy", 0), text_of(all, "again", 0));
    const json_t *usage = json_object_get(body_of(all, "greedy"), "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 24);
    assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")),
                     json_integer_value(json_object_get(usage, "prompt_tokens")) + 24);
    assert_string_equal(json_string_value(json_object_get(choice_of(all, "greedy", 0), "finish_reason")),
                        "length");
    assert_true(strcmp(text_of(all, "three", 0), text_of(all, "three", 1)) != 0 ||
                strcmp(text_of(all, "three", 0), text_of(all, "three", 2)) != 0);
    check_logprobs(all);

    /* What mqa run has from the same. */
    r = drive(ARGS("run", "-m", tiny(), "-p", "The licenses for most software", "--temp", "0", "-n", "24",
                   "--json"),
              NULL);
    json_t *run = json_loads(r.out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(run, "text")), text_of(all, "greedy", 0));
    json_decref(run);
    drive_free(&r);
    json_decref(all);
    unlink(output);
}

/* Stop texts cut the answer, wherever tokens end. */
static void stops_cut(void **state)
{
    (void)state;
    write_file(input, requests, (size_t)(strchr(requests, '\n') - requests) + 1);
    drive_result r = run_batch("64MiB");
    expect_counts(&r, 1, 0, 0);
    json_t *all = answers();
    char whole[1024], stop[8], line[1024];
    snprintf(whole, sizeof whole, "%s", text_of(all, "greedy", 0));
    json_decref(all);
    unlink(output);
    assert_true(strlen(whole) > 12);
    const char *const at = whole + 9;
    snprintf(stop, sizeof stop, "%.3s", at);
    json_t *quoted = json_string(stop);
    assert_non_null(quoted);
    char *text = json_dumps(quoted, JSON_ENCODE_ANY);
    json_decref(quoted);
    snprintf(line, sizeof line,
             LINE("cut", "completions", GREEDY ", \"max_tokens\": 24, \"stop\": [\"\\u00e9\\u00e9\", %s]"),
             text);
    free(text);
    write_file(input, line, strlen(line));
    r = run_batch("64MiB");
    expect_counts(&r, 1, 0, 0);
    all = answers();
    const size_t n = (size_t)(strstr(whole, stop) - whole);
    assert_int_equal(strlen(text_of(all, "cut", 0)), n);
    assert_memory_equal(text_of(all, "cut", 0), whole, n);
    assert_string_equal(json_string_value(json_object_get(choice_of(all, "cut", 0), "finish_reason")),
                        "stop");
    json_decref(all);
    unlink(output);
}

/* created is a time: all else must be the same. */
static void forget_times(json_t *all)
{
    const char *id;
    json_t *answer;
    json_object_foreach(all, id, answer)
    {
        json_t *body = body_of(all, id);
        json_object_del(body, "created");
        json_object_del(json_object_get(body, "usage"), "prompt_tokens_details");
    }
}

static void goes_on_where_it_ended(void **state)
{
    (void)state;
    write_file(input, requests, sizeof requests - 1);
    drive_result r = run_batch("64MiB");
    expect_counts(&r, GOOD, BAD, 0);
    json_t *expected = answers();
    forget_times(expected);
    size_t n;
    char *whole = strdup(read_file(output, &n));
    size_t ends[GOOD + BAD + 1] = {0};
    for (size_t i = 0, lines = 0; i < n; i++)
        if (whole[i] == '\n') ends[++lines] = i + 1;
    /* Cut after some lines, in the middle of one, before a newline; and not at all. */
    const struct {
        size_t bytes;
        int there;
    } cuts[] = {{ends[5], 5}, {ends[8] + 20, 8}, {ends[3] - 1, 2}, {0, 0}, {n, GOOD + BAD}};
    for (int i = 0; i < 5; i++) {
        write_file(output, whole, cuts[i].bytes);
        r = run_batch("3MiB");
        json_t *report = json_loads(r.out, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(report, "skipped")), cuts[i].there);
        json_decref(report);
        drive_free(&r);
        json_t *all = answers();
        forget_times(all);
        assert_true(json_equal(all, expected));
        json_decref(all);
    }
    free(whole);
    json_decref(expected);
    unlink(output);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const char *const files[] = {"", "{\n", "{\"custom_id\": 5}\n",
                                        LINE("a", "completions", "") LINE("a", "completions", "")};
    for (int i = 0; i < 4; i++) {
        write_file(input, files[i], strlen(files[i]));
        const char *const *args = ARGS("batch", "-m", tiny(), input);
        drive_result r = drive(args, NULL);
        assert_true(drive_failed_well(args, &r));
        assert_int_equal(r.code, 1);
        drive_free(&r);
    }
    write_file(input, requests, sizeof requests - 1);
    write_file(output, "something else\nmore\n", 20);
    const char *const *args = ARGS("batch", "-m", tiny(), input);
    drive_result r = drive(args, NULL);
    assert_true(drive_failed_well(args, &r));
    drive_free(&r);
    size_t n;
    assert_string_equal(read_file(output, &n), "something else\nmore\n"); /* not ours: not touched */
    unlink(output);
    args = ARGS("batch", "-m", tiny(), "--kv-budget", "1000", input);
    r = drive(args, NULL);
    assert_true(drive_failed_well(args, &r));
    drive_free(&r);
    unlink(output);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_openai_has_them),
        cmocka_unit_test(stops_cut),
        cmocka_unit_test(goes_on_where_it_ended),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests_name("batch", tests, setup, teardown);
}
