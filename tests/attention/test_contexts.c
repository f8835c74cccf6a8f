/* Two contexts, eight threads: contexts share nothing, and one serves any thread, one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mqa/attention.h"

enum { THREADS = 8, CONTEXTS = 2, ROUNDS = 6, TOKENS = 700, HEADS = 6, D = 32 };

typedef struct shared_context {
    pthread_mutex_t lock;
    mqa_context *ctx;
} shared_context;

typedef struct user {
    pthread_t thread;
    shared_context *shared;
    int number, failures;
} user;

static float value(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(*state >> 40) - (1 << 23)) * 0x1p-22f;
}

static mqa_status attend(mqa_context *ctx, int number, float *out)
{
    static const size_t kv = (size_t)TOKENS * D, q = (size_t)HEADS * D;
    float *x = malloc((2 * kv + q) * sizeof *x);
    if (!x) return MQA_ERR_OUT_OF_MEMORY;
    uint64_t state = (uint64_t)number;
    for (size_t i = 0; i < 2 * kv + q; i++) x[i] = value(&state);
    mqa_status status = mqa_attention(ctx, HEADS, 1, D, 1, TOKENS, x + 2 * kv, x, x + kv, 0.2f, out, NULL);
    free(x);
    return status;
}

static void *use(void *arg)
{
    user *u = arg;
    float first[HEADS * D], again[HEADS * D];
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&u->shared->lock);
        const mqa_status status = attend(u->shared->ctx, u->number, round ? again : first);
        pthread_mutex_unlock(&u->shared->lock);
        u->failures += status != MQA_OK || (round && memcmp(first, again, sizeof first) != 0);
    }
    return NULL;
}

static void two_contexts_from_eight_threads(void **state)
{
    (void)state;
    shared_context shared[CONTEXTS];
    user users[THREADS];
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 2;
    for (int i = 0; i < CONTEXTS; i++) {
        pthread_mutex_init(&shared[i].lock, NULL);
        assert_int_equal(mqa_context_create(&options, &shared[i].ctx, NULL), MQA_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        users[i] = (user){.shared = &shared[i % CONTEXTS], .number = i};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
        assert_int_equal(users[i].failures, 0);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        mqa_context_destroy(&shared[i].ctx);
        pthread_mutex_destroy(&shared[i].lock);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_contexts_from_eight_threads)};
    return cmocka_run_group_tests_name("contexts", tests, NULL, NULL);
}
