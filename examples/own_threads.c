/* Bring your own threads: a host that has a pool lends it, and mqa starts none of its own. Here the pool is
 * OpenMP's (built without OpenMP the same loop runs on one thread, with the same bits).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "toy.h"

enum { HEADS = 16, DIM = 64, QUERIES = 200, TOKENS = 2000 };

static void on_openmp(void *user, int n_tasks, void (*task)(void *arg, int i, int worker), void *arg)
{
    (void)user;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < n_tasks; i++) task(arg, i, omp_get_thread_num());
#else
    for (int i = 0; i < n_tasks; i++) task(arg, i, 0);
#endif
}

int main(void)
{
    static float q[QUERIES * HEADS * DIM], k[TOKENS * DIM], v[TOKENS * DIM];
    static float mine[QUERIES * HEADS * DIM], theirs[QUERIES * HEADS * DIM];
    for (int i = 0; i < QUERIES; i++) project(0, i, HEADS * DIM, q + (size_t)i * HEADS * DIM);
    for (int i = 0; i < TOKENS; i++) {
        project(1, i, DIM, k + (size_t)i * DIM);
        project(2, i, DIM, v + (size_t)i * DIM);
    }

    mqa_context_options options = mqa_context_options_default();
    const mqa_parallel_for host = {on_openmp, NULL};
    mqa_context *ctx, *guest;
    must(mqa_context_create(&options, &ctx, &err));
    options.parallel_for = &host;
#ifdef _OPENMP
    options.n_threads = omp_get_max_threads(); /* no worker number is higher */
#else
    options.n_threads = 1;
#endif
    must(mqa_context_create(&options, &guest, &err));
    must(mqa_attention(ctx, HEADS, 1, DIM, QUERIES, TOKENS, q, k, v, 0.125f, mine, &err));
    must(mqa_attention(guest, HEADS, 1, DIM, QUERIES, TOKENS, q, k, v, 0.125f, theirs, &err));
    const int same = memcmp(mine, theirs, sizeof mine) == 0;
    printf("on mqa's threads and on the host's: %s\n", same ? "the same bits" : "other bits");
    mqa_context_destroy(&guest);
    mqa_context_destroy(&ctx);
    return !same;
}
