/* JSON Schema: values that are given, as the text they may be written in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/json.h"

static mqa_expr literal_text(mqa_translation *t, const json_t *value)
{
    char number[40];
    if (json_is_real(value)) { /* the fewest digits that give it back */
        const double x = json_real_value(value);
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(number, sizeof number, "%.*g", digits, x);
            if (strtod(number, NULL) == x) break;
        }
        if (!strpbrk(number, ".e")) strcat(number, ".0"); /* as it came */
        return mqa_book_bytes(&t->book, number, strlen(number));
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) mqa_book_fail(&t->book, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for a value");
    const mqa_expr out = mqa_book_bytes(&t->book, text ? text : "", text ? strlen(text) : 0);
    free(text);
    return out;
}

mqa_expr mqa_schema_literal(mqa_translation *t, const json_t *value)
{
    mqa_book *b = &t->book;
    const size_t n = json_is_object(value) ? json_object_size(value) : json_array_size(value);
    if (n == 0) return literal_text(t, value);
    mqa_expr *parts = calloc(n, sizeof *parts), out = 0;
    if (!parts) mqa_book_fail(b, MQA_ERR_OUT_OF_MEMORY, "schema: no memory for a value");
    size_t i = 0;
    const char *key;
    json_t *inner;
    const mqa_expr comma = mqa_book_sequence(b, mqa_book_text(b, ","), mqa_prelude(t, "ws"));
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, inner)
        {
            if (b->status != MQA_OK) break;
            json_t *name = json_string(key);
            parts[i++] = mqa_book_sequence(b, literal_text(t, name), mqa_book_text(b, ":"),
                                           mqa_prelude(t, "sp"), mqa_schema_literal(t, inner));
            json_decref(name);
        }
    } else {
        json_array_foreach((json_t *)(uintptr_t)value, i, inner)
        {
            if (b->status != MQA_OK) break;
            parts[i] = mqa_schema_literal(t, inner);
        }
    }
    for (i = 1; i < n && b->status == MQA_OK; i++) parts[i] = mqa_book_sequence(b, comma, parts[i]);
    if (b->status == MQA_OK) {
        const bool object = json_is_object(value);
        out = mqa_book_list(b, MQA_EXPR_SEQUENCE, parts, n);
        out = mqa_book_sequence(b, object ? mqa_book_text(b, "{") : mqa_book_text(b, "["),
                                mqa_prelude(t, "ws"), out, mqa_prelude(t, "ws"),
                                object ? mqa_book_text(b, "}") : mqa_book_text(b, "]"));
        out = mqa_book_share(b, out);
    }
    free(parts);
    return out;
}
