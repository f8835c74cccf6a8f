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
    mqa_exchange *waiting; /* not NULL while libmicrohttpd doesn't look at this connection */
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

void mqa_connection_set_deadline(mqa_http *http, mqa_connection *c, double seconds); /* 0: none */
void mqa_connection_set_waiting(mqa_http *http, mqa_connection *c, mqa_exchange *x);

/* libmicrohttpd's callbacks. */
enum MHD_Result mqa_exchange_access(void *user, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *data, size_t *n_data,
                                    void **context);
void mqa_exchange_completed(void *user, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode why);

/* The client has gone: lets libmicrohttpd find that out. */
void mqa_exchange_leave(mqa_exchange *x);

#endif
