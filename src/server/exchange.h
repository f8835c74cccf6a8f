/* Inside http: what connections and exchanges know of each other.
 *
 * A connection's descriptor may be used under http's lock only, since it is closed after on_connection has
 * taken the connection out of the list. Locks are taken in the order http, exchange, libmicrohttpd's own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_EXCHANGE_H
#define MQA_SERVER_EXCHANGE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "server/http.h"

typedef struct mqa_connection {
    int fd;
    double deadline;       /* on http's clock; 0: none */
    double idle_since;     /* 0: a request is under way, its headers are in */
    mqa_exchange *waiting; /* not NULL while libmicrohttpd doesn't look at this connection */
    bool shed;             /* it was closed for another one, and isn't counted any more */
    bool refused;          /* there are too many: its request gets 503 */
    bool asked;            /* its client sends no more and was asked whether it is there */
    struct mqa_connection *next, **link;
} mqa_connection;

struct mqa_http {
    mqa_http_options options;
    mqa_http_handler handler;
    struct MHD_Daemon *daemon;
    pthread_t sweeper;
    atomic_bool stop;
    atomic_int n_answers; /* under way: begun, and not yet sent to the end */
    bool quiesced;
    pthread_mutex_t lock;
    mqa_connection *connections;
    int n_connections;
};

/* A request's headers are in: true, or false where there are too many connections to take it. */
bool mqa_connection_begin(mqa_http *http, mqa_connection *c);
/* The request is over. */
void mqa_connection_end(mqa_http *http, mqa_connection *c);
void mqa_connection_stop_clock(mqa_http *http, mqa_connection *c); /* the body is in */
void mqa_connection_set_waiting(mqa_http *http, mqa_connection *c, mqa_exchange *x);

/* libmicrohttpd's callbacks. */
enum MHD_Result mqa_exchange_access(void *user, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *data, size_t *n_data,
                                    void **context);
void mqa_exchange_completed(void *user, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode why);

/* The client has gone: lets libmicrohttpd find that out. */
void mqa_exchange_leave(mqa_exchange *x);

/* With http's lock: the client has closed its side, or has gone, which looks the same until something is sent
 * to it. Before an answer that is "100 Continue", of which any number may come (RFC 9110, 15.2): who has gone
 * resets the connection. MQA_ASK_LATER: it is just being answered. */
typedef enum mqa_ask_client { MQA_ASKED, MQA_ASK_LATER, MQA_CLIENT_GONE } mqa_ask_client;
mqa_ask_client mqa_exchange_ask_client(mqa_exchange *x, int fd);

#endif
