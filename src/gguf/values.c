/* Metadata: typed access to values and arrays.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/gguf.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "gguf/reader.h"

static const struct {
    const char *name;
    uint8_t bytes;
    bool integer, is_signed;
} value_types[] = {
    [MQA_GGUF_VALUE_U8] = {"u8", 1, true, false},    [MQA_GGUF_VALUE_I8] = {"i8", 1, true, true},
    [MQA_GGUF_VALUE_U16] = {"u16", 2, true, false},  [MQA_GGUF_VALUE_I16] = {"i16", 2, true, true},
    [MQA_GGUF_VALUE_U32] = {"u32", 4, true, false},  [MQA_GGUF_VALUE_I32] = {"i32", 4, true, true},
    [MQA_GGUF_VALUE_F32] = {"f32", 4, false, true},  [MQA_GGUF_VALUE_BOOL] = {"bool", 1, false, false},
    [MQA_GGUF_VALUE_STR] = {"str", 0, false, false}, [MQA_GGUF_VALUE_ARRAY] = {"array", 0, false, false},
    [MQA_GGUF_VALUE_U64] = {"u64", 8, true, false},  [MQA_GGUF_VALUE_I64] = {"i64", 8, true, true},
    [MQA_GGUF_VALUE_F64] = {"f64", 8, false, true},
};
#define N_VALUE_TYPES (sizeof value_types / sizeof value_types[0])

const char *mqa_gguf_value_type_name(mqa_gguf_value_type type)
{
    return (size_t)type < N_VALUE_TYPES ? value_types[type].name : "?";
}

size_t mqa_gguf_value_bytes(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].bytes : 0;
}

static uint64_t bits_at(const mqa_gguf_value *value, size_t i)
{
    const size_t bytes = value_types[value->type].bytes;
    uint64_t bits = 0;
    for (size_t b = 0; b < bytes; b++) bits |= (uint64_t)value->data[i * bytes + b] << (8 * b);
    return bits;
}

/* Of an integer type; bool counts as 0 or 1. */
static __int128 integer_at(const mqa_gguf_value *value, size_t i)
{
    const uint64_t bits = bits_at(value, i);
    const int unused = 64 - 8 * value_types[value->type].bytes;
    if (value->type == MQA_GGUF_VALUE_BOOL) return bits != 0;
    if (value_types[value->type].is_signed) return (int64_t)(bits << unused) >> unused;
    return bits;
}

static double real_at(const mqa_gguf_value *value, size_t i)
{
    const uint64_t bits = bits_at(value, i);
    const uint32_t low = (uint32_t)bits;
    float f32;
    double f64;
    memcpy(&f32, &low, sizeof f32);
    memcpy(&f64, &bits, sizeof f64);
    return value->type == MQA_GGUF_VALUE_F32 ? f32 : f64;
}

static bool is_real(const mqa_gguf_value *value)
{
    return value->type == MQA_GGUF_VALUE_F32 || value->type == MQA_GGUF_VALUE_F64;
}

static mqa_status wrong_type(const mqa_gguf_value *value, const char *path, const char *wanted,
                             mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s' is %s%s, not %s", path, value->key,
                    value->is_array ? "an array of " : "of type ", mqa_gguf_value_type_name(value->type),
                    wanted);
}

mqa_status mqa_gguf_value_integer(const mqa_gguf_value *value, const char *path, __int128 min, __int128 max,
                                  __int128 *out, mqa_error *err)
{
    if (value->is_array || !value_types[value->type].integer)
        return wrong_type(value, path, "an integer", err);
    const __int128 integer = integer_at(value, 0);
    if (integer < min || integer > max) {
        char text[32];
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s' is %s, not %lld to %llu", path, value->key,
                        mqa_gguf_format_value(value, text, sizeof text), (long long)min,
                        (unsigned long long)max);
    }
    *out = integer;
    return MQA_OK;
}

static mqa_status find(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out, mqa_error *err)
{
    *out = mqa_gguf_find_value(gguf, key);
    return *out ? MQA_OK
                : mqa_fail(err, MQA_ERR_NOT_FOUND, "%s: key '%s' is missing", mqa_gguf_path(gguf), key);
}

static mqa_status get_integer(const mqa_gguf *gguf, const char *key, __int128 min, __int128 max,
                              __int128 *out, mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    return mqa_gguf_value_integer(value, mqa_gguf_path(gguf), min, max, out, err);
}

mqa_status mqa_gguf_get_u32(const mqa_gguf *gguf, const char *key, uint32_t *out, mqa_error *err)
{
    __int128 integer = 0;
    MQA_TRY(get_integer(gguf, key, 0, UINT32_MAX, &integer, err));
    *out = (uint32_t)integer;
    return MQA_OK;
}

mqa_status mqa_gguf_get_u64(const mqa_gguf *gguf, const char *key, uint64_t *out, mqa_error *err)
{
    __int128 integer = 0;
    MQA_TRY(get_integer(gguf, key, 0, UINT64_MAX, &integer, err));
    *out = (uint64_t)integer;
    return MQA_OK;
}

mqa_status mqa_gguf_get_i32(const mqa_gguf *gguf, const char *key, int32_t *out, mqa_error *err)
{
    __int128 integer = 0;
    MQA_TRY(get_integer(gguf, key, INT32_MIN, INT32_MAX, &integer, err));
    *out = (int32_t)integer;
    return MQA_OK;
}

mqa_status mqa_gguf_get_f32(const mqa_gguf *gguf, const char *key, float *out, mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    if (value->is_array || !is_real(value))
        return wrong_type(value, mqa_gguf_path(gguf), "a number (f32)", err);
    const double real = real_at(value, 0);
    if (!(fabs(real) <= (double)__FLT_MAX__))
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s' is NaN, infinite, or too large for f32",
                        mqa_gguf_path(gguf), key);
    *out = (float)real;
    return MQA_OK;
}

mqa_status mqa_gguf_get_bool(const mqa_gguf *gguf, const char *key, bool *out, mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    if (value->is_array || value->type != MQA_GGUF_VALUE_BOOL)
        return wrong_type(value, mqa_gguf_path(gguf), "a bool", err);
    if (value->data[0] > 1)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s' is a bool of value %u", mqa_gguf_path(gguf), key,
                        value->data[0]);
    *out = value->data[0];
    return MQA_OK;
}

mqa_status mqa_gguf_get_str(const mqa_gguf *gguf, const char *key, mqa_gguf_str *out, mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    if (value->is_array || value->type != MQA_GGUF_VALUE_STR)
        return wrong_type(value, mqa_gguf_path(gguf), "a string", err);
    const mqa_gguf_str str = mqa_gguf_str_at(value, 0);
    if (memchr(str.data, 0, str.size) || !mqa_utf8_valid((const uint8_t *)str.data, str.size))
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s': its text is not UTF-8, or contains NUL",
                        mqa_gguf_path(gguf), key);
    *out = str;
    return MQA_OK;
}

mqa_status mqa_gguf_get_i32s(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out,
                             mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    if (!value->is_array || !(value_types[value->type].integer || value->type == MQA_GGUF_VALUE_BOOL))
        return wrong_type(value, mqa_gguf_path(gguf), "an array of integers", err);
    for (size_t i = 0; i < value->count; i++) {
        const __int128 integer = integer_at(value, i);
        if (integer < INT32_MIN || integer > INT32_MAX)
            return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s': element %zu doesn't fit 32 bits",
                            mqa_gguf_path(gguf), key, i);
    }
    *out = value;
    return MQA_OK;
}

mqa_status mqa_gguf_get_f32s(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out,
                             mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    if (!value->is_array || !is_real(value))
        return wrong_type(value, mqa_gguf_path(gguf), "an array of numbers (f32)", err);
    for (size_t i = 0; i < value->count; i++)
        if (isnan(real_at(value, i)))
            return mqa_fail(err, MQA_ERR_FORMAT, "%s: key '%s': element %zu is NaN", mqa_gguf_path(gguf), key,
                            i);
    *out = value;
    return MQA_OK;
}

mqa_status mqa_gguf_get_strs(const mqa_gguf *gguf, const char *key, const mqa_gguf_value **out,
                             mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(find(gguf, key, &value, err));
    if (!value->is_array || value->type != MQA_GGUF_VALUE_STR)
        return wrong_type(value, mqa_gguf_path(gguf), "an array of strings", err);
    *out = value;
    return MQA_OK;
}

int32_t mqa_gguf_i32_at(const mqa_gguf_value *value, size_t i)
{
    return (int32_t)integer_at(value, i);
}

float mqa_gguf_f32_at(const mqa_gguf_value *value, size_t i)
{
    return (float)real_at(value, i);
}

mqa_gguf_str mqa_gguf_str_at(const mqa_gguf_value *value, size_t i)
{
    mqa_cursor c = mqa_cursor_make(value->data, value->size);
    if (value->index) c.position = (size_t)value->index[i / MQA_GGUF_INDEX_STRIDE];
    for (size_t skip = i % MQA_GGUF_INDEX_STRIDE; skip > 0; skip--)
        mqa_cursor_bytes(&c, (size_t)mqa_cursor_u64(&c));
    const size_t size = (size_t)mqa_cursor_u64(&c);
    const char *data = (const char *)mqa_cursor_bytes(&c, size);
    return data ? (mqa_gguf_str){data, size} : (mqa_gguf_str){"", 0};
}
