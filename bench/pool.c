/* Our thread pool beside pthreadpool, on steps of a few microseconds. Not part of the build:
 *
 *     apt-get install libpthreadpool-dev
 *     gcc -O2 -std=gnu17 -D_GNU_SOURCE -Iinclude -Isrc bench/pool.c src/base/threads.c src/base/cpu_count.c \
 *         src/base/status.c -o /tmp/pool -lpthreadpool -lpthread && /tmp/pool 2
 *
 * A step is one run over n_tasks tasks that each take step/n_tasks of one thread's time, so an ideal pool
 * of n threads takes step/n. `gap` is serial work between two steps. Prints the median, the mean and
 * the 99th percentile of the time of a step, pools in turn within each round so that both meet the same
 * neighbours.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthreadpool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/threads.h"

enum { ROUNDS = 10, STEPS = 200, POOLS = 3 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static volatile double sink;
static double loops_per_ns;

static void burn(double ns)
{
    double x = 1;
    for (int64_t i = 0, n = (int64_t)(ns * loops_per_ns); i < n; i++) x = x * 0.999 + 1e-9;
    sink = x;
}

static void calibrate(void)
{
    loops_per_ns = 1;
    double best = 1e30;
    for (int i = 0; i < 50; i++) {
        int64_t start = now_ns();
        burn(100000);
        double took = (double)(now_ns() - start);
        if (took < best) best = took;
    }
    loops_per_ns = 100000 / best;
}

static void our_task(void *arg, int task, int worker)
{
    (void)task;
    (void)worker;
    burn(*(double *)arg);
}

static void their_task(void *arg, size_t task)
{
    (void)task;
    burn(*(double *)arg);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int n_threads = argc > 1 ? atoi(argv[1]) : mqa_cpu_count();
    static const char *const names[POOLS] = {"ours", "pthreadpool", "one thread"};
    static const double steps_us[] = {5, 20, 100}, gaps_us[] = {0, 5, 200};
    setvbuf(stdout, NULL, _IOLBF, 0);
    calibrate();
    mqa_pool *ours = NULL;
    pthreadpool_t theirs = pthreadpool_create((size_t)n_threads);
    if (mqa_pool_create(n_threads, &ours, NULL) != MQA_OK || !theirs) return 1;
    printf("%d threads; microseconds a step: median, mean, 99th percentile\n", n_threads);
    for (int s = 0; s < 3; s++) {
        for (int g = 0; g < 3; g++) {
            static double took[POOLS][ROUNDS * STEPS];
            int n_tasks = 2 * n_threads;
            double task_ns = steps_us[s] * 1000 / n_tasks;
            for (int round = 0; round < ROUNDS; round++)
                for (int p = 0; p < POOLS; p++)
                    for (int i = 0; i < STEPS; i++) {
                        burn(gaps_us[g] * 1000);
                        int64_t start = now_ns();
                        if (p == 0) mqa_pool_run(ours, our_task, &task_ns, n_tasks);
                        if (p == 1)
                            pthreadpool_parallelize_1d(theirs, their_task, &task_ns, (size_t)n_tasks, 0);
                        if (p == 2) burn(steps_us[s] * 1000);
                        took[p][round * STEPS + i] = (double)(now_ns() - start) / 1000;
                    }
            for (int p = 0; p < POOLS; p++) {
                int n = ROUNDS * STEPS;
                double sum = 0;
                for (int k = 0; k < n; k++) sum += took[p][k];
                qsort(took[p], (size_t)n, sizeof **took, ascending);
                printf("step %5.0f us, gap %3.0f us  %-12s %8.2f %8.2f %8.2f\n", steps_us[s], gaps_us[g],
                       names[p], took[p][n / 2], sum / n, took[p][n * 99 / 100]);
            }
        }
    }
    pthreadpool_destroy(theirs);
    mqa_pool_destroy(&ours);
    return 0;
}
