/* A weight matrix of a model, packed for the kernels, and the rows that are multiplied by it.
 *
 * A matrix is kept in one of three forms, which nothing above this file needs to know:
 *   MQA_FORM_QUANTS  tiles of integers with scales (linear_kernels.h); rows are s8 in blocks of 32
 *   MQA_FORM_F32     granules of the cache's K layout, 64 outputs each (attention_kernels.h)
 *   MQA_FORM_BF16    the same in bf16, always by the portable recipe (docs/numerics.md section 5)
 * Outputs are dealt with in granules of 64, so rows of results have room for a multiple of 64.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_MATRIX_H
#define MQA_MODEL_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernels.h"

typedef enum mqa_form { MQA_FORM_QUANTS = 0, MQA_FORM_F32 = 1, MQA_FORM_BF16 = 2 } mqa_form;
#define MQA_FORMS 3

typedef struct mqa_matrix {
    int n_in, n_out; /* n_out is 0 where the model has no such matrix */
    mqa_form form;
    mqa_linear_weight quants; /* of MQA_FORM_QUANTS */
    size_t run_bytes;         /* of the others: a granule */
    unsigned char *data;      /* owned */
    size_t bytes;
} mqa_matrix;

/* n_out in granules of 64. */
static inline int mqa_matrix_granules(const mqa_matrix *w)
{
    return (w->n_out + MQA_GRANULE - 1) / MQA_GRANULE;
}

/* Takes zeroed memory for n_out x n_in; format matters for MQA_FORM_QUANTS only. */
mqa_status mqa_matrix_create(const mqa_allocator *allocator, mqa_form form, mqa_linear_format format,
                             int n_in, int n_out, mqa_matrix *out, mqa_error *err);
void mqa_matrix_destroy(const mqa_allocator *allocator, mqa_matrix *w);

/* Packs one output's row of a float form; false if a value isn't finite. (Quants: mqa_linear_pack_row.) Rows
 * of different tiles of 16 outputs may be packed at the same time. */
bool mqa_matrix_pack_floats(mqa_matrix *w, int output, const float *x);
/* One output's row as f32: x[n_in]. */
void mqa_matrix_unpack_row(const mqa_matrix *w, int output, float *x);

/* Rows of activations in every form that the matrices they meet ask for. */
typedef struct mqa_inputs {
    int n_in, n_blocks;
    unsigned forms; /* bits 1 << mqa_form */
    mqa_linear_rows quants;
    unsigned char *packed[MQA_FORMS]; /* of the float forms: rows of MQA_Q_ROW_BYTES(n_in) */
} mqa_inputs;

/* Bytes for `rows` rows, a multiple of 64; and their division of memory aligned to 64 bytes. */
size_t mqa_inputs_bytes(unsigned forms, int n_in, int rows);
void mqa_inputs_make(unsigned forms, int n_in, int rows, unsigned char *memory, mqa_inputs *out);

/* Puts x[rows] (stride floats apart, n_in values each) in as rows row .. row + rows - 1. False if a float
 * form met a value that isn't finite. */
bool mqa_inputs_set(const mqa_kernels *kernels, const mqa_inputs *in, int row, int rows, const float *x,
                    size_t stride);
/* Puts columns [column, column + n) of one row in; column is a multiple of 32. Quants only. */
void mqa_inputs_set_columns(const mqa_kernels *kernels, const mqa_inputs *in, int row, int column, int n,
                            const float *x);

/* y[r * y_stride + o] = W x for rows row .. row + rows - 1 and the outputs of granules [granule0, granule1);
 * y begins at output 64 * granule0 and may be written up to the next multiple of 64. y is aligned to 64
 * bytes, y_stride a multiple of 16. scratch: mqa_matrix_scratch_bytes, one for each thread. */
void mqa_matrix_run(const mqa_kernels *kernels, const mqa_matrix *w, const mqa_inputs *in, int row, int rows,
                    int granule0, int granule1, float *y, size_t y_stride, void *scratch);
size_t mqa_matrix_scratch_bytes(const mqa_matrix *w);

#endif
