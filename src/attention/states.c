/* Partial states in the caller's arrays: merging and finishing them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "attention/fold.h"
#include "base/fpenv.h"
#include "base/status.h"
#include "kernels/constants.h"
#include "kernels/context.h"
#include "mqa/attention.h"

static mqa_status check(const mqa_context *ctx, int64_t n_rows, int head_dim_vo, const mqa_states *states,
                        mqa_error *err)
{
    if (!ctx || n_rows < 0 || head_dim_vo < 1 || head_dim_vo > MQA_MAX_HEAD_DIM)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "states of %lld rows, head_dim_vo %d: out of range, or ctx is NULL",
                        (long long)n_rows, head_dim_vo);
    if (!states->m || !states->l || !states->o)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "states: m, l or o is NULL");
    return MQA_OK;
}

/* The kernels want o padded: rows go through a buffer, one at a time. */
typedef struct padded_row {
    _Alignas(MQA_CACHE_LINE) float o[MQA_PAD(MQA_MAX_HEAD_DIM)];
} padded_row;

static void load_row(mqa_states states, int64_t row, int d_v, padded_row *to)
{
    memset(to->o + d_v, 0, (size_t)(MQA_PAD(d_v) - d_v) * sizeof(float));
    memcpy(to->o, states.o + row * d_v, (size_t)d_v * sizeof(float));
}

mqa_status mqa_merge_states(const mqa_context *ctx, int64_t n_rows, int head_dim_vo, mqa_states into,
                            mqa_states next, mqa_error *err)
{
    MQA_TRY(check(ctx, n_rows, head_dim_vo, &into, err));
    MQA_TRY(check(ctx, n_rows, head_dim_vo, &next, err));
    const mqa_attention_kernels *kernels = mqa_context_attention(ctx);
    const mqa_fpenv saved = mqa_fpenv_enter();
    for (int64_t r = 0; r < n_rows; r++) {
        padded_row a, b;
        load_row(into, r, head_dim_vo, &a);
        load_row(next, r, head_dim_vo, &b);
        kernels->fold(1, head_dim_vo, &into.m[r], &into.l[r], a.o, &next.m[r], &next.l[r], b.o);
        into.l[r] = mqa_one_nan(into.l[r]);
        for (int c = 0; c < head_dim_vo; c++) into.o[r * head_dim_vo + c] = mqa_one_nan(a.o[c]);
    }
    mqa_fpenv_leave(saved);
    return MQA_OK;
}

mqa_status mqa_states_finish(const mqa_context *ctx, int64_t n_rows, int head_dim_vo, mqa_states states,
                             const float *sinks, float *out, size_t out_stride, float *lse, mqa_error *err)
{
    MQA_TRY(check(ctx, n_rows, head_dim_vo, &states, err));
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_states_finish: out is NULL");
    for (int64_t r = 0; sinks && r < n_rows; r++)
        if (!isfinite(sinks[r]))
            return mqa_fail(err, MQA_ERR_NOT_FINITE, "mqa_states_finish: the sink of row %lld is not finite",
                            (long long)r);
    const mqa_attention_kernels *kernels = mqa_context_attention(ctx);
    const mqa_fpenv saved = mqa_fpenv_enter();
    for (int64_t r = 0; r < n_rows; r++) {
        padded_row o;
        float m = states.m[r], l = states.l[r];
        load_row(states, r, head_dim_vo, &o);
        if (sinks) {
            const padded_row none = {{0}};
            const float one = 1.0f;
            kernels->fold(1, head_dim_vo, &m, &l, o.o, &sinks[r], &one, none.o);
        }
        float *to = out + (size_t)r * out_stride;
        kernels->finish(1, head_dim_vo, &m, &l, o.o, &to, lse ? &lse[r] : NULL);
    }
    mqa_fpenv_leave(saved);
    return MQA_OK;
}
