/* What the tests of grammars share: vocabularies and short ways to grammars and matchers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GRAMMAR_RIG_H
#define GRAMMAR_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../tokenizer/tiny_vocab.h"
#include "mqa/grammar.h"

static inline mqa_token_index *tiny_index(bool byte_level)
{
    const mqa_vocab vocab = byte_level ? tiny_gpt2("gpt-2") : tiny_llama();
    mqa_tokenizer *tokenizer;
    mqa_token_index *index;
    mqa_error err;
    if (mqa_tokenizer_build(&vocab, &tokenizer, &err) != MQA_OK) fail_msg("%s", err.message);
    if (mqa_token_index_create(tokenizer, &index, &err) != MQA_OK) fail_msg("%s", err.message);
    mqa_tokenizer_destroy(&tokenizer);
    return index;
}

static inline mqa_grammar *gbnf(const char *text)
{
    mqa_grammar *grammar;
    mqa_error err;
    if (mqa_grammar_parse_gbnf(text, strlen(text), &grammar, &err) != MQA_OK)
        fail_msg("%s\n%s", err.message, text);
    return grammar;
}

static inline mqa_matcher *matcher_of(mqa_grammar *grammar, mqa_token_index *index)
{
    mqa_matcher *matcher;
    mqa_error err;
    if (mqa_matcher_create(grammar, index, &matcher, &err) != MQA_OK) fail_msg("%s", err.message);
    return matcher;
}

/* What a text is to a grammar. */
typedef enum verdict { REFUSED, BEGINNING, SENTENCE } verdict;

static inline verdict judge(const mqa_matcher *start, const char *text, size_t n)
{
    mqa_matcher *m;
    mqa_error err = {0};
    assert_int_equal(mqa_matcher_clone(start, &m, &err), MQA_OK);
    const mqa_status status = mqa_matcher_accept_bytes(m, text, n, &err);
    if (status != MQA_OK && status != MQA_ERR_INVALID_ARGUMENT) fail_msg("%s", err.message);
    const verdict v = status != MQA_OK ? REFUSED : mqa_matcher_is_complete(m) ? SENTENCE : BEGINNING;
    mqa_matcher_destroy(&m);
    return v;
}

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline unsigned below(uint64_t *state, unsigned n)
{
    return (unsigned)(next_random(state) % n);
}

/* MQA_SEED and MQA_CASES choose other random cases. */
static inline uint64_t seed_or(uint64_t otherwise)
{
    const char *text = getenv("MQA_SEED");
    return text ? strtoull(text, NULL, 0) : otherwise;
}
static inline unsigned cases_or(unsigned otherwise)
{
    const char *text = getenv("MQA_CASES");
    return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static inline bool allowed(const uint64_t *mask, int32_t id)
{
    return mask[id / 64] >> (id % 64) & 1;
}

/* Fails unless the mask has exactly the tokens that can be accepted one by one. every: of the tokens, those
 * whose number gives the same remainder as by (large vocabularies are sampled). */
static inline void expect_mask(mqa_matcher *m, const mqa_token_index *index, int32_t n_tokens, int32_t every,
                               int32_t by)
{
    uint64_t *mask = malloc(mqa_token_index_mask_words(index) * sizeof *mask);
    mqa_error err;
    assert_non_null(mask);
    if (mqa_matcher_fill_mask(m, mask, &err) != MQA_OK) fail_msg("%s", err.message);
    for (int32_t id = by; id < n_tokens; id += every) {
        const bool accepted = mqa_matcher_accept(m, id, NULL) == MQA_OK;
        if (accepted) assert_int_equal(mqa_matcher_rollback(m, 1, NULL), MQA_OK);
        if (accepted != allowed(mask, id))
            fail_msg("token %d is %s, but the mask says otherwise", id, accepted ? "accepted" : "refused");
    }
    free(mask);
}

#endif
