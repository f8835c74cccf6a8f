/* The thread that steps the engine and answers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/inside.h"

static const double idle_seconds = 0.5, look_seconds = 1;

/* Who sends no request hears nothing from this server: a tenant's memory is given back even so. */
static void look_at_tenants(mqa_service *s)
{
    const double now = mqa_seconds();
    if (now - s->store_looked < look_seconds) return;
    s->store_looked = now;
    (void)mqa_service_look_at_tenants(s, NULL);
}

/* ---- the loop ---- */

static void take_arrived(mqa_service *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->arrived) {
        mqa_job *job = s->arrived;
        s->arrived = job->next;
        job->next = s->running;
        s->running = job;
    }
    pthread_mutex_unlock(&s->lock);
}

static void advance_all(mqa_service *s)
{
    for (mqa_job **link = &s->running; *link;) {
        mqa_job *job = *link;
        if (mqa_job_advance(s, job)) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        mqa_job_release(s, job);
        pthread_mutex_lock(&s->lock);
        if (--s->n_jobs == 0) pthread_cond_broadcast(&s->idle);
        pthread_mutex_unlock(&s->lock);
    }
}

void *mqa_service_work(void *service)
{
    mqa_service *s = service;
    while (!atomic_load(&s->stop)) {
        mqa_error err;
        bool busy = false;
        look_at_tenants(s);
        const mqa_status status = mqa_engine_step(s->engine, &busy, &err);
        if (status != MQA_OK) {
            mqa_service_log(s, json_pack("{s:s, s:s}", "event", "engine", "error", err.message));
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* not a thousand lines a second */
        }
        take_arrived(s);
        advance_all(s);
        if (!busy) mqa_engine_wait(s->engine, idle_seconds);
    }
    return NULL;
}
