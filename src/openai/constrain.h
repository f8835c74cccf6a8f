/* response_format and grammar: a request's language as the engine's mask.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_CONSTRAIN_H
#define MQA_OPENAI_CONSTRAIN_H

#include "mqa/engine.h"
#include "openai/ask.h"
#include "openai/languages.h"

/* *out: fill NULL where the ask has no format; else the engine's, which releases it, or the caller's to
 * release if it isn't submitted. owner: whose languages (languages.h). */
bool mqa_constrain(const mqa_ask *ask, mqa_languages *languages, const char *owner, mqa_token_mask *out,
                   mqa_api_error *error);

#endif
