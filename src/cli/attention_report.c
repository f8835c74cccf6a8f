/* What `mqa bench attention` prints.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "bench_attention.h"

static const char *const bound_names[] = {"bandwidth", "arithmetic", "exponentials"};

/* The same fields in both outputs. */
typedef struct figures {
    char type[32];
    long long context; /* the longest */
    long long queries; /* the most that one request has */
    double ops;
} figures;

static figures figures_of(const attention_work *work)
{
    figures f = {0};
    const char *k = mqa_kv_type_name(work->k_type), *v = mqa_kv_type_name(work->v_type);
    snprintf(f.type, sizeof f.type, work->k_type == work->v_type ? "%s" : "%s/%s", k, v);
    for (int64_t i = 0; i < work->context.n; i++) {
        if (work->context.at[i] > f.context) f.context = work->context.at[i];
        if (attention_work_queries(work, i) > f.queries) f.queries = attention_work_queries(work, i);
    }
    const attention_counts counts = attention_work_count(work);
    f.ops = counts.scores_ops + counts.pv_ops;
    return f;
}

static json_t *work_json(const attention_rig *rig, const figures *f)
{
    const attention_work *work = rig->work;
    json_t *contexts = json_array();
    for (int i = 0; i < work->context.n; i++)
        json_array_append_new(contexts, json_integer(work->context.at[i]));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:o, s:I, s:I, s:I, s:I, s:s, s:i, s:s, s:s, s:s}",
                     "bench", "attention", "heads", (json_int_t)work->heads, "kv_heads",
                     (json_int_t)work->kv_heads, "head_dim", (json_int_t)work->head_dim_qk, "head_dim_v",
                     (json_int_t)work->head_dim_vo, "v_in_k", (int)work->v_in_k, "context",
                     (json_int_t)f->context, "contexts", contexts, "requests", (json_int_t)work->requests,
                     "shared", (json_int_t)work->shared, "queries", (json_int_t)f->queries, "window",
                     (json_int_t)work->window, "kv_type", f->type, "threads", mqa_context_n_threads(rig->ctx),
                     "isa", mqa_isa_name(mqa_context_isa(rig->ctx)), "numerics",
                     mqa_context_numerics(rig->ctx) == MQA_NUMERICS_PORTABLE ? "portable" : "fast", "recipe",
                     mqa_plan_recipe(rig->plan));
}

static void print_json(const attention_rig *rig, const attention_times *t, const attention_limit *limit,
                       const figures *f)
{
    json_t *o = work_json(rig, f);
    json_t *measured = json_pack(
        "{s:f, s:f, s:i, s:f, s:f, s:f, s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "ms",
        t->median * 1e3, "ms_best", t->best * 1e3, "repetitions", t->runs, "gflops",
        f->ops / t->median * 1e-9, "gbps", limit->bytes / t->median * 1e-9, "limit_ms", limit->limit * 1e3,
        "of_limit", limit->limit / t->median, "bound", bound_names[limit->bound], "bandwidth_ms",
        limit->seconds[BOUND_BANDWIDTH] * 1e3, "arithmetic_ms", limit->seconds[BOUND_ARITHMETIC] * 1e3,
        "exponentials_ms", limit->seconds[BOUND_EXPONENTIALS] * 1e3, "bytes", limit->bytes, "ops", f->ops,
        "limit_gbps", limit->bandwidth * 1e-9, "limit_gflops", limit->peak * 1e-9, "limit_gexps",
        limit->exp_rate * 1e-9, "plan_ms", t->plan * 1e3, "append_ms", t->append * 1e3);
    if (o && measured) json_object_update(o, measured);
    json_decref(measured);
    cli_print_json(o);
}

static void print_text(const attention_rig *rig, const attention_times *t, const attention_limit *limit,
                       const figures *f)
{
    const attention_work *work = rig->work;
    printf("%lld heads : %lld KV heads, head dims %lld and %lld%s, context %s%lld, %lld queries",
           (long long)work->heads, (long long)work->kv_heads, (long long)work->head_dim_qk,
           (long long)work->head_dim_vo, work->v_in_k ? " (V in K)" : "", work->context.n > 1 ? "up to " : "",
           f->context, f->queries);
    if (work->window) printf(", window %lld", (long long)work->window);
    if (work->requests > 1)
        printf(", %lld requests, %lld tokens shared", (long long)work->requests, (long long)work->shared);
    printf(", %s, %d threads, %s\n", f->type, mqa_context_n_threads(rig->ctx), mqa_plan_recipe(rig->plan));
    printf("  %.4f ms (best %.4f of %d), %.1f GFLOP/s, %.1f GB/s\n", t->median * 1e3, t->best * 1e3, t->runs,
           f->ops / t->median * 1e-9, limit->bytes / t->median * 1e-9);
    printf("  limit %.4f ms by %s: %.0f %% of the limit's speed\n", limit->limit * 1e3,
           bound_names[limit->bound], 100 * limit->limit / t->median);
    printf("    bandwidth    %10.4f ms  %s at %.1f GB/s\n", limit->seconds[BOUND_BANDWIDTH] * 1e3,
           cli_bytes(limit->bytes), limit->bandwidth * 1e-9);
    printf("    arithmetic   %10.4f ms  %.3g GFLOP at %.1f GFLOP/s\n", limit->seconds[BOUND_ARITHMETIC] * 1e3,
           f->ops * 1e-9, limit->peak * 1e-9);
    printf("    exponentials %10.4f ms  %.3g million at %.2f thousand million a second\n",
           limit->seconds[BOUND_EXPONENTIALS] * 1e3, attention_work_count(work).exps * 1e-6,
           limit->exp_rate * 1e-9);
    printf("  plan %.4f ms, append of a token%s %.4f ms (%.2f %%)\n", t->plan * 1e3,
           work->requests > 1 ? " each" : "", t->append * 1e3, 100 * t->append / t->median);
}

void attention_report(const attention_rig *rig, const attention_times *times, const attention_limit *limit,
                      bool json)
{
    const figures f = figures_of(rig->work);
    (json ? print_json : print_text)(rig, times, limit, &f);
}
