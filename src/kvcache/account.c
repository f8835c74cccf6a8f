/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcache/account.h"

#include "base/memory.h"
#include "base/status.h"
#include "base/take_struct.h"
#include "kernels/context.h"

enum { MAX_DEPTH = 8 };

mqa_status mqa_account_create(mqa_context *ctx, mqa_account *parent, size_t budget_bytes, mqa_account **out,
                              mqa_error *err)
{
    if (!ctx || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_account_create: ctx or out is NULL");
    *out = NULL;
    int depth = 1;
    for (const mqa_account *a = parent; a; a = a->parent) depth++;
    if (depth > MAX_DEPTH)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "an account with more than %d above it",
                        MAX_DEPTH - 1);
    const mqa_allocator *allocator = ctx->allocator;
    mqa_account *account = mqa_alloc(allocator, sizeof *account);
    if (!account) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for an account");
    account->allocator = allocator;
    account->parent = mqa_account_hold(parent);
    account->references = 1;
    mqa_account_set_budget(account, budget_bytes);
    *out = account;
    return MQA_OK;
}

void mqa_account_destroy(mqa_account **account)
{
    if (!account || !*account) return;
    mqa_account_let_go(*account);
    *account = NULL;
}

void mqa_account_set_budget(mqa_account *account, size_t budget_bytes)
{
    account->budget = budget_bytes == 0 ? SIZE_MAX : budget_bytes;
}

mqa_status mqa_account_get_usage(const mqa_account *account, mqa_account_usage *out, mqa_error *err)
{
    if (!account || !out || out->struct_size < sizeof out->struct_size)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_account_get_usage: account or out is NULL, or struct_size isn't set");
    const mqa_account_usage usage = {.struct_size = out->struct_size,
                                     .budget = account->budget == SIZE_MAX ? 0 : account->budget,
                                     .in_use = mqa_account_in_use(account),
                                     .kept = account->kept[0] + account->kept[1],
                                     .window_in_use = account->in_use[1],
                                     .window_kept = account->kept[1]};
    mqa_give_struct(&usage, sizeof usage, out, out->struct_size);
    return MQA_OK;
}

mqa_account *mqa_account_hold(mqa_account *account)
{
    if (account) account->references++;
    return account;
}

void mqa_account_let_go(mqa_account *account)
{
    while (account && --account->references == 0) {
        mqa_account *parent = account->parent;
        mqa_release(account->allocator, account, sizeof *account);
        account = parent;
    }
}

void mqa_account_charge(mqa_account *account, int kind, size_t bytes)
{
    mqa_account_hold(account);
    for (mqa_account *a = account; a; a = a->parent) a->in_use[kind] += bytes;
}

void mqa_account_discharge(mqa_account *account, int kind, size_t bytes)
{
    for (mqa_account *a = account; a; a = a->parent) a->in_use[kind] -= bytes;
    mqa_account_let_go(account);
}

void mqa_account_add_kept(mqa_account *account, int kind, size_t bytes)
{
    for (mqa_account *a = account; a; a = a->parent) a->kept[kind] += bytes;
}

void mqa_account_sub_kept(mqa_account *account, int kind, size_t bytes)
{
    for (mqa_account *a = account; a; a = a->parent) a->kept[kind] -= bytes;
}

bool mqa_account_is_under(const mqa_account *account, const mqa_account *above)
{
    while (account && account != above) account = account->parent;
    return account == above;
}
