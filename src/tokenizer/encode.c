/* Text to ids: special tokens are cut out, the rest goes through the kind's own way.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tokenizer/internal.h"
#include "tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Appends the ids of the symbols after merging; what is no token goes out as its bytes' tokens. */
static mqa_status emit(mqa_encoder *e, const uint8_t *text, mqa_error *err)
{
    const mqa_tokenizer *t = e->tokenizer;
    for (int32_t at = e->n_symbols ? 0 : -1; at >= 0; at = e->symbols[at].next) {
        const mqa_symbol *symbol = &e->symbols[at];
        if (symbol->id != MQA_TOKEN_NONE) {
            MQA_TRY(mqa_tokens_push(e->out, symbol->id, err));
            continue;
        }
        for (uint32_t i = 0; i < symbol->length; i++) {
            int32_t id = t->byte_ids[text[symbol->start + i]];
            /* Byte-level vocabularies have no unknown: the few bytes that some lack are dropped, as
             * everywhere (SmolLM2's "unknown" is <|endoftext|>, which plain text must never give). */
            if (id == MQA_TOKEN_NONE && t->kind == MQA_TOKENIZER_LLAMA) id = t->unk;
            if (id != MQA_TOKEN_NONE) MQA_TRY(mqa_tokens_push(e->out, id, err));
        }
    }
    e->n_symbols = 0;
    return MQA_OK;
}

/* Copies text with U+2581 as a space, and one in front if space_first. */
static mqa_status with_spaces(mqa_encoder *e, const uint8_t *text, size_t n, bool space_first, mqa_error *err)
{
    e->repaired.n = 0;
    if (space_first) MQA_TRY(mqa_text_append(&e->repaired, " ", 1, err));
    while (n > 0) {
        const uint8_t *mark = memmem(text, n, "\xE2\x96\x81", 3);
        size_t before = mark ? (size_t)(mark - text) : n;
        MQA_TRY(mqa_text_append(&e->repaired, text, before, err));
        if (!mark) break;
        MQA_TRY(mqa_text_append(&e->repaired, " ", 1, err));
        text += before + 3;
        n -= before + 3;
    }
    return MQA_OK;
}

mqa_status mqa_encode_llama(mqa_encoder *e, const uint8_t *text, size_t n, bool space_first, mqa_error *err)
{
    const mqa_tokenizer *t = e->tokenizer;
    if (space_first || memmem(text, n, "\xE2\x96\x81", 3)) {
        MQA_TRY(with_spaces(e, text, n, space_first, err));
        text = (const uint8_t *)e->repaired.bytes;
        n = e->repaired.n;
    }
    for (size_t at = 0, length; at < n; at += length) {
        if (mqa_utf8_next(text + at, n - at, &length) != MQA_UTF8_CHARACTER) length = 1;
        if (at > 0 && !mqa_joins(t, text[at - 1], text[at])) {
            MQA_TRY(mqa_merge(e, text, err));
            MQA_TRY(emit(e, text, err));
        }
        int32_t id = mqa_piece_map_find(&t->mergeable, text + at, length);
        MQA_TRY(mqa_encoder_add_symbol(e, (uint32_t)at, (uint32_t)length, id, err));
    }
    MQA_TRY(mqa_merge(e, text, err));
    return emit(e, text, err);
}

static mqa_status encode_word(mqa_encoder *e, const uint8_t *text, size_t start, size_t length,
                              mqa_error *err)
{
    const mqa_tokenizer *t = e->tokenizer;
    if (t->ignore_merges) {
        int32_t whole = mqa_piece_map_find(&t->mergeable, text + start, length);
        if (whole != MQA_TOKEN_NONE) return mqa_tokens_push(e->out, whole, err);
    }
    for (size_t i = start; i < start + length; i++)
        MQA_TRY(mqa_encoder_add_symbol(e, (uint32_t)i, 1, t->byte_ids[text[i]], err));
    MQA_TRY(mqa_merge(e, text, err));
    return emit(e, text, err);
}

mqa_status mqa_encode_gpt2(mqa_encoder *e, const uint8_t *text, size_t n, mqa_error *err)
{
    if (mqa_utf8_valid_length(text, n) < n) {
        e->repaired.n = 0;
        MQA_TRY(mqa_utf8_append_repaired(&e->repaired, text, n, MQA_REPAIR_EACH_BYTE, err));
        text = (const uint8_t *)e->repaired.bytes;
        n = e->repaired.n;
    }
    mqa_words words;
    MQA_TRY(mqa_words_begin(&words, e->tokenizer->pretokenizer, text, n, err));
    mqa_status status;
    size_t start, length;
    while ((status = mqa_words_next(&words, &start, &length, err)) == MQA_OK && length > 0)
        if ((status = encode_word(e, text, start, length, err)) != MQA_OK) break;
    mqa_words_end(&words);
    return status;
}

/* Alternates between the text before a special token and the token. */
static mqa_status encode_parts(mqa_encoder *e, const uint8_t *text, size_t n, const mqa_found_list *found,
                               mqa_error *err)
{
    const mqa_tokenizer *t = e->tokenizer;
    size_t at = 0;
    for (size_t i = 0; i <= found->n; i++) {
        size_t end = i < found->n ? found->items[i].position : n;
        /* A fragment begins the text or follows a special token, so it gets its space. */
        if (end > at && t->kind == MQA_TOKENIZER_LLAMA)
            MQA_TRY(mqa_encode_llama(e, text + at, end - at, t->add_space_prefix, err));
        else if (end > at)
            MQA_TRY(mqa_encode_gpt2(e, text + at, end - at, err));
        if (i == found->n) break;
        MQA_TRY(mqa_tokens_push(e->out, found->items[i].id, err));
        at = end + mqa_piece_length(t, found->items[i].id);
    }
    return MQA_OK;
}

static mqa_status encode(const mqa_tokenizer *t, const uint8_t *text, size_t n, unsigned flags,
                         const mqa_span *spans, size_t n_spans, mqa_tokens *out, mqa_error *err)
{
    bool add_special = flags & MQA_ENCODE_ADD_SPECIAL;
    if (add_special && t->add_bos && t->bos != MQA_TOKEN_NONE) MQA_TRY(mqa_tokens_push(out, t->bos, err));
    if (n > 0) {
        mqa_found_list found = {0};
        mqa_encoder encoder = {.tokenizer = t, .out = out};
        mqa_status status = mqa_special_find(t, text, n, spans, n_spans, &found, err);
        if (status == MQA_OK) status = encode_parts(&encoder, text, n, &found, err);
        mqa_encoder_free(&encoder);
        free(found.items);
        MQA_TRY(status);
    }
    if (add_special && t->add_eos && t->eos != MQA_TOKEN_NONE) MQA_TRY(mqa_tokens_push(out, t->eos, err));
    return MQA_OK;
}

mqa_status mqa_encode_spans(const mqa_tokenizer *t, const char *text, size_t n_bytes, unsigned flags,
                            const mqa_span *spans, size_t n_spans, mqa_tokens *out, mqa_error *err)
{
    if (!t || !out || (!text && n_bytes > 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "encode: tokenizer, text or out is NULL");
    if (n_bytes > MQA_TEXT_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "encode: a text of %zu bytes; at most %zu are possible", n_bytes, MQA_TEXT_MAX);
    size_t before = out->n;
    mqa_status status = encode(t, (const uint8_t *)text, n_bytes, flags, spans, n_spans, out, err);
    if (status != MQA_OK) out->n = before;
    return status;
}

mqa_status mqa_tokenizer_encode(const mqa_tokenizer *t, const char *text, size_t n_bytes, unsigned flags,
                                mqa_tokens *out, mqa_error *err)
{
    mqa_span whole = {0, n_bytes};
    return mqa_encode_spans(t, text, n_bytes, flags, &whole, flags & MQA_ENCODE_PARSE_SPECIAL ? 1 : 0, out,
                            err);
}
