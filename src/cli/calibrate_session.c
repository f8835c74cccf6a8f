/* Steps of sessions of models made up in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "calibrate.h"
#include "model/session.h"

typedef struct session_run {
    mqa_session *session;
    int32_t *tokens;
    float *logits;
    mqa_eval_item *items;
    const calibrate_step *step;
} session_run;

static mqa_status run_step(void *arg, mqa_error *err)
{
    const session_run *r = arg;
    for (int i = 0; i < r->step->requests; i++)
        MQA_TRY(mqa_session_truncate(r->session, i, r->step->depth, err));
    return mqa_session_eval(r->session, r->items, r->step->requests, NULL, err);
}

static mqa_status make_run(mqa_model *model, const calibrate_step *step, session_run *r, mqa_error *err)
{
    const size_t n_vocab = (size_t)model->hp.n_vocab, requests = (size_t)step->requests;
    r->tokens = calloc((size_t)step->n_tokens, sizeof *r->tokens);
    r->logits = calloc(requests * n_vocab, sizeof *r->logits);
    r->items = calloc(requests, sizeof *r->items);
    if (!r->tokens || !r->logits || !r->items)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to calibrate in");
    for (size_t i = 0; i < requests; i++)
        r->items[i] = (mqa_eval_item){.sequence = (int)i,
                                      .tokens = r->tokens,
                                      .n_tokens = step->n_tokens,
                                      .want = MQA_LOGITS_LAST,
                                      .logits = r->logits + i * n_vocab};
    mqa_session_options options = mqa_session_options_default();
    options.context = step->depth + step->n_tokens;
    options.max_sequences = step->requests;
    MQA_TRY(mqa_session_create(model, &options, &r->session, err));
    for (int i = 0; i < step->requests; i++) MQA_TRY(mqa_session_fill(r->session, i, step->depth, err));
    return MQA_OK;
}

mqa_status calibrate_forecast(const mqa_machine *machine, const calibrate_shape *s,
                              const calibrate_step *step, mqa_times *out, mqa_error *err)
{
    const mqa_shape shape = {.layers = s->layers,
                             .embd = s->embd,
                             .ff = s->ff,
                             .heads = s->heads,
                             .kv_heads = s->kv_heads,
                             .head_dim = s->head_dim,
                             .vocab = s->vocab};
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.weights = s->type;
    demand.requests = step->requests;
    mqa_design design;
    mqa_figures f;
    MQA_TRY(mqa_design_from_shape(&shape, &design, err));
    MQA_TRY(mqa_forecast(&design, machine, &demand, step->depth + step->n_tokens, &f, err));
    *out = step->depth == 0 ? f.prompt : f.token;
    return MQA_OK;
}

mqa_status calibrate_session(mqa_context *ctx, const calibrate_shape *shape, const calibrate_step *step,
                             double *seconds, mqa_error *err)
{
    enum { CALLS = 3 };
    mqa_model *model = NULL;
    MQA_TRY(calibrate_model(ctx, shape, &model, err));
    session_run r = {.step = step};
    mqa_status status = make_run(model, step, &r, err);
    for (int i = 0; status == MQA_OK && i < CALLS; i++) status = run_step(&r, err); /* until caches settle */
    if (status == MQA_OK) status = calibrate_time(run_step, &r, 0.3, seconds, err);
    mqa_session_destroy(&r.session);
    mqa_model_destroy(&model);
    free(r.tokens);
    free(r.logits);
    free(r.items);
    return status;
}
