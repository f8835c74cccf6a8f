/* Languages are compiled once, for each owner, and kept within their bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grammar/matcher.h"
#include "openai/constrain.h"

static mqa_model *model;
static mqa_context *ctx;
static const mqa_tokenizer *tokenizer;
static size_t n_words;

static int load(void **state)
{
    (void)state;
    mqa_error err;
    const mqa_context_options o = mqa_context_options_default();
    if (mqa_context_create(&o, &ctx, &err) != MQA_OK) return -1;
    if (mqa_model_load(ctx, MQA_SOURCE "/examples/tiny/tiny-mqa.gguf", NULL, &model, &err) != MQA_OK)
        return -1;
    tokenizer = mqa_model_tokenizer(model);
    n_words = ((size_t)mqa_tokenizer_n_tokens(tokenizer) + 63) / 64;
    return 0;
}

static int unload(void **state)
{
    (void)state;
    mqa_model_destroy(&model);
    mqa_context_destroy(&ctx);
    return 0;
}

static mqa_languages *languages_of(size_t max_bytes)
{
    mqa_languages *l;
    mqa_error err;
    assert_int_equal(mqa_languages_create(tokenizer, max_bytes, &l, &err), MQA_OK);
    return l;
}

static mqa_matcher *matcher(mqa_languages *l, const char *owner, mqa_language kind, const char *text)
{
    mqa_matcher *m;
    mqa_error err;
    if (mqa_languages_matcher(l, owner, kind, text, text ? strlen(text) : 0, &m, &err) != MQA_OK)
        fail_msg("%s", err.message);
    return m;
}

/* What may come after these bytes. */
static uint64_t *mask_after(mqa_matcher *m, const char *bytes)
{
    mqa_error err;
    uint64_t *mask = calloc(n_words, sizeof *mask);
    assert_int_equal(mqa_matcher_accept_bytes(m, bytes, strlen(bytes), &err), MQA_OK);
    assert_int_equal(mqa_matcher_fill_mask(m, mask, &err), MQA_OK);
    return mask;
}

static void the_second_compiles_nothing(void **state)
{
    (void)state;
    static const struct {
        mqa_language kind;
        const char *text, *beginning;
    } each[] = {{MQA_LANGUAGE_GBNF, "root ::= \"a\" [b-d]+ \"e\"", "ab"},
                {MQA_LANGUAGE_JSON_SCHEMA, "{\"enum\":[\"one\",\"two\"]}", "\"t"},
                {MQA_LANGUAGE_JSON_OBJECT, NULL, "{"}};
    mqa_languages *l = languages_of(MQA_LANGUAGES_BYTES);
    for (size_t i = 0; i < 3; i++) {
        mqa_matcher *first = matcher(l, "t", each[i].kind, each[i].text);
        uint64_t *expected = mask_after(first, each[i].beginning);
        const size_t learnt = mqa_matcher_shared_bytes(first);
        for (int again = 0; again < 3; again++) {
            mqa_matcher *m = matcher(l, "t", each[i].kind, each[i].text);
            assert_int_equal(mqa_matcher_shared_bytes(m), learnt); /* warm, */
            uint64_t *mask = mask_after(m, each[i].beginning);     /* and at the beginning */
            assert_memory_equal(mask, expected, n_words * sizeof *mask);
            assert_int_equal(mqa_matcher_shared_bytes(m), learnt); /* nothing new was to be learnt */
            free(mask);
            mqa_matcher_destroy(&m);
        }
        free(expected);
        mqa_matcher_destroy(&first);
        assert_int_equal(mqa_languages_get_stats(l).compiled, i + 1);
        assert_int_equal(mqa_languages_get_stats(l).found, 3 * (i + 1));
    }
    mqa_languages_destroy(&l);
}

static void owners_and_kinds_are_apart(void **state)
{
    (void)state;
    mqa_languages *l = languages_of(MQA_LANGUAGES_BYTES);
    mqa_error err;
    mqa_matcher *a = matcher(l, "a", MQA_LANGUAGE_JSON_SCHEMA, "{}"),
                *b = matcher(l, "b", MQA_LANGUAGE_JSON_SCHEMA, "{}"), *none;
    assert_int_equal(mqa_languages_get_stats(l).compiled, 2);
    assert_int_equal(mqa_languages_matcher(l, "a", MQA_LANGUAGE_GBNF, "{}", 2, &none, &err), MQA_ERR_FORMAT);
    assert_null(none);
    assert_int_equal(mqa_languages_get_stats(l).n, 2); /* what failed isn't kept */
    mqa_languages_destroy(&l);
    free(mask_after(a, "{")); /* in use still */
    mqa_matcher_destroy(&a);
    mqa_matcher_destroy(&b);
}

static void keeps_within_its_bytes(void **state)
{
    (void)state;
    enum { N = 40, MOST = 100000 };
    char text[N][64];
    mqa_languages *l = languages_of(MOST);
    mqa_matcher *in_use = NULL;
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "root ::= \"x%d\" [a-z]+", i);
        mqa_matcher *m = matcher(l, "t", MQA_LANGUAGE_GBNF, text[i]);
        free(mask_after(m, "x"));
        if (i == 0)
            in_use = m;
        else
            mqa_matcher_destroy(&m);
        mqa_matcher *first = matcher(l, "t", MQA_LANGUAGE_GBNF, text[1 < i ? 1 : 0]); /* used all the time */
        mqa_matcher_destroy(&first);
        assert_true(mqa_languages_get_stats(l).bytes <= MOST);
    }
    mqa_languages_stats stats = mqa_languages_get_stats(l);
    assert_true(stats.n > 1 && stats.n < N);
    assert_int_equal(stats.compiled, N);
    mqa_matcher *m = matcher(l, "t", MQA_LANGUAGE_GBNF, text[N - 1]); /* the latest is there, */
    mqa_matcher_destroy(&m);
    assert_int_equal(mqa_languages_get_stats(l).compiled, N);
    m = matcher(l, "t", MQA_LANGUAGE_GBNF, text[2]); /* an earlier one isn't */
    mqa_matcher_destroy(&m);
    assert_int_equal(mqa_languages_get_stats(l).compiled, N + 1);
    mqa_matcher_destroy(&in_use);
    mqa_languages_destroy(&l);
    l = languages_of(0); /* keeps none, and works */
    for (int i = 0; i < 2; i++) {
        m = matcher(l, "t", MQA_LANGUAGE_GBNF, text[0]);
        free(mask_after(m, "x0"));
        mqa_matcher_destroy(&m);
    }
    assert_int_equal(mqa_languages_get_stats(l).compiled, 2);
    assert_int_equal(mqa_languages_get_stats(l).bytes, 0);
    mqa_languages_destroy(&l);
}

/* What is learnt after a language was handed out counts, too. */
static void weighs_what_was_learnt(void **state)
{
    (void)state;
    mqa_languages *l = languages_of(MQA_LANGUAGES_BYTES);
    mqa_matcher *m = matcher(l, "t", MQA_LANGUAGE_JSON_OBJECT, NULL);
    const size_t fresh = mqa_matcher_shared_bytes(m);
    mqa_matcher_destroy(&m);
    mqa_languages_destroy(&l);
    l = languages_of(fresh + 20000);
    m = matcher(l, "t", MQA_LANGUAGE_JSON_OBJECT, NULL);
    assert_int_equal(mqa_languages_get_stats(l).n, 1);
    for (int i = 0; i < 100; i++) free(mask_after(m, "{\"a\":"));
    assert_true(mqa_matcher_shared_bytes(m) > fresh + 20000);
    mqa_matcher_destroy(&m);
    m = matcher(l, "t", MQA_LANGUAGE_GBNF, "root ::= \"a\"");
    mqa_matcher_destroy(&m);
    assert_int_equal(mqa_languages_get_stats(l).n, 1);
    m = matcher(l, "t", MQA_LANGUAGE_JSON_OBJECT, NULL);
    mqa_matcher_destroy(&m);
    assert_int_equal(mqa_languages_get_stats(l).compiled, 3);
    mqa_languages_destroy(&l);
}

/* A request's choices and the next request's are clones of one. */
static void constrains(void **state)
{
    (void)state;
    static const char body[] = "{\"prompt\":\"a\",\"n\":3,\"response_format\":{\"type\":\"json_object\","
                               "\"schema\":{\"enum\":[\"q\"]}}}";
    mqa_languages *l = languages_of(MQA_LANGUAGES_BYTES);
    for (int i = 0; i < 2; i++) {
        mqa_ask ask;
        mqa_api_error e;
        mqa_token_mask mask;
        mqa_error err;
        assert_true(mqa_ask_parse(body, sizeof body - 1, false, 100, &ask, &e));
        assert_true(mqa_constrain(&ask, l, "t", &mask, &e));
        uint64_t *allowed = calloc(n_words, sizeof *allowed);
        for (int choice = 0; choice < 3; choice++)
            assert_int_equal(mask.fill(mask.user, choice, allowed, &err), MQA_OK);
        free(allowed);
        mask.release(mask.user);
        mqa_ask_free(&ask);
    }
    assert_int_equal(mqa_languages_get_stats(l).compiled, 1);
    assert_int_equal(mqa_languages_get_stats(l).found, 1);
    mqa_languages_destroy(&l);
}

static void *ask_often(void *arg)
{
    mqa_languages *l = arg;
    for (int i = 0; i < 60; i++) {
        char text[64];
        snprintf(text, sizeof text, "root ::= \"x%d\" [a-z]+", i % 7);
        mqa_matcher *m = NULL;
        mqa_error err;
        if (mqa_languages_matcher(l, i % 2 ? "a" : "b", MQA_LANGUAGE_GBNF, text, strlen(text), &m, &err) ==
            MQA_OK)
            free(mask_after(m, "x"));
        mqa_matcher_destroy(&m);
    }
    return NULL;
}

static void many_ask_at_once(void **state)
{
    (void)state;
    mqa_languages *l = languages_of(200000);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, ask_often, l), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    const mqa_languages_stats stats = mqa_languages_get_stats(l);
    assert_int_equal(stats.compiled + stats.found, 240);
    assert_true(stats.bytes <= 200000 && stats.found > 0);
    mqa_languages_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_compiles_nothing),
        cmocka_unit_test(owners_and_kinds_are_apart),
        cmocka_unit_test(keeps_within_its_bytes),
        cmocka_unit_test(weighs_what_was_learnt),
        cmocka_unit_test(constrains),
        cmocka_unit_test(many_ask_at_once),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
