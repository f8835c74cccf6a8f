/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/prompt.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tokenizer/array.h"

enum { COMPLETION_MAX_TOKENS = 16 };

static bool encode_chat(const mqa_ask *ask, const mqa_tokenizer *tokenizer, mqa_tokens *out, mqa_api_error *e)
{
    mqa_ask_message *asked;
    size_t n;
    mqa_error err;
    mqa_chat_message *messages = NULL;
    bool ok = mqa_ask_messages(ask, &asked, &n, e);
    if (ok && !(messages = calloc(n, sizeof *messages)))
        ok = mqa_api_refuse(e, 503, "server_error", "out_of_memory", "no memory for messages");
    for (size_t i = 0; ok && i < n; i++)
        messages[i] = (mqa_chat_message){asked[i].role, asked[i].content.n ? asked[i].content.bytes : ""};
    if (ok) {
        const mqa_status status = mqa_chat_encode(tokenizer, messages, n, MQA_CHAT_OPEN_REPLY, out, &err);
        ok = status == MQA_OK || mqa_api_failed(e, status, &err);
    }
    free(messages);
    mqa_ask_messages_free(asked, n);
    return ok;
}

static bool encode_text(const json_t *prompt, const mqa_tokenizer *tokenizer, bool own, mqa_tokens *out,
                        mqa_api_error *e)
{
    mqa_error err;
    mqa_status status = MQA_OK;
    if (json_is_string(prompt)) {
        const unsigned flags = MQA_ENCODE_ADD_SPECIAL | (own ? MQA_ENCODE_PARSE_SPECIAL : 0u);
        status = mqa_tokenizer_encode(tokenizer, json_string_value(prompt), json_string_length(prompt), flags,
                                      out, &err);
        if (status == MQA_OK && out->n == 0)
            return mqa_api_invalid(e, "prompt", "an empty prompt, and this model has no token to begin with");
    } else {
        for (size_t i = 0; i < json_array_size(prompt) && status == MQA_OK; i++) {
            int64_t id = 0; /* the ask was checked */
            (void)mqa_json_whole(json_array_get(prompt, i), 0, INT32_MAX, &id);
            status = mqa_tokens_push(out, (int32_t)id, &err);
        }
    }
    return status == MQA_OK || mqa_api_failed(e, status, &err);
}

bool mqa_ask_encode(const mqa_ask *ask, int i, const mqa_tokenizer *tokenizer, bool own, int64_t context,
                    mqa_tokens *out, mqa_api_error *e)
{
    if (!(ask->chat ? encode_chat(ask, tokenizer, out, e)
                    : encode_text(ask->prompts[i], tokenizer, own, out, e)))
        return false;
    if ((int64_t)out->n < context) return true;
    mqa_api_invalid(e, ask->chat ? "messages" : "prompt",
                    "the prompt has %zu tokens; this model's context is %" PRId64 " tokens, with the answer",
                    out->n, context);
    e->code = "context_length_exceeded";
    return false;
}

int64_t mqa_ask_max_tokens(const mqa_ask *ask, int64_t n_prompt, int64_t context, int64_t chat_tokens)
{
    int64_t n = ask->max_tokens;
    if (n < 0) n = ask->chat ? chat_tokens : COMPLETION_MAX_TOKENS;
    return n < context - n_prompt ? n : context - n_prompt;
}
