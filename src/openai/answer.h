/* What a client gets: tokens become text, stop strings end it, and both become OpenAI's JSON, in chunks of a
 * stream or as one object.
 *
 * One thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_ANSWER_H
#define MQA_OPENAI_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "mqa/engine.h"
#include "mqa/tokenizer.h"
#include "openai/ask.h"

typedef struct mqa_answer mqa_answer;

typedef struct mqa_answer_options {
    const mqa_tokenizer *tokenizer;
    const mqa_ask *ask;      /* outlives the answer */
    const char *id;          /* "chatcmpl-…": copied */
    const char *model;       /* its name, copied */
    const char *fingerprint; /* what decides the bits: recipe and version; copied */
    int64_t created;         /* seconds since 1970 */
} mqa_answer_options;

mqa_status mqa_answer_create(const mqa_answer_options *options, mqa_answer **out, mqa_error *err);
void mqa_answer_destroy(mqa_answer **answer);

int mqa_answer_n_choices(const mqa_answer *answer); /* prompts times n */

/* Text before the choice's first token (echo). */
mqa_status mqa_answer_text(mqa_answer *answer, int choice, const char *bytes, size_t n, mqa_error *err);
/* The choice's next token. top: the likeliest tokens, n_top of them, where the ask wants any. *stopped: a
 * stop string came, and the choice is finished. */
mqa_status mqa_answer_token(mqa_answer *answer, int choice, mqa_token_logprob token,
                            const mqa_token_logprob *top, int n_top, bool *stopped, mqa_error *err);
/* reason: a constant, "stop", "length", … The first one counts. */
mqa_status mqa_answer_finish(mqa_answer *answer, int choice, const char *reason, mqa_error *err);
bool mqa_answer_goes_on(const mqa_answer *answer, int choice); /* not finished */
bool mqa_answer_finished(const mqa_answer *answer);            /* every choice */

typedef struct mqa_answer_usage {
    int64_t prompt_tokens, cached_tokens, completion_tokens;
} mqa_answer_usage;

/* A stream's events ("data: …\n\n") since the last call, appended to out. */
mqa_status mqa_answer_take_events(mqa_answer *answer, mqa_text *out, mqa_error *err);
/* The last events: the usage where it is wanted, with what extra has (may be NULL), and [DONE]. */
mqa_status mqa_answer_end_events(const mqa_answer *answer, const mqa_answer_usage *usage, json_t *extra,
                                 mqa_text *out, mqa_error *err);
/* The whole answer as one object; extra (may be NULL) joins it. NULL: no memory. */
json_t *mqa_answer_json(const mqa_answer *answer, const mqa_answer_usage *usage, json_t *extra);
mqa_status mqa_answer_whole(const mqa_answer *answer, const mqa_answer_usage *usage, json_t *extra,
                            mqa_text *out, mqa_error *err);

/* An error as a stream's event. */
mqa_status mqa_answer_error_event(const mqa_api_error *error, mqa_text *out, mqa_error *err);

#endif
