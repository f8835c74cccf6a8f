/* Masks over the vocabularies of real models equal trying each token.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include "../tokenizer/models.h"

static const char json[] =
    "root   ::= object\n"
    "value  ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" ws (pair (\",\" ws pair)*)? \"}\"\n"
    "pair   ::= string \":\" ws value ws\n"
    "array  ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4}))* "
    "\"\\\"\"\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]+)? ([eE] [-+]? [0-9]{1,3})?\n"
    "ws     ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

static const char *const grammars[] = {
    json,
    "root ::= .*",
    "root ::= [^\"\\\\\\x00-\\x1F\\x7F]{0,6} \"\\\"\"",     /* plain characters, at most a few */
    "root ::= [^\"\\\\\\x00-\\x1F\\x7F]{12,40} \"x\"",      /* and more */
    "root ::= ([^\"\\\\\\x00-\\x1F\\x7F] \"-\"?)* \"\\n\"", /* all of them, but not all alike */
    "root ::= [^\"\\\\\\x00-\\x1F\\x7F\\u00e9]* \"\\n\"",   /* all but one */
    "root ::= [^\"#\\\\\\x00-\\x1F]* \"\\n\"",
    "root ::= .* \"x\"+ \"y\"? .*", /* nothing is refused, but there are several states */
    "root ::= .{22}",
    "root ::= (.{0,9} | [a-z ]{0,30} | [^a]{3}) \"\\n\"",
    "root ::= [^\"\\\\\\x00-\\x1F\\U00020000-\\U0010FFFF]* \"\\n\"",
    "root ::= ([A-Z] [a-z]+ \" \")+ \".\"",
    "root ::= [\\u0400-\\u04FF\\u4E00-\\u9FFF ]+",
};

/* From random allowed tokens on, a share of all tokens each time, so that all come in turn. */
static void walk(mqa_matcher *m, const mqa_token_index *index, const mqa_tokenizer *tokenizer, uint64_t *seed)
{
    enum { EVERY = 101 };
    const int32_t n = mqa_tokenizer_n_tokens(tokenizer);
    uint64_t *mask = malloc(mqa_token_index_mask_words(index) * sizeof *mask);
    assert_non_null(mask);
    for (int step = 0; step < 12; step++) {
        expect_mask(m, index, n, EVERY, (int32_t)below(seed, EVERY));
        assert_int_equal(mqa_matcher_fill_mask(m, mask, NULL), MQA_OK);
        int32_t id = MQA_TOKEN_NONE;
        for (int tries = 0; tries < 1000000; tries++) {
            const int32_t candidate = (int32_t)below(seed, (unsigned)n);
            if (!allowed(mask, candidate) || mqa_tokenizer_is_end(tokenizer, candidate)) continue;
            assert_false(mqa_tokenizer_is_control(tokenizer, candidate));
            id = candidate;
            break;
        }
        if (id == MQA_TOKEN_NONE) break;
        assert_int_equal(mqa_matcher_accept(m, id, NULL), MQA_OK);
    }
    free(mask);
}

static void masks_are_right(const model *which)
{
    mqa_tokenizer *tokenizer = load(which);
    mqa_token_index *index;
    uint64_t seed = seed_or(4);
    assert_int_equal(mqa_token_index_create(tokenizer, &index, NULL), MQA_OK);
    for (size_t i = 0; i < COUNT(grammars); i++) {
        mqa_grammar *grammar = gbnf(grammars[i]);
        mqa_matcher *m = matcher_of(grammar, index);
        expect_mask(m, index, mqa_tokenizer_n_tokens(tokenizer), 1, 0);
        for (int walks = 0; walks < 3; walks++) {
            mqa_matcher *clone;
            assert_int_equal(mqa_matcher_clone(m, &clone, NULL), MQA_OK);
            walk(clone, index, tokenizer, &seed);
            mqa_matcher_destroy(&clone);
        }
        mqa_matcher_destroy(&m);
        mqa_grammar_destroy(&grammar);
    }
    mqa_token_index_destroy(&index);
    mqa_tokenizer_destroy(&tokenizer);
}

static void gemma_masks(void **state)
{
    (void)state;
    masks_are_right(&gemma);
}

static void smollm_masks(void **state)
{
    (void)state;
    masks_are_right(&smollm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gemma_masks), cmocka_unit_test(smollm_masks)};
    return cmocka_run_group_tests_name("grammar_models", tests, NULL, NULL);
}
