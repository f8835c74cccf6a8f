/* The daemon and its connections; exchange.c has what goes over them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/status.h"
#include "server/exchange.h"

enum { SWEEP_MS = 100, FLUSH_MS = 5, STALLED_SECONDS = 60 };
enum { SPARE_CONNECTIONS = 256 }; /* beyond the most: that are being closed, or refused */
enum { OTHER_FILES = 128 };

/* ---- addresses ---- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

static bool parse_address(const char *host, int port, address *out)
{
    memset(out, 0, sizeof *out);
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return true;
    }
    return false;
}

bool mqa_http_is_loopback(const char *host)
{
    address a;
    if (!parse_address(host, 0, &a)) return false;
    if (a.any.sa_family == AF_INET) return ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

/* ---- connections ---- */

/* Closes the one that has been idle longest, not yet having asked anything, or not again. With the lock. */
static bool shed_idle(mqa_http *http, const mqa_connection *but)
{
    mqa_connection *oldest = NULL;
    for (mqa_connection *c = http->connections; c; c = c->next)
        if (c != but && !c->shed && c->idle_since > 0 && (!oldest || c->idle_since < oldest->idle_since))
            oldest = c;
    if (!oldest) return false;
    shutdown(oldest->fd, SHUT_RDWR);
    oldest->shed = true;
    http->n_connections--;
    return true;
}

static mqa_connection *add_connection(mqa_http *http, struct MHD_Connection *connection)
{
    mqa_connection *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->idle_since = mqa_seconds();
    c->deadline = c->idle_since + http->options.header_seconds;
    c->next = http->connections;
    if (c->next) c->next->link = &c->next;
    c->link = &http->connections;
    http->connections = c;
    if (++http->n_connections > http->options.max_connections) c->refused = !shed_idle(http, c);
    return c;
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    mqa_http *http = user;
    mqa_connection *c = *context;
    pthread_mutex_lock(&http->lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = add_connection(http, connection);
    } else if (c) {
        *c->link = c->next;
        if (c->next) c->next->link = c->link;
        if (!c->shed) http->n_connections--;
        free(c);
        *context = NULL;
    }
    pthread_mutex_unlock(&http->lock);
}

bool mqa_connection_begin(mqa_http *http, mqa_connection *c)
{
    if (!c) return false;
    pthread_mutex_lock(&http->lock);
    c->idle_since = 0;
    c->asked = false;
    c->deadline = mqa_seconds() + http->options.body_seconds;
    const bool taken = !c->refused;
    pthread_mutex_unlock(&http->lock);
    return taken;
}

void mqa_connection_end(mqa_http *http, mqa_connection *c)
{
    if (!c) return;
    pthread_mutex_lock(&http->lock);
    c->waiting = NULL;
    c->idle_since = mqa_seconds();
    c->deadline = c->idle_since + http->options.header_seconds;
    pthread_mutex_unlock(&http->lock);
}

void mqa_connection_stop_clock(mqa_http *http, mqa_connection *c)
{
    if (!c) return;
    pthread_mutex_lock(&http->lock);
    c->deadline = 0;
    pthread_mutex_unlock(&http->lock);
}

void mqa_connection_set_waiting(mqa_http *http, mqa_connection *c, mqa_exchange *x)
{
    if (!c) return;
    pthread_mutex_lock(&http->lock);
    c->waiting = x;
    pthread_mutex_unlock(&http->lock);
}

/* Whether the client of a connection that waits has gone, as far as can be told now. */
static bool has_gone(mqa_connection *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) <= 0) return false;
    if (p.revents & (POLLERR | POLLHUP | POLLNVAL)) return true;
    if (c->asked) return false;
    const mqa_ask_client asked = mqa_exchange_ask_client(c->waiting, c->fd);
    c->asked = asked == MQA_ASKED;
    return asked == MQA_CLIENT_GONE;
}

/* Connections that are too slow, and clients that have gone while their exchange waits: libmicrohttpd looks
 * at neither. Under the lock no connection's descriptor is closed. Who has gone is told outside of it. */
static size_t sweep_once(mqa_http *http, mqa_exchange **gone, size_t most)
{
    size_t n = 0;
    pthread_mutex_lock(&http->lock);
    const double now = mqa_seconds();
    for (mqa_connection *c = http->connections; c; c = c->next) {
        if (c->deadline > 0 && now > c->deadline) {
            shutdown(c->fd, SHUT_RDWR);
            c->deadline = 0;
        }
        if (c->waiting && n < most && has_gone(c)) {
            mqa_exchange_hold(c->waiting);
            gone[n++] = c->waiting;
            c->waiting = NULL;
        }
    }
    pthread_mutex_unlock(&http->lock);
    return n;
}

static void *sweep(void *arg)
{
    mqa_http *http = arg;
    while (!atomic_load(&http->stop)) {
        enum { MOST = 64 };
        mqa_exchange *gone[MOST];
        const size_t n = sweep_once(http, gone, MOST);
        for (size_t i = 0; i < n; i++) {
            mqa_exchange_leave(gone[i]);
            mqa_exchange_release(gone[i]);
        }
        nanosleep(&(struct timespec){.tv_nsec = SWEEP_MS * 1000000L}, NULL);
    }
    return NULL;
}

/* ---- start and stop ---- */

/* Every connection is a file, and many systems allow a process 1,024 unless it asks for more. */
static mqa_status make_room(const mqa_http_options *o, mqa_error *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return MQA_OK;
    const rlim_t needed = (rlim_t)o->max_connections + SPARE_CONNECTIONS + OTHER_FILES;
    if (files.rlim_cur >= needed) return MQA_OK;
    files.rlim_cur = files.rlim_max < needed ? files.rlim_max : needed;
    if (files.rlim_cur < needed)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%d connections need %llu open files, and %llu are allowed: give --max-connections, "
                        "or raise the limit (ulimit -Hn, LimitNOFILE)",
                        o->max_connections, (unsigned long long)needed, (unsigned long long)files.rlim_cur);
    return setrlimit(RLIMIT_NOFILE, &files) == 0 ? MQA_OK
                                                 : mqa_fail(err, MQA_ERR_IO, "can't have %llu open files: %s",
                                                            (unsigned long long)needed, strerror(errno));
}

static mqa_status start_daemon(mqa_http *http, mqa_error *err)
{
    const mqa_http_options *o = &http->options;
    address a;
    if (!parse_address(o->host, o->port, &a))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "'%s' is no address: give a numeric one", o->host);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    if (a.any.sa_family == AF_INET6) flags |= MHD_USE_IPv6;
    const int threads = o->n_threads > 1 ? o->n_threads : 1;
    /* It gives each thread its part, and a thread that has its part accepts no more, without a word: all may
     * come to one. What is too many is decided here. */
    const unsigned most = (unsigned)threads * (unsigned)(o->max_connections + SPARE_CONNECTIONS);
    errno = 0;
    http->daemon = MHD_start_daemon(
        flags, (uint16_t)o->port, NULL, NULL, mqa_exchange_access, http, MHD_OPTION_SOCK_ADDR, &a.any,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED,
        mqa_exchange_completed, http, MHD_OPTION_CONNECTION_MEMORY_LIMIT, o->max_header_bytes,
        MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)STALLED_SECONDS,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END,
        (unsigned)threads, MHD_OPTION_END);
    if (!http->daemon)
        return mqa_fail(err, MQA_ERR_IO, "can't listen on %s port %d: %s", o->host, o->port,
                        errno ? strerror(errno) : "is it in use?");
    return MQA_OK;
}

mqa_status mqa_http_start(const mqa_http_options *options, const mqa_http_handler *handler, mqa_http **out,
                          mqa_error *err)
{
    *out = NULL;
    mqa_http *http = calloc(1, sizeof *http);
    if (!http) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the server");
    http->options = *options;
    http->handler = *handler;
    pthread_mutex_init(&http->lock, NULL);
    mqa_status status = make_room(&http->options, err);
    if (status == MQA_OK) status = start_daemon(http, err);
    if (status == MQA_OK && pthread_create(&http->sweeper, NULL, sweep, http) != 0) {
        MHD_stop_daemon(http->daemon);
        status = mqa_fail(err, MQA_ERR_IO, "can't start a thread");
    }
    if (status == MQA_OK) {
        *out = http;
        return MQA_OK;
    }
    pthread_mutex_destroy(&http->lock);
    free(http);
    return status;
}

int mqa_http_port(const mqa_http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

int mqa_http_n_connections(mqa_http *http)
{
    pthread_mutex_lock(&http->lock);
    const int n = http->n_connections;
    pthread_mutex_unlock(&http->lock);
    return n;
}

void mqa_http_quiesce(mqa_http *http)
{
    if (http->quiesced) return;
    http->quiesced = true;
    const MHD_socket listener = MHD_quiesce_daemon(http->daemon);
    if (listener != MHD_INVALID_SOCKET) close(listener);
}

void mqa_http_flush(mqa_http *http, double seconds)
{
    const double end = mqa_seconds() + seconds;
    while (atomic_load(&http->n_answers) > 0 && mqa_seconds() < end)
        nanosleep(&(struct timespec){.tv_nsec = FLUSH_MS * 1000000L}, NULL);
}

/* libmicrohttpd must not be stopped while connections are suspended. */
static void leave_all(mqa_http *http)
{
    for (bool any = true; any;) {
        any = false;
        pthread_mutex_lock(&http->lock);
        mqa_exchange *x = NULL;
        for (mqa_connection *c = http->connections; c && !x; c = c->next) {
            x = c->waiting;
            c->waiting = NULL;
        }
        if (x) mqa_exchange_hold(x);
        pthread_mutex_unlock(&http->lock);
        if (x) {
            mqa_exchange_leave(x);
            mqa_exchange_release(x);
            any = true;
        }
    }
}

void mqa_http_stop(mqa_http **http_pointer)
{
    if (!http_pointer || !*http_pointer) return;
    mqa_http *http = *http_pointer;
    mqa_http_quiesce(http);
    atomic_store(&http->stop, true); /* from here on no exchange begins to wait */
    pthread_join(http->sweeper, NULL);
    leave_all(http);
    MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->lock);
    free(http);
    *http_pointer = NULL;
}
