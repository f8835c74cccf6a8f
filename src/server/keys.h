/* API keys: made once, shown once, kept as a hash.
 *
 * A key is "mqa-" and 256 random bits in base64url. Since nobody can guess it, a plain fast hash (BLAKE2b)
 * is enough: slow password hashes protect short secrets that people choose.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_KEYS_H
#define MQA_SERVER_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "mqa/status.h"

enum { MQA_KEY_TEXT_BYTES = 48, MQA_KEY_HASH_BYTES = 32 }; /* the text's with its final 0 */

/* Once in the process before any other call here; MQA_ERR_UNSUPPORTED without a source of randomness. */
mqa_status mqa_keys_init(mqa_error *err);
void mqa_key_make(char text[MQA_KEY_TEXT_BYTES]);
void mqa_key_hash(const char *text, size_t n_bytes, uint8_t hash[MQA_KEY_HASH_BYTES]);

#endif
