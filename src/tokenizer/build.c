/* Building a tokenizer from a vocabulary.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/hex.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

static bool mergeable_type(uint8_t type)
{
    return type != MQA_TOKEN_UNKNOWN && type != MQA_TOKEN_CONTROL && type != MQA_TOKEN_USER_DEFINED &&
           type != MQA_TOKEN_BYTE;
}

/* "<0xXX>" → the byte, or -1. */
static int parse_byte_piece(mqa_piece piece)
{
    const char *p = piece.bytes;
    if (piece.n != 6 || memcmp(p, "<0x", 3) != 0 || p[5] != '>') return -1;
    int high = mqa_hex_digit(p[3]), low = mqa_hex_digit(p[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* U+2581 → space. */
static size_t unescape(mqa_piece piece, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < piece.n;) {
        if (piece.n - i >= 3 && memcmp(piece.bytes + i, "\xE2\x96\x81", 3) == 0) {
            out[n++] = ' ';
            i += 3;
        } else {
            out[n++] = piece.bytes[i++];
        }
    }
    return n;
}

/* Copies the pieces as what they stand for. Unescaping never makes one longer. */
static mqa_status take_pieces(mqa_tokenizer *t, const mqa_vocab *vocab, mqa_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < vocab->n_tokens; i++) {
        if (vocab->pieces[i].n > MQA_PIECE_MAX)
            return mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.tokens: token %zu has %zu bytes", i,
                            vocab->pieces[i].n);
        total += vocab->pieces[i].n;
    }
    if (total > UINT32_MAX / 2)
        return mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.tokens: %zu bytes are too many", total);
    t->bytes = malloc(total + 1);
    t->offsets = malloc((vocab->n_tokens + 1) * sizeof *t->offsets);
    t->types = malloc(vocab->n_tokens);
    t->is_end = calloc(vocab->n_tokens, 1);
    if (!t->bytes || !t->offsets || !t->types || !t->is_end)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for %zu tokens", vocab->n_tokens);
    uint32_t at = 0;
    for (size_t i = 0; i < vocab->n_tokens; i++) {
        mqa_piece piece = vocab->pieces[i];
        int32_t type = vocab->types ? vocab->types[i] : MQA_TOKEN_NORMAL;
        t->types[i] = (uint8_t)(type < 0 || type > MQA_TOKEN_BYTE ? 0 : type);
        t->offsets[i] = at;
        size_t n = piece.n;
        if (type == MQA_TOKEN_BYTE) {
            int byte = parse_byte_piece(piece);
            if (byte < 0)
                return mqa_fail(err, MQA_ERR_FORMAT,
                                "tokenizer.ggml.tokens: byte token %zu is '%.*s', not <0xXX>", i,
                                (int)(n < 64 ? n : 64), piece.bytes);
            t->bytes[at] = (char)byte;
            n = 1;
            t->byte_ids[byte] = (int32_t)i;
        } else if (!mergeable_type(t->types[i])) {
            memcpy(t->bytes + at, piece.bytes, n);
        } else if (vocab->kind == MQA_TOKENIZER_LLAMA) {
            n = unescape(piece, t->bytes + at);
        } else if (!mqa_byte_level_decode(piece.bytes, piece.n, t->bytes + at, &n)) {
            memcpy(t->bytes + at, piece.bytes, n = piece.n); /* an added token, as it stands */
        }
        at += (uint32_t)n;
    }
    t->offsets[vocab->n_tokens] = at;
    return MQA_OK;
}

static mqa_status index_pieces(mqa_tokenizer *t, mqa_error *err)
{
    MQA_TRY(mqa_piece_map_init(&t->mergeable, (size_t)t->n_tokens, t->bytes, t->offsets, err));
    for (int32_t id = 0; id < t->n_tokens; id++) {
        uint32_t n = mqa_piece_length(t, id);
        const uint8_t *p = (const uint8_t *)mqa_piece_bytes(t, id);
        if (n == 0 || !mergeable_type(t->types[id])) continue;
        MQA_TRY(mqa_piece_map_add(&t->mergeable, id, err));
        if (n > t->mergeable_max) t->mergeable_max = n;
        for (uint32_t i = 1; i < n; i++) t->joins[p[i - 1] << 5 | p[i] >> 3] |= (uint8_t)(1u << (p[i] & 7));
        if (t->kind == MQA_TOKENIZER_GPT2 && n == 1 && t->byte_ids[p[0]] == MQA_TOKEN_NONE)
            t->byte_ids[p[0]] = id;
    }
    return MQA_OK;
}

/* Higher scores merge first: a float's bits, turned so that they order as unsigned, descending. */
static uint32_t rank_of_score(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

static mqa_status take_scores(mqa_tokenizer *t, const mqa_vocab *vocab, mqa_error *err)
{
    t->ranks = malloc(vocab->n_tokens * sizeof *t->ranks);
    if (!t->ranks) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for the scores");
    for (size_t i = 0; i < vocab->n_tokens; i++)
        t->ranks[i] = rank_of_score(vocab->scores ? vocab->scores[i] : 0);
    return MQA_OK;
}

static mqa_status take_merges(mqa_tokenizer *t, const mqa_vocab *vocab, mqa_error *err)
{
    MQA_TRY(mqa_merge_map_init(&t->merges, vocab->n_merges, err));
    char *pair = malloc(2 * MQA_PIECE_MAX);
    if (!pair) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for the merges");
    mqa_status status = MQA_OK;
    for (size_t i = 0; i < vocab->n_merges && status == MQA_OK; i++) {
        mqa_piece m = vocab->merges[i];
        const char *space = m.n > 2 ? memchr(m.bytes + 1, ' ', m.n - 1) : NULL;
        if (!space || m.n > 2 * MQA_PIECE_MAX) {
            status = mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.merges: entry %zu is not 'left right'", i);
            break;
        }
        size_t n_left = (size_t)(space - m.bytes), left, right;
        if (!mqa_byte_level_decode(m.bytes, n_left, pair, &left) ||
            !mqa_byte_level_decode(space + 1, m.n - n_left - 1, pair + left, &right))
            continue;
        mqa_merge_slot merge = {.left = mqa_piece_map_find(&t->mergeable, pair, left),
                                .right = mqa_piece_map_find(&t->mergeable, pair + left, right),
                                .rank = (uint32_t)i,
                                .merged = mqa_piece_map_find(&t->mergeable, pair, left + right)};
        /* A merge of what isn't in the vocabulary can never apply. */
        if (merge.left < 0 || merge.right < 0 || merge.merged < 0) continue;
        status = mqa_merge_map_add(&t->merges, merge, err);
    }
    free(pair);
    return status;
}

static mqa_status take_id(const mqa_tokenizer *t, const char *key, int64_t id, int32_t *out, mqa_error *err)
{
    if (id != MQA_TOKEN_NONE && (id < 0 || id >= t->n_tokens))
        return mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.%s: %lld is not among the %d tokens", key,
                        (long long)id, (int)t->n_tokens);
    *out = (int32_t)id;
    return MQA_OK;
}

/* Names by which the families at hand end a turn (the first ones found gives eot) or a text, and those that
 * begin one. Files sometimes call them user-defined: they are control tokens all the same, or a stranger's
 * text could write them. */
static void know_control_names(mqa_tokenizer *t)
{
    static const struct {
        const char *name;
        bool ends_turn, ends_text;
    } names[] = {
        {"<end_of_turn>", true, true},
        {"<|im_end|>", true, true},
        {"<|eot_id|>", true, true},
        {"<|end|>", true, true},
        {"<EOT>", true, true},
        {"<|eom_id|>", false, true},
        {"<|endoftext|>", false, true},
        {"<|end_of_text|>", false, true},
        {"<|im_start|>", false, false},
        {"<start_of_turn>", false, false},
        {"<|start_header_id|>", false, false},
        {"<|end_header_id|>", false, false},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int32_t id = mqa_tokenizer_find_special(t, names[i].name, strlen(names[i].name));
        if (id == MQA_TOKEN_NONE) continue;
        t->types[id] = MQA_TOKEN_CONTROL;
        if (names[i].ends_text) t->is_end[id] = 1;
        if (names[i].ends_turn && t->eot == MQA_TOKEN_NONE) t->eot = id;
    }
    if (t->eos != MQA_TOKEN_NONE) t->is_end[t->eos] = 1;
    if (t->eot != MQA_TOKEN_NONE) t->is_end[t->eot] = 1;
}

static mqa_status build(mqa_tokenizer *t, const mqa_vocab *vocab, mqa_error *err)
{
    t->kind = vocab->kind;
    t->n_tokens = (int32_t)vocab->n_tokens;
    t->add_eos = vocab->add_eos;
    t->add_space_prefix = vocab->add_space_prefix;
    memset(t->byte_ids, 0xFF, sizeof t->byte_ids);
    MQA_TRY(take_pieces(t, vocab, err));
    MQA_TRY(index_pieces(t, err));
    if (t->kind == MQA_TOKENIZER_LLAMA) {
        MQA_TRY(take_scores(t, vocab, err));
        t->add_bos = vocab->add_bos != 0;
    } else {
        MQA_TRY(take_merges(t, vocab, err));
        MQA_TRY(mqa_pretokenizer_create(vocab->pre.bytes, vocab->pre.n, &t->pretokenizer, err));
        t->ignore_merges = mqa_pretokenizer_ignores_merges(t->pretokenizer);
        t->add_bos = vocab->add_bos < 0 ? mqa_pretokenizer_adds_bos(t->pretokenizer) : vocab->add_bos;
    }
    int32_t eom = MQA_TOKEN_NONE;
    MQA_TRY(take_id(t, "bos_token_id", vocab->bos, &t->bos, err));
    MQA_TRY(take_id(t, "eos_token_id", vocab->eos, &t->eos, err));
    MQA_TRY(take_id(t, "eot_token_id", vocab->eot, &t->eot, err));
    MQA_TRY(take_id(t, "eom_token_id", vocab->eom, &eom, err));
    MQA_TRY(take_id(t, "unknown_token_id", vocab->unk, &t->unk, err));
    MQA_TRY(take_id(t, "padding_token_id", vocab->pad, &t->pad, err));
    if (eom != MQA_TOKEN_NONE) t->is_end[eom] = 1;
    MQA_TRY(mqa_special_build(t, err));
    know_control_names(t);
    return mqa_chat_build(t, vocab, err);
}

mqa_status mqa_tokenizer_build(const mqa_vocab *vocab, mqa_tokenizer **out, mqa_error *err)
{
    *out = NULL;
    if (vocab->n_tokens == 0 || vocab->n_tokens > MQA_VOCAB_MAX)
        return mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.tokens: %zu tokens; 1 to %zu are possible",
                        vocab->n_tokens, MQA_VOCAB_MAX);
    mqa_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory");
    mqa_status status = build(t, vocab, err);
    if (status == MQA_OK)
        *out = t;
    else
        mqa_tokenizer_destroy(&t);
    return status;
}

void mqa_tokenizer_destroy(mqa_tokenizer **tokenizer)
{
    if (!tokenizer || !*tokenizer) return;
    mqa_tokenizer *t = *tokenizer;
    free(t->types);
    free(t->is_end);
    free(t->offsets);
    free(t->bytes);
    free(t->ranks);
    mqa_piece_map_free(&t->mergeable);
    mqa_merge_map_free(&t->merges);
    mqa_pretokenizer_destroy(t->pretokenizer);
    free(t->special);
    free(t->chat_system);
    free(t);
    *tokenizer = NULL;
}
