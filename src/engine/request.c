/* Requests: what is checked of them, the jobs they become, and how these end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/take_struct.h"
#include "engine/state.h"

void mqa_request_init(mqa_request *out, size_t struct_size)
{
    const mqa_request defaults = {
        .n_choices = 1,
        .sampling = {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f},
        .repetition_penalty = 1,
        .n_logprobs = -1};
    mqa_give_struct(&defaults, sizeof defaults, out, struct_size);
}

/* ---- checking ---- */

static mqa_status check_tokens(const mqa_engine *engine, const char *what, const int32_t *tokens, int64_t n,
                               mqa_error *err)
{
    if (n < 0 || (n > 0 && !tokens))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s: %" PRId64 " tokens at NULL, or less than none",
                        what, n);
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= engine->info.n_vocab)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s: token %" PRId64 " is %d, not in [0, %d)",
                            what, i, tokens[i], engine->info.n_vocab);
    return MQA_OK;
}

static mqa_status check_bias(const mqa_engine *engine, const mqa_request *r, mqa_error *err)
{
    if (r->n_bias < 0 || r->n_bias > engine->info.n_vocab || (r->n_bias > 0 && !r->bias))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "n_bias is %d: give 0 to %d of them", r->n_bias,
                        engine->info.n_vocab);
    for (int i = 0; i < r->n_bias; i++)
        if (r->bias[i].token < 0 || r->bias[i].token >= engine->info.n_vocab || isnan(r->bias[i].bias) ||
            r->bias[i].bias == INFINITY)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "bias %d: %g for token %d: give a finite one or "
                            "-inf, for a token in [0, %d)",
                            i, (double)r->bias[i].bias, r->bias[i].token, engine->info.n_vocab);
    return MQA_OK;
}

static mqa_status check_request(const mqa_engine *engine, const mqa_request *r, mqa_error *err)
{
    MQA_TRY(check_tokens(engine, "prompt", r->prompt, r->n_prompt, err));
    if (r->n_prompt < 1 || r->n_prompt > engine->options.context)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "the prompt has %" PRId64 " tokens: give 1 to %" PRId64 ", the context", r->n_prompt,
                        engine->options.context);
    if (r->max_tokens < 0 || r->max_tokens > engine->options.context - r->n_prompt + 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "max_tokens is %" PRId64 ": after a prompt of %" PRId64
                        " tokens the context of %" PRId64 " has room for %" PRId64,
                        r->max_tokens, r->n_prompt, engine->options.context,
                        engine->options.context - r->n_prompt + 1);
    const int most_choices =
        engine->options.max_running < MQA_MAX_CHOICES ? engine->options.max_running : MQA_MAX_CHOICES;
    if (r->n_choices < 1 || r->n_choices > most_choices)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "n_choices is %d: give 1 to %d", r->n_choices,
                        most_choices);
    if (r->n_logprobs < -1 || r->n_logprobs > MQA_MAX_TOP_LOGPROBS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "n_logprobs is %d: give -1 (none) to %d",
                        r->n_logprobs, MQA_MAX_TOP_LOGPROBS);
    if (!isfinite(r->presence_penalty) || !isfinite(r->frequency_penalty))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "presence_penalty is %g, frequency_penalty %g: give "
                        "finite ones",
                        (double)r->presence_penalty, (double)r->frequency_penalty);
    if (!(r->repetition_penalty > 0 && r->repetition_penalty < INFINITY))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "repetition_penalty is %g: give a number above 0, 1 is off",
                        (double)r->repetition_penalty);
    if (!(r->wait_seconds >= 0) || !(r->total_seconds >= 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "wait_seconds is %g, total_seconds %g: give 0 (no limit) or more", r->wait_seconds,
                        r->total_seconds);
    MQA_TRY(check_tokens(engine, "stop_tokens", r->stop_tokens, r->n_stop_tokens, err));
    MQA_TRY(check_bias(engine, r, err));
    /* What mqa_sample refuses, before anything is computed. */
    const float logit = 0;
    float scratch[2];
    int32_t token;
    return mqa_sample(&r->sampling, &logit, 1, 0, scratch, &token, err);
}

/* ---- jobs ---- */

static void *copy_of(const void *data, int64_t n, size_t size, bool *failed)
{
    if (n == 0) return NULL;
    void *copy = malloc((size_t)n * size);
    if (copy)
        memcpy(copy, data, (size_t)n * size);
    else
        *failed = true;
    return copy;
}

static bool make_choice(mqa_job *job, int index, const int32_t *prompt)
{
    mqa_choice *choice = &job->choices[index];
    *choice = (mqa_choice){.job = job, .index = index, .sequence = -1, .n_text = job->n_prompt};
    mqa_drafting_init(&choice->drafting);
    const int64_t more = job->max_tokens < 256 ? job->max_tokens : 256;
    choice->capacity = job->n_prompt + more;
    choice->text = malloc((size_t)choice->capacity * sizeof *choice->text);
    if (choice->text) memcpy(choice->text, prompt, (size_t)job->n_prompt * sizeof *prompt);
    return choice->text != NULL;
}

mqa_status mqa_job_create(const mqa_engine *engine, const mqa_request *request, bool pin, mqa_job **out,
                          mqa_error *err)
{
    mqa_job *job = calloc(1, sizeof *job);
    if (!job) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a request");
    mqa_cond_init(&job->arrived);
    bool failed = false;
    job->pin = pin;
    job->request = *request;
    job->request.tenant = NULL;
    job->request.prompt = NULL; /* it is in each choice's text */
    job->n_prompt = request->n_prompt;
    job->max_tokens =
        request->max_tokens > 0 ? request->max_tokens : engine->options.context - request->n_prompt + 1;
    job->request.stop_tokens =
        copy_of(request->stop_tokens, request->n_stop_tokens, sizeof *request->stop_tokens, &failed);
    job->request.bias = copy_of(request->bias, request->n_bias, sizeof *request->bias, &failed);
    job->choices = calloc((size_t)request->n_choices, sizeof *job->choices);
    for (int i = 0; i < request->n_choices && job->choices; i++) {
        failed |= !make_choice(job, i, request->prompt);
        job->n_choices++;
    }
    for (int64_t i = 0; i < job->n_prompt && request->repetition_penalty != 1 && !failed; i++)
        failed |= !mqa_count_token(&job->in_prompt, request->prompt[i]);
    if (failed || !job->choices || mqa_events_reserve(job, request->n_choices + 1, NULL) != MQA_OK) {
        job->request.mask.release = NULL; /* submit calls it */
        mqa_job_destroy(job);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a request of %" PRId64 " tokens",
                        request->n_prompt);
    }
    *out = job;
    return MQA_OK;
}

static void release_mask(mqa_job *job)
{
    if (job->request.mask.release) job->request.mask.release(job->request.mask.user);
    job->request.mask = (mqa_token_mask){0};
}

void mqa_job_destroy(mqa_job *job)
{
    release_mask(job);
    mqa_events_free(job);
    for (int i = 0; i < job->n_choices; i++) {
        free(job->choices[i].text);
        free(job->choices[i].counts.at);
    }
    free(job->choices);
    free(job->in_prompt.at);
    free((void *)job->request.stop_tokens);
    free((void *)job->request.bias);
    pthread_cond_destroy(&job->arrived);
    free(job);
}

mqa_job *mqa_job_find(const mqa_engine *engine, uint64_t id)
{
    mqa_job *job = engine->jobs[id % MQA_JOB_BUCKETS];
    while (job && job->id != id) job = job->same_hash;
    return job;
}

void mqa_job_forget(mqa_engine *engine, mqa_job *job)
{
    job->closed = true;
    if (job->pollers > 0) {
        pthread_cond_broadcast(&job->arrived);
        return; /* the last of them comes here again */
    }
    mqa_job **at = &engine->jobs[job->id % MQA_JOB_BUCKETS];
    while (*at != job) at = &(*at)->same_hash;
    *at = job->same_hash;
    engine->n_jobs--;
    mqa_job_destroy(job);
}

void mqa_list_append(mqa_job_list *list, mqa_job *job)
{
    job->next = NULL;
    job->previous = list->last;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

void mqa_list_remove(mqa_job_list *list, mqa_job *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        list->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        list->last = job->previous;
    job->next = job->previous = NULL;
}

/* Behind those of the same or a higher priority. */
static void enqueue(mqa_job_list *list, mqa_job *job)
{
    mqa_job *after = list->last;
    while (after && after->request.priority < job->request.priority) after = after->previous;
    if (after == list->last) {
        mqa_list_append(list, job);
        return;
    }
    job->previous = after;
    job->next = after ? after->next : list->first;
    job->next->previous = job;
    if (after)
        after->next = job;
    else
        list->first = job;
}

mqa_status mqa_choice_reserve(mqa_choice *choice, int64_t n, mqa_error *err)
{
    if (n <= choice->capacity - choice->n_text) return MQA_OK;
    const int64_t capacity = choice->n_text + n + choice->capacity / 2 + 64;
    int32_t *text = realloc(choice->text, (size_t)capacity * sizeof *text);
    if (!text)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a text of %" PRId64 " tokens", capacity);
    choice->text = text;
    choice->capacity = capacity;
    return MQA_OK;
}

mqa_status mqa_choice_append(mqa_choice *choice, int32_t token, mqa_error *err)
{
    MQA_TRY(mqa_choice_reserve(choice, 1, err));
    choice->text[choice->n_text++] = token;
    return MQA_OK;
}

bool mqa_job_ends_with(const mqa_engine *engine, const mqa_job *job, int32_t token)
{
    const mqa_request *r = &job->request;
    for (int i = 0; i < r->n_stop_tokens; i++)
        if (r->stop_tokens[i] == token) return true;
    return !r->ignore_end && mqa_tokenizer_is_end(mqa_model_tokenizer(engine->model), token);
}

/* ---- submitting ---- */

/* n_shared: tokens of the prompt that are somebody else's for good. */
static size_t worst_case(const mqa_engine *engine, int64_t n_shared, int64_t n_prompt, int64_t max_tokens,
                         int n_choices)
{
    const int64_t longest = n_prompt + max_tokens - 1;
    const mqa_session_most first = mqa_session_most_bytes(engine->session, n_shared, longest, MQA_LEAST_PART);
    const mqa_session_most other = mqa_session_most_bytes(engine->session, n_prompt, longest, MQA_LEAST_PART);
    return first.bytes + first.window_bytes + (size_t)(n_choices - 1) * (other.bytes + other.window_bytes);
}

size_t mqa_engine_request_bytes(const mqa_engine *engine, int64_t n_prompt, int64_t max_tokens, int n_choices)
{
    const int64_t most = engine->options.context - n_prompt + 1;
    if (n_prompt < 1 || most < 1 || max_tokens < 0 || max_tokens > most || n_choices < 1 ||
        n_choices > MQA_MAX_CHOICES || n_choices > engine->options.max_running)
        return 0;
    return worst_case(engine, 0, n_prompt, max_tokens ? max_tokens : most, n_choices);
}

/* What pins hold is never there for others, but by sharing it. */
static size_t least_budget(const mqa_engine *engine, const mqa_tenant *tenant)
{
    const size_t all = engine->options.kv_budget_bytes;
    const size_t rest = engine->pinned_bytes < all ? all - engine->pinned_bytes : 0;
    const size_t own = mqa_tenant_budget(engine, tenant);
    return own < rest ? own : rest;
}

static int64_t pinned_tokens(mqa_engine *engine, const mqa_job *job)
{
    if (!mqa_job_shares(engine, job)) return 0;
    return mqa_prefix_find(&engine->pinned_tree, engine->session, job->choices[0].text, job->n_prompt,
                           job->n_prompt - 1)
        .length;
}

static mqa_status refuse(mqa_submission *out, mqa_refusal refusal, mqa_status status)
{
    out->refusal = refusal;
    return status;
}

/* Into its tenant's queue, under the lock. */
static mqa_status take_in(mqa_engine *engine, mqa_job *job, const char *tenant_name, mqa_submission *out,
                          mqa_error *err)
{
    mqa_tenant *tenant = mqa_tenant_find(engine, tenant_name ? tenant_name : "");
    if (!tenant)
        return refuse(out, MQA_REFUSAL_TENANT,
                      mqa_fail(err, MQA_ERR_NOT_FOUND, "there is no tenant '%.64s'", tenant_name));
    out->needed =
        worst_case(engine, pinned_tokens(engine, job), job->n_prompt, job->max_tokens, job->n_choices);
    out->available = least_budget(engine, tenant);
    engine->stats.submitted++;
    tenant->counters.submitted++;
    mqa_status status = MQA_OK;
    if (out->needed > out->available)
        status = refuse(out, MQA_REFUSAL_TOO_LARGE,
                        mqa_fail(err, MQA_ERR_BUDGET,
                                 "this request may need %zu bytes of the KV cache, and at most %zu can be "
                                 "had: give a shorter prompt, less max_tokens, or fewer choices",
                                 out->needed, out->available));
    else if (engine->n_jobs >= engine->options.max_requests ||
             (tenant->options.max_waiting > 0 && tenant->n_waiting >= tenant->options.max_waiting))
        status = refuse(out, MQA_REFUSAL_BUSY,
                        mqa_fail(err, MQA_ERR_BUDGET,
                                 "%d requests of this tenant wait, %d are there altogether: try again later",
                                 tenant->n_waiting, engine->n_jobs));
    if (status != MQA_OK) {
        engine->stats.refused++;
        tenant->counters.refused++;
        return status;
    }
    job->id = ++engine->last_id;
    job->tenant = tenant;
    job->submitted = mqa_engine_now(engine);
    job->same_hash = engine->jobs[job->id % MQA_JOB_BUCKETS];
    engine->jobs[job->id % MQA_JOB_BUCKETS] = job;
    engine->n_jobs++;
    enqueue(&tenant->waiting, job);
    tenant->n_waiting++;
    engine->woken = true;
    pthread_cond_broadcast(&engine->work);
    out->id = job->id;
    return MQA_OK;
}

static mqa_status submit(mqa_engine *engine, const mqa_request *own, bool pin, mqa_submission *out,
                         mqa_error *err)
{
    mqa_job *job = NULL;
    if (mqa_job_create(engine, own, pin, &job, err) != MQA_OK)
        return refuse(out, MQA_REFUSAL_OTHER, MQA_ERR_OUT_OF_MEMORY);
    pthread_mutex_lock(&engine->lock);
    const mqa_status status = take_in(engine, job, own->tenant, out, err);
    pthread_mutex_unlock(&engine->lock);
    if (status == MQA_OK) return MQA_OK;
    job->request.mask.release = NULL;
    mqa_job_destroy(job);
    return status;
}

mqa_status mqa_engine_submit(mqa_engine *engine, const mqa_request *request, mqa_submission *out,
                             mqa_error *err)
{
    if (!engine || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_engine_submit: engine or out is NULL");
    *out = (mqa_submission){.refusal = MQA_REFUSAL_INVALID};
    mqa_request own;
    MQA_TRY(MQA_TAKE(mqa_request, request, &own, err));
    mqa_status status = check_request(engine, &own, err);
    if (status == MQA_OK) {
        out->refusal = MQA_REFUSAL_NONE;
        status = submit(engine, &own, false, out, err);
    }
    if (status != MQA_OK && own.mask.release) own.mask.release(own.mask.user);
    return status;
}

mqa_status mqa_engine_pin(mqa_engine *engine, const int32_t *tokens, int64_t n_tokens, uint64_t *id,
                          mqa_error *err)
{
    if (!engine || !id)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_engine_pin: engine or id is NULL");
    mqa_request request = mqa_request_default();
    request.prompt = tokens;
    request.n_prompt = n_tokens;
    request.max_tokens = 1;
    MQA_TRY(check_request(engine, &request, err));
    mqa_submission submission = {0};
    const mqa_status status = submit(engine, &request, true, &submission, err);
    *id = submission.id;
    return status;
}

/* ---- ending ---- */

void mqa_choice_end(mqa_engine *engine, mqa_choice *choice, mqa_finish finish, mqa_status status,
                    const char *message, int32_t token)
{
    if (choice->state == MQA_CHOICE_DONE) return;
    const bool complete = finish == MQA_FINISH_STOP || finish == MQA_FINISH_LENGTH;
    if (choice->state == MQA_CHOICE_RUNNING && complete) mqa_keep_answer(engine, choice);
    mqa_close_sequence(engine, choice);
    if (choice->job->started) engine->n_choices--;
    choice->state = MQA_CHOICE_DONE;
    choice->finish = finish;
    choice->status = status;
    if (choice->job->pin) return;
    mqa_events_put(choice->job, &(mqa_event_record){.kind = MQA_EVENT_FINISH,
                                                    .choice = choice->index,
                                                    .token = token,
                                                    .finish = finish,
                                                    .status = status,
                                                    .message = message ? strdup(message) : NULL});
}

static void count_end(mqa_engine *engine, mqa_counters *c, mqa_finish finish)
{
    switch (finish) {
    case MQA_FINISH_CANCELLED:
        c->cancelled++, engine->stats.cancelled++;
        return;
    case MQA_FINISH_DEADLINE:
        c->expired++, engine->stats.expired++;
        return;
    case MQA_FINISH_ERROR:
        c->failed++, engine->stats.failed++;
        return;
    default:
        c->finished++, engine->stats.finished++;
    }
}

void mqa_job_end(mqa_engine *engine, mqa_job *job, mqa_finish finish, mqa_status status, const char *message)
{
    if (job->over) return;
    mqa_tenant *tenant = job->tenant;
    for (int i = 0; i < job->n_choices; i++)
        mqa_choice_end(engine, &job->choices[i], finish, status, message, -1);
    if (job->started) {
        mqa_list_remove(&engine->running, job);
        engine->n_running--;
        tenant->n_running--;
    } else {
        mqa_list_remove(&tenant->waiting, job);
        tenant->n_waiting--;
    }
    count_end(engine, &tenant->counters, finish);
    release_mask(job);
    job->tenant = NULL;
    job->over = true;
    job->ended_at = mqa_engine_now(engine);
    mqa_events_put(job, &(mqa_event_record){.kind = MQA_EVENT_END,
                                            .token = -1,
                                            .finish = finish,
                                            .status = status,
                                            .message = message ? strdup(message) : NULL});
    if (job->closed) mqa_job_forget(engine, job);
}

void mqa_job_end_if_done(mqa_engine *engine, mqa_job *job)
{
    const mqa_choice *worst = NULL;
    for (int i = 0; i < job->n_choices; i++) {
        const mqa_choice *choice = &job->choices[i];
        if (choice->state != MQA_CHOICE_DONE) return;
        if (!worst || worst->finish <= MQA_FINISH_LENGTH) worst = choice;
    }
    mqa_job_end(engine, job, worst->finish, worst->status,
                worst->finish == MQA_FINISH_ERROR ? worst->error.message : NULL);
}
