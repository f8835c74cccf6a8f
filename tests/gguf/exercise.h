/* Opens a file as a model loader would and reads all there is to read. For tests and the fuzz target.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_GGUF_EXERCISE_H
#define MQA_TESTS_GGUF_EXERCISE_H

#include <stdlib.h>

#include "gguf/gguf.h"

static volatile size_t exercise_sum; /* what was read must be read */

static inline void exercise_value(const mqa_gguf *gguf, const mqa_gguf_value *value)
{
    char line[64];
    mqa_error err;
    const mqa_gguf_value *array;
    mqa_gguf_str str;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    float f32;
    bool flag;
    if (mqa_gguf_find_value(gguf, value->key) != value) abort();
    mqa_gguf_format_value(value, line, sizeof line);
    mqa_gguf_get_u32(gguf, value->key, &u32, &err);
    mqa_gguf_get_u64(gguf, value->key, &u64, &err);
    mqa_gguf_get_i32(gguf, value->key, &i32, &err);
    mqa_gguf_get_f32(gguf, value->key, &f32, &err);
    mqa_gguf_get_bool(gguf, value->key, &flag, &err);
    if (mqa_gguf_get_str(gguf, value->key, &str, &err) == MQA_OK && str.size)
        exercise_sum += (uint8_t)str.data[str.size - 1];
    if (mqa_gguf_get_i32s(gguf, value->key, &array, &err) == MQA_OK)
        for (size_t i = 0; i < array->count; i++) exercise_sum += (size_t)mqa_gguf_i32_at(array, i);
    if (mqa_gguf_get_f32s(gguf, value->key, &array, &err) == MQA_OK)
        for (size_t i = 0; i < array->count; i++) exercise_sum += mqa_gguf_f32_at(array, i) > 0;
    if (mqa_gguf_get_strs(gguf, value->key, &array, &err) == MQA_OK)
        for (size_t i = 0; i < array->count; i++) {
            str = mqa_gguf_str_at(array, i);
            if (str.size) exercise_sum += (uint8_t)str.data[str.size - 1];
        }
}

/* Of each tensor, at most the first 1,024 values and the last block. */
static inline void exercise_tensor(const mqa_gguf *gguf, const mqa_gguf_tensor *tensor)
{
    float values[1024];
    mqa_error err;
    const mqa_gguf_type_info *info = mqa_gguf_type_find(tensor->type);
    if (mqa_gguf_find_tensor(gguf, tensor->name) != tensor || info == NULL) abort();
    if (!info->readable) return;
    mqa_gguf_dequantize(tensor->type, tensor->data, values, tensor->n_values < 1024 ? tensor->n_values : 1024,
                        &err);
    mqa_gguf_dequantize(tensor->type, tensor->data + tensor->n_bytes - info->block_bytes, values,
                        info->block_values, &err);
    mqa_gguf_give_back(tensor);
}

static inline mqa_status exercise_file(const char *path, mqa_error *err)
{
    mqa_gguf *gguf;
    const mqa_status status = mqa_gguf_open(path, &gguf, err);
    if (status != MQA_OK) {
        if (gguf != NULL) abort();
        return status;
    }
    for (size_t i = 0; i < mqa_gguf_n_values(gguf); i++) exercise_value(gguf, mqa_gguf_value_at(gguf, i));
    for (size_t i = 0; i < mqa_gguf_n_tensors(gguf); i++) exercise_tensor(gguf, mqa_gguf_tensor_at(gguf, i));
    mqa_gguf_close(&gguf);
    return MQA_OK;
}

#endif
