/* A vocabulary out of a GGUF file's metadata.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/gguf.h"
#include "tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

/* What the vocabulary's arrays need while the tokenizer is built: views and converted copies. */
typedef struct arrays {
    mqa_piece *pieces, *merges;
    float *scores;
    int32_t *types;
} arrays;

static mqa_status get_piece(const mqa_gguf *file, const char *key, mqa_piece *out, mqa_error *err)
{
    mqa_gguf_str text = {"", 0};
    MQA_TRY(mqa_gguf_optional(mqa_gguf_get_str(file, key, &text, err)));
    *out = (mqa_piece){text.data, text.size};
    return MQA_OK;
}

static mqa_status no_memory(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for the vocabulary");
}

static mqa_status get_pieces(const mqa_gguf *file, const char *key, mqa_piece **out, size_t *n,
                             mqa_error *err)
{
    const mqa_gguf_value *value;
    MQA_TRY(mqa_gguf_get_strs(file, key, &value, err));
    *n = value->count;
    *out = calloc(value->count ? value->count : 1, sizeof **out);
    if (!*out) return no_memory(err);
    for (size_t i = 0; i < value->count; i++) {
        mqa_gguf_str text = mqa_gguf_str_at(value, i);
        (*out)[i] = (mqa_piece){text.data, text.size};
    }
    return MQA_OK;
}

/* An optional array that has one element for each token where it is there. */
static mqa_status check_count(const char *key, const mqa_gguf_value *value, size_t n_tokens, mqa_error *err)
{
    if (value->count == n_tokens) return MQA_OK;
    return mqa_fail(err, MQA_ERR_FORMAT, "%s: %zu elements for %zu tokens", key, value->count, n_tokens);
}

static mqa_status get_scores(const mqa_gguf *file, size_t n_tokens, float **out, mqa_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const mqa_gguf_value *value = NULL;
    MQA_TRY(mqa_gguf_optional(mqa_gguf_get_f32s(file, key, &value, err)));
    if (!value) return MQA_OK;
    MQA_TRY(check_count(key, value, n_tokens, err));
    *out = malloc(n_tokens * sizeof **out + 1);
    if (!*out) return no_memory(err);
    for (size_t i = 0; i < n_tokens; i++) (*out)[i] = mqa_gguf_f32_at(value, i);
    return MQA_OK;
}

static mqa_status get_types(const mqa_gguf *file, size_t n_tokens, int32_t **out, mqa_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const mqa_gguf_value *value = NULL;
    MQA_TRY(mqa_gguf_optional(mqa_gguf_get_i32s(file, key, &value, err)));
    if (!value) return MQA_OK;
    MQA_TRY(check_count(key, value, n_tokens, err));
    *out = malloc(n_tokens * sizeof **out + 1);
    if (!*out) return no_memory(err);
    for (size_t i = 0; i < n_tokens; i++) (*out)[i] = mqa_gguf_i32_at(value, i);
    return MQA_OK;
}

static mqa_status get_id(const mqa_gguf *file, const char *key, int64_t fallback, int64_t *out,
                         mqa_error *err)
{
    uint32_t id;
    mqa_status status = mqa_gguf_get_u32(file, key, &id, err);
    *out = status == MQA_OK ? (int64_t)id : fallback;
    return mqa_gguf_optional(status);
}

static mqa_status get_kind(const mqa_gguf *file, mqa_tokenizer_kind *out, mqa_error *err)
{
    mqa_gguf_str model;
    MQA_TRY(mqa_gguf_get_str(file, "tokenizer.ggml.model", &model, err));
    if (model.size == 5 && memcmp(model.data, "llama", 5) == 0)
        *out = MQA_TOKENIZER_LLAMA;
    else if (model.size == 4 && memcmp(model.data, "gpt2", 4) == 0)
        *out = MQA_TOKENIZER_GPT2;
    else
        return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                        "tokenizer.ggml.model: '%.*s' is not known (llama and gpt2 are)",
                        (int)(model.size < 64 ? model.size : 64), model.data);
    return MQA_OK;
}

static mqa_status read_vocab(const mqa_gguf *file, mqa_vocab *v, arrays *a, mqa_error *err)
{
    mqa_tokenizer_kind kind = MQA_TOKENIZER_LLAMA;
    MQA_TRY(get_kind(file, &kind, err));
    *v = mqa_vocab_default(kind);
    MQA_TRY(get_pieces(file, "tokenizer.ggml.tokens", &a->pieces, &v->n_tokens, err));
    MQA_TRY(get_scores(file, v->n_tokens, &a->scores, err));
    MQA_TRY(get_types(file, v->n_tokens, &a->types, err));
    if (kind == MQA_TOKENIZER_GPT2)
        MQA_TRY(get_pieces(file, "tokenizer.ggml.merges", &a->merges, &v->n_merges, err));
    v->pieces = a->pieces;
    v->merges = a->merges;
    v->scores = a->scores;
    v->types = a->types;

    MQA_TRY(get_piece(file, "tokenizer.ggml.pre", &v->pre, err));
    MQA_TRY(get_piece(file, "tokenizer.chat_template", &v->chat_template, err));
    MQA_TRY(get_piece(file, "general.architecture", &v->architecture, err));
    /* Files of the llama kind that leave these out mean SentencePiece's own. */
    bool llama = kind == MQA_TOKENIZER_LLAMA && v->n_tokens > 2;
    MQA_TRY(get_id(file, "tokenizer.ggml.bos_token_id", llama ? 1 : MQA_TOKEN_NONE, &v->bos, err));
    MQA_TRY(get_id(file, "tokenizer.ggml.eos_token_id", llama ? 2 : MQA_TOKEN_NONE, &v->eos, err));
    MQA_TRY(get_id(file, "tokenizer.ggml.unknown_token_id", llama ? 0 : MQA_TOKEN_NONE, &v->unk, err));
    MQA_TRY(get_id(file, "tokenizer.ggml.eot_token_id", MQA_TOKEN_NONE, &v->eot, err));
    MQA_TRY(get_id(file, "tokenizer.ggml.eom_token_id", MQA_TOKEN_NONE, &v->eom, err));
    MQA_TRY(get_id(file, "tokenizer.ggml.padding_token_id", MQA_TOKEN_NONE, &v->pad, err));

    bool add_bos;
    mqa_status status = mqa_gguf_get_bool(file, "tokenizer.ggml.add_bos_token", &add_bos, err);
    if (status == MQA_OK) v->add_bos = add_bos;
    MQA_TRY(mqa_gguf_optional(status));
    MQA_TRY(mqa_gguf_optional(mqa_gguf_get_bool(file, "tokenizer.ggml.add_eos_token", &v->add_eos, err)));
    return mqa_gguf_optional(
        mqa_gguf_get_bool(file, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, err));
}

mqa_status mqa_tokenizer_create(const mqa_gguf *file, mqa_tokenizer **out, mqa_error *err)
{
    if (!out || !file) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "tokenizer: file or out is NULL");
    *out = NULL;
    mqa_vocab vocab;
    arrays a = {0};
    mqa_status status = read_vocab(file, &vocab, &a, err);
    if (status == MQA_OK) status = mqa_tokenizer_build(&vocab, out, err);
    free(a.pieces);
    free(a.merges);
    free(a.scores);
    free(a.types);
    return status;
}

mqa_status mqa_tokenizer_load(const char *path, mqa_tokenizer **out, mqa_error *err)
{
    if (!out || !path) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "tokenizer: path or out is NULL");
    *out = NULL;
    mqa_gguf *file;
    MQA_TRY(mqa_gguf_open(path, &file, err));
    mqa_status status = mqa_tokenizer_create(file, out, err);
    mqa_gguf_close(&file);
    return status;
}
