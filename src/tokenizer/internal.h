/* What a built tokenizer holds. Read-only after mqa_tokenizer_build.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_INTERNAL_H
#define MQA_TOKENIZER_INTERNAL_H

#include "tokenizer/heap.h"
#include "tokenizer/maps.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/vocab.h"

#define MQA_TEXT_MAX    ((size_t)1 << 28)
#define MQA_VOCAB_MAX   ((size_t)1 << 24)
#define MQA_PIECE_MAX   ((size_t)1 << 16)
#define MQA_SPECIAL_MAX 512 /* bytes: each position of a text may walk along one */

struct mqa_tokenizer {
    mqa_tokenizer_kind kind;
    int32_t n_tokens;
    uint8_t *types;    /* [n_tokens] */
    uint8_t *is_end;   /* [n_tokens] */
    uint32_t *offsets; /* [n_tokens + 1] into bytes */
    /* What each token stands for: a normal piece is unescaped (llama: U+2581 is a space; gpt2: the bytes),
     * so text is matched as it is and decoding is concatenation. */
    char *bytes;
    uint32_t *ranks; /* llama: [n_tokens], smaller merges first; from the scores */

    mqa_piece_map mergeable; /* piece → id: tokens that merging may give */
    uint32_t mergeable_max;  /* bytes in the longest of them */
    int32_t byte_ids[256];   /* llama: <0xXX>; gpt2: the token that is this byte alone */
    /* llama: bit (a, b) is set if byte a is followed by b inside some mergeable piece; between two characters
     * where it isn't, no merge can reach across. */
    uint8_t joins[256 * 256 / 8];

    mqa_merge_map merges; /* gpt2 */
    bool ignore_merges;
    mqa_pretokenizer *pretokenizer;

    int32_t *special; /* [n_special] control, unknown and user-defined tokens, sorted by bytes */
    uint32_t n_special;
    uint32_t special_first[257]; /* those that begin with byte b: special_first[b] .. special_first[b + 1] */

    int32_t bos, eos, eot, unk, pad;
    bool add_bos, add_eos, add_space_prefix;

    mqa_chat_form chat_form;
    const char *chat_note; /* a literal, or NULL */
    char *chat_system;     /* ChatML: the template's default system message, or NULL */
};

static inline const char *mqa_piece_bytes(const mqa_tokenizer *t, int32_t id)
{
    return t->bytes + t->offsets[id];
}
static inline uint32_t mqa_piece_length(const mqa_tokenizer *t, int32_t id)
{
    return t->offsets[id + 1] - t->offsets[id];
}
static inline bool mqa_joins(const mqa_tokenizer *t, uint8_t a, uint8_t b)
{
    return t->joins[a << 5 | b >> 3] >> (b & 7) & 1;
}

/* Scratch of one call of encode; reused from fragment to fragment. */
typedef struct mqa_symbol {
    uint32_t start, length; /* length 0: merged into another */
    int32_t id;             /* MQA_TOKEN_NONE: no token (yet) */
    int32_t prev, next;     /* -1 at the ends */
} mqa_symbol;

typedef struct mqa_encoder {
    const mqa_tokenizer *tokenizer;
    mqa_symbol *symbols;
    size_t n_symbols, symbols_capacity;
    mqa_heap heap;
    mqa_text repaired; /* a copy of the fragment where it can't be used as it is */
    mqa_tokens *out;
} mqa_encoder;

void mqa_encoder_free(mqa_encoder *encoder);
mqa_status mqa_encoder_add_symbol(mqa_encoder *encoder, uint32_t start, uint32_t length, int32_t id,
                                  mqa_error *err);
/* Merges the encoder's symbols, neighbours in text, as far as it goes. */
mqa_status mqa_merge(mqa_encoder *encoder, const uint8_t *text, mqa_error *err);

/* A text without special tokens: appends its ids. */
mqa_status mqa_encode_llama(mqa_encoder *encoder, const uint8_t *text, size_t n, bool space_first,
                            mqa_error *err);
mqa_status mqa_encode_gpt2(mqa_encoder *encoder, const uint8_t *text, size_t n, mqa_error *err);

/* Where in a text control tokens may be written out. */
typedef struct mqa_span {
    size_t begin, end;
} mqa_span;

/* As mqa_tokenizer_encode with MQA_ENCODE_PARSE_SPECIAL, but control tokens are seen only inside the spans
 * (ascending, apart). */
mqa_status mqa_encode_spans(const mqa_tokenizer *tokenizer, const char *text, size_t n_bytes, unsigned flags,
                            const mqa_span *spans, size_t n_spans, mqa_tokens *out, mqa_error *err);

/* One special token found in a text. */
typedef struct mqa_found {
    uint32_t position;
    int32_t id;
} mqa_found;

typedef struct mqa_found_list {
    mqa_found *items;
    size_t n, capacity;
} mqa_found_list;

/* User-defined tokens anywhere and control tokens inside the spans: the longest first, then the leftmost,
 * none over another; sorted by position. */
mqa_status mqa_special_find(const mqa_tokenizer *tokenizer, const uint8_t *text, size_t n,
                            const mqa_span *spans, size_t n_spans, mqa_found_list *out, mqa_error *err);
/* Builds tokenizer->special and special_first from types and pieces. */
mqa_status mqa_special_build(mqa_tokenizer *tokenizer, mqa_error *err);

/* Recognises the template; keeps its default system message. */
mqa_status mqa_chat_build(mqa_tokenizer *tokenizer, const mqa_vocab *vocab, mqa_error *err);

#endif
