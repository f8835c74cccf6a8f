/* Starting and stopping.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "mqa/version.h"
#include "server/inside.h"
#include "server/routes.h"

enum { HTTP_THREADS = 2 };

int64_t mqa_unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

mqa_service_options mqa_service_options_default(void)
{
    return (mqa_service_options){.host = "127.0.0.1",
                                 .port = 8080,
                                 .draft_max = mqa_engine_options_default().draft_max,
                                 .k_type = MQA_KV_BF16,
                                 .v_type = MQA_KV_BF16,
                                 .default_max_tokens = 1024,
                                 .queue_seconds = 300,
                                 .max_body_bytes = (size_t)16 << 20,
                                 .max_header_bytes = 32768,
                                 .max_connections = 2048,
                                 .header_seconds = 30,
                                 .body_seconds = 60};
}

/* ---- between threads ---- */

void mqa_service_wake(mqa_service *s)
{
    mqa_engine_wake(s->engine);
}

void mqa_service_take(mqa_service *s, mqa_job *job)
{
    pthread_mutex_lock(&s->lock);
    job->next = s->arrived;
    s->arrived = job;
    s->n_jobs++;
    pthread_mutex_unlock(&s->lock);
    mqa_service_wake(s);
}

void mqa_service_log(mqa_service *s, json_t *line)
{
    if (s->options.log && line) {
        json_object_set_new(line, "time_ms", json_integer((json_int_t)mqa_unix_ms()));
        char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
        if (text) s->options.log(s->options.log_user, text);
        free(text);
    }
    json_decref(line);
}

/* ---- start ---- */

static void name_model(mqa_service *s)
{
    const char *slash = strrchr(s->options.model_path, '/');
    snprintf(s->model_name, sizeof s->model_name, "%s", slash ? slash + 1 : s->options.model_path);
    mqa_one_line(s->model_name); /* a cut character, too */
    char *dot = strrchr(s->model_name, '.');
    if (dot && strcmp(dot, ".gguf") == 0) *dot = 0;
}

static size_t default_budget(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages / 4 * (size_t)size : (size_t)1 << 30;
}

/* NULL: nothing is spilled. */
static mqa_status spill_folder(const mqa_service_options *o, char *room, size_t n, const char **out,
                               mqa_error *err)
{
    *out = o->spill;
    if (o->admission != MQA_ADMISSION_OVERCOMMIT || (o->spill && strcmp(o->spill, "off") == 0)) *out = NULL;
    if (o->admission != MQA_ADMISSION_OVERCOMMIT || o->spill) return MQA_OK;
    *out = room;
    const int length = snprintf(room, n, "%s/spill", o->state_folder);
    if (length >= 0 && (size_t)length < n) return MQA_OK;
    return mqa_fail(err, MQA_ERR_IO, "%.100s…: the path is too long", o->state_folder);
}

static mqa_status start_engine(mqa_service *s, mqa_error *err)
{
    mqa_engine_options o = mqa_engine_options_default();
    s->kv_budget = s->options.kv_budget ? s->options.kv_budget : default_budget();
    o.kv_budget_bytes = s->kv_budget;
    o.admission = s->options.admission;
    o.draft_max = s->options.draft_max;
    char folder[4096];
    MQA_TRY(spill_folder(&s->options, folder, sizeof folder, &o.spill_dir, err));
    o.spill_limit = s->options.spill_limit;
    o.context = s->options.context;
    o.k_type = s->options.k_type;
    o.v_type = s->options.v_type;
    o.kv_plain = s->options.kv_plain;
    snprintf(s->isa, sizeof s->isa, "%s", mqa_isa_name(mqa_context_isa(s->ctx)));
    MQA_TRY(mqa_engine_create(s->model, &o, &s->engine, err));
    s->context = mqa_engine_context(s->engine);
    snprintf(s->fingerprint, sizeof s->fingerprint, "mqa-%s %s", mqa_version(), mqa_engine_recipe(s->engine));
    return MQA_OK;
}

static mqa_status check_exposure(const mqa_service *s, mqa_error *err)
{
    if (mqa_http_is_loopback(s->options.host) || mqa_tenants_need_key(s->tenants)) return MQA_OK;
    return mqa_fail(
        err, MQA_ERR_INVALID_ARGUMENT,
        "%s can be reached from other machines and there are no keys: make one with 'mqa tenant add "
        "NAME --state %s', or listen on 127.0.0.1",
        s->options.host, s->options.state_folder);
}

static mqa_status start_http(mqa_service *s, mqa_error *err)
{
    const mqa_http_options o = {.host = s->options.host,
                                .port = s->options.port,
                                .max_body_bytes = s->options.max_body_bytes,
                                .max_header_bytes = s->options.max_header_bytes,
                                .max_connections = s->options.max_connections,
                                .header_seconds = s->options.header_seconds,
                                .body_seconds = s->options.body_seconds,
                                .n_threads = HTTP_THREADS};
    const mqa_http_handler handler = {s, mqa_routes_begin, mqa_routes_handle, mqa_routes_end};
    return mqa_http_start(&o, &handler, &s->http, err);
}

static mqa_status start_all(mqa_service *s, mqa_error *err)
{
    MQA_TRY(mqa_keys_init(err));
    MQA_TRY(mqa_store_open(s->options.state_folder, &s->store, err));
    MQA_TRY(mqa_receipt_key_open(s->options.state_folder, &s->receipt_key, err));
    MQA_TRY(mqa_file_hash(s->options.model_path, s->model_hash, err));
    MQA_TRY(mqa_languages_create(s->tokenizer, MQA_LANGUAGES_BYTES, &s->languages, err));
    MQA_TRY(mqa_metrics_create(&s->metrics, err));
    MQA_TRY(mqa_tenants_create(&s->tenants, err));
    MQA_TRY(start_engine(s, err));
    MQA_TRY(mqa_store_open(s->options.state_folder, &s->tenants_store, err));
    MQA_TRY(mqa_service_look_at_tenants(s, err));
    MQA_TRY(check_exposure(s, err));
    if (pthread_create(&s->worker, NULL, mqa_service_work, s) != 0)
        return mqa_fail(err, MQA_ERR_IO, "can't start a thread");
    s->works = true;
    return start_http(s, err);
}

mqa_status mqa_service_start(mqa_context *ctx, mqa_model *model, const mqa_service_options *options,
                             mqa_service **out, mqa_error *err)
{
    *out = NULL;
    mqa_service *s = calloc(1, sizeof *s);
    if (!s) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a server");
    s->options = *options;
    s->ctx = ctx;
    s->model = model;
    s->tokenizer = mqa_model_tokenizer(model);
    s->started = mqa_unix_ms() / 1000;
    mqa_model_get_info(model, &s->info);
    name_model(s);
    s->tenants_version = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->tenants_lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    const mqa_status status = start_all(s, err);
    if (status != MQA_OK)
        mqa_service_stop(&s, 0);
    else
        *out = s;
    return status;
}

int mqa_service_port(const mqa_service *s)
{
    return mqa_http_port(s->http);
}

/* ---- stop ---- */

static void drain(mqa_service *s, double seconds)
{
    struct timespec end;
    const double until = mqa_seconds() + seconds;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (time_t)seconds;
    atomic_store(&s->draining, true);
    pthread_mutex_lock(&s->lock);
    while (s->n_jobs > 0 && pthread_cond_timedwait(&s->idle, &s->lock, &end) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&s->lock);
    mqa_http_flush(s->http, until - mqa_seconds());
}

/* What is left when time is over: nobody hears of it any more. */
static void drop_jobs(mqa_service *s)
{
    mqa_job *lists[] = {s->arrived, s->running};
    for (int i = 0; i < 2; i++)
        for (mqa_job *job = lists[i], *next; job; job = next) {
            next = job->next;
            mqa_job_release(s, job);
        }
}

void mqa_service_stop(mqa_service **service, double seconds)
{
    if (!service || !*service) return;
    mqa_service *s = *service;
    if (s->http) drain(s, seconds);
    if (s->works) {
        atomic_store(&s->stop, true);
        mqa_service_wake(s);
        pthread_join(s->worker, NULL);
    }
    mqa_http_stop(&s->http); /* its exchanges let go of their jobs */
    drop_jobs(s);
    mqa_engine_destroy(&s->engine);
    mqa_languages_destroy(&s->languages);
    mqa_tenants_destroy(&s->tenants);
    mqa_metrics_destroy(&s->metrics);
    mqa_store_close(&s->store);
    mqa_store_close(&s->tenants_store);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->tenants_lock);
    pthread_cond_destroy(&s->idle);
    free(s);
    *service = NULL;
}
