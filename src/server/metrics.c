/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tokenizer/array.h"

/* Upper ends of a histogram's buckets, in seconds: 1, 2, 5 of each decade from a millisecond to minutes. */
static const double ends[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5,
                              1,     2,     5,     10,   20,   50,   100, 200, 500};
enum { BUCKETS = sizeof ends / sizeof ends[0] };

typedef struct histogram {
    uint64_t in[BUCKETS + 1]; /* the last: above all ends */
    double sum;
} histogram;

struct mqa_metrics {
    pthread_mutex_t lock;
    int64_t counts[MQA_COUNTS];
    histogram timings[MQA_TIMINGS];
};

/* Of the same metric where the name is the same: label and value tell them apart. */
static const struct {
    const char *name, *help, *label;
} counts[MQA_COUNTS] = {
    [MQA_COUNT_ANSWERED] = {"requests_total", "Requests by how they ended.", "outcome=\"answered\""},
    [MQA_COUNT_CANCELLED] = {"requests_total", NULL, "outcome=\"cancelled\""},
    [MQA_COUNT_FAILED] = {"requests_total", NULL, "outcome=\"failed\""},
    [MQA_COUNT_REFUSED_INPUT] = {"requests_total", NULL, "outcome=\"refused_input\""},
    [MQA_COUNT_REFUSED_KEY] = {"requests_total", NULL, "outcome=\"refused_key\""},
    [MQA_COUNT_REFUSED_BUDGET] = {"requests_total", NULL, "outcome=\"refused_budget\""},
    [MQA_COUNT_REFUSED_RATE] = {"requests_total", NULL, "outcome=\"refused_rate\""},
    [MQA_COUNT_PROMPT_TOKENS] = {"tokens_total", "Tokens by what they were.", "kind=\"prompt\""},
    [MQA_COUNT_CACHED_TOKENS] = {"tokens_total", NULL, "kind=\"cached\""},
    [MQA_COUNT_GENERATED_TOKENS] = {"tokens_total", NULL, "kind=\"generated\""},
};

static const struct {
    const char *name, *help;
} timings[MQA_TIMINGS] = {
    [MQA_TIMING_QUEUED] = {"queue_seconds", "From a request's arrival to its first step."},
    [MQA_TIMING_FIRST_TOKEN] = {"first_token_seconds", "From a request's arrival to its first token."},
    [MQA_TIMING_NEXT_TOKEN] = {"inter_token_seconds", "From a token to the next of the same answer."},
    [MQA_TIMING_WHOLE] = {"request_seconds", "From a request's arrival to its answer's end."},
};

mqa_status mqa_metrics_create(mqa_metrics **out, mqa_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for metrics");
    pthread_mutex_init(&(*out)->lock, NULL);
    return MQA_OK;
}

void mqa_metrics_destroy(mqa_metrics **metrics)
{
    if (!metrics || !*metrics) return;
    pthread_mutex_destroy(&(*metrics)->lock);
    free(*metrics);
    *metrics = NULL;
}

void mqa_metrics_add(mqa_metrics *m, mqa_count count, int64_t n)
{
    pthread_mutex_lock(&m->lock);
    m->counts[count] += n;
    pthread_mutex_unlock(&m->lock);
}

void mqa_metrics_time(mqa_metrics *m, mqa_timing timing, double seconds)
{
    int i = 0;
    while (i < BUCKETS && seconds > ends[i]) i++;
    pthread_mutex_lock(&m->lock);
    m->timings[timing].in[i]++;
    m->timings[timing].sum += seconds;
    pthread_mutex_unlock(&m->lock);
}

__attribute__((format(printf, 3, 4))) static mqa_status line(mqa_text *out, mqa_error *err, const char *fmt,
                                                             ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return mqa_text_append(out, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, err);
}

static mqa_status heading(mqa_text *out, const char *name, const char *help, const char *type, mqa_error *err)
{
    return help ? line(out, err, "# HELP mqa_%s %s\n# TYPE mqa_%s %s\n", name, help, name, type) : MQA_OK;
}

static mqa_status render_timing(mqa_text *out, int which, const histogram *h, mqa_error *err)
{
    const char *name = timings[which].name;
    uint64_t so_far = 0;
    MQA_TRY(heading(out, name, timings[which].help, "histogram", err));
    for (int i = 0; i < BUCKETS; i++) {
        so_far += h->in[i];
        MQA_TRY(line(out, err, "mqa_%s_bucket{le=\"%g\"} %llu\n", name, ends[i], (unsigned long long)so_far));
    }
    so_far += h->in[BUCKETS];
    return line(out, err, "mqa_%s_bucket{le=\"+Inf\"} %llu\nmqa_%s_sum %.6f\nmqa_%s_count %llu\n", name,
                (unsigned long long)so_far, name, h->sum, name, (unsigned long long)so_far);
}

mqa_status mqa_metrics_render(mqa_metrics *m, mqa_text *out, mqa_error *err)
{
    int64_t count[MQA_COUNTS];
    histogram timing[MQA_TIMINGS];
    pthread_mutex_lock(&m->lock);
    memcpy(count, m->counts, sizeof count);
    memcpy(timing, m->timings, sizeof timing);
    pthread_mutex_unlock(&m->lock);
    for (int i = 0; i < MQA_COUNTS; i++) {
        MQA_TRY(heading(out, counts[i].name, counts[i].help, "counter", err));
        MQA_TRY(line(out, err, "mqa_%s{%s} %lld\n", counts[i].name, counts[i].label, (long long)count[i]));
    }
    for (int i = 0; i < MQA_TIMINGS; i++) MQA_TRY(render_timing(out, i, &timing[i], err));
    return MQA_OK;
}

mqa_status mqa_metrics_gauge(mqa_text *out, const char *name, const char *help, const char *label,
                             const char *value, double figure, mqa_error *err)
{
    MQA_TRY(heading(out, name, help, "gauge", err));
    MQA_TRY(line(out, err, "mqa_%s", name));
    if (label) {
        MQA_TRY(line(out, err, "{%s=\"", label));
        for (const char *c = value; *c; c++) {
            const char *escaped = *c == '\\' ? "\\\\" : *c == '"' ? "\\\"" : *c == '\n' ? "\\n" : NULL;
            MQA_TRY(mqa_text_append(out, escaped ? escaped : c, escaped ? 2 : 1, err));
        }
        MQA_TRY(line(out, err, "\"}"));
    }
    return line(out, err, " %.17g\n", figure);
}
