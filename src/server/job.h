/* One request for completions, from its submission to the last byte of its answer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_JOB_H
#define MQA_SERVER_JOB_H

#include <stdatomic.h>

#include "mqa/engine.h"
#include "server/answer.h"
#include "server/http.h"
#include "server/tenants.h"

struct mqa_service;

typedef struct mqa_job {
    mqa_exchange *x; /* held */
    mqa_ask ask;
    mqa_answer *answer;
    char id[40];
    char tenant[MQA_TENANT_NAME];
    mqa_tokens prompts[MQA_ASK_MAX_PROMPTS];
    mqa_engine_id requests[MQA_ASK_MAX_PROMPTS]; /* one a prompt */
    bool ended[MQA_ASK_MAX_PROMPTS];
    mqa_answer_usage usage;
    int64_t created_ms;
    double arrived, first_token, *last_token; /* by mqa_now; last_token[choice], 0: none yet */
    bool streaming, cancelled;
    mqa_api_error error; /* status 0: none */
    atomic_bool left;    /* the client has gone */
    struct mqa_job *next;
} mqa_job;

/* HTTP's thread: the client has gone, or has its answer. */
void mqa_job_leave(struct mqa_service *service, mqa_job *job);
void mqa_job_destroy(struct mqa_service *service, mqa_job *job);

/* The worker: takes what the engine has for the job. false: the job is over and was destroyed. */
bool mqa_job_advance(struct mqa_service *service, mqa_job *job);

#endif
