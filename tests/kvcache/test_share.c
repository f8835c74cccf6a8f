/* Sequences that share pages, and sequences that begin late: what forking, growing, cutting and ending do to
 * the tokens and the bytes of all of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mqa_cache_config config_of(int page_tokens, int64_t max_pages)
{
    mqa_cache_config c = small_config();
    c.page_tokens = page_tokens;
    c.max_pages = max_pages;
    return c;
}

static size_t pages(const mqa_cache *cache, int64_t n)
{
    return (size_t)n * cache->layout.page_bytes;
}

/* ---- forks ------------------------------------------------------------------------------------------------
 */

static void fork_shares_whole_pages(void **state)
{
    (void)state;
    for (int page_tokens = 64; page_tokens <= 256; page_tokens *= 2) {
        const mqa_cache_config config = config_of(page_tokens, 10);
        rig r = make_rig(&config);
        mqa_sequence *a = make_sequence(r.cache), *b, *c, *d;
        append_tokens(a, 2 * page_tokens + 20, 1);
        assert_int_equal(mqa_sequence_fork(a, 2 * page_tokens + 10, &b, NULL), MQA_OK);
        assert_int_equal(mqa_sequence_fork(b, page_tokens, &c, NULL), MQA_OK);
        assert_int_equal(mqa_sequence_fork(a, 0, &d, NULL), MQA_OK);
        /* Two pages of three for a and b together, one own page each; c has only the first; d nothing. */
        assert_int_equal(mqa_cache_bytes_in_use(r.cache), pages(r.cache, 4));
        assert_int_equal(mqa_sequence_bytes(a), pages(r.cache, 3));
        assert_int_equal(mqa_sequence_unique_bytes(a), pages(r.cache, 1));
        assert_int_equal(mqa_sequence_bytes(c), pages(r.cache, 1));
        assert_int_equal(mqa_sequence_unique_bytes(c), 0);
        assert_int_equal(mqa_sequence_bytes(d), 0);
        assert_int_equal(mqa_sequence_shared_tokens(a, b), 2 * page_tokens);
        assert_int_equal(mqa_sequence_shared_tokens(a, c), page_tokens);
        assert_int_equal(mqa_sequence_shared_tokens(a, d), 0);
        assert_int_equal(mqa_sequence_shared_tokens(a, a), 2 * page_tokens + 20);
        assert_int_equal(mqa_sequence_shared_tokens(a, NULL), 0);
        /* Each goes on for itself. */
        append_tokens(b, 30, 5000);
        append_tokens(c, 5, 6000);
        append_tokens(d, 5, 7000);
        assert_tokens(a, 0, 2 * page_tokens + 20, 1);
        assert_tokens(b, 0, 2 * page_tokens + 10, 1);
        assert_tokens(b, 2 * page_tokens + 10, 30, 5000);
        assert_tokens(c, 0, page_tokens, 1);
        assert_tokens(c, page_tokens, 5, 6000);
        assert_tokens(d, 0, 5, 7000);
        mqa_sequence_destroy(&a);
        assert_tokens(b, 0, 2 * page_tokens + 10, 1);
        assert_int_equal(mqa_sequence_unique_bytes(b), pages(r.cache, 2));
        mqa_sequence_destroy(&b);
        assert_tokens(c, 0, page_tokens, 1);
        mqa_sequence_destroy(&c);
        mqa_sequence_destroy(&d);
        end_rig(&r);
    }
}

static void fork_is_refused(void **state)
{
    (void)state;
    const mqa_cache_config config = config_of(64, 2);
    rig r = make_rig(&config);
    mqa_sequence *a = make_sequence(r.cache), *b = a;
    mqa_error err;
    append_tokens(a, 100, 1);
    assert_int_equal(mqa_sequence_fork(a, 100, &b, &err), MQA_ERR_BUDGET);
    assert_null(b);
    char needed[48];
    snprintf(needed, sizeof needed, "need %zu bytes (1 pages), 0 of", pages(r.cache, 1));
    assert_non_null(strstr(err.message, needed));
    assert_int_equal(mqa_sequence_fork(a, 101, &b, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_fork(a, -1, &b, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_fork(NULL, 0, &b, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_fork(a, 0, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_unique_bytes(a), pages(r.cache, 2));
    assert_int_equal(mqa_sequence_fork(a, 64, &b, &err), MQA_OK); /* whole pages cost nothing */
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    end_rig(&r);
}

/* ---- copy on write ------------------------------------------------------------------------------- */

/* Speculation undone into a page that others have: their tokens stay; growing again takes a copy. */
static void truncate_into_a_shared_page(void **state)
{
    (void)state;
    const mqa_cache_config config = config_of(128, 2);
    rig r = make_rig(&config);
    mqa_sequence *a = make_sequence(r.cache), *b;
    mqa_error err;
    append_tokens(a, 128, 1);
    assert_int_equal(mqa_sequence_fork(a, 128, &b, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_truncate(b, 70, NULL), MQA_OK);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), pages(r.cache, 1));
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 70);
    assert_tokens(a, 0, 128, 1);
    assert_tokens(b, 0, 70, 1);

    mqa_cache_need need;
    assert_int_equal(mqa_sequence_extend_need(b, 3, &need, NULL), MQA_OK);
    assert_int_equal(need.taken, pages(r.cache, 1));
    assert_int_equal(need.available, pages(r.cache, 1));
    assert_int_equal(mqa_sequence_extend_need(b, 60, &need, NULL), MQA_OK);
    assert_int_equal(need.taken, pages(r.cache, 2));
    assert_int_equal(mqa_sequence_extend(b, 60, &err), MQA_ERR_BUDGET);
    assert_int_equal(mqa_sequence_length(b), 70);
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 70);

    append_tokens(b, 58, 900);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), pages(r.cache, 2));
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 0);
    assert_tokens(a, 0, 128, 1);
    assert_tokens(b, 0, 70, 1);
    assert_tokens(b, 70, 58, 900);
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    end_rig(&r);
}

/* As above, but the other one has gone meanwhile: the page is kept, and what was the other's is gone from it.
 */
static void the_last_holder_keeps_the_page(void **state)
{
    (void)state;
    const mqa_cache_config config = config_of(64, 2);
    rig r = make_rig(&config);
    mqa_sequence *a = make_sequence(r.cache), *b;
    append_tokens(a, 64, 1);
    assert_int_equal(mqa_sequence_fork(a, 64, &b, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_truncate(b, 10, NULL), MQA_OK);
    mqa_sequence_destroy(&a);
    const int32_t page = b->pages[0];
    assert_int_equal(mqa_sequence_extend(b, 54, NULL), MQA_OK);
    assert_int_equal(b->pages[0], page);
    const uint32_t nothing[54] = {0};
    assert_null(compare_tokens(b, 0, 10, 54, nothing, false));
    assert_tokens(b, 0, 10, 1);
    mqa_sequence_destroy(&b);
    end_rig(&r);
}

static void shared_pages_refuse_writing(void **state)
{
    (void)state;
    const mqa_cache_config config = config_of(64, 5);
    rig r = make_rig(&config);
    mqa_sequence *a = make_sequence(r.cache), *b;
    mqa_error err;
    const import_way ways[] = {{.kind = IMPORT_NHD, .bad_token = -1},
                               {.kind = IMPORT_PAGED, .bad_token = -1, .page_tokens = 16}};
    append_tokens(a, 130, 1);
    assert_int_equal(mqa_sequence_fork(a, 100, &b, NULL), MQA_OK);
    const uint32_t others[40] = {5, 6, 7};
    for (int w = 0; w < 2; w++) {
        assert_int_equal(import_tokens(a, 0, 63, 1, others, &ways[w], &err), MQA_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "tokens [0, 64) are in a page that another sequence shares"));
        assert_int_equal(import_tokens(b, 1, 60, 40, others, &ways[w], &err), MQA_ERR_INVALID_ARGUMENT);
    }
    assert_tokens(a, 0, 130, 1);
    assert_tokens(b, 0, 100, 1);
    assert_int_equal(import_tokens(b, 0, 64, 36, others, &ways[0], &err), MQA_OK); /* b's own page */
    assert_tokens(a, 0, 130, 1);
    mqa_sequence_destroy(&b);
    assert_int_equal(import_tokens(a, 0, 63, 1, others, &ways[1], &err), MQA_OK);
    mqa_sequence_destroy(&a);
    end_rig(&r);
}

/* A window's pages are given back where nobody else has them. */
static void windows_and_forks(void **state)
{
    (void)state;
    mqa_cache_config config = config_of(64, 8);
    config.window = 100;
    rig r = make_rig(&config);
    mqa_sequence *a = make_sequence(r.cache), *b;
    append_tokens(a, 256, 1);
    assert_int_equal(mqa_sequence_fork(a, 256, &b, NULL), MQA_OK);
    mqa_cache_need need;
    assert_int_equal(mqa_sequence_extend_need(b, 1, &need, NULL), MQA_OK);
    assert_int_equal(need.returned, 0); /* both pages that b drops are a's too */
    append_tokens(b, 1, 300);
    assert_int_equal(mqa_sequence_first_held(b), 128);
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 128);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), pages(r.cache, 5));
    assert_int_equal(mqa_sequence_evict(a), pages(r.cache, 2));
    assert_int_equal(mqa_sequence_evict(a), 0);
    assert_int_equal(mqa_sequence_first_held(a), 128);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), pages(r.cache, 3));
    /* The window at 226 begins at 127, which is gone; at 227 it is all there. */
    mqa_error err;
    mqa_sequence *c;
    assert_int_equal(mqa_sequence_fork(a, 226, &c, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "before token 128"));
    assert_int_equal(mqa_sequence_fork(a, 227, &c, &err), MQA_OK);
    assert_tokens(c, 128, 99, 129);
    mqa_sequence_destroy(&b);
    assert_int_equal(mqa_sequence_fork(a, 0, &b, &err), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(b), 0);
    append_tokens(b, 3, 9);
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    mqa_sequence_destroy(&c);
    end_rig(&r);
}

/* Sinks stay in front of the gap, and forks share them. */
static void windows_with_sinks(void **state)
{
    (void)state;
    mqa_cache_config config = config_of(64, 9);
    config.window = 100;
    config.n_sink_tokens = 65; /* two pages */
    rig r = make_rig(&config);
    mqa_sequence *a = make_sequence(r.cache), *b, *c;
    mqa_error err;
    append_tokens(a, 380, 1);
    assert_int_equal(mqa_sequence_first_gone(a), 0);
    assert_int_equal(mqa_sequence_evict(a), pages(r.cache, 2)); /* the next token sees 281 and later */
    assert_int_equal(mqa_sequence_evict(a), 0);
    assert_int_equal(mqa_sequence_first_gone(a), 128);
    assert_int_equal(mqa_sequence_first_held(a), 256);
    assert_int_equal(mqa_sequence_bytes(a), pages(r.cache, 4));
    assert_tokens(a, 0, 128, 1);
    assert_tokens(a, 256, 124, 257);
    float x[1];
    assert_int_equal(mqa_sequence_read(a, 0, 128, 1, x, 1, 1, NULL, 0, 0, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "holds [0, 128) and [256, 380)"));
    assert_int_equal(mqa_sequence_read(a, 0, 127, 2, x, 1, 1, NULL, 0, 0, &err), MQA_ERR_INVALID_ARGUMENT);

    assert_int_equal(mqa_sequence_fork(a, 380, &b, NULL), MQA_OK);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), pages(r.cache, 5));
    assert_int_equal(mqa_sequence_unique_bytes(b), pages(r.cache, 1));
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 64);
    append_tokens(b, 70, 381);
    assert_int_equal(mqa_sequence_first_held(b), 256);
    append_tokens(b, 1, 451);
    assert_int_equal(mqa_sequence_first_held(b), 320);
    assert_tokens(b, 0, 128, 1);
    assert_tokens(b, 320, 131, 321);
    /* Into the sinks, where there is no window but what they are. */
    assert_int_equal(mqa_sequence_truncate(b, 129, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "go back to 128"));
    assert_int_equal(mqa_sequence_fork(b, 128, &c, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(c), 0);
    assert_int_equal(mqa_sequence_bytes(c), pages(r.cache, 2));
    append_tokens(c, 10, 129);
    assert_tokens(c, 0, 138, 1);
    mqa_sequence_destroy(&c);
    assert_int_equal(mqa_sequence_truncate(b, 70, NULL), MQA_OK);
    append_tokens(b, 100, 71); /* into a page that it shared with a */
    assert_tokens(b, 0, 170, 1);
    assert_tokens(a, 0, 128, 1);
    mqa_sequence_destroy(&a);
    mqa_cache_defragment(r.cache, NULL);
    assert_tokens(b, 0, 170, 1);
    mqa_sequence_destroy(&b);

    /* What begins later has no sinks. */
    assert_int_equal(mqa_sequence_create_at(r.cache, 8192, &a, NULL), MQA_OK);
    append_tokens(a, 320, 1);
    mqa_sequence_evict(a);
    assert_int_equal(mqa_sequence_first_gone(a), 8192);
    assert_int_equal(mqa_sequence_first_held(a), 8192 + 192);
    assert_int_equal(mqa_sequence_bytes(a), pages(r.cache, 2));
    mqa_sequence_destroy(&a);
    end_rig(&r);
}

/* ---- sequences that begin late ------------------------------------------------------------------- */

static void late_beginnings(void **state)
{
    (void)state;
    static const int64_t firsts[] = {8192, INT64_C(1) << 31, (INT64_C(1) << 62) - 8192};
    const mqa_cache_config config = config_of(128, 8);
    rig r = make_rig(&config);
    for (int i = 0; i < 3; i++) {
        mqa_sequence *a, *b;
        mqa_error err;
        assert_int_equal(mqa_sequence_create_at(r.cache, firsts[i], &a, &err), MQA_OK);
        assert_int_equal(mqa_sequence_length(a), firsts[i]);
        assert_int_equal(mqa_sequence_first_position(a), firsts[i]);
        assert_int_equal(mqa_sequence_first_held(a), firsts[i]);
        append_tokens(a, 300, 1);
        assert_int_equal(mqa_sequence_length(a), firsts[i] + 300);
        assert_int_equal(mqa_sequence_bytes(a), pages(r.cache, 3));
        assert_tokens(a, firsts[i], 300, 1);
        assert_int_equal(mqa_sequence_fork(a, firsts[i] + 130, &b, NULL), MQA_OK);
        assert_int_equal(mqa_sequence_shared_tokens(a, b), 128);
        assert_tokens(b, firsts[i], 130, 1);
        assert_int_equal(mqa_sequence_truncate(a, firsts[i] - 1, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(mqa_sequence_truncate(a, 0, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(mqa_sequence_truncate(a, firsts[i], &err), MQA_OK);
        assert_int_equal(mqa_sequence_bytes(a), 0);
        append_tokens(a, 5, 77);
        assert_tokens(a, firsts[i], 5, 77);
        assert_tokens(b, firsts[i], 130, 1);
        mqa_sequence_destroy(&a);
        mqa_sequence_destroy(&b);
    }
    static const int64_t wrong[] = {-8192, 1, 64, 8191, INT64_MAX, INT64_C(1) << 62};
    for (int i = 0; i < 6; i++) {
        mqa_sequence *a = (mqa_sequence *)&a;
        mqa_error err;
        assert_int_equal(mqa_sequence_create_at(r.cache, wrong[i], &a, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "multiple of 8192"));
        assert_null(a);
    }
    mqa_sequence *last; /* positions end before they wrap */
    assert_int_equal(mqa_sequence_create_at(r.cache, (INT64_C(1) << 62) - 8192, &last, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_extend(last, 8192, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_extend(last, INT64_MAX, NULL), MQA_ERR_INVALID_ARGUMENT);
    mqa_sequence_destroy(&last);
    end_rig(&r);
}

/* A window that reaches back behind the first position has lost nothing. */
static void late_beginnings_with_a_window(void **state)
{
    (void)state;
    mqa_cache_config config = config_of(64, 8);
    config.window = 100;
    rig r = make_rig(&config);
    mqa_sequence *a;
    assert_int_equal(mqa_sequence_create_at(r.cache, 8192, &a, NULL), MQA_OK);
    append_tokens(a, 50, 1);
    append_tokens(a, 100, 51);
    assert_int_equal(mqa_sequence_first_held(a), 8192);
    assert_int_equal(mqa_sequence_truncate(a, 8193, NULL), MQA_OK);
    append_tokens(a, 199, 2);
    append_tokens(a, 1, 201);
    assert_int_equal(mqa_sequence_first_held(a), 8192 + 64);
    assert_int_equal(mqa_sequence_truncate(a, 8193, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_tokens(a, 8192 + 64, 137, 65);
    assert_int_equal(mqa_sequence_truncate(a, 8192, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(a), 8192);
    mqa_sequence_destroy(&a);
    end_rig(&r);
}

/* ---- running out of memory ----------------------------------------------------------------------- */

static int allocations_left;

static void *limited_alloc(void *user, size_t size, size_t alignment)
{
    void *ptr = NULL;
    (void)user;
    return allocations_left-- > 0 && posix_memalign(&ptr, alignment, size) == 0 ? ptr : NULL;
}
static void limited_free(void *user, void *ptr, size_t size)
{
    (void)user, (void)size;
    free(ptr);
}

/* A fork or a growth that finds no memory for its block table changes nothing. */
static void allocations_fail(void **state)
{
    (void)state;
    const mqa_allocator allocator = {limited_alloc, limited_free, NULL};
    allocations_left = 1000;
    const mqa_cache_config config = config_of(64, 10);
    rig r = {.ctx = make_context(&allocator)};
    assert_int_equal(mqa_cache_create(r.ctx, &config, &r.cache, NULL), MQA_OK);
    mqa_sequence *a = make_sequence(r.cache), *b = NULL;
    append_tokens(a, 100, 1);
    assert_int_equal(mqa_sequence_truncate(a, 80, NULL), MQA_OK);
    for (int left = 0; left < 2; left++) {
        allocations_left = left;
        assert_int_equal(mqa_sequence_fork(a, 80, &b, NULL), MQA_ERR_OUT_OF_MEMORY);
        assert_null(b);
        assert_int_equal(mqa_sequence_unique_bytes(a), pages(r.cache, 2));
    }
    allocations_left = 2;
    assert_int_equal(mqa_sequence_fork(a, 80, &b, NULL), MQA_OK);
    /* b's open page would have to be copied, and its table to grow. */
    assert_int_equal(mqa_sequence_truncate(b, 40, NULL), MQA_OK);
    allocations_left = 0;
    assert_int_equal(mqa_sequence_extend(b, 150, NULL), MQA_ERR_OUT_OF_MEMORY);
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 40);
    allocations_left = 1000;
    append_tokens(b, 150, 500);
    assert_tokens(b, 0, 40, 1);
    assert_tokens(b, 40, 150, 500);
    assert_tokens(a, 0, 80, 1);
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    end_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fork_shares_whole_pages),
        cmocka_unit_test(fork_is_refused),
        cmocka_unit_test(truncate_into_a_shared_page),
        cmocka_unit_test(the_last_holder_keeps_the_page),
        cmocka_unit_test(shared_pages_refuse_writing),
        cmocka_unit_test(windows_and_forks),
        cmocka_unit_test(windows_with_sinks),
        cmocka_unit_test(late_beginnings),
        cmocka_unit_test(late_beginnings_with_a_window),
        cmocka_unit_test(allocations_fail),
    };
    return cmocka_run_group_tests_name("kvcache_share", tests, NULL, NULL);
}
