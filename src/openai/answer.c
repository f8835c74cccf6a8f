/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "tokenizer/array.h"

/* A token with its logprobs waits until its text is sure to be sent. */
typedef struct entry {
    json_t *json; /* in the form of the chat endpoint; completions rearrange it */
    size_t end;   /* of the choice's text, with this token */
} entry;

typedef struct choice {
    mqa_detokenizer *stream;
    mqa_text text;
    size_t sent;      /* of text: in events */
    size_t held_from; /* what lies behind may be the beginning of a stop string */
    size_t prompt;    /* echoed: no stop string is looked for in it */
    entry *entries;
    size_t n_entries, entries_room, entries_sent;
    const char *reason;  /* NULL: goes on */
    bool opened, closed; /* the role's event, the reason's */
} choice;

struct mqa_answer {
    const mqa_ask *ask;
    const mqa_tokenizer *tokenizer;
    char *id, *model, *fingerprint;
    int64_t created;
    int n_choices;
    choice choices[];
};

mqa_status mqa_answer_create(const mqa_answer_options *o, mqa_answer **out, mqa_error *err)
{
    *out = NULL;
    const int n = o->ask->n_prompts * o->ask->n;
    mqa_answer *a = calloc(1, sizeof *a + (size_t)n * sizeof a->choices[0]);
    if (!a) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for an answer");
    a->ask = o->ask;
    a->tokenizer = o->tokenizer;
    a->n_choices = n;
    a->created = o->created;
    a->id = strdup(o->id);
    a->model = strdup(o->model);
    a->fingerprint = strdup(o->fingerprint);
    mqa_status status = a->id && a->model && a->fingerprint
                            ? MQA_OK
                            : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for an answer");
    for (int i = 0; i < n && status == MQA_OK; i++)
        status = mqa_detokenizer_create(o->tokenizer, o->ask->chat ? MQA_DECODE_STRIP_PREFIX : 0,
                                        &a->choices[i].stream, err);
    if (status != MQA_OK)
        mqa_answer_destroy(&a);
    else
        *out = a;
    return status;
}

void mqa_answer_destroy(mqa_answer **answer)
{
    if (!answer || !*answer) return;
    mqa_answer *a = *answer;
    for (int i = 0; i < a->n_choices; i++) {
        choice *c = &a->choices[i];
        mqa_detokenizer_destroy(&c->stream);
        mqa_text_free(&c->text);
        for (size_t e = 0; e < c->n_entries; e++) json_decref(c->entries[e].json);
        free(c->entries);
    }
    free(a->id);
    free(a->model);
    free(a->fingerprint);
    free(a);
    *answer = NULL;
}

int mqa_answer_n_choices(const mqa_answer *a)
{
    return a->n_choices;
}

bool mqa_answer_goes_on(const mqa_answer *a, int index)
{
    return !a->choices[index].reason;
}

bool mqa_answer_finished(const mqa_answer *a)
{
    for (int i = 0; i < a->n_choices; i++)
        if (!a->choices[i].reason) return false;
    return true;
}

/* ---- stop strings ---- */

/* Looks at what came since `from`. A stop string there ends the text before it; else what could become one is
 * held back. Of several the one that begins first counts. */
static bool find_stop(const mqa_ask *ask, choice *c, size_t from)
{
    size_t longest = 0, cut = SIZE_MAX;
    for (int i = 0; i < ask->n_stops; i++)
        if (ask->stops[i].n > longest) longest = ask->stops[i].n;
    size_t begin = from > longest ? from - longest : 0;
    if (begin < c->prompt) begin = c->prompt;
    for (int i = 0; i < ask->n_stops && c->text.n > begin; i++) {
        const char *at =
            memmem(c->text.bytes + begin, c->text.n - begin, ask->stops[i].bytes, ask->stops[i].n);
        if (at && (size_t)(at - c->text.bytes) < cut) cut = (size_t)(at - c->text.bytes);
    }
    if (cut != SIZE_MAX) {
        c->text.n = cut;
        c->held_from = cut;
        return true;
    }
    c->held_from = c->text.n;
    for (int i = 0; i < ask->n_stops; i++) {
        const mqa_ask_text *s = &ask->stops[i];
        for (size_t n = s->n - 1; n > 0; n--) {
            if (n > c->text.n - (c->prompt < c->text.n ? c->prompt : c->text.n)) continue;
            if (memcmp(c->text.bytes + c->text.n - n, s->bytes, n) != 0) continue;
            if (c->text.n - n < c->held_from) c->held_from = c->text.n - n;
            break;
        }
    }
    return false;
}

/* ---- tokens ---- */

/* Bytes that need not be UTF-8, as JSON can have them. */
static json_t *piece_text(const char *bytes, size_t n)
{
    mqa_text text = {0};
    mqa_status status = MQA_OK;
    for (size_t i = 0, length; i < n && status == MQA_OK; i += length) {
        length = mqa_utf8_length((const uint8_t *)bytes + i, n - i);
        status = length ? mqa_text_append(&text, bytes + i, length, NULL)
                        : mqa_text_append(&text, "\xef\xbf\xbd", 3, NULL);
        if (!length) length = 1;
    }
    json_t *json = status == MQA_OK ? json_stringn(text.n ? text.bytes : "", text.n) : NULL;
    mqa_text_free(&text);
    return json;
}

static json_t *token_json(const mqa_answer *a, mqa_token_logprob t)
{
    mqa_text text = {0};
    json_t *bytes = json_array(), *out = NULL;
    if (mqa_tokenizer_decode(a->tokenizer, &t.token, 1, MQA_DECODE_SPECIAL, &text, NULL) == MQA_OK) {
        for (size_t i = 0; i < text.n; i++)
            json_array_append_new(bytes, json_integer((uint8_t)text.bytes[i]));
        /* JSON has no infinity; OpenAI's own figure for "as good as impossible" */
        const double logprob = t.logprob < -9999 ? -9999.0 : (double)t.logprob;
        out = json_pack("{s:i, s:o, s:f, s:O}", "id", (int)t.token, "token",
                        piece_text(text.n ? text.bytes : "", text.n), "logprob", logprob, "bytes", bytes);
    }
    json_decref(bytes);
    mqa_text_free(&text);
    return out;
}

static mqa_status add_entry(const mqa_answer *a, choice *c, mqa_token_logprob token,
                            const mqa_token_logprob *top, int n_top, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&c->entries, &c->entries_room, c->n_entries + 1, sizeof *c->entries, err));
    json_t *json = token_json(a, token), *likeliest = json_array();
    for (int i = 0; i < n_top; i++) json_array_append_new(likeliest, token_json(a, top[i]));
    if (!json || json_object_set_new(json, "top_logprobs", likeliest) != 0)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for log probabilities");
    c->entries[c->n_entries++] = (entry){json, c->text.n};
    return MQA_OK;
}

mqa_status mqa_answer_text(mqa_answer *a, int index, const char *bytes, size_t n, mqa_error *err)
{
    choice *c = &a->choices[index];
    MQA_TRY(mqa_text_append(&c->text, bytes, n, err));
    c->held_from = c->prompt = c->text.n;
    return MQA_OK;
}

mqa_status mqa_answer_token(mqa_answer *a, int index, mqa_token_logprob token, const mqa_token_logprob *top,
                            int n_top, bool *stopped, mqa_error *err)
{
    choice *c = &a->choices[index];
    *stopped = false;
    if (c->reason) return MQA_OK;
    const size_t from = c->text.n;
    MQA_TRY(mqa_detokenizer_push(c->stream, token.token, &c->text, err));
    if (a->ask->top_logprobs >= 0) MQA_TRY(add_entry(a, c, token, top, n_top, err));
    if (!find_stop(a->ask, c, from)) return MQA_OK;
    *stopped = true;
    c->reason = "stop";
    return MQA_OK;
}

mqa_status mqa_answer_finish(mqa_answer *a, int index, const char *reason, mqa_error *err)
{
    choice *c = &a->choices[index];
    if (c->reason) return MQA_OK;
    const size_t from = c->text.n;
    MQA_TRY(mqa_detokenizer_finish(c->stream, &c->text, err));
    c->reason = find_stop(a->ask, c, from) ? "stop" : reason;
    c->held_from = c->text.n;
    return MQA_OK;
}

/* ---- JSON ---- */

/* A choice's entries [from, to) in the endpoint's form; null where none are wanted. */
static json_t *logprobs_json(const mqa_answer *a, const choice *c, size_t from, size_t to)
{
    if (a->ask->top_logprobs < 0) return json_null();
    json_t *content = json_array();
    if (a->ask->chat) {
        for (size_t i = from; i < to; i++) json_array_append(content, c->entries[i].json);
        return json_pack("{s:o, s:n}", "content", content, "refusal");
    }
    json_t *logprobs = json_array(), *tops = json_array(), *offsets = json_array();
    for (size_t i = from; i < to; i++) {
        const json_t *e = c->entries[i].json;
        json_array_append(content, json_object_get(e, "token"));
        json_array_append(logprobs, json_object_get(e, "logprob"));
        json_array_append_new(offsets, json_integer((json_int_t)(i ? c->entries[i - 1].end : c->prompt)));
        json_t *top = json_object(), *t;
        size_t k;
        json_array_foreach(json_object_get(e, "top_logprobs"), k, t) json_object_set(
            top, json_string_value(json_object_get(t, "token")), json_object_get(t, "logprob"));
        json_array_append_new(tops, top);
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", content, "token_logprobs", logprobs, "top_logprobs",
                     tops, "text_offset", offsets);
}

static size_t entries_until(const choice *c, size_t end)
{
    size_t n = c->entries_sent;
    while (n < c->n_entries && c->entries[n].end <= end) n++;
    return n;
}

/* The object around choices. */
static json_t *envelope(const mqa_answer *a, bool chunk, json_t *choices)
{
    const char *object = !a->ask->chat ? "text_completion"
                         : chunk       ? "chat.completion.chunk"
                                       : "chat.completion";
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", a->id, "object", object, "created",
                     (json_int_t)a->created, "model", a->model, "system_fingerprint", a->fingerprint,
                     "choices", choices);
}

static json_t *usage_json(const mqa_answer_usage *u)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)u->prompt_tokens,
                     "completion_tokens", (json_int_t)u->completion_tokens, "total_tokens",
                     (json_int_t)(u->prompt_tokens + u->completion_tokens), "prompt_tokens_details",
                     "cached_tokens", (json_int_t)u->cached_tokens);
}

static mqa_status append_json(mqa_text *out, json_t *json, const char *before, const char *after,
                              mqa_error *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    mqa_status status = text ? mqa_text_append(out, before, strlen(before), err)
                             : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for an answer's JSON");
    if (status == MQA_OK) status = mqa_text_append(out, text, strlen(text), err);
    if (status == MQA_OK) status = mqa_text_append(out, after, strlen(after), err);
    free(text);
    return status;
}

static mqa_status append_event(mqa_text *out, json_t *json, mqa_error *err)
{
    return append_json(out, json, "data: ", "\n\n", err);
}

static json_t *reason_json(const char *reason)
{
    return reason ? json_string(reason) : json_null();
}

/* delta NULL: text [c->sent, to), with its entries. */
static mqa_status append_chunk(const mqa_answer *a, int index, size_t to, size_t entries_to, json_t *delta,
                               const char *reason, mqa_text *out, mqa_error *err)
{
    const choice *c = &a->choices[index];
    json_t *logprobs = delta ? json_null() : logprobs_json(a, c, c->entries_sent, entries_to);
    json_t *text = delta ? NULL : json_stringn(c->text.n ? c->text.bytes + c->sent : "", to - c->sent);
    json_t *one = a->ask->chat ? json_pack("{s:i, s:o, s:o, s:o}", "index", index, "delta",
                                           delta ? delta : json_pack("{s:o}", "content", text), "logprobs",
                                           logprobs, "finish_reason", reason_json(reason))
                               : json_pack("{s:i, s:o, s:o, s:o}", "index", index, "text",
                                           text ? text : json_string(""), "logprobs", logprobs,
                                           "finish_reason", reason_json(reason));
    if (!a->ask->chat) json_decref(delta);
    return append_event(out, envelope(a, true, json_pack("[o]", one)), err);
}

static mqa_status take_choice(mqa_answer *a, int index, mqa_text *out, mqa_error *err)
{
    choice *c = &a->choices[index];
    const bool last = c->reason && !c->closed;
    const size_t to = c->held_from;
    if (a->ask->chat && !c->opened && (to > c->sent || last)) {
        json_t *role = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
        MQA_TRY(append_chunk(a, index, 0, 0, role, NULL, out, err));
        c->opened = true;
    }
    const size_t entries = entries_until(c, to);
    if (to > c->sent || entries > c->entries_sent) {
        MQA_TRY(append_chunk(a, index, to, entries, NULL, NULL, out, err));
        c->sent = to;
        c->entries_sent = entries;
    }
    if (last) {
        MQA_TRY(append_chunk(a, index, 0, 0, json_object(), c->reason, out, err));
        c->closed = true;
    }
    return MQA_OK;
}

mqa_status mqa_answer_take_events(mqa_answer *a, mqa_text *out, mqa_error *err)
{
    for (int i = 0; i < a->n_choices; i++) MQA_TRY(take_choice(a, i, out, err));
    return MQA_OK;
}

mqa_status mqa_answer_end_events(const mqa_answer *a, const mqa_answer_usage *usage, json_t *extra,
                                 mqa_text *out, mqa_error *err)
{
    static const char done[] = "data: [DONE]\n\n";
    if (a->ask->include_usage || extra) {
        json_t *json = envelope(a, true, json_array());
        if (json && a->ask->include_usage) json_object_set_new(json, "usage", usage_json(usage));
        if (json && extra) json_object_update(json, extra);
        MQA_TRY(append_event(out, json, err));
    }
    return mqa_text_append(out, done, sizeof done - 1, err);
}

json_t *mqa_answer_json(const mqa_answer *a, const mqa_answer_usage *usage, json_t *extra)
{
    json_t *choices = json_array();
    for (int i = 0; i < a->n_choices; i++) {
        const choice *c = &a->choices[i];
        json_t *text = json_stringn(c->text.n ? c->text.bytes : "", c->text.n);
        json_t *logprobs = logprobs_json(a, c, 0, entries_until(c, c->text.n));
        json_t *one = a->ask->chat ? json_pack("{s:i, s:{s:s, s:o}, s:o, s:o}", "index", i, "message", "role",
                                               "assistant", "content", text, "logprobs", logprobs,
                                               "finish_reason", reason_json(c->reason))
                                   : json_pack("{s:i, s:o, s:o, s:o}", "index", i, "text", text, "logprobs",
                                               logprobs, "finish_reason", reason_json(c->reason));
        json_array_append_new(choices, one);
    }
    json_t *json = envelope(a, false, choices);
    if (json) json_object_set_new(json, "usage", usage_json(usage));
    if (json && extra) json_object_update(json, extra);
    return json;
}

mqa_status mqa_answer_whole(const mqa_answer *a, const mqa_answer_usage *usage, json_t *extra, mqa_text *out,
                            mqa_error *err)
{
    return append_json(out, mqa_answer_json(a, usage, extra), "", "", err);
}

mqa_status mqa_answer_error_event(const mqa_api_error *error, mqa_text *out, mqa_error *err)
{
    return append_event(out, mqa_api_error_json(error), err);
}
