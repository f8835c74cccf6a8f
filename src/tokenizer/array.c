/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/array.h"

#include <stdlib.h>
#include <string.h>

mqa_status mqa_array_reserve(void *data, size_t *capacity, size_t need, size_t size, mqa_error *err)
{
    if (need <= *capacity) return MQA_OK;
    size_t wanted = *capacity < 16 ? 16 : *capacity * 2;
    if (wanted < need) wanted = need;
    void *grown; /* *data is a pointer of some other type: copied in and out as bytes */
    memcpy(&grown, data, sizeof grown);
    grown = wanted > SIZE_MAX / 2 / size ? NULL : realloc(grown, wanted * size);
    if (!grown)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for %zu elements of %zu bytes",
                        wanted, size);
    memcpy(data, &grown, sizeof grown);
    *capacity = wanted;
    return MQA_OK;
}

mqa_status mqa_tokens_push(mqa_tokens *tokens, int32_t id, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&tokens->ids, &tokens->capacity, tokens->n + 1, sizeof *tokens->ids, err));
    tokens->ids[tokens->n++] = id;
    return MQA_OK;
}

mqa_status mqa_text_append(mqa_text *text, const void *bytes, size_t n, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&text->bytes, &text->capacity, text->n + n + 1, 1, err));
    if (n) memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    text->bytes[text->n] = 0;
    return MQA_OK;
}

void mqa_tokens_free(mqa_tokens *tokens)
{
    if (!tokens) return;
    free(tokens->ids);
    *tokens = (mqa_tokens){0};
}

void mqa_text_free(mqa_text *text)
{
    if (!text) return;
    free(text->bytes);
    *text = (mqa_text){0};
}
