/* What outlives the process: tenants and the journal of usage, in one SQLite file in the state folder.
 *
 * The file is in WAL mode with synchronous=NORMAL: a change that was reported done survives the process
 * being killed at any moment; a power cut may lose the last ones, but never leaves the file damaged. Several
 * processes may have it open: `mqa tenant` changes it while a server runs.
 *
 * Threads: a store belongs to one thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_STORE_H
#define MQA_SERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/engine.h"
#include "server/keys.h"

typedef struct mqa_store mqa_store;

/* Makes folder (mode 0700) and file where they aren't there. MQA_ERR_IO, MQA_ERR_FORMAT (not a store, or one
 * of a later version). A file of an earlier one is brought up to date. */
mqa_status mqa_store_open(const char *folder, mqa_store **out, mqa_error *err);
void mqa_store_close(mqa_store **store);

/* ---- tenants ---- */

#define MQA_TENANT_MODELS 512 /* bytes, the 0 included */

typedef struct mqa_tenant_record {
    char name[MQA_TENANT_NAME]; /* UTF-8, 1 to 63 bytes, any characters but control ones */
    int64_t budget_bytes;       /* of KV cache; 0: the server's whole budget */
    int64_t tokens_per_minute;  /* prompt and completion; 0: no limit */
    int64_t weight;             /* of its turns where tenants wait for each other: 1 to 1000 */
    int64_t priority;           /* its requests are started before those of tenants with less: -100 to 100 */
    char models[MQA_TENANT_MODELS]; /* names of those it may use, with commas between; "": all */
    bool is_operator;               /* may see all tenants' figures */
    uint8_t key_hash[MQA_KEY_HASH_BYTES];
} mqa_tenant_record;

mqa_status mqa_tenant_check_name(const char *name, mqa_error *err);
mqa_status mqa_tenant_check_models(const char *models, mqa_error *err);
bool mqa_tenant_may_use(const mqa_tenant_record *tenant, const char *model);
/* key_hash must be set. MQA_ERR_INVALID_ARGUMENT where the name is taken. */
mqa_status mqa_store_add(mqa_store *store, const mqa_tenant_record *tenant, mqa_error *err);
/* All fields of the tenant of that name. MQA_ERR_NOT_FOUND. */
mqa_status mqa_store_set(mqa_store *store, const mqa_tenant_record *tenant, mqa_error *err);
mqa_status mqa_store_get(mqa_store *store, const char *name, mqa_tenant_record *out, mqa_error *err);
/* Its journal stays. MQA_ERR_NOT_FOUND. */
mqa_status mqa_store_remove(mqa_store *store, const char *name, mqa_error *err);
/* All, by name; *out is the caller's to free(). */
mqa_status mqa_store_list(mqa_store *store, mqa_tenant_record **out, size_t *n, mqa_error *err);

/* A number that changes with the tenants: a reason to list them again. */
mqa_status mqa_store_version(mqa_store *store, int64_t *out, mqa_error *err);

/* ---- the journal ---- */

typedef struct mqa_usage_record {
    const char *request_id, *tenant, *model, *endpoint,
        *finish;        /* finish: "stop", "length", "cancelled", … */
    int64_t created_ms; /* since 1970 */
    int64_t prompt_tokens, cached_tokens, completion_tokens;
    double first_token_ms, total_ms;
} mqa_usage_record;

/* Durable when it returns. MQA_ERR_INVALID_ARGUMENT for an id that is there already. */
mqa_status mqa_store_journal(mqa_store *store, const mqa_usage_record *usage, mqa_error *err);

typedef struct mqa_usage_sum {
    int64_t n_requests, prompt_tokens, cached_tokens, completion_tokens;
} mqa_usage_sum;
/* tenant NULL: of all. */
mqa_status mqa_store_usage(mqa_store *store, const char *tenant, mqa_usage_sum *out, mqa_error *err);

#endif
