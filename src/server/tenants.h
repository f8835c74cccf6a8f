/* The tenants as a running server knows them: who has a key, what each may have, how fast.
 *
 * Threads: any, at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_TENANTS_H
#define MQA_SERVER_TENANTS_H

#include "server/store.h"

typedef struct mqa_tenants mqa_tenants;

/* The name of the only one where there are no keys. */
extern const char mqa_tenant_default[];

mqa_status mqa_tenants_create(mqa_tenants **out, mqa_error *err);
void mqa_tenants_destroy(mqa_tenants **tenants);

/* Takes the store's tenants for those known so far; what is left of their minutes stays. With none in the
 * store there is one without a key, an operator. */
mqa_status mqa_tenants_load(mqa_tenants *tenants, mqa_store *store, mqa_error *err);
/* Whether requests need a key. */
bool mqa_tenants_need_key(mqa_tenants *tenants);
/* All, by name; *out is the caller's to free(). */
mqa_status mqa_tenants_copy(mqa_tenants *tenants, mqa_tenant_record **out, size_t *n, mqa_error *err);

/* Whose key it is. key: of an Authorization header, without "Bearer "; NULL: none was given. false: nobody's.
 * Takes as long for a wrong key as for a right one. */
bool mqa_tenants_find(mqa_tenants *tenants, const char *key, mqa_tenant_record *out);

/* Tokens of a minute. _may: 0, or the seconds until the tenant may go on. _spend: tokens that were taken. A
 * request is let in while anything is left, and may spend more than that; the debt is then waited for. */
double mqa_tenants_may(mqa_tenants *tenants, const char *name, double now);
void mqa_tenants_spend(mqa_tenants *tenants, const char *name, int64_t n_tokens, double now);

#endif
