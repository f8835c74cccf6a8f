/* Growing arrays.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_ARRAY_H
#define MQA_TOKENIZER_ARRAY_H

#include "base/status.h"
#include "mqa/tokenizer.h"

/* Makes room for need elements of size bytes (*data, *capacity in elements); at least doubles. */
mqa_status mqa_array_reserve(void *data, size_t *capacity, size_t need, size_t size, mqa_error *err);

mqa_status mqa_tokens_push(mqa_tokens *tokens, int32_t id, mqa_error *err);
mqa_status mqa_text_append(mqa_text *text, const void *bytes, size_t n, mqa_error *err);

#endif
