/* SPDX-License-Identifier: Apache-2.0 */
#include "server/job.h"

#include <stdlib.h>
#include <string.h>

#include "server/inside.h"
#include "server/receipt.h"
#include "server/routes.h"
#include "tokenizer/array.h"

void mqa_job_release(mqa_service *s, mqa_job *job)
{
    if (atomic_fetch_sub(&job->n_holders, 1) != 1) return;
    for (int i = 0; i < MQA_ASK_MAX_PROMPTS; i++) {
        if (job->requests[i]) mqa_engine_close(s->engine, job->requests[i]);
        mqa_tokens_free(&job->prompts[i]);
    }
    for (int i = 0; job->outputs && i < mqa_answer_n_choices(job->answer); i++)
        mqa_tokens_free(&job->outputs[i]);
    free(job->outputs);
    mqa_answer_destroy(&job->answer);
    mqa_ask_free(&job->ask);
    free(job->last_token);
    mqa_exchange_release(job->x);
    free(job);
}

void mqa_job_leave(mqa_service *s, mqa_job *job)
{
    atomic_store(&job->left, true);
    mqa_service_wake(s);
    mqa_job_release(s, job);
}

/* ---- what the engine has ---- */

static void cancel(mqa_service *s, mqa_job *job)
{
    if (job->cancelled) return;
    job->cancelled = true;
    for (int i = 0; i < job->ask.n_prompts; i++)
        if (job->requests[i]) mqa_engine_cancel(s->engine, job->requests[i]);
}

static void fail(mqa_service *s, mqa_job *job, mqa_status status, const mqa_error *err)
{
    if (job->error.status == 0) mqa_api_failed(&job->error, status, err);
    cancel(s, job);
}

static void time_token(mqa_service *s, mqa_job *job, int choice)
{
    const double now = mqa_seconds();
    if (job->first_token == 0) {
        job->first_token = now;
        mqa_metrics_time(s->metrics, MQA_TIMING_FIRST_TOKEN, now - job->arrived);
    }
    if (job->last_token[choice] > 0)
        mqa_metrics_time(s->metrics, MQA_TIMING_NEXT_TOKEN, now - job->last_token[choice]);
    job->last_token[choice] = now;
}

static void take_token(mqa_service *s, mqa_job *job, int choice, const mqa_event *event)
{
    mqa_error err;
    bool stopped;
    const mqa_token_logprob token = {event->token, event->logprob};
    if (!mqa_answer_goes_on(job->answer, choice)) return; /* beyond a stop string */
    time_token(s, job, choice);
    job->usage.completion_tokens++;
    mqa_status status =
        mqa_answer_token(job->answer, choice, token, event->top, event->n_top, &stopped, &err);
    if (status == MQA_OK && job->outputs) status = mqa_tokens_push(&job->outputs[choice], event->token, &err);
    if (status != MQA_OK) fail(s, job, status, &err);
    /* A stop string ends one choice; the engine ends all of a request only. */
    if (stopped && mqa_answer_finished(job->answer)) cancel(s, job);
}

static const char *reason_of(mqa_finish finish)
{
    switch (finish) {
    case MQA_FINISH_STOP:
        return "stop";
    case MQA_FINISH_LENGTH:
        return "length";
    case MQA_FINISH_CANCELLED:
        return "cancelled";
    default:
        return "error";
    }
}

static void take_finish(mqa_service *s, mqa_job *job, int choice, const mqa_event *event)
{
    mqa_error err = {.status = event->status};
    mqa_status status = mqa_answer_finish(job->answer, choice, reason_of(event->finish), &err);
    if (status == MQA_OK && event->finish == MQA_FINISH_ERROR) {
        status = event->status;
        snprintf(err.message, sizeof err.message, "%s", event->message);
    }
    if (status != MQA_OK) fail(s, job, status, &err);
}

static void take_end(mqa_service *s, mqa_job *job, const mqa_event *event)
{
    job->usage.cached_tokens += event->usage.cached_tokens;
    if (event->usage.first_token_seconds > 0)
        mqa_metrics_time(s->metrics, MQA_TIMING_QUEUED, event->usage.wait_seconds);
    if (event->finish == MQA_FINISH_DEADLINE && job->error.status == 0) {
        job->expired = true;
        mqa_api_refuse(&job->error, 503, "server_error", "no_memory_in_time",
                       "no KV memory became free within %g s", s->options.queue_seconds);
        job->error.retry_after = 5;
        cancel(s, job);
    }
}

/* All events of one of the job's requests. */
static void take_events(mqa_service *s, mqa_job *job, int i)
{
    mqa_event event;
    bool got = true;
    while (job->requests[i] && got) {
        mqa_error err;
        const mqa_status status = mqa_engine_poll(s->engine, job->requests[i], 0, &event, &got, &err);
        if (status != MQA_OK) {
            job->requests[i] = 0;
            fail(s, job, status, &err);
            return;
        }
        const int choice = i * job->ask.n + event.choice;
        if (!got) return;
        if (event.kind == MQA_EVENT_TOKEN) take_token(s, job, choice, &event);
        if (event.kind == MQA_EVENT_FINISH) take_finish(s, job, choice, &event);
        if (event.kind == MQA_EVENT_END) {
            take_end(s, job, &event);
            job->requests[i] = 0;
        }
    }
}

/* ---- what the client gets ---- */

static void send_text(mqa_service *s, mqa_job *job, const mqa_text *text)
{
    if (text->n > 0 && !mqa_exchange_send(job->x, text->bytes, text->n)) cancel(s, job);
}

static void send_events(mqa_service *s, mqa_job *job)
{
    mqa_text out = {0};
    mqa_error err;
    const mqa_status status = mqa_answer_take_events(job->answer, &out, &err);
    if (status != MQA_OK) fail(s, job, status, &err);
    if (out.n > 0 && !job->streaming) {
        mqa_exchange_add_header(job->x, "Cache-Control", "no-cache");
        job->streaming = true;
        if (!mqa_exchange_stream(job->x, 200, "text/event-stream")) cancel(s, job);
    }
    send_text(s, job, &out);
    mqa_text_free(&out);
}

static void send_error(mqa_service *s, mqa_job *job)
{
    mqa_text out = {0};
    if (!job->streaming) {
        mqa_exchange_error(job->x, &job->error);
        return;
    }
    if (mqa_answer_error_event(&job->error, &out, NULL) == MQA_OK) send_text(s, job, &out);
    mqa_text_free(&out);
    mqa_exchange_finish(job->x);
}

/* {"receipt": …}; NULL where none is wanted, or there is no memory for one. */
static json_t *receipt_of(const mqa_service *s, const mqa_job *job)
{
    if (!job->outputs) return NULL;
    const mqa_receipt_facts facts = {.id = job->id,
                                     .model_name = s->model_name,
                                     .model_hash = s->model_hash,
                                     .recipe = mqa_engine_recipe(s->engine),
                                     .isa = s->isa,
                                     .k_type = s->options.k_type,
                                     .v_type = s->options.v_type,
                                     .kv_plain = s->options.kv_plain,
                                     .created = job->created_ms / 1000,
                                     .max_tokens = job->max_tokens,
                                     .ask = &job->ask,
                                     .prompt = &job->prompts[0],
                                     .outputs = job->outputs};
    return json_pack("{s:o}", "receipt", mqa_receipt_make(&s->receipt_key, &facts));
}

static void send_rest(mqa_service *s, mqa_job *job)
{
    mqa_text out = {0};
    json_t *receipt = receipt_of(s, job);
    mqa_error err;
    mqa_status status;
    if (job->ask.stream) {
        send_events(s, job);
        status = mqa_answer_end_events(job->answer, &job->usage, receipt, &out, &err);
        if (status == MQA_OK) send_text(s, job, &out);
        mqa_exchange_finish(job->x);
    } else {
        status = mqa_answer_whole(job->answer, &job->usage, receipt, &out, &err);
        if (status == MQA_OK)
            mqa_exchange_answer(job->x, 200, "application/json; charset=utf-8", out.bytes, out.n);
    }
    if (status != MQA_OK) {
        mqa_api_failed(&job->error, status, &err);
        send_error(s, job);
    }
    json_decref(receipt);
    mqa_text_free(&out);
}

/* ---- its end ---- */

typedef enum outcome { ANSWERED, CANCELLED, REFUSED, FAILED } outcome;
static const char *const outcome_names[] = {"answered", "cancelled", "refused", "failed"};
static const mqa_count outcome_counts[] = {MQA_COUNT_ANSWERED, MQA_COUNT_CANCELLED, MQA_COUNT_REFUSED_BUDGET,
                                           MQA_COUNT_FAILED};

static void log_job(mqa_service *s, const mqa_job *job, outcome how, double now)
{
    mqa_service_log(s, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:s*}", "event", "request",
                                 "id", job->id, "tenant", job->tenant, "outcome", outcome_names[how],
                                 "prompt_tokens", (json_int_t)job->usage.prompt_tokens, "cached_tokens",
                                 (json_int_t)job->usage.cached_tokens, "completion_tokens",
                                 (json_int_t)job->usage.completion_tokens, "first_token_ms",
                                 job->first_token > 0 ? 1e3 * (job->first_token - job->arrived) : 0.0,
                                 "total_ms", 1e3 * (now - job->arrived), "error",
                                 job->error.status ? job->error.message : NULL));
}

/* On all records first, then to the client: what was acknowledged is in the journal. */
static void end_job(mqa_service *s, mqa_job *job)
{
    const double now = mqa_seconds();
    outcome how = atomic_load(&job->left) ? CANCELLED
                  : job->expired          ? REFUSED
                  : job->error.status     ? FAILED
                                          : ANSWERED;
    mqa_error err;
    const mqa_usage_record usage = {.request_id = job->id,
                                    .tenant = job->tenant,
                                    .model = s->model_name,
                                    .endpoint = job->ask.chat ? "chat" : "completions",
                                    .finish = outcome_names[how],
                                    .created_ms = job->created_ms,
                                    .prompt_tokens = job->usage.prompt_tokens,
                                    .cached_tokens = job->usage.cached_tokens,
                                    .completion_tokens = job->usage.completion_tokens,
                                    .first_token_ms =
                                        job->first_token > 0 ? 1e3 * (job->first_token - job->arrived) : 0,
                                    .total_ms = 1e3 * (now - job->arrived)};
    const mqa_status status = mqa_store_journal(s->store, &usage, &err);
    if (status != MQA_OK) {
        fail(s, job, status, &err);
        how = FAILED;
    }
    mqa_tenants_spend(s->tenants, job->tenant, job->usage.completion_tokens, now);
    mqa_metrics_add(s->metrics, outcome_counts[how], 1);
    mqa_metrics_add(s->metrics, MQA_COUNT_PROMPT_TOKENS, job->usage.prompt_tokens);
    mqa_metrics_add(s->metrics, MQA_COUNT_CACHED_TOKENS, job->usage.cached_tokens);
    mqa_metrics_add(s->metrics, MQA_COUNT_GENERATED_TOKENS, job->usage.completion_tokens);
    mqa_metrics_time(s->metrics, MQA_TIMING_WHOLE, now - job->arrived);
    log_job(s, job, how, now);
    if (job->error.status)
        send_error(s, job);
    else
        send_rest(s, job);
}

bool mqa_job_advance(mqa_service *s, mqa_job *job)
{
    bool open = false;
    if (atomic_load(&job->left)) cancel(s, job);
    for (int i = 0; i < job->ask.n_prompts; i++) {
        take_events(s, job, i);
        open |= job->requests[i] != 0;
    }
    if (open) {
        if (job->ask.stream && job->error.status == 0) send_events(s, job);
        return true;
    }
    end_job(s, job);
    return false;
}
