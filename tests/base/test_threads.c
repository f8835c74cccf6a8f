/* The pool: every task once, in ascending order, whatever the sizes; and what is known about this CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/threads.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum { MAX_TASKS = 5000 };

static const int thread_counts[] = {1, 2, 3, 8};
static const int task_counts[] = {1, 2, 3, 7, 8, 9, 64, 1000, MAX_TASKS};

#define FOR_EACH_POOL(pool)                                                                                  \
    for (size_t i_ = 0; i_ < sizeof thread_counts / sizeof *thread_counts; i_++)                             \
        for (mqa_pool *pool = make_pool(thread_counts[i_]); pool; mqa_pool_destroy(&pool))

static mqa_pool *make_pool(int n_threads)
{
    mqa_pool *pool = NULL;
    assert_int_equal(mqa_pool_create(n_threads, &pool, NULL), MQA_OK);
    assert_int_equal(mqa_pool_n_threads(pool), n_threads);
    return pool;
}

typedef struct tally {
    int n_threads;
    int runs[MAX_TASKS]; /* plain ints: a task run twice at once is a race for tsan to find */
    atomic_int out_of_range;
    atomic_int last[8]; /* the last task of each worker */
    atomic_int descents;
} tally;

static void count_task(void *arg, int task, int worker)
{
    tally *t = arg;
    if (task < 0 || task >= MAX_TASKS || worker < 0 || worker >= t->n_threads) {
        atomic_fetch_add(&t->out_of_range, 1);
        return;
    }
    t->runs[task]++;
    if (atomic_exchange(&t->last[worker], task) >= task) atomic_fetch_add(&t->descents, 1);
}

static void every_task_once(void **state)
{
    (void)state;
    static tally t;
    FOR_EACH_POOL(pool)
    {
        for (size_t i = 0; i < sizeof task_counts / sizeof *task_counts; i++) {
            memset(&t, 0, sizeof t);
            for (int w = 0; w < 8; w++) t.last[w] = -1;
            t.n_threads = mqa_pool_n_threads(pool);
            mqa_pool_run(pool, count_task, &t, task_counts[i]);
            assert_int_equal(t.out_of_range, 0);
            assert_int_equal(t.descents, 0);
            for (int k = 0; k < MAX_TASKS; k++) assert_int_equal(t.runs[k], k < task_counts[i]);
        }
        mqa_pool_run(pool, count_task, &t, 0);
        assert_int_equal(t.runs[0], 1);
    }
}

/* Many runs of a few empty tasks: late and sleeping threads meet the next run. What each run's tasks
 * write, the caller must see. */
typedef struct tiny {
    int run, n_tasks;
    int seen[8];
} tiny;

static void tiny_task(void *arg, int task, int worker)
{
    (void)worker;
    tiny *t = arg;
    t->seen[task] = t->run;
}

static void many_tiny_runs(void **state)
{
    (void)state;
    FOR_EACH_POOL(pool)
    {
        tiny t = {0};
        for (int run = 1; run <= 4000; run++) {
            t.run = run;
            t.n_tasks = 1 + run % 8;
            mqa_pool_run(pool, tiny_task, &t, t.n_tasks);
            for (int k = 0; k < t.n_tasks; k++) assert_int_equal(t.seen[k], run);
            if (run % 500 == 0)
                nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL); /* let them fall asleep */
        }
    }
}

static void wait_for_both(void *arg, int task, int worker)
{
    (void)task;
    (void)worker;
    atomic_int *here = arg;
    atomic_fetch_add(here, 1);
    while (atomic_load(here) < 2) sched_yield();
}

/* Two tasks that wait for each other end only if two threads work at once, spinning or asleep before. */
static void two_threads_work_at_once(void **state)
{
    (void)state;
    mqa_pool *pool = make_pool(2);
    for (int run = 0; run < 20; run++) {
        atomic_int here = 0;
        if (run % 2) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        mqa_pool_run(pool, wait_for_both, &here, 2);
        assert_int_equal(here, 2);
    }
    mqa_pool_destroy(&pool);
}

static void long_task(void *arg, int task, int worker)
{
    (void)worker;
    if (task == 0) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    atomic_fetch_add((atomic_int *)arg, 1);
}

/* The caller sleeps while the last task runs, and is woken. */
static void a_long_task_ends(void **state)
{
    (void)state;
    FOR_EACH_POOL(pool)
    {
        for (int run = 0; run < 5; run++) {
            atomic_int done = 0;
            mqa_pool_run(pool, long_task, &done, 3);
            assert_int_equal(done, 3);
        }
    }
}

static void run_a_pool(void *arg, int task, int worker)
{
    (void)task;
    (void)worker;
    mqa_pool *inner = make_pool(2);
    mqa_pool_run(inner, long_task, arg, 4);
    mqa_pool_destroy(&inner);
}

/* Pools know nothing of each other: one inside a task of another works. */
static void pools_are_independent(void **state)
{
    (void)state;
    mqa_pool *pool = make_pool(3);
    atomic_int done = 0;
    mqa_pool_run(pool, run_a_pool, &done, 5);
    assert_int_equal(done, 20);
    mqa_pool_destroy(&pool);
    assert_null(pool);
    mqa_pool_destroy(&pool);
    mqa_pool_destroy(NULL);
}

static void refuses_bad_counts(void **state)
{
    (void)state;
    mqa_pool *pool = (mqa_pool *)state; /* anything but NULL */
    mqa_error err = {0};
    assert_int_equal(mqa_pool_create(0, &pool, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_null(pool);
    assert_non_null(strstr(err.message, "n_threads"));
    assert_int_equal(mqa_pool_create(1 << 20, &pool, NULL), MQA_ERR_INVALID_ARGUMENT);
}

#if defined(__x86_64__) || defined(__aarch64__)
#if defined(__x86_64__)
enum { FP_DEFAULT = 0x1f80, FP_FLUSH = 0x8040 }; /* MXCSR: FTZ, DAZ */
static uint64_t fp_control(void)
{
    return _mm_getcsr() & 0xffc0;
}
static void set_fp_control(uint64_t x)
{
    _mm_setcsr((unsigned)x);
}
#else
enum { FP_DEFAULT = 0, FP_FLUSH = 1 << 24 }; /* FPCR: FZ */
static uint64_t fp_control(void)
{
    uint64_t x;
    __asm__ volatile("mrs %0, fpcr" : "=r"(x));
    return x;
}
static void set_fp_control(uint64_t x)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(x) : "memory");
}
#endif

static void note_fp_control(void *arg, int task, int worker)
{
    (void)task;
    (void)worker;
    if (fp_control() != FP_DEFAULT) atomic_fetch_add((atomic_int *)arg, 1);
}

/* A caller that flushes denormals gets the same arithmetic as everyone, and its own setting back. */
static void arithmetic_does_not_depend_on_the_caller(void **state)
{
    (void)state;
    const uint64_t before = fp_control();
    set_fp_control(before | FP_FLUSH);
    FOR_EACH_POOL(pool)
    {
        atomic_int wrong = 0;
        for (int run = 0; run < 50; run++) mqa_pool_run(pool, note_fp_control, &wrong, 1 + run % 16);
        assert_int_equal(wrong, 0);
    }
    const uint64_t after = fp_control();
    set_fp_control(before);
    assert_int_equal(after & FP_FLUSH, FP_FLUSH);
}
#endif

/* ---- a host's own threads ---- */

typedef struct host_job {
    void (*task)(void *arg, int i, int worker);
    void *arg;
    int n_tasks;
    atomic_int next;
} host_job;

typedef struct host_thread {
    pthread_t thread;
    host_job *job;
    int worker;
} host_thread;

static void *host_main(void *arg)
{
    host_thread *t = arg;
#if defined(__x86_64__) || defined(__aarch64__)
    set_fp_control(fp_control() | FP_FLUSH); /* a host that flushes denormals */
#endif
    for (int i; (i = atomic_fetch_add(&t->job->next, 1)) < t->job->n_tasks;)
        t->job->task(t->job->arg, i, t->worker);
    return NULL;
}

enum { HOST_THREADS = 3 };

static void host_run(void *user, int n_tasks, void (*task)(void *arg, int i, int worker), void *arg)
{
    host_job job = {.task = task, .arg = arg, .n_tasks = n_tasks};
    host_thread threads[HOST_THREADS];
    for (int i = 0; i < HOST_THREADS; i++) {
        threads[i] = (host_thread){.job = &job, .worker = i};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, host_main, &threads[i]), 0);
    }
    for (int i = 0; i < HOST_THREADS; i++) pthread_join(threads[i].thread, NULL);
    ++*(int *)user;
}

static void works_on_the_hosts_threads(void **state)
{
    (void)state;
    static tally t;
    int n_runs = 0;
    const mqa_parallel_for host = {host_run, &n_runs};
    mqa_pool *pool;
    assert_int_equal(mqa_pool_create_over(&host, HOST_THREADS, &pool, NULL), MQA_OK);
    for (int n = 2; n < 40; n += 9) {
        memset(&t, 0, sizeof t);
        for (int w = 0; w < 8; w++) t.last[w] = -1;
        t.n_threads = HOST_THREADS;
        mqa_pool_run(pool, count_task, &t, n);
        assert_int_equal(t.out_of_range, 0);
        for (int k = 0; k < 64; k++) assert_int_equal(t.runs[k], k < n);
    }
    assert_int_equal(n_runs, 5);
#if defined(__x86_64__) || defined(__aarch64__)
    atomic_int wrong = 0;
    mqa_pool_run(pool, note_fp_control, &wrong, 20);
    assert_int_equal(wrong, 0);
#endif
    mqa_pool_destroy(&pool);
    const mqa_parallel_for none = {0};
    assert_int_equal(mqa_pool_create_over(&none, 2, &pool, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_pool_create_over(&host, 0, &pool, NULL), MQA_ERR_INVALID_ARGUMENT);
}

static void cpu_is_consistent(void **state)
{
    (void)state;
    const mqa_cpu *cpu = mqa_cpu_detect();
    assert_ptr_equal(cpu, mqa_cpu_detect());
    assert_true(strlen(cpu->name) > 0);
    assert_true(mqa_cpu_count() >= 1);
#if defined(__x86_64__)
    assert_true(strlen(cpu->vendor) == 12);
    assert_false(cpu->neon);
    /* The compiler's runtime asks in its own way. */
    __builtin_cpu_init();
    assert_int_equal(cpu->avx2, __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(cpu->fma, __builtin_cpu_supports("fma") != 0);
    assert_int_equal(cpu->avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                      __builtin_cpu_supports("avx512vl") &&
                                      __builtin_cpu_supports("avx512dq"));
    assert_int_equal(cpu->avx512_vnni, __builtin_cpu_supports("avx512vnni") != 0);
#if !defined(__clang__)
    assert_int_equal(cpu->avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0);
#endif
    if (cpu->amx_int8 || cpu->amx_bf16) assert_true(cpu->amx_tile);
#elif defined(__aarch64__)
    assert_true(cpu->neon);
    assert_false(cpu->avx2);
    assert_int_equal(cpu->neon_dotprod, (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0);
    assert_int_equal(cpu->neon_i8mm, (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0);
    assert_int_equal(cpu->neon_bf16, (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0);
#endif
}

/* The count follows the affinity mask. */
static void cpu_count_heeds_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    if (sched_getaffinity(0, sizeof before, &before) != 0) skip();
    CPU_ZERO(&one);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &before)) cpu++;
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int count = mqa_cpu_count();
    sched_setaffinity(0, sizeof before, &before);
    assert_int_equal(count, 1);
    assert_true(mqa_cpu_count() <= CPU_COUNT(&before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_once),
        cmocka_unit_test(many_tiny_runs),
        cmocka_unit_test(two_threads_work_at_once),
        cmocka_unit_test(a_long_task_ends),
        cmocka_unit_test(pools_are_independent),
        cmocka_unit_test(refuses_bad_counts),
#if defined(__x86_64__) || defined(__aarch64__)
        cmocka_unit_test(arithmetic_does_not_depend_on_the_caller),
#endif
        cmocka_unit_test(works_on_the_hosts_threads),
        cmocka_unit_test(cpu_is_consistent),
        cmocka_unit_test(cpu_count_heeds_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
