/* A line of a batch file, in OpenAI's format, and its answer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "openai/constrain.h"
#include "openai/prompt.h"
#include "openai/request.h"

/* ---- reading ---- */

static bool read_envelope(batch_line *line, const char **url, mqa_api_error *e)
{
    const char *method = json_string_value(json_object_get(line->json, "method"));
    *url = json_string_value(json_object_get(line->json, "url"));
    if (!json_is_object(json_object_get(line->json, "body")))
        return mqa_api_invalid(e, "body", "body: give an object");
    if (!method || strcmp(method, "POST") != 0) return mqa_api_invalid(e, "method", "method: give POST");
    return (*url && (strcmp(*url, "/v1/completions") == 0 || strcmp(*url, "/v1/chat/completions") == 0)) ||
           mqa_api_invalid(e, "url", "url: give /v1/completions or /v1/chat/completions");
}

static bool make_answer(const batch_world *w, batch_line *line, mqa_api_error *e)
{
    char id[48];
    snprintf(id, sizeof id, "%s-%zu", line->ask.chat ? "chatcmpl" : "cmpl", line->number);
    const mqa_answer_options o = {.tokenizer = mqa_model_tokenizer(w->model),
                                  .ask = &line->ask,
                                  .id = id,
                                  .model = w->name,
                                  .fingerprint = mqa_engine_recipe(w->engine),
                                  .created = (int64_t)time(NULL)};
    mqa_error err;
    const mqa_status status = mqa_answer_create(&o, &line->answer, &err);
    return status == MQA_OK || mqa_api_failed(e, status, &err);
}

static bool read_request(const batch_world *w, batch_line *line, mqa_api_error *e)
{
    const char *url;
    const mqa_tokenizer *tokenizer = mqa_model_tokenizer(w->model);
    mqa_model_info info;
    mqa_model_get_info(w->model, &info);
    if (!read_envelope(line, &url, e)) return false;
    const bool chat = strcmp(url, "/v1/chat/completions") == 0;
    if (!mqa_ask_read(json_object_get(line->json, "body"), chat, info.n_vocab, &line->ask, e)) return false;
    if (line->ask.n_prompts > 1) return mqa_api_invalid(e, "prompt", "prompt: several are several lines");
    if (line->ask.stream) return mqa_api_invalid(e, "stream", "stream: a file has none");
    if (line->ask.receipt) return mqa_api_invalid(e, "receipt", "receipt: a server gives them");
    if (line->ask.echo) return mqa_api_invalid(e, "echo", "echo: the prompt is in the file");
    if (!mqa_ask_encode(&line->ask, 0, tokenizer, true, mqa_engine_context(w->engine), &line->prompt, e))
        return false;
    line->usage.prompt_tokens = (int64_t)line->prompt.n;
    return make_answer(w, line, e);
}

void batch_open(const char *text, size_t n, size_t number, batch_line *line)
{
    *line = (batch_line){.number = number, .json = json_loadb(text, n, JSON_ALLOW_NUL, NULL)};
    line->custom_id = json_string_value(json_object_get(line->json, "custom_id"));
}

void batch_read(const batch_world *w, batch_line *line)
{
    mqa_api_error e;
    if (!read_request(w, line, &e)) line->error = e;
}

void batch_free(batch_line *line)
{
    mqa_answer_destroy(&line->answer);
    mqa_ask_free(&line->ask);
    mqa_tokens_free(&line->prompt);
    json_decref(line->json);
    *line = (batch_line){0};
}

/* ---- running ---- */

static bool make_languages(batch_world *w, mqa_api_error *e)
{
    mqa_error err;
    if (w->languages) return true;
    const mqa_status status =
        mqa_languages_create(mqa_model_tokenizer(w->model), MQA_LANGUAGES_BYTES, &w->languages, &err);
    return status == MQA_OK || mqa_api_failed(e, status, &err);
}

static bool submit(batch_world *w, batch_line *line, mqa_api_error *e)
{
    mqa_request request;
    mqa_logit_bias *bias;
    mqa_submission submission;
    mqa_error err;
    const int64_t n = (int64_t)line->prompt.n, context = mqa_engine_context(w->engine);
    if (line->ask.format != MQA_ASK_TEXT && !make_languages(w, e)) return false;
    if (!mqa_request_of_ask(&line->ask, &line->prompt, mqa_ask_max_tokens(&line->ask, n, context, context),
                            &request, &bias, e))
        return false;
    mqa_status status = MQA_ERR_INVALID_ARGUMENT;
    bool ok = mqa_constrain(&line->ask, w->languages, "", &request.mask, e);
    if (ok) {
        status = mqa_engine_submit(w->engine, &request, &submission, &err);
        line->id = submission.id;
        ok = status == MQA_OK ||
             (submission.refusal == MQA_REFUSAL_TOO_LARGE ? mqa_api_invalid(e, NULL, "%s", err.message)
                                                          : mqa_api_failed(e, status, &err));
    }
    free(bias);
    return ok;
}

void batch_submit(batch_world *w, batch_line *line)
{
    mqa_api_error e;
    if (!submit(w, line, &e)) line->error = e;
}

static mqa_status take(batch_line *line, const mqa_event *event, mqa_error *err)
{
    bool stopped;
    const mqa_token_logprob token = {event->token, event->logprob};
    switch (event->kind) {
    case MQA_EVENT_TOKEN:
        line->usage.completion_tokens += mqa_answer_goes_on(line->answer, event->choice);
        return mqa_answer_token(line->answer, event->choice, token, event->top, event->n_top, &stopped, err);
    case MQA_EVENT_FINISH:
        return mqa_answer_finish(line->answer, event->choice,
                                 event->finish == MQA_FINISH_LENGTH ? "length" : "stop", err);
    default:
        line->usage.cached_tokens = event->usage.cached_tokens;
        return MQA_OK;
    }
}

bool batch_take(batch_line *line, const mqa_event *event)
{
    mqa_error err = {.status = event->status};
    mqa_status status = take(line, event, &err);
    if (status == MQA_OK &&
        event->finish == MQA_FINISH_ERROR) { /* not what we cancelled after a stop string */
        status = event->status;
        snprintf(err.message, sizeof err.message, "%s", event->message);
    }
    if (status != MQA_OK && line->error.status == 0) mqa_api_failed(&line->error, status, &err);
    return line->error.status != 0 || mqa_answer_finished(line->answer);
}

/* ---- the answer ---- */

json_t *batch_reply(const batch_line *line)
{
    char batch_id[48], request_id[48];
    snprintf(batch_id, sizeof batch_id, "batch_req_%zu", line->number);
    snprintf(request_id, sizeof request_id, "req_%zu", line->number);
    json_t *body = line->error.status ? mqa_api_error_json(&line->error)
                                      : mqa_answer_json(line->answer, &line->usage, NULL);
    return json_pack("{s:s, s:s, s:{s:i, s:s, s:o}, s:n}", "id", batch_id, "custom_id", line->custom_id,
                     "response", "status_code", line->error.status ? line->error.status : 200, "request_id",
                     request_id, "body", body, "error");
}
