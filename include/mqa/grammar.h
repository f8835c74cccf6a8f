/* Grammars: which tokens may come next, so that what is generated is a sentence of a given language.
 *
 * Three objects, made in this order:
 *
 *   mqa_grammar       a language, from GBNF (llama.cpp's notation) or a JSON Schema   docs/grammar.md
 *   mqa_token_index   the tokens of one tokenizer by their bytes; one serves all grammars
 *   mqa_matcher       where one generation stands: which tokens may follow, what was accepted, going back
 *
 * Languages are of bytes: a token may end inside a character. Control tokens are never allowed, but for those
 * that end a text (mqa_tokenizer_is_end), and these where a sentence is complete. Tokens of no bytes and
 * those of more than 255 are never allowed either.
 *
 * Grammars and indexes are read-only after their creation: any number of threads may use them at the same
 * time. A matcher belongs to one thread at a time. Matchers made from each other by mqa_matcher_clone share
 * what they have learnt (states and masks), so the next one of the same grammar should be a clone of the
 * first; each may be in a thread of its own, where they take turns. An object may be destroyed while others
 * that were made from it live on.
 *
 * Texts of grammars are hostile input. What a grammar may be, and what a matcher may take, has limits
 * (docs/grammar.md): MQA_ERR_BUDGET says which was met.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GRAMMAR_H
#define MQA_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mqa_grammar mqa_grammar;
typedef struct mqa_token_index mqa_token_index;
typedef struct mqa_matcher mqa_matcher;

/* ---- languages ---- */

/* GBNF, beginning with the rule "root". MQA_ERR_FORMAT with line and column for what isn't GBNF and for
 * rules that are missing or begin with themselves (left recursion); MQA_ERR_BUDGET for too large a grammar.
 */
MQA_API mqa_status mqa_grammar_parse_gbnf(const char *text, size_t n_bytes, mqa_grammar **out,
                                          mqa_error *err);

typedef struct mqa_json_options {
    size_t struct_size; /* sizeof(mqa_json_options) */
    bool compact;       /* no white space at all, instead of a little where the text may have it */
} mqa_json_options;

MQA_API void mqa_json_options_init(mqa_json_options *out, size_t struct_size);
static inline mqa_json_options mqa_json_options_default(void)
{
    mqa_json_options out;
    mqa_json_options_init(&out, sizeof out);
    return out;
}

/* Values that satisfy a JSON Schema, properties in the schema's order. MQA_ERR_FORMAT for what isn't a schema
 * and for schemas that nothing satisfies, MQA_ERR_UNSUPPORTED for keywords that aren't known or can't be kept
 * exactly: none is passed over. Messages name the place ("#/properties/age/minimum"). options NULL: the
 * defaults. */
MQA_API mqa_status mqa_grammar_from_json_schema(const char *text, size_t n_bytes,
                                                const mqa_json_options *options, mqa_grammar **out,
                                                mqa_error *err);
/* Any JSON object. */
MQA_API mqa_status mqa_grammar_json_object(const mqa_json_options *options, mqa_grammar **out,
                                           mqa_error *err);

/* Sets *grammar to NULL; NULL and a pointer to NULL are fine. */
MQA_API void mqa_grammar_destroy(mqa_grammar **grammar);

/* ---- the tokens of a tokenizer ---- */

/* Takes about 200 ms and 60 bytes a token for 262,144 tokens. The tokenizer may be destroyed afterwards. */
MQA_API mqa_status mqa_token_index_create(const mqa_tokenizer *tokenizer, mqa_token_index **out,
                                          mqa_error *err);
MQA_API void mqa_token_index_destroy(mqa_token_index **index);
/* Words of a mask: one bit a token, that of token id is mask[id / 64] >> (id % 64) & 1. */
MQA_API size_t mqa_token_index_mask_words(const mqa_token_index *index);

/* ---- one generation ---- */

#define MQA_MATCHER_ROLLBACK 256 /* so many of the last tokens can be taken back */

MQA_API mqa_status mqa_matcher_create(mqa_grammar *grammar, mqa_token_index *index, mqa_matcher **out,
                                      mqa_error *err);
/* Stands where the other one stands, and goes on by itself. */
MQA_API mqa_status mqa_matcher_clone(const mqa_matcher *matcher, mqa_matcher **out, mqa_error *err);
MQA_API void mqa_matcher_destroy(mqa_matcher **matcher);

/* Writes mask[mqa_token_index_mask_words], bits behind the last token 0. All are 0 only after an end token,
 * or where nothing can follow: the vocabulary can't spell what must come, or it would be nested too deep.
 * MQA_ERR_BUDGET where the grammar is too ambiguous: nothing has changed. */
MQA_API mqa_status mqa_matcher_fill_mask(mqa_matcher *matcher, uint64_t *mask, mqa_error *err);
/* Goes on by a token. MQA_ERR_INVALID_ARGUMENT if it isn't allowed here; then nothing has changed. */
MQA_API mqa_status mqa_matcher_accept(mqa_matcher *matcher, int32_t token, mqa_error *err);
/* What was accepted is a sentence: an end token is allowed now, or was the last. */
MQA_API bool mqa_matcher_is_complete(const mqa_matcher *matcher);
/* An end token was accepted: nothing is allowed any more. */
MQA_API bool mqa_matcher_has_ended(const mqa_matcher *matcher);
/* Takes back the last n_tokens. MQA_ERR_INVALID_ARGUMENT for more than were accepted, or than the last
 * MQA_MATCHER_ROLLBACK; then nothing has changed. */
MQA_API mqa_status mqa_matcher_rollback(mqa_matcher *matcher, size_t n_tokens, mqa_error *err);

/* Goes on by n_bytes of text that doesn't come from tokens, and counts as one of them for rollback. As
 * mqa_matcher_accept. */
MQA_API mqa_status mqa_matcher_accept_bytes(mqa_matcher *matcher, const char *bytes, size_t n_bytes,
                                            mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
