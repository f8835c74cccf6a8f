/* What the files of the server share: the service itself.
 *
 * Three sorts of threads: HTTP's, which parse, tokenize and submit; the engine's one (worker.c), which steps,
 * turns tokens into text and answers; and the one that started the service. A job is HTTP's until it is
 * submitted, then the worker's alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_INSIDE_H
#define MQA_SERVER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "mqa/engine.h"
#include "openai/languages.h"
#include "server/http.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/receipt.h"
#include "server/service.h"
#include "server/store.h"
#include "server/tenants.h"

struct mqa_service {
    mqa_service_options options;
    mqa_context *ctx;
    mqa_model *model;
    mqa_model_info info;
    const mqa_tokenizer *tokenizer;
    mqa_languages *languages; /* of requests' grammars */
    mqa_engine *engine;
    mqa_tenants *tenants;
    mqa_metrics *metrics;
    mqa_http *http;
    char model_name[128];  /* what clients see: the file's own name, or the file name */
    char fingerprint[192]; /* what decides bits */
    mqa_receipt_key receipt_key;
    char model_hash[MQA_HASH_HEX], isa[32];
    int64_t context, started;
    size_t kv_budget;
    atomic_bool draining, stop;

    mqa_store *store; /* the worker's, for the journal */
    double store_looked;

    pthread_mutex_t tenants_lock; /* of what follows */
    mqa_store *tenants_store;
    int64_t tenants_version;

    pthread_t worker;
    bool works;
    mqa_job *running;     /* the worker's */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t idle;  /* n_jobs came to 0 */
    mqa_job *arrived;     /* submitted, not yet seen by the worker */
    int n_jobs;           /* arrived and running */
};

int64_t mqa_unix_ms(void);                           /* since 1970 */
void mqa_service_wake(mqa_service *s);               /* the worker looks again */
void mqa_service_take(mqa_service *s, mqa_job *job); /* from HTTP's thread to the worker */
/* Takes the store's tenants where they changed: any thread. What `mqa tenant` has done is in force for every
 * request that comes after. A failure leaves them as they were, and is logged. */
mqa_status mqa_service_look_at_tenants(mqa_service *s, mqa_error *err);
void *mqa_service_work(void *service); /* worker.c: the thread */

/* One line of JSON to the log; drops the reference. */
void mqa_service_log(mqa_service *s, json_t *line);

#endif
