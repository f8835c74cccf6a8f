/* What steps, layers and rows cost besides products: threads' meetings, norms, RoPE, packing K and V. From
 * sessions of models made up in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/memory.h"
#include "calibrate.h"

/* Models so narrow that their products don't count, of one layer and of many. */
static mqa_status measure_layers(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    enum { MANY = 49 };
    calibrate_shape shape = {.layers = 1,
                             .embd = 64,
                             .ff = 64,
                             .heads = 1,
                             .kv_heads = 1,
                             .head_dim = 64,
                             .vocab = 64,
                             .type = MQA_GGUF_Q8_0};
    static const calibrate_step step = {.requests = 1, .depth = 48, .n_tokens = 1};
    double one, many;
    MQA_TRY(calibrate_session(ctx, &shape, &step, &one, err));
    shape.layers = MANY;
    MQA_TRY(calibrate_session(ctx, &shape, &step, &many, err));
    m->seconds_per_layer = many > one ? (many - one) / (MANY - 1) : 0;
    m->seconds_per_step = one > m->seconds_per_layer ? one - m->seconds_per_layer : 0;
    return MQA_OK;
}

/* One row through narrow matrices, beside what their bytes account for: large ones in huge pages, whose
 * streams are short; and small ones. */
static mqa_status measure_streams(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    enum { EMBD = 640, FEW = 1024, MANY = 16384, GRANULE = 64, PAGE = 4096 };
    static const int one = 1;
    double extra[2];
    calibrate_ff sizes[2] = {{.type = MQA_GGUF_Q8_0, .embd = EMBD, .ff = MANY},
                             {.type = MQA_GGUF_Q8_0, .embd = EMBD, .ff = FEW}};
    const mqa_weight_class c = mqa_weight_class_of(MQA_GGUF_Q8_0);
    for (int i = 0; i < 2; i++) {
        double seconds;
        MQA_TRY(calibrate_feed_forward(ctx, &sizes[i], &one, 1, &seconds, err));
        const mqa_curve *curve = &m->linear[c];
        const double bytes = sizes[i].layer_bytes, cached = mqa_machine_bandwidth(m, m->curve_bytes);
        const double memory = bytes / sizes[i].bandwidth;
        const double part = mqa_part_from_memory(m, mqa_machine_bandwidth(m, sizes[i].working_set));
        const double operations = 6.0 * sizes[i].embd * sizes[i].ff / m->peak[mqa_rate_of_weights(c)];
        const double arithmetic = operations / curve->share[0];
        const double waits = (memory - bytes / cached) / curve->memory[0];
        extra[i] = (seconds - fmax(memory, arithmetic + waits)) / fmax(part, 0.1);
    }
    const double many = (2.0 * MANY + EMBD) / GRANULE, few = (2.0 * FEW + EMBD) / GRANULE;
    m->seconds_per_granule = fmax(extra[0] / many, 0);
    m->seconds_per_small_page =
        fmax((extra[1] - few * m->seconds_per_granule) / (sizes[1].layer_bytes / PAGE), 0);
    return MQA_OK;
}

enum { ROWS = 512, LAYERS = 4, HEADS = 8, HEAD_DIM = 128 };

/* A chunk of a model of usual proportions: what its parts, as forecast, don't account for. values: those of
 * its rows that the machine's seconds_per_value is about. */
static mqa_status measure_rest(mqa_context *ctx, const mqa_machine *m, int kv_heads, double *rest,
                               double *values, mqa_error *err)
{
    const calibrate_shape s = {.layers = LAYERS,
                               .embd = HEADS * HEAD_DIM,
                               .ff = 2816,
                               .heads = HEADS,
                               .kv_heads = kv_heads,
                               .head_dim = HEAD_DIM,
                               .vocab = 64,
                               .type = MQA_GGUF_Q8_0};
    mqa_machine without = *m, unit = *m;
    for (int t = 0; t < MQA_KV_TYPES; t++) without.seconds_per_kv_value[t] = unit.seconds_per_kv_value[t] = 0;
    without.seconds_per_value = 0;
    unit.seconds_per_value = 1;
    static const calibrate_step step = {.requests = 1, .depth = 0, .n_tokens = ROWS};
    mqa_times forecast, with;
    double seconds;
    MQA_TRY(calibrate_forecast(&without, &s, &step, &forecast, err));
    MQA_TRY(calibrate_forecast(&unit, &s, &step, &with, err));
    MQA_TRY(calibrate_session(ctx, &s, &step, &seconds, err));
    *values = with.overhead - forecast.overhead;
    *rest = seconds - forecast.seconds;
    return MQA_OK;
}

/* bf16: what a value of it takes, all threads packing. The other formats differ as they do on one thread,
 * which is what seconds_per_kv_value has so far (calibrate_attention). */
static void spread_kv_value(mqa_machine *m, double bf16)
{
    const double alone = m->seconds_per_kv_value[MQA_KV_BF16];
    for (int t = 0; t < MQA_KV_TYPES; t++)
        m->seconds_per_kv_value[t] = fmax(0, bf16 + (m->seconds_per_kv_value[t] - alone) / m->n_threads);
}

/* Two models that differ in how much K and V they leave. */
static mqa_status measure_rows(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    const double kv_few = 2.0 * ROWS * LAYERS * HEAD_DIM, kv_many = HEADS * kv_few;
    double few, many, few_values, many_values;
    MQA_TRY(measure_rest(ctx, m, 1, &few, &few_values, err));
    MQA_TRY(measure_rest(ctx, m, HEADS, &many, &many_values, err));
    /* few = few_values x + kv_few y, many = many_values x + kv_many y */
    const double d = few_values * kv_many - many_values * kv_few;
    m->seconds_per_value = fmax(0, (few * kv_many - many * kv_few) / d);
    spread_kv_value(m, fmax(0, (few_values * many - many_values * few) / d));
    return MQA_OK;
}

/* What a step of decoding takes longer than forecast, where requests have few keys to see. */
enum { FEW_KEYS = 48, MANY_REQUESTS = 16 };
static mqa_status measure_short(mqa_context *ctx, const mqa_machine *m, int kv_heads, int requests,
                                double *rest, mqa_error *err)
{
    const calibrate_shape s = {.layers = LAYERS,
                               .embd = 256,
                               .ff = 256,
                               .heads = HEADS,
                               .kv_heads = kv_heads,
                               .head_dim = HEAD_DIM,
                               .vocab = 64,
                               .type = MQA_GGUF_Q8_0};
    const calibrate_step step = {.requests = requests, .depth = FEW_KEYS, .n_tokens = 1};
    mqa_times forecast;
    double seconds;
    MQA_TRY(calibrate_forecast(m, &s, &step, &forecast, err));
    MQA_TRY(calibrate_session(ctx, &s, &step, &seconds, err));
    *rest = seconds - forecast.seconds;
    return MQA_OK;
}

/* Many requests on many KV heads, on one, and one request. */
static mqa_status measure_requests(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    double many, few, one;
    MQA_TRY(measure_short(ctx, m, HEADS, MANY_REQUESTS, &many, err));
    MQA_TRY(measure_short(ctx, m, 1, MANY_REQUESTS, &few, err));
    MQA_TRY(measure_short(ctx, m, 1, 1, &one, err));
    m->seconds_per_unit = fmax(many - few, 0) / (MANY_REQUESTS * LAYERS * (HEADS - 1));
    m->seconds_per_request = fmax((few - one) / (MANY_REQUESTS - 1) - LAYERS * m->seconds_per_unit, 0);
    return MQA_OK;
}

mqa_status calibrate_overhead(mqa_context *ctx, mqa_machine *machine, mqa_error *err)
{
    MQA_TRY(measure_layers(ctx, machine, err));
    MQA_TRY(measure_streams(ctx, machine, err));
    MQA_TRY(measure_rows(ctx, machine, err));
    return measure_requests(ctx, machine, err);
}
