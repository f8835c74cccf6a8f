/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/constrain.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

typedef struct constraint {
    int n;
    mqa_matcher *matchers[]; /* a choice each */
} constraint;

/* A tokenizer has no more tokens than its model: what a padded vocabulary has besides is never allowed. */
static mqa_status fill(void *user, int choice, uint64_t *allowed, mqa_error *err)
{
    constraint *c = user;
    return mqa_matcher_fill_mask(c->matchers[choice], allowed, err);
}

static mqa_status accept(void *user, int choice, int32_t token, mqa_error *err)
{
    constraint *c = user;
    return mqa_matcher_accept(c->matchers[choice], token, err);
}

static void release(void *user)
{
    constraint *c = user;
    for (int i = 0; i < c->n; i++) mqa_matcher_destroy(&c->matchers[i]);
    free(c);
}

static mqa_status first_matcher(const mqa_ask *ask, mqa_languages *languages, const char *owner,
                                mqa_matcher **out, mqa_error *err)
{
    if (ask->format == MQA_ASK_GRAMMAR)
        return mqa_languages_matcher(languages, owner, MQA_LANGUAGE_GBNF, ask->grammar.bytes, ask->grammar.n,
                                     out, err);
    if (ask->format == MQA_ASK_JSON_OBJECT)
        return mqa_languages_matcher(languages, owner, MQA_LANGUAGE_JSON_OBJECT, NULL, 0, out, err);
    char *text = json_dumps(ask->schema, JSON_COMPACT | JSON_ENCODE_ANY);
    const mqa_status status =
        text ? mqa_languages_matcher(languages, owner, MQA_LANGUAGE_JSON_SCHEMA, text, strlen(text), out, err)
             : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a schema");
    free(text);
    return status;
}

bool mqa_constrain(const mqa_ask *ask, mqa_languages *languages, const char *owner, mqa_token_mask *out,
                   mqa_api_error *e)
{
    *out = (mqa_token_mask){0};
    if (ask->format == MQA_ASK_TEXT) return true;
    const char *param = ask->format == MQA_ASK_GRAMMAR ? "grammar" : "response_format";
    if (ask->ignore_eos) return mqa_api_invalid(e, "ignore_eos", "'ignore_eos' doesn't go with '%s'", param);
    mqa_error err;
    constraint *c = calloc(1, sizeof *c + (size_t)ask->n * sizeof c->matchers[0]);
    if (!c) return mqa_api_refuse(e, 503, "server_error", "out_of_memory", "no memory for a grammar");
    mqa_status status = first_matcher(ask, languages, owner, &c->matchers[0], &err);
    while (status == MQA_OK && ++c->n < ask->n)
        status = mqa_matcher_clone(c->matchers[0], &c->matchers[c->n], &err);
    if (status == MQA_OK) {
        *out = (mqa_token_mask){.fill = fill, .accept = accept, .release = release, .user = c};
        return true;
    }
    release(c);
    if (status == MQA_ERR_OUT_OF_MEMORY) return mqa_api_failed(e, status, &err);
    return mqa_api_invalid(e, param, "'%s': %s", param, err.message);
}
