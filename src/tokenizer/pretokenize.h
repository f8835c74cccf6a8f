/* Cutting text into words before byte-level BPE, by the model family's regular expressions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_PRETOKENIZE_H
#define MQA_TOKENIZER_PRETOKENIZE_H

#include "tokenizer/array.h"

typedef struct mqa_pretokenizer mqa_pretokenizer;

/* name: tokenizer.ggml.pre, n bytes. MQA_ERR_UNSUPPORTED for one that isn't known. */
mqa_status mqa_pretokenizer_create(const char *name, size_t n, mqa_pretokenizer **out, mqa_error *err);
void mqa_pretokenizer_destroy(mqa_pretokenizer *pretokenizer);
/* Llama 3's convention: a word that is a token as a whole is taken as it is. */
bool mqa_pretokenizer_ignores_merges(const mqa_pretokenizer *pretokenizer);
/* Llama 3's files leave add_bos_token out and mean true. */
bool mqa_pretokenizer_adds_bos(const mqa_pretokenizer *pretokenizer);

/* Walks over the words of a well-formed UTF-8 text, which together are the text. */
typedef struct mqa_words {
    const mqa_pretokenizer *pretokenizer;
    const uint8_t *text;
    size_t n, at, part_end; /* part_end: of the part that the first stage cut out */
    void *match;
} mqa_words;

mqa_status mqa_words_begin(mqa_words *words, const mqa_pretokenizer *pretokenizer, const uint8_t *text,
                           size_t n, mqa_error *err);
/* *length = 0 at the end. */
mqa_status mqa_words_next(mqa_words *words, size_t *start, size_t *length, mqa_error *err);
void mqa_words_end(mqa_words *words);

#endif
