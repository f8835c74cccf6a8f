/* SPDX-License-Identifier: Apache-2.0 */
#include "constraint.h"

#include <math.h>
#include <stdlib.h>

#include "args.h"
#include "base/status.h"

int cli_constraint_read(cli_constraint *c)
{
    if (!c->grammar && !c->json_schema) return CLI_DONE;
    if (c->grammar && c->json_schema)
        return cli_error(CLI_USAGE, "both a grammar and a schema: give --grammar or --json-schema");
    const char *path = c->grammar ? c->grammar : c->json_schema;
    mqa_text text = {0};
    int code = cli_read_text(path, &text);
    if (code == CLI_DONE) {
        mqa_error err;
        const char *bytes = text.bytes ? text.bytes : "";
        const mqa_status status = c->grammar
                                      ? mqa_grammar_parse_gbnf(bytes, text.n, &c->parsed, &err)
                                      : mqa_grammar_from_json_schema(bytes, text.n, NULL, &c->parsed, &err);
        if (status != MQA_OK) code = cli_error(CLI_FAILED, "%s: %s", path, err.message);
    }
    mqa_text_free(&text);
    return code;
}

mqa_status cli_constraint_begin(cli_constraint *c, const mqa_tokenizer *tokenizer, mqa_error *err)
{
    if (!c->parsed) return MQA_OK;
    mqa_token_index *index;
    mqa_status status = mqa_token_index_create(tokenizer, &index, err);
    if (status != MQA_OK) return status;
    status = mqa_matcher_create(c->parsed, index, &c->matcher, err);
    c->n_tokens = mqa_tokenizer_n_tokens(tokenizer);
    c->mask = malloc(mqa_token_index_mask_words(index) * sizeof *c->mask);
    mqa_token_index_destroy(&index);
    if (status == MQA_OK && !c->mask) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a mask");
    return status;
}

mqa_status cli_constraint_apply(cli_constraint *c, float *logits, int n_vocab, mqa_error *err)
{
    if (!c->matcher) return MQA_OK;
    mqa_status status = mqa_matcher_fill_mask(c->matcher, c->mask, err);
    if (status != MQA_OK) return status;
    bool any = false;
    for (int id = 0; id < n_vocab; id++) {
        const bool allowed = id < c->n_tokens && c->mask[id / 64] >> (id % 64) & 1;
        if (!allowed) logits[id] = -INFINITY;
        any |= allowed;
    }
    return any ? MQA_OK
               : mqa_fail(err, MQA_ERR_UNSUPPORTED, "no token of this model can go on as the grammar asks");
}

mqa_status cli_constraint_accept(cli_constraint *c, int32_t token, mqa_error *err)
{
    return c->matcher ? mqa_matcher_accept(c->matcher, token, err) : MQA_OK;
}

bool cli_constraint_is_complete(const cli_constraint *c)
{
    return !c->matcher || mqa_matcher_is_complete(c->matcher);
}

void cli_constraint_free(cli_constraint *c)
{
    mqa_matcher_destroy(&c->matcher);
    mqa_grammar_destroy(&c->parsed);
    free(c->mask);
}
