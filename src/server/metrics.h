/* Figures for Prometheus (its text format, version 0.0.4): counters and histograms that are kept here, and
 * whatever the caller knows at the moment.
 *
 * Threads: any, at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_METRICS_H
#define MQA_SERVER_METRICS_H

#include <stdint.h>

#include "mqa/tokenizer.h"

typedef struct mqa_metrics mqa_metrics;

mqa_status mqa_metrics_create(mqa_metrics **out, mqa_error *err);
void mqa_metrics_destroy(mqa_metrics **metrics);

typedef enum mqa_count {
    MQA_COUNT_ANSWERED,      /* requests that got their whole answer */
    MQA_COUNT_CANCELLED,     /* whose client left */
    MQA_COUNT_FAILED,        /* by a fault of ours */
    MQA_COUNT_REFUSED_INPUT, /* 4xx: what was asked is wrong */
    MQA_COUNT_REFUSED_KEY,
    MQA_COUNT_REFUSED_BUDGET, /* can never fit, or didn't in time */
    MQA_COUNT_REFUSED_RATE,   /* tokens a minute */
    MQA_COUNT_PROMPT_TOKENS,
    MQA_COUNT_CACHED_TOKENS,
    MQA_COUNT_GENERATED_TOKENS,
    MQA_COUNTS
} mqa_count;
void mqa_metrics_add(mqa_metrics *metrics, mqa_count count, int64_t n);

typedef enum mqa_timing {
    MQA_TIMING_QUEUED,      /* from arrival to the first step with it */
    MQA_TIMING_FIRST_TOKEN, /* from arrival */
    MQA_TIMING_NEXT_TOKEN,  /* from the token before */
    MQA_TIMING_WHOLE,
    MQA_TIMINGS
} mqa_timing;
void mqa_metrics_time(mqa_metrics *metrics, mqa_timing timing, double seconds);

/* All of them, appended to out. */
mqa_status mqa_metrics_render(mqa_metrics *metrics, mqa_text *out, mqa_error *err);

/* One more, of the caller: "mqa_NAME{LABEL="VALUE"} FIGURE". label NULL: none. The value is escaped. help:
 * NULL where the same name was written just before. */
mqa_status mqa_metrics_gauge(mqa_text *out, const char *name, const char *help, const char *label,
                             const char *value, double figure, mqa_error *err);

#endif
