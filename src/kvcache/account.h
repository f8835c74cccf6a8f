/* Accounts: who pays for the pages in use. A page is charged to one account and so to all above it, from when
 * it is taken until it is free.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KVCACHE_ACCOUNT_H
#define MQA_KVCACHE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/cache.h"

/* Of caches without a window, and of those with one. */
#define MQA_ACCOUNT_KINDS 2

struct mqa_account {
    const mqa_allocator *allocator;
    mqa_account *parent;
    size_t budget; /* SIZE_MAX: none */
    size_t in_use[MQA_ACCOUNT_KINDS], kept[MQA_ACCOUNT_KINDS];
    /* Pages, sequences and accounts that name it, and its owner until destroyed: with the last it goes. */
    uint64_t references;
    /* A rehearsal (growth.c) in which it took part, and bytes in use then. */
    uint64_t trial;
    size_t trial_in_use;
};

/* All take NULL: nobody pays. */
mqa_account *mqa_account_hold(mqa_account *account); /* returns it */
void mqa_account_let_go(mqa_account *account);
/* bytes: of one page. kept: those of pages that only kept sequences hold. */
void mqa_account_charge(mqa_account *account, int kind, size_t bytes);
void mqa_account_discharge(mqa_account *account, int kind, size_t bytes);
void mqa_account_add_kept(mqa_account *account, int kind, size_t bytes);
void mqa_account_sub_kept(mqa_account *account, int kind, size_t bytes);

/* Whether account is `above` or below it. */
bool mqa_account_is_under(const mqa_account *account, const mqa_account *above);

static inline size_t mqa_account_in_use(const mqa_account *account)
{
    return account->in_use[0] + account->in_use[1];
}

#endif
