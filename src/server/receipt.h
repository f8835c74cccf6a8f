/* Receipts: what was asked and answered, by which model and arithmetic, signed (Ed25519), so that anybody can
 * run it again and see that it is so.
 *
 * A receipt is a JSON object:
 *
 *     version      1
 *     id, created  of the answer
 *     model        {"name", "blake2b"}: BLAKE2b-256 of the file, in hex
 *     recipe       the arithmetic: what mqa_engine_recipe says, as "portable/2+int8/1"
 *     isa          the kernels' instruction set, as "avx512"
 *     kv           {"k", "v", "plain"}: the cache's formats
 *     parameters   those of the request that decide what is drawn, the seed and max_tokens among them
 *     prompt       token ids
 *     outputs      token ids of each choice, without the token that ended it
 *     hashes       {"prompt", "outputs", "parameters"}: BLAKE2b-256 of their JSON, for who keeps these apart
 *     public_key   base64url
 *     signature    base64url, over the JSON of all the rest, compact, with sorted keys
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_RECEIPT_H
#define MQA_SERVER_RECEIPT_H

#include <jansson.h>
#include <stdint.h>

#include "mqa/engine.h"
#include "openai/ask.h"

enum { MQA_RECEIPT_VERSION = 1, MQA_HASH_HEX = 65, MQA_PUBLIC_KEY_TEXT = 44 };

typedef struct mqa_receipt_key {
    uint8_t secret[64], public[32];
} mqa_receipt_key;

/* The key in the state folder (receipt.key, mode 0600), made where there is none. */
mqa_status mqa_receipt_key_open(const char *folder, mqa_receipt_key *out, mqa_error *err);
void mqa_receipt_key_text(const mqa_receipt_key *key, char out[MQA_PUBLIC_KEY_TEXT]);

/* BLAKE2b-256 of a file, in hex. */
mqa_status mqa_file_hash(const char *path, char out[MQA_HASH_HEX], mqa_error *err);

typedef struct mqa_receipt_facts {
    const char *id, *model_name, *model_hash, *recipe, *isa;
    mqa_kv_type k_type, v_type;
    bool kv_plain;
    int64_t created, max_tokens;
    const mqa_ask *ask;
    const mqa_tokens *prompt, *outputs; /* outputs[ask->n] */
} mqa_receipt_facts;

/* NULL: no memory. */
json_t *mqa_receipt_make(const mqa_receipt_key *key, const mqa_receipt_facts *facts);

/* Whether the signature and the hashes are right. MQA_ERR_FORMAT says what isn't. public_key: whose it must
 * be, NULL: that of whoever's key is in it. */
mqa_status mqa_receipt_check(const json_t *receipt, const char *public_key, mqa_error *err);

#endif
