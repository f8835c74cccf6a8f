/* libFuzzer: texts through every kind and pre-tokenizer, with what must always hold.
 *
 * The first byte chooses the tokenizer and the flags, the rest is the text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/utf8.h"
#include "tiny_vocab.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mqa_tokenizer *tokenizers[8];

static void must(bool what)
{
    if (!what) abort();
}

static void build_all(void)
{
    static const char *const pre[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
    mqa_vocab vocab;
    for (int i = 0; i < 8; i++) {
        vocab = i < 4 ? tiny_llama() : tiny_gpt2(pre[i - 4]);
        vocab.add_space_prefix = i == 1;
        must(mqa_tokenizer_build(&vocab, &tokenizers[i], NULL) == MQA_OK);
    }
}

/* The vocabularies have a token for each byte, so a text comes back: exactly, but for U+2581 (a space) in one
 * kind and ill-formed bytes (U+FFFD) in the other. */
static void check_text(const mqa_tokenizer *t, bool llama, bool prefix, const char *text, size_t n,
                       const mqa_tokens *ids)
{
    mqa_text whole = {0}, piecewise = {0};
    must(mqa_tokenizer_decode(t, ids->ids, ids->n, MQA_DECODE_SPECIAL, &whole, NULL) == MQA_OK);
    bool exact =
        llama ? !prefix && !memmem(text, n, "\xE2\x96\x81", 3) : mqa_utf8_valid((const uint8_t *)text, n);
    if (exact) must(whole.n == n && memcmp(whole.bytes, text, n) == 0);
    mqa_detokenizer *d;
    must(mqa_detokenizer_create(t, MQA_DECODE_SPECIAL, &d, NULL) == MQA_OK);
    for (size_t i = 0; i < ids->n; i++) {
        must(mqa_detokenizer_push(d, ids->ids[i], &piecewise, NULL) == MQA_OK);
        must(mqa_utf8_valid((const uint8_t *)piecewise.bytes, piecewise.n));
    }
    must(mqa_detokenizer_finish(d, &piecewise, NULL) == MQA_OK);
    if (mqa_utf8_valid((const uint8_t *)whole.bytes, whole.n))
        must(piecewise.n == whole.n && memcmp(piecewise.bytes, whole.bytes, whole.n) == 0);
    mqa_detokenizer_destroy(&d);
    mqa_text_free(&whole);
    mqa_text_free(&piecewise);
}

/* The rest as a vocabulary: pieces and types cut from the data. Building may refuse, not crash. */
static void check_vocab(const uint8_t *data, size_t size)
{
    mqa_piece pieces[64];
    int32_t types[64];
    float scores[64];
    size_t n = 0;
    for (size_t at = 0; at + 1 < size && n < 64; n++) {
        size_t length = data[at] >> 4;
        types[n] = data[at] & 7;
        if (length > size - at - 1) length = size - at - 1;
        pieces[n] = (mqa_piece){(const char *)data + at + 1, length};
        scores[n] = (float)(data[at] % 5);
        at += 1 + length;
    }
    for (int kind = 0; kind < 2; kind++) {
        mqa_vocab vocab = mqa_vocab_default(kind ? MQA_TOKENIZER_GPT2 : MQA_TOKENIZER_LLAMA);
        vocab.pieces = vocab.merges = pieces;
        vocab.types = types, vocab.scores = scores;
        vocab.n_tokens = n, vocab.n_merges = n / 2;
        vocab.chat_template = (mqa_piece){(const char *)data, size};
        mqa_tokenizer *t;
        if (mqa_tokenizer_build(&vocab, &t, NULL) != MQA_OK) continue;
        mqa_tokens ids = {0};
        must(mqa_tokenizer_encode(t, (const char *)data, size, MQA_ENCODE_PARSE_SPECIAL, &ids, NULL) ==
             MQA_OK);
        mqa_tokens_free(&ids);
        mqa_tokenizer_destroy(&t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    if (!tokenizers[0]) build_all();
    int which = data[0] & 7;
    unsigned flags = data[0] >> 3 & MQA_ENCODE_PARSE_SPECIAL;
    if (data[0] & 0x80) {
        check_vocab(data + 1, size - 1);
        return 0;
    }
    const char *text = (const char *)data + 1;
    mqa_tokens ids = {0};
    must(mqa_tokenizer_encode(tokenizers[which], text, size - 1, flags, &ids, NULL) == MQA_OK);
    check_text(tokenizers[which], which < 4, which == 1, text, size - 1, &ids);
    if (!flags)
        for (size_t i = 0; i < ids.n; i++) must(!mqa_tokenizer_is_control(tokenizers[which], ids.ids[i]));
    mqa_tokens_free(&ids);
    return 0;
}
