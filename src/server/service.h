/* The server: one model, many tenants, OpenAI's endpoints.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_SERVICE_H
#define MQA_SERVER_SERVICE_H

#include "mqa/engine.h"

typedef struct mqa_service mqa_service;

typedef struct mqa_service_options {
    const char *host; /* numeric; what isn't this machine's own needs tenants with keys */
    int port;         /* 0: any that is free */
    const char *state_folder;
    const char *model_path;
    int64_t context;  /* tokens of a request at most; 0: the model's */
    size_t kv_budget; /* bytes; 0: a quarter of the machine's memory */
    mqa_admission admission;
    int draft_max;      /* as in mqa_engine_options */
    const char *spill;  /* under OVERCOMMIT, for what is preempted: a folder, or "off"; NULL: "spill" in the
                           state  folder */
    size_t spill_limit; /* bytes there; 0: as kv_budget */
    mqa_kv_type k_type, v_type;
    bool kv_plain;
    int64_t default_max_tokens; /* of an answer, where the request doesn't say */
    double queue_seconds;       /* a request that waits longer is refused */
    size_t max_body_bytes, max_header_bytes;
    int max_connections;
    double header_seconds, body_seconds;
    void (*log)(void *user, const char *json_line); /* one line for each answer and event; NULL: none */
    void *log_user;
} mqa_service_options;

mqa_service_options mqa_service_options_default(void);

/* Listens when it returns. ctx, and model, which is of it, outlive the service and serve nothing else. */
mqa_status mqa_service_start(mqa_context *ctx, mqa_model *model, const mqa_service_options *options,
                             mqa_service **out, mqa_error *err);
int mqa_service_port(const mqa_service *service);
/* No new requests; what was let in is answered, for so many seconds at most; then all ends. */
void mqa_service_stop(mqa_service **service, double seconds);

#endif
