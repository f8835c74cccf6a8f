/* Bandwidth as steps of decoding reach it, by how much they read: weights and K and V have each their place
 * and come in turn, and where they don't fit into the CPU's cache together they drive each other out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "calibrate.h"
#include "kernels/constants.h"

enum { HEADS = 6, KV_HEADS = 2, HEAD_DIM = 128, FF = 1536, VOCAB = 64, MOST_LAYERS = 64 };

/* A model whose weights are about half of the working set, and a context whose K and V are the rest. */
typedef struct stream {
    calibrate_shape shape;
    calibrate_step step;
    double bytes; /* that a step reads */
} stream;

static mqa_status make_stream(const mqa_machine *m, double bytes, stream *s, mqa_error *err)
{
    mqa_times t;
    s->shape = (calibrate_shape){.layers = 1,
                                 .embd = HEADS * HEAD_DIM,
                                 .ff = FF,
                                 .heads = HEADS,
                                 .kv_heads = KV_HEADS,
                                 .head_dim = HEAD_DIM,
                                 .vocab = VOCAB,
                                 .type = MQA_GGUF_Q8_0};
    s->step = (calibrate_step){.requests = 1, .depth = MQA_GRANULE - 1, .n_tokens = 1};
    MQA_TRY(calibrate_forecast(m, &s->shape, &s->step, &t, err));
    const double layer = t.weight_bytes, token = t.kv_bytes / MQA_GRANULE;
    s->shape.layers = (int)fmin(fmax(round(bytes / 2 / layer), 1), MOST_LAYERS);
    const double tokens = (bytes / s->shape.layers - layer) / token;
    s->step.depth = (int64_t)fmax(tokens, MQA_GRANULE) - 1;
    MQA_TRY(calibrate_forecast(m, &s->shape, &s->step, &t, err));
    s->bytes = t.weight_bytes + t.kv_bytes;
    return MQA_OK;
}

/* The share of caches[i], up to 1, by which a step takes so long while memory gives so much. */
static mqa_status find_share(const stream *s, const mqa_machine *m, int i, double bandwidth, double seconds,
                             double *out, mqa_error *err)
{
    enum { HALVINGS = 30 };
    double low = 0.05, high = 1;
    for (int n = 0; n < HALVINGS; n++) {
        mqa_machine with = *m;
        mqa_times t;
        *out = 0.5 * (low + high);
        with.caches[i].bytes = s->bytes;
        with.caches[i].rate = bandwidth;
        with.caches[i].share = *out;
        with.n_caches = i + 1;
        MQA_TRY(calibrate_forecast(&with, &s->shape, &s->step, &t, err));
        *(t.seconds > seconds ? &low : &high) = *out;
    }
    return MQA_OK;
}

mqa_status calibrate_streams(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    for (int i = 0; i < m->n_caches; i++) {
        if (m->caches[i].bytes <= m->curve_bytes) continue; /* shares of arithmetic were measured there */
        stream s = {.bytes = 0};
        double before, after, seconds;
        MQA_TRY(make_stream(m, m->caches[i].bytes, &s, err));
        MQA_TRY(calibrate_bandwidth(ctx, s.bytes, &before, err));
        MQA_TRY(calibrate_session(ctx, &s.shape, &s.step, &seconds, err));
        MQA_TRY(calibrate_bandwidth(ctx, s.bytes, &after, err));
        MQA_TRY(find_share(&s, m, i, 0.5 * (before + after), seconds, &m->caches[i].share, err));
    }
    return MQA_OK;
}
