/* A small pool of threads for steps of 20 microseconds to seconds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_THREADS_H
#define MQA_BASE_THREADS_H

#include "base/status.h"
#include "mqa/context.h"

typedef struct mqa_pool mqa_pool;

/* task: 0 .. n_tasks-1, each run exactly once; worker: 0 .. n_threads-1, for per-thread scratch.
 * Tasks are handed out in ascending order, whichever thread asks next. A task must not start a run. */
typedef void mqa_task_fn(void *arg, int task, int worker);

/* n_threads counts the caller, which works as worker 0; 1 starts no thread at all. */
mqa_status mqa_pool_create(int n_threads, mqa_pool **out, mqa_error *err);
void mqa_pool_destroy(mqa_pool **pool);
/* A pool of the caller's threads: n_threads workers at most at a time. */
mqa_status mqa_pool_create_over(const mqa_parallel_for *parallel_for, int n_threads, mqa_pool **out,
                                mqa_error *err);
int mqa_pool_n_threads(const mqa_pool *pool);

/* Runs all tasks, returns when every one is done. Only one thread may call run at a time. */
void mqa_pool_run(mqa_pool *pool, mqa_task_fn *fn, void *arg, int n_tasks);

/* CPUs this process may use (affinity and cgroup limits heeded), at least 1. */
int mqa_cpu_count(void);

#endif
