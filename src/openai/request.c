/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/request.h"

#include <math.h>
#include <stdlib.h>

bool mqa_request_of_ask(const mqa_ask *a, const mqa_tokens *prompt, int64_t max_tokens, mqa_request *out,
                        mqa_logit_bias **bias, mqa_api_error *e)
{
    *bias = calloc((size_t)a->n_biases + 1, sizeof **bias);
    if (!*bias) return mqa_api_refuse(e, 503, "server_error", "out_of_memory", "no memory for a request");
    for (int i = 0; i < a->n_biases; i++) /* OpenAI's -100 means never */
        (*bias)[i] =
            (mqa_logit_bias){a->biases[i].token, a->biases[i].bias <= -100 ? -INFINITY : a->biases[i].bias};
    *out = mqa_request_default();
    out->prompt = prompt->ids;
    out->n_prompt = (int64_t)prompt->n;
    out->max_tokens = max_tokens;
    out->n_choices = a->n;
    out->sampling.temperature = (float)a->temperature;
    out->sampling.top_k = (int)a->top_k;
    out->sampling.top_p = a->top_p > 0 ? (float)a->top_p : 1e-6f;
    out->sampling.min_p = (float)a->min_p;
    out->sampling.seed = a->seed;
    out->presence_penalty = (float)a->presence_penalty;
    out->frequency_penalty = (float)a->frequency_penalty;
    out->repetition_penalty = (float)a->repeat_penalty;
    out->bias = *bias;
    out->n_bias = a->n_biases;
    out->stop_tokens = a->stop_tokens.ids;
    out->n_stop_tokens = (int)a->stop_tokens.n;
    out->ignore_end = a->ignore_eos;
    out->n_logprobs = a->top_logprobs;
    return true;
}
