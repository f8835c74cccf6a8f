/* Metadata values as text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gguf/reader.h"

typedef struct text {
    char *data;
    size_t size, length;
} text;

__attribute__((format(printf, 2, 3))) static void append(text *t, const char *fmt, ...)
{
    if (t->length >= t->size) return;
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(t->data + t->length, t->size - t->length, fmt, args);
    va_end(args);
    t->length += n > 0 ? (size_t)n : 0;
}

static void append_element(text *t, const mqa_gguf_value *value, size_t i)
{
    const size_t bytes = mqa_gguf_value_bytes(value->type);
    mqa_cursor c = mqa_cursor_make(value->data + i * bytes, bytes);
    switch (value->type) {
    case MQA_GGUF_VALUE_U8:
        append(t, "%u", mqa_cursor_u8(&c));
        break;
    case MQA_GGUF_VALUE_I8:
        append(t, "%d", (int8_t)mqa_cursor_u8(&c));
        break;
    case MQA_GGUF_VALUE_U16:
        append(t, "%u", mqa_cursor_u16(&c));
        break;
    case MQA_GGUF_VALUE_I16:
        append(t, "%d", (int16_t)mqa_cursor_u16(&c));
        break;
    case MQA_GGUF_VALUE_U32:
        append(t, "%" PRIu32, mqa_cursor_u32(&c));
        break;
    case MQA_GGUF_VALUE_I32:
        append(t, "%" PRId32, (int32_t)mqa_cursor_u32(&c));
        break;
    case MQA_GGUF_VALUE_U64:
        append(t, "%" PRIu64, mqa_cursor_u64(&c));
        break;
    case MQA_GGUF_VALUE_I64:
        append(t, "%" PRId64, (int64_t)mqa_cursor_u64(&c));
        break;
    case MQA_GGUF_VALUE_F32:
        append(t, "%.9g", (double)mqa_cursor_f32(&c));
        break;
    case MQA_GGUF_VALUE_F64:
        append(t, "%.17g", mqa_cursor_f64(&c));
        break;
    case MQA_GGUF_VALUE_BOOL:
        append(t, "%s", mqa_cursor_u8(&c) ? "true" : "false");
        break;
    case MQA_GGUF_VALUE_STR: {
        const mqa_gguf_str str = mqa_gguf_str_at(value, i);
        const size_t shown = str.size < t->size ? str.size : t->size;
        append(t, value->is_array ? "\"%.*s\"" : "%.*s", (int)shown, str.data);
        break;
    }
    case MQA_GGUF_VALUE_ARRAY:
        break; /* never an element's type */
    }
}

char *mqa_gguf_format_value(const mqa_gguf_value *value, char *out, size_t size)
{
    if (size == 0) return out;
    text t = {out, size > INT16_MAX ? INT16_MAX : size, 0};
    out[0] = '\0';
    if (value->is_array) append(&t, "[");
    for (size_t i = 0; i < value->count && t.length < t.size; i++) {
        if (i > 0) append(&t, ", ");
        append_element(&t, value, i);
    }
    if (value->is_array) append(&t, "]");
    if (t.length >= t.size && t.size > 4) strcpy(out + t.size - 4, "...");
    mqa_one_line(out);
    return out;
}
