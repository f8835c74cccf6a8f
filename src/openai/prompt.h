/* A request's prompts as tokens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_PROMPT_H
#define MQA_OPENAI_PROMPT_H

#include "openai/ask.h"

/* Prompt i of the ask, appended to out: fewer tokens than context. own: the text is its asker's own, and
 * "<eos>" in it is that token; else it is plain text, as it always is in chats. */
bool mqa_ask_encode(const mqa_ask *ask, int i, const mqa_tokenizer *tokenizer, bool own, int64_t context,
                    mqa_tokens *out, mqa_api_error *error);

/* How many tokens an answer may have: what was asked for, or OpenAI's 16 for completions and chat_tokens for
 * chats; and what the context leaves. */
int64_t mqa_ask_max_tokens(const mqa_ask *ask, int64_t n_prompt, int64_t context, int64_t chat_tokens);

#endif
