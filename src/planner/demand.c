/* Demands: defaults and checks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>

#include "kernels/attention_kernels.h"
#include "planner/planner.h"

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
