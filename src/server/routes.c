/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/endpoints.h"
#include "server/inside.h"

static const mqa_route routes[] = {
    {"POST", "/v1/completions", MQA_ACCESS_MODEL, mqa_endpoint_completions},
    {"POST", "/v1/chat/completions", MQA_ACCESS_MODEL, mqa_endpoint_chat},
    {"GET", "/v1/models", MQA_ACCESS_TENANT, mqa_endpoint_models},
    /* For clients whose base URL lacks the /v1. */
    {"POST", "/completions", MQA_ACCESS_MODEL, mqa_endpoint_completions},
    {"POST", "/chat/completions", MQA_ACCESS_MODEL, mqa_endpoint_chat},
    {"GET", "/models", MQA_ACCESS_TENANT, mqa_endpoint_models},
    {"POST", "/tokenize", MQA_ACCESS_MODEL, mqa_endpoint_tokenize},
    {"POST", "/detokenize", MQA_ACCESS_MODEL, mqa_endpoint_detokenize},
    {"GET", "/metrics", MQA_ACCESS_OPERATOR, mqa_endpoint_metrics},
    {"GET", "/status", MQA_ACCESS_OPERATOR, mqa_endpoint_status},
    {"GET", "/health", MQA_ACCESS_ALL, mqa_endpoint_health},
    {"GET", "/openapi.json", MQA_ACCESS_ALL, mqa_endpoint_page},
    {"GET", "/", MQA_ACCESS_ALL, mqa_endpoint_page},
    {"GET", "/page.js", MQA_ACCESS_ALL, mqa_endpoint_page},
    {"GET", "/page.css", MQA_ACCESS_ALL, mqa_endpoint_page},
    {"GET", "/icon.svg", MQA_ACCESS_ALL, mqa_endpoint_page},
};
enum { N_ROUTES = sizeof routes / sizeof routes[0] };

static const mqa_route *find_route(mqa_exchange *x, mqa_api_error *e)
{
    const char *method = mqa_exchange_method(x), *path = mqa_exchange_path(x), *other = NULL;
    if (strcmp(method, "HEAD") == 0) method = "GET"; /* of which libmicrohttpd sends the headers only */
    for (int i = 0; i < N_ROUTES; i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        if (strcmp(routes[i].method, method) == 0) return &routes[i];
        other = routes[i].method;
    }
    if (!other) {
        mqa_api_refuse(e, 404, "invalid_request_error", "not_found", "there is nothing at %.200s", path);
        return NULL;
    }
    mqa_exchange_add_header(x, "Allow", other);
    mqa_api_refuse(e, 405, "invalid_request_error", "method_not_allowed", "%.200s takes %s", path, other);
    return NULL;
}

/* The key of "Authorization: Bearer KEY"; NULL: there is none. */
static const char *key_of(mqa_exchange *x)
{
    const char *header = mqa_exchange_header(x, "Authorization");
    if (!header || strncasecmp(header, "Bearer ", 7) != 0) return NULL;
    for (header += 7; *header == ' ';) header++;
    return header;
}

/* "[::1]:8080" to "::1". */
static void host_of(const char *header, char *out, size_t room)
{
    const bool v6 = *header == '[';
    snprintf(out, room, "%s", header + v6);
    out[strcspn(out, v6 ? "]" : ":")] = 0;
}

/* Without keys whoever reaches the server may ask. A page of a stranger, open in a browser on this machine,
 * must not: neither under a name of its own that leads here (DNS rebinding), nor across origins. */
static bool is_from_here(mqa_exchange *x)
{
    char host[128], origin[128];
    const char *header = mqa_exchange_header(x, "Host"), *from = mqa_exchange_header(x, "Origin");
    host_of(header ? header : "", host, sizeof host);
    if (!mqa_http_is_loopback(host)) return false;
    if (!from) return true;
    const char *rest = strstr(from, "://");
    host_of(rest ? rest + 3 : from, origin, sizeof origin);
    return mqa_http_is_loopback(origin);
}

static bool may(mqa_service *s, mqa_exchange *x, mqa_asking *asking, mqa_api_error *e)
{
    if (asking->route->access == MQA_ACCESS_ALL) return true;
    const char *key = key_of(x);
    (void)mqa_service_look_at_tenants(s, NULL);
    if (!mqa_tenants_find(s->tenants, key, &asking->tenant)) {
        mqa_metrics_add(s->metrics, MQA_COUNT_REFUSED_KEY, 1);
        return mqa_api_refuse(e, 401, "invalid_request_error", "invalid_api_key",
                              key ? "this API key isn't known"
                                  : "an API key is needed: Authorization: Bearer KEY");
    }
    if (!mqa_tenants_need_key(s->tenants) && !is_from_here(x))
        return mqa_api_refuse(
            e, 403, "invalid_request_error", "not_from_here",
            "without keys only this machine's own names and pages may ask: 'mqa tenant add NAME'");
    if (asking->route->access == MQA_ACCESS_OPERATOR && !asking->tenant.is_operator)
        return mqa_api_refuse(e, 403, "invalid_request_error", "operator_only",
                              "this is for operators: 'mqa tenant set NAME --operator'");
    if (asking->route->access == MQA_ACCESS_MODEL && !mqa_tenant_may_use(&asking->tenant, s->model_name))
        return mqa_api_no_model(e, s->model_name);
    return true;
}

void mqa_routes_begin(void *user, mqa_exchange *x)
{
    mqa_service *s = user;
    mqa_api_error e;
    mqa_asking *asking = calloc(1, sizeof *asking);
    mqa_exchange_set_user(x, asking);
    if (!asking)
        mqa_api_refuse(&e, 503, "server_error", "out_of_memory", "no memory for a request");
    else if ((asking->route = find_route(x, &e)) && may(s, x, asking, &e))
        return;
    mqa_exchange_error(x, &e);
}

void mqa_routes_handle(void *user, mqa_exchange *x)
{
    mqa_asking *asking = mqa_exchange_user(x);
    asking->route->answer(user, x, asking);
}

void mqa_routes_end(void *user, mqa_exchange *x)
{
    mqa_asking *asking = mqa_exchange_user(x);
    if (asking && asking->job) mqa_job_leave(user, asking->job);
    free(asking);
}
