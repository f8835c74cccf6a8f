/* SPDX-License-Identifier: Apache-2.0 */
#include "server/tenants.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

const char mqa_tenant_default[] = "default";

/* left: tokens of the minute, at time `at`; they grow back evenly. */
typedef struct entry {
    mqa_tenant_record record;
    double left, at;
} entry;

struct mqa_tenants {
    pthread_mutex_t lock;
    entry *entries;
    size_t n;
    bool need_key;
};

mqa_status mqa_tenants_create(mqa_tenants **out, mqa_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for tenants");
    pthread_mutex_init(&(*out)->lock, NULL);
    return MQA_OK;
}

void mqa_tenants_destroy(mqa_tenants **tenants)
{
    if (!tenants || !*tenants) return;
    pthread_mutex_destroy(&(*tenants)->lock);
    free((*tenants)->entries);
    free(*tenants);
    *tenants = NULL;
}

static entry *find_name(const mqa_tenants *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->entries[i].record.name, name) == 0) return &t->entries[i];
    return NULL;
}

mqa_status mqa_tenants_load(mqa_tenants *t, mqa_store *store, mqa_error *err)
{
    mqa_tenant_record *records;
    size_t n;
    MQA_TRY(mqa_store_list(store, &records, &n, err));
    const bool need_key = n > 0;
    const size_t n_entries = need_key ? n : 1;
    entry *entries = calloc(n_entries, sizeof *entries);
    if (!entries) {
        free(records);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %zu tenants", n_entries);
    }
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++) {
        const entry *before = find_name(t, records[i].name);
        const bool same = before && before->record.tokens_per_minute == records[i].tokens_per_minute;
        entries[i] = (entry){records[i], same ? before->left : (double)records[i].tokens_per_minute,
                             same ? before->at : 0};
    }
    if (!need_key) {
        entries[0].record.is_operator = true;
        entries[0].record.weight = 1;
        snprintf(entries[0].record.name, sizeof entries[0].record.name, "%s", mqa_tenant_default);
    }
    entry *old = t->entries;
    t->entries = entries;
    t->n = n_entries;
    t->need_key = need_key;
    pthread_mutex_unlock(&t->lock);
    free(old);
    free(records);
    return MQA_OK;
}

bool mqa_tenants_need_key(mqa_tenants *t)
{
    pthread_mutex_lock(&t->lock);
    const bool need = t->need_key;
    pthread_mutex_unlock(&t->lock);
    return need;
}

mqa_status mqa_tenants_copy(mqa_tenants *t, mqa_tenant_record **out, size_t *n, mqa_error *err)
{
    pthread_mutex_lock(&t->lock);
    *n = t->n;
    *out = calloc(t->n + 1, sizeof **out);
    for (size_t i = 0; *out && i < t->n; i++) (*out)[i] = t->entries[i].record;
    pthread_mutex_unlock(&t->lock);
    return *out ? MQA_OK : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for tenants");
}

bool mqa_tenants_find(mqa_tenants *t, const char *key, mqa_tenant_record *out)
{
    uint8_t hash[MQA_KEY_HASH_BYTES];
    mqa_key_hash(key ? key : "", key ? strlen(key) : 0, hash);
    bool found = false;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->n; i++) { /* all of them, found or not */
        const bool same = sodium_memcmp(hash, t->entries[i].record.key_hash, sizeof hash) == 0;
        if (same || !t->need_key) {
            *out = t->entries[i].record;
            found = true;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

static void grow(entry *e, double now)
{
    const double rate = (double)e->record.tokens_per_minute;
    e->left += (now - e->at) * rate / 60;
    if (e->left > rate) e->left = rate;
    e->at = now;
}

double mqa_tenants_may(mqa_tenants *t, const char *name, double now)
{
    double wait = 0;
    pthread_mutex_lock(&t->lock);
    entry *e = find_name(t, name);
    if (e && e->record.tokens_per_minute > 0) {
        grow(e, now);
        if (e->left < 1) wait = (1 - e->left) * 60 / (double)e->record.tokens_per_minute;
    }
    pthread_mutex_unlock(&t->lock);
    return wait;
}

void mqa_tenants_spend(mqa_tenants *t, const char *name, int64_t n_tokens, double now)
{
    pthread_mutex_lock(&t->lock);
    entry *e = find_name(t, name);
    if (e && e->record.tokens_per_minute > 0) {
        grow(e, now);
        e->left -= (double)n_tokens;
    }
    pthread_mutex_unlock(&t->lock);
}
