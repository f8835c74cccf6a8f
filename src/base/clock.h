/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_BASE_CLOCK_H
#define MQA_BASE_CLOCK_H

#include <sys/resource.h>
#include <time.h>

/* Seconds of a steady clock. */
static inline double mqa_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* How often others took a CPU from one of the process's threads that had work to do: what is timed between
 * two equal counts had its CPUs for itself. */
static inline long mqa_interruptions(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nivcsw;
}

#endif
