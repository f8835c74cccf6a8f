/* What a work of `mqa bench attention` takes at best on this machine: the largest of three times.
 *
 *   bandwidth     K and V that somebody sees, read once, at the bandwidth of a working set of that size
 *   arithmetic    multiply-adds of Q.K and P.V, at the peak of the instruction that the recipe in force uses
 *   exponentials  one for each score, at the rate of the library's own polynomial in registers
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "bench_attention.h"
#include "roofline.h"

mqa_status attention_limit_measure(const attention_rig *rig, attention_limit *out, mqa_error *err)
{
    const attention_work *work = rig->work;
    const attention_counts counts = attention_work_count(work);
    const int threads = mqa_context_n_threads(rig->ctx);
    double scores_peak, pv_peak;
    attention_limit limit = {.bytes = counts.tokens * (double)mqa_cache_page_bytes(&rig->config) /
                                      rig->config.page_tokens};
    MQA_TRY(roofline_read(rig->ctx, threads, (size_t)limit.bytes, &limit.bandwidth, err));
    MQA_TRY(roofline_peak(rig->ctx, threads, work->k_type, ROOFLINE_SCORES, &scores_peak, err));
    MQA_TRY(roofline_peak(rig->ctx, threads, work->v_type, ROOFLINE_PV, &pv_peak, err));
    limit.exp_rate = roofline_exp(rig->ctx, threads);

    const double arithmetic = counts.scores_ops / scores_peak + counts.pv_ops / pv_peak;
    limit.peak = (counts.scores_ops + counts.pv_ops) / arithmetic;
    limit.seconds[BOUND_BANDWIDTH] = limit.bytes / limit.bandwidth;
    limit.seconds[BOUND_ARITHMETIC] = arithmetic;
    limit.seconds[BOUND_EXPONENTIALS] = counts.exps / limit.exp_rate;
    for (int i = 0; i < 3; i++)
        if (limit.seconds[i] > limit.seconds[limit.bound]) limit.bound = (attention_bound)i;
    limit.limit = limit.seconds[limit.bound];
    *out = limit;
    return MQA_OK;
}
