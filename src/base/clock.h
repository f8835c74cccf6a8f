/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_BASE_CLOCK_H
#define MQA_BASE_CLOCK_H

#include <time.h>

/* Seconds of a steady clock. */
static inline double mqa_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
