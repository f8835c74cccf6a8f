/* What a line of a batch file gets: the answer's JSON, as OpenAI's batches have it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batch.h"

/* ---- tokens ---- */

/* One token's text, by itself: what is no UTF-8 alone is U+FFFD. */
static json_t *token_text(const mqa_model *model, int32_t token)
{
    mqa_detokenizer *stream = NULL;
    mqa_text text = {0};
    json_t *out = NULL;
    if (mqa_detokenizer_create(mqa_model_tokenizer(model), MQA_DECODE_SPECIAL, &stream, NULL) == MQA_OK &&
        mqa_detokenizer_push(stream, token, &text, NULL) == MQA_OK &&
        mqa_detokenizer_finish(stream, &text, NULL) == MQA_OK)
        out = json_stringn(text.n ? text.bytes : "", text.n);
    mqa_detokenizer_destroy(&stream);
    mqa_text_free(&text);
    return out;
}

static json_t *token_bytes(const mqa_model *model, int32_t token)
{
    mqa_text text = {0};
    json_t *bytes = json_array();
    if (mqa_tokenizer_decode(mqa_model_tokenizer(model), &token, 1, MQA_DECODE_SPECIAL, &text, NULL) ==
        MQA_OK)
        for (size_t i = 0; i < text.n; i++)
            json_array_append_new(bytes, json_integer((unsigned char)text.bytes[i]));
    mqa_text_free(&text);
    return bytes;
}

static json_t *logprob(const mqa_model *model, int32_t token, float value)
{
    return json_pack("{s:o, s:f, s:o}", "token", token_text(model, token), "logprob", (double)value, "bytes",
                     token_bytes(model, token));
}

static void add_logprobs(batch_choice *choice, const mqa_model *model, const mqa_event *e, size_t offset)
{
    json_t *entry = logprob(model, e->token, e->logprob), *top = json_array();
    for (int i = 0; i < e->n_top; i++)
        json_array_append_new(top, logprob(model, e->top[i].token, e->top[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    json_object_set_new(entry, "offset", json_integer((json_int_t)offset));
    json_array_append_new(choice->logprobs, entry);
}

/* ---- events ---- */

/* Where a stop text begins in what is new since `from`; text.n: nowhere. */
static size_t find_stop(const batch_line *line, const mqa_text *text, size_t from)
{
    size_t first = text->n;
    for (int i = 0; i < line->n_stops; i++) {
        const size_t n = strlen(line->stops[i]), begin = from > n ? from - n : 0;
        const char *at =
            text->n > begin ? memmem(text->bytes + begin, text->n - begin, line->stops[i], n) : NULL;
        if (at && (size_t)(at - text->bytes) < first) first = (size_t)(at - text->bytes);
    }
    return first;
}

static void cut_at_stop(const batch_line *line, batch_choice *choice, size_t from)
{
    const size_t end = find_stop(line, &choice->text, from);
    if (end == choice->text.n) return;
    choice->text.n = end;
    choice->finish = "stop";
}

static void take_token(batch_line *line, batch_choice *choice, const mqa_model *model, const mqa_event *e)
{
    mqa_error err;
    const size_t from = choice->text.n;
    choice->n_tokens++;
    if (mqa_detokenizer_push(choice->stream, e->token, &choice->text, &err) != MQA_OK) {
        snprintf(line->wrong, sizeof line->wrong, "%s", err.message);
        line->code = 500;
        return;
    }
    if (choice->logprobs) add_logprobs(choice, model, e, from);
    cut_at_stop(line, choice, from);
}

static void finish_choice(batch_line *line, batch_choice *choice, const mqa_event *e)
{
    const size_t from = choice->text.n;
    if (mqa_detokenizer_finish(choice->stream, &choice->text, NULL) == MQA_OK)
        cut_at_stop(line, choice, from);
    if (!choice->finish) choice->finish = e->finish == MQA_FINISH_LENGTH ? "length" : "stop";
    if (e->status != MQA_OK && line->code == 200) {
        snprintf(line->wrong, sizeof line->wrong, "%s", e->message);
        line->code = 500;
    }
}

bool batch_take(batch_line *line, const mqa_model *model, const mqa_event *e)
{
    batch_choice *choice = &line->choices[e->choice];
    if (e->kind == MQA_EVENT_TOKEN && !choice->finish) take_token(line, choice, model, e);
    if (e->kind == MQA_EVENT_FINISH && !choice->finish) finish_choice(line, choice, e);
    for (int i = 0; i < line->request.n_choices; i++)
        if (!line->choices[i].finish) return e->kind == MQA_EVENT_END || line->code != 200;
    return true;
}

/* ---- the answer ---- */

/* As /v1/completions has them: arrays side by side. */
static json_t *flat_logprobs(const json_t *list)
{
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    size_t i, k;
    json_t *entry, *other;
    json_array_foreach(list, i, entry)
    {
        json_t *top = json_object();
        json_array_foreach(json_object_get(entry, "top_logprobs"), k, other)
        {
            const char *text = json_string_value(json_object_get(other, "token"));
            if (text && !json_object_get(top, text))
                json_object_set(top, text, json_object_get(other, "logprob"));
        }
        json_array_append(tokens, json_object_get(entry, "token"));
        json_array_append(values, json_object_get(entry, "logprob"));
        json_array_append(offsets, json_object_get(entry, "offset"));
        json_array_append_new(tops, top);
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", values, "top_logprobs", tops,
                     "text_offset", offsets);
}

static json_t *chat_logprobs(const json_t *list)
{
    json_t *copy = json_deep_copy(list), *entry;
    size_t i;
    json_array_foreach(copy, i, entry) json_object_del(entry, "offset");
    return json_pack("{s:o}", "content", copy);
}

static json_t *choice_of(const batch_line *line, int index)
{
    const batch_choice *c = &line->choices[index];
    json_t *out = json_object(), *text = json_stringn(c->text.n ? c->text.bytes : "", c->text.n);
    json_object_set_new(out, "index", json_integer(index));
    if (line->chat)
        json_object_set_new(out, "message", json_pack("{s:s, s:o}", "role", "assistant", "content", text));
    else
        json_object_set_new(out, "text", text);
    json_object_set_new(out, "logprobs",
                        !c->logprobs ? json_null()
                        : line->chat ? chat_logprobs(c->logprobs)
                                     : flat_logprobs(c->logprobs));
    json_object_set_new(out, "finish_reason", json_string(c->finish));
    return out;
}

static json_t *usage_of(const batch_line *line, const mqa_usage *usage)
{
    int64_t generated = 0;
    for (int i = 0; i < line->request.n_choices; i++) generated += line->choices[i].n_tokens;
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)line->request.n_prompt,
                     "completion_tokens", (json_int_t)generated, "total_tokens",
                     (json_int_t)(line->request.n_prompt + generated), "prompt_tokens_details",
                     "cached_tokens", (json_int_t)(usage ? usage->cached_tokens : 0));
}

static json_t *success(const batch_line *line, const char *id, const char *model_name, const mqa_usage *usage)
{
    json_t *choices = json_array();
    for (int i = 0; i < line->request.n_choices; i++) json_array_append_new(choices, choice_of(line, i));
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:o}", "id", id, "object",
                     line->chat ? "chat.completion" : "text_completion", "created", (json_int_t)time(NULL),
                     "model", model_name, "choices", choices, "usage", usage_of(line, usage));
}

static json_t *failure(const batch_line *line)
{
    return json_pack("{s:{s:s, s:s, s:n, s:n}}", "error", "message", line->wrong, "type",
                     line->code < 500 ? "invalid_request_error" : "server_error", "param", "code");
}

json_t *batch_answer(const batch_line *line, const char *model_name, const mqa_usage *usage)
{
    char id[48], batch_id[48], request_id[48];
    snprintf(id, sizeof id, "%s-%zu", line->chat ? "chatcmpl" : "cmpl", line->number);
    snprintf(batch_id, sizeof batch_id, "batch_req_%zu", line->number);
    snprintf(request_id, sizeof request_id, "req_%zu", line->number);
    json_t *body = line->code == 200 ? success(line, id, model_name, usage) : failure(line);
    return json_pack("{s:s, s:s, s:{s:i, s:s, s:o}, s:n}", "id", batch_id, "custom_id", line->custom_id,
                     "response", "status_code", line->code, "request_id", request_id, "body", body, "error");
}
