/* Two vocabularies small enough to work out by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TINY_VOCAB_H
#define TINY_VOCAB_H

#include "tokenizer/vocab.h"

#include <stdio.h>
#include <string.h>

#define P(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* SentencePiece-style: 0-3 special, then pieces, user-defined ones, and all 256 byte tokens from TINY_BYTES.
 */
enum {
    TINY_PAD,
    TINY_EOS,
    TINY_BOS,
    TINY_UNK,
    TINY_A,
    TINY_B,
    TINY_C,
    TINY_SPACE,
    TINY_AB,
    TINY_BC,
    TINY_ABC,
    TINY_AA,
    TINY_SPACE_A,
    TINY_SPACE2,
    TINY_E_ACUTE,
    TINY_NL2,
    TINY_NL,
    TINY_TAG,
    TINY_TAGS,
    TINY_TURN,
    TINY_BYTES,
    TINY_N = TINY_BYTES + 256
};

static inline mqa_vocab tiny_llama(void)
{
    static const mqa_piece named[TINY_BYTES] = {
        P("<pad>"),
        P("<eos>"),
        P("<bos>"),
        P("<unk>"),
        P("a"),
        P("b"),
        P("c"),
        P("\xE2\x96\x81"),
        P("ab"),
        P("bc"),
        P("abc"),
        P("aa"),
        P("\xE2\x96\x81"
          "a"),
        P("\xE2\x96\x81\xE2\x96\x81"),
        P("\xC3\xA9"),
        P("\n\n"),
        P("\n"),
        P("<b>"),
        P("<b><b>"),
        P("<end_of_turn>"),
    };
    static const float named_scores[TINY_BYTES] = {
        [TINY_A] = -20,         [TINY_B] = -20,     [TINY_C] = -20,      [TINY_SPACE] = -20,
        [TINY_AB] = -2,         [TINY_BC] = -1,     [TINY_ABC] = -3,     [TINY_AA] = -2,
        [TINY_SPACE_A] = -2.5f, [TINY_SPACE2] = -4, [TINY_E_ACUTE] = -20};
    static mqa_piece pieces[TINY_N];
    static float scores[TINY_N];
    static int32_t types[TINY_N];
    static char bytes[256][7];
    for (int i = 0; i < TINY_BYTES; i++) {
        pieces[i] = named[i];
        scores[i] = named_scores[i];
        types[i] = i == TINY_UNK                     ? MQA_TOKEN_UNKNOWN
                   : i <= TINY_BOS || i == TINY_TURN ? MQA_TOKEN_CONTROL
                   : i >= TINY_NL2                   ? MQA_TOKEN_USER_DEFINED
                                                     : MQA_TOKEN_NORMAL;
    }
    for (int b = 0; b < 256; b++) {
        snprintf(bytes[b], sizeof bytes[b], "<0x%02X>", (unsigned)b);
        pieces[TINY_BYTES + b] = (mqa_piece){bytes[b], 6};
        types[TINY_BYTES + b] = MQA_TOKEN_BYTE;
    }
    mqa_vocab v = mqa_vocab_default(MQA_TOKENIZER_LLAMA);
    v.n_tokens = TINY_N;
    v.pieces = pieces;
    v.scores = scores;
    v.types = types;
    v.bos = TINY_BOS;
    v.eos = TINY_EOS;
    v.unk = TINY_UNK;
    v.pad = TINY_PAD;
    v.add_space_prefix = false;
    v.architecture = (mqa_piece)P("gemma3");
    return v;
}

/* Byte-level: ids 0-255 are the bytes themselves, then merges, then control tokens. */
enum {
    BPE_HE = 256,
    BPE_LL,
    BPE_LLO,
    BPE_HELLO,
    BPE_SPACE_H,
    BPE_SPACE2,
    BPE_END,
    BPE_START,
    BPE_TEXT_END,
    BPE_N
};

static inline mqa_vocab tiny_gpt2(const char *pre)
{
    static char bytes[256][3];
    static mqa_piece pieces[BPE_N] = {[BPE_HE] = P("he"),
                                      [BPE_LL] = P("ll"),
                                      [BPE_LLO] = P("llo"),
                                      [BPE_HELLO] = P("hello"),
                                      [BPE_SPACE_H] = P("\xC4\xA0h"),
                                      [BPE_SPACE2] = P("\xC4\xA0\xC4\xA0"),
                                      [BPE_END] = P("<|im_end|>"),
                                      [BPE_START] = P("<|im_start|>"),
                                      [BPE_TEXT_END] = P("<|endoftext|>")};
    static const mqa_piece merges[] = {
        P("h e"), P("l l"), P("ll o"), P("he llo"), P("\xC4\xA0 h"), P("\xC4\xA0 \xC4\xA0"), P("x yz")};
    static int32_t types[BPE_N];
    for (int b = 0, other = 0; b < 256; b++) {
        int code = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE ? b : 0x100 + other++;
        size_t n = 0;
        if (code >= 0x80)
            bytes[b][n++] = (char)(0xC0 | code >> 6), bytes[b][n++] = (char)(0x80 | (code & 63));
        else
            bytes[b][n++] = (char)code;
        pieces[b] = (mqa_piece){bytes[b], n};
    }
    for (int i = 0; i < BPE_N; i++) types[i] = i >= BPE_END ? MQA_TOKEN_CONTROL : MQA_TOKEN_NORMAL;
    mqa_vocab v = mqa_vocab_default(MQA_TOKENIZER_GPT2);
    v.n_tokens = BPE_N;
    v.pieces = pieces;
    v.types = types;
    v.merges = merges;
    v.n_merges = COUNT(merges);
    v.pre = (mqa_piece){pre, strlen(pre)};
    v.bos = BPE_START;
    v.eos = BPE_END;
    return v;
}

#endif
