/* The whole server on the tiny model, from bytes on a socket to bytes on a socket.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "server/receipt.h"
#include "server/service.h"
#include "server/store.h"

static const char model_path[] = MQA_SOURCE "/examples/tiny/tiny-mqa.gguf";

typedef struct rig {
    mqa_context *ctx;
    mqa_model *model;
    mqa_service *service;
    char folder[40];
    int port;
} rig;
static rig r;

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* ---- start and stop ---- */

static int load(void **state)
{
    (void)state;
    mqa_error err;
    mqa_context_options o = mqa_context_options_default();
    o.n_threads = 2;
    mqa_status status = mqa_context_create(&o, &r.ctx, &err);
    if (status == MQA_OK) status = mqa_model_load(r.ctx, model_path, NULL, &r.model, &err);
    return status == MQA_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    mqa_model_destroy(&r.model);
    mqa_context_destroy(&r.ctx);
    return 0;
}

static mqa_status start_with(mqa_service_options o, mqa_error *err)
{
    o.port = o.port ? o.port : 0;
    o.state_folder = r.folder;
    o.model_path = model_path;
    if (!o.kv_budget) o.kv_budget = (size_t)64 << 20;
    const mqa_status status = mqa_service_start(r.ctx, r.model, &o, &r.service, err);
    if (status == MQA_OK) r.port = mqa_service_port(r.service);
    return status;
}

static mqa_service_options defaults(void)
{
    mqa_service_options o = mqa_service_options_default();
    o.port = 0;
    return o;
}

static int start(void **state)
{
    (void)state;
    mqa_error err;
    strcpy(r.folder, "/tmp/mqa-serve-XXXXXX");
    return mkdtemp(r.folder) && start_with(defaults(), &err) == MQA_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    char command[80];
    mqa_service_stop(&r.service, 10);
    snprintf(command, sizeof command, "rm -rf '%s'", r.folder);
    return system(command);
}

/* ---- asking ---- */

static char *ask(const char *path, const char *headers, const char *body)
{
    return client_ask(r.port, body ? "POST" : "GET", path, headers, body);
}

static const char *body_of(const char *answer)
{
    const char *at = strstr(answer, "\r\n\r\n");
    return at ? at + 4 : "";
}

/* The answer's JSON; fails unless its status is `status`. */
static json_t *ask_json(const char *path, const char *headers, const char *body, int status)
{
    char *answer = ask(path, headers, body);
    if (client_status(answer) != status) fail_msg("%s: %s", path, answer);
    json_t *json = json_loads(body_of(answer), 0, NULL);
    if (!json) fail_msg("no JSON: %s", answer);
    free(answer);
    return json;
}

static const json_t *choice_of(const json_t *answer, size_t i)
{
    return json_array_get(json_object_get(answer, "choices"), i);
}

static const char *text_of(const json_t *answer, size_t i)
{
    return json_string_value(json_object_get(choice_of(answer, i), "text"));
}

static int64_t usage_of(const json_t *answer, const char *what)
{
    return json_integer_value(json_object_get(json_object_get(answer, "usage"), what));
}

/* ---- what it answers ---- */

static void completes(void **state)
{
    (void)state;
    json_t *a =
        ask_json("/v1/completions", NULL,
                 "{\"prompt\":\"Once\",\"max_tokens\":12,\"temperature\":0,\"ignore_eos\":true}", 200);
    assert_string_equal(json_string_value(json_object_get(a, "object")), "text_completion");
    assert_string_equal(json_string_value(json_object_get(choice_of(a, 0), "finish_reason")), "length");
    assert_int_equal(usage_of(a, "completion_tokens"), 12);
    json_t *b = ask_json(
        "/v1/completions", NULL,
        "{\"prompt\":[\"Once\",\"The\"],\"max_tokens\":12,\"temperature\":0,\"ignore_eos\":true}", 200);
    assert_string_equal(text_of(a, 0), text_of(b, 0)); /* whatever else is asked */
    assert_non_null(text_of(b, 1));
    json_decref(a);
    json_decref(b);
}

static void draws_by_seed(void **state)
{
    (void)state;
    static const char one[] =
        "{\"prompt\":\"Once\",\"max_tokens\":20,\"temperature\":1.5,\"seed\":5,\"n\":3}";
    static const char other[] =
        "{\"prompt\":\"Once\",\"max_tokens\":20,\"temperature\":1.5,\"seed\":6,\"n\":3}";
    json_t *a = ask_json("/v1/completions", NULL, one, 200), *b = ask_json("/v1/completions", NULL, one, 200),
           *c = ask_json("/v1/completions", NULL, other, 200);
    for (size_t i = 0; i < 3; i++) assert_string_equal(text_of(a, i), text_of(b, i));
    assert_string_not_equal(text_of(a, 0), text_of(a, 1));
    assert_string_not_equal(text_of(a, 0), text_of(c, 0));
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static void chats(void **state)
{
    (void)state;
    json_t *a = ask_json("/v1/chat/completions", NULL,
                         "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":5,\"seed\":1,"
                         "\"logprobs\":true,\"top_logprobs\":2,\"ignore_eos\":true}",
                         200);
    const json_t *content = json_object_get(json_object_get(choice_of(a, 0), "logprobs"), "content");
    assert_int_equal(json_array_size(content), 5);
    for (size_t i = 0; i < 5; i++) {
        const json_t *e = json_array_get(content, i);
        assert_true(json_real_value(json_object_get(e, "logprob")) <= 0);
        assert_int_equal(json_array_size(json_object_get(e, "top_logprobs")), 2);
    }
    assert_non_null(json_object_get(json_object_get(choice_of(a, 0), "message"), "content"));
    json_decref(a);
}

/* The stream's texts are the whole answer's. */
static void streams_the_same(void **state)
{
    (void)state;
    static const char body[] =
        "{\"prompt\":\"Once\",\"max_tokens\":30,\"temperature\":0.9,\"seed\":3,\"stream\":%s,"
        "\"stream_options\":{\"include_usage\":true}}";
    char request[256];
    snprintf(request, sizeof request, body, "false");
    json_t *whole = ask_json("/v1/completions", NULL, request, 200);
    snprintf(request, sizeof request, body, "true");
    char *answer = ask("/v1/completions", NULL, request);
    assert_int_equal(client_status(answer), 200);
    assert_non_null(strstr(answer, "text/event-stream"));
    char text[4096] = "";
    int64_t tokens = -1;
    for (const char *at = answer; (at = strstr(at, "data: {")); at++) {
        const char *end = strstr(at, "\n\n");
        json_t *event = json_loadb(at + 6, (size_t)(end - at - 6), 0, NULL);
        assert_non_null(event);
        const char *piece = text_of(event, 0);
        if (piece) strcat(text, piece);
        if (json_object_get(event, "usage")) tokens = usage_of(event, "completion_tokens");
        json_decref(event);
    }
    assert_string_equal(text, text_of(whole, 0));
    assert_int_equal(tokens, usage_of(whole, "completion_tokens"));
    assert_non_null(strstr(answer, "data: [DONE]\n\n"));
    free(answer);
    json_decref(whole);
}

static void finds_prompts_again(void **state)
{
    (void)state;
    char body[1024], prompt[800] = "";
    for (int i = 0; i < 80; i++) strcat(prompt, "the cat ");
    snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"max_tokens\":4,\"temperature\":0}", prompt);
    json_t *a = ask_json("/v1/completions", NULL, body, 200),
           *b = ask_json("/v1/completions", NULL, body, 200);
    const json_t *details = json_object_get(json_object_get(b, "usage"), "prompt_tokens_details");
    assert_true(json_integer_value(json_object_get(details, "cached_tokens")) >
                usage_of(b, "prompt_tokens") / 2);
    assert_string_equal(text_of(a, 0), text_of(b, 0));
    json_decref(a);
    json_decref(b);
}

static void tokenizes(void **state)
{
    (void)state;
    json_t *a = ask_json("/tokenize", NULL, "{\"content\":\"Once upon a time\",\"with_pieces\":true}", 200);
    json_t *ids = json_array();
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(a, "tokens"), i, e) json_array_append(ids, json_object_get(e, "id"));
    json_t *body = json_pack("{s:o}", "tokens", ids);
    char *text = json_dumps(body, 0);
    json_t *b = ask_json("/detokenize", NULL, text, 200);
    assert_non_null(strstr(json_string_value(json_object_get(b, "content")), "Once upon a time"));
    free(text);
    json_decref(a);
    json_decref(b);
    json_decref(body);
}

static void shows_figures(void **state)
{
    (void)state;
    json_decref(ask_json("/v1/completions", NULL, "{\"prompt\":\"Once\",\"max_tokens\":2}", 200));
    char *metrics = ask("/metrics", NULL, NULL), *page = ask("/", NULL, NULL);
    assert_non_null(strstr(metrics, "mqa_requests_total{outcome=\"answered\"} 1\n"));
    assert_non_null(strstr(metrics, "mqa_tokens_total{kind=\"generated\"} "));
    assert_non_null(strstr(metrics, "\nmqa_drafted_tokens "));
    assert_non_null(strstr(metrics, "\nmqa_accepted_tokens "));
    assert_non_null(strstr(page, "Content-Security-Policy: default-src 'none'"));
    assert_non_null(strstr(page, "<h1>mqa</h1>"));
    free(metrics);
    free(page);
    json_t *status = ask_json("/status", NULL, NULL, 200), *models = ask_json("/v1/models", NULL, NULL, 200),
           *health = ask_json("/health", NULL, NULL, 200), *api = ask_json("/openapi.json", NULL, NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(status, "kv_budget_bytes")), 64 << 20);
    json_decref(status);
    json_decref(models);
    json_decref(health);
    json_decref(api);
}

/* ---- what it refuses ---- */

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body, *code;
        int status;
    } bad[] = {
        {"/nowhere", NULL, "not_found", 404},
        {"/v1/completions", NULL, "method_not_allowed", 405},
        {"/health", "{}", "method_not_allowed", 405},
        {"/v1/completions", "{", NULL, 400},
        {"/v1/completions", "{\"prompt\":\"\xff\"}", NULL, 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"temperature\":9}", NULL, 400},
        {"/v1/completions", "{\"prompt\":\"a\",\"echo\":true,\"logprobs\":1}", NULL, 400},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]}", NULL, 400},
        {"/tokenize", "{}", NULL, 400},
        {"/detokenize", "{\"tokens\":[99999999]}", NULL, 400},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *a = ask_json(bad[i].path, NULL, bad[i].body, bad[i].status);
        const json_t *e = json_object_get(a, "error");
        assert_non_null(json_object_get(e, "message"));
        if (bad[i].code) assert_string_equal(json_string_value(json_object_get(e, "code")), bad[i].code);
        json_decref(a);
    }
    char *body = malloc(400000), *at = body + sprintf(body, "{\"prompt\":\"");
    for (int i = 0; i < 40000; i++) at += sprintf(at, "cat dog ");
    sprintf(at, "\"}");
    json_t *a = ask_json("/v1/completions", NULL, body, 400);
    assert_string_equal(json_string_value(json_object_get(json_object_get(a, "error"), "code")),
                        "context_length_exceeded");
    json_decref(a);
    /* So long that no tokens of this model could hold it: told by its bytes. */
    const size_t n = 8 << 20;
    body = realloc(body, n + 100);
    at = body + sprintf(body, "{\"prompt\":\"");
    memset(at, 'a', n);
    strcpy(at + n, "\"}");
    a = ask_json("/v1/completions", NULL, body, 400);
    const json_t *e = json_object_get(a, "error");
    assert_string_equal(json_string_value(json_object_get(e, "code")), "context_length_exceeded");
    assert_string_equal(json_string_value(json_object_get(e, "param")), "prompt");
    assert_non_null(strstr(json_string_value(json_object_get(e, "message")), "8388608 bytes"));
    json_decref(a);
    free(body);
}

static void refuses_strangers_pages(void **state)
{
    (void)state;
    static const struct {
        const char *host, *origin;
        int status;
    } asks[] = {{"localhost", NULL, 200},
                {"127.0.0.1:8080", "http://127.0.0.1:8080", 200},
                {"[::1]:8080", NULL, 200},
                {"evil.example", NULL, 403},
                {"", NULL, 403},
                {"localhost", "https://evil.example", 403},
                {"localhost", "null", 403},
                {"localhost", "http://localhost:3000", 200}};
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        char request[300];
        snprintf(request, sizeof request,
                 "GET /v1/models HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s%s\r\n", asks[i].host,
                 asks[i].origin ? "Origin: " : "", asks[i].origin ? asks[i].origin : "",
                 asks[i].origin ? "\r\n" : "");
        const int fd = client_connect(r.port);
        client_send(fd, request);
        char *answer = client_read(fd, NULL, 10);
        if (client_status(answer) != asks[i].status) fail_msg("%zu: %s", i, answer);
        free(answer);
        close(fd);
    }
}

static char *add(mqa_tenant_record t)
{
    mqa_error err;
    mqa_store *store;
    char key[MQA_KEY_TEXT_BYTES], *header = malloc(100);
    mqa_key_make(key);
    mqa_key_hash(key, strlen(key), t.key_hash);
    t.weight = 1;
    assert_int_equal(mqa_store_open(r.folder, &store, &err), MQA_OK);
    assert_int_equal(mqa_store_add(store, &t, &err), MQA_OK);
    mqa_store_close(&store);
    snprintf(header, 100, "Authorization: Bearer %s\r\n", key);
    return header;
}

static char *add_tenant(const char *name, bool is_operator, int64_t tokens_per_minute)
{
    mqa_tenant_record t = {.is_operator = is_operator, .tokens_per_minute = tokens_per_minute};
    snprintf(t.name, sizeof t.name, "%s", name);
    return add(t);
}

/* A tenant is made while the server runs: from then on keys are needed. */
static void needs_keys(void **state)
{
    (void)state;
    static const char body[] = "{\"prompt\":\"a\",\"max_tokens\":2,\"ignore_eos\":true}";
    char *user = add_tenant("a \"b\"", false, 0), *boss = add_tenant("boss", true, 0),
         *slow = add_tenant("slow", false, 3);
    json_decref(ask_json("/v1/completions", user, body, 200)); /* at once */
    json_decref(ask_json("/v1/completions", NULL, body, 401));
    json_decref(ask_json("/v1/completions", "Authorization: Bearer mqa-wrong\r\n", body, 401));
    json_decref(ask_json("/status", user, NULL, 403));
    json_decref(ask_json("/status", boss, NULL, 200));
    json_decref(ask_json("/metrics", NULL, NULL, 401));
    json_decref(ask_json("/health", NULL, NULL, 200));
    char *metrics = ask("/metrics", boss, NULL);
    assert_non_null(strstr(metrics, "tenant=\"a \\\"b\\\"\""));
    free(metrics);
    json_decref(ask_json("/v1/completions", slow, body, 200));
    char *a = ask("/v1/completions", slow, body); /* its minute is used up */
    assert_int_equal(client_status(a), 429);
    assert_non_null(strstr(a, "Retry-After: "));
    free(a);
    free(user);
    free(boss);
    free(slow);
}

/* What is taken away isn't there for the next request. */
static void takes_keys_back_at_once(void **state)
{
    (void)state;
    mqa_error err;
    mqa_store *store;
    free(add_tenant("other", false, 0));
    for (int i = 0; i < 3; i++) {
        char *user = add_tenant("user", false, 0);
        json_decref(ask_json("/v1/completions", user, "{\"prompt\":\"a\",\"max_tokens\":2}", 200));
        assert_int_equal(mqa_store_open(r.folder, &store, &err), MQA_OK);
        assert_int_equal(mqa_store_remove(store, "user", &err), MQA_OK);
        mqa_store_close(&store);
        json_decref(ask_json("/v1/completions", user, "{\"prompt\":\"a\",\"max_tokens\":2}", 401));
        free(user);
    }
}

static void knows_whose_model_it_is(void **state)
{
    (void)state;
    static const char body[] = "{\"prompt\":\"a\",\"max_tokens\":2,\"model\":\"%s\"}";
    char *all = add((mqa_tenant_record){.name = "all"}),
         *this = add((mqa_tenant_record){.name = "this", .models = "other,tiny-mqa"}),
         *none = add((mqa_tenant_record){.name = "none", .models = "other"});
    const struct {
        const char *key, *model;
        int status;
    } asks[] = {{all, "tiny-mqa", 200}, {all, "gpt-x", 200},  {this, "tiny-mqa", 200},
                {this, "other", 404},   {this, "gpt-x", 404}, {none, "tiny-mqa", 404},
                {none, "other", 404}};
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        char request[100];
        snprintf(request, sizeof request, body, asks[i].model);
        json_t *a = ask_json("/v1/completions", asks[i].key, request, asks[i].status);
        const json_t *code = json_object_get(json_object_get(a, "error"), "code");
        if (asks[i].status == 404) assert_string_equal(json_string_value(code), "model_not_found");
        json_decref(a);
    }
    json_decref(ask_json("/v1/completions", this, "{\"prompt\":\"a\",\"max_tokens\":2}", 200));
    json_decref(ask_json("/tokenize", this, "{\"content\":\"a\"}", 200));
    json_decref(ask_json("/tokenize", none, "{\"content\":\"a\"}", 404));
    json_t *models = ask_json("/v1/models", this, NULL, 200);
    assert_int_equal(json_array_size(json_object_get(models, "data")), 1);
    json_decref(models);
    models = ask_json("/v1/models", none, NULL, 200);
    assert_int_equal(json_array_size(json_object_get(models, "data")), 0);
    json_decref(models);
    free(all);
    free(this);
    free(none);
}

static void stays_at_home_without_keys(void **state)
{
    (void)state;
    mqa_error err;
    mqa_service_stop(&r.service, 1);
    mqa_service_options o = defaults();
    o.host = "0.0.0.0";
    assert_int_equal(start_with(o, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "mqa tenant add"));
    free(add_tenant("t", false, 0));
    assert_int_equal(start_with(o, &err), MQA_OK);
}

static void keeps_its_budget(void **state)
{
    (void)state;
    mqa_error err;
    mqa_service_stop(&r.service, 1);
    mqa_service_options o = defaults();
    o.kv_budget = 65536;
    assert_int_equal(start_with(o, &err), MQA_OK);
    json_t *a = ask_json("/v1/completions", NULL, "{\"prompt\":\"Once\",\"max_tokens\":200}", 400);
    const json_t *e = json_object_get(a, "error");
    assert_string_equal(json_string_value(json_object_get(e, "code")), "kv_budget_exceeded");
    assert_non_null(strstr(json_string_value(json_object_get(e, "message")), "65536"));
    json_decref(a);
}

static void overcommit_has_a_place_to_spill(void **state)
{
    (void)state;
    mqa_error err;
    char folder[80];
    struct stat st;
    snprintf(folder, sizeof folder, "%s/spill", r.folder);
    assert_int_equal(stat(folder, &st), -1); /* not for reserve */
    mqa_service_options o = defaults();
    o.admission = MQA_ADMISSION_OVERCOMMIT;
    for (int on = 0; on < 2; on++) {
        mqa_service_stop(&r.service, 1);
        o.spill = on ? NULL : "off";
        assert_int_equal(start_with(o, &err), MQA_OK);
        assert_int_equal(stat(folder, &st), on ? 0 : -1);
    }
    assert_int_equal(st.st_mode & 07777, 0700);
    json_t *status = ask_json("/status", NULL, NULL, 200);
    assert_true(json_is_integer(json_object_get(status, "kv_spilled_bytes")));
    json_decref(status);
    char *metrics = ask("/metrics", NULL, NULL);
    assert_non_null(strstr(metrics, "mqa_kv_spilled_bytes 0\n"));
    free(metrics);
    mqa_service_stop(&r.service, 1);
    o.spill = "/nowhere/at/all";
    assert_int_equal(start_with(o, &err), MQA_ERR_IO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

/* ---- its life ---- */

static void drops_who_leaves(void **state)
{
    (void)state;
    const int fd = client_connect(r.port);
    static const char body[] =
        "{\"prompt\":\"Once\",\"max_tokens\":100000,\"ignore_eos\":true,\"stream\":true}";
    char request[300];
    snprintf(request, sizeof request,
             "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    client_send(fd, request);
    char *some = client_read(fd, "data: ", 10);
    assert_non_null(strstr(some, "data: "));
    free(some);
    close(fd);
    for (int i = 0;; i++) {
        json_t *status = ask_json("/status", NULL, NULL, 200);
        const int64_t running = json_integer_value(json_object_get(status, "running"));
        json_decref(status);
        if (running == 0) break;
        assert_true(i < 100);
        pause_ms(50);
    }
}

typedef struct late {
    int port, status;
} late;

static void *ask_late(void *arg)
{
    late *l = arg;
    char *a = client_ask(l->port, "POST", "/v1/completions", NULL,
                         "{\"prompt\":\"Once\",\"max_tokens\":150,\"ignore_eos\":true,\"temperature\":0}");
    l->status = client_status(a);
    free(a);
    return NULL;
}

static void drains(void **state)
{
    (void)state;
    late l = {.port = r.port};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_late, &l), 0);
    for (int i = 0; i < 200; i++) { /* until it runs */
        json_t *status = ask_json("/status", NULL, NULL, 200);
        const int64_t running = json_integer_value(json_object_get(status, "running"));
        json_decref(status);
        if (running > 0) break;
        pause_ms(5);
    }
    mqa_service_stop(&r.service, 60);
    pthread_join(thread, NULL);
    assert_int_equal(l.status, 200);
    mqa_error err;
    mqa_store *store;
    mqa_usage_sum sum;
    assert_int_equal(mqa_store_open(r.folder, &store, &err), MQA_OK);
    assert_int_equal(mqa_store_usage(store, NULL, &sum, &err), MQA_OK);
    assert_int_equal(sum.n_requests, 1);
    assert_int_equal(sum.completion_tokens, 150);
    mqa_store_close(&store);
}

static void gives_receipts(void **state)
{
    (void)state;
    mqa_error err;
    json_t *a =
        ask_json("/v1/completions", NULL,
                 "{\"prompt\":\"Once\",\"max_tokens\":8,\"temperature\":1,\"n\":2,\"receipt\":true}", 200);
    json_t *receipt = json_object_get(a, "receipt");
    assert_int_equal(mqa_receipt_check(receipt, NULL, &err), MQA_OK);
    assert_int_equal(json_array_size(json_object_get(receipt, "outputs")), 2);
    assert_int_equal(mqa_receipt_check(receipt, "somebody-else", &err), MQA_ERR_FORMAT);
    json_t *ids = json_array_get(json_object_get(receipt, "outputs"), 1);
    json_array_set_new(ids, 0, json_integer(json_integer_value(json_array_get(ids, 0)) ^ 1));
    assert_int_equal(mqa_receipt_check(receipt, NULL, &err), MQA_ERR_FORMAT);
    json_decref(a);
}

int main(void)
{
#define SERVED(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        SERVED(completes),
        SERVED(draws_by_seed),
        SERVED(chats),
        SERVED(streams_the_same),
        SERVED(finds_prompts_again),
        SERVED(tokenizes),
        SERVED(shows_figures),
        SERVED(refuses),
        SERVED(refuses_strangers_pages),
        SERVED(needs_keys),
        SERVED(takes_keys_back_at_once),
        SERVED(knows_whose_model_it_is),
        SERVED(stays_at_home_without_keys),
        SERVED(keeps_its_budget),
        SERVED(overcommit_has_a_place_to_spill),
        SERVED(drops_who_leaves),
        SERVED(drains),
        SERVED(gives_receipts),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
