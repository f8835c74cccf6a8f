/* Which function answers which request, and who may ask.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_ROUTES_H
#define MQA_SERVER_ROUTES_H

#include "openai/api_error.h"
#include "server/http.h"
#include "server/tenants.h"

struct mqa_service;

typedef enum mqa_access {
    MQA_ACCESS_ALL,     /* without a key */
    MQA_ACCESS_TENANT,  /* with any key that is known, where there are keys */
    MQA_ACCESS_MODEL,   /* with one whose tenant may use the model */
    MQA_ACCESS_OPERATOR /* with an operator's */
} mqa_access;

/* Who asks what: there from begin to end. */
typedef struct mqa_asking {
    const struct mqa_route *route;
    mqa_tenant_record tenant;
    struct mqa_job *job; /* complete.c's; else NULL */
} mqa_asking;

typedef void mqa_endpoint(struct mqa_service *service, mqa_exchange *x, mqa_asking *asking);

typedef struct mqa_route {
    const char *method, *path;
    mqa_access access;
    mqa_endpoint *answer;
} mqa_route;

/* http.h's handler; user is the service. */
void mqa_routes_begin(void *user, mqa_exchange *x);
void mqa_routes_handle(void *user, mqa_exchange *x);
void mqa_routes_end(void *user, mqa_exchange *x);

/* Answers with an error in OpenAI's form. */
void mqa_exchange_error(mqa_exchange *x, const mqa_api_error *error);
/* Answers 200 with JSON; drops the reference. */
void mqa_exchange_json(mqa_exchange *x, json_t *json);

#endif
