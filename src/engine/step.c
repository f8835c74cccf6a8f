/* The step: what came in, what starts, what is computed, what comes of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/state.h"
#include "kernels/context.h"
#include "model/model.h"

/* ---- what came in ---- */

static void end_job_early(mqa_engine *engine, mqa_job *job, double now)
{
    const mqa_request *r = &job->request;
    const double age = now - job->submitted;
    if (job->cancelled)
        mqa_job_end(engine, job, MQA_FINISH_CANCELLED, MQA_ERR_CANCELLED, "cancelled");
    else if (r->total_seconds > 0 && age >= r->total_seconds)
        mqa_job_end(engine, job, MQA_FINISH_DEADLINE, MQA_ERR_CANCELLED, "its total_seconds are over");
    else if (!job->started && r->wait_seconds > 0 && age >= r->wait_seconds)
        mqa_job_end(engine, job, MQA_FINISH_DEADLINE, MQA_ERR_BUDGET,
                    "there was no room for it within its wait_seconds");
}

static void end_early(mqa_engine *engine)
{
    const double now = mqa_engine_now(engine);
    for (mqa_tenant *t = engine->tenants; t; t = t->next)
        for (mqa_job *job = t->waiting.first, *next; job; job = next) {
            next = job->next;
            job->cancelled |= t->removed;
            end_job_early(engine, job, now);
        }
    for (mqa_job *job = engine->running.first, *next; job; job = next) {
        next = job->next;
        job->cancelled |= job->tenant->removed;
        end_job_early(engine, job, now);
    }
}

static void remove_tenant(mqa_engine *engine, mqa_tenant *tenant)
{
    mqa_drop_tree(engine, &tenant->tree);
    mqa_tenant **at = &engine->tenants;
    while (*at != tenant) at = &(*at)->next;
    *at = tenant->next;
    if (engine->turn == tenant) engine->turn = tenant->next;
    if (engine->admit_turn == tenant) engine->admit_turn = tenant->next;
    engine->stats.tenants--;
    mqa_account_destroy(&tenant->account);
    free(tenant);
}

/* Accounts are touched here alone. */
static mqa_status settle_tenants(mqa_engine *engine, mqa_error *err)
{
    for (mqa_tenant *t = engine->tenants, *next; t; t = next) {
        next = t->next;
        if (t->removed) {
            remove_tenant(engine, t);
            continue;
        }
        if (!t->account)
            MQA_TRY(mqa_account_create(engine->model->ctx, mqa_session_account(engine->session),
                                       t->options.budget_bytes, &t->account, err));
        if (t->changed) mqa_account_set_budget(t->account, t->options.budget_bytes);
        t->changed = false;
        while (mqa_usage_of(t->account).in_use > mqa_tenant_budget(engine, t))
            if (!mqa_evict_one(engine, t->account, NULL)) break;
    }
    return MQA_OK;
}

static void unpin(mqa_engine *engine)
{
    for (mqa_pin **at = &engine->pins, *pin; (pin = *at) != NULL;) {
        if (pin->id != 0) {
            at = &pin->next;
            continue;
        }
        *at = pin->next;
        mqa_drop_checkpoint(engine, pin->node);
        engine->stats.pinned--;
        free(pin);
    }
}

/* ---- computing ---- */

static mqa_status reserve_logits(mqa_engine *engine, int rows, mqa_error *err)
{
    if (rows <= engine->logits_rows) return MQA_OK;
    const mqa_allocator *allocator = engine->model->ctx->allocator;
    const size_t row = (size_t)engine->info.n_vocab * sizeof(float);
    float *logits = mqa_alloc_array(allocator, (size_t)rows, row);
    if (!logits) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the logits of %d choices", rows);
    mqa_release(allocator, engine->logits, (size_t)engine->logits_rows * row);
    engine->logits = logits;
    engine->logits_rows = rows;
    return MQA_OK;
}

/* The items that mqa_make_room left, with where logits go. */
static mqa_status finish_items(mqa_engine *engine, mqa_error *err)
{
    int rows = 0;
    for (int i = 0; i < engine->n_batch; i++) {
        mqa_choice *c = engine->batch[i];
        c->logits = NULL;
        if (c->length + c->part >= c->n_text && !c->job->pin) rows += 1 + c->n_drafts;
    }
    MQA_TRY(reserve_logits(engine, rows, err));
    rows = 0;
    for (int i = 0; i < engine->n_batch; i++) {
        mqa_choice *c = engine->batch[i];
        if (c->length + c->part < c->n_text || c->job->pin) continue;
        c->logits = engine->logits + (size_t)rows * (size_t)engine->info.n_vocab;
        rows += 1 + c->n_drafts;
        engine->items[i].want = c->n_drafts > 0 ? MQA_LOGITS_ALL : MQA_LOGITS_LAST;
        engine->items[i].logits = c->logits;
    }
    return MQA_OK;
}

/* If what fails is one choice's affair, the others go on: each by itself and without guesses, with the bits
 * of all together. */
static void compute(mqa_engine *engine)
{
    mqa_error error = {0};
    const mqa_status status = mqa_session_eval(engine->session, engine->items, engine->n_batch, NULL, &error);
    for (int i = 0; i < engine->n_batch; i++) {
        mqa_choice *c = engine->batch[i];
        c->status = status;
        if (status == MQA_OK) continue;
        if (mqa_drop_drafts(engine, c)) engine->items[i].n_tokens = c->part;
        c->status = mqa_session_eval(engine->session, &engine->items[i], 1, NULL, &c->error);
    }
}

/* ---- what comes of it ---- */

static mqa_status put_token(mqa_choice *choice, mqa_error *err)
{
    mqa_job *job = choice->job;
    mqa_token_logprob *top = NULL;
    MQA_TRY(mqa_events_reserve(job, job->n_choices + 2, err));
    const mqa_request *r = &job->request;
    const bool counts = r->repetition_penalty != 1 || r->frequency_penalty != 0 || r->presence_penalty != 0;
    if (counts && !mqa_count_token(&choice->counts, choice->token))
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for counts of tokens");
    if (choice->n_top > 0) {
        top = malloc((size_t)choice->n_top * sizeof *top);
        if (!top) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for log probabilities");
        memcpy(top, choice->top, (size_t)choice->n_top * sizeof *top);
    }
    const int64_t position = choice->n_text;
    const mqa_status status = mqa_choice_append(choice, choice->token, err);
    if (status != MQA_OK) {
        free(top);
        return status;
    }
    mqa_events_put(job, &(mqa_event_record){.kind = MQA_EVENT_TOKEN,
                                            .choice = choice->index,
                                            .token = choice->token,
                                            .position = position,
                                            .logprob = choice->logprob,
                                            .n_top = choice->n_top,
                                            .top = top});
    return MQA_OK;
}

/* A choice has drawn. Its logits are NULL then, or those of its next row, from which it draws as well. */
static void take_token(mqa_engine *engine, mqa_choice *choice)
{
    mqa_job *job = choice->job;
    const bool ends = choice->status == MQA_OK && mqa_job_ends_with(engine, job, choice->token);
    const bool last = ends || mqa_choice_generated(choice) + 1 == job->max_tokens;
    const bool next = mqa_check_draft(engine, choice, choice->status == MQA_OK && !last);
    choice->logits = next ? choice->logits + engine->info.n_vocab : NULL;
    if (ends && choice->status == MQA_OK) {
        mqa_choice_end(engine, choice, MQA_FINISH_STOP, MQA_OK, NULL, choice->token);
        return;
    }
    if (choice->status == MQA_OK) choice->status = put_token(choice, &choice->error);
    if (choice->status != MQA_OK) {
        mqa_choice_end(engine, choice, MQA_FINISH_ERROR, choice->status, choice->error.message, -1);
        return;
    }
    if (job->generated_tokens++ == 0) job->first_token_at = mqa_engine_now(engine);
    engine->stats.generated_tokens++;
    job->tenant->counters.generated_tokens++;
    if (mqa_choice_generated(choice) == job->max_tokens)
        mqa_choice_end(engine, choice, MQA_FINISH_LENGTH, MQA_OK, NULL, -1);
}

static mqa_status pin(mqa_engine *engine, mqa_job *job, mqa_error *err)
{
    mqa_choice *choice = &job->choices[0];
    mqa_pin *p = calloc(1, sizeof *p);
    mqa_prefix_node *node = p ? mqa_prefix_insert(&engine->pinned_tree, choice->text, choice->length) : NULL;
    if (!node) {
        free(p);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a pinned beginning");
    }
    if (node->checkpoint >= 0) {
        free(p);
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "these tokens are pinned already");
    }
    node->checkpoint = choice->sequence;
    choice->sequence = -1;
    *p = (mqa_pin){.next = engine->pins, .id = job->id, .node = node};
    p->window_bytes = mqa_session_bytes(engine->session, node->checkpoint) -
                      mqa_session_most_bytes(engine->session, 0, choice->length, 1).bytes;
    engine->pins = p;
    engine->stats.pinned++;
    return MQA_OK;
}

/* What was computed is there: lengths move, and beginnings are left. Fills drawing with who draws next. */
static int after_compute(mqa_engine *engine)
{
    int n = 0;
    for (int i = 0; i < engine->n_batch; i++) {
        mqa_choice *c = engine->batch[i];
        mqa_job *job = c->job;
        if (c->status != MQA_OK) {
            mqa_choice_end(engine, c, MQA_FINISH_ERROR, c->status, c->error.message, -1);
            continue;
        }
        const int64_t begin = c->length;
        c->length += c->part - c->n_drafts;
        c->part = 0;
        mqa_leave_checkpoints(engine, c, begin);
        if (c->n_drafts == 0) mqa_session_evict(engine->session, c->sequence);
        if (job->pin && c->length == c->n_text) {
            c->status = pin(engine, job, &c->error);
            mqa_choice_end(engine, c, c->status == MQA_OK ? MQA_FINISH_LENGTH : MQA_FINISH_ERROR, c->status,
                           c->error.message, -1);
            continue;
        }
        if (!c->logits) continue;
        engine->drawing[n++] = c;
        if (c->index > 0 || job->prompt_done) continue;
        job->prompt_done = true;
        mqa_fork_choices(engine, job);
        for (int j = 1; j < job->n_choices; j++) {
            job->choices[j].logits = c->logits;
            engine->drawing[n++] = &job->choices[j];
        }
    }
    return n;
}

/* All of drawing's n choices draw, again and again as long as guesses hold. Called with the lock, which it
 * gives up while they draw. */
static void draw_all(mqa_engine *engine, int n)
{
    while (n > 0) {
        pthread_mutex_unlock(&engine->lock);
        mqa_draw(engine, engine->drawing, n);
        pthread_mutex_lock(&engine->lock);
        int left = 0;
        for (int i = 0; i < n; i++) {
            mqa_choice *choice = engine->drawing[i];
            take_token(engine, choice);
            if (choice->logits && choice->state == MQA_CHOICE_RUNNING) engine->drawing[left++] = choice;
        }
        n = left;
    }
}

static void end_done(mqa_engine *engine)
{
    for (mqa_job *job = engine->running.first, *next; job; job = next) {
        next = job->next;
        mqa_job_end_if_done(engine, job);
    }
}

/* ---- what is said of it ---- */

static void add_notice(mqa_engine *engine, mqa_job *job)
{
    if (!job->notify || job->closed) return;
    if (engine->n_notify == engine->notify_capacity) {
        const int capacity = 2 * engine->notify_capacity + 64;
        uint64_t *notify = realloc(engine->notify, (size_t)capacity * sizeof *notify);
        if (!notify) return; /* it is told with its next event */
        engine->notify = notify;
        engine->notify_capacity = capacity;
    }
    job->notify = false;
    engine->notify[engine->n_notify++] = job->id;
}

static void publish(mqa_engine *engine)
{
    mqa_engine_stats *s = &engine->stats;
    const mqa_account_usage all = mqa_usage_of(mqa_session_account(engine->session));
    s->running = engine->n_running;
    s->choices = engine->n_choices;
    s->checkpoints = engine->lru.n;
    engine->pinned_bytes = mqa_usage_of(engine->pin_account).in_use;
    s->bytes_in_use = all.in_use;
    s->bytes_kept = all.kept;
    s->bytes_reserved = mqa_claims(engine, NULL);
    s->bytes_resident = mqa_session_bytes_resident(engine->session);
    for (mqa_tenant *t = engine->tenants; t; t = t->next) {
        t->usage = mqa_usage_of(t->account);
        t->reserved = t->account ? mqa_held(t->account) : 0;
    }
    for (const mqa_job *job = engine->running.first; job; job = job->next) /* each tenant's mqa_claims */
        if (!job->pin && job->tenant->account) job->tenant->reserved += mqa_job_claims(engine, job);
    engine->n_notify = 0;
    for (int b = 0; b < MQA_JOB_BUCKETS && engine->options.on_events; b++)
        for (mqa_job *job = engine->jobs[b]; job; job = job->same_hash) add_notice(engine, job);
}

mqa_status mqa_engine_step(mqa_engine *engine, bool *busy, mqa_error *err)
{
    if (!engine || !busy)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_engine_step: engine or busy is NULL");
    *busy = false;
    pthread_mutex_lock(&engine->lock);
    engine->woken = false;
    end_early(engine);
    unpin(engine);
    mqa_status status = settle_tenants(engine, err);
    int rows = 0, decodes = 0;
    if (status == MQA_OK) {
        mqa_admit(engine);
        rows = mqa_schedule(engine, &decodes);
        status = mqa_make_room(engine, err);
    }
    if (status == MQA_OK) status = finish_items(engine, err);
    if (status == MQA_OK && engine->n_batch > 0) {
        *busy = true;
        const double begin = mqa_engine_now(engine);
        pthread_mutex_unlock(&engine->lock);
        compute(engine);
        pthread_mutex_lock(&engine->lock);
        const int drafts = engine->n_drafts;
        draw_all(engine, after_compute(engine));
        end_done(engine);
        engine->stats.steps++;
        engine->stats.prompt_rows += (uint64_t)rows;
        engine->stats.decode_rows += (uint64_t)decodes;
        engine->stats.drafted_tokens += (uint64_t)drafts;
        mqa_learn(engine, mqa_engine_now(engine) - begin, rows, decodes, drafts);
    }
    publish(engine);
    pthread_mutex_unlock(&engine->lock);
    for (int i = 0; i < engine->n_notify; i++)
        engine->options.on_events(engine->options.on_events_user, engine->notify[i]);
    return status;
}
