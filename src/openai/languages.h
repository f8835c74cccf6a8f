/* Languages that answers are held to, compiled once: the latest are kept with what they have learnt (states,
 * masks), so that the next request of the same language begins where that one stood, warm.
 *
 * Each owner's are its own: if all shared them, their speed would tell one what another asked.
 *
 * Threads: any, at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_LANGUAGES_H
#define MQA_OPENAI_LANGUAGES_H

#include <stddef.h>
#include <stdint.h>

#include "mqa/grammar.h"

enum { MQA_LANGUAGES_BYTES = 64 << 20 }; /* for max_bytes, where there is no reason for another size */

typedef struct mqa_languages mqa_languages;

typedef enum mqa_language {
    MQA_LANGUAGE_JSON_OBJECT, /* any; has no text */
    MQA_LANGUAGE_JSON_SCHEMA,
    MQA_LANGUAGE_GBNF
} mqa_language;

/* max_bytes: of what is kept when a call returns, besides the tokenizer's index; what is in use by somebody
 * else may be more. */
mqa_status mqa_languages_create(const mqa_tokenizer *tokenizer, size_t max_bytes, mqa_languages **out,
                                mqa_error *err);
void mqa_languages_destroy(mqa_languages **languages); /* matchers live on */

/* A matcher at the beginning of a text of the language, the caller's to destroy. Fails as the compilers do
 * (mqa/grammar.h); what failed isn't kept. */
mqa_status mqa_languages_matcher(mqa_languages *languages, const char *owner, mqa_language kind,
                                 const char *text, size_t n_bytes, mqa_matcher **out, mqa_error *err);

typedef struct mqa_languages_stats {
    uint64_t compiled, found; /* of all calls */
    size_t n, bytes;          /* kept now */
} mqa_languages_stats;
mqa_languages_stats mqa_languages_get_stats(mqa_languages *languages);

#endif
