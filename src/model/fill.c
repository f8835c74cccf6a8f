/* Sequences filled with made-up K and V.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdatomic.h>

#include "model/session.h"

enum { TOKENS = 256 }; /* at a time */

/* One layer's tokens [position, position + n_tokens). */
typedef struct fill_job {
    const mqa_session_kind *kind;
    mqa_sequence *sequence;
    const float *values; /* [TOKENS][n_kv_heads][head_dim] and one for each layer more: layers differ */
    int64_t position, n_tokens;
    atomic_int failed;
} fill_job;

static void fill_layer(void *arg, int layer, int worker)
{
    (void)worker;
    fill_job *job = arg;
    const mqa_cache_config *config = &job->kind->config;
    const size_t head = (size_t)config->head_dim_qk, head_v = (size_t)config->head_dim_vo;
    const size_t kv_heads = (size_t)config->n_kv_heads;
    const float *values = job->values + layer;
    if (mqa_sequence_write(job->sequence, layer, job->position, job->n_tokens, values, kv_heads * head, head,
                           values, kv_heads * head_v, head_v, NULL) != MQA_OK)
        atomic_store(&job->failed, 1);
}

static mqa_status fill_kind(const mqa_session *s, const mqa_session_kind *kind, mqa_sequence *sequence,
                            const float *values, int64_t n_tokens, mqa_error *err)
{
    fill_job job = {.kind = kind, .sequence = sequence, .values = values};
    for (int64_t done = 0; done < n_tokens; done += job.n_tokens) {
        job.position = mqa_sequence_length(sequence);
        job.n_tokens = n_tokens - done < TOKENS ? n_tokens - done : TOKENS;
        MQA_TRY(mqa_sequence_extend(sequence, job.n_tokens, err));
        mqa_pool_run(s->model->ctx->pool, fill_layer, &job, kind->config.n_layers);
        if (atomic_load(&job.failed))
            return mqa_fail(err, MQA_ERR_INTERNAL, "fill: made-up K and V could not be written");
    }
    return MQA_OK;
}

/* An xorshift's numbers in [-1, 1). */
static void make_up(float *x, size_t n)
{
    uint32_t state = 2463534242u;
    for (size_t i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

mqa_status mqa_session_fill(mqa_session *s, int sequence, int64_t n_tokens, mqa_error *err)
{
    if (!s || sequence < 0 || sequence >= s->options.max_sequences || n_tokens < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "fill: there is no sequence %d", sequence);
    if (n_tokens > s->options.context - mqa_session_length(s, sequence))
        return mqa_fail(err, MQA_ERR_BUDGET, "fill: %lld tokens more exceed the context of %lld",
                        (long long)n_tokens, (long long)s->options.context);
    const mqa_hparams *hp = &s->model->hp;
    const mqa_allocator *a = s->model->ctx->allocator;
    const size_t n = (size_t)TOKENS * (size_t)hp->n_kv_heads * (size_t)hp->head_dim + (size_t)hp->n_layers;
    float *values = mqa_alloc_array(a, n, sizeof *values);
    if (!values) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to fill a sequence from");
    make_up(values, n);
    mqa_status status = MQA_OK;
    for (int k = 0; status == MQA_OK && k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache)
            status = fill_kind(s, &s->kind[k], s->kind[k].sequences[sequence], values, n_tokens, err);
    mqa_release(a, values, n * sizeof *values);
    return status;
}
