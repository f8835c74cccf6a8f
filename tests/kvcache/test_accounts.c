/* Accounts: who pays, what a refusal says, and rehearsals. What random operations on a model of the cache
 * find is found there (cache_model.c).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "rig.h"

static mqa_account *make_account(mqa_context *ctx, mqa_account *parent, size_t budget)
{
    mqa_account *account;
    assert_int_equal(mqa_account_create(ctx, parent, budget, &account, NULL), MQA_OK);
    return account;
}

static mqa_account_usage usage_of(const mqa_account *account)
{
    mqa_account_usage usage = {.struct_size = sizeof usage};
    assert_int_equal(mqa_account_get_usage(account, &usage, NULL), MQA_OK);
    return usage;
}

/* A global and a window cache, pages of 64 tokens. */
static void one_account_spans_caches(void **state)
{
    (void)state;
    mqa_cache_config config = small_config();
    rig r = make_rig(&config);
    config.window = 70;
    config.n_layers = 1;
    mqa_cache *windows;
    assert_int_equal(mqa_cache_create(r.ctx, &config, &windows, NULL), MQA_OK);
    const size_t page = mqa_cache_page_bytes(&r.cache->config), ring = mqa_cache_page_bytes(&config);
    mqa_account *all = make_account(r.ctx, NULL, 0), *one = make_account(r.ctx, all, 2 * page + 2 * ring);
    mqa_sequence *a = make_sequence(r.cache), *b = make_sequence(windows);
    mqa_sequence_set_account(a, one);
    mqa_sequence_set_account(b, one);
    assert_int_equal(mqa_sequence_extend(a, 100, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_extend(b, 100, NULL), MQA_OK);
    mqa_account_usage u = usage_of(one);
    assert_true(u.in_use == 2 * page + 2 * ring && u.window_in_use == 2 * ring && u.kept == 0);
    assert_int_equal(u.budget, 2 * page + 2 * ring);
    assert_int_equal(usage_of(all).in_use, u.in_use);
    assert_int_equal(usage_of(all).budget, 0);
    mqa_sequence_keep(b, true);
    assert_true(usage_of(all).kept == 2 * ring && usage_of(one).window_kept == 2 * ring);

    mqa_error err;
    mqa_cache_need need;
    assert_int_equal(mqa_sequence_extend_need(a, 100, &need, NULL), MQA_OK);
    assert_true(need.taken == 2 * page && need.available == 0 && need.scarce == one);
    assert_int_equal(mqa_sequence_extend(a, 100, &err), MQA_ERR_BUDGET);
    assert_non_null(strstr(err.message, "0 of the account's"));
    assert_int_equal(mqa_sequence_length(a), 100);
    mqa_sequence_destroy(&b); /* what it gives back is there for the other cache */
    mqa_account_set_budget(one, 4 * page);
    assert_int_equal(mqa_sequence_extend(a, 100, NULL), MQA_OK);
    mqa_account_set_budget(one, page);
    assert_int_equal(mqa_sequence_extend(a, 50, NULL), MQA_OK); /* in the last page */
    assert_int_equal(mqa_sequence_extend(a, 50, NULL), MQA_ERR_BUDGET);
    mqa_sequence_destroy(&a);
    assert_int_equal(usage_of(all).in_use, 0);
    mqa_account_destroy(&one);
    mqa_account_destroy(&all);
    mqa_cache_destroy(&windows);
    end_rig(&r);
}

/* A page stays charged to who took it, when its sequence is gone and when its account's handle is. */
static void charges_outlive_their_takers(void **state)
{
    (void)state;
    const mqa_cache_config config = small_config();
    rig r = make_rig(&config);
    const size_t page = mqa_cache_page_bytes(&config);
    mqa_account *all = make_account(r.ctx, NULL, 0), *one = make_account(r.ctx, all, 0),
                *two = make_account(r.ctx, all, 0);
    mqa_sequence *a = make_sequence(r.cache), *b;
    mqa_sequence_set_account(a, one);
    append_tokens(a, 130, 1);
    assert_int_equal(mqa_sequence_fork_for(a, 130, two, &b, NULL), MQA_OK);
    assert_int_equal(usage_of(one).in_use, 3 * page);
    assert_int_equal(usage_of(two).in_use, page);
    mqa_sequence_destroy(&a);
    assert_int_equal(usage_of(one).in_use, 2 * page);
    mqa_account_destroy(&one);
    mqa_account_destroy(&two);
    assert_int_equal(usage_of(all).in_use, 3 * page);
    append_tokens(b, 64, 131);
    assert_int_equal(usage_of(all).in_use, 4 * page);
    assert_tokens(b, 0, 194, 1);
    mqa_sequence_destroy(&b);
    assert_int_equal(usage_of(all).in_use, 0);
    mqa_account_destroy(&all);

    mqa_account *chain[9] = {NULL};
    for (int i = 1; i < 9; i++) chain[i] = make_account(r.ctx, chain[i - 1], 0);
    assert_int_equal(mqa_account_create(r.ctx, chain[8], 0, &all, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_null(all);
    for (int i = 1; i < 9; i++) mqa_account_destroy(&chain[i]);
    end_rig(&r);
}

/* A page that was copied in a rehearsal is its sequence's own when the window leaves it behind there. */
static void a_rehearsed_copy_is_ones_own(void **state)
{
    (void)state;
    mqa_cache_config config = small_config();
    config.window = 10;
    rig r = make_rig(&config);
    const size_t page = mqa_cache_page_bytes(&config);
    mqa_sequence *a = make_sequence(r.cache), *b;
    append_tokens(a, 128, 1);
    assert_int_equal(mqa_sequence_fork(a, 128, &b, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_truncate(b, 100, NULL), MQA_OK);
    const uint64_t rehearsal = mqa_rehearsal_begin(r.ctx);
    static const int64_t steps[][4] = {/* whose, tokens, pages taken and returned */
                                       {1, 50, 2, 0},
                                       {1, 60, 1, 1},
                                       {0, 1, 1, 1},
                                       {0, 60, 0, 0},
                                       {0, 1, 0, 1}};
    for (int i = 0; i < 5; i++) {
        mqa_cache_need need;
        assert_int_equal(mqa_rehearse_extend(rehearsal, steps[i][0] ? b : a, steps[i][1], &need, NULL),
                         MQA_OK);
        assert_int_equal(need.taken, (size_t)steps[i][2] * page);
        assert_int_equal(need.returned, (size_t)steps[i][3] * page);
    }
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), 2 * page);
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    end_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_account_spans_caches),
                                       cmocka_unit_test(charges_outlive_their_takers),
                                       cmocka_unit_test(a_rehearsed_copy_is_ones_own)};
    return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
