/* The HTTP layer with a handler that echoes, streams, waits and refuses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "server/http.h"

enum { MAX_BODY = 100000, MAX_CONNECTIONS = 100 };

typedef struct rig {
    mqa_http *http;
    int port;
    atomic_int n_begun, n_handled, n_ended, n_left;
    mqa_exchange *held; /* of /held */
    pthread_t streamer;
    bool streaming;
} rig;

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static void begin(void *user, mqa_exchange *x)
{
    rig *r = user;
    atomic_fetch_add(&r->n_begun, 1);
    const char *key = mqa_exchange_header(x, "X-Key");
    if (key && strcmp(key, "bad") == 0) mqa_exchange_answer(x, 401, "text/plain", "who?", 4);
}

/* Ten parts, 20 ms apart, until the client leaves. */
static void *stream(void *arg)
{
    mqa_exchange *x = arg;
    bool there = mqa_exchange_stream(x, 200, "text/event-stream");
    for (int i = 0; i < 10 && there; i++) {
        pause_ms(20);
        char part[32];
        const int n = snprintf(part, sizeof part, "data: %d\n\n", i);
        there = mqa_exchange_send(x, part, (size_t)n);
    }
    mqa_exchange_finish(x);
    mqa_exchange_release(x);
    return NULL;
}

static void handle(void *user, mqa_exchange *x)
{
    rig *r = user;
    size_t n;
    const char *body = mqa_exchange_body(x, &n);
    if (strcmp(mqa_exchange_path(x), "/stream") == 0) {
        mqa_exchange_hold(x);
        r->streaming = pthread_create(&r->streamer, NULL, stream, x) == 0;
    } else if (strcmp(mqa_exchange_path(x), "/held") == 0) {
        mqa_exchange_hold(x);
        r->held = x;
    } else {
        mqa_exchange_add_header(x, "X-Method", mqa_exchange_method(x));
        mqa_exchange_answer(x, 200, "text/plain", body, n);
    }
    atomic_fetch_add(&r->n_handled, 1); /* after what the test looks at */
}

static void end(void *user, mqa_exchange *x)
{
    (void)x;
    atomic_fetch_add(&((rig *)user)->n_ended, 1);
}

static int start(void **state)
{
    static rig r;
    memset(&r, 0, sizeof r);
    const mqa_http_options o = {.host = "127.0.0.1",
                                .max_body_bytes = MAX_BODY,
                                .max_header_bytes = 32768,
                                .max_connections = MAX_CONNECTIONS,
                                .header_seconds = 1,
                                .body_seconds = 1,
                                .n_threads = 2};
    const mqa_http_handler handler = {&r, begin, handle, end};
    mqa_error err;
    if (mqa_http_start(&o, &handler, &r.http, &err) != MQA_OK) return -1;
    r.port = mqa_http_port(r.http);
    *state = &r;
    return r.port > 0 ? 0 : -1;
}

static int stop(void **state)
{
    rig *r = *state;
    mqa_http_stop(&r->http);
    if (r->streaming) pthread_join(r->streamer, NULL);
    mqa_exchange_release(r->held);
    return atomic_load(&r->n_ended) >= atomic_load(&r->n_begun) ? 0 : -1;
}

static bool becomes(atomic_int *value, int wanted)
{
    for (int i = 0; i < 500; i++) {
        if (atomic_load(value) == wanted) return true;
        pause_ms(10);
    }
    return false;
}

static void answers_whole(void **state)
{
    rig *r = *state;
    char *a = client_ask(r->port, "POST", "/echo", NULL, "hello");
    assert_int_equal(client_status(a), 200);
    assert_non_null(strstr(a, "X-Method: POST"));
    assert_non_null(strstr(a, "\r\n\r\nhello"));
    free(a);
    assert_true(becomes(&r->n_ended, 1));
}

static void refuses_before_the_body(void **state)
{
    rig *r = *state;
    const int fd = client_connect(r->port);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nX-Key: bad\r\nContent-Length: 50000\r\n\r\n");
    char *a = client_read(fd, "who?", 5); /* though no byte of the body was sent */
    assert_int_equal(client_status(a), 401);
    assert_int_equal(atomic_load(&r->n_handled), 0);
    free(a);
    close(fd);
}

static void streams(void **state)
{
    rig *r = *state;
    char *a = client_ask(r->port, "GET", "/stream", NULL, NULL);
    assert_int_equal(client_status(a), 200);
    for (int i = 0; i < 10; i++) {
        char part[32];
        snprintf(part, sizeof part, "data: %d\n\n", i);
        assert_non_null(strstr(a, part));
    }
    free(a);
}

static void hears_that_a_client_left(void **state)
{
    rig *r = *state;
    const int fd = client_connect(r->port);
    client_send(fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(becomes(&r->n_handled, 1));
    assert_int_equal(atomic_load(&r->n_ended), 0);
    close(fd);
    assert_true(becomes(&r->n_ended, 1)); /* while nobody answered */
    assert_true(mqa_exchange_gone(r->held));
    mqa_exchange_answer(r->held, 200, "text/plain", "late", 4);
    assert_false(mqa_exchange_stream(r->held, 200, "text/plain"));
}

static void answers_later(void **state)
{
    rig *r = *state;
    const int fd = client_connect(r->port);
    client_send(fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(becomes(&r->n_handled, 1));
    pause_ms(300);
    mqa_exchange_answer(r->held, 200, "text/plain", "later", 5);
    char *a = client_read(fd, "later", 5);
    assert_int_equal(client_status(a), 200);
    free(a);
    mqa_exchange_release(r->held);
    r->held = NULL;
    client_send(fd,
                "POST /again HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"); /* the same connection */
    a = client_read(fd, "\r\n\r\nok", 5);
    assert_int_equal(client_status(a), 200);
    free(a);
    close(fd);
}

/* Who sends no more may still read: it isn't taken for one who has gone. */
static void answers_half_closed(void **state)
{
    rig *r = *state;
    const int fd = client_connect(r->port);
    client_send(fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(becomes(&r->n_handled, 1));
    shutdown(fd, SHUT_WR);
    pause_ms(400);
    assert_int_equal(atomic_load(&r->n_ended), 0);
    mqa_exchange_answer(r->held, 200, "text/plain", "later", 5);
    char *a = client_read(fd, "later", 5), *last = strstr(a, "HTTP/1.1 200");
    assert_non_null(last); /* after "100 Continue", by which the server asks whether the client is there */
    assert_non_null(strstr(last, "\r\n\r\nlater"));
    free(a);
    close(fd);
    const int stream = client_connect(r->port);
    client_send(stream, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(stream, SHUT_WR);
    a = client_read(stream, "data: 9\n\n", 5);
    assert_non_null(strstr(a, "data: 9\n\n"));
    assert_null(strstr(strstr(a, "200 OK"), "100 Continue"));
    free(a);
    close(stream);
}

static void bounds_bodies(void **state)
{
    rig *r = *state;
    char *body = malloc(MAX_BODY + 2);
    memset(body, 'a', MAX_BODY + 1);
    body[MAX_BODY + 1] = 0;
    char *a = client_ask(r->port, "POST", "/echo", NULL, body);
    assert_int_equal(client_status(a), 413);
    free(a);
    body[MAX_BODY] = 0;
    a = client_ask(r->port, "POST", "/echo", NULL, body);
    assert_int_equal(client_status(a), 200);
    free(a);
    /* Of a length that isn't said. */
    const int fd = client_connect(r->port);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n");
    client_send(fd, body);
    client_send(fd, "\r\n5\r\nmore!\r\n0\r\n\r\n");
    a = client_read(fd, "request_too_large", 5);
    assert_int_equal(client_status(a), 413);
    free(a);
    free(body);
    close(fd);
}

static void closes_the_slow(void **state)
{
    rig *r = *state;
    const int headers = client_connect(r->port), body = client_connect(r->port),
              idle = client_connect(r->port);
    client_send(headers, "POST /echo HTTP/1.1\r\nHo");
    client_send(body, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    for (int i = 0; i < 16; i++) { /* a byte now and then doesn't help */
        pause_ms(150);
        client_send(headers, "s");
    }
    for (int i = 0; i < 500 && mqa_http_n_connections(r->http) > 0; i++) pause_ms(10);
    assert_int_equal(mqa_http_n_connections(r->http), 0);
    close(headers);
    close(body);
    close(idle);
}

/* New ones come in at once however many there are: idle ones make room, the oldest first. */
static void sheds_the_idle(void **state)
{
    rig *r = *state;
    int idle[3 * MAX_CONNECTIONS];
    const int held = client_connect(r->port);
    client_send(held, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(becomes(&r->n_handled, 1));
    for (int i = 0; i < 3 * MAX_CONNECTIONS; i++) idle[i] = client_connect(r->port);
    char *a = client_ask(r->port, "POST", "/echo", NULL, "now");
    assert_int_equal(client_status(a), 200);
    free(a);
    assert_true(mqa_http_n_connections(r->http) <= MAX_CONNECTIONS);
    a = client_read(idle[0], NULL, 5); /* closed */
    assert_string_equal(a, "");
    free(a);
    client_send(idle[3 * MAX_CONNECTIONS - 1], "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"); /* not closed */
    a = client_read(idle[3 * MAX_CONNECTIONS - 1], "X-Method", 5);
    assert_int_equal(client_status(a), 200);
    free(a);
    assert_int_equal(atomic_load(&r->n_ended), 2); /* /held is let be */
    for (int i = 0; i < 3 * MAX_CONNECTIONS; i++) close(idle[i]);
    close(held);
}

/* Where none is idle, who comes then hears at once that there is no room. */
static void refuses_too_many(void **state)
{
    rig *r = *state;
    int busy[MAX_CONNECTIONS];
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        busy[i] = client_connect(r->port);
        client_send(busy[i], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    }
    assert_true(becomes(&r->n_begun, MAX_CONNECTIONS));
    char *a = client_ask(r->port, "POST", "/echo", NULL, "me, too");
    assert_int_equal(client_status(a), 503);
    assert_non_null(strstr(a, "Retry-After: 1"));
    free(a);
    client_send(busy[0], "defghij");
    a = client_read(busy[0], "abcdefghij", 5);
    assert_int_equal(client_status(a), 200);
    free(a);
    for (int i = 0; i < MAX_CONNECTIONS; i++) close(busy[i]);
}

/* A second request hidden in what another server would take for the first one's body is never run. */
static void refuses_two_lengths(void **state)
{
    rig *r = *state;
    static const char *const headers[] = {
        "Content-Length: 6\r\nContent-Length: 40\r\n",
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: 6, 6\r\n",
        "Content-Length: +6\r\n",
        "Content-Length: 0x6\r\n",
        "Content-Length : 6\r\n",
        "Transfer-Encoding : chunked\r\n",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char request[400];
        snprintf(request, sizeof request,
                 "POST /echo HTTP/1.1\r\nHost: x\r\n%s\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: x\r\n\r\n",
                 headers[i]);
        const int fd = client_connect(r->port);
        client_send(fd, request);
        char *a = client_read(fd, NULL, 3);
        if (strstr(a, " 200 ") || strstr(a, "X-Method")) fail_msg("headers %zu: %s", i, a);
        free(a);
        close(fd);
    }
    assert_int_equal(atomic_load(&r->n_handled), 0);
}

static void takes_rubbish(void **state)
{
    rig *r = *state;
    static const char *const rubbish[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", /* without a Host */
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
    };
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        const int fd = client_connect(r->port);
        client_send(fd, rubbish[i]);
        shutdown(fd, SHUT_WR);
        char *a = client_read(fd, NULL, 5);
        if (client_status(a) == 200) fail_msg("line %zu: %s", i, a);
        free(a);
        close(fd);
    }
    char *a = client_ask(r->port, "POST", "/echo", NULL, "still");
    assert_int_equal(client_status(a), 200);
    free(a);
}

/* Stopping while one waits, one streams and one is idle; teardown checks that all were told. */
static void stops_in_the_middle(void **state)
{
    rig *r = *state;
    const int held = client_connect(r->port), streamed = client_connect(r->port),
              idle = client_connect(r->port);
    client_send(held, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    client_send(streamed, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(becomes(&r->n_handled, 2));
    mqa_http_stop(&r->http);
    assert_int_equal(atomic_load(&r->n_ended), 2);
    close(held);
    close(streamed);
    close(idle);
}

typedef struct late_reader {
    int fd;
    char *text;
} late_reader;

static void *read_late(void *arg)
{
    late_reader *l = arg;
    pause_ms(200);
    l->text = client_read(l->fd, NULL, 30);
    return NULL;
}

/* More than the system's buffers take, to a client that isn't in a hurry. */
static void flushes_what_was_answered(void **state)
{
    rig *r = *state;
    enum { BYTES = 16 << 20 };
    char *big = malloc(BYTES);
    assert_non_null(big);
    memset(big, 'x', BYTES);
    late_reader l = {.fd = client_connect(r->port)};
    client_send(l.fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(becomes(&r->n_handled, 1));
    mqa_exchange_answer(r->held, 200, "text/plain", big, BYTES);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_late, &l), 0);
    mqa_http_flush(r->http, 30);
    mqa_http_stop(&r->http);
    pthread_join(reader, NULL);
    const char *body = strstr(l.text, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), BYTES);
    close(l.fd);
    free(l.text);
    free(big);
}

static void knows_loopback(void **state)
{
    (void)state;
    assert_true(mqa_http_is_loopback("127.0.0.1"));
    assert_true(mqa_http_is_loopback("127.9.9.9"));
    assert_true(mqa_http_is_loopback("::1"));
    assert_true(mqa_http_is_loopback("localhost"));
    assert_false(mqa_http_is_loopback("0.0.0.0"));
    assert_false(mqa_http_is_loopback("::"));
    assert_false(mqa_http_is_loopback("192.168.0.1"));
    assert_false(mqa_http_is_loopback("example"));
}

int main(void)
{
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(answers_whole),
        WITH_SERVER(refuses_before_the_body),
        WITH_SERVER(streams),
        WITH_SERVER(hears_that_a_client_left),
        WITH_SERVER(answers_later),
        WITH_SERVER(bounds_bodies),
        WITH_SERVER(closes_the_slow),
        WITH_SERVER(answers_half_closed),
        WITH_SERVER(sheds_the_idle),
        WITH_SERVER(refuses_too_many),
        WITH_SERVER(refuses_two_lengths),
        WITH_SERVER(takes_rubbish),
        WITH_SERVER(stops_in_the_middle),
        WITH_SERVER(flushes_what_was_answered),
        cmocka_unit_test(knows_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
