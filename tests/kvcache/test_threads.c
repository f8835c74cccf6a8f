/* What cache.h says about threads, for the thread sanitizer to look at: between changes of block tables,
 * layers are written, read and asked about from many threads at once; and caches of different contexts have
 * nothing in common.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LAYERS = 4, PREFIX = 150, FORKS = 3, ROUNDS = 20, STEP = 9 };

static mqa_cache_config threads_config(void)
{
    mqa_cache_config c = small_config();
    c.n_layers = LAYERS;
    c.k_type = MQA_KV_INT8;
    c.max_pages = 100;
    c.page_tokens = 128;
    return c;
}

typedef struct job {
    mqa_sequence *prefix, *fork[FORKS];
    int64_t at; /* where the forks' new tokens begin */
    int layer, which;
    int wrong;
} job;

static uint32_t stamp_of(int which, int64_t position)
{
    return (uint32_t)(100000 * (which + 1) + position);
}

/* The new tokens of one fork in one layer. */
static void *write_layer(void *arg)
{
    job *j = arg;
    const import_way way = {.kind = (import_kind)(j->layer % 3), .bad_token = -1, .page_tokens = 16};
    uint32_t stamps[STEP];
    for (int t = 0; t < STEP; t++) stamps[t] = stamp_of(j->which, j->at + t);
    mqa_sequence *seq = j->fork[j->which];
    j->wrong |= import_tokens(seq, j->layer, j->at, STEP, stamps, &way, NULL) != MQA_OK;
    j->wrong |= compare_tokens(seq, j->layer, j->at, STEP, stamps, false) != NULL;
    j->wrong |= import_tokens(seq, j->layer, 0, 1, stamps, &way, NULL) != MQA_ERR_INVALID_ARGUMENT;
    return NULL;
}

/* Meanwhile: the sequence whose pages they all share, in the same layers; and questions. */
static void *read_prefix(void *arg)
{
    job *j = arg;
    uint32_t stamps[PREFIX];
    for (int t = 0; t < PREFIX; t++) stamps[t] = (uint32_t)t + 1;
    for (int layer = 0; layer < LAYERS; layer++)
        j->wrong |= compare_tokens(j->prefix, layer, 0, PREFIX, stamps, layer % 2) != NULL;
    for (int i = 0; i < FORKS; i++) {
        mqa_cache_need need;
        j->wrong |= mqa_sequence_shared_tokens(j->prefix, j->fork[i]) != 128;
        j->wrong |= mqa_sequence_length(j->fork[i]) != j->at + STEP;
        j->wrong |= mqa_sequence_unique_bytes(j->fork[i]) >= mqa_sequence_bytes(j->fork[i]);
        j->wrong |= mqa_sequence_extend_need(j->fork[i], 500, &need, NULL) != MQA_OK;
        j->wrong |= mqa_cache_bytes_in_use(j->prefix->cache) > mqa_cache_bytes_resident(j->prefix->cache);
    }
    return NULL;
}

static void layers_from_many_threads(void **state)
{
    (void)state;
    const mqa_cache_config config = threads_config();
    rig r = make_rig(&config);
    enum { JOBS = LAYERS * FORKS + 2 };
    job jobs[JOBS], common = {.prefix = make_sequence(r.cache)};
    append_tokens(common.prefix, PREFIX, 1);
    for (int i = 0; i < FORKS; i++)
        assert_int_equal(mqa_sequence_fork(common.prefix, PREFIX, &common.fork[i], NULL), MQA_OK);

    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[JOBS];
        common.at = mqa_sequence_length(common.fork[0]);
        for (int i = 0; i < FORKS; i++)
            assert_int_equal(mqa_sequence_extend(common.fork[i], STEP, NULL), MQA_OK);
        for (int i = 0; i < JOBS; i++) {
            jobs[i] = common;
            jobs[i].layer = i % LAYERS;
            jobs[i].which = i / LAYERS;
            assert_int_equal(
                pthread_create(&threads[i], NULL, i < JOBS - 2 ? write_layer : read_prefix, &jobs[i]), 0);
        }
        for (int i = 0; i < JOBS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(jobs[i].wrong, 0);
        }
        if (round % 5 == 4) mqa_cache_defragment(r.cache, NULL);
    }
    mqa_sequence_destroy(&common.prefix);
    for (int i = 0; i < FORKS; i++) {
        assert_tokens(common.fork[i], 0, PREFIX, 1);
        assert_tokens(common.fork[i], PREFIX, ROUNDS * STEP, stamp_of(i, PREFIX));
        mqa_sequence_destroy(&common.fork[i]);
    }
    end_rig(&r);
}

/* All of a cache's life, beside others that do the same. */
static void *own_cache(void *arg)
{
    atomic_int *wrong = arg;
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 1;
    mqa_context *ctx = NULL;
    mqa_cache *cache = NULL;
    const mqa_cache_config config = threads_config();
    if (mqa_context_create(&options, &ctx, NULL) || mqa_cache_create(ctx, &config, &cache, NULL)) {
        atomic_fetch_add(wrong, 1);
        return NULL;
    }
    const import_way way = {.kind = IMPORT_HND, .bad_token = -1};
    uint32_t stamps[200];
    for (int t = 0; t < 200; t++) stamps[t] = (uint32_t)t + 1;
    for (int i = 0; i < 5; i++) {
        mqa_sequence *a = NULL, *b = NULL;
        int bad = mqa_sequence_create(cache, &a, NULL) || mqa_sequence_extend(a, 200, NULL);
        for (int layer = 0; layer < LAYERS && !bad; layer++)
            bad = import_tokens(a, layer, 0, 200, stamps, &way, NULL) != MQA_OK;
        bad = bad || mqa_sequence_fork(a, 200, &b, NULL) || mqa_sequence_truncate(a, 100, NULL) ||
              mqa_sequence_extend(a, 100, NULL);
        mqa_sequence_destroy(&a);
        mqa_cache_defragment(cache, NULL);
        bad = bad || compare_tokens(b, 1, 0, 200, stamps, true);
        mqa_sequence_destroy(&b);
        atomic_fetch_add(wrong, bad);
    }
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
    return NULL;
}

static void contexts_are_independent(void **state)
{
    (void)state;
    pthread_t threads[8];
    atomic_int wrong = 0;
    for (int i = 0; i < 8; i++) assert_int_equal(pthread_create(&threads[i], NULL, own_cache, &wrong), 0);
    for (int i = 0; i < 8; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&wrong), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_from_many_threads),
        cmocka_unit_test(contexts_are_independent),
    };
    return cmocka_run_group_tests_name("kvcache_threads", tests, NULL, NULL);
}
