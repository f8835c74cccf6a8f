/* What a client asks for: the body of /v1/completions or /v1/chat/completions, checked.
 *
 * Field names, defaults and ranges are OpenAI's; top_k, min_p, repetition_penalty (or repeat_penalty),
 * stop_token_ids, grammar, json_schema, ignore_eos and receipt are additions. What isn't known is ignored, as
 * theirs does not; what is known and not supported is refused, never ignored.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_ASK_H
#define MQA_OPENAI_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "mqa/tokenizer.h"
#include "openai/api_error.h"

enum {
    MQA_ASK_MAX_CHOICES = 16,
    MQA_ASK_MAX_PROMPTS = 16,
    MQA_ASK_MAX_STOPS = 16,
    MQA_ASK_MAX_STOP = 512, /* characters of one */
    MQA_ASK_MAX_BIASES = 1024,
    MQA_ASK_MAX_TOP_LOGPROBS = 20,
    MQA_ASK_MAX_MESSAGES = 4096
};

typedef struct mqa_ask_text {
    const char *bytes;
    size_t n;
} mqa_ask_text;

typedef struct mqa_ask_bias {
    int32_t token;
    float bias;
} mqa_ask_bias;

typedef enum mqa_ask_format {
    MQA_ASK_TEXT = 0,
    MQA_ASK_JSON_OBJECT = 1, /* any JSON object */
    MQA_ASK_JSON_SCHEMA = 2, /* one that the schema allows */
    MQA_ASK_GRAMMAR = 3      /* a text of the GBNF grammar: an addition */
} mqa_ask_format;

typedef struct mqa_ask {
    json_t *root; /* owns all that is pointed to here */
    bool chat;
    const char *model;                          /* NULL: whichever there is */
    const json_t *messages;                     /* chat: an array of objects that mqa_ask_messages reads */
    const json_t *prompts[MQA_ASK_MAX_PROMPTS]; /* else: strings, or arrays of token ids */
    int n_prompts;
    int n;              /* choices for each prompt */
    int64_t max_tokens; /* -1: not said */
    double temperature, top_p, min_p, presence_penalty, frequency_penalty, repeat_penalty;
    int64_t top_k;
    bool has_seed;
    uint64_t seed;
    mqa_ask_text stops[MQA_ASK_MAX_STOPS];
    int n_stops;
    mqa_tokens stop_tokens;
    int top_logprobs; /* -1: no logprobs; else how many likeliest besides the token's own */
    mqa_ask_bias *biases;
    int n_biases;
    mqa_ask_format format;
    const json_t *schema; /* of JSON_SCHEMA */
    mqa_ask_text grammar; /* of GRAMMAR */
    bool stream, include_usage, echo, ignore_eos, receipt;
} mqa_ask;

/* A whole number from lo to hi, also where it is written as 8.0, which JSON Schema calls an integer, too. */
bool mqa_json_whole(const json_t *value, int64_t lo, int64_t hi, int64_t *out);

/* out is to be freed, whatever comes back. false: *error says why. n_vocab bounds token ids. */
bool mqa_ask_parse(const char *body, size_t n_bytes, bool chat, int n_vocab, mqa_ask *out,
                   mqa_api_error *error);
/* The same from JSON, of which it keeps a reference. */
bool mqa_ask_read(json_t *body, bool chat, int n_vocab, mqa_ask *out, mqa_api_error *error);
void mqa_ask_free(mqa_ask *ask);

/* The conversation: roles and contents, contents of several text parts joined. *out: an array of n, freed by
 * mqa_ask_messages_free. */
typedef struct mqa_ask_message {
    const char *role;
    mqa_text content; /* without NULs */
} mqa_ask_message;
bool mqa_ask_messages(const mqa_ask *ask, mqa_ask_message **out, size_t *n, mqa_api_error *error);
void mqa_ask_messages_free(mqa_ask_message *messages, size_t n);

#endif
