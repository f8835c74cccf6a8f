/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* The patterns as the models' authors publish them (tokenizer.json), with two changes that don't change
 * what they match: White_Space by its name, since PCRE2's \s is a little wider than that of the
 * original's engine; and possessive repeats, which never need to give back. */
#define S     "\\p{White_Space}"
#define NOT_S "\\P{White_Space}"
#define GPT2                                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}++| ?\\p{N}++| ?[^" S "\\p{L}\\p{N}]++|" S "+(?!" NOT_S ")|" S "+"
/* digits: how many go together */
#define LLAMA3(digits)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}++|" digits "| ?[^" S                          \
    "\\p{L}\\p{N}]++[\\r\\n]*+|" S "*[\\r\\n]++|" S "+(?!" NOT_S ")|" S "+"

typedef struct family {
    const char
        *split; /* a first stage that cuts the text into parts, each on its own for the second; or NULL */
    const char *words;
    bool ignores_merges, adds_bos;
} family;

static const family gpt2 = {NULL, GPT2, false, false};
static const family smollm = {"\\p{N}|\\P{N}++", GPT2, false, false};
static const family llama3 = {NULL, LLAMA3("\\p{N}{1,3}+"), true, true};
static const family qwen2 = {NULL, LLAMA3("\\p{N}"), false, false};

static const struct {
    const char *name;
    const family *family;
} names[] = {
    {"", &gpt2},         {"default", &gpt2},
    {"gpt-2", &gpt2},    {"phi-2", &gpt2},
    {"mpt", &gpt2},      {"olmo", &gpt2},
    {"smollm", &smollm}, {"starcoder", &smollm},
    {"refact", &smollm}, {"llama-bpe", &llama3},
    {"llama3", &llama3}, {"llama-v3", &llama3},
    {"qwen2", &qwen2},   {"deepseek-r1-qwen", &qwen2},
};

struct mqa_pretokenizer {
    const family *family;
    pcre2_code *split, *words;
    pcre2_match_context *limits;
};

static mqa_status compile(const char *pattern, pcre2_code **out, mqa_error *err)
{
    int number;
    PCRE2_SIZE offset;
    *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED,
                         &number, &offset, NULL);
    if (!*out)
        return mqa_fail(err, MQA_ERR_INTERNAL, "pre-tokenizer: PCRE2 error %d at %zu of its pattern", number,
                        (size_t)offset);
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* where it can't, the interpreter does the same */
    return MQA_OK;
}

mqa_status mqa_pretokenizer_create(const char *name, size_t n, mqa_pretokenizer **out, mqa_error *err)
{
    *out = NULL;
    const family *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == n && (n == 0 || memcmp(names[i].name, name, n) == 0))
            found = names[i].family;
    if (!found)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                        "tokenizer.ggml.pre: '%.*s' is not known (gpt-2, smollm, llama-bpe, qwen2 are)",
                        (int)(n < 64 ? n : 64), name);
    mqa_pretokenizer *p = calloc(1, sizeof *p);
    if (!p) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "pre-tokenizer: no memory");
    p->family = found;
    mqa_status status = found->split ? compile(found->split, &p->split, err) : MQA_OK;
    if (status == MQA_OK) status = compile(found->words, &p->words, err);
    if (status == MQA_OK && !(p->limits = pcre2_match_context_create(NULL)))
        status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "pre-tokenizer: no memory");
    if (status != MQA_OK) {
        mqa_pretokenizer_destroy(p);
        return status;
    }
    /* A run of a million spaces is one match: PCRE2's default limits would give up. */
    pcre2_set_match_limit(p->limits, UINT32_MAX);
    pcre2_set_depth_limit(p->limits, UINT32_MAX);
    pcre2_set_heap_limit(p->limits, UINT32_MAX);
    *out = p;
    return MQA_OK;
}

void mqa_pretokenizer_destroy(mqa_pretokenizer *p)
{
    if (!p) return;
    pcre2_code_free(p->split);
    pcre2_code_free(p->words);
    pcre2_match_context_free(p->limits);
    free(p);
}

bool mqa_pretokenizer_ignores_merges(const mqa_pretokenizer *p)
{
    return p->family->ignores_merges;
}

bool mqa_pretokenizer_adds_bos(const mqa_pretokenizer *p)
{
    return p->family->adds_bos;
}

mqa_status mqa_words_begin(mqa_words *words, const mqa_pretokenizer *pretokenizer, const uint8_t *text,
                           size_t n, mqa_error *err)
{
    *words = (mqa_words){.pretokenizer = pretokenizer, .text = text, .n = n};
    words->match = pcre2_match_data_create(1, NULL);
    if (!words->match) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "pre-tokenizer: no memory");
    return MQA_OK;
}

void mqa_words_end(mqa_words *words)
{
    pcre2_match_data_free(words->match);
    words->match = NULL;
}

/* The end of what code matches at words->at, seeing the text up to limit only. The patterns cover every
 * character, so there always is a match of at least one. */
static mqa_status match(mqa_words *words, const pcre2_code *code, size_t limit, size_t *end, mqa_error *err)
{
    const uint8_t *from = words->text + words->at;
    size_t room = limit - words->at;
    const pcre2_match_context *limits = words->pretokenizer->limits;
    int count =
        pcre2_match(code, from, room, 0, PCRE2_NO_UTF_CHECK, words->match, (pcre2_match_context *)limits);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT)
        count = pcre2_match(code, from, room, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, words->match,
                            (pcre2_match_context *)limits);
    size_t length = count > 0 ? pcre2_get_ovector_pointer(words->match)[1] : 0;
    if (count == PCRE2_ERROR_NOMEMORY)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "pre-tokenizer: no memory");
    if (length == 0)
        return mqa_fail(err, MQA_ERR_INTERNAL, "pre-tokenizer: PCRE2 error %d at byte %zu", count, words->at);
    *end = words->at + length;
    return MQA_OK;
}

mqa_status mqa_words_next(mqa_words *words, size_t *start, size_t *length, mqa_error *err)
{
    *start = words->at;
    *length = 0;
    if (words->at == words->n) return MQA_OK;
    const mqa_pretokenizer *p = words->pretokenizer;
    if (!p->split)
        words->part_end = words->n;
    else if (words->at >= words->part_end)
        MQA_TRY(match(words, p->split, words->n, &words->part_end, err));
    size_t end = *start;
    MQA_TRY(match(words, p->words, words->part_end, &end, err));
    *length = end - *start;
    words->at = end;
    return MQA_OK;
}
