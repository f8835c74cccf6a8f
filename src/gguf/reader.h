/* One GGUF file of a model, parsed: what gguf.c puts together. Private to this room.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GGUF_READER_H
#define MQA_GGUF_READER_H

#include "gguf/gguf.h"

#define MQA_GGUF_MAX_VALUES    16384
#define MQA_GGUF_MAX_KEY       1023
#define MQA_GGUF_MAX_TENSORS   131072 /* of all files of a model */
#define MQA_GGUF_MAX_NAME      255
#define MQA_GGUF_MAX_DIMS      4
#define MQA_GGUF_MIN_ALIGNMENT 8
#define MQA_GGUF_MAX_ALIGNMENT ((uint32_t)1 << 30)
#define MQA_GGUF_ALIGNMENT     32                   /* without general.alignment */
#define MQA_GGUF_INDEX_STRIDE  16                   /* mqa_gguf_value.index has every 16th string */
#define MQA_GGUF_MAGIC         UINT32_C(0x46554747) /* "GGUF" */

typedef struct mqa_gguf_part {
    mqa_file file;
    uint32_t version;
    size_t n_values, n_tensors;
    mqa_gguf_value *values;
    const mqa_gguf_value **by_key; /* sorted */
    mqa_gguf_tensor *tensors;      /* .file isn't set: a part may still move */
} mqa_gguf_part;

/* max_tensors: more are refused. On failure *out is zeroed. */
mqa_status mqa_gguf_part_open(const char *path, size_t max_tensors, mqa_gguf_part *out, mqa_error *err);
void mqa_gguf_part_close(mqa_gguf_part *part);
const mqa_gguf_value *mqa_gguf_part_find(const mqa_gguf_part *part, const char *key);

/* Bytes of one value of this type; 0 for strings, arrays and numbers that are no type. */
size_t mqa_gguf_value_bytes(uint32_t type);

/* A single integer value within [min, max], else MQA_ERR_FORMAT. */
mqa_status mqa_gguf_value_integer(const mqa_gguf_value *value, const char *path, __int128 min, __int128 max,
                                  __int128 *out, mqa_error *err);

/* Sorting and searching arrays of pointers to structs whose first member is a const char *name.
 * sort returns a name that is there twice, or NULL. */
const char *mqa_gguf_sort_names(const void **items, size_t n);
const void *mqa_gguf_search_names(const void *const *items, size_t n, const char *name);

#endif
