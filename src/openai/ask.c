/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/ask.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/array.h"

/* ---- values of one kind each: absent or null leaves *out as it is ---- */

static const json_t *field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

bool mqa_json_whole(const json_t *value, int64_t lo, int64_t hi, int64_t *out)
{
    static const double most = 9007199254740992.0; /* 2^53 */
    const double real = json_real_value(value);
    if (json_is_real(value) && real >= -most && real <= most && real == floor(real))
        *out = (int64_t)real;
    else if (json_is_integer(value))
        *out = json_integer_value(value);
    else
        return false;
    return *out >= lo && *out <= hi;
}

static bool take_bool(const json_t *object, const char *name, bool *out, mqa_api_error *e)
{
    const json_t *v = field(object, name);
    if (!v) return true;
    if (!json_is_boolean(v)) return mqa_api_invalid(e, name, "'%s' must be true or false", name);
    *out = json_is_true(v);
    return true;
}

static bool take_int(const json_t *object, const char *name, int64_t lo, int64_t hi, int64_t *out,
                     mqa_api_error *e)
{
    const json_t *v = field(object, name);
    if (!v) return true;
    int64_t value;
    if (!mqa_json_whole(v, lo, hi, &value))
        return mqa_api_invalid(e, name, "'%s' must be a whole number from %" PRId64 " to %" PRId64, name, lo,
                               hi);
    *out = value;
    return true;
}

static bool take_real(const json_t *object, const char *name, double lo, double hi, double *out,
                      mqa_api_error *e)
{
    const json_t *v = field(object, name);
    if (!v) return true;
    const double value = json_number_value(v);
    if (!json_is_number(v) || !(value >= lo && value <= hi))
        return mqa_api_invalid(e, name, "'%s' must be a number from %g to %g", name, lo, hi);
    *out = value;
    return true;
}

/* ---- what is more than one value ---- */

static bool take_stop(mqa_ask *a, const json_t *v, mqa_api_error *e)
{
    const size_t n = json_string_length(v);
    const char *text = json_string_value(v);
    size_t n_characters = 0;
    for (size_t i = 0; i < n; i++) n_characters += ((uint8_t)text[i] & 0xC0) != 0x80;
    if (n_characters == 0 || n_characters > MQA_ASK_MAX_STOP)
        return mqa_api_invalid(e, "stop", "'stop' must be strings of 1 to %d characters", MQA_ASK_MAX_STOP);
    a->stops[a->n_stops++] = (mqa_ask_text){text, n};
    return true;
}

static bool take_stops(mqa_ask *a, mqa_api_error *e)
{
    const json_t *v = field(a->root, "stop");
    if (!v) return true;
    if (!json_is_array(v)) return take_stop(a, v, e);
    if (json_array_size(v) > MQA_ASK_MAX_STOPS)
        return mqa_api_invalid(e, "stop", "'stop' may have %d strings", MQA_ASK_MAX_STOPS);
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)v, i, item) if (!take_stop(a, item, e)) return false;
    return true;
}

static bool take_stop_tokens(mqa_ask *a, int n_vocab, mqa_api_error *e)
{
    const json_t *list = field(a->root, "stop_token_ids");
    if (list && (!json_is_array(list) || json_array_size(list) > MQA_ASK_MAX_BIASES))
        return mqa_api_invalid(e, "stop_token_ids",
                               "'stop_token_ids' must be an array of at most %d token ids",
                               MQA_ASK_MAX_BIASES);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v)
    {
        mqa_error err;
        int64_t id;
        if (!mqa_json_whole(v, 0, n_vocab - 1, &id))
            return mqa_api_invalid(e, "stop_token_ids", "'stop_token_ids[%zu]' is no token id of this model",
                                   i);
        const mqa_status status = mqa_tokens_push(&a->stop_tokens, (int32_t)id, &err);
        if (status != MQA_OK) return mqa_api_failed(e, status, &err);
    }
    return true;
}

static bool parse_token(const char *text, int n_vocab, int32_t *out)
{
    char *end;
    const long long id = strtoll(text, &end, 10);
    if (end == text || *end || text[0] < '0' || text[0] > '9' || id < 0 || id >= n_vocab) return false;
    *out = (int32_t)id;
    return true;
}

static bool take_biases(mqa_ask *a, int n_vocab, mqa_api_error *e)
{
    const json_t *v = field(a->root, "logit_bias");
    if (!v) return true;
    if (!json_is_object(v) || json_object_size(v) > MQA_ASK_MAX_BIASES)
        return mqa_api_invalid(e, "logit_bias", "'logit_bias' must be an object of at most %d token ids",
                               MQA_ASK_MAX_BIASES);
    a->biases = calloc(json_object_size(v) + 1, sizeof *a->biases);
    if (!a->biases) return mqa_api_refuse(e, 503, "server_error", "out_of_memory", "no memory for a request");
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)v, key, item)
    {
        mqa_ask_bias *b = &a->biases[a->n_biases++];
        const double bias = json_number_value(item);
        if (!parse_token(key, n_vocab, &b->token))
            return mqa_api_invalid(e, "logit_bias", "'logit_bias': '%.32s' is no token id of this model",
                                   key);
        if (!json_is_number(item) || !(bias >= -100 && bias <= 100))
            return mqa_api_invalid(e, "logit_bias", "'logit_bias': values must be from -100 to 100");
        b->bias = (float)bias;
    }
    return true;
}

static bool take_logprobs(mqa_ask *a, mqa_api_error *e)
{
    int64_t n = -1;
    if (!a->chat) { /* a number there: the likeliest so many */
        if (!take_int(a->root, "logprobs", 0, MQA_ASK_MAX_TOP_LOGPROBS, &n, e)) return false;
    } else {
        bool wanted = false;
        if (!take_bool(a->root, "logprobs", &wanted, e)) return false;
        if (!take_int(a->root, "top_logprobs", 0, MQA_ASK_MAX_TOP_LOGPROBS, &n, e)) return false;
        if (n >= 0 && !wanted)
            return mqa_api_invalid(e, "top_logprobs", "'top_logprobs' needs 'logprobs': true");
        if (wanted && n < 0) n = 0;
    }
    a->top_logprobs = (int)n;
    return true;
}

static bool take_schema(mqa_ask *a, const json_t *schema, const char *param, mqa_api_error *e)
{
    a->format = MQA_ASK_JSON_SCHEMA;
    a->schema = schema;
    return json_is_object(schema) || json_is_boolean(schema) ||
           mqa_api_invalid(e, param, "'%s' holds no JSON Schema", param);
}

static bool take_grammar(mqa_ask *a, const json_t *grammar, mqa_api_error *e)
{
    a->format = MQA_ASK_GRAMMAR;
    a->grammar = (mqa_ask_text){json_string_value(grammar), json_string_length(grammar)};
    return json_is_string(grammar) || mqa_api_invalid(e, "grammar", "'grammar' must be a string");
}

/* json_schema, and schema beside json_object, are llama.cpp's. */
static bool take_format(mqa_ask *a, mqa_api_error *e)
{
    const json_t *grammar = field(a->root, "grammar"), *schema = field(a->root, "json_schema"),
                 *format = field(a->root, "response_format");
    if ((grammar != NULL) + (schema != NULL) + (format != NULL) > 1)
        return mqa_api_invalid(e, grammar ? "grammar" : "json_schema",
                               "give one of 'grammar', 'json_schema' and 'response_format'");
    if (grammar) return take_grammar(a, grammar, e);
    if (schema) return take_schema(a, schema, "json_schema", e);
    if (!format) return true;
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!type)
        return mqa_api_invalid(e, "response_format", "'response_format' must be an object with a 'type'");
    if (strcmp(type, "text") == 0) return true;
    if (strcmp(type, "json_object") == 0) {
        a->format = MQA_ASK_JSON_OBJECT;
        schema = field(format, "schema");
        return !schema || take_schema(a, schema, "response_format.schema", e);
    }
    if (strcmp(type, "json_schema") == 0)
        return take_schema(a, json_object_get(json_object_get(format, "json_schema"), "schema"),
                           "response_format.json_schema", e);
    return mqa_api_invalid(e, "response_format.type",
                           "'response_format.type' must be text, json_object or json_schema");
}

static bool is_tokens(const json_t *v, int n_vocab)
{
    size_t i;
    json_t *item;
    if (!json_is_array(v) || json_array_size(v) == 0) return false;
    int64_t id;
    json_array_foreach((json_t *)v, i, item) if (!mqa_json_whole(item, 0, n_vocab - 1, &id)) return false;
    return true;
}

/* A string, token ids, or an array of either. */
static bool take_prompts(mqa_ask *a, int n_vocab, mqa_api_error *e)
{
    const json_t *v = field(a->root, "prompt");
    if (!v) return mqa_api_invalid(e, "prompt", "there is no 'prompt'");
    if (json_is_string(v) || is_tokens(v, n_vocab)) {
        a->prompts[a->n_prompts++] = v;
        return true;
    }
    if (!json_is_array(v) || json_array_size(v) == 0 || json_array_size(v) > MQA_ASK_MAX_PROMPTS)
        return mqa_api_invalid(e, "prompt",
                               "'prompt' must be a string, token ids of this model, or at most %d of them",
                               MQA_ASK_MAX_PROMPTS);
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)v, i, item)
    {
        if (!json_is_string(item) && !is_tokens(item, n_vocab))
            return mqa_api_invalid(e, "prompt",
                                   "'prompt[%zu]' is neither a string nor token ids of this model", i);
        a->prompts[a->n_prompts++] = item;
    }
    return true;
}

static bool take_messages(mqa_ask *a, mqa_api_error *e)
{
    a->messages = field(a->root, "messages");
    const size_t n = json_array_size(a->messages);
    if (!json_is_array(a->messages) || n == 0 || n > MQA_ASK_MAX_MESSAGES)
        return mqa_api_invalid(e, "messages", "'messages' must be an array of 1 to %d messages",
                               MQA_ASK_MAX_MESSAGES);
    a->n_prompts = 1;
    return true;
}

/* What OpenAI's interface has and this one doesn't. */
static bool refuse_unsupported(const mqa_ask *a, mqa_api_error *e)
{
    static const char *const arrays[] = {"tools", "functions", "modalities"};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        const json_t *v = field(a->root, arrays[i]);
        if (!v || (json_is_array(v) && json_array_size(v) == 0)) continue;
        if (strcmp(arrays[i], "modalities") == 0 && json_is_array(v) && json_array_size(v) == 1 &&
            json_is_string(json_array_get(v, 0)) &&
            strcmp(json_string_value(json_array_get(v, 0)), "text") == 0)
            continue;
        return mqa_api_invalid(e, arrays[i], "'%s' isn't supported by this server", arrays[i]);
    }
    if (field(a->root, "suffix"))
        return mqa_api_invalid(e, "suffix", "'suffix' isn't supported by this server");
    int64_t best_of = 1;
    return take_int(a->root, "best_of", 1, 1, &best_of, e);
}

static bool take_seed(mqa_ask *a, mqa_api_error *e)
{
    int64_t seed = -1; /* which others take as "any" */
    if (!take_int(a->root, "seed", INT64_MIN, INT64_MAX, &seed, e)) return false;
    a->has_seed = field(a->root, "seed") && seed != -1;
    a->seed = (uint64_t)seed;
    return true;
}

static bool take_all(mqa_ask *a, int n_vocab, mqa_api_error *e)
{
    const json_t *r = a->root, *model = field(r, "model"), *stream = field(r, "stream_options");
    int64_t n = 1;
    if (model && !json_is_string(model)) return mqa_api_invalid(e, "model", "'model' must be a string");
    a->model = json_string_value(model);
    if (!(a->chat ? take_messages(a, e) : take_prompts(a, n_vocab, e))) return false;
    if (stream && !json_is_object(stream))
        return mqa_api_invalid(e, "stream_options", "'stream_options' must be an object");
    const bool ok =
        refuse_unsupported(a, e) && take_int(r, "n", 1, MQA_ASK_MAX_CHOICES, &n, e) &&
        take_int(r, "max_tokens", 1, INT32_MAX, &a->max_tokens, e) &&
        take_int(r, "max_completion_tokens", 1, INT32_MAX, &a->max_tokens, e) &&
        take_real(r, "temperature", 0, 2, &a->temperature, e) && take_real(r, "top_p", 0, 1, &a->top_p, e) &&
        take_real(r, "min_p", 0, 1, &a->min_p, e) && take_int(r, "top_k", 0, INT32_MAX, &a->top_k, e) &&
        take_real(r, "presence_penalty", -2, 2, &a->presence_penalty, e) &&
        take_real(r, "frequency_penalty", -2, 2, &a->frequency_penalty, e) &&
        take_real(r, "repeat_penalty", 0.01, 100, &a->repeat_penalty, e) &&
        take_real(r, "repetition_penalty", 0.01, 100, &a->repeat_penalty, e) &&
        take_stop_tokens(a, n_vocab, e) && take_seed(a, e) && take_bool(r, "stream", &a->stream, e) &&
        take_bool(r, "echo", &a->echo, e) && take_bool(r, "ignore_eos", &a->ignore_eos, e) &&
        take_bool(r, "receipt", &a->receipt, e) && take_bool(stream, "include_usage", &a->include_usage, e) &&
        take_stops(a, e) && take_biases(a, n_vocab, e) && take_logprobs(a, e) && take_format(a, e);
    a->n = (int)n;
    return ok;
}

static mqa_ask defaults(bool chat)
{
    return (mqa_ask){.chat = chat,
                     .max_tokens = -1,
                     .temperature = 1,
                     .top_p = 1,
                     .repeat_penalty = 1,
                     .top_logprobs = -1};
}

bool mqa_ask_read(json_t *body, bool chat, int n_vocab, mqa_ask *out, mqa_api_error *error)
{
    *out = defaults(chat);
    out->root = json_incref(body);
    if (!json_is_object(body)) return mqa_api_invalid(error, NULL, "the body must be a JSON object");
    return take_all(out, n_vocab, error);
}

bool mqa_ask_parse(const char *body, size_t n_bytes, bool chat, int n_vocab, mqa_ask *out,
                   mqa_api_error *error)
{
    json_error_t where;
    json_t *root = json_loadb(body, n_bytes, JSON_ALLOW_NUL, &where);
    *out = defaults(chat);
    if (!root)
        return mqa_api_invalid(error, NULL, "the body is no JSON: %s (line %d, column %d)", where.text,
                               where.line, where.column);
    const bool ok = mqa_ask_read(root, chat, n_vocab, out, error);
    json_decref(root);
    return ok;
}

void mqa_ask_free(mqa_ask *ask)
{
    json_decref(ask->root);
    free(ask->biases);
    mqa_tokens_free(&ask->stop_tokens);
    *ask = (mqa_ask){0};
}

/* ---- messages ---- */

static bool add_text(mqa_text *to, const json_t *v, size_t index, mqa_api_error *e)
{
    const char *text = json_string_value(v);
    const size_t n = json_string_length(v);
    if (!text)
        return mqa_api_invalid(e, "messages", "'messages[%zu].content' must be a string or text parts",
                               index);
    if (memchr(text, 0, n))
        return mqa_api_invalid(e, "messages", "'messages[%zu].content' holds a NUL", index);
    mqa_error err;
    const mqa_status status = mqa_text_append(to, text, n, &err);
    return status == MQA_OK || mqa_api_failed(e, status, &err);
}

static bool take_content(mqa_ask_message *m, const json_t *content, size_t index, mqa_api_error *e)
{
    if (!json_is_array(content)) return add_text(&m->content, content, index, e);
    size_t i;
    json_t *part;
    json_array_foreach((json_t *)content, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!type || strcmp(type, "text") != 0)
            return mqa_api_invalid(e, "messages",
                                   "'messages[%zu].content[%zu]': only text parts are supported", index, i);
        if (!add_text(&m->content, json_object_get(part, "text"), index, e)) return false;
    }
    return true;
}

static bool take_message(mqa_ask_message *m, const json_t *v, size_t index, mqa_api_error *e)
{
    static const char *const roles[][2] = {
        {"system", "system"}, {"developer", "system"}, {"user", "user"}, {"assistant", "assistant"}};
    const char *role = json_string_value(json_object_get(v, "role"));
    for (size_t i = 0; role && i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(role, roles[i][0]) == 0) m->role = roles[i][1];
    if (!m->role)
        return mqa_api_invalid(e, "messages",
                               "'messages[%zu].role' must be system, developer, user or assistant", index);
    return take_content(m, json_object_get(v, "content"), index, e);
}

bool mqa_ask_messages(const mqa_ask *ask, mqa_ask_message **out, size_t *n, mqa_api_error *error)
{
    *n = json_array_size(ask->messages);
    *out = calloc(*n, sizeof **out);
    if (!*out) return mqa_api_refuse(error, 503, "server_error", "out_of_memory", "no memory for messages");
    for (size_t i = 0; i < *n; i++)
        if (!take_message(&(*out)[i], json_array_get(ask->messages, i), i, error)) return false;
    return true;
}

void mqa_ask_messages_free(mqa_ask_message *messages, size_t n)
{
    for (size_t i = 0; messages && i < n; i++) mqa_text_free(&messages[i].content);
    free(messages);
}
