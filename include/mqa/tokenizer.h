/* Tokenizers: text to token ids and back, as the model's own file says.
 *
 * Two kinds: SentencePiece-style ("llama" in GGUF: Gemma, Llama 2) and byte-level BPE ("gpt2": SmolLM2,
 * Llama 3, Qwen 2) with the pre-tokenizers gpt-2, smollm, llama-bpe and qwen2.
 *
 * A tokenizer is read-only after its creation: any number of threads may use one at the same time. A
 * detokenizer, an mqa_tokens and an mqa_text belong to one thread at a time. Texts are bytes with a length,
 * may contain NUL, and are meant to be UTF-8. What isn't UTF-8 is dealt with as follows:
 *   "llama": an ill-formed byte becomes the token of that byte (<0xXX>), so decoding gives it back;
 *   "gpt2":  each ill-formed byte is read as U+FFFD, as llama.cpp does.
 * Encoding takes time and memory about linear in the text, at most some 150 bytes for each byte of its
 * longest word; a text may have up to 256 MiB.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_H
#define MQA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mqa_tokenizer mqa_tokenizer;
struct mqa_gguf;

#define MQA_TOKEN_NONE (-1)

/* Growable results. Start from zeroes ({0}); calls append, so set n = 0 to reuse one; free at the end.
 * After a failed call the content is as it was. */
typedef struct mqa_tokens {
    int32_t *ids;
    size_t n, capacity;
} mqa_tokens;

typedef struct mqa_text {
    char *bytes; /* a 0 follows the n bytes wherever something was appended */
    size_t n, capacity;
} mqa_text;

MQA_API void mqa_tokens_free(mqa_tokens *tokens);
MQA_API void mqa_text_free(mqa_text *text);

/* From the keys tokenizer.ggml.* and tokenizer.chat_template. Everything is copied, so the file may be
 * closed. MQA_ERR_NOT_FOUND or MQA_ERR_FORMAT name the key; MQA_ERR_UNSUPPORTED for other kinds and
 * pre-tokenizers. */
MQA_API mqa_status mqa_tokenizer_create(const struct mqa_gguf *file, mqa_tokenizer **out, mqa_error *err);
/* As above, from the file's path: only the metadata is read. */
MQA_API mqa_status mqa_tokenizer_load(const char *path, mqa_tokenizer **out, mqa_error *err);
/* Sets *tokenizer to NULL; NULL and a pointer to NULL are fine. */
MQA_API void mqa_tokenizer_destroy(mqa_tokenizer **tokenizer);

/* ---- text to ids ---- */

enum {
    MQA_ENCODE_ADD_SPECIAL = 1, /* BOS in front and EOS at the end, where the file asks for them */
    MQA_ENCODE_PARSE_SPECIAL =
        2 /* the text of a control token ("<eos>") becomes that token. Without it such
             text is plain text and never gives a control token: for text of strangers */
};

MQA_API mqa_status mqa_tokenizer_encode(const mqa_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                        unsigned flags, mqa_tokens *out, mqa_error *err);

/* ---- ids to text ---- */

enum {
    MQA_DECODE_SPECIAL = 1,     /* control tokens as their text; without it they give nothing */
    MQA_DECODE_STRIP_PREFIX = 2 /* drops the space that encoding put in front where the file sets
                                   add_space_prefix: for whole texts, not for continuations */
};

/* The exact bytes of the tokens, which need not be valid UTF-8. MQA_ERR_INVALID_ARGUMENT for an id that
 * isn't in the vocabulary. */
MQA_API mqa_status mqa_tokenizer_decode(const mqa_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                        unsigned flags, mqa_text *out, mqa_error *err);

/* Decoding as a stream: what it appends is always valid UTF-8. Bytes of a character that isn't complete
 * wait for the next token; what can't become a character is U+FFFD (one for each maximal part, as Unicode
 * recommends). The tokenizer must outlive it. flags as for mqa_tokenizer_decode. */
typedef struct mqa_detokenizer mqa_detokenizer;

MQA_API mqa_status mqa_detokenizer_create(const mqa_tokenizer *tokenizer, unsigned flags,
                                          mqa_detokenizer **out, mqa_error *err);
MQA_API void mqa_detokenizer_destroy(mqa_detokenizer **detokenizer);
MQA_API mqa_status mqa_detokenizer_push(mqa_detokenizer *detokenizer, int32_t id, mqa_text *out,
                                        mqa_error *err);
/* Flushes what waits (an incomplete character becomes U+FFFD) and makes the object ready for a new text. */
MQA_API mqa_status mqa_detokenizer_finish(mqa_detokenizer *detokenizer, mqa_text *out, mqa_error *err);

/* ---- the vocabulary ---- */

MQA_API int32_t mqa_tokenizer_n_tokens(const mqa_tokenizer *tokenizer);
/* Ids or MQA_TOKEN_NONE. eot: end of a turn (<end_of_turn>, <|im_end|>, <|eot_id|>). */
MQA_API int32_t mqa_tokenizer_bos(const mqa_tokenizer *tokenizer);
MQA_API int32_t mqa_tokenizer_eos(const mqa_tokenizer *tokenizer);
MQA_API int32_t mqa_tokenizer_eot(const mqa_tokenizer *tokenizer);
MQA_API int32_t mqa_tokenizer_pad(const mqa_tokenizer *tokenizer);
MQA_API int32_t mqa_tokenizer_unk(const mqa_tokenizer *tokenizer);
/* Whether MQA_ENCODE_ADD_SPECIAL puts them there. */
MQA_API bool mqa_tokenizer_adds_bos(const mqa_tokenizer *tokenizer);
MQA_API bool mqa_tokenizer_adds_eos(const mqa_tokenizer *tokenizer);
/* eos, eot, and the tokens by which the model families at hand end a turn or a text. */
MQA_API bool mqa_tokenizer_is_end(const mqa_tokenizer *tokenizer, int32_t id);
/* Control and unknown tokens: those that decoding leaves out without MQA_DECODE_SPECIAL. */
MQA_API bool mqa_tokenizer_is_control(const mqa_tokenizer *tokenizer, int32_t id);
/* The bytes that an id stands for (a control token's name); NULL and 0 for an id out of range. The bytes
 * live as long as the tokenizer and no 0 follows them. */
MQA_API const char *mqa_tokenizer_piece(const mqa_tokenizer *tokenizer, int32_t id, size_t *n_bytes);
/* The control or user-defined token of exactly this text, or MQA_TOKEN_NONE. */
MQA_API int32_t mqa_tokenizer_find_special(const mqa_tokenizer *tokenizer, const char *text, size_t n_bytes);

/* ---- chat ---- */

/* The forms that are known. Templates are recognised by their marks, not run.
 *   CHATML: <|im_start|>role\n…<|im_end|>\n, with the default system message that the template has
 *   GEMMA:  <start_of_turn>user\n…<end_of_turn>\n; a system text goes before the next user turn
 *   LLAMA2: [INST] <<SYS>>\n…\n<</SYS>>\n\n… [/INST]
 *   LLAMA3: <|start_header_id|>role<|end_header_id|>\n\n…<|eot_id|>; the date lines of 3.1 are left out */
typedef enum mqa_chat_form {
    MQA_CHAT_CHATML = 0,
    MQA_CHAT_GEMMA = 1,
    MQA_CHAT_LLAMA2 = 2,
    MQA_CHAT_LLAMA3 = 3
} mqa_chat_form;

/* role: "system", "user" or "assistant" ("model" is "assistant"). Both strings are 0-terminated. */
typedef struct mqa_chat_message {
    const char *role;
    const char *content;
} mqa_chat_message;

/* The form that this model's template asks for; without a template gemma's for Gemma models, else ChatML.
 * *note (may be NULL) is set to NULL, or to one line for people that says which guess was made. */
MQA_API mqa_chat_form mqa_tokenizer_chat_form(const mqa_tokenizer *tokenizer, const char **note);

enum {
    MQA_CHAT_OPEN_REPLY = 1 /* ends with the opening of the assistant's turn, ready to generate */
};

/* The conversation as text, without BOS: for people and logs. */
MQA_API mqa_status mqa_chat_render(const mqa_tokenizer *tokenizer, const mqa_chat_message *messages,
                                   size_t n_messages, unsigned flags, mqa_text *out, mqa_error *err);
/* The conversation as ids, BOS in front where the file asks for it. Control tokens come from the template
 * only:
 * "<end_of_turn>" inside a message is plain text, so a message can't end its own turn. */
MQA_API mqa_status mqa_chat_encode(const mqa_tokenizer *tokenizer, const mqa_chat_message *messages,
                                   size_t n_messages, unsigned flags, mqa_tokens *out, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
