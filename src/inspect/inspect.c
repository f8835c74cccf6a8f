/* Checks, memory, and the run.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect/inspect.h"

#include <inttypes.h>

#include "inspect/layer.h"
#include "kernels/context.h"
#include "model/session.h"

enum { CHUNK = MQA_SPAN, MOST_UNIT = 16, MOST_ROWS = MQA_MAX_ROWS, COMPARED = 2048, MOST_HEADS = 1024 };

mqa_inspect_options mqa_inspect_options_default(void)
{
    return (mqa_inspect_options){.n_sinks = 4, .max_bins = 256, .k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16};
}

/* ---- options ---- */

static mqa_status check_windows(const mqa_inspect_options *o, mqa_error *err)
{
    if (o->n_windows < 0 || o->n_windows > MQA_INSPECT_WINDOWS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%d windows: give at most %d", o->n_windows,
                        MQA_INSPECT_WINDOWS);
    for (int i = 0; i < o->n_windows; i++)
        if (o->windows[i] < 1)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "a window of %" PRId64 " tokens: give 1 (the query's own token) or more",
                            o->windows[i]);
    return MQA_OK;
}

static mqa_status check_documents(const mqa_inspect_options *o, int64_t n_tokens, mqa_error *err)
{
    if (o->n_documents < 0 || o->n_documents > MQA_INSPECT_DOCUMENTS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%d documents: give at most %d", o->n_documents,
                        MQA_INSPECT_DOCUMENTS);
    for (int i = 0; i < o->n_documents; i++)
        if (i == 0 ? o->documents[0] != 0
                   : o->documents[i] <= o->documents[i - 1] || o->documents[i] >= n_tokens)
            return mqa_fail(
                err, MQA_ERR_INVALID_ARGUMENT,
                "document %d begins at token %" PRId64
                ": the first begins at 0, each of the others after the one before and inside the text",
                i, o->documents[i]);
    return MQA_OK;
}

static mqa_status settle(const mqa_inspect_options *options, int64_t n_tokens, mqa_inspect_options *out,
                         mqa_error *err)
{
    *out = options ? *options : mqa_inspect_options_default();
    if (n_tokens < 1 || n_tokens > MQA_INSPECT_MAX_TOKENS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a text of %" PRId64 " tokens: give 1 to %d", n_tokens,
                        MQA_INSPECT_MAX_TOKENS);
    if (out->n_sinks < 0 || out->n_sinks > MQA_INSPECT_MAX_SINKS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%d sinks: give 0 to %d", out->n_sinks,
                        MQA_INSPECT_MAX_SINKS);
    const int bins = out->max_bins;
    if (bins != 0 && (bins < MQA_MAP_LEAST_BINS || bins > MQA_MAP_MOST_BINS || (bins & (bins - 1))))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "maps of %d bins: give a power of two from %d to %d, or 0", bins, MQA_MAP_LEAST_BINS,
                        MQA_MAP_MOST_BINS);
    if (out->fold != MQA_MAP_MEAN && out->fold != MQA_MAP_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "maps by rule %d: there are mean and max",
                        (int)out->fold);
    MQA_TRY(check_windows(out, err));
    MQA_TRY(check_documents(out, n_tokens, err));
    if (out->compare_every < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "comparing heads at every %" PRId64 "th query",
                        out->compare_every);
    if (out->compare_every == 0) out->compare_every = (n_tokens - 1) / COMPARED + 1;
    return MQA_OK;
}

/* ---- memory ---- */

static mqa_sums_layout lay_out_sums(const mqa_inspector *in)
{
    const size_t heads = (size_t)in->model->hp.n_heads;
    mqa_sums_layout l = {.buckets = MQA_SUM_SINKS_LOST + (size_t)in->options->n_windows};
    l.head = l.buckets + (size_t)in->buckets.n;
    l.pairs = heads * l.head;
    l.doubles = l.pairs + heads * (heads - 1);
    return l;
}

/* Takes n * size bytes, and counts them; false where there are none. */
static bool take(mqa_inspector *in, void *out, size_t n, size_t size)
{
    void *memory = mqa_alloc_array(in->result->allocator, n, size);
    *(void **)out = memory;
    if (memory) in->result->work_bytes += n * size;
    return memory != NULL || n == 0;
}

static mqa_status no_memory(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the sums of all heads");
}

static mqa_status take_result(mqa_inspector *in, mqa_error *err)
{
    mqa_inspection *r = in->result;
    const size_t layers = (size_t)r->n_layers, heads = (size_t)r->n_heads, all = layers * heads;
    const size_t documents = (size_t)in->options->n_documents;
    if (!take(in, &r->layer_window, layers, sizeof *r->layer_window) ||
        !take(in, &r->heads, all, sizeof *r->heads) ||
        !take(in, &r->divergence, all * heads, sizeof *r->divergence) ||
        !take(in, &r->overlap, all * heads, sizeof *r->overlap) ||
        (documents > 1 && !take(in, &r->on_document, all * documents * documents, sizeof *r->on_document)))
        return no_memory(err);
    MQA_TRY(mqa_maps_create(r->allocator, (int)all, in->n_tokens, r->options.max_bins, &r->maps, err));
    r->work_bytes += r->maps.bytes;
    for (size_t i = 0; i < layers; i++)
        r->layer_window[i] = in->model->layers[i].kind == MQA_LAYER_WINDOW ? in->model->hp.window : 0;
    return MQA_OK;
}

static mqa_status take_work(mqa_inspector *in, mqa_error *err)
{
    const size_t heads = (size_t)in->model->hp.n_heads, layers = (size_t)in->model->hp.n_layers;
    const size_t bins = (size_t)in->result->maps.bins, documents = (size_t)in->options->n_documents;
    const size_t threads = (size_t)mqa_pool_n_threads(in->model->ctx->pool);
    in->unit = 1;
    while (in->unit < MOST_UNIT && 2 * (size_t)in->unit * heads <= MOST_ROWS) in->unit *= 2;
    in->n_units = CHUNK / in->unit;
    in->unit_bin_rows = bins ? in->unit >> in->result->maps.shift : 0;
    const bool rows_of_units = bins && in->unit_bin_rows == 0;
    in->layout = lay_out_sums(in);
    in->scratch_bytes = mqa_inspector_scratch_bytes(in);
    const size_t units = (size_t)in->n_units, rows = (size_t)in->unit * heads;
    if (!take(in, &in->scratch, threads, in->scratch_bytes) ||
        !take(in, &in->sums, layers * in->layout.doubles, sizeof *in->sums) ||
        !take(in, &in->unit_sums, units * in->layout.doubles, sizeof *in->unit_sums) ||
        (documents > 1 &&
         !take(in, &in->unit_documents, units * rows * documents, sizeof *in->unit_documents)) ||
        (rows_of_units && (!take(in, &in->unit_maps, units * heads * bins, sizeof *in->unit_maps) ||
                           !take(in, &in->map_rows, layers * heads * bins, sizeof *in->map_rows))))
        return no_memory(err);
    return MQA_OK;
}

static void release_work(mqa_inspector *in)
{
    const mqa_allocator *a = in->result->allocator;
    const size_t heads = (size_t)in->model->hp.n_heads, layers = (size_t)in->model->hp.n_layers;
    const size_t bins = (size_t)in->result->maps.bins, documents = (size_t)in->options->n_documents;
    const size_t threads = (size_t)mqa_pool_n_threads(in->model->ctx->pool), units = (size_t)in->n_units;
    mqa_release(a, in->scratch, threads * in->scratch_bytes);
    mqa_release(a, in->sums, layers * in->layout.doubles * sizeof *in->sums);
    mqa_release(a, in->unit_sums, units * in->layout.doubles * sizeof *in->unit_sums);
    mqa_release(a, in->unit_documents,
                units * (size_t)in->unit * heads * documents * sizeof *in->unit_documents);
    mqa_release(a, in->unit_maps, units * heads * bins * sizeof *in->unit_maps);
    mqa_release(a, in->map_rows, layers * heads * bins * sizeof *in->map_rows);
}

void mqa_inspection_destroy(mqa_inspection **inspection)
{
    if (!inspection || !*inspection) return;
    mqa_inspection *r = *inspection;
    const mqa_allocator *a = r->allocator;
    const size_t layers = (size_t)r->n_layers, heads = (size_t)r->n_heads, all = layers * heads;
    const size_t documents = (size_t)r->options.n_documents;
    mqa_release(a, r->layer_window, layers * sizeof *r->layer_window);
    mqa_release(a, r->heads, all * sizeof *r->heads);
    mqa_release(a, r->divergence, all * heads * sizeof *r->divergence);
    mqa_release(a, r->overlap, all * heads * sizeof *r->overlap);
    mqa_release(a, r->on_document, all * documents * documents * sizeof *r->on_document);
    mqa_maps_destroy(a, &r->maps);
    mqa_release(a, r, sizeof *r);
    *inspection = NULL;
}

/* ---- the run ---- */

/* Pairs of queries and keys, roughly. */
static size_t work_of(const mqa_inspector *in)
{
    size_t work = 0;
    for (int64_t end = 0; end < in->n_tokens;) {
        const int64_t rows = in->n_tokens - end < CHUNK ? in->n_tokens - end : CHUNK;
        end += rows;
        for (int i = 0; i < in->result->n_layers; i++) {
            const int64_t window = in->result->layer_window[i];
            work += (size_t)(rows * (window && window < end ? window : end));
        }
    }
    return work;
}

static mqa_status run(mqa_inspector *in, mqa_model *model, const int32_t *tokens, const volatile int *stop,
                      mqa_error *err)
{
    const mqa_inspect_options *o = in->options;
    mqa_session_options options = mqa_session_options_default();
    options.context = in->n_tokens;
    options.chunk = CHUNK;
    options.k_type = o->k_type;
    options.v_type = o->v_type;
    options.kv_plain = o->kv_plain;
    mqa_session *session;
    MQA_TRY(mqa_session_create(model, &options, &session, err));
    session->observer = (mqa_observer){mqa_inspector_attends, in};
    in->work_all = work_of(in);
    const mqa_eval_item item = {.tokens = tokens, .n_tokens = in->n_tokens};
    const mqa_status status = mqa_session_eval(session, &item, 1, stop, err);
    in->result->kv_bytes = mqa_session_kv_bytes(session);
    mqa_session_destroy(&session);
    return status;
}

static mqa_status inspect(mqa_inspector *in, mqa_model *model, const int32_t *tokens,
                          const volatile int *stop, mqa_error *err)
{
    mqa_buckets_make(in->options, in->n_tokens, &in->buckets);
    MQA_TRY(take_result(in, err));
    mqa_status status = take_work(in, err);
    if (status == MQA_OK) status = run(in, model, tokens, stop, err);
    if (status == MQA_OK) mqa_inspector_finish(in);
    release_work(in);
    return status;
}

mqa_status mqa_inspect(mqa_model *model, const mqa_inspect_options *options, const int32_t *tokens,
                       int64_t n_tokens, const volatile int *stop, mqa_inspection **out, mqa_error *err)
{
    if (!model || !tokens || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_inspect: model, tokens or out is NULL");
    *out = NULL;
    if (model->hp.n_heads > MOST_HEADS)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%d heads: at most %d can be compared", model->hp.n_heads,
                        MOST_HEADS);
    mqa_inspect_options settled;
    MQA_TRY(settle(options, n_tokens, &settled, err));
    mqa_inspection *r = mqa_alloc(model->ctx->allocator, sizeof *r);
    if (!r) return no_memory(err);
    *r = (mqa_inspection){.n_layers = model->hp.n_layers,
                          .n_heads = model->hp.n_heads,
                          .n_kv_heads = model->hp.n_kv_heads,
                          .n_tokens = n_tokens,
                          .options = settled,
                          .allocator = model->ctx->allocator};
    mqa_inspector in = {.model = model, .options = &r->options, .result = r, .n_tokens = n_tokens};
    mqa_status status = inspect(&in, model, tokens, stop, err);
    if (status == MQA_OK)
        *out = r;
    else
        mqa_inspection_destroy(&r);
    return status;
}
