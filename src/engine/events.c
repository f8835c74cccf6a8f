/* What jobs have to say, and who asks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/state.h"

/* ---- the ring ---- */

mqa_status mqa_events_reserve(mqa_job *job, int64_t n, mqa_error *err)
{
    if (job->n_events + n <= job->events_capacity) return MQA_OK;
    int64_t capacity = job->events_capacity ? 2 * job->events_capacity : 16;
    if (capacity < job->n_events + n) capacity = job->n_events + n;
    mqa_event_record *events = malloc((size_t)capacity * sizeof *events);
    if (!events)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %lld events", (long long)capacity);
    for (int64_t i = 0; i < job->n_events; i++)
        events[i] = job->events[(job->first_event + i) % job->events_capacity];
    free(job->events);
    job->events = events;
    job->events_capacity = capacity;
    job->first_event = 0;
    return MQA_OK;
}

static void free_record(mqa_event_record *record)
{
    free(record->top);
    free(record->message);
}

void mqa_events_put(mqa_job *job, const mqa_event_record *record)
{
    job->events[(job->first_event + job->n_events++) % job->events_capacity] = *record;
    job->notify = true;
    pthread_cond_broadcast(&job->arrived);
}

void mqa_events_free(mqa_job *job)
{
    for (int64_t i = 0; i < job->n_events; i++)
        free_record(&job->events[(job->first_event + i) % job->events_capacity]);
    free(job->events);
}

static mqa_usage usage_of(const mqa_job *job)
{
    mqa_usage usage = {.prompt_tokens = job->n_prompt,
                       .cached_tokens = job->cached_tokens,
                       .generated_tokens = job->generated_tokens,
                       .total_seconds = job->ended_at - job->submitted};
    if (job->started) usage.wait_seconds = job->started_at - job->submitted;
    if (job->generated_tokens > 0) usage.first_token_seconds = job->first_token_at - job->submitted;
    return usage;
}

static void take(mqa_job *job, mqa_event *out)
{
    mqa_event_record record = job->events[job->first_event];
    job->first_event = (job->first_event + 1) % job->events_capacity;
    job->n_events--;
    *out = (mqa_event){.kind = record.kind,
                       .choice = record.choice,
                       .token = record.token,
                       .position = record.position,
                       .logprob = record.logprob,
                       .n_top = record.n_top,
                       .finish = record.finish,
                       .status = record.status};
    if (record.n_top > 0) memcpy(out->top, record.top, (size_t)record.n_top * sizeof *record.top);
    if (record.message) snprintf(out->message, sizeof out->message, "%s", record.message);
    if (record.kind == MQA_EVENT_END) out->usage = usage_of(job);
    free_record(&record);
}

/* ---- who asks ---- */

void mqa_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static struct timespec time_after(double seconds)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    if (seconds > 1e9) seconds = 1e9;
    const double whole = (double)(int64_t)seconds;
    at.tv_sec += (time_t)whole;
    at.tv_nsec += (long)((seconds - whole) * 1e9);
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Waits for an event, or until the job is closed. */
static void wait_for_event(mqa_engine *engine, mqa_job *job, double seconds)
{
    const struct timespec until = time_after(seconds);
    job->pollers++;
    while (job->n_events == 0 && !job->closed)
        if (pthread_cond_timedwait(&job->arrived, &engine->lock, &until) == ETIMEDOUT) break;
    job->pollers--;
}

mqa_status mqa_engine_poll(mqa_engine *engine, uint64_t request, double seconds, mqa_event *out, bool *got,
                           mqa_error *err)
{
    if (!engine || !out || !got)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_engine_poll: engine, out or got is NULL");
    *got = false;
    pthread_mutex_lock(&engine->lock);
    mqa_job *job = mqa_job_find(engine, request);
    if (job && job->n_events == 0 && seconds > 0) wait_for_event(engine, job, seconds);
    if (!job || job->closed) {
        if (job && job->over) mqa_job_forget(engine, job); /* it was closed meanwhile */
        pthread_mutex_unlock(&engine->lock);
        return mqa_fail(err, MQA_ERR_NOT_FOUND, "there is no request %llu, or its events were all taken",
                        (unsigned long long)request);
    }
    if (job->n_events > 0) {
        take(job, out);
        *got = true;
        if (out->kind == MQA_EVENT_END) mqa_job_forget(engine, job);
    }
    pthread_mutex_unlock(&engine->lock);
    return MQA_OK;
}

static void wake(mqa_engine *engine)
{
    engine->woken = true;
    pthread_cond_broadcast(&engine->work);
}

void mqa_engine_cancel(mqa_engine *engine, uint64_t request)
{
    if (!engine) return;
    pthread_mutex_lock(&engine->lock);
    mqa_job *job = mqa_job_find(engine, request);
    if (job && !job->over) {
        job->cancelled = true;
        wake(engine);
    }
    pthread_mutex_unlock(&engine->lock);
}

void mqa_engine_close(mqa_engine *engine, uint64_t request)
{
    if (!engine) return;
    pthread_mutex_lock(&engine->lock);
    mqa_job *job = mqa_job_find(engine, request);
    if (job) {
        job->cancelled = job->closed = true;
        pthread_cond_broadcast(&job->arrived);
        if (job->over)
            mqa_job_forget(engine, job);
        else
            wake(engine);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* ---- who works ---- */

void mqa_engine_wake(mqa_engine *engine)
{
    if (!engine) return;
    pthread_mutex_lock(&engine->lock);
    wake(engine);
    pthread_mutex_unlock(&engine->lock);
}

/* Seconds until a waiting job's time is over. */
static double until_next_deadline(const mqa_engine *engine, double seconds)
{
    const double now = mqa_engine_now(engine);
    for (const mqa_tenant *t = engine->tenants; t; t = t->next)
        for (const mqa_job *job = t->waiting.first; job; job = job->next) {
            const double limits[] = {job->request.wait_seconds, job->request.total_seconds};
            for (int i = 0; i < 2; i++)
                if (limits[i] > 0 && job->submitted + limits[i] - now < seconds)
                    seconds = job->submitted + limits[i] - now;
        }
    return seconds > 0 ? seconds : 0;
}

void mqa_engine_wait(mqa_engine *engine, double seconds)
{
    if (!engine) return;
    pthread_mutex_lock(&engine->lock);
    const struct timespec until = time_after(until_next_deadline(engine, seconds));
    while (!engine->woken)
        if (pthread_cond_timedwait(&engine->work, &engine->lock, &until) == ETIMEDOUT) break;
    engine->woken = false;
    pthread_mutex_unlock(&engine->lock);
}
