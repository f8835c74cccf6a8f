/* One design under one demand: bytes, whether they fit, times.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "planner/forecast.h"
#include "base/memory.h"
#include "kvcache/cache.h"
#include "planner/design.h"

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
                    "a KV cache of more than 2^63 bytes: ask for less context or fewer requests");
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
    if (!mqa_mul(f->kv_request_bytes, (size_t)l->requests, &unshared) || unshared > MQA_MOST)
        return too_much(err);
    f->kv_saved_bytes = unshared > f->kv_bytes ? unshared - f->kv_bytes : 0;
    return MQA_OK;
}

static mqa_status kv_by_type(const mqa_design *design, const load *l, mqa_figures *f, mqa_error *err)
{
    for (int type = 0; type < MQA_KV_TYPES; type++)
        for (int i = 0; i < design->n_groups; i++) {
            group_bytes b;
            if (!group_takes(&design->groups[i], (mqa_kv_type)type, (mqa_kv_type)type, l, &b) ||
                !mqa_add(f->kv_request_by_type[type], b.request, &f->kv_request_by_type[type]) ||
                f->kv_request_by_type[type] > MQA_MOST)
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

/* What is asked of a memory: a load, beside weights. */
typedef struct room {
    const mqa_design *design;
    const mqa_demand *demand;
    int n_threads;
    int64_t context;        /* of whose requests it is asked how many fit */
    size_t weights, memory; /* memory 0: all there is */
} room;

/* The widest rows of attention (q, its result, k, v) and of the feed-forward part. */
static void row_widths(const mqa_design *design, size_t *attention, size_t *feed_forward)
{
    *attention = *feed_forward = 0;
    for (int i = 0; i < design->n_groups; i++) {
        const mqa_layer_group *g = &design->groups[i];
        const size_t heads = (size_t)g->n_heads + (size_t)g->n_kv_heads;
        const size_t values = heads * (size_t)(g->head_dim_qk + g->head_dim_vo);
        if (values > *attention) *attention = values;
    }
    for (int i = 0; i < design->n_matrices; i++) {
        const mqa_matrices *m = &design->matrices[i];
        const bool ff = m->role == MQA_ROLE_FEED_FORWARD || m->role == MQA_ROLE_EXPERT;
        if (ff && (size_t)m->n_out > *feed_forward) *feed_forward = (size_t)m->n_out;
    }
}

static bool has_floats(const room *r)
{
    for (int i = 0; i < r->design->n_matrices; i++) {
        const mqa_matrices *m = &r->design->matrices[i];
        const uint32_t type = r->demand->weights == MQA_WEIGHTS_AS_IS ? m->type : r->demand->weights;
        if (m->role != MQA_ROLE_VECTOR && mqa_weight_class_of(type) <= MQA_WEIGHTS_BF16) return true;
    }
    return false;
}

/* Rows of a step as model/workspace.c lays them out, nearly: f32 twice the stream, q and attention's result,
 * K and V; beside each of them, and of the activations, what the kernels multiply (a byte a value for quants,
 * four for floats); a panel of results for each thread; a row of logits for each request. */
static bool work_bytes(const room *r, int64_t requests, size_t *out)
{
    enum { PANEL = 1 << 18 };
    size_t attention, feed_forward, logits;
    row_widths(r->design, &attention, &feed_forward);
    const size_t stream = 2 * (size_t)r->design->n_embd + attention;
    const size_t row = has_floats(r) ? 6 * stream + 8 * feed_forward : 5 * stream + feed_forward;
    const int64_t rows = requests > r->demand->chunk ? requests : r->demand->chunk;
    return mqa_mul(row, (size_t)rows, out) &&
           mqa_mul((size_t)r->design->n_vocab * sizeof(float), (size_t)requests, &logits) &&
           mqa_add(*out, logits, out) && mqa_add(*out, (size_t)r->n_threads * PANEL, out);
}

static bool fits(const room *r, int64_t context, int64_t requests)
{
    const load l = load_of(r->demand, context, requests);
    size_t kv, work, sum;
    return peak_bytes(r->design, r->demand, &l, &kv) && work_bytes(r, requests, &work) &&
           mqa_add(kv, work, &sum) && mqa_add(sum, r->weights, &sum) && (r->memory == 0 || sum <= r->memory);
}

/* The largest number up to `most` that holds(asked, number), by halving: what holds for a number does for the
 * smaller ones. 0 if not even 1 does. */
static int64_t largest(bool (*holds)(const void *asked, int64_t n), const void *asked, int64_t most)
{
    int64_t low = 0, high = most;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (holds(asked, middle))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static bool requests_fit(const void *asked, int64_t requests)
{
    const room *r = asked;
    return fits(r, r->context, requests);
}

static bool context_fits(const void *asked, int64_t context)
{
    const room *r = asked;
    return fits(r, context, r->demand->requests);
}

static mqa_status memory_figures(const mqa_design *design, const mqa_machine *machine,
                                 const mqa_demand *demand, mqa_figures *f, mqa_error *err)
{
    f->memory = demand->memory > 0 ? demand->memory : machine->memory;
    const room r = {.design = design,
                    .demand = demand,
                    .n_threads = machine->n_threads,
                    .context = f->context,
                    .weights = f->weights_bytes,
                    .memory = f->memory};
    if (!work_bytes(&r, demand->requests, &f->work_bytes) ||
        !mqa_add(f->weights_bytes, f->kv_peak_bytes, &f->peak_bytes) ||
        !mqa_add(f->peak_bytes, f->work_bytes, &f->peak_bytes) || f->peak_bytes > MQA_MOST)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "more than 2^63 bytes of memory");
    f->fits = f->memory == 0 || f->peak_bytes <= f->memory;
    f->max_requests = largest(requests_fit, &r, MQA_MAX_REQUESTS);
    f->max_context = largest(context_fits, &r, MQA_MAX_CONTEXT);
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

typedef struct lease {
    const mqa_design *design;
    const mqa_demand *demand;
    const mqa_tenant *tenant;
} lease;

static bool in_budget(const lease *l, int64_t context, int64_t requests)
{
    size_t bytes;
    return tenant_takes(l->design, l->demand, l->tenant, context, requests, &bytes) &&
           bytes <= l->tenant->budget_bytes;
}

static bool requests_in_budget(const void *asked, int64_t requests)
{
    const lease *l = asked;
    return in_budget(l, l->tenant->context, requests);
}

static bool context_in_budget(const void *asked, int64_t context)
{
    const lease *l = asked;
    return in_budget(l, context, l->tenant->requests);
}

mqa_status mqa_forecast_tenant(const mqa_design *design, const mqa_demand *demand, const mqa_tenant *t,
                               mqa_tenant_figures *out, mqa_error *err)
{
    *out = (mqa_tenant_figures){0};
    if (!tenant_takes(design, demand, t, t->context, t->requests, &out->kv_bytes) || out->kv_bytes > MQA_MOST)
        return too_much(err);
    out->fits = t->budget_bytes == 0 || out->kv_bytes <= t->budget_bytes;
    const lease l = {design, demand, t};
    out->max_requests =
        t->budget_bytes > 0 ? largest(requests_in_budget, &l, MQA_MAX_REQUESTS) : MQA_MAX_REQUESTS;
    out->max_context =
        t->budget_bytes > 0 ? largest(context_in_budget, &l, MQA_MAX_CONTEXT) : MQA_MAX_CONTEXT;
    return MQA_OK;
}
