/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES = 160, ROWS_PER_TASK = MQA_GRANULE, PIECE_BYTES = 16 << 20 };

/* Which type of the file is kept how. Quants keep the file's own integers and scales, exactly; their
 * mqa_linear_format comes from gguf/types.h. */
static const struct {
    uint32_t type;
    mqa_form form;
} kept_as[] = {
    {MQA_GGUF_F32, MQA_FORM_F32},     {MQA_GGUF_F16, MQA_FORM_F32},       {MQA_GGUF_BF16, MQA_FORM_BF16},
    {MQA_GGUF_Q4_0, MQA_FORM_QUANTS}, {MQA_GGUF_Q4_1, MQA_FORM_QUANTS},   {MQA_GGUF_Q5_0, MQA_FORM_QUANTS},
    {MQA_GGUF_Q5_1, MQA_FORM_QUANTS}, {MQA_GGUF_Q8_0, MQA_FORM_QUANTS},   {MQA_GGUF_Q2_K, MQA_FORM_QUANTS},
    {MQA_GGUF_Q3_K, MQA_FORM_QUANTS}, {MQA_GGUF_Q4_K, MQA_FORM_QUANTS},   {MQA_GGUF_Q5_K, MQA_FORM_QUANTS},
    {MQA_GGUF_Q6_K, MQA_FORM_QUANTS}, {MQA_GGUF_IQ4_NL, MQA_FORM_QUANTS}, {MQA_GGUF_MXFP4, MQA_FORM_QUANTS},
};

static bool find_form(uint32_t type, mqa_form *form)
{
    for (size_t i = 0; i < sizeof kept_as / sizeof kept_as[0]; i++) {
        if (kept_as[i].type != type) continue;
        *form = kept_as[i].form;
        return true;
    }
    return false;
}

mqa_status mqa_loader_create(mqa_model *model, const mqa_gguf *gguf, const mqa_model_options *options,
                             mqa_loader *out, mqa_error *err)
{
    *out = (mqa_loader){.ctx = model->ctx, .gguf = gguf, .options = options, .model = model};
    const size_t n = mqa_gguf_n_tensors(gguf);
    for (size_t i = 0; i < n; i++) out->total += mqa_gguf_tensor_at(gguf, i)->n_bytes;
    out->loaded = mqa_alloc_array(model->ctx->allocator, n + 1, sizeof *out->loaded);
    if (!out->loaded) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to load a model");
    return MQA_OK;
}

void mqa_loader_destroy(mqa_loader *loader)
{
    mqa_release(loader->ctx->allocator, loader->loaded,
                (mqa_gguf_n_tensors(loader->gguf) + 1) * sizeof *loader->loaded);
    mqa_release(loader->ctx->allocator, loader->scratch, loader->scratch_bytes);
    loader->loaded = NULL;
    loader->scratch = NULL;
}

/* ---- finding ---- */

static const char *tensor_name(char out[NAME_BYTES], int layer, const char *name)
{
    if (layer >= 0)
        snprintf(out, NAME_BYTES, "blk.%d.%s", layer, name);
    else
        snprintf(out, NAME_BYTES, "%s", name);
    return out;
}

bool mqa_has_tensor(const mqa_loader *loader, int layer, const char *name)
{
    char full[NAME_BYTES];
    return mqa_gguf_find_tensor(loader->gguf, tensor_name(full, layer, name)) != NULL;
}

/* n_out 0: a vector; n_heads 0: no third dimension. */
static mqa_status find(mqa_loader *loader, int layer, const char *name, int n_in, int n_out, int n_heads,
                       const mqa_gguf_tensor **out, mqa_error *err)
{
    char full[NAME_BYTES];
    const char *path = mqa_gguf_path(loader->gguf);
    const mqa_gguf_tensor *t = mqa_gguf_find_tensor(loader->gguf, tensor_name(full, layer, name));
    if (!t) return mqa_fail(err, MQA_ERR_FORMAT, "%s: the tensor %s is missing", path, full);
    const size_t rows = n_out ? (size_t)n_out : 1, heads = n_heads ? (size_t)n_heads : 1;
    if (t->dims[0] != (size_t)n_in || t->dims[1] != rows || t->dims[2] != heads || t->dims[3] != 1)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "%s: the tensor %s is %zu x %zu x %zu x %zu, the keys ask for %d x %zu x %zu", path,
                        full, t->dims[0], t->dims[1], t->dims[2], t->dims[3], n_in, rows, heads);
    loader->loaded[loader->n_loaded++] = t; /* once each: names differ, and so do the callers' */
    *out = t;
    return MQA_OK;
}

static int compare_pointers(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (const void *const *)a, y = (uintptr_t) * (const void *const *)b;
    return (x > y) - (x < y);
}

mqa_status mqa_loader_check_all_used(mqa_loader *loader, mqa_error *err)
{
    const size_t n = mqa_gguf_n_tensors(loader->gguf), size = sizeof *loader->loaded;
    if (loader->n_loaded == n) return MQA_OK;
    qsort(loader->loaded, loader->n_loaded, size, compare_pointers);
    for (size_t i = 0; i < n; i++) {
        const mqa_gguf_tensor *t = mqa_gguf_tensor_at(loader->gguf, i);
        if (!bsearch(&t, loader->loaded, loader->n_loaded, size, compare_pointers))
            return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                            "%s: the tensor %s has no place in mqa's %s models, so the result would be wrong",
                            mqa_gguf_path(loader->gguf), t->name, loader->model->arch->name);
    }
    return MQA_OK;
}

static mqa_status report(mqa_loader *loader, size_t bytes, mqa_error *err)
{
    loader->done += bytes;
    const mqa_model_options *o = loader->options;
    if (o && o->progress && o->progress(o->progress_user, loader->done, loader->total) != 0)
        return mqa_fail(err, MQA_ERR_CANCELLED, "loading was stopped");
    return MQA_OK;
}

/* ---- packing ---- */

/* Where a head's outputs are: `apart` rows from one head to the next in the tensor, the first at `skip`, and
 * room for `padded` outputs in the matrix. A matrix without heads is one head. */
typedef struct heads {
    int n_out, padded, apart, skip;
} heads;

typedef struct pack_job {
    const mqa_gguf_tensor *tensor;
    mqa_matrix *w;
    heads heads;
    int row0, row1; /* outputs of this run of the pool */
    unsigned char *scratch;
    size_t worker_bytes;
    atomic_int bad_row; /* a row that isn't finite, + 1 */
} pack_job;

/* One thread's scratch: quants, scales, mins; or a row of floats. */
static size_t worker_bytes(int n_in)
{
    const size_t n = mqa_round_up((size_t)n_in, MQA_GGUF_MAX_BLOCK);
    return n + 2 * n / 16 * sizeof(float) + n * sizeof(float);
}

static size_t row_bytes_of(const mqa_gguf_tensor *t)
{
    return t->n_bytes / (t->n_values / t->dims[0]);
}

/* How many outputs before this one come from the tensor: some are padding. */
static size_t rows_before(const heads *h, int output)
{
    const int head = output / h->padded, within = output % h->padded;
    return (size_t)head * (size_t)h->n_out + (size_t)(within < h->n_out ? within : h->n_out);
}

/* The tensor's row that an output comes from; for padding the last one of its head. */
static size_t tensor_row(const heads *h, int output)
{
    const int head = output / h->padded, within = output % h->padded;
    return (size_t)head * (size_t)h->apart + (size_t)(h->skip + (within < h->n_out ? within : h->n_out - 1));
}

static bool pack_row(const pack_job *job, int row, unsigned char *scratch)
{
    mqa_matrix *w = job->w;
    const uint8_t *src = job->tensor->data + tensor_row(&job->heads, row) * row_bytes_of(job->tensor);
    if (w->form != MQA_FORM_QUANTS) {
        float *x = (float *)scratch;
        return mqa_gguf_dequantize(job->tensor->type, src, x, (size_t)w->n_in, NULL) == MQA_OK &&
               mqa_matrix_pack_floats(w, row, x);
    }
    const mqa_gguf_type_info *info = mqa_gguf_type_find(job->tensor->type);
    const size_t n = mqa_round_up((size_t)w->n_in, MQA_GGUF_MAX_BLOCK);
    float *scale = (float *)scratch, *min = scale + n / 16;
    uint8_t *q = (uint8_t *)(min + n / 16);
    if (!mqa_gguf_unpack(job->tensor->type, src, (size_t)w->n_in / info->block_values, q, scale, min))
        return false;
    mqa_linear_pack_row(w->quants.format, w->data, w->n_in, row, q, scale,
                        w->quants.format.has_min ? min : NULL);
    return true;
}

static void pack_task(void *arg, int task, int worker)
{
    pack_job *job = arg;
    unsigned char *scratch = job->scratch + (size_t)worker * job->worker_bytes;
    const int row0 = job->row0 + task * ROWS_PER_TASK;
    const int row1 = row0 + ROWS_PER_TASK < job->row1 ? row0 + ROWS_PER_TASK : job->row1;
    for (int row = row0; row < row1; row++)
        if (row % job->heads.padded < job->heads.n_out && !pack_row(job, row, scratch))
            atomic_store(&job->bad_row, row + 1);
}

static mqa_status pack_all(mqa_loader *loader, pack_job *job, mqa_error *err)
{
    const mqa_gguf_tensor *t = job->tensor;
    const size_t row_bytes = row_bytes_of(t);
    const size_t rows_per_piece = mqa_round_up(PIECE_BYTES / (row_bytes + 1) + 1, ROWS_PER_TASK);
    const int step = rows_per_piece < (size_t)job->w->n_out ? (int)rows_per_piece : job->w->n_out;
    for (int row = 0; row < job->w->n_out; row += step) {
        job->row0 = row;
        job->row1 = job->w->n_out - row < step ? job->w->n_out : row + step;
        mqa_pool_run(loader->ctx->pool, pack_task, job,
                     (job->row1 - row + ROWS_PER_TASK - 1) / ROWS_PER_TASK);
        if (atomic_load(&job->bad_row))
            return mqa_fail(err, MQA_ERR_FORMAT,
                            "%s: row %zu of the tensor %s holds a value that is not finite",
                            mqa_gguf_path(loader->gguf),
                            tensor_row(&job->heads, atomic_load(&job->bad_row) - 1), t->name);
        const size_t first = tensor_row(&job->heads, row), last = tensor_row(&job->heads, job->row1 - 1);
        mqa_file_give_back(t->file, t->offset + first * row_bytes, (last + 1 - first) * row_bytes);
        MQA_TRY(report(
            loader, (rows_before(&job->heads, job->row1) - rows_before(&job->heads, row)) * row_bytes, err));
    }
    return MQA_OK;
}

static mqa_status need_scratch(mqa_loader *loader, int n_in, mqa_error *err)
{
    const size_t bytes = (size_t)mqa_pool_n_threads(loader->ctx->pool) * worker_bytes(n_in);
    if (bytes <= loader->scratch_bytes) return MQA_OK;
    mqa_release(loader->ctx->allocator, loader->scratch, loader->scratch_bytes);
    loader->scratch_bytes = 0;
    loader->scratch = mqa_alloc(loader->ctx->allocator, bytes);
    if (!loader->scratch) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to pack weights in");
    loader->scratch_bytes = bytes;
    return MQA_OK;
}

/* Packs n_out rows of each of n_heads heads from a tensor that was found. */
static mqa_status pack_tensor(mqa_loader *loader, const mqa_gguf_tensor *t, int n_heads, heads h,
                              mqa_matrix *out, mqa_error *err)
{
    mqa_form form;
    if (!find_form(t->type, &form))
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%s: the tensor %s is of type %s (%u), which mqa can't run",
                        mqa_gguf_path(loader->gguf), t->name, mqa_gguf_type_name(t->type), t->type);
    const mqa_gguf_quant quant = mqa_gguf_type_find(t->type)->quant;
    const mqa_linear_format format = {.bits = quant.bits,
                                      .zero = quant.zero,
                                      .group = quant.group,
                                      .has_min = quant.has_min,
                                      .f16_scales = quant.f16_scales};
    const int n_in = (int)t->dims[0];
    MQA_TRY(need_scratch(loader, n_in, err));
    MQA_TRY(mqa_matrix_create(loader->ctx->allocator, form, format, n_in, n_heads * h.padded, out, err));
    loader->model->weight_bytes += out->bytes;
    pack_job job = {
        .tensor = t, .w = out, .heads = h, .scratch = loader->scratch, .worker_bytes = worker_bytes(n_in)};
    return pack_all(loader, &job, err);
}

mqa_status mqa_load_matrix(mqa_loader *loader, int layer, const char *name, int n_in, int n_out,
                           mqa_matrix *out, mqa_error *err)
{
    const mqa_gguf_tensor *t = NULL;
    MQA_TRY(find(loader, layer, name, n_in, n_out, 0, &t, err));
    loader->model->n_params += t->n_values;
    return pack_tensor(loader, t, 1, (heads){.n_out = n_out, .padded = n_out, .apart = n_out}, out, err);
}

static heads heads_of(int n_out, int apart, int skip)
{
    const int padded = (int)mqa_round_up((size_t)n_out, MQA_GRANULE);
    return (heads){.n_out = n_out, .padded = padded, .apart = apart, .skip = skip};
}

mqa_status mqa_load_heads(mqa_loader *loader, int layer, const char *name, int n_heads, int n_in, int n_out,
                          mqa_matrix *out, mqa_error *err)
{
    const mqa_gguf_tensor *t = NULL;
    MQA_TRY(find(loader, layer, name, n_in, n_out, n_heads, &t, err));
    loader->model->n_params += t->n_values;
    return pack_tensor(loader, t, n_heads, heads_of(n_out, n_out, 0), out, err);
}

/* One head's W_UK, `nope` rows of kv_rank values, transposed. rows: room for all of it, column: for nope. */
static mqa_status pack_transposed(mqa_loader *loader, const mqa_gguf_tensor *t, const mqa_hparams *hp,
                                  int head, float *rows, float *column, mqa_matrix *out, mqa_error *err)
{
    const int rank = hp->latent.kv_rank, nope = hp->latent.nope;
    const size_t row_bytes = row_bytes_of(t), first = (size_t)head * (size_t)(nope + hp->out_dim);
    const uint8_t *src = t->data + first * row_bytes;
    const mqa_status status = mqa_gguf_dequantize(t->type, src, rows, (size_t)nope * (size_t)rank, err);
    if (status != MQA_OK)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: head %d of the tensor %s can't be read or isn't finite",
                        mqa_gguf_path(loader->gguf), head, t->name);
    for (int o = 0; o < rank; o++) {
        for (int i = 0; i < nope; i++) column[i] = rows[(size_t)i * (size_t)rank + (size_t)o];
        (void)mqa_matrix_pack_floats(out, head * (out->n_out / hp->n_heads) + o, column); /* finite */
    }
    return MQA_OK;
}

mqa_status mqa_load_unfolded_heads(mqa_loader *loader, int layer, const char *name, const mqa_hparams *hp,
                                   mqa_matrix *k_b, mqa_matrix *v_b, mqa_error *err)
{
    const mqa_allocator *a = loader->ctx->allocator;
    const int rank = hp->latent.kv_rank, nope = hp->latent.nope, apart = nope + hp->out_dim;
    const mqa_gguf_tensor *t = NULL;
    MQA_TRY(find(loader, layer, name, rank, hp->n_heads * apart, 0, &t, err));
    loader->model->n_params += t->n_values;
    MQA_TRY(pack_tensor(loader, t, hp->n_heads, heads_of(hp->out_dim, apart, nope), v_b, err));
    const heads k = heads_of(rank, apart, 0);
    MQA_TRY(
        mqa_matrix_create(a, MQA_FORM_F32, (mqa_linear_format){0}, nope, hp->n_heads * k.padded, k_b, err));
    loader->model->weight_bytes += k_b->bytes;
    const size_t n = (size_t)nope * (size_t)(rank + 1);
    float *rows = mqa_alloc_array(a, n, sizeof *rows);
    if (!rows) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to pack weights in");
    mqa_status status = MQA_OK;
    for (int head = 0; status == MQA_OK && head < hp->n_heads; head++)
        status = pack_transposed(loader, t, hp, head, rows, rows + (size_t)nope * (size_t)rank, k_b, err);
    mqa_release(a, rows, n * sizeof *rows);
    if (status != MQA_OK) return status;
    mqa_gguf_give_back(t);
    return report(loader, (size_t)hp->n_heads * (size_t)nope * row_bytes_of(t), err);
}

mqa_status mqa_load_vector(mqa_loader *loader, int layer, const char *name, int n, mqa_vector *out,
                           mqa_error *err)
{
    const mqa_gguf_tensor *t = NULL;
    MQA_TRY(find(loader, layer, name, n, 0, 0, &t, err));
    out->data = mqa_alloc_array(loader->ctx->allocator, (size_t)n, sizeof(float));
    if (!out->data) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the tensor %s", t->name);
    out->n = n;
    loader->model->weight_bytes += (size_t)n * sizeof(float);
    loader->model->n_params += t->n_values;
    mqa_error detail;
    if (mqa_gguf_dequantize(t->type, t->data, out->data, (size_t)n, &detail) != MQA_OK)
        return mqa_fail(err, detail.status == MQA_ERR_UNSUPPORTED ? MQA_ERR_UNSUPPORTED : MQA_ERR_FORMAT,
                        "%s: the tensor %s: %s", mqa_gguf_path(loader->gguf), t->name, detail.message);
    return report(loader, t->n_bytes, err);
}

/* ---- what all architectures have ---- */

mqa_status mqa_load_common(mqa_loader *loader, mqa_model *model, mqa_error *err)
{
    const mqa_hparams *hp = &model->hp;
    MQA_TRY(mqa_load_vector(loader, -1, "output_norm.weight", hp->n_embd, &model->output_norm, err));
    if (mqa_has_tensor(loader, -1, "output.weight"))
        MQA_TRY(mqa_load_matrix(loader, -1, "output.weight", hp->n_embd, hp->n_vocab, &model->head, err));
    return mqa_load_matrix(loader, -1, "token_embd.weight", hp->n_embd, hp->n_vocab, &model->embd, err);
}

mqa_status mqa_load_layer_rest(mqa_loader *loader, mqa_model *model, int layer, mqa_error *err)
{
    const mqa_hparams *hp = &model->hp;
    mqa_layer *l = &model->layers[layer];
    const int width = hp->n_heads * hp->out_dim;
    MQA_TRY(mqa_load_matrix(loader, layer, "attn_output.weight", width, hp->n_embd, &l->out, err));
    MQA_TRY(mqa_load_vector(loader, layer, "ffn_norm.weight", hp->n_embd, &l->ffn_norm, err));
    MQA_TRY(mqa_load_matrix(loader, layer, "ffn_gate.weight", hp->n_embd, hp->n_ff, &l->gate, err));
    MQA_TRY(mqa_load_matrix(loader, layer, "ffn_up.weight", hp->n_embd, hp->n_ff, &l->up, err));
    return mqa_load_matrix(loader, layer, "ffn_down.weight", hp->n_ff, hp->n_embd, &l->down, err);
}

mqa_status mqa_load_layer_common(mqa_loader *loader, mqa_model *model, int layer, mqa_error *err)
{
    const mqa_hparams *hp = &model->hp;
    mqa_layer *l = &model->layers[layer];
    const int q_width = hp->n_heads * hp->head_dim, kv_width = hp->n_kv_heads * hp->head_dim;
    MQA_TRY(mqa_load_vector(loader, layer, "attn_norm.weight", hp->n_embd, &l->attn_norm, err));
    MQA_TRY(mqa_load_matrix(loader, layer, "attn_q.weight", hp->n_embd, q_width, &l->q, err));
    MQA_TRY(mqa_load_matrix(loader, layer, "attn_k.weight", hp->n_embd, kv_width, &l->k, err));
    MQA_TRY(mqa_load_matrix(loader, layer, "attn_v.weight", hp->n_embd, kv_width, &l->v, err));
    return mqa_load_layer_rest(loader, model, layer, err);
}
