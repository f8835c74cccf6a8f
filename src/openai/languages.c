/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/languages.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "grammar/matcher.h"

enum { MOST = 256 }; /* each is looked at in every call */

typedef struct language {
    char *owner, *text;
    size_t n_text;
    mqa_language kind;
    mqa_matcher *matcher; /* at the beginning: others are its clones */
    struct language *next;
} language;

struct mqa_languages {
    mqa_token_index *index;
    size_t max_bytes;
    pthread_mutex_t lock; /* of all below */
    language *first;      /* the latest first */
    mqa_languages_stats stats;
};

mqa_status mqa_languages_create(const mqa_tokenizer *tokenizer, size_t max_bytes, mqa_languages **out,
                                mqa_error *err)
{
    *out = NULL;
    mqa_languages *l = calloc(1, sizeof *l);
    if (!l) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for grammars");
    l->max_bytes = max_bytes;
    pthread_mutex_init(&l->lock, NULL);
    const mqa_status status = mqa_token_index_create(tokenizer, &l->index, err);
    if (status != MQA_OK)
        mqa_languages_destroy(&l);
    else
        *out = l;
    return status;
}

static void free_language(language *one)
{
    mqa_matcher_destroy(&one->matcher);
    free(one->owner);
    free(one->text);
    free(one);
}

void mqa_languages_destroy(mqa_languages **languages)
{
    if (!languages || !*languages) return;
    mqa_languages *l = *languages;
    for (language *one = l->first, *next; one; one = next) {
        next = one->next;
        free_language(one);
    }
    mqa_token_index_destroy(&l->index);
    pthread_mutex_destroy(&l->lock);
    free(l);
    *languages = NULL;
}

/* ---- compiling ---- */

static mqa_status compile(mqa_language kind, const char *text, size_t n, mqa_grammar **out, mqa_error *err)
{
    switch (kind) {
    case MQA_LANGUAGE_GBNF:
        return mqa_grammar_parse_gbnf(text, n, out, err);
    case MQA_LANGUAGE_JSON_SCHEMA:
        return mqa_grammar_from_json_schema(text, n, NULL, out, err);
    default:
        return mqa_grammar_json_object(NULL, out, err);
    }
}

static mqa_status make(const mqa_languages *l, const char *owner, mqa_language kind, const char *text,
                       size_t n, language **out, mqa_error *err)
{
    mqa_grammar *grammar = NULL;
    language *one = calloc(1, sizeof *one);
    if (!one) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a grammar");
    one->kind = kind;
    one->owner = strdup(owner);
    one->text = malloc(n + 1);
    one->n_text = n;
    mqa_status status = one->owner && one->text
                            ? compile(kind, text, n, &grammar, err)
                            : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a grammar");
    if (status == MQA_OK) status = mqa_matcher_create(grammar, l->index, &one->matcher, err);
    mqa_grammar_destroy(&grammar);
    if (status != MQA_OK) {
        free_language(one);
        return status;
    }
    if (n > 0) memcpy(one->text, text, n);
    *out = one;
    return MQA_OK;
}

/* ---- keeping; with the lock ---- */

/* The pointer to it; to the end's NULL where it isn't there. */
static language **find(mqa_languages *l, const char *owner, mqa_language kind, const char *text, size_t n)
{
    language **at = &l->first;
    for (; *at; at = &(*at)->next)
        if ((*at)->kind == kind && (*at)->n_text == n && memcmp((*at)->text, text, n) == 0 &&
            strcmp((*at)->owner, owner) == 0)
            break;
    return at;
}

static void put_first(mqa_languages *l, language *one)
{
    one->next = l->first;
    l->first = one;
}

static size_t bytes_of(const language *one)
{
    return sizeof *one + strlen(one->owner) + one->n_text + mqa_matcher_shared_bytes(one->matcher);
}

/* Drops the earliest until the rest fits, with what was learnt of it meanwhile. */
static void keep_within(mqa_languages *l)
{
    size_t bytes = 0, n = 0;
    language **at = &l->first;
    for (; *at && n < MOST && bytes + bytes_of(*at) <= l->max_bytes; at = &(*at)->next, n++)
        bytes += bytes_of(*at);
    for (language *one = *at, *next; one; one = next) {
        next = one->next;
        free_language(one);
    }
    *at = NULL;
    l->stats.n = n;
    l->stats.bytes = bytes;
}

static mqa_status give(mqa_languages *l, language *one, mqa_matcher **out, mqa_error *err)
{
    const mqa_status status = mqa_matcher_clone(one->matcher, out, err);
    put_first(l, one);
    keep_within(l);
    return status;
}

mqa_status mqa_languages_matcher(mqa_languages *l, const char *owner, mqa_language kind, const char *text,
                                 size_t n, mqa_matcher **out, mqa_error *err)
{
    *out = NULL;
    if (n == 0) text = "";
    pthread_mutex_lock(&l->lock);
    language **at = find(l, owner, kind, text, n), *one = *at;
    mqa_status status = MQA_OK;
    if (one) {
        *at = one->next;
        l->stats.found++;
        status = give(l, one, out, err);
    }
    pthread_mutex_unlock(&l->lock);
    if (one) return status;
    /* Others needn't wait for this; two may do the same work at once, and both are kept. */
    MQA_TRY(make(l, owner, kind, text, n, &one, err));
    pthread_mutex_lock(&l->lock);
    l->stats.compiled++;
    status = give(l, one, out, err);
    pthread_mutex_unlock(&l->lock);
    return status;
}

mqa_languages_stats mqa_languages_get_stats(mqa_languages *l)
{
    pthread_mutex_lock(&l->lock);
    const mqa_languages_stats stats = l->stats;
    pthread_mutex_unlock(&l->lock);
    return stats;
}
