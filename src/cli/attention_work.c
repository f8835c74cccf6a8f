/* The works of `mqa bench attention`: what a command line leaves open, and what a work takes at least.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench_attention.h"

static int64_t smallest_context(const attention_work *work)
{
    int64_t smallest = work->context.at[0];
    for (int i = 1; i < work->context.n; i++)
        if (work->context.at[i] < smallest) smallest = work->context.at[i];
    return smallest;
}

int attention_work_complete(attention_work *work)
{
    if (work->requests == 0) work->requests = work->context.n;
    if (work->head_dim_vo == 0) work->head_dim_vo = work->head_dim_qk;
    if (work->heads % work->kv_heads != 0)
        return cli_error(CLI_USAGE, "%lld heads over %lld KV heads: give a multiple", (long long)work->heads,
                         (long long)work->kv_heads);
    if (work->requests < work->context.n)
        return cli_error(CLI_USAGE, "%d contexts for %lld requests: give one for each, or fewer",
                         work->context.n, (long long)work->requests);
    if (work->v_in_k && work->head_dim_vo > work->head_dim_qk)
        return cli_error(CLI_USAGE,
                         "V of %lld values in K of %lld: give a --head-dim-v of at most --head-dim",
                         (long long)work->head_dim_vo, (long long)work->head_dim_qk);
    if (work->v_in_k && work->v_type != work->k_type)
        return cli_error(CLI_USAGE, "V in K has K's format: give --kv-type for both");
    const int64_t least = smallest_context(work);
    if (work->queries > least)
        return cli_error(CLI_USAGE, "%lld queries in a context of %lld: give at most the context",
                         (long long)work->queries, (long long)least);
    if (work->shared > least)
        return cli_error(CLI_USAGE, "%lld shared tokens in a context of %lld: give at most the context",
                         (long long)work->shared, (long long)least);
    return CLI_GO_ON;
}

int64_t attention_work_context(const attention_work *work, int64_t request)
{
    return work->context.at[request % work->context.n];
}

int64_t attention_work_queries(const attention_work *work, int64_t request)
{
    return work->queries ? work->queries : attention_work_context(work, request);
}

int64_t attention_work_tokens(const attention_work *work)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < work->requests; i++) tokens += attention_work_queries(work, i);
    return tokens;
}

/* Keys seen by queries at the positions first .. last: position + 1 each, but no more than the window. */
static double keys_seen(int64_t first, int64_t last, int64_t window)
{
    int64_t whole = last; /* up to here the window changes nothing */
    if (window > 0 && window - 1 < whole) whole = window - 1;
    if (whole < first) whole = first - 1;
    const double growing = (double)(whole - first + 1), mean = 0.5 * ((double)first + (double)whole) + 1;
    return growing * mean + (double)(last - whole) * (double)window;
}

attention_counts attention_work_count(const attention_work *work)
{
    attention_counts counts = {0};
    int64_t first_shared = work->shared; /* the first of the shared tokens that any request sees */
    double pairs = 0;
    for (int64_t i = 0; i < work->requests; i++) {
        const int64_t end = attention_work_context(work, i), first = end - attention_work_queries(work, i);
        const int64_t begin = work->window > 0 && first + 1 > work->window ? first + 1 - work->window : 0;
        if (begin < first_shared) first_shared = begin;
        counts.tokens += (double)(end - (begin > work->shared ? begin : work->shared));
        pairs += keys_seen(first, end - 1, work->window);
    }
    counts.tokens += (double)(work->shared - first_shared);
    counts.exps = (double)work->heads * pairs;
    counts.scores_ops = 2.0 * (double)work->head_dim_qk * counts.exps;
    counts.pv_ops = 2.0 * (double)work->head_dim_vo * counts.exps;
    return counts;
}
