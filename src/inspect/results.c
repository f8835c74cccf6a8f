/* From sums to figures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect/layer.h"

/* The narrow ones one by one, then eight to a doubling; and every window. */
void mqa_buckets_make(const mqa_inspect_options *options, int64_t n_tokens, mqa_buckets *out)
{
    *out = (mqa_buckets){0};
    int64_t at = 0, step = 1;
    while (at < n_tokens && out->n < MQA_MAX_BUCKETS - 1) {
        out->at[out->n++] = at;
        int64_t next = at + step;
        if (at >= 16 * step) next = at + (step *= 2);
        for (int i = 0; i < options->n_windows; i++)
            if (options->windows[i] > at && options->windows[i] < next) next = options->windows[i];
        at = next;
    }
    out->at[out->n] = INT64_MAX;
    for (int i = 0; i < options->n_windows; i++) {
        out->window[i] = out->n;
        for (int b = out->n - 1; b >= 0 && out->at[b] >= options->windows[i]; b--) out->window[i] = b;
    }
}

/* The distance within which `share` of the mass lies, by straight lines within buckets. */
static double span_of(const mqa_inspector *in, const double *mass, double share)
{
    const mqa_buckets *buckets = &in->buckets;
    double all = 0, sum = 0;
    for (int b = 0; b < buckets->n; b++) all += mass[b];
    for (int b = 0; b < buckets->n; b++) {
        if (sum + mass[b] < share * all) {
            sum += mass[b];
            continue;
        }
        const int64_t end = buckets->at[b + 1] < in->n_tokens ? buckets->at[b + 1] : in->n_tokens;
        const double width = (double)(end - buckets->at[b]);
        const double part = mass[b] > 0 ? (share * all - sum) / mass[b] : 0;
        return (double)buckets->at[b] + (width > 1 ? part * width : 1);
    }
    return (double)in->n_tokens;
}

static double above_zero(double x)
{
    return x > 0 ? x : 0;
}

static void finish_head(const mqa_inspector *in, const double *sums, mqa_head_figures *out)
{
    const mqa_buckets *buckets = &in->buckets;
    const double *mass = sums + in->layout.buckets, n = (double)in->n_tokens;
    out->entropy = above_zero(-sums[MQA_SUM_PLOGP] / n);
    out->self = mass[0] / n;
    out->previous = buckets->n > 1 && buckets->at[1] == 1 ? mass[1] / n : 0;
    out->span50 = span_of(in, mass, 0.5);
    out->span90 = span_of(in, mass, 0.9);
    out->sinks = sums[MQA_SUM_SINKS] / n;
    for (int i = 0; i < in->options->n_windows; i++) {
        double lost = 0;
        for (int b = buckets->window[i]; b < buckets->n; b++) lost += mass[b];
        out->lost[i] = lost / n;
        out->lost_no_sinks[i] = above_zero((lost - sums[MQA_SUM_SINKS_LOST + i]) / n);
    }
}

static void finish_pairs(const mqa_inspector *in, const double *pairs, double *divergence, double *overlap)
{
    const int n_heads = in->model->hp.n_heads;
    for (int b = 0; b < n_heads; b++) {
        divergence[b * n_heads + b] = 0;
        overlap[b * n_heads + b] = 1;
        for (int a = 0; a < b; a++) {
            const double *pair = pairs + 2 * mqa_pair_index(a, b), n = (double)in->result->n_compared;
            divergence[a * n_heads + b] = divergence[b * n_heads + a] = n > 0 ? above_zero(pair[0] / n) : 0;
            overlap[a * n_heads + b] = overlap[b * n_heads + a] = n > 0 ? pair[1] / n : 1;
        }
    }
}

/* Sums over the queries of each document to means. */
static void finish_documents(const mqa_inspector *in)
{
    const mqa_inspect_options *o = in->options;
    const size_t n = (size_t)o->n_documents,
                 n_heads = (size_t)in->model->hp.n_heads * (size_t)in->model->hp.n_layers;
    for (size_t from = 0; from < n; from++) {
        const int64_t end = from + 1 < n ? o->documents[from + 1] : in->n_tokens;
        const double queries = (double)(end - o->documents[from]);
        for (size_t head = 0; head < n_heads; head++)
            for (size_t on = 0; on < n; on++) in->result->on_document[(head * n + from) * n + on] /= queries;
    }
}

void mqa_inspector_finish(const mqa_inspector *in)
{
    mqa_inspection *r = in->result;
    const size_t n_heads = (size_t)r->n_heads;
    r->n_compared = (in->n_tokens - 1) / r->options.compare_every;
    for (size_t layer = 0; layer < (size_t)r->n_layers; layer++) {
        const double *sums = in->sums + layer * in->layout.doubles;
        for (size_t head = 0; head < n_heads; head++)
            finish_head(in, sums + head * in->layout.head, &r->heads[layer * n_heads + head]);
        finish_pairs(in, sums + in->layout.pairs, r->divergence + layer * n_heads * n_heads,
                     r->overlap + layer * n_heads * n_heads);
    }
    if (r->on_document) finish_documents(in);
}
