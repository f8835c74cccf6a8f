/* One design under one demand: bytes, whether they fit, times.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"
#include "kvcache/cache.h"
#include "planner/design.h"
#include "planner/forecast.h"

void mqa_demand_default(mqa_demand *out)
{
    *out = (mqa_demand){.contexts = {4096},
                        .n_contexts = 1,
                        .requests = 1,
                        .chunk = 512,
                        .page_tokens = MQA_GRANULE,
                        .k_type = MQA_KV_BF16,
                        .v_type = MQA_KV_BF16,
                        .weights = MQA_WEIGHTS_AS_IS};
}

/* ---- checks ---- */

static mqa_status check_int(const char *what, int64_t value, int64_t min, int64_t max, mqa_error *err)
{
    if (value >= min && value <= max) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s is %" PRId64 ": give %" PRId64 " to %" PRId64, what,
                    value, min, max);
}

static mqa_status check_wish(const char *what, double value, mqa_error *err)
{
    if (value >= 0 && value < 1e18) return MQA_OK; /* NaN isn't */
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s is %g: give a number above 0", what, value);
}

static mqa_status check_tenants(const mqa_demand *d, mqa_error *err)
{
    MQA_TRY(check_int("the number of tenants", d->n_tenants, 0, MQA_DEMAND_TENANTS, err));
    for (int i = 0; i < d->n_tenants; i++) {
        const mqa_tenant *t = &d->tenants[i];
        char what[80];
        snprintf(what, sizeof what, "requests of tenant %s", t->name);
        MQA_TRY(check_int(what, t->requests, 1, MQA_MAX_REQUESTS, err));
        snprintf(what, sizeof what, "context of tenant %s", t->name);
        MQA_TRY(check_int(what, t->context, 1, MQA_MAX_CONTEXT, err));
        snprintf(what, sizeof what, "shared tokens of tenant %s", t->name);
        MQA_TRY(check_int(what, t->shared, 0, t->context, err));
    }
    return MQA_OK;
}

mqa_status mqa_demand_check(const mqa_demand *d, mqa_error *err)
{
    MQA_TRY(check_int("the number of contexts", d->n_contexts, 1, MQA_DEMAND_CONTEXTS, err));
    for (int i = 0; i < d->n_contexts; i++) {
        MQA_TRY(check_int("context", d->contexts[i], 1, MQA_MAX_CONTEXT, err));
        MQA_TRY(check_int("shared (tokens of the context)", d->shared, 0, d->contexts[i], err));
        MQA_TRY(
            check_int("generate (tokens of the context)", d->generate, 0, d->contexts[i] - d->shared, err));
    }
    MQA_TRY(check_int("requests", d->requests, 1, MQA_MAX_REQUESTS, err));
    MQA_TRY(check_int("chunk", d->chunk, 1, 65536, err));
    if (d->page_tokens != 64 && d->page_tokens != 128 && d->page_tokens != 256)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "page tokens are %d: give 64, 128 or 256",
                        d->page_tokens);
    MQA_TRY(check_int("the format of K", d->k_type, 0, MQA_KV_TYPES - 1, err));
    MQA_TRY(check_int("the format of V", d->v_type, 0, MQA_KV_TYPES - 1, err));
    MQA_TRY(check_wish("the speed wanted", d->want_tokens_per_s, err));
    MQA_TRY(check_wish("the prompt time wanted", d->want_prompt_ms, err));
    return check_tenants(d, err);
}

/* ---- the cache ---- */

/* Requests of one context. `last`: tokens appended at once in the end, `chunk`: at most before. */
typedef struct load {
    int64_t context, requests, shared, last, chunk;
    int page_tokens;
} load;

static load load_of(const mqa_demand *d, int64_t context, int64_t requests)
{
    return (load){.context = context,
                  .requests = requests,
                  .shared = d->shared < context ? d->shared : context,
                  .last = d->generate > 0 ? 1 : d->chunk,
                  .chunk = d->chunk,
                  .page_tokens = d->page_tokens};
}

typedef struct group_bytes {
    size_t token, request, all, peak;
} group_bytes;

/* The most at any moment: each request's most, less the whole pages of a common beginning that all but the
 * first don't have again. A window's ring may hold none of those when it is fullest. */
static bool peak_of(const mqa_cache_config *config, const load *l, size_t page, size_t *out)
{
    const size_t most = mqa_kv_most_bytes(config, l->context, l->chunk);
    const size_t common = config->window > 0 ? 0 : (size_t)(l->shared / l->page_tokens) * page;
    size_t own;
    return most != SIZE_MAX && mqa_mul(most - common, (size_t)l->requests, &own) && mqa_add(own, common, out);
}

static bool group_takes(const mqa_layer_group *g, mqa_kv_type k, mqa_kv_type v, const load *l,
                        group_bytes *out)
{
    mqa_cache_config config = mqa_group_cache(g, k, v);
    config.page_tokens = l->page_tokens;
    const size_t page = mqa_cache_page_bytes(&config);
    out->token = page / (size_t)l->page_tokens;
    out->request = mqa_kv_bytes(&config, l->context, l->last);
    out->all = mqa_kv_shared_bytes(&config, l->context, l->last, l->shared, l->requests);
    return out->request != SIZE_MAX && out->all != SIZE_MAX && peak_of(&config, l, page, &out->peak);
}

static mqa_status too_much(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "a KV cache of more than 2^64 bytes: ask for less context or fewer requests");
}

static mqa_status kv_figures(const mqa_design *design, const mqa_demand *demand, const load *l,
                             mqa_figures *f, mqa_error *err)
{
    for (int i = 0; i < design->n_groups; i++) {
        const mqa_layer_group *g = &design->groups[i];
        group_bytes b;
        if (!group_takes(g, demand->k_type, demand->v_type, l, &b)) return too_much(err);
        mqa_kv_figures *kind = &f->kv[g->kind];
        kind->n_layers += g->n_layers;
        kind->bytes_per_token += b.token;
        f->kv_bytes_per_token += b.token;
        if (g->window == 0) f->kv_bytes_growth += b.token;
        if (!mqa_add(kind->request_bytes, b.request, &kind->request_bytes) ||
            !mqa_add(kind->bytes, b.all, &kind->bytes) ||
            !mqa_add(f->kv_request_bytes, b.request, &f->kv_request_bytes) ||
            !mqa_add(f->kv_bytes, b.all, &f->kv_bytes) ||
            !mqa_add(f->kv_peak_bytes, b.peak, &f->kv_peak_bytes))
            return too_much(err);
    }
    size_t unshared;
    if (!mqa_mul(f->kv_request_bytes, (size_t)l->requests, &unshared)) return too_much(err);
    f->kv_saved_bytes = unshared > f->kv_bytes ? unshared - f->kv_bytes : 0;
    return MQA_OK;
}

static mqa_status kv_by_type(const mqa_design *design, const load *l, mqa_figures *f, mqa_error *err)
{
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (int i = 0; i < design->n_groups; i++) {
            group_bytes b;
            if (!group_takes(&design->groups[i], (mqa_kv_type)type, (mqa_kv_type)type, l, &b) ||
                !mqa_add(f->kv_request_by_type[type], b.request, &f->kv_request_by_type[type]))
                return too_much(err);
        }
    return MQA_OK;
}

/* The most bytes that the loads' caches take together; false beyond 64 bits. */
static bool peak_bytes(const mqa_design *design, const mqa_demand *demand, const load *l, size_t *out)
{
    size_t sum = 0;
    for (int i = 0; i < design->n_groups; i++) {
        group_bytes b;
        if (!group_takes(&design->groups[i], demand->k_type, demand->v_type, l, &b) ||
            !mqa_add(sum, b.peak, &sum))
            return false;
    }
    *out = sum;
    return true;
}

/* ---- what fits ---- */

/* Rows of a step in f32 as model/workspace.c lays them out, nearly: the stream twice, q and attention's
 * result, K and V, each a second time in bytes; and a row of logits for each request. */
static bool work_bytes(const mqa_design *design, const mqa_demand *demand, int64_t requests, size_t *out)
{
    size_t attention = 0, feed_forward = 0;
    for (int i = 0; i < design->n_groups; i++) {
        const mqa_layer_group *g = &design->groups[i];
        const size_t q = (size_t)g->n_heads * (size_t)(g->head_dim_qk + g->head_dim_vo);
        const size_t kv = (size_t)g->n_kv_heads * (size_t)(g->head_dim_qk + g->head_dim_vo);
        if (q + kv > attention) attention = q + kv;
    }
    for (int i = 0; i < design->n_matrices; i++) {
        const mqa_matrices *m = &design->matrices[i];
        const bool ff = m->role == MQA_ROLE_FEED_FORWARD || m->role == MQA_ROLE_EXPERT;
        if (ff && (size_t)m->n_out > feed_forward) feed_forward = (size_t)m->n_out;
    }
    const size_t values = 2 * (size_t)design->n_embd + attention, row = 5 * values + feed_forward;
    const int64_t rows = requests > demand->chunk ? requests : demand->chunk;
    size_t logits;
    return mqa_mul(row, (size_t)rows, out) &&
           mqa_mul((size_t)design->n_vocab * sizeof(float), (size_t)requests, &logits) &&
           mqa_add(*out, logits, out);
}

static bool fits(const mqa_design *design, const mqa_demand *demand, size_t weights, size_t memory,
                 int64_t context, int64_t requests)
{
    const load l = load_of(demand, context, requests);
    size_t kv, work, sum;
    return peak_bytes(design, demand, &l, &kv) && work_bytes(design, demand, requests, &work) &&
           mqa_add(kv, work, &sum) && mqa_add(sum, weights, &sum) && (memory == 0 || sum <= memory);
}

/* The largest of 1 .. max that fits, by halving; 0 if none does. */
static int64_t largest_that_fits(const mqa_design *design, const mqa_demand *demand, const mqa_figures *f,
                                 bool of_requests, int64_t max)
{
    int64_t low = 0, high = max;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        const bool ok = of_requests
                            ? fits(design, demand, f->weights_bytes, f->memory, f->context, middle)
                            : fits(design, demand, f->weights_bytes, f->memory, middle, demand->requests);
        if (ok)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static mqa_status memory_figures(const mqa_design *design, const mqa_machine *machine,
                                 const mqa_demand *demand, mqa_figures *f, mqa_error *err)
{
    f->memory = demand->memory > 0 ? demand->memory : machine->memory;
    if (!work_bytes(design, demand, demand->requests, &f->work_bytes) ||
        !mqa_add(f->weights_bytes, f->kv_peak_bytes, &f->peak_bytes) ||
        !mqa_add(f->peak_bytes, f->work_bytes, &f->peak_bytes))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "more than 2^64 bytes of memory");
    f->fits = f->memory == 0 || f->peak_bytes <= f->memory;
    f->max_requests = largest_that_fits(design, demand, f, true, MQA_MAX_REQUESTS);
    f->max_context = largest_that_fits(design, demand, f, false, MQA_MAX_CONTEXT);
    return MQA_OK;
}

mqa_status mqa_forecast(const mqa_design *design, const mqa_machine *machine, const mqa_demand *demand,
                        int64_t context, mqa_figures *out, mqa_error *err)
{
    mqa_demand one = *demand;
    one.contexts[0] = context;
    one.n_contexts = 1;
    MQA_TRY(mqa_demand_check(&one, err));
    MQA_TRY(mqa_machine_check(machine, err));
    *out = (mqa_figures){.context = context};
    MQA_TRY(mqa_design_parameters(design, &out->parameters, &out->active_parameters, err));
    MQA_TRY(mqa_design_weight_bytes(design, demand->weights, &out->weights_bytes, err));
    const load l = load_of(&one, context, one.requests);
    MQA_TRY(kv_figures(design, &one, &l, out, err));
    MQA_TRY(kv_by_type(design, &l, out, err));
    MQA_TRY(memory_figures(design, machine, &one, out, err));

    const int64_t prompt = context - one.generate - one.shared;
    MQA_TRY(mqa_time_prompt(design, machine, &one, one.shared, prompt, &out->prompt, err));
    MQA_TRY(mqa_time_token(design, machine, &one, context, &out->token, err));
    out->prompt_ms = out->prompt.seconds * 1e3;
    out->ms_per_token = out->token.seconds * 1e3;
    out->tokens_per_s = (double)one.requests / out->token.seconds;
    out->meets_speed = (one.want_tokens_per_s == 0 || one.want_tokens_per_s * out->token.seconds <= 1) &&
                       (one.want_prompt_ms == 0 || out->prompt_ms <= one.want_prompt_ms);
    return MQA_OK;
}

/* ---- tenants ---- */

static bool tenant_takes(const mqa_design *design, const mqa_demand *demand, const mqa_tenant *t,
                         int64_t context, int64_t requests, size_t *out)
{
    mqa_demand own = *demand;
    own.shared = t->shared;
    const load l = load_of(&own, context, requests);
    return peak_bytes(design, demand, &l, out);
}

static int64_t tenant_most(const mqa_design *design, const mqa_demand *demand, const mqa_tenant *t,
                           bool of_requests)
{
    int64_t low = 0, high = of_requests ? MQA_MAX_REQUESTS : MQA_MAX_CONTEXT;
    while (low < high && t->budget_bytes > 0) {
        const int64_t middle = low + (high - low + 1) / 2;
        size_t bytes;
        if (tenant_takes(design, demand, t, of_requests ? t->context : middle,
                         of_requests ? middle : t->requests, &bytes) &&
            bytes <= t->budget_bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return t->budget_bytes > 0 ? low : high;
}

mqa_status mqa_forecast_tenant(const mqa_design *design, const mqa_demand *demand, const mqa_tenant *t,
                               mqa_tenant_figures *out, mqa_error *err)
{
    *out = (mqa_tenant_figures){0};
    if (!tenant_takes(design, demand, t, t->context, t->requests, &out->kv_bytes)) return too_much(err);
    out->fits = t->budget_bytes == 0 || out->kv_bytes <= t->budget_bytes;
    out->max_requests = tenant_most(design, demand, t, true);
    out->max_context = tenant_most(design, demand, t, false);
    return MQA_OK;
}
