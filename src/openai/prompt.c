/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/prompt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tokenizer/array.h"

enum { COMPLETION_MAX_TOKENS = 16, SHORT_TOKEN = 16 /* bytes */ };

static bool too_long(const mqa_ask *ask, mqa_api_error *e)
{
    snprintf(e->param, sizeof e->param, "%s", ask->chat ? "messages" : "prompt");
    e->code = "context_length_exceeded";
    return false;
}

static bool too_many(const mqa_ask *ask, size_t n, int64_t context, mqa_api_error *e)
{
    mqa_api_invalid(e, NULL,
                    "the prompt has %zu tokens; this model's context is %" PRId64 " tokens, with the answer",
                    n, context);
    return too_long(ask, e);
}

/* So many megabytes that no tokens are long enough: known without looking for them. */
static bool may_fit(const mqa_ask *ask, const mqa_tokenizer *tokenizer, size_t n_bytes, int64_t context,
                    mqa_api_error *e)
{
    size_t longest = 1;
    if (n_bytes / SHORT_TOKEN < (size_t)context) return true;
    for (int32_t id = 0; id < mqa_tokenizer_n_tokens(tokenizer); id++) {
        size_t n;
        (void)mqa_tokenizer_piece(tokenizer, id, &n);
        if (n > longest) longest = n;
    }
    if (n_bytes / longest < (size_t)context) return true;
    mqa_api_invalid(e, NULL,
                    "the prompt has %zu bytes; this model's context is %" PRId64
                    " tokens of up to %zu bytes, with the answer",
                    n_bytes, context, longest);
    return too_long(ask, e);
}

static bool encode_messages(const mqa_ask *ask, const mqa_ask_message *asked, size_t n,
                            const mqa_tokenizer *tokenizer, int64_t context, mqa_tokens *out,
                            mqa_api_error *e)
{
    mqa_error err;
    size_t n_bytes = 0;
    for (size_t i = 0; i < n; i++) n_bytes += asked[i].content.n;
    if (!may_fit(ask, tokenizer, n_bytes, context, e)) return false;
    mqa_chat_message *messages = calloc(n, sizeof *messages);
    if (!messages) return mqa_api_refuse(e, 503, "server_error", "out_of_memory", "no memory for messages");
    for (size_t i = 0; i < n; i++)
        messages[i] = (mqa_chat_message){asked[i].role, asked[i].content.n ? asked[i].content.bytes : ""};
    const mqa_status status = mqa_chat_encode(tokenizer, messages, n, MQA_CHAT_OPEN_REPLY, out, &err);
    free(messages);
    return status == MQA_OK || mqa_api_failed(e, status, &err);
}

static bool encode_chat(const mqa_ask *ask, const mqa_tokenizer *tokenizer, int64_t context, mqa_tokens *out,
                        mqa_api_error *e)
{
    mqa_ask_message *asked;
    size_t n;
    const bool ok =
        mqa_ask_messages(ask, &asked, &n, e) && encode_messages(ask, asked, n, tokenizer, context, out, e);
    mqa_ask_messages_free(asked, n);
    return ok;
}

static bool encode_text(const mqa_ask *ask, const json_t *prompt, const mqa_tokenizer *tokenizer, bool own,
                        int64_t context, mqa_tokens *out, mqa_api_error *e)
{
    mqa_error err;
    const size_t n = json_string_length(prompt);
    if (!may_fit(ask, tokenizer, n, context, e)) return false;
    const unsigned flags = MQA_ENCODE_ADD_SPECIAL | (own ? MQA_ENCODE_PARSE_SPECIAL : 0u);
    const mqa_status status = mqa_tokenizer_encode(tokenizer, json_string_value(prompt), n, flags, out, &err);
    if (status == MQA_OK && out->n == 0)
        return mqa_api_invalid(e, "prompt", "an empty prompt, and this model has no token to begin with");
    return status == MQA_OK || mqa_api_failed(e, status, &err);
}

static bool take_tokens(const mqa_ask *ask, const json_t *prompt, int64_t context, mqa_tokens *out,
                        mqa_api_error *e)
{
    size_t i;
    json_t *item;
    if ((int64_t)json_array_size(prompt) >= context)
        return too_many(ask, json_array_size(prompt), context, e);
    json_array_foreach((json_t *)prompt, i, item)
    {
        mqa_error err;
        int64_t id = 0;
        (void)mqa_json_whole(item, 0, INT32_MAX, &id); /* the ask was checked */
        const mqa_status status = mqa_tokens_push(out, (int32_t)id, &err);
        if (status != MQA_OK) return mqa_api_failed(e, status, &err);
    }
    return true;
}

bool mqa_ask_encode(const mqa_ask *ask, int i, const mqa_tokenizer *tokenizer, bool own, int64_t context,
                    mqa_tokens *out, mqa_api_error *e)
{
    const bool ok = ask->chat ? encode_chat(ask, tokenizer, context, out, e)
                    : json_is_string(ask->prompts[i])
                        ? encode_text(ask, ask->prompts[i], tokenizer, own, context, out, e)
                        : take_tokens(ask, ask->prompts[i], context, out, e);
    if (!ok) return false;
    return (int64_t)out->n < context || too_many(ask, out->n, context, e);
}

int64_t mqa_ask_max_tokens(const mqa_ask *ask, int64_t n_prompt, int64_t context, int64_t chat_tokens)
{
    int64_t n = ask->max_tokens;
    if (n < 0) n = ask->chat ? chat_tokens : COMPLETION_MAX_TOKENS;
    return n < context - n_prompt ? n : context - n_prompt;
}
