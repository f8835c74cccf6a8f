/* Writes GGUF files, version 3. The file appears whole under its name, or not at all: it is written under
 * a temporary name beside it and renamed when it is complete.
 *
 *     mqa_gguf_writer *w;
 *     MQA_TRY(mqa_gguf_writer_create(&w, err));
 *     mqa_gguf_writer_add_str(w, "general.architecture", "gemma3");
 *     mqa_gguf_writer_add_u32(w, "gemma3.block_count", 2);
 *     mqa_gguf_writer_add_tensor(w, "output_norm.weight", MQA_GGUF_F32, 1, (size_t[]){640}, weights);
 *     status = mqa_gguf_writer_finish(w, path, err);
 *     mqa_gguf_writer_destroy(&w);
 *
 * The add functions keep the first failure for finish to report (a key given twice or malformed, dims
 * that don't fit the type, no memory), so that they need no check of their own. One thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GGUF_WRITER_H
#define MQA_GGUF_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "gguf/gguf.h"

typedef struct mqa_gguf_writer mqa_gguf_writer;

mqa_status mqa_gguf_writer_create(mqa_gguf_writer **out, mqa_error *err);
void mqa_gguf_writer_destroy(mqa_gguf_writer **writer);

void mqa_gguf_writer_add_u32(mqa_gguf_writer *w, const char *key, uint32_t value);
void mqa_gguf_writer_add_f32(mqa_gguf_writer *w, const char *key, float value);
void mqa_gguf_writer_add_bool(mqa_gguf_writer *w, const char *key, bool value);
void mqa_gguf_writer_add_str(mqa_gguf_writer *w, const char *key, const char *value);
/* Any type but STR and ARRAY; value points to one of C's type of that width (bool: one byte, 0 or 1). */
void mqa_gguf_writer_add_scalar(mqa_gguf_writer *w, const char *key, mqa_gguf_value_type type,
                                const void *value);
/* values: count elements of C's type of that width. */
void mqa_gguf_writer_add_array(mqa_gguf_writer *w, const char *key, mqa_gguf_value_type type,
                               const void *values, size_t count);
void mqa_gguf_writer_add_strs(mqa_gguf_writer *w, const char *key, const mqa_gguf_str *values, size_t count);
/* A view of another file's metadata, copied. */
void mqa_gguf_writer_add_value(mqa_gguf_writer *w, const mqa_gguf_value *value);

/* Alignment of the tensors' data, a power of two from 8 (default 32); writes general.alignment. */
void mqa_gguf_writer_set_alignment(mqa_gguf_writer *w, uint32_t alignment);
/* dims[0] is a row's values; data (the size follows from type and dims) is borrowed until finish. */
void mqa_gguf_writer_add_tensor(mqa_gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                                const size_t *dims, const void *data);

/* Writes path, replacing what is there. May be called again for another path. */
mqa_status mqa_gguf_writer_finish(const mqa_gguf_writer *w, const char *path, mqa_error *err);

#endif
