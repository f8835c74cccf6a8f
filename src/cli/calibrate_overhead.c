/* What steps, layers and rows cost besides products: threads' meetings, norms, RoPE, packing K and V. From
 * sessions of models made up in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
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

/* A chunk of a model of usual proportions: what its parts, as forecast, don't account for. */
static mqa_status measure_rows(mqa_context *ctx, mqa_machine *m, mqa_error *err)
{
    enum { ROWS = 512 };
    const calibrate_shape s = {.layers = 4,
                               .embd = 1024,
                               .ff = 2816,
                               .heads = 8,
                               .kv_heads = 2,
                               .head_dim = 128,
                               .vocab = 64,
                               .type = MQA_GGUF_Q8_0};
    const mqa_shape shape = {.layers = s.layers,
                             .embd = s.embd,
                             .ff = s.ff,
                             .heads = s.heads,
                             .kv_heads = s.kv_heads,
                             .head_dim = s.head_dim,
                             .vocab = s.vocab};
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.weights = s.type;
    mqa_design design;
    mqa_figures forecast;
    double seconds;
    m->seconds_per_row_and_value = 0;
    MQA_TRY(mqa_design_from_shape(&shape, &design, err));
    MQA_TRY(mqa_forecast(&design, m, &demand, ROWS, &forecast, err));
    MQA_TRY(time_model(ctx, &s, 0, ROWS, &seconds, err));
    const double rest = seconds - forecast.prompt.seconds;
    if (rest > 0) m->seconds_per_row_and_value = rest / ((double)ROWS * s.embd * s.layers);
    return MQA_OK;
}

mqa_status calibrate_overhead(mqa_context *ctx, mqa_machine *machine, mqa_error *err)
{
    MQA_TRY(measure_layers(ctx, machine, err));
    return measure_rows(ctx, machine, err);
}
