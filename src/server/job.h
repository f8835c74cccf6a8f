/* One request for completions, from its submission to the last byte of its answer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_JOB_H
#define MQA_SERVER_JOB_H

#include <stdatomic.h>

#include "mqa/engine.h"
#include "openai/answer.h"
#include "server/http.h"

struct mqa_service;

typedef struct mqa_job {
    mqa_exchange *x; /* held */
    mqa_ask ask;
    mqa_answer *answer;
    char id[40], tenant[MQA_TENANT_NAME];
    mqa_tokens prompts[MQA_ASK_MAX_PROMPTS];
    uint64_t requests[MQA_ASK_MAX_PROMPTS]; /* the engine's, one a prompt; 0: over, or never was */
    int64_t max_tokens;
    mqa_tokens *outputs; /* of each choice, where a receipt is wanted; else NULL */
    mqa_answer_usage usage;
    int64_t created_ms;
    double arrived, first_token; /* by mqa_seconds; 0: not yet */
    double *last_token;          /* of each choice */
    bool streaming;              /* the answer has begun */
    bool cancelled;              /* the engine was told */
    bool expired;                /* it waited for memory in vain */
    mqa_api_error error;         /* status 0: none */
    atomic_bool left;            /* the client has gone */
    atomic_int n_holders;        /* the exchange, until it ends, and the worker */
    struct mqa_job *next;
} mqa_job;

void mqa_job_release(struct mqa_service *service, mqa_job *job);

/* HTTP's thread: the exchange has ended. */
void mqa_job_leave(struct mqa_service *service, mqa_job *job);

/* The worker: takes what the engine has for the job. false: the job is over. */
bool mqa_job_advance(struct mqa_service *service, mqa_job *job);

#endif
