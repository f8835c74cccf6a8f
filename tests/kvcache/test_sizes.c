/* What is said of sizes before there is a cache (kvcache/sizes.c), against caches.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include "base/memory.h"

static uint64_t state = 20261125;

static int64_t pick(int64_t lo, int64_t hi)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((state >> 33) % (uint64_t)(hi - lo + 1));
}

/* Extends move block tables and no values: shapes may be anything. */
static mqa_cache_config random_config(void)
{
    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = (int)pick(1, 3),
                               .n_kv_heads = (int)pick(1, 4),
                               .head_dim_qk = (int)pick(1, 40),
                               .head_dim_vo = (int)pick(1, 40),
                               .k_type = (mqa_kv_type)pick(0, MQA_KV_TYPES - 1),
                               .v_type = (mqa_kv_type)pick(0, MQA_KV_TYPES - 1),
                               .window = pick(0, 2) ? pick(1, 700) : 0,
                               .page_tokens = 64 << pick(0, 2),
                               .max_pages = 4096};
    if (config.window > 0 && pick(0, 1)) config.n_sink_tokens = pick(1, 300);
    return config;
}

static void extend(mqa_sequence *seq, int64_t n)
{
    assert_int_equal(mqa_sequence_extend(seq, n, NULL), MQA_OK);
}

static void extend_to(mqa_sequence *seq, int64_t length, int64_t chunk)
{
    while (mqa_sequence_length(seq) < length) {
        const int64_t left = length - mqa_sequence_length(seq);
        extend(seq, left < chunk ? left : chunk);
    }
}

/* The most that a sequence holds, whatever its chunks begin at, is what was said, and not less. */
static void test_most(void **unused)
{
    (void)unused;
    for (int i = 0; i < 60; i++) {
        const mqa_cache_config config = random_config();
        const int64_t chunk = pick(1, 300), n = pick(1, 2500);
        rig r = make_rig(&config);
        size_t most = 0;
        for (int64_t first = 1; first <= chunk && first <= n; first++) {
            mqa_sequence *seq = make_sequence(r.cache);
            extend(seq, first);
            while (mqa_sequence_length(seq) < n) {
                const int64_t left = n - mqa_sequence_length(seq);
                if (mqa_cache_bytes_in_use(r.cache) > most) most = mqa_cache_bytes_in_use(r.cache);
                extend(seq, left < chunk ? left : chunk);
            }
            if (mqa_cache_bytes_in_use(r.cache) > most) most = mqa_cache_bytes_in_use(r.cache);
            mqa_sequence_destroy(&seq);
        }
        const size_t said = mqa_kv_most_bytes(&config, n, chunk);
        assert_true(most <= said);
        /* Chunks begin at all places in a page where they have no common divisor with it. */
        if (chunk % 2 == 1 && n > config.window + config.n_sink_tokens + 300 * chunk)
            assert_int_equal(most, said);
        end_rig(&r);
    }
}

/* The ring of a window: 512 keys and a chunk of 512 need 17 pages of 64, wherever they begin. */
static void test_most_of_a_window(void **unused)
{
    (void)unused;
    mqa_cache_config config = small_config();
    config.window = 512;
    const size_t page = mqa_cache_page_bytes(&config);
    assert_int_equal(mqa_kv_most_bytes(&config, 32768, 512), 17 * page);
    assert_int_equal(mqa_kv_most_bytes(&config, 32768, 1), 9 * page);
    assert_int_equal(mqa_kv_most_bytes(&config, 1024, 512), 16 * page);
    assert_int_equal(mqa_kv_most_bytes(&config, 64, 512), page);
    config.n_sink_tokens = 65;
    assert_int_equal(mqa_kv_most_bytes(&config, 32768, 512), 19 * page);
    config.window = INT64_MAX;
    assert_int_equal(mqa_kv_most_bytes(&config, 32768, INT64_MAX), 512 * page);
    assert_int_equal(mqa_kv_most_bytes(&config, INT64_MAX, 1), SIZE_MAX);
    config.window = INT64_MAX - 1;
    assert_int_equal(mqa_kv_most_bytes(&config, INT64_MAX, INT64_MAX), SIZE_MAX);
    assert_int_equal(mqa_kv_most_bytes(&config, 0, 1), 0);
    assert_int_equal(mqa_kv_most_bytes(&config, 1, 0), 0);
}

/* Forks of one beginning, each then appended by itself. */
static void test_shared(void **unused)
{
    (void)unused;
    enum { MOST = 5 };
    for (int i = 0; i < 300; i++) {
        const mqa_cache_config config = random_config();
        const int64_t chunk = pick(1, 300), n = pick(1, 2000), shared = pick(0, 3) ? pick(0, n) : n;
        const int n_sequences = (int)pick(1, MOST);
        rig r = make_rig(&config);
        mqa_sequence *seq[MOST] = {make_sequence(r.cache)};
        extend_to(seq[0], shared, chunk);
        for (int s = 1; s < n_sequences; s++)
            assert_int_equal(mqa_sequence_fork(seq[0], shared, &seq[s], NULL), MQA_OK);
        for (int s = 0; s < n_sequences; s++) extend_to(seq[s], n, chunk);
        assert_int_equal(mqa_kv_shared_bytes(&config, n, chunk, shared, n_sequences),
                         mqa_cache_bytes_in_use(r.cache));
        for (int s = 0; s < n_sequences; s++) mqa_sequence_destroy(&seq[s]);
        end_rig(&r);
    }
}

static void test_shared_edges(void **unused)
{
    (void)unused;
    const mqa_cache_config config = small_config();
    assert_int_equal(mqa_kv_shared_bytes(&config, 10, 1, 11, 1), 0);
    assert_int_equal(mqa_kv_shared_bytes(&config, 10, 1, -1, 1), 0);
    assert_int_equal(mqa_kv_shared_bytes(&config, 10, 1, 5, 0), 0);
    assert_int_equal(mqa_kv_shared_bytes(&config, INT64_MAX, 1, 0, INT64_MAX), SIZE_MAX);
    assert_int_equal(mqa_kv_shared_bytes(&config, INT64_MAX, INT64_MAX, INT64_MAX, 1), SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_most), cmocka_unit_test(test_most_of_a_window),
                                       cmocka_unit_test(test_shared), cmocka_unit_test(test_shared_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
