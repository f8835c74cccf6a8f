/* What `mqa bench attention` times, in four steps: a work, the rig that it is run on, what it costs at best,
 * and what is printed of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_BENCH_ATTENTION_H
#define MQA_CLI_BENCH_ATTENTION_H

#include "bench.h"
#include "mqa/attention.h"

/* One layer's attention for a batch of requests. All of them begin with the same `shared` tokens, whose pages
 * they share; request i has context.at[i % context.n] tokens, those included, and its last ones ask. */
typedef struct attention_work {
    int64_t heads, kv_heads, head_dim_qk, head_dim_vo;
    bool v_in_k;
    mqa_kv_type k_type, v_type;
    bool hadamard; /* K and V stored transformed, as sessions do in int8 and int4 */
    cli_list context;
    int64_t requests;
    int64_t queries; /* of each request; 0: all its tokens ask, a prompt from its beginning */
    int64_t shared;
    int64_t window; /* keys that a query sees, itself included; 0: all */
} attention_work;

/* Fills in what the command line left open: 0 means "as the others". CLI_GO_ON, or an exit code. */
int attention_work_complete(attention_work *work);
int64_t attention_work_context(const attention_work *work, int64_t request);
int64_t attention_work_queries(const attention_work *work, int64_t request);
int64_t attention_work_tokens(const attention_work *work); /* that ask, all requests together */

/* What the work takes at least. An operation is a multiplication or an addition of Q.K or P.V, counted as if
 * values were numbers: an int8 dot product in two digits counts once. */
typedef struct attention_counts {
    double tokens; /* of K and V that somebody sees, each once however many see it */
    double scores_ops, pv_ops;
    double exps;
} attention_counts;
attention_counts attention_work_count(const attention_work *work);

/* ---- the rig: caches full of random K and V, a plan, queries ----
 *
 * Random data are streams of bench_fill_at, so that others can be given the same:
 *   stream 0         q of the tokens that ask [token][head][head_dim_qk], request after request
 *   stream 2 j + 1   K of sequence j, [token][kv_head][head_dim_qk] from the text's beginning on
 *   stream 2 j + 2   V of sequence j, [token][kv_head][head_dim_vo]
 * Sequence j is request j's, from the end of the shared tokens on; those are sequence `requests`. */
typedef struct attention_rig {
    const attention_work *work;
    mqa_context *ctx;
    mqa_cache_config config;
    mqa_cache *cache;
    mqa_sequence *prefix, **sequences; /* [requests] */
    mqa_plan_item *items;              /* [requests] */
    mqa_plan *plan;
    float *q, *out, *token; /* token: one token's K and V */
    size_t n_out;
} attention_rig;

/* A rig from zeroes: ctx and work stay the caller's. What was made before an error is still to be cleared. */
mqa_status attention_rig_make(attention_rig *rig, mqa_error *err);
void attention_rig_clear(attention_rig *rig);

/* Each gives the seconds from its call to its return. */
mqa_status attention_rig_run(attention_rig *rig, double *seconds, mqa_error *err);  /* the plan reused */
mqa_status attention_rig_plan(attention_rig *rig, double *seconds, mqa_error *err); /* the batch anew */
/* One token more for each request, which is taken back: room for it, and packing its K and V. The batch has
 * to be planned anew. */
mqa_status attention_rig_append(attention_rig *rig, double *seconds, mqa_error *err);

/* ---- the limit ---- */

typedef enum attention_bound { BOUND_BANDWIDTH, BOUND_ARITHMETIC, BOUND_EXPONENTIALS } attention_bound;

/* Seconds that each thing takes alone, on all the context's threads, at rates measured just now
 * (roofline.h). The limit is the largest. */
typedef struct attention_limit {
    double bytes, bandwidth; /* bytes a second for a working set of `bytes` */
    double peak;             /* operations a second: that of scores and of P.V, as the work mixes them */
    double exp_rate;
    double seconds[3]; /* by attention_bound */
    attention_bound bound;
    double limit;
} attention_limit;
mqa_status attention_limit_measure(const attention_rig *rig, attention_limit *out, mqa_error *err);

/* ---- the report ---- */

typedef struct attention_times {
    double median, best;
    double plan, append; /* medians; append: all requests' tokens */
    int runs;
} attention_times;
void attention_report(const attention_rig *rig, const attention_times *times, const attention_limit *limit,
                      bool json);

#endif
