/* mqa bench serve against a server that keeps to a script: what it counts, its times, and that an open loop
 * waits for nobody.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "drive.h"

/* ---- the server ---- */

typedef enum play { WHOLE, REFUSED, FAILS, BREAKS_OFF, NO_TOKENS } play;

enum { FIRST_MS = 60, NEXT_MS = 25, GATHER_SECONDS = 20, MOST = 64 };

typedef struct script {
    const play *plays; /* of the i-th request that comes, over and over */
    int n_plays, tokens;
    int gather;  /* nobody is answered before so many have come */
    bool missed; /* they didn't, for long enough */
    /* Its own: */
    int listener, port;
    pthread_t thread, connections[MOST];
    int n_connections, came;
    char bodies[MOST][4096], keys[MOST][64];
    pthread_mutex_t lock;
    pthread_cond_t more;
} script;

typedef struct connection {
    script *s;
    int fd;
} connection;

static void nap(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) return; /* the client is gone: it says so itself */
}

/* Head and body, as Content-Length has it. */
static void read_request(int fd, char *text, size_t room)
{
    size_t n = 0;
    const char *end = NULL, *length = NULL;
    while (n + 1 < room) {
        const ssize_t got = recv(fd, text + n, room - n - 1, 0);
        if (got <= 0) break;
        text[n += (size_t)got] = 0;
        end = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (end && length && n >= (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10)) break;
    }
}

static void stream(int fd, int tokens, bool whole)
{
    say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < tokens; i++) {
        nap(i ? NEXT_MS : FIRST_MS);
        say(fd, "data: {\"choices\": [{\"index\": 0, \"text\": \" a\"}]}\n\n");
    }
    if (whole) say(fd, "data: {\"choices\": [], \"usage\": {\"completion_tokens\": 4}}\n\ndata: [DONE]\n\n");
}

static void *serve_one(void *arg)
{
    connection *c = arg;
    script *s = c->s;
    static const char empty[] = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    char text[8192] = "", answer[256];
    read_request(c->fd, text, sizeof text);
    pthread_mutex_lock(&s->lock);
    const int i = s->came++;
    const char *body = strstr(text, "\r\n\r\n"), *key = strstr(text, "Bearer ");
    snprintf(s->bodies[i], sizeof s->bodies[i], "%s", body ? body + 4 : "");
    if (key) snprintf(s->keys[i], sizeof s->keys[i], "%.*s", (int)strcspn(key + 7, "\r"), key + 7);
    pthread_cond_broadcast(&s->more);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GATHER_SECONDS;
    while (s->came < s->gather && !s->missed)
        if (pthread_cond_timedwait(&s->more, &s->lock, &until) != 0) s->missed = true;
    pthread_mutex_unlock(&s->lock);
    switch (s->plays[i % s->n_plays]) {
    case WHOLE:
        stream(c->fd, s->tokens, true);
        break;
    case NO_TOKENS:
        stream(c->fd, 0, true);
        break;
    case BREAKS_OFF:
        stream(c->fd, 2, false);
        break;
    case REFUSED:
    case FAILS:
        snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\n%s",
                 s->plays[i % s->n_plays] == REFUSED ? "429 Too Many Requests" : "500 Internal Server Error",
                 empty);
        say(c->fd, answer);
        break;
    }
    shutdown(c->fd, SHUT_RDWR);
    close(c->fd);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    script *s = arg;
    for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0;) {
        connection *c = malloc(sizeof *c);
        if (!c || s->n_connections == MOST) abort();
        *c = (connection){s, fd};
        if (pthread_create(&s->connections[s->n_connections++], NULL, serve_one, c) != 0) abort();
    }
    return NULL;
}

static void begin(script *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&at, n) != 0 || listen(s->listener, MOST) != 0) abort();
    if (getsockname(s->listener, (struct sockaddr *)&at, &n) != 0) abort();
    s->port = ntohs(at.sin_port);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    if (pthread_create(&s->thread, NULL, accept_all, s) != 0) abort();
}

static void end(script *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < s->n_connections; i++) pthread_join(s->connections[i], NULL);
    close(s->listener);
}

/* ---- running it ---- */

enum { MAX_ARGS = 32 };

static drive_result bench(script *s, const char *const *more)
{
    char url[64];
    begin(s);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s->port);
    const char *args[MAX_ARGS] = {"bench", "serve", url};
    for (int i = 0; more[i]; i++) args[3 + i] = more[i];
    drive_result r = drive(args, NULL);
    end(s);
    if (r.code != 0) printf("code %d, signal %d, stderr: %s\n", r.code, r.signal, r.err);
    return r;
}

static json_t *bench_json(script *s, const char *const *more)
{
    drive_result r = bench(s, more);
    assert_int_equal(r.code, 0);
    json_t *o = json_loads(r.out, 0, NULL);
    assert_non_null(o);
    drive_free(&r);
    return o;
}

static double number(const json_t *o, const char *key, const char *inner)
{
    const json_t *v = json_object_get(o, key);
    if (inner) v = json_object_get(v, inner);
    if (!json_is_number(v)) printf("no number %s\n", key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* ---- the tests ---- */

static void what_comes_is_counted(void **state)
{
    (void)state;
    static const play plays[] = {WHOLE, REFUSED, BREAKS_OFF, FAILS, NO_TOKENS};
    script s = {.plays = plays, .n_plays = 5, .tokens = 4};
    json_t *o = bench_json(&s, (const char *[]){"-c", "1", "-r", "10", "--json", NULL});
    assert_int_equal(number(o, "requests", NULL), 10);
    assert_int_equal(number(o, "answered", NULL), 4); /* NO_TOKENS is whole, too */
    assert_int_equal(number(o, "refused", NULL), 2);
    assert_int_equal(number(o, "failed", NULL), 4);
    assert_int_equal(number(o, "tokens", NULL), 2 * 4 + 2 * 2);
    json_decref(o);
}

/* Beyond the script's times only lateness is possible, and a second of it only on a machine that is stuck. */
static void times_are_the_scripts(void **state)
{
    (void)state;
    static const play plays[] = {WHOLE};
    script s = {.plays = plays, .n_plays = 1, .tokens = 8};
    json_t *o = bench_json(&s, (const char *[]){"-c", "2", "-r", "6", "--json", NULL});
    static const char *const points[] = {"p50", "p95", "p99"};
    for (int i = 0; i < 3; i++) {
        const double first = number(o, "first_token_ms", points[i]);
        assert_true(first >= FIRST_MS && first < FIRST_MS + 1000);
    }
    const double gap = number(o, "inter_token_ms", "p50");
    assert_true(gap > 0.5 * NEXT_MS && gap < NEXT_MS + 1000);
    const double seconds = number(o, "seconds", NULL), least = 3 * (FIRST_MS + 7 * NEXT_MS) / 1e3;
    assert_true(seconds >= least && seconds < least + 5);
    const double rate = number(o, "tokens_per_s", NULL);
    assert_true(rate > 0.999 * 48 / seconds && rate < 1.001 * 48 / seconds);
    json_decref(o);
}

/* A goal that nobody can keep, and one that all do. */
static void goals_divide_good_answers(void **state)
{
    (void)state;
    static const play plays[] = {WHOLE};
    static const struct {
        const char *first, *token;
        bool good;
    } cases[] = {{"60000", "60000", true}, {"30", "60000", false}, {"60000", "12", false}};
    for (size_t i = 0; i < 3; i++) {
        script s = {.plays = plays, .n_plays = 1, .tokens = 4};
        json_t *o = bench_json(&s, (const char *[]){"-c", "4", "-r", "4", "--json", "--goal-first",
                                                    cases[i].first, "--goal-token", cases[i].token, NULL});
        const double good = number(o, "goodput_per_s", NULL), all = 4 / number(o, "seconds", NULL);
        assert_true(cases[i].good ? good > 0.999 * all && good < 1.001 * all : good == 0);
        json_decref(o);
    }
}

/* Nobody is answered before all have come, which a closed loop of four clients would never see. */
static void an_open_loop_waits_for_nobody(void **state)
{
    (void)state;
    static const play plays[] = {WHOLE};
    script s = {.plays = plays, .n_plays = 1, .tokens = 2, .gather = 24};
    json_t *o = bench_json(&s, (const char *[]){"--rate", "100", "-r", "24", "-c", "4", "--json", NULL});
    assert_false(s.missed);
    assert_int_equal(number(o, "answered", NULL), 24);
    /* The first one waited for the last: its time counts from when it was due. */
    assert_true(number(o, "first_token_ms", "p99") > FIRST_MS + 50);
    json_decref(o);
}

/* The first of the two that came: two at a time come in any order. */
static void what_is_asked(void **state)
{
    (void)state;
    static const play plays[] = {WHOLE};
    char path[] = "/tmp/mqa-bench-keys-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "one\ntwo\n", 8) == 8);
    close(fd);
    script s = {.plays = plays, .n_plays = 1, .tokens = 1};
    json_t *o = bench_json(&s, (const char *[]){"-c", "1", "-r", "4", "-p", "5", "-n", "9", "--shared", "1",
                                                "--shared-words", "7", "-k", path, "--json", NULL});
    json_decref(o);
    unlink(path);
    json_t *first = json_loads(s.bodies[0], 0, NULL), *second = json_loads(s.bodies[1], 0, NULL);
    assert_true(json_is_object(first) && json_is_object(second));
    assert_int_equal(number(first, "max_tokens", NULL), 9);
    assert_true(json_is_true(json_object_get(first, "stream")));
    const char *a = json_string_value(json_object_get(first, "prompt"));
    const char *b = json_string_value(json_object_get(second, "prompt"));
    assert_string_not_equal(a, b);
    const size_t shared = strcspn(a, "\n");
    assert_true(shared > 7 * 3 && strncmp(a, b, shared + 1) == 0);
    for (int i = 0; i < 4; i++) assert_string_equal(s.keys[i], i % 2 ? "two" : "one");
    json_decref(first);
    json_decref(second);
}

static void a_picture(void **state)
{
    (void)state;
    static const play plays[] = {WHOLE};
    char path[] = "/tmp/mqa-bench-serve-XXXXXX", head[8];
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    script s = {.plays = plays, .n_plays = 1, .tokens = 3};
    drive_result r = bench(&s, (const char *[]){"-c", "2", "-r", "4", "--png", path, NULL});
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out, "4 answered"));
    drive_free(&r);
    FILE *png = fopen(path, "rb");
    assert_non_null(png);
    assert_int_equal(fread(head, 1, 8, png), 8);
    assert_memory_equal(head, "\x89PNG\r\n\x1a\n", 8);
    fclose(png);
    close(fd);
    unlink(path);
}

static void what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *args[6], *says;
    } cases[] = {{1, {"http://127.0.0.1:1", "-r", "2"}, "answered none of 2"},
                 {1, {"http://127.0.0.1:1", "--png", "/nonexistent/out"}, "/nonexistent/out"},
                 {1, {"http://127.0.0.1:1", "-k", "/nonexistent/keys"}, "/nonexistent/keys"},
                 {2, {"http://127.0.0.1:1", "--shared", "0.5"}, "--shared-words"},
                 {2, {NULL}, "no server"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *args[MAX_ARGS] = {"bench", "serve"};
        for (int k = 0; k < 6 && cases[i].args[k]; k++) args[2 + k] = cases[i].args[k];
        drive_result r = drive(args, NULL);
        if (!drive_failed_well(args, &r) || r.code != cases[i].code || !strstr(r.err, cases[i].says))
            fail_msg("case %zu: code %d: %s", i, r.code, r.err);
        drive_free(&r);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_is_counted),
        cmocka_unit_test(times_are_the_scripts),
        cmocka_unit_test(goals_divide_good_answers),
        cmocka_unit_test(an_open_loop_waits_for_nobody),
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(a_picture),
        cmocka_unit_test(what_is_wrong),
    };
    return cmocka_run_group_tests_name("mqa bench serve", tests, NULL, NULL);
}
