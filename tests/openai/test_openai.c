/* What is asked and what is answered: bodies taken and refused; texts cut at stop strings, as a stream and
 * whole.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "openai/answer.h"

enum { N_VOCAB = 1000 };
static mqa_tokenizer *tokenizer;

/* ---- asking ---- */

static bool parse(const char *body, bool chat, mqa_ask *ask, mqa_api_error *e)
{
    return mqa_ask_parse(body, strlen(body), chat, N_VOCAB, ask, e);
}

static void takes_bodies(void **state)
{
    (void)state;
    mqa_ask a;
    mqa_api_error e;
    assert_true(parse(
        "{\"prompt\":\"hi\",\"max_tokens\":7,\"stop\":[\"a\",\"bc\"],\"logit_bias\":{\"5\":-100},"
        "\"logprobs\":3,\"seed\":-7,\"n\":2,\"stream\":true,\"stream_options\":{\"include_usage\":true},"
        "\"temperature\":null,\"something_else\":[1]}",
        false, &a, &e));
    assert_int_equal(a.max_tokens, 7);
    assert_int_equal(a.n_stops, 2);
    assert_int_equal(a.biases[0].token, 5);
    assert_int_equal(a.top_logprobs, 3);
    assert_true(a.has_seed && a.seed == (uint64_t)-7);
    assert_true(a.temperature == 1 && a.n == 2 && a.stream && a.include_usage);
    mqa_ask_free(&a);
    assert_true(parse("{\"prompt\":[\"one\",[1,2,999]]}", false, &a, &e));
    assert_int_equal(a.n_prompts, 2);
    mqa_ask_free(&a);
    assert_true(parse("{\"prompt\":[1,2.0,3],\"max_tokens\":8.0,\"seed\":-1}", false, &a, &e));
    assert_int_equal(a.n_prompts, 1);
    assert_int_equal(a.max_tokens, 8);
    assert_false(a.has_seed);
    mqa_ask_free(&a);
    static const char *const schemas[] = {
        "{\"prompt\":\"a\",\"json_schema\":{\"const\":1}}",
        "{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_object\",\"schema\":{\"const\":1}}}",
        "{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{"
        "\"const\":1}}}}"};
    for (int i = 0; i < 3; i++) {
        assert_true(parse(schemas[i], false, &a, &e));
        assert_int_equal(a.format, MQA_ASK_JSON_SCHEMA);
        assert_int_equal(json_integer_value(json_object_get(a.schema, "const")), 1);
        mqa_ask_free(&a);
    }
    assert_true(parse("{\"messages\":[{\"role\":\"developer\",\"content\":\"be kind\"},"
                      "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                      "{\"type\":\"text\",\"text\":\"b\"}]}],\"logprobs\":true}",
                      true, &a, &e));
    assert_int_equal(a.top_logprobs, 0);
    mqa_ask_message *messages;
    size_t n;
    assert_true(mqa_ask_messages(&a, &messages, &n, &e));
    assert_int_equal(n, 2);
    assert_string_equal(messages[0].role, "system");
    assert_string_equal(messages[1].content.bytes, "ab");
    mqa_ask_messages_free(messages, n);
    mqa_ask_free(&a);
}

static void refuses_bodies(void **state)
{
    (void)state;
    static const struct {
        bool chat;
        const char *body, *param;
    } bad[] = {
        {false, "", ""},
        {false, "{", ""},
        {false, "[]", ""},
        {false, "\xff", ""},
        {false, "{}", "prompt"},
        {false, "{\"prompt\":7}", "prompt"},
        {false, "{\"prompt\":[]}", "prompt"},
        {false, "{\"prompt\":[1,1000]}", "prompt"},
        {false, "{\"prompt\":[-1]}", "prompt"},
        {false, "{\"prompt\":[\"a\",7]}", "prompt"},
        {false, "{\"prompt\":\"a\",\"max_tokens\":-1}", "max_tokens"},
        {false, "{\"prompt\":\"a\",\"max_tokens\":1.5}", "max_tokens"},
        {false, "{\"prompt\":\"a\",\"max_tokens\":99999999999}", "max_tokens"},
        {false, "{\"prompt\":\"a\",\"temperature\":2.1}", "temperature"},
        {false, "{\"prompt\":\"a\",\"temperature\":\"1\"}", "temperature"},
        {false, "{\"prompt\":\"a\",\"n\":0}", "n"},
        {false, "{\"prompt\":\"a\",\"n\":17}", "n"},
        {false, "{\"prompt\":\"a\",\"stop\":\"\"}", "stop"},
        {false, "{\"prompt\":\"a\",\"stop\":[7]}", "stop"},
        {false, "{\"prompt\":\"a\",\"logit_bias\":{\"1000\":1}}", "logit_bias"},
        {false, "{\"prompt\":\"a\",\"logit_bias\":{\"+1\":1}}", "logit_bias"},
        {false, "{\"prompt\":\"a\",\"logit_bias\":{\"1\":101}}", "logit_bias"},
        {false, "{\"prompt\":\"a\",\"logprobs\":21}", "logprobs"},
        {false, "{\"prompt\":\"a\",\"stream\":1}", "stream"},
        {false, "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix"},
        {false, "{\"prompt\":\"a\",\"best_of\":2}", "best_of"},
        {false, "{\"prompt\":\"a\",\"grammar\":7}", "grammar"},
        {false, "{\"prompt\":\"a\",\"response_format\":{\"type\":\"xml\"}}", "response_format.type"},
        {false, "{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_object\",\"schema\":3}}",
         "response_format.schema"},
        {false, "{\"prompt\":\"a\",\"json_schema\":3}", "json_schema"},
        {false, "{\"prompt\":\"a\",\"json_schema\":{},\"grammar\":\"root ::= \\\"a\\\"\"}", "grammar"},
        {false, "{\"prompt\":\"a\",\"max_tokens\":8.5}", "max_tokens"},
        {false, "{\"prompt\":\"a\",\"seed\":1e300}", "seed"},
        {false, "{\"prompt\":\"a\",\"response_format\":{\"type\":\"json_schema\"}}",
         "response_format.json_schema"},
        {true, "{\"prompt\":\"a\"}", "messages"},
        {true, "{\"messages\":[]}", "messages"},
        {true, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{}]}", "tools"},
        {true, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"top_logprobs\":2}", "top_logprobs"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mqa_ask a;
        mqa_api_error e = {0};
        if (parse(bad[i].body, bad[i].chat, &a, &e)) fail_msg("taken: %s", bad[i].body);
        mqa_ask_free(&a);
        assert_int_equal(e.status, 400);
        assert_string_equal(e.param, bad[i].param);
        json_t *json = mqa_api_error_json(&e);
        assert_non_null(json_object_get(json_object_get(json, "error"), "message"));
        json_decref(json);
    }
    static const char *const messages[] = {"[7]", "[{\"role\":\"robot\",\"content\":\"a\"}]",
                                           "[{\"role\":\"user\"}]",
                                           "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]",
                                           "[{\"role\":\"user\",\"content\":\"a\\u0000\"}]"};
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"messages\":%s}", messages[i]);
        mqa_ask a;
        mqa_api_error e = {0};
        mqa_ask_message *list;
        size_t n;
        assert_true(parse(body, true, &a, &e));
        assert_false(mqa_ask_messages(&a, &list, &n, &e));
        assert_int_equal(e.status, 400);
        mqa_ask_messages_free(list, n);
        mqa_ask_free(&a);
    }
}

/* ---- answering ---- */

static const mqa_answer_usage usage = {.prompt_tokens = 5, .cached_tokens = 4, .completion_tokens = 3};

static mqa_answer *answer_to(const mqa_ask *ask)
{
    const mqa_answer_options o = {.tokenizer = tokenizer,
                                  .ask = ask,
                                  .id = "cmpl-1",
                                  .model = "m",
                                  .fingerprint = "f",
                                  .created = 1700000000};
    mqa_answer *a = NULL;
    mqa_error err;
    if (mqa_answer_create(&o, &a, &err) != MQA_OK) fail_msg("%s", err.message);
    return a;
}

/* The texts of a stream's events put together, and how it ended. */
static char *gather(const char *events, bool chat, char *reason, size_t room)
{
    mqa_text text = {0};
    char *out = calloc(1, strlen(events) + 1);
    reason[0] = 0;
    for (const char *at = events; (at = strstr(at, "data: ")); at++) {
        const char *end = strstr(at, "\n\n");
        assert_non_null(end);
        json_error_t where;
        json_t *json = json_loadb(at + 6, (size_t)(end - at - 6), 0, &where);
        if (!json) continue; /* [DONE] */
        const json_t *c = json_array_get(json_object_get(json, "choices"), 0);
        const char *piece = json_string_value(chat ? json_object_get(json_object_get(c, "delta"), "content")
                                                   : json_object_get(c, "text"));
        if (piece) strcat(out, piece);
        const char *why = json_string_value(json_object_get(c, "finish_reason"));
        if (why) snprintf(reason, room, "%s", why);
        json_decref(json);
    }
    mqa_text_free(&text);
    return out;
}

static uint64_t rng = 20261125;
static unsigned below(unsigned n)
{
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return (unsigned)(rng >> 33) % n;
}

/* Words of few letters, so that stop strings are often there, overlap, and begin without ending. */
static size_t random_word(char *to, size_t most)
{
    const size_t n = 1 + below((unsigned)most);
    for (size_t i = 0; i < n; i++) to[i] = "ab "[below(3)];
    to[n] = 0;
    return n;
}

static void stops_at_strings(void **state)
{
    (void)state;
    mqa_error err;
    int n_stopped = 0;
    for (int round = 0; round < 2000; round++) {
        const bool chat = below(2);
        char words[3][8], body[256];
        const int n_stops = 1 + (int)below(3);
        for (int i = 0; i < 3; i++) random_word(words[i], 5);
        snprintf(body, sizeof body,
                 chat ? "{\"messages\":[{}],\"stop\":[\"%s\",\"%s\",\"%s\"]}"
                      : "{\"prompt\":\"x\",\"stop\":[\"%s\",\"%s\",\"%s\"]}",
                 words[0], words[n_stops > 1 ? 1 : 0], words[n_stops > 2 ? 2 : 0]);
        mqa_ask ask;
        mqa_api_error e;
        assert_true(parse(body, chat, &ask, &e));
        char text[64];
        random_word(text, 40);
        mqa_tokens tokens = {0};
        assert_int_equal(mqa_tokenizer_encode(tokenizer, text, strlen(text), 0, &tokens, &err), MQA_OK);

        /* What is wanted: after each token, cut at the first stop string in all there is. */
        mqa_text wanted = {0};
        bool cut = false;
        for (size_t i = 0; i < tokens.n && !cut; i++) {
            assert_int_equal(mqa_tokenizer_decode(tokenizer, &tokens.ids[i], 1, 0, &wanted, &err), MQA_OK);
            size_t at = SIZE_MAX;
            for (int s = 0; s < n_stops; s++) {
                const char *found = strstr(wanted.bytes, words[s]);
                if (found && (size_t)(found - wanted.bytes) < at) at = (size_t)(found - wanted.bytes);
            }
            if (at != SIZE_MAX) wanted.bytes[at] = 0, cut = true;
        }

        mqa_answer *a = answer_to(&ask);
        mqa_text events = {0}, whole = {0};
        bool stopped = false;
        for (size_t i = 0; i < tokens.n && !stopped; i++) {
            const mqa_token_logprob t = {tokens.ids[i], -1};
            assert_int_equal(mqa_answer_token(a, 0, t, NULL, 0, &stopped, &err), MQA_OK);
            assert_int_equal(mqa_answer_take_events(a, &events, &err), MQA_OK);
        }
        assert_int_equal(stopped, cut);
        n_stopped += stopped;
        assert_int_equal(mqa_answer_finish(a, 0, "length", &err), MQA_OK);
        assert_true(mqa_answer_finished(a));
        assert_int_equal(mqa_answer_take_events(a, &events, &err), MQA_OK);
        assert_int_equal(mqa_answer_end_events(a, &usage, NULL, &events, &err), MQA_OK);
        char reason[16];
        char *got = gather(events.bytes, chat, reason, sizeof reason);
        assert_string_equal(got, wanted.bytes);
        assert_string_equal(reason, cut ? "stop" : "length");
        assert_non_null(strstr(events.bytes, "data: [DONE]\n\n"));

        assert_int_equal(mqa_answer_whole(a, &usage, NULL, &whole, &err), MQA_OK);
        json_t *json = json_loads(whole.bytes, 0, NULL);
        const json_t *c = json_array_get(json_object_get(json, "choices"), 0);
        assert_string_equal(json_string_value(chat ? json_object_get(json_object_get(c, "message"), "content")
                                                   : json_object_get(c, "text")),
                            wanted.bytes);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "usage"), "total_tokens")),
                         8);
        json_decref(json);
        free(got);
        mqa_answer_destroy(&a);
        mqa_ask_free(&ask);
        mqa_tokens_free(&tokens);
        mqa_text_free(&wanted);
        mqa_text_free(&events);
        mqa_text_free(&whole);
    }
    assert_true(n_stopped > 200 && n_stopped < 1900); /* both happened */
}

static void gives_logprobs(void **state)
{
    (void)state;
    mqa_error err;
    mqa_ask ask;
    mqa_api_error e;
    assert_true(
        parse("{\"messages\":[{}],\"logprobs\":true,\"top_logprobs\":1,\"stop\":\"zz\"}", true, &ask, &e));
    mqa_answer *a = answer_to(&ask);
    mqa_tokens tokens = {0};
    assert_int_equal(mqa_tokenizer_encode(tokenizer, "abba", 4, 0, &tokens, &err), MQA_OK);
    for (size_t i = 0; i < tokens.n; i++) {
        bool stopped;
        const mqa_token_logprob t = {tokens.ids[i], i ? -0.5f : -INFINITY}, top = {tokens.ids[0], -0.25f};
        assert_int_equal(mqa_answer_token(a, 0, t, &top, 1, &stopped, &err), MQA_OK);
    }
    assert_int_equal(mqa_answer_finish(a, 0, "stop", &err), MQA_OK);
    mqa_text whole = {0};
    assert_int_equal(mqa_answer_whole(a, &usage, NULL, &whole, &err), MQA_OK);
    json_t *json = json_loads(whole.bytes, 0, NULL);
    const json_t *c = json_array_get(json_object_get(json, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(c, "logprobs"), "content");
    assert_int_equal(json_array_size(content), tokens.n);
    assert_true(json_real_value(json_object_get(json_array_get(content, 0), "logprob")) == -9999.0);
    assert_int_equal(json_array_size(json_object_get(json_array_get(content, 0), "top_logprobs")), 1);
    json_decref(json);
    mqa_text_free(&whole);
    mqa_tokens_free(&tokens);
    mqa_answer_destroy(&a);
    mqa_ask_free(&ask);
}

static int load(void **state)
{
    (void)state;
    mqa_error err;
    return mqa_tokenizer_load(MQA_SOURCE "/examples/tiny/tiny-mqa.gguf", &tokenizer, &err) == MQA_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    mqa_tokenizer_destroy(&tokenizer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_bodies),
        cmocka_unit_test(refuses_bodies),
        cmocka_unit_test(stops_at_strings),
        cmocka_unit_test(gives_logprobs),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
