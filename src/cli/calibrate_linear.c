/* Linear layers: the feed-forward part of a layer, which is most of a model's weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/fpenv.h"
#include "base/memory.h"
#include "bench.h"
#include "calibrate.h"
#include "model/layers.h"
#include "model/weights.h"

/* Wide enough that what a call costs doesn't count; together larger than caches, as a model's weights are. */
enum { EMBD = 2048, FF = 4096, MATRICES_BYTES = 96 << 20, MAX_LAYERS = 16 };

typedef struct rows_run {
    mqa_step step;
    int layers; /* that one run goes through */
} rows_run;

static mqa_status run_rows(void *arg, mqa_error *err)
{
    (void)err;
    rows_run *r = arg;
    for (int i = 0; i < r->layers; i++)
        mqa_feed_forward(&r->step, &r->step.model->layers[i], r->step.kernels->rows.silu_mul);
    return MQA_OK;
}

/* The roofline's time of one layer at so many rows, as planner/time.c has it. */
static double roof_seconds(const mqa_machine *roof, mqa_weight_class c, double bytes, double working_set,
                           int rows)
{
    const double memory = bytes / mqa_machine_bandwidth(roof, working_set);
    const double operations = 2.0 * 3 * EMBD * FF * rows / roof->peak[mqa_rate_of_weights(c)];
    return fmax(memory, operations);
}

static mqa_status set_rows(rows_run *r, const mqa_workspace *ws, int rows, mqa_error *err)
{
    const size_t n = (size_t)rows * EMBD;
    float *x = mqa_alloc_array(NULL, n, sizeof *x);
    if (!x) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for rows to calibrate with");
    bench_fill_at(0, 0, x, n);
    mqa_inputs_set(r->step.kernels, &ws->in_embd, 0, rows, x, EMBD);
    mqa_release(NULL, x, n * sizeof *x);
    return MQA_OK;
}

static mqa_status measure(rows_run *r, const mqa_machine *roof, mqa_weight_class c, mqa_curve *out,
                          mqa_error *err)
{
    const mqa_model *model = r->step.model;
    const mqa_layer *l = &model->layers[0];
    const double bytes = (double)(l->gate.bytes + l->up.bytes + l->down.bytes);
    for (int i = 0; i < MQA_CURVE_POINTS; i++) {
        const int rows = mqa_curve_rows[i];
        r->step.n_rows = rows;
        r->layers = rows < 64 ? model->hp.n_layers : 1;
        double seconds;
        MQA_TRY(calibrate_time(run_rows, r, 0.15, &seconds, err));
        const double roof_time = roof_seconds(roof, c, bytes, bytes * model->hp.n_layers, rows);
        out->share[i] = r->layers * roof_time / seconds;
    }
    return MQA_OK;
}

mqa_status calibrate_linear(mqa_context *ctx, const mqa_machine *roof, mqa_weight_class c, mqa_curve *out,
                            mqa_error *err)
{
    static const uint32_t types[MQA_WEIGHT_CLASSES] = {MQA_GGUF_F32,  MQA_GGUF_BF16, MQA_GGUF_Q8_0,
                                                       MQA_GGUF_Q6_K, MQA_GGUF_Q5_0, MQA_GGUF_Q4_K};
    const int rows = mqa_curve_rows[MQA_CURVE_POINTS - 1];
    const mqa_matrices one = {
        .role = MQA_ROLE_FEED_FORWARD, .type = types[c], .n_in = EMBD, .n_out = FF, .n = 3};
    const mqa_design alone = {.matrices = {one}, .n_matrices = 1};
    size_t bytes;
    MQA_TRY(mqa_design_weight_bytes(&alone, MQA_WEIGHTS_AS_IS, &bytes, err));
    int layers = (int)(MATRICES_BYTES / bytes) + 1;
    if (layers > MAX_LAYERS) layers = MAX_LAYERS;
    const calibrate_shape shape = {.layers = layers,
                                   .embd = EMBD,
                                   .ff = FF,
                                   .heads = 1,
                                   .kv_heads = 1,
                                   .head_dim = 64,
                                   .vocab = 64,
                                   .type = types[c]};
    mqa_model *model = NULL;
    mqa_workspace ws = {0};
    MQA_TRY(calibrate_model(ctx, &shape, &model, err));
    const mqa_fpenv saved = mqa_fpenv_enter();
    atomic_int not_finite = 0;
    rows_run r = {.step = {.model = model,
                           .kernels = ctx->kernels,
                           .pool = ctx->pool,
                           .ws = &ws,
                           .not_finite = &not_finite}};
    mqa_status status = mqa_workspace_create(model, rows, &ws, err);
    if (status == MQA_OK) status = set_rows(&r, &ws, rows, err);
    if (status == MQA_OK) status = measure(&r, roof, c, out, err);
    mqa_fpenv_leave(saved);
    mqa_workspace_destroy(model, &ws);
    mqa_model_destroy(&model);
    return status;
}
