/* Pages on the move: what defragmenting moves, gives back to the operating system, and leaves as it was.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SEQUENCES = 4 };

static mqa_cache_config large_config(void)
{
    mqa_cache_config c = small_config();
    c.head_dim_qk = c.head_dim_vo = 40; /* a slice is several pages of the operating system */
    c.max_pages = 40;                   /* fewer than fill a huge page */
    return c;
}

/* Four sequences of three pages, the first and third of which end: half of the pages are free, in between. */
static void make_holes(mqa_cache *cache, mqa_sequence **seqs)
{
    for (int i = 0; i < SEQUENCES; i++) seqs[i] = make_sequence(cache);
    for (int page = 0; page < 3; page++)
        for (int i = 0; i < SEQUENCES; i++) append_tokens(seqs[i], 60, (uint32_t)(1000 * i + 60 * page + 1));
    mqa_sequence_destroy(&seqs[0]);
    mqa_sequence_destroy(&seqs[2]);
}

static void assert_survivors(mqa_sequence *const *seqs)
{
    for (int i = 1; i < SEQUENCES; i += 2) assert_tokens(seqs[i], 0, 180, (uint32_t)(1000 * i + 1));
}

static size_t resident_in(const unsigned char *begin, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t skip = -(uintptr_t)begin & (page - 1);
    unsigned char in_memory[256];
    assert_true(size > skip && size / page <= sizeof in_memory);
    const size_t n = (size - skip) / page;
    assert_int_equal(mincore((void *)(uintptr_t)(begin + skip), n * page, in_memory), 0);
    size_t resident = 0;
    for (size_t i = 0; i < n; i++) resident += in_memory[i] & 1;
    return resident;
}

static void holes_are_closed(void **state)
{
    (void)state;
    const mqa_cache_config config = large_config();
    rig r = make_rig(&config);
    const size_t page = mqa_cache_page_bytes(&config);
    mqa_sequence *seqs[SEQUENCES];
    make_holes(r.cache, seqs);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), 6 * page);
    assert_int_equal(mqa_cache_bytes_resident(r.cache), 12 * page);
    const unsigned char *tail = mqa_arena_slice(&r.cache->arena, 1, 6);
    const size_t tail_bytes = 6 * r.cache->layout.slice_bytes;
    assert_true(resident_in(tail, tail_bytes) > 0);

    mqa_defragment_report report;
    mqa_cache_defragment(r.cache, &report);
    assert_survivors(seqs);
    assert_int_equal(report.bytes_resident, 6 * page);
    assert_int_equal(mqa_cache_bytes_resident(r.cache), 6 * page);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), 6 * page);
    assert_true(report.pages_moved > 0 && report.pages_moved <= 6);
    /* All of the tail, but for parts of pages at its edges. */
    const size_t edges = 2 * (size_t)config.n_layers * (size_t)sysconf(_SC_PAGESIZE);
    assert_in_range(report.bytes_returned, 6 * page - edges, 6 * page);
    assert_int_equal(resident_in(tail, tail_bytes), 0);
    for (int i = 1; i < SEQUENCES; i += 2)
        for (int64_t j = 0; j < 3; j++) assert_in_range(seqs[i]->pages[j], 0, 5);

    mqa_cache_defragment(r.cache, &report); /* nothing is left to do */
    assert_int_equal(report.pages_moved, 0);
    assert_int_equal(report.bytes_returned, 0);
    /* What is new is zero: unwritten tokens of pages that held something before. */
    mqa_sequence *fresh = make_sequence(r.cache);
    const uint32_t nothing[6 * 64] = {0};
    assert_int_equal(mqa_sequence_extend(fresh, 6 * 64, NULL), MQA_OK);
    for (int layer = 0; layer < 2; layer++)
        assert_null(compare_tokens(fresh, layer, 0, 6 * 64, nothing, false));
    mqa_sequence_destroy(&fresh);
    for (int i = 1; i < SEQUENCES; i += 2) append_tokens(seqs[i], 100, (uint32_t)(1000 * i + 181));
    for (int i = 1; i < SEQUENCES; i += 2) {
        assert_tokens(seqs[i], 0, 280, (uint32_t)(1000 * i + 1));
        mqa_sequence_destroy(&seqs[i]);
    }
    mqa_cache_defragment(r.cache, NULL);
    assert_int_equal(mqa_cache_bytes_resident(r.cache), 0);
    end_rig(&r);
}

/* Slices smaller than a page of the operating system, side by side with pages in use. */
static void small_slices(void **state)
{
    (void)state;
    mqa_cache_config config = small_config();
    config.n_kv_heads = 1;
    config.head_dim_qk = config.head_dim_vo = 1;
    config.k_type = config.v_type = MQA_KV_INT8;
    config.max_pages = 64;
    rig r = make_rig(&config);
    assert_true(r.cache->layout.slice_bytes < 4096);
    mqa_sequence *seqs[SEQUENCES];
    make_holes(r.cache, seqs);
    mqa_cache_defragment(r.cache, NULL);
    assert_survivors(seqs);
    mqa_sequence *fresh = make_sequence(r.cache);
    const uint32_t nothing[6 * 64] = {0};
    assert_int_equal(mqa_sequence_extend(fresh, 6 * 64, NULL), MQA_OK);
    for (int layer = 0; layer < 2; layer++)
        assert_null(compare_tokens(fresh, layer, 0, 6 * 64, nothing, false));
    mqa_sequence_destroy(&fresh);
    for (int i = 1; i < SEQUENCES; i += 2) mqa_sequence_destroy(&seqs[i]);
    end_rig(&r);
}

static void shared_pages_move_once(void **state)
{
    (void)state;
    const mqa_cache_config config = large_config();
    rig r = make_rig(&config);
    mqa_sequence *first = make_sequence(r.cache), *a = make_sequence(r.cache), *b, *c;
    append_tokens(first, 64 * 5, 9);
    append_tokens(a, 64 * 3 + 10, 1);
    assert_int_equal(mqa_sequence_fork(a, 64 * 3, &b, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_fork(a, 64 * 2, &c, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_truncate(c, 64 + 7, NULL), MQA_OK);
    mqa_sequence_destroy(&first);
    mqa_defragment_report report;
    mqa_cache_defragment(r.cache, &report);
    assert_int_equal(report.pages_moved, 4);
    assert_int_equal(mqa_cache_bytes_in_use(r.cache), 4 * mqa_cache_page_bytes(&config));
    assert_int_equal(mqa_sequence_shared_tokens(a, b), 64 * 3);
    assert_int_equal(mqa_sequence_shared_tokens(a, c), 64 + 7);
    append_tokens(c, 50, 500); /* still copies before it writes */
    assert_tokens(a, 0, 64 * 3 + 10, 1);
    assert_tokens(b, 0, 64 * 3, 1);
    assert_tokens(c, 0, 64 + 7, 1);
    assert_tokens(c, 64 + 7, 50, 500);
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    mqa_sequence_destroy(&c);
    end_rig(&r);
}

/* ---- a caller's memory --------------------------------------------------------------------------- */

static void *plain_alloc(void *user, size_t size, size_t alignment)
{
    void *ptr = NULL;
    (void)user;
    return posix_memalign(&ptr, alignment, size) == 0 ? memset(ptr, 0xff, size) : NULL;
}
static void plain_free(void *user, void *ptr, size_t size)
{
    (void)user, (void)size;
    free(ptr);
}

/* It is not ours to give back; but the pages move, and the lowest ids are used next. */
static void a_callers_memory_stays(void **state)
{
    (void)state;
    const mqa_cache_config config = large_config();
    const mqa_allocator allocator = {plain_alloc, plain_free, NULL};
    rig r = {.ctx = make_context(&allocator)};
    assert_int_equal(mqa_cache_create(r.ctx, &config, &r.cache, NULL), MQA_OK);
    const size_t page = mqa_cache_page_bytes(&config);
    mqa_sequence *seqs[SEQUENCES];
    make_holes(r.cache, seqs);
    mqa_defragment_report report;
    mqa_cache_defragment(r.cache, &report);
    assert_survivors(seqs);
    assert_int_equal(report.bytes_returned, 0);
    assert_int_equal(report.bytes_resident, 12 * page);
    assert_true(report.pages_moved > 0);
    mqa_sequence *fresh = make_sequence(r.cache);
    const uint32_t nothing[7 * 64] = {0};
    assert_int_equal(mqa_sequence_extend(fresh, 7 * 64, NULL), MQA_OK);
    for (int i = 0; i < 7; i++) assert_int_equal(fresh->pages[i], 6 + i);
    assert_null(compare_tokens(fresh, 0, 0, 7 * 64, nothing, false));
    mqa_sequence_destroy(&fresh);
    for (int i = 1; i < SEQUENCES; i += 2) mqa_sequence_destroy(&seqs[i]);
    end_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_are_closed),
        cmocka_unit_test(small_slices),
        cmocka_unit_test(shared_pages_move_once),
        cmocka_unit_test(a_callers_memory_stays),
    };
    return cmocka_run_group_tests_name("kvcache_defragment", tests, NULL, NULL);
}
