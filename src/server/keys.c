/* SPDX-License-Identifier: Apache-2.0 */
#include "server/keys.h"

#include <sodium.h>
#include <string.h>

#include "base/status.h"

static const char prefix[] = "mqa-";
enum { RANDOM_BYTES = 32, PREFIX_BYTES = sizeof prefix - 1 };
_Static_assert(PREFIX_BYTES +
                       sodium_base64_ENCODED_LEN(RANDOM_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ==
                   MQA_KEY_TEXT_BYTES,
               "a key's text and its 0");

mqa_status mqa_keys_init(mqa_error *err)
{
    if (sodium_init() < 0) return mqa_fail(err, MQA_ERR_UNSUPPORTED, "libsodium finds no randomness here");
    return MQA_OK;
}

void mqa_key_make(char text[MQA_KEY_TEXT_BYTES])
{
    uint8_t bits[RANDOM_BYTES];
    randombytes_buf(bits, sizeof bits);
    memcpy(text, prefix, PREFIX_BYTES);
    sodium_bin2base64(text + PREFIX_BYTES, MQA_KEY_TEXT_BYTES - PREFIX_BYTES, bits, sizeof bits,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bits, sizeof bits);
}

void mqa_key_hash(const char *text, size_t n_bytes, uint8_t hash[MQA_KEY_HASH_BYTES])
{
    crypto_generichash(hash, MQA_KEY_HASH_BYTES, (const uint8_t *)text, n_bytes, NULL, 0);
}
