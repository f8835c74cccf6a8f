/* SPDX-License-Identifier: Apache-2.0 */
#include "attention/results.h"

static int64_t state_index(const mqa_layer_run *layer, const mqa_query_row *row)
{
    return row->token * layer->plan->options.n_heads + row->head;
}

/* One group's states go where the caller wants them. */
static void emit_states(void *arg, int64_t group, mqa_row_states states)
{
    const mqa_block_rows *b = arg;
    const mqa_plan *plan = b->layer->plan;
    const mqa_states *to = b->layer->run->states;
    const int d_v = plan->cache->config.head_dim_vo;
    const int64_t first = (group - b->layer->first_group) * b->layer->n_tokens * plan->options.n_heads;
    for (int r = 0; r < b->n; r++) {
        const int64_t i = first + state_index(b->layer, &b->rows[r]);
        const float *o = states.o + (size_t)r * (size_t)MQA_PAD(d_v);
        to->m[i] = states.m[r];
        to->l[i] = mqa_one_nan(states.l[r]);
        for (int c = 0; c < d_v; c++) to->o[i * d_v + c] = mqa_one_nan(o[c]);
    }
}

/* A sink is a token of score `sink` and value 0, after all others. */
static void fold_sinks(const mqa_block_rows *b, mqa_row_states states, mqa_row_states free_buffer)
{
    const mqa_plan *plan = b->layer->plan;
    const int d_v = plan->cache->config.head_dim_vo;
    mqa_row_states_clear(free_buffer, b->n, d_v);
    for (int r = 0; r < b->n; r++) {
        free_buffer.m[r] = b->layer->run->sinks[b->rows[r].head];
        free_buffer.l[r] = 1.0f;
    }
    mqa_row_states_fold(plan->kernels, b->n, d_v, states, free_buffer);
}

mqa_fold mqa_results_begin(mqa_block_rows *b, const mqa_scratch *scratch)
{
    const mqa_plan *plan = b->layer->plan;
    mqa_fold fold =
        mqa_fold_begin(plan->kernels, b->n, plan->cache->config.head_dim_vo, scratch->group, scratch->total);
    const int block = mqa_cache_v_block(&plan->cache->config);
    if (block > 1) {
        fold.turn_back = plan->cache->ctx->kernels->rows.hadamard;
        fold.block = block;
    }
    if (b->layer->run->states) {
        fold.emit = emit_states;
        fold.emit_arg = b;
    }
    return fold;
}

void mqa_results_finish(const mqa_block_rows *b, mqa_fold *fold, const mqa_scratch *scratch)
{
    const mqa_run *run = b->layer->run;
    float *lse = run->lse ? scratch->lse : NULL;
    const mqa_row_states states = mqa_fold_end(fold);
    if (fold->emit) return;
    if (run->sinks) fold_sinks(b, states, fold->open_group);
    float *out[MQA_MAX_ROWS];
    for (int r = 0; r < b->n; r++)
        out[r] = run->out + (size_t)b->rows[r].token * run->out_stride_token +
                 (size_t)b->rows[r].head * run->out_stride_head;
    fold->kernels->finish(b->n, fold->d_v, states.m, states.l, states.o, out, lse);
    for (int r = 0; lse && r < b->n; r++) run->lse[state_index(b->layer, &b->rows[r])] = lse[r];
}
