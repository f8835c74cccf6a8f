/* /v1/completions and /v1/chat/completions: from a body to requests that the engine has.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "openai/constrain.h"
#include "openai/prompt.h"
#include "openai/request.h"
#include "server/endpoints.h"
#include "server/inside.h"

/* ---- prompts ---- */

static bool encode_all(const mqa_service *s, mqa_job *job, mqa_api_error *e)
{
    for (int i = 0; i < job->ask.n_prompts; i++) {
        if (!mqa_ask_encode(&job->ask, i, s->tokenizer, false, s->context, &job->prompts[i], e)) return false;
        job->usage.prompt_tokens += (int64_t)job->prompts[i].n;
    }
    return true;
}

/* ---- to the engine ---- */

static bool refuse(mqa_service *s, const mqa_submission *submission, mqa_status status, const mqa_error *err,
                   mqa_api_error *e)
{
    switch (submission->refusal) {
    case MQA_REFUSAL_TOO_LARGE:
        mqa_metrics_add(s->metrics, MQA_COUNT_REFUSED_BUDGET, 1);
        mqa_api_invalid(e, NULL, "%s", err->message);
        e->code = "kv_budget_exceeded";
        return false;
    case MQA_REFUSAL_BUSY:
    case MQA_REFUSAL_TENANT: /* made or removed a moment ago */
        mqa_metrics_add(s->metrics, MQA_COUNT_REFUSED_BUDGET, 1);
        mqa_api_refuse(e, 429, "rate_limit_error", "too_many_requests", "%s", err->message);
        e->retry_after = 1;
        return false;
    default:
        return mqa_api_failed(e, status, err);
    }
}

static bool submit_one(mqa_service *s, mqa_job *job, int i, mqa_api_error *e)
{
    mqa_request r;
    mqa_logit_bias *bias;
    mqa_submission submission;
    mqa_error err;
    job->max_tokens =
        mqa_ask_max_tokens(&job->ask, (int64_t)job->prompts[i].n, s->context, s->options.default_max_tokens);
    if (!mqa_request_of_ask(&job->ask, &job->prompts[i], job->max_tokens, &r, &bias, e)) return false;
    r.tenant = job->tenant;
    r.wait_seconds = s->options.queue_seconds;
    if (!mqa_constrain(&job->ask, s->languages, job->tenant, &r.mask, e)) {
        free(bias);
        return false;
    }
    const mqa_status status = mqa_engine_submit(s->engine, &r, &submission, &err);
    job->requests[i] = submission.id;
    free(bias);
    return status == MQA_OK || refuse(s, &submission, status, &err, e);
}

static bool submit(mqa_service *s, mqa_job *job, mqa_api_error *e)
{
    for (int i = 0; i < job->ask.n_prompts; i++)
        if (!submit_one(s, job, i, e)) return false;
    return true;
}

/* ---- a job ---- */

static bool make_answer(mqa_service *s, mqa_job *job, mqa_api_error *e)
{
    uint8_t random[12] = {0};
    (void)!getrandom(random, sizeof random, 0);
    int n = snprintf(job->id, sizeof job->id, job->ask.chat ? "chatcmpl-" : "cmpl-");
    for (size_t i = 0; i < sizeof random; i++, n += 2)
        snprintf(job->id + n, sizeof job->id - (size_t)n, "%02x", random[i]);
    if (!job->ask.has_seed && job->ask.temperature > 0) {
        uint64_t seed = 0;
        (void)!getrandom(&seed, sizeof seed, 0);
        job->ask.seed = seed >> 12;
    }
    job->created_ms = mqa_unix_ms();
    const mqa_answer_options o = {.tokenizer = s->tokenizer,
                                  .ask = &job->ask,
                                  .id = job->id,
                                  .model = s->model_name,
                                  .fingerprint = s->fingerprint,
                                  .created = job->created_ms / 1000};
    mqa_error err;
    const mqa_status status = mqa_answer_create(&o, &job->answer, &err);
    if (status != MQA_OK) return mqa_api_failed(e, status, &err);
    const size_t n_choices = (size_t)mqa_answer_n_choices(job->answer);
    job->last_token = calloc(n_choices, sizeof *job->last_token);
    if (job->ask.receipt) job->outputs = calloc(n_choices, sizeof *job->outputs);
    return (job->last_token && (job->outputs || !job->ask.receipt)) ||
           mqa_api_refuse(e, 503, "server_error", "out_of_memory", "no memory for an answer");
}

static bool echo_prompts(const mqa_service *s, mqa_job *job, mqa_api_error *e)
{
    if (!job->ask.echo) return true;
    if (job->ask.chat || job->ask.top_logprobs >= 0)
        return mqa_api_invalid(e, "echo", "'echo' goes with completions without 'logprobs' only");
    for (int i = 0; i < mqa_answer_n_choices(job->answer); i++) {
        const mqa_tokens *prompt = &job->prompts[i / job->ask.n];
        mqa_text text = {0};
        mqa_error err;
        mqa_status status = mqa_tokenizer_decode(s->tokenizer, prompt->ids, prompt->n, 0, &text, &err);
        if (status == MQA_OK)
            status = mqa_answer_text(job->answer, i, text.n ? text.bytes : "", text.n, &err);
        mqa_text_free(&text);
        if (status != MQA_OK) return mqa_api_failed(e, status, &err);
    }
    return true;
}

static bool check_receipt(const mqa_job *job, mqa_api_error *e)
{
    return !job->ask.receipt || job->ask.n_prompts == 1 ||
           mqa_api_invalid(e, "receipt", "'receipt' goes with one prompt only");
}

/* Any name is taken for the one model there is, unless the tenant's are named. */
static bool check_model(const mqa_service *s, const mqa_asking *asking, const mqa_ask *ask, mqa_api_error *e)
{
    return asking->tenant.models[0] == 0 || !ask->model || strcmp(ask->model, s->model_name) == 0 ||
           mqa_api_no_model(e, ask->model);
}

static bool may_ask(mqa_service *s, const mqa_asking *asking, mqa_api_error *e)
{
    if (atomic_load(&s->draining)) {
        mqa_api_refuse(e, 503, "server_error", "shutting_down", "the server is shutting down");
        e->retry_after = 10;
        return false;
    }
    const double wait = mqa_tenants_may(s->tenants, asking->tenant.name, mqa_seconds());
    if (wait <= 0) return true;
    mqa_metrics_add(s->metrics, MQA_COUNT_REFUSED_RATE, 1);
    mqa_api_refuse(e, 429, "rate_limit_error", "rate_limit_exceeded",
                   "this key's %" PRId64 " tokens a minute are used up", asking->tenant.tokens_per_minute);
    e->retry_after = 1 + (int)wait;
    return false;
}

static bool start(mqa_service *s, mqa_exchange *x, const mqa_asking *asking, bool chat, mqa_job *job,
                  mqa_api_error *e)
{
    size_t n;
    const char *body = mqa_exchange_body(x, &n);
    job->arrived = mqa_seconds();
    snprintf(job->tenant, sizeof job->tenant, "%s", asking->tenant.name);
    if (!may_ask(s, asking, e)) return false;
    if (mqa_ask_parse(body, n, chat, s->info.n_vocab, &job->ask, e) && check_receipt(job, e) &&
        check_model(s, asking, &job->ask, e) && encode_all(s, job, e) && make_answer(s, job, e) &&
        echo_prompts(s, job, e) && submit(s, job, e))
        return true;
    if (e->status == 400) mqa_metrics_add(s->metrics, MQA_COUNT_REFUSED_INPUT, 1);
    return false;
}

static void complete(mqa_service *s, mqa_exchange *x, mqa_asking *asking, bool chat)
{
    mqa_api_error e;
    mqa_job *job = calloc(1, sizeof *job);
    if (!job) {
        mqa_api_refuse(&e, 503, "server_error", "out_of_memory", "no memory for a request");
        mqa_exchange_error(x, &e);
        return;
    }
    mqa_exchange_hold(x);
    job->x = x;
    atomic_init(&job->n_holders, 2); /* this exchange and the worker */
    if (!start(s, x, asking, chat, job, &e)) {
        mqa_exchange_error(x, &e);
        job->n_holders = 1;
        mqa_job_release(s, job);
        return;
    }
    mqa_tenants_spend(s->tenants, job->tenant, job->usage.prompt_tokens, mqa_seconds());
    asking->job = job;
    mqa_service_take(s, job);
}

void mqa_endpoint_completions(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    complete(s, x, asking, false);
}

void mqa_endpoint_chat(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    complete(s, x, asking, true);
}
