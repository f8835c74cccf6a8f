/* SPDX-License-Identifier: Apache-2.0 */
#include "model/matrix.h"

#include "base/memory.h"

enum { TILES_PER_GRANULE = MQA_GRANULE / MQA_TILE, RUNS_PER_CALL = 16, ROWS_PER_CALL = 64 };

static mqa_kv_type kv_type(mqa_form form)
{
    return form == MQA_FORM_BF16 ? MQA_KV_BF16 : MQA_KV_F32;
}

static mqa_status no_room(int n_in, int n_out, mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a matrix of %d x %d weights", n_out, n_in);
}

mqa_status mqa_matrix_create(const mqa_allocator *allocator, mqa_form form, mqa_linear_format format,
                             int n_in, int n_out, mqa_matrix *out, mqa_error *err)
{
    *out = (mqa_matrix){.n_in = n_in, .n_out = n_out, .form = form};
    size_t bytes;
    if (form == MQA_FORM_QUANTS) {
        if (!mqa_linear_bytes(format, n_in, n_out, &bytes)) return no_room(n_in, n_out, err);
    } else {
        out->run_bytes = mqa_k_run_bytes(kv_type(form), n_in);
        if (!mqa_mul(out->run_bytes, (size_t)mqa_matrix_granules(out), &bytes))
            return no_room(n_in, n_out, err);
    }
    out->data = mqa_alloc(allocator, bytes);
    if (!out->data) return no_room(n_in, n_out, err);
    out->bytes = bytes;
    out->quants = (mqa_linear_weight){.format = format,
                                      .n_in = n_in,
                                      .n_out = n_out,
                                      .n_blocks = (n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK,
                                      .data = out->data};
    if (form == MQA_FORM_QUANTS) out->quants.block_bytes = mqa_linear_block_bytes(format);
    return MQA_OK;
}

void mqa_matrix_destroy(const mqa_allocator *allocator, mqa_matrix *w)
{
    mqa_release(allocator, w->data, w->bytes);
    *w = (mqa_matrix){0};
}

static unsigned char *granule_run(const mqa_matrix *w, int granule)
{
    return w->data + (size_t)granule * w->run_bytes;
}

bool mqa_matrix_pack_floats(mqa_matrix *w, int output, const float *x)
{
    return mqa_pack_k(kv_type(w->form), granule_run(w, output / MQA_GRANULE), w->n_in, output % MQA_GRANULE,
                      x) != 0;
}

void mqa_matrix_unpack_row(const mqa_matrix *w, int output, float *x)
{
    if (w->form == MQA_FORM_QUANTS)
        mqa_linear_unpack_row(&w->quants, output, x);
    else
        mqa_unpack_k(kv_type(w->form), granule_run(w, output / MQA_GRANULE), w->n_in, output % MQA_GRANULE,
                     x);
}

/* ---- inputs ---- */

static unsigned char *take(unsigned char **at, size_t bytes)
{
    unsigned char *p = *at;
    *at += mqa_round_up(bytes, MQA_CACHE_LINE);
    return p;
}

/* Divides memory from *at on and moves it to the end; from NULL it only counts. */
static void divide(unsigned forms, int n_in, int rows, unsigned char **at, mqa_inputs *out)
{
    const size_t n_blocks = (size_t)(n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK, n_rows = (size_t)rows;
    *out = (mqa_inputs){.n_in = n_in, .n_blocks = (int)n_blocks, .forms = forms};
    if (forms >> MQA_FORM_QUANTS & 1) {
        out->quants.q = (int8_t *)take(at, n_rows * n_blocks * MQA_LINEAR_BLOCK);
        out->quants.scale = (float *)take(at, n_rows * n_blocks * sizeof(float));
        out->quants.sum16 = (int32_t *)take(at, n_rows * n_blocks * 2 * sizeof(int32_t));
    }
    for (int form = MQA_FORM_F32; form < MQA_FORMS; form++)
        if (forms >> form & 1) out->packed[form] = take(at, n_rows * MQA_Q_ROW_BYTES(n_in));
}

size_t mqa_inputs_bytes(unsigned forms, int n_in, int rows)
{
    mqa_inputs in;
    unsigned char *const base = (unsigned char *)MQA_CACHE_LINE, *at = base;
    divide(forms, n_in, rows, &at, &in);
    return (size_t)(at - base);
}

void mqa_inputs_make(unsigned forms, int n_in, int rows, unsigned char *memory, mqa_inputs *out)
{
    divide(forms, n_in, rows, &memory, out);
}

static mqa_linear_rows rows_from(const mqa_inputs *in, int row, int column)
{
    const size_t block = (size_t)row * (size_t)in->n_blocks + (size_t)(column / MQA_LINEAR_BLOCK);
    return (mqa_linear_rows){.q = in->quants.q + block * MQA_LINEAR_BLOCK,
                             .scale = in->quants.scale + block,
                             .sum16 = in->quants.sum16 + 2 * block};
}

bool mqa_inputs_set(const mqa_kernels *kernels, const mqa_inputs *in, int row, int rows, const float *x,
                    size_t stride)
{
    bool finite = true;
    if (in->forms >> MQA_FORM_QUANTS & 1) {
        mqa_linear_rows out = rows_from(in, row, 0);
        kernels->linear.quantize_rows(x, stride, rows, in->n_in, &out);
    }
    for (int form = MQA_FORM_F32; form < MQA_FORMS; form++) {
        if (!(in->forms >> form & 1)) continue;
        mqa_pack_q_fn *pack = kernels->attention[MQA_NUMERICS_PORTABLE].pack_q[kv_type((mqa_form)form)];
        const size_t bytes = MQA_Q_ROW_BYTES(in->n_in);
        for (int r = 0; r < rows; r++) {
            const float *q = x + (size_t)r * stride;
            if (!pack(&q, 1, in->n_in, 1.0f, in->packed[form] + (size_t)(row + r) * bytes)) finite = false;
        }
    }
    return finite;
}

void mqa_inputs_set_columns(const mqa_kernels *kernels, const mqa_inputs *in, int row, int column, int n,
                            const float *x)
{
    mqa_linear_rows out = rows_from(in, row, column);
    kernels->linear.quantize_rows(x, (size_t)n, 1, n, &out);
}

/* ---- products ---- */

static void run_floats(const mqa_kernels *kernels, const mqa_matrix *w, const mqa_inputs *in, int row,
                       int rows, int granule0, int granule1, float *y, size_t y_stride)
{
    mqa_scores_fn *scores = kernels->attention[MQA_NUMERICS_PORTABLE].scores[kv_type(w->form)];
    const unsigned char *x = in->packed[w->form] + (size_t)row * MQA_Q_ROW_BYTES(w->n_in);
    for (int g = granule0; g < granule1; g += RUNS_PER_CALL) {
        const int n = granule1 - g < RUNS_PER_CALL ? granule1 - g : RUNS_PER_CALL;
        const void *runs[RUNS_PER_CALL];
        for (int i = 0; i < n; i++) runs[i] = granule_run(w, g + i);
        for (int r = 0; r < rows; r += ROWS_PER_CALL) {
            const int n_rows = rows - r < ROWS_PER_CALL ? rows - r : ROWS_PER_CALL;
            scores(x + (size_t)r * MQA_Q_ROW_BYTES(w->n_in), n_rows, w->n_in, runs, n, NULL,
                   y + (size_t)r * y_stride + (size_t)(g - granule0) * MQA_GRANULE, y_stride);
        }
    }
}

void mqa_matrix_run(const mqa_kernels *kernels, const mqa_matrix *w, const mqa_inputs *in, int row, int rows,
                    int granule0, int granule1, float *y, size_t y_stride, void *scratch)
{
    if (w->form != MQA_FORM_QUANTS) {
        run_floats(kernels, w, in, row, rows, granule0, granule1, y, y_stride);
        return;
    }
    const int tile0 = granule0 * TILES_PER_GRANULE, all_tiles = (w->n_out + MQA_TILE - 1) / MQA_TILE;
    const int tile1 = granule1 * TILES_PER_GRANULE < all_tiles ? granule1 * TILES_PER_GRANULE : all_tiles;
    /* The kernel counts outputs from the matrix's first: it gets a matrix that begins at tile0. */
    mqa_linear_weight part = w->quants;
    part.data += (size_t)tile0 * (size_t)part.n_blocks * part.block_bytes;
    part.n_out = (tile1 - tile0) * MQA_TILE;
    const mqa_linear_rows x = rows_from(in, row, 0);
    kernels->linear.linear(&part, &x, rows, 0, tile1 - tile0, y, y_stride, scratch);
}

size_t mqa_matrix_scratch_bytes(const mqa_matrix *w)
{
    return w->n_out > 0 && w->form == MQA_FORM_QUANTS ? mqa_linear_scratch_bytes(&w->quants) : 0;
}
