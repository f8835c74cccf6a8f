/* What steps, layers and rows cost besides products: threads' meetings, norms, RoPE, packing K and V. From
 * sessions of models made up in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "calibrate.h"

typedef struct session_run {
    mqa_session *session;
    int32_t *tokens;
    float *logits;
    int64_t depth, n_tokens;
} session_run;

static mqa_status run_session(void *arg, mqa_error *err)
{
    const session_run *r = arg;
    const mqa_eval_item item = {
        .tokens = r->tokens, .n_tokens = r->n_tokens, .want = MQA_LOGITS_LAST, .logits = r->logits};
    MQA_TRY(mqa_session_truncate(r->session, 0, r->depth, err));
    return mqa_session_eval(r->session, &item, 1, NULL, err);
}

/* Seconds of n_tokens after depth others. */
static mqa_status time_model(mqa_context *ctx, const calibrate_shape *shape, int64_t depth, int64_t n_tokens,
                             double *seconds, mqa_error *err)
{
    mqa_model *model = NULL;
    MQA_TRY(calibrate_model(ctx, shape, &model, err));
    mqa_session_options options = mqa_session_options_default();
    options.context = depth + n_tokens;
    session_run r = {.tokens = calloc((size_t)(depth + n_tokens), sizeof *r.tokens),
                     .logits = malloc((size_t)shape->vocab * sizeof *r.logits),
                     .n_tokens = depth};
    mqa_status status = r.tokens && r.logits
                            ? mqa_session_create(model, &options, &r.session, err)
                            : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to calibrate in");
    if (status == MQA_OK && depth > 0) status = run_session(&r, err);
    r.depth = depth;
    r.n_tokens = n_tokens;
    if (status == MQA_OK) status = calibrate_time(run_session, &r, 0.3, seconds, err);
    mqa_session_destroy(&r.session);
    mqa_model_destroy(&model);
    free(r.tokens);
    free(r.logits);
    return status;
}

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
    double one, many;
    MQA_TRY(time_model(ctx, &shape, 64, 1, &one, err));
    shape.layers = MANY;
    MQA_TRY(time_model(ctx, &shape, 64, 1, &many, err));
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
        const double memory = bytes / mqa_machine_bandwidth(m, sizes[i].working_set) / curve->memory;
        const double operations = 6.0 * sizes[i].embd * sizes[i].ff / m->peak[mqa_rate_of_weights(c)];
        const double arithmetic = operations / curve->share[0];
        extra[i] = seconds - fmax(memory, arithmetic + memory - bytes / cached / curve->memory);
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
    const mqa_shape shape = {.layers = s.layers,
                             .embd = s.embd,
                             .ff = s.ff,
                             .heads = s.heads,
                             .kv_heads = s.kv_heads,
                             .head_dim = s.head_dim,
                             .vocab = s.vocab};
    mqa_machine without = *m, unit = *m;
    for (int t = 0; t < MQA_KV_TYPES; t++) without.seconds_per_kv_value[t] = unit.seconds_per_kv_value[t] = 0;
    without.seconds_per_value = 0;
    unit.seconds_per_value = 1;
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.weights = s.type;
    mqa_design design;
    mqa_figures forecast, with;
    double seconds;
    MQA_TRY(mqa_design_from_shape(&shape, &design, err));
    MQA_TRY(mqa_forecast(&design, &without, &demand, ROWS, &forecast, err));
    MQA_TRY(mqa_forecast(&design, &unit, &demand, ROWS, &with, err));
    MQA_TRY(time_model(ctx, &s, 0, ROWS, &seconds, err));
    *values = with.prompt.overhead - forecast.prompt.overhead;
    *rest = seconds - forecast.prompt.seconds;
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

mqa_status calibrate_overhead(mqa_context *ctx, mqa_machine *machine, mqa_error *err)
{
    MQA_TRY(measure_layers(ctx, machine, err));
    MQA_TRY(measure_streams(ctx, machine, err));
    return measure_rows(ctx, machine, err);
}
