/* One line of a batch file: what it asks for, and what it gets.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_BATCH_H
#define MQA_CLI_BATCH_H

#include <jansson.h>

#include "mqa/engine.h"

enum { BATCH_MAX_STOPS = 16 };

typedef struct batch_choice {
    mqa_text text;
    mqa_detokenizer *stream;
    json_t *logprobs; /* as the API has them; NULL: not wanted */
    int64_t n_tokens;
    const char *finish; /* NULL: not yet */
} batch_choice;

typedef struct batch_line {
    size_t number; /* in its file, from 1 */
    json_t *json;  /* the line: strings below are its own */
    const char *custom_id, *url;
    bool chat;
    mqa_request request;
    mqa_tokens prompt, stop_tokens;
    mqa_logit_bias *bias;
    const char *stops[BATCH_MAX_STOPS];
    int n_stops;
    uint64_t id; /* in the engine; 0: it isn't there */
    batch_choice *choices;
    char wrong[512]; /* what is wrong with it; "": nothing */
    int code;        /* the HTTP status that it would have got; 200 if nothing is wrong */
} batch_line;

/* Reads a line. With custom_id set, whatever is wrong is the line's (wrong, code). false: there is no
 * custom_id even; wrong says why. */
bool batch_read(batch_line *line, const char *text, size_t n, const mqa_model *model, int64_t context);
void batch_free(batch_line *line);

/* An event of its request. Returns whether more of them would change nothing: every choice is complete. */
bool batch_take(batch_line *line, const mqa_model *model, const mqa_event *event);
/* The line of output, a new reference; NULL: no memory. usage NULL where the request never ran. */
json_t *batch_answer(const batch_line *line, const char *model_name, const mqa_usage *usage);

#endif
