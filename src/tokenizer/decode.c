/* Ids to text, whole or as a stream, and what is known of each id.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tokenizer/internal.h"
#include "tokenizer/utf8.h"

#include <stdlib.h>
#include <string.h>

static bool valid_id(const mqa_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_tokens;
}

bool mqa_tokenizer_is_control(const mqa_tokenizer *t, int32_t id)
{
    return valid_id(t, id) && (t->types[id] == MQA_TOKEN_CONTROL || t->types[id] == MQA_TOKEN_UNKNOWN);
}

bool mqa_tokenizer_is_end(const mqa_tokenizer *t, int32_t id)
{
    return valid_id(t, id) && t->is_end[id];
}

const char *mqa_tokenizer_piece(const mqa_tokenizer *t, int32_t id, size_t *n_bytes)
{
    *n_bytes = valid_id(t, id) ? mqa_piece_length(t, id) : 0;
    return valid_id(t, id) ? mqa_piece_bytes(t, id) : NULL;
}

/* The bytes that id adds to a text. *first: nothing but control tokens came before. */
static mqa_status next_bytes(const mqa_tokenizer *t, int32_t id, unsigned flags, bool *first,
                             const char **bytes, size_t *n, mqa_error *err)
{
    *n = 0;
    *bytes = "";
    if (!valid_id(t, id))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "decode: token %d is not among the %d of the vocabulary", id, t->n_tokens);
    if (mqa_tokenizer_is_control(t, id)) {
        if (flags & MQA_DECODE_SPECIAL) *bytes = mqa_tokenizer_piece(t, id, n);
        return MQA_OK;
    }
    *bytes = mqa_tokenizer_piece(t, id, n);
    if (*first && flags & MQA_DECODE_STRIP_PREFIX && t->add_space_prefix && *n > 0 && **bytes == ' ')
        ++*bytes, --*n;
    *first = false;
    return MQA_OK;
}

mqa_status mqa_tokenizer_decode(const mqa_tokenizer *t, const int32_t *ids, size_t n_ids, unsigned flags,
                                mqa_text *out, mqa_error *err)
{
    if (!t || !out || (!ids && n_ids > 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "decode: tokenizer, ids or out is NULL");
    size_t before = out->n;
    bool first = true;
    mqa_status status = mqa_text_append(out, "", 0, err);
    for (size_t i = 0; i < n_ids && status == MQA_OK; i++) {
        const char *bytes;
        size_t n;
        status = next_bytes(t, ids[i], flags, &first, &bytes, &n, err);
        if (status == MQA_OK) status = mqa_text_append(out, bytes, n, err);
    }
    if (status != MQA_OK && out->bytes) out->bytes[out->n = before] = 0;
    return status;
}

struct mqa_detokenizer {
    const mqa_tokenizer *tokenizer;
    unsigned flags;
    bool first;
    mqa_text waiting; /* between calls: the beginning of one character, at most 3 bytes */
};

mqa_status mqa_detokenizer_create(const mqa_tokenizer *tokenizer, unsigned flags, mqa_detokenizer **out,
                                  mqa_error *err)
{
    *out = NULL;
    if (!tokenizer) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "detokenizer: the tokenizer is NULL");
    mqa_detokenizer *d = calloc(1, sizeof *d);
    if (!d) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "detokenizer: no memory");
    d->tokenizer = tokenizer;
    d->flags = flags;
    d->first = true;
    *out = d;
    return MQA_OK;
}

void mqa_detokenizer_destroy(mqa_detokenizer **detokenizer)
{
    if (!detokenizer || !*detokenizer) return;
    mqa_text_free(&(*detokenizer)->waiting);
    free(*detokenizer);
    *detokenizer = NULL;
}

/* How many of the last bytes begin a character that more bytes could complete. */
static size_t incomplete_tail(const uint8_t *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        if ((p[n - back] & 0xC0) == 0x80) continue; /* within a character */
        size_t length;
        return mqa_utf8_next(p + n - back, back, &length) == MQA_UTF8_INCOMPLETE ? back : 0;
    }
    return 0;
}

mqa_status mqa_detokenizer_push(mqa_detokenizer *d, int32_t id, mqa_text *out, mqa_error *err)
{
    const char *bytes;
    size_t n, before = out->n, waited = d->waiting.n;
    bool first = d->first;
    MQA_TRY(next_bytes(d->tokenizer, id, d->flags, &first, &bytes, &n, err));
    MQA_TRY(mqa_text_append(&d->waiting, bytes, n, err));
    const uint8_t *p = (const uint8_t *)d->waiting.bytes;
    size_t tail = incomplete_tail(p, d->waiting.n), ready = d->waiting.n - tail;
    mqa_status status = mqa_text_append(out, "", 0, err);
    if (status == MQA_OK) status = mqa_utf8_append_repaired(out, p, ready, MQA_REPAIR_EACH_PART, err);
    if (status != MQA_OK) { /* as it was */
        d->waiting.n = waited;
        if (out->bytes) out->bytes[out->n = before] = 0;
        return status;
    }
    d->first = first;
    memmove(d->waiting.bytes, d->waiting.bytes + ready, tail);
    d->waiting.n = tail;
    return MQA_OK;
}

mqa_status mqa_detokenizer_finish(mqa_detokenizer *d, mqa_text *out, mqa_error *err)
{
    MQA_TRY(mqa_text_append(out, "", 0, err));
    MQA_TRY(mqa_utf8_append_repaired(out, (const uint8_t *)d->waiting.bytes, d->waiting.n,
                                     MQA_REPAIR_EACH_PART, err));
    d->waiting.n = 0;
    d->first = true;
    return MQA_OK;
}

int32_t mqa_tokenizer_n_tokens(const mqa_tokenizer *t)
{
    return t->n_tokens;
}
int32_t mqa_tokenizer_bos(const mqa_tokenizer *t)
{
    return t->bos;
}
int32_t mqa_tokenizer_eos(const mqa_tokenizer *t)
{
    return t->eos;
}
int32_t mqa_tokenizer_eot(const mqa_tokenizer *t)
{
    return t->eot;
}
int32_t mqa_tokenizer_pad(const mqa_tokenizer *t)
{
    return t->pad;
}
int32_t mqa_tokenizer_unk(const mqa_tokenizer *t)
{
    return t->unk;
}
bool mqa_tokenizer_adds_bos(const mqa_tokenizer *t)
{
    return t->add_bos && t->bos != MQA_TOKEN_NONE;
}
bool mqa_tokenizer_adds_eos(const mqa_tokenizer *t)
{
    return t->add_eos && t->eos != MQA_TOKEN_NONE;
}
