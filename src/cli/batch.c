/* mqa batch: a file of requests, many at a time, answered into another file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "batch.h"

enum { RUNNING = 64, AT_ONCE = 2 * RUNNING };

typedef struct batch_state {
    cli_common common;
    const char *model_path, *input, *output;
    int64_t context, draft_max;
    size_t kv_budget;
    char *own_output; /* where output has no name of its own */
    mqa_context *ctx;
    mqa_model *model;
    mqa_engine *engine;
    batch_world world;
    mqa_text text;
    size_t at, number; /* of the next line in text */
    size_t n_lines;
    json_t *answered; /* custom_ids as keys */
    FILE *file;
    batch_line *flight[AT_ONCE];
    int n_flight;
    int64_t n_done, n_failed, n_skipped;
    int64_t prompt_tokens, cached_tokens, generated_tokens;
} batch_state;

/* ---- files ---- */

/* The next line that isn't blank, from *at on; NULL: there is none. */
static const char *next_line(const mqa_text *text, size_t *at, size_t *number, size_t *n)
{
    while (*at < text->n) {
        const char *line = text->bytes + *at;
        const char *end = memchr(line, '\n', text->n - *at);
        *n = end ? (size_t)(end - line) : text->n - *at;
        *at += *n + (end ? 1 : 0);
        ++*number;
        for (size_t i = 0; i < *n; i++)
            if (!strchr(" \t\r", line[i])) return line;
    }
    return NULL;
}

/* Every line has a custom_id of its own: by them a restart knows what is done. */
static int check_ids(batch_state *s)
{
    json_t *seen = json_object();
    int code = CLI_DONE;
    size_t at = 0, number = 0, n;
    for (const char *line; code == CLI_DONE && (line = next_line(&s->text, &at, &number, &n)) != NULL;) {
        json_error_t error;
        json_t *json = json_loadb(line, n, 0, &error);
        const char *id = json_string_value(json_object_get(json, "custom_id"));
        if (!json)
            code = cli_error(CLI_FAILED, "%s, line %zu: %s", s->input, number, error.text);
        else if (!id)
            code = cli_error(CLI_FAILED, "%s, line %zu: no custom_id, or it isn't a text", s->input, number);
        else if (json_object_get(seen, id))
            code = cli_error(CLI_FAILED, "%s, line %zu: custom_id '%.80s' was there before", s->input, number,
                             id);
        else
            json_object_set_new(seen, id, json_true());
        json_decref(json);
        s->n_lines++;
    }
    json_decref(seen);
    if (code == CLI_DONE && s->n_lines == 0)
        return cli_error(CLI_FAILED, "%s has no line: give one JSON object a line", s->input);
    return code;
}

/* What an earlier run answered; a last line that it didn't finish is cut off. */
static int take_answered(batch_state *s)
{
    s->answered = json_object();
    if (access(s->output, F_OK) != 0) return CLI_DONE;
    mqa_text before = {0};
    int code = cli_read_text(s->output, &before);
    size_t at = 0, number = 0, n, whole = 0;
    for (const char *line; code == CLI_DONE && (line = next_line(&before, &at, &number, &n)) != NULL;) {
        json_error_t error;
        json_t *json = json_loadb(line, n, 0, &error);
        const char *id = json_string_value(json_object_get(json, "custom_id"));
        const bool last = at >= before.n;
        if (id && (!last || before.bytes[before.n - 1] == '\n')) {
            json_object_set_new(s->answered, id, json_true());
            whole = at;
        } else if (!last) {
            code = cli_error(CLI_FAILED, "%s, line %zu: not an answer: give another --output", s->output,
                             number);
        }
        json_decref(json);
    }
    if (code == CLI_DONE && whole < before.n && truncate(s->output, (off_t)whole) != 0)
        code = cli_error(CLI_FAILED, "%s: %s", s->output, strerror(errno));
    mqa_text_free(&before);
    return code;
}

static int open_output(batch_state *s)
{
    int code = take_answered(s);
    if (code != CLI_DONE) return code;
    s->file = fopen(s->output, "a");
    return s->file ? CLI_DONE : cli_error(CLI_FAILED, "%s: %s", s->output, strerror(errno));
}

static int write_answer(batch_state *s, const batch_line *line)
{
    json_t *answer = batch_reply(line);
    char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(answer);
    if (!text) return cli_error(CLI_FAILED, "no memory for an answer");
    errno = 0;
    const bool ok = fputs(text, s->file) >= 0 && fputc('\n', s->file) != EOF && fflush(s->file) == 0;
    free(text);
    s->n_done += line->error.status == 0;
    s->n_failed += line->error.status != 0;
    char label[] = "answering";
    (void)cli_progress(label, (size_t)(s->n_done + s->n_failed + s->n_skipped), s->n_lines);
    return ok ? CLI_DONE : cli_error(CLI_FAILED, "%s: %s", s->output, strerror(errno ? errno : EIO));
}

/* ---- requests ---- */

static void drop(batch_state *s, int which)
{
    batch_free(s->flight[which]);
    free(s->flight[which]);
    s->flight[which] = s->flight[--s->n_flight];
}

/* Submits a line, or answers it where something is wrong with it. */
static int start_line(batch_state *s, const char *text, size_t n)
{
    batch_line *line = malloc(sizeof *line);
    if (!line) return cli_error(CLI_FAILED, "no memory for a request");
    batch_open(text, n, s->number, line);
    s->flight[s->n_flight++] = line;
    if (json_object_get(s->answered, line->custom_id)) {
        s->n_skipped++;
        drop(s, s->n_flight - 1);
        return CLI_DONE;
    }
    batch_read(&s->world, line);
    if (line->error.status == 0) batch_submit(&s->world, line);
    if (line->error.status == 0) return CLI_DONE;
    const int code = write_answer(s, line);
    drop(s, s->n_flight - 1);
    return code;
}

static int start_lines(batch_state *s)
{
    const char *line;
    size_t n;
    int code = CLI_DONE;
    while (code == CLI_DONE && s->n_flight < AT_ONCE &&
           (line = next_line(&s->text, &s->at, &s->number, &n)) != NULL)
        code = start_line(s, line, n);
    return code;
}

/* Takes a request's events; *over: it was answered. */
static int take_events(batch_state *s, batch_line *line, bool *over)
{
    mqa_event event;
    mqa_error err;
    bool got = true;
    *over = false;
    while (!*over) {
        const mqa_status status = mqa_engine_poll(s->engine, line->id, 0, &event, &got, &err);
        if (status != MQA_OK) return cli_error_status(status, &err);
        if (!got) return CLI_DONE;
        *over = event.kind == MQA_EVENT_END;
        if (batch_take(line, &event) && !*over) mqa_engine_cancel(s->engine, line->id);
    }
    s->prompt_tokens += event.usage.prompt_tokens;
    s->cached_tokens += event.usage.cached_tokens;
    s->generated_tokens += event.usage.generated_tokens;
    return write_answer(s, line);
}

static int answer_all(batch_state *s)
{
    int code = start_lines(s);
    while (code == CLI_DONE && s->n_flight > 0) {
        if (cli_stop)
            return cli_error(CLI_INTERRUPTED,
                             "interrupted: %lld of %zu are answered; the same command goes on",
                             (long long)(s->n_done + s->n_failed + s->n_skipped), s->n_lines);
        bool busy, over;
        mqa_error err;
        const mqa_status status = mqa_engine_step(s->engine, &busy, &err);
        if (status != MQA_OK) return cli_error_status(status, &err);
        for (int i = s->n_flight; i-- > 0 && code == CLI_DONE;) {
            code = take_events(s, s->flight[i], &over);
            if (over) drop(s, i);
        }
        if (code == CLI_DONE) code = start_lines(s);
    }
    return code;
}

/* ---- the command ---- */

static int create_engine(batch_state *s)
{
    mqa_model_info info;
    mqa_model_get_info(s->model, &info);
    mqa_engine_options o = mqa_engine_options_default();
    o.context = s->context;
    o.kv_budget_bytes = s->kv_budget;
    o.max_running = RUNNING;
    o.draft_max = (int)s->draft_max;
    o.k_type = s->common.kv[0];
    o.v_type = s->common.kv[1];
    o.kv_plain = s->common.kv_plain;
    mqa_error err;
    const mqa_status status = mqa_engine_create(s->model, &o, &s->engine, &err);
    s->world =
        (batch_world){.model = s->model, .engine = s->engine, .name = info.name[0] ? info.name : info.arch};
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

static void report(const batch_state *s, double seconds)
{
    cli_progress_clear();
    if (s->common.json) {
        mqa_engine_stats stats = {.struct_size = sizeof stats};
        (void)mqa_engine_get_stats(s->engine, &stats, NULL);
        cli_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s}", "output", s->output, "completed",
            (json_int_t)s->n_done, "failed", (json_int_t)s->n_failed, "skipped", (json_int_t)s->n_skipped,
            "prompt_tokens", (json_int_t)s->prompt_tokens, "cached_tokens", (json_int_t)s->cached_tokens,
            "generated_tokens", (json_int_t)s->generated_tokens, "drafted_tokens",
            (json_int_t)stats.drafted_tokens, "accepted_tokens", (json_int_t)stats.accepted_tokens, "seconds",
            seconds, "recipe", mqa_engine_recipe(s->engine)));
        return;
    }
    fprintf(
        stderr,
        "%lld answered, %lld refused or failed, %lld were there already; prompts %lld tokens, %lld of them "
        "cached, generated %lld, %.1f tokens/s; %s\n",
        (long long)s->n_done, (long long)s->n_failed, (long long)s->n_skipped, (long long)s->prompt_tokens,
        (long long)s->cached_tokens, (long long)s->generated_tokens,
        seconds > 0 ? (double)s->generated_tokens / seconds : 0.0, s->output);
}

/* FILE.jsonl is answered into FILE.out.jsonl. */
static int name_output(batch_state *s)
{
    if (s->output) return CLI_DONE;
    size_t n = strlen(s->input);
    if (n > 6 && strcmp(s->input + n - 6, ".jsonl") == 0) n -= 6;
    s->own_output = malloc(n + sizeof ".out.jsonl");
    if (!s->own_output) return cli_error(CLI_FAILED, "no memory for a file's name");
    memcpy(s->own_output, s->input, n);
    strcpy(s->own_output + n, ".out.jsonl");
    s->output = s->own_output;
    return CLI_DONE;
}

static int work(batch_state *s)
{
    int code = name_output(s);
    if (code == CLI_DONE) code = cli_read_text(s->input, &s->text);
    if (code == CLI_DONE) code = check_ids(s);
    if (code == CLI_DONE) code = open_output(s);
    if (code != CLI_DONE) return code;
    cli_catch_interrupt();
    code = cli_open_model(&s->common, s->model_path, &s->ctx, &s->model);
    if (code == CLI_DONE) code = create_engine(s);
    if (code != CLI_DONE) return code;
    const double begin = cli_now();
    code = answer_all(s);
    if (code == CLI_DONE) report(s, cli_now() - begin);
    return code;
}

int cli_batch(int argc, char **argv)
{
    batch_state s = {.common = CLI_COMMON_DEFAULT, .draft_max = mqa_engine_options_default().draft_max};
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&s.model_path),
        {'o', "output", CLI_TEXT, &s.output, "FILE",
         "where answers go; those that are there already aren't computed again (default: the input's name "
         "with .out.jsonl)",
         0, 0, false},
        {'c', "ctx-size", CLI_INT, &s.context, "N", "context in tokens; 0 (default): the model's", 0,
         INT32_MAX, false},
        {0, "kv-budget", CLI_BYTES, &s.kv_budget, "BYTES", "of the KV cache, as 512MiB; default 2GiB", 1,
         1e18, false},
        CLI_OPTIONS_DRAFT(&s.draft_max),
        CLI_OPTIONS_SESSION(&s.common),
        CLI_OPTIONS_CONTEXT(&s.common),
        CLI_OPTIONS_END,
    };
    const char **operands;
    int n_operands;
    int code = cli_parse(argc, argv, table,
                         "answers a file of requests, one JSON object a line in OpenAI's batch format.",
                         "FILE.jsonl", 1, &operands, &n_operands);
    if (code != CLI_GO_ON) return code;
    if (!s.model_path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    if (n_operands == 0) return cli_error(CLI_USAGE, "no file of requests: give FILE.jsonl");
    s.input = operands[0];
    code = work(&s);
    while (s.n_flight > 0) drop(&s, s.n_flight - 1);
    if (s.file && fclose(s.file) != 0 && code == CLI_DONE)
        code = cli_error(CLI_FAILED, "%s: %s", s.output, strerror(errno));
    mqa_languages_destroy(&s.world.languages);
    mqa_engine_destroy(&s.engine);
    mqa_model_destroy(&s.model);
    mqa_context_destroy(&s.ctx);
    mqa_text_free(&s.text);
    json_decref(s.answered);
    free(s.own_output);
    return code;
}
