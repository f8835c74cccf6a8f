/* What a line of a batch file asks for: OpenAI's /v1/completions and /v1/chat/completions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "tokenizer/array.h"

__attribute__((format(printf, 2, 3))) static bool wrong(batch_line *line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(line->wrong, sizeof line->wrong, fmt, args);
    va_end(args);
    line->code = 400;
    return false;
}

/* ---- values ---- */

/* A value that is there and not null. */
static json_t *value_of(const batch_line *line, const char *key)
{
    json_t *value = json_object_get(json_object_get(line->json, "body"), key);
    return json_is_null(value) ? NULL : value;
}

static bool take_real(batch_line *line, const char *key, double lo, double hi, float *out)
{
    const json_t *value = value_of(line, key);
    if (!value) return true;
    const double x = json_number_value(value);
    if (!json_is_number(value) || !(x >= lo && x <= hi))
        return wrong(line, "%s: give a number from %g to %g", key, lo, hi);
    *out = (float)x;
    return true;
}

static bool take_int(batch_line *line, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
    const json_t *value = value_of(line, key);
    if (!value) return true;
    const json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < lo || n > hi)
        return wrong(line, "%s: give a whole number from %lld to %lld", key, (long long)lo, (long long)hi);
    *out = n;
    return true;
}

/* Things that would change the answer and aren't done. */
static bool refuse_unsupported(batch_line *line)
{
    static const char *const keys[] = {"tools",  "functions", "suffix", "echo",      "best_of",
                                       "stream", "audio",     "logits", "prediction"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = value_of(line, keys[i]);
        if (value && !json_is_false(value) && !(json_is_array(value) && json_array_size(value) == 0))
            return wrong(line, "%s isn't supported: leave it out", keys[i]);
    }
    const json_t *format = value_of(line, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format && (!type || strcmp(type, "text") != 0))
        return wrong(line, "response_format: only {\"type\": \"text\"} is supported here");
    return true;
}

/* ---- prompts ---- */

static bool took(batch_line *line, mqa_status status, const mqa_error *err)
{
    return status == MQA_OK || wrong(line, "%s", err->message);
}

static bool take_ids(batch_line *line, const char *what, const json_t *array, int n_vocab, mqa_tokens *out)
{
    size_t i;
    json_t *id;
    json_array_foreach(array, i, id)
    {
        const json_int_t token = json_integer_value(id);
        if (!json_is_integer(id) || token < 0 || token >= n_vocab)
            return wrong(line, "%s: give token ids from 0 to %d", what, n_vocab - 1);
        mqa_error err;
        if (!took(line, mqa_tokens_push(out, (int32_t)token, &err), &err)) return false;
    }
    return true;
}

static bool take_prompt(batch_line *line, const mqa_model *model, int n_vocab)
{
    const json_t *prompt = value_of(line, "prompt");
    if (json_is_array(prompt) && json_is_integer(json_array_get(prompt, 0)))
        return take_ids(line, "prompt", prompt, n_vocab, &line->prompt);
    if (json_is_array(prompt) && json_array_size(prompt) == 1) prompt = json_array_get(prompt, 0);
    if (!json_is_string(prompt))
        return wrong(line, "prompt: give a text or an array of token ids; several are several lines");
    mqa_error err;
    return took(line,
                mqa_tokenizer_encode(mqa_model_tokenizer(model), json_string_value(prompt),
                                     json_string_length(prompt),
                                     MQA_ENCODE_ADD_SPECIAL | MQA_ENCODE_PARSE_SPECIAL, &line->prompt, &err),
                &err);
}

/* A text, or parts of it. */
static bool take_content(batch_line *line, const json_t *content, mqa_text *out)
{
    mqa_error err;
    if (json_is_string(content))
        return took(line, mqa_text_append(out, json_string_value(content), json_string_length(content), &err),
                    &err);
    size_t i;
    json_t *part;
    if (!json_is_array(content)) return wrong(line, "messages: content is a text or an array of parts");
    json_array_foreach(content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text)) return wrong(line, "messages: only parts of type text are supported");
        if (!took(line, mqa_text_append(out, json_string_value(text), json_string_length(text), &err), &err))
            return false;
    }
    return took(line, mqa_text_append(out, "", 0, &err), &err);
}

static bool encode_chat(batch_line *line, const mqa_model *model, const json_t *list,
                        mqa_chat_message *messages, mqa_text *texts)
{
    size_t i;
    json_t *message;
    json_array_foreach(list, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        if (!role) return wrong(line, "messages: message %zu has no role", i);
        if (!take_content(line, json_object_get(message, "content"), &texts[i])) return false;
        messages[i].role = strcmp(role, "developer") == 0 ? "system" : role;
        messages[i].content = texts[i].bytes ? texts[i].bytes : "";
    }
    mqa_error err;
    return took(line,
                mqa_chat_encode(mqa_model_tokenizer(model), messages, json_array_size(list),
                                MQA_CHAT_OPEN_REPLY, &line->prompt, &err),
                &err);
}

static bool take_messages(batch_line *line, const mqa_model *model)
{
    const json_t *list = value_of(line, "messages");
    const size_t n = json_array_size(list);
    if (n == 0) return wrong(line, "messages: give an array of one or more");
    mqa_chat_message *messages = calloc(n, sizeof *messages);
    mqa_text *texts = calloc(n, sizeof *texts);
    const bool ok = messages && texts ? encode_chat(line, model, list, messages, texts)
                                      : wrong(line, "no memory for %zu messages", n);
    for (size_t i = 0; texts && i < n; i++) mqa_text_free(&texts[i]);
    free(texts);
    free(messages);
    return ok;
}

/* ---- parameters ---- */

static bool take_stops(batch_line *line, int n_vocab)
{
    const json_t *stop = value_of(line, "stop");
    const size_t n = json_is_string(stop) ? 1 : json_array_size(stop);
    if (stop && (n > BATCH_MAX_STOPS || (!json_is_string(stop) && !json_is_array(stop))))
        return wrong(line, "stop: give a text or an array of up to %d", BATCH_MAX_STOPS);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_is_string(stop) ? stop : json_array_get(stop, i));
        if (!text || !*text) return wrong(line, "stop: texts that aren't empty");
        line->stops[line->n_stops++] = text;
    }
    return take_ids(line, "stop_token_ids", value_of(line, "stop_token_ids"), n_vocab, &line->stop_tokens);
}

static bool take_bias(batch_line *line)
{
    json_t *object = value_of(line, "logit_bias"), *value;
    if (!object || json_object_size(object) == 0) return true;
    line->bias = calloc(json_object_size(object), sizeof *line->bias);
    if (!line->bias) return wrong(line, "logit_bias: no memory");
    line->request.bias = line->bias;
    const char *key;
    json_object_foreach(object, key, value)
    {
        char *end;
        const long token = strtol(key, &end, 10);
        const double bias = json_number_value(value);
        if (*end || end == key || token < 0 || token > INT32_MAX || !json_is_number(value) || bias < -100 ||
            bias > 100)
            return wrong(line, "logit_bias: give token ids with numbers from -100 to 100");
        line->bias[line->request.n_bias++] = (mqa_logit_bias){(int32_t)token, (float)bias};
    }
    return true;
}

/* completions: a number; chat: yes or no, and a number. */
static bool take_logprobs(batch_line *line)
{
    int64_t n = -1;
    if (line->chat) {
        const json_t *wanted = value_of(line, "logprobs");
        if (wanted && !json_is_boolean(wanted)) return wrong(line, "logprobs: give true or false");
        if (json_is_true(wanted)) n = 0;
        if (!take_int(line, "top_logprobs", 0, MQA_MAX_TOP_LOGPROBS, &n)) return false;
        if (n >= 0 && !json_is_true(wanted)) return wrong(line, "top_logprobs: only with logprobs: true");
    } else if (!take_int(line, "logprobs", 0, MQA_MAX_TOP_LOGPROBS, &n)) {
        return false;
    }
    line->request.n_logprobs = (int)n;
    return true;
}

static bool take_parameters(batch_line *line, const mqa_model *model, int64_t context)
{
    mqa_model_info info;
    mqa_model_get_info(model, &info);
    mqa_request *r = &line->request;
    *r = mqa_request_default();
    r->sampling = (mqa_sampling){.temperature = 1, .top_p = 1};
    int64_t top_k = 0, n = 1, seed = 0, max_tokens = line->chat ? 0 : 16;
    if (!(line->chat ? take_messages(line, model) : take_prompt(line, model, info.n_vocab))) return false;
    if (!refuse_unsupported(line) || !take_stops(line, info.n_vocab) || !take_bias(line) ||
        !take_logprobs(line) || !take_real(line, "temperature", 0, 100, &r->sampling.temperature) ||
        !take_real(line, "top_p", 0, 1, &r->sampling.top_p) ||
        !take_real(line, "min_p", 0, 1, &r->sampling.min_p) ||
        !take_int(line, "top_k", 0, INT32_MAX, &top_k) ||
        !take_real(line, "presence_penalty", -2, 2, &r->presence_penalty) ||
        !take_real(line, "frequency_penalty", -2, 2, &r->frequency_penalty) ||
        !take_real(line, "repetition_penalty", 0.01, 100, &r->repetition_penalty) ||
        !take_int(line, "n", 1, MQA_MAX_CHOICES, &n) ||
        !take_int(line, "seed", INT64_MIN, INT64_MAX, &seed) ||
        !take_int(line, "max_tokens", 1, INT64_MAX, &max_tokens) ||
        !take_int(line, "max_completion_tokens", 1, INT64_MAX, &max_tokens))
        return false;
    const json_t *ignore = value_of(line, "ignore_eos");
    if (ignore && !json_is_boolean(ignore)) return wrong(line, "ignore_eos: give true or false");
    r->ignore_end = json_is_true(ignore);
    const int64_t room = context - (int64_t)line->prompt.n + 1;
    r->prompt = line->prompt.ids;
    r->n_prompt = (int64_t)line->prompt.n;
    r->max_tokens = max_tokens < room ? max_tokens : 0;
    r->n_choices = (int)n;
    r->sampling.top_k = (int)top_k;
    r->sampling.seed = (uint64_t)seed;
    r->stop_tokens = line->stop_tokens.ids;
    r->n_stop_tokens = (int)line->stop_tokens.n;
    return true;
}

static bool make_choices(batch_line *line, const mqa_model *model)
{
    line->choices = calloc((size_t)line->request.n_choices, sizeof *line->choices);
    if (!line->choices) return wrong(line, "no memory for %d choices", line->request.n_choices);
    for (int i = 0; i < line->request.n_choices; i++) {
        mqa_error err;
        const unsigned flags = line->chat ? MQA_DECODE_STRIP_PREFIX : 0;
        if (!took(line,
                  mqa_detokenizer_create(mqa_model_tokenizer(model), flags, &line->choices[i].stream, &err),
                  &err))
            return false;
        if (line->request.n_logprobs >= 0) line->choices[i].logprobs = json_array();
    }
    return true;
}

/* ---- the line ---- */

bool batch_read(batch_line *line, const char *text, size_t n, const mqa_model *model, int64_t context)
{
    *line = (batch_line){.code = 200};
    json_error_t error;
    line->json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(line->json))
        return wrong(line, "not a JSON object (%s)", line->json ? "another value" : error.text);
    line->custom_id = json_string_value(json_object_get(line->json, "custom_id"));
    if (!line->custom_id) return wrong(line, "no custom_id, or it isn't a text");
    const char *method = json_string_value(json_object_get(line->json, "method"));
    line->url = json_string_value(json_object_get(line->json, "url"));
    if (!json_is_object(json_object_get(line->json, "body")))
        return wrong(line, "body: give an object"), true;
    if (!method || strcmp(method, "POST") != 0) return wrong(line, "method: give POST"), true;
    line->chat = line->url && strcmp(line->url, "/v1/chat/completions") == 0;
    if (!line->chat && (!line->url || strcmp(line->url, "/v1/completions") != 0))
        return wrong(line, "url: give /v1/completions or /v1/chat/completions"), true;
    if (take_parameters(line, model, context)) make_choices(line, model);
    return true;
}

void batch_free(batch_line *line)
{
    for (int i = 0; line->choices && i < line->request.n_choices; i++) {
        mqa_text_free(&line->choices[i].text);
        mqa_detokenizer_destroy(&line->choices[i].stream);
        json_decref(line->choices[i].logprobs);
    }
    free(line->choices);
    free(line->bias);
    mqa_tokens_free(&line->prompt);
    mqa_tokens_free(&line->stop_tokens);
    json_decref(line->json);
    *line = (batch_line){0};
}
