/* From what a client asks to what the engine takes: the same for a server and for who verifies its receipts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_REQUEST_H
#define MQA_OPENAI_REQUEST_H

#include "mqa/engine.h"
#include "openai/ask.h"

/* Everything but tenant, deadlines and mask. max_tokens: resolved. *bias: the caller's to free() after
 * submit. */
bool mqa_request_of_ask(const mqa_ask *ask, const mqa_tokens *prompt, int64_t max_tokens, mqa_request *out,
                        mqa_logit_bias **bias, mqa_api_error *error);

#endif
