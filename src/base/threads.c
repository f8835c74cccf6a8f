/* The thread pool: persistent threads, one ticket word; who waits spins, yields, then sleeps.
 *
 * A run is published as one 64-bit ticket, (number of the run << 32 | tasks not yet handed out). Taking a
 * task is a compare-and-swap that counts the low half down, so
 *   - a thread that is late, still holding the ticket of an earlier run, can take nothing;
 *   - once the swap succeeds, the run's fn, arg and n_tasks cannot have changed since they were read: the
 *     caller stays in mqa_pool_run until every task handed out is done;
 *   - a thread that sleeps through a short run is not waited for. No step costs a wake-up that it doesn't
 *     need, which is what makes steps of 20 microseconds worth splitting.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fpenv.h"
#include "base/memory.h"

/* Who waits spins first, as the next step of a token is microseconds away; then spins on but yields, so that
 * it keeps nobody from its CPU; and sleeps only when nothing has come for longer than the scheduler takes to
 * spread threads over CPUs. A wake-up costs more than most steps (60 us on a virtual machine). */
enum {
    MAX_THREADS = 4096,
    SPIN_NS = 50 * 1000,
    YIELD_NS = 5 * 1000 * 1000,
    PAUSES_PER_LOOK = 32 /* pauses between looks at the clock */
};

typedef struct worker {
    mqa_pool *pool;
    int index;
    pthread_t thread;
} worker;

struct mqa_pool {
    int n_threads;
    mqa_parallel_for over; /* run not NULL: the caller's threads work, and nothing below is used */
    bool patient;          /* there is a CPU for every thread */
    worker *workers;       /* n_threads - 1 */

    _Alignas(MQA_CACHE_LINE) _Atomic uint64_t ticket;
    /* The run: written by the caller while the ticket's low half is 0. */
    _Atomic(mqa_task_fn *) fn;
    _Atomic(void *) arg;
    atomic_int n_tasks;

    _Alignas(MQA_CACHE_LINE) _Atomic uint32_t epoch; /* counts runs; where idle workers sleep */
    atomic_int sleepers;
    atomic_bool stop;

    _Alignas(MQA_CACHE_LINE) _Atomic uint32_t done; /* tasks of this run; where the caller sleeps */
    atomic_bool caller_sleeps;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is a no-op on most cores */
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* Spins, then yields, until *word differs from value or the time is over; true if it differs. */
static bool spin_while(_Atomic uint32_t *word, uint32_t value, bool patient)
{
    if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
    if (!patient) return false;
    int64_t start = now_ns(), waited = 0;
    while ((waited = now_ns() - start) < YIELD_NS) {
        if (waited > SPIN_NS) sched_yield();
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            relax();
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
        }
    }
    return false;
}

/* Takes tasks until none is left and adds them to `done`. */
static void work(mqa_pool *pool, int self)
{
    uint32_t n_done = 0;
    int n_tasks = 0;
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    for (;;) {
        uint32_t left = (uint32_t)ticket;
        if (left == 0) break;
        mqa_task_fn *fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&pool->arg, memory_order_relaxed);
        int n = atomic_load_explicit(&pool->n_tasks, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        n_tasks = n;
        fn(arg, n - (int)left, self);
        n_done++;
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
        /* A new run cannot have begun: this thread's tasks are not yet in `done`. */
    }
    if (n_done == 0) return;
    /* seq_cst, as the caller's store of caller_sleeps and its load of done: one of the two sees the other. */
    uint32_t done = atomic_fetch_add(&pool->done, n_done) + n_done;
    if (done == (uint32_t)n_tasks && self != 0 && atomic_load(&pool->caller_sleeps)) wake(&pool->done, 1);
}

static void *worker_main(void *user)
{
    worker *me = user;
    mqa_pool *pool = me->pool;
    mqa_fpenv_enter(); /* a new thread inherits its creator's settings */
    for (;;) {
        uint32_t epoch = atomic_load(&pool->epoch);
        if (atomic_load(&pool->stop)) return NULL;
        work(pool, me->index);
        if (spin_while(&pool->epoch, epoch, pool->patient)) continue;
        atomic_fetch_add(&pool->sleepers, 1);
        while (atomic_load(&pool->epoch) == epoch) sleep_while(&pool->epoch, epoch);
        atomic_fetch_sub(&pool->sleepers, 1);
    }
}

static void next_epoch(mqa_pool *pool, int n_wanted)
{
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers) > 0) wake(&pool->epoch, n_wanted);
}

/* Runs a task on a thread that isn't ours, which may have any floating-point environment. */
typedef struct guest_run {
    mqa_task_fn *fn;
    void *arg;
} guest_run;

static void guest_task(void *arg, int task, int self)
{
    const guest_run *run = arg;
    const mqa_fpenv saved = mqa_fpenv_enter();
    run->fn(run->arg, task, self);
    mqa_fpenv_leave(saved);
}

void mqa_pool_run(mqa_pool *pool, mqa_task_fn *fn, void *arg, int n_tasks)
{
    if (n_tasks <= 0) return;
    if (pool->over.run && n_tasks > 1) {
        guest_run run = {fn, arg};
        pool->over.run(pool->over.user, n_tasks, guest_task, &run);
        return;
    }
    mqa_fpenv saved = mqa_fpenv_enter();
    if (pool->n_threads == 1 || n_tasks == 1) {
        for (int task = 0; task < n_tasks; task++) fn(arg, task, 0);
        mqa_fpenv_leave(saved);
        return;
    }
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&pool->n_tasks, n_tasks, memory_order_relaxed);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    uint64_t run = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&pool->ticket, run << 32 | (uint32_t)n_tasks, memory_order_release);
    next_epoch(pool, n_tasks - 1);

    work(pool, 0);
    for (;;) {
        uint32_t done = atomic_load(&pool->done);
        if (done == (uint32_t)n_tasks) break;
        if (spin_while(&pool->done, done, pool->patient)) continue;
        atomic_store(&pool->caller_sleeps, true);
        if (atomic_load(&pool->done) == done) sleep_while(&pool->done, done);
        atomic_store(&pool->caller_sleeps, false);
    }
    mqa_fpenv_leave(saved);
}

static mqa_status start_worker(mqa_pool *pool, int index, mqa_error *err)
{
    worker *w = &pool->workers[index - 1];
    *w = (worker){.pool = pool, .index = index};
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc != 0)
        return mqa_fail(err, MQA_ERR_IO, "cannot start thread %d of %d: %s; ask for fewer threads", index + 1,
                        pool->n_threads, strerror(rc));
    char name[16];
    snprintf(name, sizeof name, "mqa-%d", index);
    pthread_setname_np(w->thread, name);
    return MQA_OK;
}

mqa_status mqa_pool_create_over(const mqa_parallel_for *parallel_for, int n_threads, mqa_pool **out,
                                mqa_error *err)
{
    *out = NULL;
    if (!parallel_for->run || n_threads < 1 || n_threads > MAX_THREADS)
        return mqa_fail(
            err, MQA_ERR_INVALID_ARGUMENT,
            "parallel_for: run is NULL, or n_threads is %d: give the most workers that run uses, 1 to %d",
            n_threads, MAX_THREADS);
    mqa_pool *pool = aligned_alloc(MQA_CACHE_LINE, mqa_round_up(sizeof *pool, MQA_CACHE_LINE));
    if (!pool) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a pool");
    memset(pool, 0, sizeof *pool);
    pool->n_threads = n_threads;
    pool->over = *parallel_for;
    *out = pool;
    return MQA_OK;
}

static void stop_workers(mqa_pool *pool, int n)
{
    atomic_store(&pool->stop, true);
    next_epoch(pool, INT_MAX);
    for (int i = 0; i < n; i++) pthread_join(pool->workers[i].thread, NULL);
}

mqa_status mqa_pool_create(int n_threads, mqa_pool **out, mqa_error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "n_threads is %d: give 1 to %d", n_threads,
                        MAX_THREADS);
    mqa_pool *pool = aligned_alloc(MQA_CACHE_LINE, mqa_round_up(sizeof *pool, MQA_CACHE_LINE));
    worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a pool of %d threads", n_threads);
    }
    memset(pool, 0, sizeof *pool);
    pool->n_threads = n_threads;
    pool->workers = workers;
    /* More threads than CPUs: whoever spins keeps another of ours from its work. */
    pool->patient = n_threads <= mqa_cpu_count();

    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    mqa_status status = MQA_OK;
    int index = 1;
    while (index < n_threads && (status = start_worker(pool, index, err)) == MQA_OK) index++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != MQA_OK) {
        stop_workers(pool, index - 1);
        free(workers);
        free(pool);
        return status;
    }
    *out = pool;
    return MQA_OK;
}

void mqa_pool_destroy(mqa_pool **pool)
{
    if (!pool || !*pool) return;
    if (!(*pool)->over.run) stop_workers(*pool, (*pool)->n_threads - 1);
    free((*pool)->workers);
    free(*pool);
    *pool = NULL;
}

int mqa_pool_n_threads(const mqa_pool *pool)
{
    return pool->n_threads;
}
