/* HTTP/1.1 over libmicrohttpd: whole requests in; answers out, whole or as a stream, at once or later and
 * from any thread. What libmicrohttpd lacks is here: limits on the time of headers and body, the news that a
 * client has gone while it waits, bodies that are bounded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_HTTP_H
#define MQA_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "mqa/status.h"

typedef struct mqa_http mqa_http;
/* One request and its answer. Counted: the server holds it while the connection lasts, others by _hold. */
typedef struct mqa_exchange mqa_exchange;

/* All are called on threads of the server, several at once. */
typedef struct mqa_http_handler {
    void *user;
    /* The headers are in, the body isn't. May answer already, then no body is read. */
    void (*begin)(void *user, mqa_exchange *x);
    /* The body is in. Answers now, or holds x and answers later. */
    void (*handle)(void *user, mqa_exchange *x);
    /* The answer was sent or the client has gone; also where begin and handle never were called. Once. */
    void (*end)(void *user, mqa_exchange *x);
} mqa_http_handler;

typedef struct mqa_http_options {
    const char *host; /* a numeric address, "127.0.0.1", "::1", "0.0.0.0" … or "localhost" */
    int port;         /* 0: any that is free */
    size_t max_body_bytes, max_header_bytes;
    int max_connections;
    double header_seconds; /* from the connection's start, or the last answer, to the end of the headers */
    double body_seconds;   /* from there to the end of the body */
    int n_threads;
} mqa_http_options;

/* MQA_ERR_INVALID_ARGUMENT for the address, MQA_ERR_IO where the port can't be had. */
mqa_status mqa_http_start(const mqa_http_options *options, const mqa_http_handler *handler, mqa_http **out,
                          mqa_error *err);
int mqa_http_port(const mqa_http *http);
int mqa_http_n_connections(mqa_http *http);
/* No connection is accepted any more; those that are there go on. */
void mqa_http_quiesce(mqa_http *http);
/* Until all answers are sent to the end, or `seconds` are over. */
void mqa_http_flush(mqa_http *http, double seconds);
/* Ends all connections. Exchanges that are held may be answered still; nobody hears it. */
void mqa_http_stop(mqa_http **http);
/* Whether an address is of this machine alone. */
bool mqa_http_is_loopback(const char *host);

/* ---- the request; valid as long as x ---- */

const char *mqa_exchange_method(const mqa_exchange *x);
const char *mqa_exchange_path(const mqa_exchange *x);                  /* without the query */
const char *mqa_exchange_body(const mqa_exchange *x, size_t *n_bytes); /* a 0 follows it */
/* In begin and handle alone; NULL where there is none. */
const char *mqa_exchange_header(mqa_exchange *x, const char *name);

/* A pointer of the handler's, NULL at first. */
void mqa_exchange_set_user(mqa_exchange *x, void *user);
void *mqa_exchange_user(const mqa_exchange *x);

void mqa_exchange_hold(mqa_exchange *x);
void mqa_exchange_release(mqa_exchange *x);

/* ---- the answer: from any thread, once; nothing happens where the client has gone ---- */

/* Before the answer. value is copied; at most 4. */
void mqa_exchange_add_header(mqa_exchange *x, const char *name, const char *value);
/* type: a string constant. bytes are copied. */
void mqa_exchange_answer(mqa_exchange *x, int status, const char *type, const char *bytes, size_t n);
/* In parts: send as often as you like, then finish. false: the client has gone, stop. */
bool mqa_exchange_stream(mqa_exchange *x, int status, const char *type);
bool mqa_exchange_send(mqa_exchange *x, const char *bytes, size_t n);
void mqa_exchange_finish(mqa_exchange *x);
bool mqa_exchange_gone(mqa_exchange *x);

#endif
