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

/* Memory: wide enough that what a matrix costs to begin with doesn't count; layers together larger than
 * caches. Arithmetic: one layer that stays in a cache. */
enum { WIDE_EMBD = 2048, WIDE_FF = 4096, MATRICES_BYTES = 96 << 20, MAX_LAYERS = 96, MANY_ROWS = 64 };
enum { CACHED_EMBD = 1024, CACHED_FF = 2048 };

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

static mqa_status set_rows(rows_run *r, int rows, mqa_error *err)
{
    const int embd = r->step.model->hp.n_embd;
    const size_t n = (size_t)rows * (size_t)embd;
    float *x = mqa_alloc_array(NULL, n, sizeof *x);
    if (!x) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for rows to calibrate with");
    bench_fill_at(0, 0, x, n);
    mqa_inputs_set(r->step.kernels, &r->step.ws->in_embd, 0, rows, x, (size_t)embd);
    mqa_release(NULL, x, n * sizeof *x);
    return MQA_OK;
}

/* Many rows are held by arithmetic: there one layer does. */
static mqa_status time_rows(rows_run *r, const int *n_rows, int n, double *seconds, mqa_error *err)
{
    MQA_TRY(set_rows(r, n_rows[n - 1], err));
    for (int i = 0; i < n; i++) {
        r->step.n_rows = n_rows[i];
        r->layers = n_rows[i] < MANY_ROWS ? r->step.model->hp.n_layers : 1;
        MQA_TRY(calibrate_time(run_rows, r, 0.15, &seconds[i], err));
        seconds[i] /= r->layers;
    }
    return MQA_OK;
}

static mqa_status layer_bytes(calibrate_ff *ff, mqa_error *err)
{
    const mqa_matrices in = {
        .role = MQA_ROLE_FEED_FORWARD, .type = ff->type, .n_in = ff->embd, .n_out = ff->ff, .n = 2};
    const mqa_matrices out = {
        .role = MQA_ROLE_FEED_FORWARD, .type = ff->type, .n_in = ff->ff, .n_out = ff->embd, .n = 1};
    const mqa_design alone = {.matrices = {in, out}, .n_matrices = 2};
    size_t bytes;
    MQA_TRY(mqa_design_weight_bytes(&alone, MQA_WEIGHTS_AS_IS, &bytes, err));
    ff->layer_bytes = (double)bytes;
    return MQA_OK;
}

mqa_status calibrate_feed_forward(mqa_context *ctx, calibrate_ff *ff, const int *n_rows, int n,
                                  double *seconds, mqa_error *err)
{
    MQA_TRY(layer_bytes(ff, err));
    const int layers = ff->cached ? 1 : (int)fmin(MATRICES_BYTES / ff->layer_bytes + 1, MAX_LAYERS);
    ff->working_set = layers * ff->layer_bytes;
    const calibrate_shape shape = {.layers = layers,
                                   .embd = ff->embd,
                                   .ff = ff->ff,
                                   .heads = 1,
                                   .kv_heads = 1,
                                   .head_dim = 64,
                                   .vocab = 64,
                                   .type = ff->type};
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
    double before = 0, after = 0;
    mqa_status status = mqa_workspace_create(model, n_rows[n - 1], &ws, err);
    if (status == MQA_OK && !ff->cached) status = calibrate_bandwidth(ctx, ff->working_set, &before, err);
    if (status == MQA_OK) status = time_rows(&r, n_rows, n, seconds, err);
    if (status == MQA_OK && !ff->cached) status = calibrate_bandwidth(ctx, ff->working_set, &after, err);
    ff->bandwidth = 0.5 * (before + after);
    mqa_fpenv_leave(saved);
    mqa_workspace_destroy(model, &ws);
    mqa_model_destroy(&model);
    return status;
}

mqa_status calibrate_linear(mqa_context *ctx, const mqa_machine *roof, mqa_weight_class c, mqa_curve *out,
                            mqa_error *err)
{
    static const uint32_t types[MQA_WEIGHT_CLASSES] = {MQA_GGUF_F32,  MQA_GGUF_BF16, MQA_GGUF_Q8_0,
                                                       MQA_GGUF_Q6_K, MQA_GGUF_Q5_0, MQA_GGUF_Q4_K};
    calibrate_ff wide = {.type = types[c], .embd = WIDE_EMBD, .ff = WIDE_FF};
    calibrate_ff cached = {.type = types[c], .embd = CACHED_EMBD, .ff = CACHED_FF, .cached = true};
    double seconds[MQA_CURVE_POINTS];
    MQA_TRY(calibrate_feed_forward(ctx, &cached, mqa_curve_rows, MQA_CURVE_POINTS, seconds, err));
    const double row = 2.0 * 3 * CACHED_EMBD * CACHED_FF / roof->peak[mqa_rate_of_weights(c)];
    for (int i = 0; i < MQA_CURVE_POINTS; i++) out->share[i] = row * mqa_curve_rows[i] / seconds[i];
    double measured[CALIBRATE_FROM_MEMORY];
    const double wider = (double)WIDE_EMBD * WIDE_FF / (CACHED_EMBD * CACHED_FF);
    MQA_TRY(calibrate_feed_forward(ctx, &wide, mqa_curve_rows, CALIBRATE_FROM_MEMORY, measured, err));
    for (int i = 0; i < MQA_CURVE_POINTS; i++)
        out->memory[i] = i < CALIBRATE_FROM_MEMORY
                             ? calibrate_memory_share(roof, wide.layer_bytes, wide.bandwidth,
                                                      seconds[i] * wider, measured[i])
                             : out->memory[i - 1];
    return MQA_OK;
}
