/* A grammar that generated text has to follow.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_CONSTRAINT_H
#define MQA_CLI_CONSTRAINT_H

#include "mqa/grammar.h"

typedef struct cli_constraint {
    const char *grammar, *json_schema; /* options: files; at most one */
    mqa_grammar *parsed;
    mqa_matcher *matcher; /* NULL: everything is allowed */
    uint64_t *mask;
    int32_t n_tokens;
} cli_constraint;

#define CLI_OPTIONS_CONSTRAINT(c)                                                                            \
    {.name = "grammar",                                                                                      \
     .kind = CLI_TEXT,                                                                                       \
     .out = &(c)->grammar,                                                                                   \
     .value = "FILE",                                                                                        \
     .help = "only what this grammar (GBNF) allows"},                                                        \
    {                                                                                                        \
        .name = "json-schema", .kind = CLI_TEXT, .out = &(c)->json_schema, .value = "FILE",                  \
        .help = "only JSON that satisfies this schema"                                                       \
    }

/* Reads the file that was asked for, if any. Exit code 0, 1 or 2. */
int cli_constraint_read(cli_constraint *constraint);
/* Then, for a model's tokens. */
mqa_status cli_constraint_begin(cli_constraint *constraint, const mqa_tokenizer *tokenizer, mqa_error *err);
/* Makes the logits of tokens that may not come next -inf. */
mqa_status cli_constraint_apply(cli_constraint *constraint, float *logits, int n_vocab, mqa_error *err);
mqa_status cli_constraint_accept(cli_constraint *constraint, int32_t token, mqa_error *err);
/* Whether the text so far is whole; true without a constraint. */
bool cli_constraint_is_complete(const cli_constraint *constraint);
void cli_constraint_free(cli_constraint *constraint);

#endif
