/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tokenizer/array.h"

enum { MAX_LINE = 1 << 20 };

typedef struct client {
    CURL *curl;
    struct curl_slist *headers;
    char *body;
    mqa_text line; /* of the stream, as far as it has come */
    load_request *r;
    double due;
    struct load *load;
    bool busy;
} client;

typedef struct load {
    const load_options *o;
    CURLM *multi;
    client *clients;
    int n_clients;
    load_request *out;
    double *gaps; /* between texts of an answer, of all answers */
    size_t gaps_room, n_gaps;
    int64_t next, done;
    double next_due;
    uint64_t random;
    char *url, *shared;
} load;

/* ---- what is asked ---- */

/* Words of syllables: text that any tokenizer cuts into a few tokens a word. */
static mqa_status add_words(mqa_text *to, uint64_t *random, int64_t n)
{
    static const char syllables[][4] = {"ka", "lo",  "mi", "ter", "san", "do", "vel", "ru",
                                        "in", "est", "or", "pha", "qui", "no", "bra", "ge"};
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = bench_random(random);
        for (int s = 1 + (int)(bits % 3); s >= 0; s--, bits >>= 4) {
            const char *syllable = syllables[(bits >> 8) % 16];
            const mqa_status status = mqa_text_append(to, syllable, strlen(syllable), NULL);
            if (status != MQA_OK) return status;
        }
        const mqa_status status = mqa_text_append(to, i % 12 == 11 ? ".\n" : " ", i % 12 == 11 ? 2 : 1, NULL);
        if (status != MQA_OK) return status;
    }
    return MQA_OK;
}

static double even(uint64_t *random)
{
    return (double)(bench_random(random) >> 11) * 0x1p-53;
}

static char *make_body(load *l)
{
    const load_options *o = l->o;
    mqa_text prompt = {0};
    const int64_t words = o->words[bench_random(&l->random) % (uint64_t)o->n_lengths];
    const bool shared = even(&l->random) < o->shared_part;
    const uint64_t seed = bench_random(&l->random) >> 34;
    bool ok = !shared || mqa_text_append(&prompt, l->shared, strlen(l->shared), NULL) == MQA_OK;
    ok = ok && add_words(&prompt, &l->random, words) == MQA_OK;
    json_t *json = ok ? json_pack("{s:s, s:s%, s:I, s:f, s:I, s:b}", "model", "any", "prompt", prompt.bytes,
                                  prompt.n, "max_tokens", (json_int_t)o->max_tokens, "temperature",
                                  o->temperature, "seed", (json_int_t)seed, "stream", 1)
                      : NULL;
    char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    mqa_text_free(&prompt);
    return body;
}

/* ---- what is answered ---- */

static void take_text(client *c)
{
    const double now = cli_now() - c->due;
    load_request *r = c->r;
    if (r->n_tokens++ == 0) {
        r->first = now;
    } else {
        const double gap = now - r->last;
        if (c->load->n_gaps < c->load->gaps_room) c->load->gaps[c->load->n_gaps++] = gap;
    }
    r->last = now;
}

static void take_line(client *c)
{
    static const char data[] = "data: ";
    const char *at = c->line.bytes;
    if (strncmp(at, data, sizeof data - 1) != 0) return;
    at += sizeof data - 1;
    if (strcmp(at, "[DONE]") == 0) {
        c->r->whole = true;
        return;
    }
    json_t *json = json_loads(at, 0, NULL);
    const json_t *choice = json_array_get(json_object_get(json, "choices"), 0);
    const json_t *text = json_object_get(choice, "text");
    if (json_string_length(text) > 0) take_text(c);
    json_decref(json);
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *user)
{
    client *c = user;
    for (size_t i = 0; i < size * n; i++) {
        if (bytes[i] == '\r') continue;
        if (bytes[i] == '\n') {
            if (c->line.n > 0) take_line(c);
            c->line.n = 0;
        } else if (c->line.n == MAX_LINE || mqa_text_append(&c->line, &bytes[i], 1, NULL) != MQA_OK) {
            return 0;
        }
    }
    return size * n;
}

/* ---- the loop ---- */

static bool start_request(load *l, client *c, double due)
{
    const load_options *o = l->o;
    c->r = &l->out[l->next];
    *c->r = (load_request){.key = o->n_keys ? (int)(l->next % o->n_keys) : 0};
    l->next++;
    c->due = due;
    c->line.n = 0;
    c->body = make_body(l);
    c->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (o->n_keys) {
        char header[600];
        snprintf(header, sizeof header, "Authorization: Bearer %s", o->keys[c->r->key]);
        c->headers = curl_slist_append(c->headers, header);
    }
    if (!c->body || !c->headers) return false;
    curl_easy_setopt(c->curl, CURLOPT_URL, l->url);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, c->body);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_PRIVATE, c);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)(1000 * o->timeout));
    c->busy = curl_multi_add_handle(l->multi, c->curl) == CURLM_OK;
    return c->busy;
}

static void end_request(load *l, client *c)
{
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    c->r->status = (int)status;
    curl_multi_remove_handle(l->multi, c->curl);
    curl_slist_free_all(c->headers);
    free(c->body);
    c->headers = NULL;
    c->body = NULL;
    c->busy = false;
    l->done++;
}

/* Starts what is due: in a closed loop whoever is free. In an open one a request that finds nobody free
 * waits, and its time counts from when it was due. */
static bool start_due(load *l, double now)
{
    for (int i = 0; i < l->n_clients && l->next < l->o->n_requests; i++) {
        if (l->clients[i].busy) continue;
        if (l->o->rate == 0) {
            if (!start_request(l, &l->clients[i], now)) return false;
        } else if (l->next_due <= now) {
            if (!start_request(l, &l->clients[i], l->next_due)) return false;
            l->next_due -= log(1 - even(&l->random)) / l->o->rate;
        } else {
            break;
        }
    }
    return true;
}

static int run(load *l)
{
    static char label[] = "requests";
    l->next_due = cli_now();
    while (l->done < l->o->n_requests && !cli_stop) {
        if (!start_due(l, cli_now())) return cli_error(CLI_FAILED, "no memory for a request");
        int running, left;
        curl_multi_perform(l->multi, &running);
        for (CURLMsg *m; (m = curl_multi_info_read(l->multi, &left));) {
            client *c;
            if (m->msg != CURLMSG_DONE) continue;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
            if (m->data.result != CURLE_OK) c->r->whole = false;
            end_request(l, c);
        }
        cli_progress(label, (size_t)l->done, (size_t)l->o->n_requests);
        const double wait = l->o->rate > 0 && l->next < l->o->n_requests ? l->next_due - cli_now() : 0.1;
        curl_multi_poll(l->multi, NULL, 0, wait < 0 ? 0 : wait > 0.1 ? 100 : (int)(1000 * wait), NULL);
    }
    cli_progress_clear();
    return cli_stop ? cli_error(CLI_INTERRUPTED, "interrupted after %lld requests", (long long)l->done)
                    : CLI_DONE;
}

static bool set_up(load *l)
{
    mqa_text shared = {0}, url = {0};
    const size_t n = strlen(l->o->url), slash = n && l->o->url[n - 1] == '/';
    bool ok = add_words(&shared, &l->random, l->o->shared_words) == MQA_OK &&
              mqa_text_append(&shared, "\n", 1, NULL) == MQA_OK &&
              mqa_text_append(&url, l->o->url, n - slash, NULL) == MQA_OK &&
              mqa_text_append(&url, "/v1/completions", strlen("/v1/completions"), NULL) == MQA_OK;
    l->shared = shared.bytes;
    l->url = url.bytes;
    l->clients = calloc((size_t)l->n_clients, sizeof *l->clients);
    l->multi = curl_multi_init();
    ok = ok && l->clients && l->multi;
    for (int i = 0; i < l->n_clients && ok; i++) {
        l->clients[i].load = l;
        ok = (l->clients[i].curl = curl_easy_init()) != NULL;
    }
    return ok;
}

int load_run(const load_options *options, load_request *out, double *gaps, size_t gaps_room, size_t *n_gaps,
             double *seconds)
{
    enum { MOST_OPEN = 4096 };
    load l = {.o = options, .out = out, .gaps = gaps, .gaps_room = gaps_room, .random = options->seed};
    l.n_clients = options->rate > 0 ? MOST_OPEN : options->clients;
    if (l.n_clients > options->n_requests) l.n_clients = (int)options->n_requests;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const double began = cli_now();
    int code = set_up(&l) ? run(&l) : cli_error(CLI_FAILED, "no memory for %d clients", l.n_clients);
    *seconds = cli_now() - began;
    *n_gaps = l.n_gaps;
    for (int i = 0; l.clients && i < l.n_clients; i++) {
        if (l.clients[i].busy) end_request(&l, &l.clients[i]);
        curl_easy_cleanup(l.clients[i].curl);
        mqa_text_free(&l.clients[i].line);
    }
    curl_multi_cleanup(l.multi);
    curl_global_cleanup();
    free(l.clients);
    free(l.url);
    free(l.shared);
    return code;
}
