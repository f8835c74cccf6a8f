/* The engine's making and end, its tenants, and what it says of itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "base/take_struct.h"
#include "engine/state.h"
#include "kernels/context.h"
#include "model/model.h"

enum { DEFAULT_CHUNK = 512, DEFAULT_RUNNING = 64, DEFAULT_REQUESTS = 4096, DEFAULT_CHECKPOINTS = 1024 };
enum {
    DEFAULT_DRAFT_MAX = 16,
    DEFAULT_CHECKPOINT_TOKENS = 2048,
    MOST = 65536,
    MAX_PINS = 256,
    MAX_WEIGHT = 1000
};
static const size_t default_budget = (size_t)2 << 30;

/* ---- options ---- */

static const char *const admission_names[] = {"reserve", "overcommit"};

const char *mqa_admission_name(mqa_admission admission)
{
    return (unsigned)admission < 2 ? admission_names[admission] : "unknown";
}

mqa_status mqa_admission_parse(const char *name, mqa_admission *out, mqa_error *err)
{
    for (int i = 0; i < 2 && name && out; i++) {
        if (strcmp(name, admission_names[i]) != 0) continue;
        *out = (mqa_admission)i;
        return MQA_OK;
    }
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "admission '%.40s': give reserve or overcommit",
                    name ? name : "(null)");
}

void mqa_engine_options_init(mqa_engine_options *out, size_t struct_size)
{
    const mqa_engine_options defaults = {
        .k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16, .draft_max = DEFAULT_DRAFT_MAX};
    mqa_give_struct(&defaults, sizeof defaults, out, struct_size);
}

static double steady_clock(void *user)
{
    (void)user;
    return mqa_seconds();
}

static mqa_status check_count(const char *name, int value, int most, mqa_error *err)
{
    if (value >= 1 && value <= most) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s is %d: give 1 to %d", name, value, most);
}

static mqa_status settle_options(const mqa_model_info *info, const mqa_engine_options *options,
                                 mqa_engine_options *out, mqa_error *err)
{
    *out = mqa_engine_options_default();
    if (options) MQA_TRY(MQA_TAKE(mqa_engine_options, options, out, err));
    if (out->kv_budget_bytes == 0) out->kv_budget_bytes = default_budget;
    if (out->spill_limit == 0) out->spill_limit = out->kv_budget_bytes;
    if (out->context == 0) out->context = info->context_length;
    if (out->chunk == 0) out->chunk = DEFAULT_CHUNK;
    if (out->max_running == 0) out->max_running = out->chunk < DEFAULT_RUNNING ? out->chunk : DEFAULT_RUNNING;
    if (out->max_requests == 0) out->max_requests = DEFAULT_REQUESTS;
    if (out->max_checkpoints == 0) out->max_checkpoints = DEFAULT_CHECKPOINTS;
    if (out->checkpoint_tokens == 0) out->checkpoint_tokens = DEFAULT_CHECKPOINT_TOKENS;
    if (!out->now) out->now = steady_clock;
    if ((unsigned)out->admission > MQA_ADMISSION_OVERCOMMIT)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "admission is %d, not of mqa_admission",
                        (int)out->admission);
    MQA_TRY(check_count("chunk", out->chunk, MOST, err));
    MQA_TRY(check_count("max_running", out->max_running, out->chunk, err));
    MQA_TRY(check_count("max_requests", out->max_requests, 1 << 24, err));
    MQA_TRY(
        check_count("max_checkpoints", out->max_checkpoints, MOST - MAX_PINS - 1 - out->max_running, err));
    if (out->draft_max < 0 || out->draft_max > MQA_MOST_DRAFTS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "draft_max is %d: give 0 (none) to %d", out->draft_max,
                        MQA_MOST_DRAFTS);
    if (out->checkpoint_tokens < 1 || !(out->step_seconds >= 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "checkpoint_tokens is %" PRId64 ", step_seconds %g: give 0 (default) or more",
                        out->checkpoint_tokens, out->step_seconds);
    return MQA_OK;
}

/* ---- making one ---- */

static mqa_status create_session(mqa_engine *e, mqa_error *err)
{
    mqa_session_options s = mqa_session_options_default();
    s.context = e->options.context;
    s.max_sequences = 1; /* which stays empty */
    /* One more than there are choices and checkpoints, for a checkpoint before the oldest one goes. */
    s.max_on_demand = e->options.max_running + e->options.max_checkpoints + MAX_PINS + 1;
    s.chunk = e->options.chunk;
    s.k_type = e->options.k_type;
    s.v_type = e->options.v_type;
    s.kv_plain = e->options.kv_plain;
    s.kv_budget_bytes = e->options.kv_budget_bytes;
    MQA_TRY(mqa_session_create(e->model, &s, &e->session, err));
    e->page_tokens = mqa_session_page_tokens(e->session);
    const mqa_session_most least = mqa_session_most_bytes(e->session, 0, 1, MQA_LEAST_PART);
    if (least.bytes + least.window_bytes > e->options.kv_budget_bytes)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "kv_budget_bytes is %zu, less than the %zu that one token takes",
                        e->options.kv_budget_bytes, least.bytes + least.window_bytes);
    return mqa_account_create(e->model->ctx, mqa_session_account(e->session), 0, &e->pin_account, err);
}

static mqa_status create_tables(mqa_engine *e, mqa_error *err)
{
    const mqa_context *ctx = e->model->ctx;
    const size_t n = (size_t)e->options.max_running;
    e->batch = calloc(n, sizeof(mqa_choice *));
    e->items = calloc(n, sizeof *e->items);
    e->drawing = calloc(2 * n, sizeof(mqa_choice *));
    e->scratch_bytes = mqa_draw_scratch_bytes(e->info.n_vocab);
    e->scratch = mqa_alloc_array(ctx->allocator, (size_t)mqa_pool_n_threads(ctx->pool), e->scratch_bytes);
    e->tenants = calloc(1, sizeof *e->tenants);
    if (!e->batch || !e->items || !e->drawing || !e->scratch || !e->tenants)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for an engine");
    e->tenants->options = (mqa_tenant_options){.struct_size = sizeof(mqa_tenant_options), .weight = 1};
    e->stats.tenants = 1;
    e->stats.budget_bytes = e->options.kv_budget_bytes;
    return MQA_OK;
}

mqa_status mqa_engine_create(mqa_model *model, const mqa_engine_options *options, mqa_engine **out,
                             mqa_error *err)
{
    if (!model || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_engine_create: model or out is NULL");
    *out = NULL;
    mqa_model_info info;
    mqa_engine_options settled;
    mqa_model_get_info(model, &info);
    MQA_TRY(settle_options(&info, options, &settled, err));
    mqa_engine *e = calloc(1, sizeof *e);
    if (!e) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for an engine");
    e->model = model;
    e->info = info;
    e->options = settled;
    pthread_mutex_init(&e->lock, NULL);
    mqa_cond_init(&e->work);
    mqa_status status = create_session(e, err);
    if (status == MQA_OK) status = create_tables(e, err);
    if (status == MQA_OK) status = mqa_spill_create(e, err);
    if (status != MQA_OK)
        mqa_engine_destroy(&e);
    else
        *out = e;
    return status;
}

void mqa_engine_destroy(mqa_engine **engine)
{
    if (!engine || !*engine) return;
    mqa_engine *e = *engine;
    const mqa_allocator *allocator = e->model->ctx->allocator;
    for (int b = 0; b < MQA_JOB_BUCKETS; b++)
        for (mqa_job *job = e->jobs[b], *next; job; job = next) {
            next = job->same_hash;
            for (int i = 0; i < job->n_choices; i++) mqa_close_sequence(e, &job->choices[i]);
            mqa_job_destroy(job);
        }
    mqa_spill_destroy(e);
    mqa_drop_tree(e, &e->pinned_tree);
    for (mqa_pin *pin = e->pins, *next; pin; pin = next) {
        next = pin->next;
        free(pin);
    }
    for (mqa_tenant *t = e->tenants, *next; t; t = next) {
        next = t->next;
        mqa_drop_tree(e, &t->tree);
        mqa_account_destroy(&t->account);
        free(t);
    }
    mqa_account_destroy(&e->pin_account);
    mqa_session_destroy(&e->session);
    mqa_release(allocator, e->logits, (size_t)e->logits_rows * (size_t)e->info.n_vocab * sizeof *e->logits);
    mqa_release(allocator, e->scratch, (size_t)mqa_pool_n_threads(e->model->ctx->pool) * e->scratch_bytes);
    free(e->batch);
    free(e->items);
    free(e->drawing);
    free(e->notify);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->work);
    free(e);
    *engine = NULL;
}

const char *mqa_engine_recipe(const mqa_engine *engine)
{
    return mqa_session_recipe(engine->session);
}

int64_t mqa_engine_context(const mqa_engine *engine)
{
    return engine->options.context;
}

/* ---- tenants ---- */

mqa_tenant *mqa_tenant_find(const mqa_engine *e, const char *name)
{
    mqa_tenant *t = e->tenants;
    while (t && (t->removed || strcmp(t->name, name) != 0)) t = t->next;
    return t;
}

static mqa_status set_tenant(mqa_engine *e, const char *name, const mqa_tenant_options *options,
                             mqa_error *err)
{
    mqa_tenant *t = mqa_tenant_find(e, name);
    if (!t) {
        mqa_tenant **at = &e->tenants;
        while (*at) at = &(*at)->next;
        t = *at = calloc(1, sizeof *t);
        if (!t) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a tenant");
        snprintf(t->name, sizeof t->name, "%s", name);
        e->stats.tenants++;
    }
    t->options = *options;
    t->changed = true;
    return MQA_OK;
}

mqa_status mqa_engine_tenant_set(mqa_engine *engine, const char *name, const mqa_tenant_options *options,
                                 mqa_error *err)
{
    mqa_tenant_options own;
    if (!engine || !name || strlen(name) >= MQA_TENANT_NAME)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a tenant's name has less than %d bytes",
                        MQA_TENANT_NAME);
    MQA_TRY(MQA_TAKE(mqa_tenant_options, options, &own, err));
    if (own.weight == 0) own.weight = 1;
    if (own.weight < 1 || own.weight > MAX_WEIGHT || own.max_waiting < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "tenant '%s': weight is %d, max_waiting %d: give 1 to %d, and 0 or more", name,
                        own.weight, own.max_waiting, MAX_WEIGHT);
    pthread_mutex_lock(&engine->lock);
    const mqa_status status = set_tenant(engine, name, &own, err);
    pthread_mutex_unlock(&engine->lock);
    mqa_engine_wake(engine);
    return status;
}

mqa_status mqa_engine_tenant_remove(mqa_engine *engine, const char *name, mqa_error *err)
{
    if (!engine || !name || !*name) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the tenant \"\" stays");
    pthread_mutex_lock(&engine->lock);
    mqa_tenant *t = mqa_tenant_find(engine, name);
    if (t) t->removed = true;
    pthread_mutex_unlock(&engine->lock);
    mqa_engine_wake(engine);
    return t ? MQA_OK : mqa_fail(err, MQA_ERR_NOT_FOUND, "there is no tenant '%.64s'", name);
}

mqa_status mqa_engine_unpin(mqa_engine *engine, uint64_t id, mqa_error *err)
{
    if (!engine) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_engine_unpin: engine is NULL");
    pthread_mutex_lock(&engine->lock);
    mqa_pin *pin = engine->pins;
    while (pin && (id == 0 || pin->id != id)) pin = pin->next;
    if (pin) pin->id = 0; /* the next step drops it */
    pthread_mutex_unlock(&engine->lock);
    mqa_engine_wake(engine);
    if (pin) return MQA_OK;
    return mqa_fail(err, MQA_ERR_NOT_FOUND, "nothing is pinned as %" PRIu64, id);
}

/* ---- statistics ---- */

mqa_status mqa_engine_get_stats(mqa_engine *engine, mqa_engine_stats *out, mqa_error *err)
{
    if (!engine || !out || out->struct_size < sizeof out->struct_size)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_engine_get_stats: engine or out is NULL, or struct_size isn't set");
    pthread_mutex_lock(&engine->lock);
    mqa_engine_stats stats = engine->stats;
    for (const mqa_tenant *t = engine->tenants; t; t = t->next) stats.waiting += t->n_waiting;
    pthread_mutex_unlock(&engine->lock);
    stats.struct_size = out->struct_size;
    mqa_give_struct(&stats, sizeof stats, out, out->struct_size);
    return MQA_OK;
}

static void describe(const mqa_tenant *t, mqa_tenant_stats *out)
{
    const mqa_counters *c = &t->counters;
    *out = (mqa_tenant_stats){.waiting = t->n_waiting,
                              .running = t->n_running,
                              .checkpoints = t->n_checkpoints,
                              .budget_bytes = t->options.budget_bytes,
                              .bytes_in_use = t->usage.in_use,
                              .bytes_kept = t->usage.kept,
                              .bytes_reserved = t->reserved,
                              .bytes_spilled = t->bytes_spilled,
                              .submitted = c->submitted,
                              .refused = c->refused,
                              .finished = c->finished,
                              .cancelled = c->cancelled,
                              .expired = c->expired,
                              .failed = c->failed,
                              .preempted = c->preempted,
                              .prompt_tokens = c->prompt_tokens,
                              .cached_tokens = c->cached_tokens,
                              .generated_tokens = c->generated_tokens};
    memcpy(out->name, t->name, sizeof out->name);
}

mqa_status mqa_engine_get_tenant_stats(mqa_engine *engine, int index, mqa_tenant_stats *out, mqa_error *err)
{
    if (!engine || !out || out->struct_size < sizeof out->struct_size)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_engine_get_tenant_stats: engine or out is NULL, or struct_size isn't set");
    mqa_tenant_stats stats = {0};
    pthread_mutex_lock(&engine->lock);
    const mqa_tenant *t = index < 0 ? NULL : engine->tenants;
    for (int i = 0; t && i < index; i++) t = t->next;
    if (t) describe(t, &stats);
    pthread_mutex_unlock(&engine->lock);
    if (!t) return mqa_fail(err, MQA_ERR_NOT_FOUND, "there is no tenant %d", index);
    stats.struct_size = out->struct_size;
    mqa_give_struct(&stats, sizeof stats, out, out->struct_size);
    return MQA_OK;
}
