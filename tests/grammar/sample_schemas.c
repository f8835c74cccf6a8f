/* Generates by schemas, and judges texts by them: the working part of scripts/check-schemas.
 *
 *     sample_schemas [-m MODEL] [-s SEED] [-t] [-c] < jobs
 *
 * One JSON object a line from stdin: {"schema": ..., "count": 3, "texts": ["..."]} ("schema" true: any
 * object; "gbnf":
 * "..." in its place: a grammar), one to stdout: {"outputs": ["..."], "accepted": [true]}, or {"error":
 * "..."} with "status". Outputs are of tokens drawn at random from the masks of MODEL's vocabulary, or of a
 * tiny one of bytes; the draw leans towards short tokens and, once the text is long, to those that end it.
 * With -t the last line has the time of masks, in microseconds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tokenizer/tiny_vocab.h"
#include "grammar/matcher.h"

enum { TOKENS_MAX = 4000, TIMES_MAX = 1 << 22 };

static mqa_tokenizer *tokenizer;
static mqa_token_index *token_index;
static uint64_t *mask;
static uint64_t seed = 1;
static mqa_json_options options;
static bool timed;
static float *times; /* microseconds of each step */
static size_t n_times;

static uint64_t next_random(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double microseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may be at work */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* Every byte is likely to lead on, but brackets and quotes that close come more often as the text grows: else
 * few texts would ever end. */
static double weight(int32_t token, size_t n_text)
{
    size_t n;
    const char *bytes = mqa_tokenizer_piece(tokenizer, token, &n);
    if (mqa_tokenizer_is_end(tokenizer, token)) return 3 + 0.05 * (double)n_text;
    double w = n == 1 ? 20 : 1;
    if (n == 1 && strchr("\"]}", bytes[0])) w *= 2 + 0.1 * (double)n_text;
    if (n == 1 && strchr("[{\\", bytes[0]) && n_text > 100) w *= 0.01;
    return w;
}

static int32_t draw(size_t n_text)
{
    double total = 0;
    int32_t chosen = -1;
    const size_t n_words = mqa_token_index_mask_words(token_index);
    size_t n_allowed = 0;
    for (size_t i = 0; i < n_words; i++) n_allowed += (size_t)__builtin_popcountll(mask[i]);
    /* Of very many only some are looked at. */
    const size_t stride = n_allowed > 5000 ? n_allowed / 1000 : 1;
    size_t skip = next_random() % stride;
    for (size_t i = 0; i < n_words; i++)
        for (uint64_t bits = mask[i]; bits; bits &= bits - 1) {
            const int32_t token = (int32_t)(i * 64) + __builtin_ctzll(bits);
            size_t n;
            mqa_tokenizer_piece(tokenizer, token, &n);
            if (n > 1 && stride > 1 && skip-- > 0) continue;
            if (n > 1) skip = stride - 1;
            const double w = weight(token, n_text);
            total += w;
            if ((double)(next_random() >> 11) * 0x1p-53 * total < w) chosen = token;
        }
    return chosen;
}

/* NULL with err where it can't go on; "" where it was too long. */
static json_t *generate(const mqa_matcher *start, mqa_error *err)
{
    mqa_matcher *m;
    mqa_text text = {0};
    if (mqa_matcher_clone(start, &m, err) != MQA_OK) return NULL;
    mqa_status status = MQA_OK;
    for (int i = 0; i < TOKENS_MAX && !mqa_matcher_has_ended(m); i++) {
        const double t0 = microseconds();
        status = mqa_matcher_fill_mask(m, mask, err);
        if (status != MQA_OK) break;
        const double t1 = microseconds();
        const int32_t token = draw(text.n);
        if (token < 0) {
            snprintf(err->message, sizeof err->message, "nothing is allowed behind: %.300s", text.bytes);
            status = MQA_ERR_INTERNAL;
            break;
        }
        const double t2 = microseconds();
        status = mqa_matcher_accept(m, token, err);
        if (timed && n_times < TIMES_MAX) times[n_times++] = (float)(t1 - t0 + microseconds() - t2);
        if (status == MQA_OK && !mqa_matcher_has_ended(m))
            status = mqa_tokenizer_decode(tokenizer, &token, 1, 0, &text, err);
        if (status != MQA_OK) break;
    }
    json_t *out = NULL;
    if (status == MQA_OK)
        out = mqa_matcher_has_ended(m) ? json_stringn(text.bytes ? text.bytes : "", text.n) : json_string("");
    if (status == MQA_OK && !out) snprintf(err->message, sizeof err->message, "the text isn't UTF-8");
    mqa_matcher_destroy(&m);
    mqa_text_free(&text);
    return out;
}

static bool accepts(const mqa_matcher *start, const json_t *text)
{
    mqa_matcher *m;
    if (mqa_matcher_clone(start, &m, NULL) != MQA_OK) return false;
    const bool out =
        mqa_matcher_accept_bytes(m, json_string_value(text), json_string_length(text), NULL) == MQA_OK &&
        mqa_matcher_is_complete(m);
    mqa_matcher_destroy(&m);
    return out;
}

static mqa_status grammar_of(const json_t *job, mqa_grammar **out, mqa_error *err)
{
    const json_t *gbnf = json_object_get(job, "gbnf"), *schema = json_object_get(job, "schema");
    if (gbnf) return mqa_grammar_parse_gbnf(json_string_value(gbnf), json_string_length(gbnf), out, err);
    if (json_is_true(json_object_get(job, "object"))) return mqa_grammar_json_object(&options, out, err);
    char *text = json_dumps(schema, JSON_ENCODE_ANY);
    const mqa_status status =
        mqa_grammar_from_json_schema(text ? text : "", text ? strlen(text) : 0, &options, out, err);
    free(text);
    return status;
}

static json_t *work(const json_t *job)
{
    mqa_grammar *grammar;
    mqa_matcher *m = NULL;
    mqa_error err = {0};
    mqa_status status = grammar_of(job, &grammar, &err);
    if (status == MQA_OK) status = mqa_matcher_create(grammar, token_index, &m, &err);
    mqa_grammar_destroy(&grammar);
    json_t *outputs = json_array(), *accepted = json_array();
    for (json_int_t i = json_integer_value(json_object_get(job, "count")); i > 0 && status == MQA_OK; i--) {
        json_t *text = generate(m, &err);
        if (!text) status = MQA_ERR_INTERNAL;
        json_array_append_new(outputs, text ? text : json_null());
    }
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(job, "texts"), i, text) if (status == MQA_OK)
        json_array_append_new(accepted, json_boolean(accepts(m, text)));
    mqa_matcher_destroy(&m);
    json_t *out = json_pack("{s:o, s:o}", "outputs", outputs, "accepted", accepted);
    if (status != MQA_OK) {
        json_object_set_new(out, "error", json_string(err.message));
        json_object_set_new(out, "status", json_string(mqa_status_name(status)));
    }
    return out;
}

static int by_size(const void *x, const void *y)
{
    const float a = *(const float *)x, b = *(const float *)y;
    return (a > b) - (a < b);
}

static int fail(const char *what)
{
    fprintf(stderr, "sample_schemas: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    const char *model = NULL;
    mqa_error err;
    options = mqa_json_options_default();
    for (int c; (c = getopt(argc, argv, "m:s:tc")) != -1;) {
        if (c == 'm') model = optarg;
        if (c == 's') seed = strtoull(optarg, NULL, 0);
        if (c == 't') timed = true;
        if (c == 'c') options.compact = true;
        if (c == '?') return fail("usage: sample_schemas [-m MODEL] [-s SEED] [-t] [-c] < jobs");
    }
    const mqa_vocab tiny = tiny_gpt2("gpt-2");
    if ((model ? mqa_tokenizer_load(model, &tokenizer, &err)
               : mqa_tokenizer_build(&tiny, &tokenizer, &err)) != MQA_OK)
        return fail(err.message);
    if (mqa_token_index_create(tokenizer, &token_index, &err) != MQA_OK) return fail(err.message);
    mask = calloc(mqa_token_index_mask_words(token_index), sizeof *mask);
    times = timed ? calloc(TIMES_MAX, sizeof *times) : NULL;
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *job = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!job) return fail("a line isn't JSON");
        json_t *result = work(job);
        json_dumpf(result, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(result);
        json_decref(job);
    }
    if (timed && n_times) {
        qsort(times, n_times, sizeof *times, by_size);
        printf("{\"masks\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n", n_times,
               times[n_times / 2], times[n_times * 9 / 10], times[n_times * 99 / 100],
               times[n_times * 999 / 1000], times[n_times - 1]);
    }
    free(line);
    free(mask);
    free(times);
    mqa_token_index_destroy(&token_index);
    mqa_tokenizer_destroy(&tokenizer);
    return 0;
}
