/* What fuzz targets do with a grammar that was taken: a generation of random allowed tokens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GRAMMAR_EXERCISE_H
#define GRAMMAR_EXERCISE_H

#include <stdlib.h>
#include <string.h>

#include "../tokenizer/tiny_vocab.h"
#include "mqa/grammar.h"

/* Aborts where a call's answer contradicts another's, or a failure has no message. Destroys the grammar. */
static inline void exercise_grammar(mqa_status status, mqa_grammar *grammar, const mqa_error *parsed,
                                    uint32_t seed)
{
    static mqa_token_index *index;
    mqa_error err = {0};
    mqa_matcher *m = NULL;
    if (!index) {
        const mqa_vocab vocab = tiny_llama();
        mqa_tokenizer *tokenizer;
        if (mqa_tokenizer_build(&vocab, &tokenizer, &err) != MQA_OK) abort();
        if (mqa_token_index_create(tokenizer, &index, &err) != MQA_OK) abort();
        mqa_tokenizer_destroy(&tokenizer);
    }
    if ((status == MQA_OK) != (grammar != NULL)) abort();
    if (status != MQA_OK && (parsed->status != status || parsed->message[0] == '\0')) abort();
    if (status == MQA_OK) status = mqa_matcher_create(grammar, index, &m, &err);
    mqa_grammar_destroy(&grammar);
    for (int step = 0; step < 40 && status == MQA_OK; step++) {
        uint64_t mask[(TINY_N + 63) / 64];
        status = mqa_matcher_fill_mask(m, mask, &err);
        if (status != MQA_OK) break;
        int32_t chosen = -1;
        for (int32_t id = 0, n = 0; id < TINY_N; id++) {
            if (!(mask[id / 64] >> (id % 64) & 1)) continue;
            seed = seed * 1664525u + 1013904223u;
            if ((seed >> 8) % (uint32_t)++n == 0) chosen = id;
        }
        if (chosen < 0) {
            if (!mqa_matcher_is_complete(m) && step < 1) abort(); /* later: as deep as may be */
            break;
        }
        status = mqa_matcher_accept(m, chosen, &err);
        if (status == MQA_ERR_INVALID_ARGUMENT) abort();
        if (status == MQA_OK && step % 7 == 3 && mqa_matcher_rollback(m, 2, &err) != MQA_OK) abort();
    }
    if (status != MQA_OK && m && err.message[0] == '\0') abort();
    mqa_matcher_destroy(&m);
}

#endif
