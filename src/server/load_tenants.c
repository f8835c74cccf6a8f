/* Tenants from the store to who asks for them and to the engine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "server/inside.h"

static mqa_status set_tenant(mqa_service *s, const mqa_tenant_record *t, mqa_error *err)
{
    const mqa_tenant_options o = {.struct_size = sizeof o,
                                  .budget_bytes = (size_t)t->budget_bytes,
                                  .weight = (int)t->weight,
                                  .priority = (int)t->priority};
    return mqa_engine_tenant_set(s->engine, t->name, &o, err);
}

static bool has(const mqa_tenant_record *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0) return true;
    return false;
}

/* With the lock, so that nobody is let in before the engine knows of it. */
static mqa_status load(mqa_service *s, mqa_error *err)
{
    mqa_tenant_record *before = NULL, *now = NULL;
    size_t n_before = 0, n = 0;
    mqa_status status = mqa_tenants_copy(s->tenants, &before, &n_before, err);
    if (status == MQA_OK) status = mqa_tenants_load(s->tenants, s->tenants_store, err);
    if (status == MQA_OK) status = mqa_tenants_copy(s->tenants, &now, &n, err);
    for (size_t i = 0; i < n && status == MQA_OK; i++) status = set_tenant(s, &now[i], err);
    for (size_t i = 0; i < n_before && status == MQA_OK; i++)
        if (!has(now, n, before[i].name)) (void)mqa_engine_tenant_remove(s->engine, before[i].name, NULL);
    free(before);
    free(now);
    return status;
}

mqa_status mqa_service_look_at_tenants(mqa_service *s, mqa_error *err)
{
    mqa_error own;
    int64_t version;
    if (!err) err = &own;
    pthread_mutex_lock(&s->tenants_lock);
    mqa_status status = mqa_store_version(s->tenants_store, &version, err);
    const bool same = status == MQA_OK && version == s->tenants_version;
    if (status == MQA_OK && !same) status = load(s, err);
    if (status == MQA_OK) s->tenants_version = version;
    pthread_mutex_unlock(&s->tenants_lock);
    if (!same)
        mqa_service_log(s,
                        json_pack("{s:s, s:s*}", "event", "tenants", "error", status ? err->message : NULL));
    return status;
}
