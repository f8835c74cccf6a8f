/* A vocabulary as a file (or a test) gives it: plain arrays, borrowed while the tokenizer is built.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_VOCAB_H
#define MQA_TOKENIZER_VOCAB_H

#include "mqa/tokenizer.h"

typedef struct mqa_piece {
    const char *bytes;
    size_t n;
} mqa_piece;

typedef enum mqa_tokenizer_kind { MQA_TOKENIZER_LLAMA, MQA_TOKENIZER_GPT2 } mqa_tokenizer_kind;

/* GGUF's numbers for tokenizer.ggml.token_type. */
enum {
    MQA_TOKEN_NORMAL = 1,
    MQA_TOKEN_UNKNOWN = 2,
    MQA_TOKEN_CONTROL = 3,
    MQA_TOKEN_USER_DEFINED = 4,
    MQA_TOKEN_UNUSED = 5,
    MQA_TOKEN_BYTE = 6
};

typedef struct mqa_vocab {
    mqa_tokenizer_kind kind;
    mqa_piece pre; /* gpt2: the pre-tokenizer's name; empty means gpt-2 */
    size_t n_tokens;
    const mqa_piece *pieces; /* [n_tokens] as in the file: llama with U+2581 for spaces, gpt2 byte-encoded */
    const float *scores;     /* [n_tokens]: llama; NULL: all 0 */
    const int32_t *types;    /* [n_tokens]; NULL: all normal */
    size_t n_merges;
    const mqa_piece *merges;              /* [n_merges]: gpt2; "left right", best first */
    int64_t bos, eos, eot, eom, unk, pad; /* MQA_TOKEN_NONE where the file has none */
    int add_bos; /* 0, 1, or -1: the file doesn't say, so what the kind and the pre-tokenizer mean by that */
    bool add_eos, add_space_prefix;
    mqa_piece chat_template, architecture;
} mqa_vocab;

/* An empty vocabulary of this kind, with what a file that says nothing means. */
static inline mqa_vocab mqa_vocab_default(mqa_tokenizer_kind kind)
{
    return (mqa_vocab){.kind = kind,
                       .bos = MQA_TOKEN_NONE,
                       .eos = MQA_TOKEN_NONE,
                       .eot = MQA_TOKEN_NONE,
                       .eom = MQA_TOKEN_NONE,
                       .unk = MQA_TOKEN_NONE,
                       .pad = MQA_TOKEN_NONE,
                       .add_bos = -1,
                       .add_space_prefix = kind == MQA_TOKENIZER_LLAMA};
}

/* Copies what it needs. MQA_ERR_FORMAT for ids out of range, too many tokens, and the like. */
mqa_status mqa_tokenizer_build(const mqa_vocab *vocab, mqa_tokenizer **out, mqa_error *err);

#endif
