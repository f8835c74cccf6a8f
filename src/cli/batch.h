/* One line of a batch file: what it asks for, and what it gets.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_BATCH_H
#define MQA_CLI_BATCH_H

#include "mqa/engine.h"
#include "openai/answer.h"
#include "openai/languages.h"

typedef struct batch_line {
    size_t number; /* in its file, from 1 */
    json_t *json;  /* the line: strings below are its own */
    const char *custom_id;
    mqa_ask ask;
    mqa_tokens prompt;
    mqa_answer *answer;
    mqa_answer_usage usage;
    uint64_t id;         /* in the engine; 0: it isn't there */
    mqa_api_error error; /* status 0: nothing is wrong */
} batch_line;

typedef struct batch_world {
    const mqa_model *model;
    mqa_engine *engine;
    mqa_languages *languages; /* made for the first line with a grammar */
    const char *name;         /* the model's */
} batch_world;

/* The line's JSON and custom_id, which is there: the file was looked at before. */
void batch_open(const char *text, size_t n, size_t number, batch_line *line);
/* What it asks for; whatever is wrong is the line's error. */
void batch_read(const batch_world *world, batch_line *line);
/* Gives it to the engine, or sets its error. */
void batch_submit(batch_world *world, batch_line *line);
void batch_free(batch_line *line);

/* An event of its request. Returns whether more of them would change nothing. */
bool batch_take(batch_line *line, const mqa_event *event);
/* The line of output, a new reference; NULL: no memory. */
json_t *batch_reply(const batch_line *line);

#endif
