/* mqa bench serve: load on a server with OpenAI's completions, ours or another: time to the first token, from
 * token to token, and what comes through in all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/new_file.h"
#include "bench.h"
#include "bench_serve.h"

enum { MAX_KEYS = 256, MAX_GAPS = 1 << 22 };

typedef struct serve_bench {
    load_options load;
    const char *key_file, *png;
    mqa_new_file png_file;
    double goal_first, goal_token; /* milliseconds: what a good answer keeps */
    cli_list words;
    int64_t clients, seed;
    bool json;
    mqa_text keys_text;
    const char *keys[MAX_KEYS];
    load_request *requests;
    double *gaps;
    size_t n_gaps;
    double seconds;
} serve_bench;

/* ---- the report ---- */

/* p of sorted values, the nearest one; 0 where there are none. */
static double percentile(const double *sorted, size_t n, double p)
{
    return n ? sorted[(size_t)(p * (double)(n - 1) + 0.5)] : 0;
}

typedef struct summary {
    int64_t answered, good, refused, failed, tokens;
    double ttft[3], gap[3]; /* p50, p95, p99; seconds */
} summary;

static bool refused(const load_request *r)
{
    return r->status == 429 || r->status == 503;
}

/* Whole, with its first token and, on average, the others within the goals. */
static bool is_good(const serve_bench *b, const load_request *r)
{
    const double between = r->n_tokens > 1 ? (r->last - r->first) / (double)(r->n_tokens - 1) : 0;
    return 1e3 * r->first <= b->goal_first && 1e3 * between <= b->goal_token;
}

/* Of all requests, or of one key's. */
static summary summarise(const serve_bench *b, int key, double *scratch)
{
    static const double points[3] = {0.5, 0.95, 0.99};
    summary s = {0};
    size_t n = 0;
    for (int64_t i = 0; i < b->load.n_requests; i++) {
        const load_request *r = &b->requests[i];
        if (key >= 0 && r->key != key) continue;
        if (r->status == 200 && r->whole)
            s.answered++;
        else if (refused(r))
            s.refused++;
        else
            s.failed++;
        s.good += r->status == 200 && r->whole && is_good(b, r);
        s.tokens += r->n_tokens;
        if (r->n_tokens > 0) scratch[n++] = r->first;
    }
    bench_sort(scratch, (int)n);
    for (int i = 0; i < 3; i++) s.ttft[i] = percentile(scratch, n, points[i]);
    for (int i = 0; key < 0 && i < 3; i++) s.gap[i] = percentile(b->gaps, b->n_gaps, points[i]);
    return s;
}

static json_t *triple(const double *x)
{
    return json_pack("{s:f, s:f, s:f}", "p50", 1e3 * x[0], "p95", 1e3 * x[1], "p99", 1e3 * x[2]);
}

static void report(const serve_bench *b, summary s, double *scratch)
{
    const double rate = b->seconds > 0 ? (double)s.tokens / b->seconds : 0;
    const double goodput = b->seconds > 0 ? (double)s.good / b->seconds : 0;
    if (b->json) {
        cli_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:f, s:f, s:f, s:f, s:o, s:o}", "bench",
                                 "serve", "requests", (json_int_t)b->load.n_requests, "answered",
                                 (json_int_t)s.answered, "refused", (json_int_t)s.refused, "failed",
                                 (json_int_t)s.failed, "seconds", b->seconds, "tokens", (json_int_t)s.tokens,
                                 "tokens_per_s", rate, "goodput_per_s", goodput, "goal_first_ms",
                                 b->goal_first, "goal_token_ms", b->goal_token, "first_token_ms",
                                 triple(s.ttft), "inter_token_ms", triple(s.gap)));
        return;
    }
    printf("%lld requests in %.2f s: %lld answered, %lld refused, %lld failed; %.1f tokens/s\n",
           (long long)b->load.n_requests, b->seconds, (long long)s.answered, (long long)s.refused,
           (long long)s.failed, rate);
    printf("%.2f good answers/s: first token within %g ms, the others every %g ms\n", goodput, b->goal_first,
           b->goal_token);
    printf("%-18s %10s %10s %10s\n", "ms", "p50", "p95", "p99");
    printf("%-18s %10.1f %10.1f %10.1f\n", "first token", 1e3 * s.ttft[0], 1e3 * s.ttft[1], 1e3 * s.ttft[2]);
    printf("%-18s %10.1f %10.1f %10.1f\n", "token to token", 1e3 * s.gap[0], 1e3 * s.gap[1], 1e3 * s.gap[2]);
    for (int k = 0; k < b->load.n_keys && b->load.n_keys > 1; k++) {
        const summary of_key = summarise(b, k, scratch);
        char name[32];
        snprintf(name, sizeof name, "first token, key %d", k + 1);
        printf("%-18s %10.1f %10.1f %10.1f  %lld answered, %lld refused, %lld failed\n", name,
               1e3 * of_key.ttft[0], 1e3 * of_key.ttft[1], 1e3 * of_key.ttft[2], (long long)of_key.answered,
               (long long)of_key.refused, (long long)of_key.failed);
    }
}

/* ---- the command ---- */

/* One key a line. */
static int read_keys(serve_bench *b)
{
    if (!b->key_file) return CLI_DONE;
    const int code = cli_read_text(b->key_file, &b->keys_text);
    if (code != CLI_DONE) return code;
    char *rest = b->keys_text.n ? b->keys_text.bytes : NULL;
    for (char *line; (line = strsep(&rest, "\r\n"));) {
        if (!*line) continue;
        if (b->load.n_keys == MAX_KEYS || strlen(line) > 500)
            return cli_error(CLI_FAILED, "%s: at most %d keys of 500 bytes", b->key_file, (int)MAX_KEYS);
        b->keys[b->load.n_keys++] = line;
    }
    b->load.keys = b->keys;
    return b->load.n_keys ? CLI_DONE : cli_error(CLI_FAILED, "%s: no keys in it", b->key_file);
}

static mqa_status write_png(serve_bench *b, summary s, mqa_error *err)
{
    char line[160];
    snprintf(line, sizeof line, "%lld requests, %.1f tokens/s, %lld refused, %lld failed",
             (long long)b->load.n_requests, b->seconds > 0 ? (double)s.tokens / b->seconds : 0,
             (long long)s.refused, (long long)s.failed);
    const bench_serve_result r = {.requests = b->requests,
                                  .n_requests = b->load.n_requests,
                                  .n_keys = b->load.n_keys,
                                  .gaps = b->gaps,
                                  .n_gaps = b->n_gaps,
                                  .summary = line};
    MQA_TRY(bench_serve_png(&r, b->png_file.stream, err));
    return mqa_new_file_finish(&b->png_file, err);
}

static int work(serve_bench *b)
{
    mqa_error err;
    mqa_status status = b->png ? mqa_new_file_open(b->png, &b->png_file, &err) : MQA_OK;
    if (status != MQA_OK) return cli_error_status(status, &err);
    int code = read_keys(b);
    if (code != CLI_DONE) return code;
    const size_t n = (size_t)b->load.n_requests;
    double *scratch = malloc(n * sizeof *scratch);
    b->requests = calloc(n, sizeof *b->requests);
    b->gaps = malloc(MAX_GAPS * sizeof *b->gaps);
    if (!scratch || !b->requests || !b->gaps)
        code = cli_error(CLI_FAILED, "no memory for %zu requests", n);
    else
        code = load_run(&b->load, b->requests, b->gaps, MAX_GAPS, &b->n_gaps, &b->seconds);
    if (code == CLI_DONE) {
        bench_sort(b->gaps, (int)b->n_gaps);
        const summary s = summarise(b, -1, scratch);
        if (s.answered == 0 && s.refused == 0)
            code = cli_error(CLI_FAILED, "%s answered none of %zu: is a server there?", b->load.url, n);
        else
            report(b, s, scratch);
        if (code == CLI_DONE && b->png) status = write_png(b, s, &err);
        if (status != MQA_OK) code = cli_error_status(status, &err);
    }
    free(scratch);
    return code;
}

int cli_bench_serve(int argc, char **argv)
{
    serve_bench b = {.load = {.n_requests = 100, .max_tokens = 32, .timeout = 600},
                     .words = {{100}, 1},
                     .clients = 8,
                     .goal_first = 1000,
                     .goal_token = 100,
                     .seed = 1};
    const cli_option table[] = {
        {'c', "clients", CLI_INT, &b.clients, "N", "clients at any time, default 8", 1, 4096, false},
        {0, "rate", CLI_REAL, &b.load.rate, "R",
         "requests a second instead, at random times, whether or not the server keeps up", 0, 100000, false},
        {'r', "requests", CLI_INT, &b.load.n_requests, "N", "requests in all, default 100", 1, 10000000,
         false},
        {'p', "words", CLI_LIST, &b.words, "N,...", "words of a prompt, each length as likely; default 100",
         1, 1000000, false},
        {0, "shared-words", CLI_INT, &b.load.shared_words, "N", "words of a beginning that prompts share", 0,
         1000000, false},
        {0, "shared", CLI_REAL, &b.load.shared_part, "PART", "the share of prompts with it, 0 to 1", 0, 1,
         false},
        {'n', "max-tokens", CLI_INT, &b.load.max_tokens, "N", "tokens of an answer, default 32", 1, 1000000,
         false},
        {0, "temp", CLI_REAL, &b.load.temperature, "T", "temperature, default 0", 0, 2, false},
        {'k', "keys", CLI_TEXT, &b.key_file, "FILE", "API keys, one a line, used in turn (several tenants)",
         0, 0, false},
        {0, "goal-first", CLI_REAL, &b.goal_first, "MS",
         "a good answer's first token comes within, default 1000", 0, 1e9, false},
        {0, "goal-token", CLI_REAL, &b.goal_token, "MS", "and the others, on average, every, default 100", 0,
         1e9, false},
        {0, "png", CLI_TEXT, &b.png, "FILE", "write a picture of both distributions", 0, 0, false},
        {0, "timeout", CLI_REAL, &b.load.timeout, "S", "seconds for one request, default 600", 1, 86400,
         false},
        {'s', "seed", CLI_INT, &b.seed, "N", "the same seed asks the same", 0, CLI_MAX_INT, false},
        CLI_OPTIONS_JSON(&b),
        CLI_OPTIONS_END,
    };
    const char **operands;
    int n_operands;
    int code =
        cli_parse(argc, argv, table,
                  "load on a server with OpenAI's /v1/completions.\nText comes as a stream; an event with "
                  "text counts as a token.",
                  "URL", 1, &operands, &n_operands);
    if (code != CLI_GO_ON) return code;
    if (n_operands == 0) return cli_error(CLI_USAGE, "no server: give its URL, as http://127.0.0.1:8080");
    if (b.load.shared_part > 0 && b.load.shared_words == 0)
        return cli_error(CLI_USAGE, "--shared needs --shared-words");
    b.load.url = operands[0];
    b.load.clients = (int)b.clients;
    b.load.words = b.words.at;
    b.load.n_lengths = b.words.n;
    b.load.seed = (uint64_t)b.seed;
    cli_catch_interrupt();
    code = work(&b);
    mqa_new_file_abandon(&b.png_file);
    mqa_text_free(&b.keys_text);
    free(b.requests);
    free(b.gaps);
    return code;
}
