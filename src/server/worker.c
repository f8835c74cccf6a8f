/* The thread that steps the engine and answers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/inside.h"

static const double idle_seconds = 0.5, look_seconds = 1;

/* ---- tenants ---- */

static mqa_status set_tenant(mqa_service *s, const mqa_tenant_record *t, mqa_error *err)
{
    const mqa_tenant_options o = {
        .struct_size = sizeof o, .budget_bytes = (size_t)t->budget_bytes, .weight = (int)t->weight};
    return mqa_engine_tenant_set(s->engine, t->name, &o, err);
}

static bool has(const mqa_tenant_record *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return true;
    return false;
}

mqa_status mqa_service_load_tenants(mqa_service *s, mqa_error *err)
{
    mqa_tenant_record *before = NULL, *now = NULL;
    size_t n_before = 0, n = 0;
    mqa_status status = mqa_tenants_copy(s->tenants, &before, &n_before, err);
    if (status == MQA_OK) status = mqa_tenants_load(s->tenants, s->store, err);
    if (status == MQA_OK) status = mqa_tenants_copy(s->tenants, &now, &n, err);
    for (size_t i = 0; i < n && status == MQA_OK; i++) status = set_tenant(s, &now[i], err);
    for (size_t i = 0; i < n_before && status == MQA_OK; i++)
        if (!has(now, n, before[i].name)) (void)mqa_engine_tenant_remove(s->engine, before[i].name, NULL);
    free(before);
    free(now);
    return status;
}

/* `mqa tenant` may have changed the store. */
static void look_at_store(mqa_service *s)
{
    const double now = mqa_seconds();
    mqa_error err;
    int64_t version;
    if (now - s->store_looked < look_seconds) return;
    s->store_looked = now;
    mqa_status status = mqa_store_version(s->store, &version, &err);
    if (status == MQA_OK && version == s->store_version) return;
    if (status == MQA_OK) status = mqa_service_load_tenants(s, &err);
    if (status == MQA_OK) s->store_version = version;
    mqa_service_log(s, json_pack("{s:s, s:s*}", "event", "tenants", "error", status ? err.message : NULL));
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
        look_at_store(s);
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
