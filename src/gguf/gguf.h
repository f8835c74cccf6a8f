/* GGUF model files, read: metadata and tensors of one file, or of all files of a split model.
 *
 * Versions 2 and 3, little endian. The file is mapped, nothing of it is copied but names. It is hostile
 * until proven otherwise: every size is checked before it is believed, and whatever is wrong ends in
 * MQA_ERR_FORMAT with the file and the field in the message. Memory used beyond the map: at most a
 * sixteenth of the file (for arrays of strings) plus some 70 MB at the limits below, in practice a few
 * hundred KB.
 *
 * Limits: 16,384 keys of 1,023 bytes, 131,072 tensors with names of 255 bytes, arrays of arrays refused,
 * 4 dimensions, alignments of 8 bytes to 1 GiB.
 *
 * A mqa_gguf never changes once opened: any number of threads may read it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GGUF_GGUF_H
#define MQA_GGUF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "gguf/types.h"

typedef struct mqa_gguf mqa_gguf;

/* Types of metadata values; the numbers are the format's. */
typedef enum mqa_gguf_value_type {
    MQA_GGUF_VALUE_U8 = 0,
    MQA_GGUF_VALUE_I8 = 1,
    MQA_GGUF_VALUE_U16 = 2,
    MQA_GGUF_VALUE_I16 = 3,
    MQA_GGUF_VALUE_U32 = 4,
    MQA_GGUF_VALUE_I32 = 5,
    MQA_GGUF_VALUE_F32 = 6,
    MQA_GGUF_VALUE_BOOL = 7,
    MQA_GGUF_VALUE_STR = 8,
    MQA_GGUF_VALUE_ARRAY = 9,
    MQA_GGUF_VALUE_U64 = 10,
    MQA_GGUF_VALUE_I64 = 11,
    MQA_GGUF_VALUE_F64 = 12
} mqa_gguf_value_type;

const char *mqa_gguf_value_type_name(mqa_gguf_value_type type); /* "u32", "str", … */

/* Bytes inside the map: not terminated, valid until the file is closed. */
typedef struct mqa_gguf_str {
    const char *data;
    size_t size;
} mqa_gguf_str;

/* One value, or an array of them; a view into the file. */
typedef struct mqa_gguf_value {
    const char *key;          /* terminated, valid UTF-8 */
    mqa_gguf_value_type type; /* of the value, or of an array's elements; never ARRAY */
    bool is_array;
    size_t count;          /* elements; 1 for a single value */
    const uint8_t *data;   /* as in the file: little endian, any alignment; strings with their lengths */
    size_t size;           /* bytes at data */
    const uint64_t *index; /* arrays of strings: where in data every 16th begins */
} mqa_gguf_value;

typedef struct mqa_gguf_tensor {
    const char *name; /* terminated, valid UTF-8 */
    uint32_t type;    /* mqa_gguf_type, or another that mqa_gguf_type_find knows */
    uint32_t n_dims;  /* 0 to 4 */
    size_t dims[4];   /* dims[0]: values in a row (the input width of a matrix), dims[1]: rows; unused: 1 */
    size_t n_values;  /* product of dims, never 0 */
    size_t n_bytes;
    const uint8_t
        *data; /* in the map, aligned to 8 bytes or more; row r of a matrix begins at r * n_bytes / dims[1] */
    const mqa_file *file; /* the map that holds it */
    size_t offset;        /* of data in that file */
} mqa_gguf_tensor;

/* Opens path and, where it is "…-00001-of-0000N.gguf" of a split model, the other N - 1 files beside it. */
mqa_status mqa_gguf_open(const char *path, mqa_gguf **out, mqa_error *err);
/* Sets *gguf to NULL; NULL and a pointer to NULL are fine. All views into it end. */
void mqa_gguf_close(mqa_gguf **gguf);

const char *mqa_gguf_path(const mqa_gguf *gguf);    /* as given to open */
uint32_t mqa_gguf_version(const mqa_gguf *gguf);    /* 2 or 3 */
uint64_t mqa_gguf_file_bytes(const mqa_gguf *gguf); /* of all files */
size_t mqa_gguf_n_files(const mqa_gguf *gguf);

/* Metadata: of the first file, in its order. */
size_t mqa_gguf_n_values(const mqa_gguf *gguf);
const mqa_gguf_value *mqa_gguf_value_at(const mqa_gguf *gguf, size_t i);
const mqa_gguf_value *mqa_gguf_find_value(const mqa_gguf *gguf, const char *key); /* NULL if absent */

/* One value by key. MQA_ERR_NOT_FOUND (message: the key is missing) or MQA_ERR_FORMAT (it has another
 * type, or doesn't fit), with *out untouched. Integers of any width and sign are taken where the value
 * fits; f32 takes f32 and f64, finite ones only. A str is valid UTF-8 without NUL. */
mqa_status mqa_gguf_get_u32(const mqa_gguf *gguf, const char *key, uint32_t *out, mqa_error *err);
mqa_status mqa_gguf_get_u64(const mqa_gguf *gguf, const char *key, uint64_t *out, mqa_error *err);
mqa_status mqa_gguf_get_i32(const mqa_gguf *gguf, const char *key, int32_t *out, mqa_error *err);
mqa_status mqa_gguf_get_f32(const mqa_gguf *gguf, const char *key, float *out, mqa_error *err);
mqa_status mqa_gguf_get_bool(const mqa_gguf *gguf, const char *key, bool *out, mqa_error *err);
mqa_status mqa_gguf_get_str(const mqa_gguf *gguf, const char *key, mqa_gguf_str *out, mqa_error *err);

/* For optional keys: turns MQA_ERR_NOT_FOUND into MQA_OK, so that *out keeps the default it came with:
 *     uint32_t window = 0;
 *     MQA_TRY(mqa_gguf_optional(mqa_gguf_get_u32(gguf, key, &window, err))); */
static inline mqa_status mqa_gguf_optional(mqa_status status)
{
    return status == MQA_ERR_NOT_FOUND ? MQA_OK : status;
}

/* Arrays by key, as views: read the elements with the functions below. Checked here once: i32 takes any
 * integer type (and bool) whose elements all fit; f32 takes f32 and f64 without NaN; strs takes anything
 * that is an array of strings, whose bytes are the caller's to judge. */
mqa_status mqa_gguf_get_i32s(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out,
                             mqa_error *err);
mqa_status mqa_gguf_get_f32s(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out,
                             mqa_error *err);
mqa_status mqa_gguf_get_strs(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out,
                             mqa_error *err);

/* Element i < count of a value or array whose type the getters above have checked. */
int32_t mqa_gguf_i32_at(const mqa_gguf_value *value, size_t i);
float mqa_gguf_f32_at(const mqa_gguf_value *value, size_t i);
mqa_gguf_str mqa_gguf_str_at(const mqa_gguf_value *value, size_t i);

/* The value for people, on one line: long strings and arrays are shortened to fit size. Returns out. */
char *mqa_gguf_format_value(const mqa_gguf_value *value, char *out, size_t size);

/* Tensors: of all files, in their order. */
size_t mqa_gguf_n_tensors(const mqa_gguf *gguf);
const mqa_gguf_tensor *mqa_gguf_tensor_at(const mqa_gguf *gguf, size_t i);
const mqa_gguf_tensor *mqa_gguf_find_tensor(const mqa_gguf *gguf, const char *name); /* NULL if absent */

/* Tells the kernel that the tensor's pages won't be read again; they come back from the file if they are. */
void mqa_gguf_give_back(const mqa_gguf_tensor *tensor);

#endif
