/* One request and its answer, between libmicrohttpd's thread and whoever answers.
 *
 * Who waits is suspended: libmicrohttpd leaves the connection alone until it is resumed, by an answer, a part
 * of a stream, or the news that the client has gone. Suspending happens in libmicrohttpd's callbacks alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/exchange.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/status.h"
#include "tokenizer/array.h"

enum { MAX_HEADERS = 4, STREAM_BLOCK = 16384, DISCARD_BYTES = 1 << 20, LARGE_BYTES = 1 << 20 };

typedef enum phase { READING, HANDLED, ANSWERED, STREAMING, QUEUED } phase;

struct mqa_exchange {
    mqa_http *http;
    mqa_connection *at; /* libmicrohttpd's thread alone looks at it */
    struct MHD_Connection *connection;
    char *method, *path;
    bool takes_interim; /* HTTP/1.1: other answers may come before the answer */
    mqa_text body;
    bool was_large; /* body or answer */
    size_t n_discarded;
    void *user;
    atomic_int n_holders;

    pthread_mutex_t lock; /* of all below */
    phase phase;
    bool suspended, gone, finished;
    int status;
    const char *type;
    struct {
        const char *name;
        char *value;
    } headers[MAX_HEADERS];
    int n_headers;
    mqa_text out;
    size_t n_sent; /* of out */
};

/* ---- life ---- */

static mqa_exchange *make(mqa_http *http, struct MHD_Connection *connection, const char *url,
                          const char *method, const char *version)
{
    mqa_exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->http = http;
    x->connection = connection;
    x->at = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    x->method = strdup(method);
    x->path = strdup(url);
    x->takes_interim = strcmp(version, MHD_HTTP_VERSION_1_1) == 0;
    atomic_init(&x->n_holders, 1);
    pthread_mutex_init(&x->lock, NULL);
    if (x->method && x->path) return x;
    mqa_exchange_release(x);
    return NULL;
}

/* What a large body came to, as JSON and tokens, was many times its size and is free by now: free() would
 * keep much of it for what may come. */
static void give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void mqa_exchange_hold(mqa_exchange *x)
{
    atomic_fetch_add(&x->n_holders, 1);
}

void mqa_exchange_release(mqa_exchange *x)
{
    if (!x || atomic_fetch_sub(&x->n_holders, 1) != 1) return;
    const bool was_large = x->was_large;
    for (int i = 0; i < x->n_headers; i++) free(x->headers[i].value);
    free(x->method);
    free(x->path);
    mqa_text_free(&x->body);
    mqa_text_free(&x->out);
    pthread_mutex_destroy(&x->lock);
    free(x);
    if (was_large) give_back();
}

/* With x's lock: whoever waits goes on. */
static void wake(mqa_exchange *x)
{
    if (!x->suspended) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
}

void mqa_exchange_leave(mqa_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->gone = true;
    wake(x);
    pthread_mutex_unlock(&x->lock);
}

/* Who is suspended is let alone by libmicrohttpd, so nothing comes between these bytes. */
mqa_ask_client mqa_exchange_ask_client(mqa_exchange *x, int fd)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    mqa_ask_client result = MQA_ASKED;
    pthread_mutex_lock(&x->lock);
    if (!x->suspended)
        result = MQA_ASK_LATER;
    else if (x->phase == HANDLED && /* else the next part of the stream asks */
             (!x->takes_interim || send(fd, interim, sizeof interim - 1, MSG_DONTWAIT | MSG_NOSIGNAL) !=
                                       (ssize_t)sizeof interim - 1))
        result = MQA_CLIENT_GONE;
    pthread_mutex_unlock(&x->lock);
    return result;
}

/* ---- what the handler asks ---- */

const char *mqa_exchange_method(const mqa_exchange *x)
{
    return x->method;
}

const char *mqa_exchange_path(const mqa_exchange *x)
{
    return x->path;
}

const char *mqa_exchange_body(const mqa_exchange *x, size_t *n_bytes)
{
    *n_bytes = x->body.n;
    return x->body.n ? x->body.bytes : "";
}

const char *mqa_exchange_header(mqa_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

void mqa_exchange_set_user(mqa_exchange *x, void *user)
{
    x->user = user;
}

void *mqa_exchange_user(const mqa_exchange *x)
{
    return x->user;
}

/* ---- the answer ---- */

void mqa_exchange_add_header(mqa_exchange *x, const char *name, const char *value)
{
    pthread_mutex_lock(&x->lock);
    char *copy = x->n_headers < MAX_HEADERS ? strdup(value) : NULL;
    if (copy) {
        x->headers[x->n_headers].name = name;
        x->headers[x->n_headers++].value = copy;
    }
    pthread_mutex_unlock(&x->lock);
}

/* Takes the bytes, or gives the client up where there is no memory for them. */
static void put(mqa_exchange *x, const char *bytes, size_t n)
{
    if (n > 0 && mqa_text_append(&x->out, bytes, n, NULL) != MQA_OK) x->gone = true;
}

static bool open_answer(mqa_exchange *x, phase next, int status, const char *type)
{
    if (x->gone || x->phase > HANDLED) return false;
    x->phase = next;
    x->status = status;
    x->type = type;
    atomic_fetch_add(&x->http->n_answers, 1);
    return true;
}

void mqa_exchange_answer(mqa_exchange *x, int status, const char *type, const char *bytes, size_t n)
{
    pthread_mutex_lock(&x->lock);
    if (open_answer(x, ANSWERED, status, type)) put(x, bytes, n);
    wake(x);
    pthread_mutex_unlock(&x->lock);
}

bool mqa_exchange_stream(mqa_exchange *x, int status, const char *type)
{
    pthread_mutex_lock(&x->lock);
    const bool ok = open_answer(x, STREAMING, status, type);
    wake(x);
    pthread_mutex_unlock(&x->lock);
    return ok;
}

bool mqa_exchange_send(mqa_exchange *x, const char *bytes, size_t n)
{
    pthread_mutex_lock(&x->lock);
    if (!x->gone) put(x, bytes, n);
    const bool ok = !x->gone;
    wake(x);
    pthread_mutex_unlock(&x->lock);
    return ok;
}

void mqa_exchange_finish(mqa_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->finished = true;
    wake(x);
    pthread_mutex_unlock(&x->lock);
}

bool mqa_exchange_gone(mqa_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool gone = x->gone;
    pthread_mutex_unlock(&x->lock);
    return gone;
}

/* ---- on libmicrohttpd's threads ---- */

/* With x's lock. No exchange begins to wait once the server stops. */
static void suspend(mqa_exchange *x)
{
    x->suspended = true;
    MHD_suspend_connection(x->connection);
}

static ssize_t read_stream(void *user, uint64_t position, char *to, size_t most)
{
    (void)position;
    mqa_exchange *x = user;
    ssize_t result = 0;
    mqa_connection_set_waiting(x->http, x->at, x);
    pthread_mutex_lock(&x->lock);
    const size_t left = x->out.n - x->n_sent;
    if (x->gone || (left == 0 && !x->finished && atomic_load(&x->http->stop))) {
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (left > 0) {
        const size_t n = left < most ? left : most;
        memcpy(to, x->out.bytes + x->n_sent, n);
        x->n_sent += n;
        if (x->n_sent == x->out.n) x->out.n = x->n_sent = 0;
        result = (ssize_t)n;
    } else if (x->finished) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        suspend(x);
    }
    pthread_mutex_unlock(&x->lock);
    if (result != 0) mqa_connection_set_waiting(x->http, x->at, NULL);
    return result;
}

static void free_stream(void *user)
{
    mqa_exchange_release(user);
}

/* With x's lock, in the phase ANSWERED or STREAMING. */
static struct MHD_Response *make_response(mqa_exchange *x)
{
    struct MHD_Response *response;
    if (x->phase == ANSWERED) {
        response =
            MHD_create_response_from_buffer(x->out.n, x->out.n ? x->out.bytes : "", MHD_RESPMEM_MUST_COPY);
    } else {
        mqa_exchange_hold(x);
        response =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x, free_stream);
        if (!response) mqa_exchange_release(x);
    }
    if (!response) return NULL;
    MHD_add_response_header(response, "Content-Type", x->type);
    for (int i = 0; i < x->n_headers; i++)
        MHD_add_response_header(response, x->headers[i].name, x->headers[i].value);
    return response;
}

/* Gives libmicrohttpd the answer, if there is one, else waits for it. */
static enum MHD_Result answer_or_wait(mqa_exchange *x)
{
    enum MHD_Result result = MHD_YES;
    struct MHD_Response *response = NULL;
    mqa_connection_set_waiting(x->http, x->at, x);
    pthread_mutex_lock(&x->lock);
    const bool waits = x->phase <= HANDLED && !x->gone && !atomic_load(&x->http->stop);
    const int status = x->status;
    if (waits) {
        suspend(x);
    } else if (x->gone || x->phase <= HANDLED) {
        result = MHD_NO;
    } else {
        response = make_response(x);
        x->phase = QUEUED;
        if (!response) result = MHD_NO;
    }
    pthread_mutex_unlock(&x->lock);
    if (!waits) mqa_connection_set_waiting(x->http, x->at, NULL);
    if (response) {
        result = MHD_queue_response(x->connection, (unsigned)status, response);
        MHD_destroy_response(response);
    }
    return result;
}

static bool has_answer(mqa_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool answered = x->phase > HANDLED;
    pthread_mutex_unlock(&x->lock);
    return answered;
}

static void refuse(mqa_exchange *x, int status, const char *type, const char *code, const char *why)
{
    char text[256];
    const int n = snprintf(text, sizeof text,
                           "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
                           why, type, code);
    mqa_exchange_add_header(x, "Connection", "close");
    mqa_exchange_answer(x, status, "application/json", text, (size_t)n);
}

static void refuse_length(mqa_exchange *x)
{
    refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "invalid_request_error", "request_too_large",
           "the body is too long for this server");
}

typedef struct framing {
    int n;        /* headers that say where the request ends */
    bool unclear; /* there is one that others may read in another way */
} framing;

static enum MHD_Result look_at_header(void *user, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind, (void)value;
    framing *f = user;
    f->n += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 ||
            strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    for (const char *c = key; *c; c++) f->unclear |= *c <= ' ' || *c == 127;
    return MHD_YES;
}

/* Where a request ends must be said once, and clearly: a server in front that reads it in another way would
 * take what follows for another request (RFC 9112, 5.1 and 11.2). */
static bool is_ambiguous(mqa_exchange *x)
{
    framing f = {0};
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, look_at_header, &f);
    const char *encoding = mqa_exchange_header(x, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    return f.n > 1 || f.unclear || (encoding && strcasecmp(encoding, "chunked") != 0);
}

static enum MHD_Result begin(mqa_http *http, mqa_exchange *x)
{
    const char *length = mqa_exchange_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!mqa_connection_begin(http, x->at)) {
        mqa_exchange_add_header(x, "Retry-After", "1");
        refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "server_error", "too_many_connections",
               "there are too many connections");
    } else if (is_ambiguous(x)) {
        refuse(x, MHD_HTTP_BAD_REQUEST, "invalid_request_error", "ambiguous_length",
               "the request says more than once, or unclearly, where it ends");
    } else if (length && strtoull(length, NULL, 10) > http->options.max_body_bytes) {
        refuse_length(x);
    } else {
        http->handler.begin(http->handler.user, x);
    }
    /* Who answers before the body is in gives up the connection. */
    const bool has_body = length ? strtoull(length, NULL, 10) > 0
                                 : mqa_exchange_header(x, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
    return has_body && has_answer(x) ? answer_or_wait(x) : MHD_YES;
}

/* A body whose length wasn't said beforehand is read on a little, so that the client hears why. */
static enum MHD_Result take_body(mqa_http *http, mqa_exchange *x, const char *data, size_t n)
{
    if (x->n_discarded > 0 || n > http->options.max_body_bytes - x->body.n) {
        x->n_discarded += n;
        return x->n_discarded > DISCARD_BYTES ? MHD_NO : MHD_YES;
    }
    x->was_large |= x->body.n + n >= LARGE_BYTES;
    return mqa_text_append(&x->body, data, n, NULL) == MQA_OK ? MHD_YES : MHD_NO;
}

enum MHD_Result mqa_exchange_access(void *user, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *data, size_t *n_data,
                                    void **context)
{
    mqa_http *http = user;
    mqa_exchange *x = *context;
    if (!x) {
        *context = x = make(http, connection, url, method, version);
        return x ? begin(http, x) : MHD_NO;
    }
    if (*n_data > 0) {
        const size_t n = *n_data;
        *n_data = 0;
        return take_body(http, x, data, n);
    }
    mqa_connection_stop_clock(http, x->at);
    if (x->phase == READING) { /* no other thread knows x yet */
        x->phase = HANDLED;
        if (x->n_discarded > 0)
            refuse_length(x);
        else
            http->handler.handle(http->handler.user, x);
    }
    return answer_or_wait(x);
}

void mqa_exchange_completed(void *user, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    mqa_http *http = user;
    mqa_exchange *x = *context;
    if (!x) return;
    *context = NULL;
    mqa_connection_end(http, x->at);
    pthread_mutex_lock(&x->lock);
    x->gone = true;
    const bool answered = x->phase > HANDLED;
    pthread_mutex_unlock(&x->lock);
    if (answered) atomic_fetch_sub(&http->n_answers, 1);
    http->handler.end(http->handler.user, x);
    mqa_exchange_release(x);
}
