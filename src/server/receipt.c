/* SPDX-License-Identifier: Apache-2.0 */
#include "server/receipt.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"

enum {
    HASH_BYTES = 32,
    SIGNATURE_BYTES = 64,
    SIGNATURE_TEXT = 88,
    BASE64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING
};
_Static_assert(sizeof((mqa_receipt_key *)0)->secret == crypto_sign_SECRETKEYBYTES, "libsodium's secret key");
_Static_assert(sizeof((mqa_receipt_key *)0)->public == crypto_sign_PUBLICKEYBYTES, "libsodium's public key");

/* ---- the key ---- */

static mqa_status make_key_file(const char *path, mqa_error *err)
{
    mqa_receipt_key key;
    crypto_sign_keypair(key.public, key.secret);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool ok =
        fd >= 0 && write(fd, key.secret, sizeof key.secret) == (ssize_t)sizeof key.secret && fsync(fd) == 0;
    const int why = errno;
    if (fd >= 0) close(fd);
    sodium_memzero(&key, sizeof key);
    if (ok || why == EEXIST) return MQA_OK;
    if (fd >= 0) unlink(path);
    return mqa_fail(err, MQA_ERR_IO, "%s: %s", path, strerror(why));
}

mqa_status mqa_receipt_key_open(const char *folder, mqa_receipt_key *out, mqa_error *err)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/receipt.key", folder);
    if (access(path, F_OK) != 0) MQA_TRY(make_key_file(path, err));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, out->secret, sizeof out->secret) : -1;
    const int why = errno;
    if (fd >= 0) close(fd);
    if (n < 0) return mqa_fail(err, MQA_ERR_IO, "%s: %s", path, strerror(why));
    if (n != (ssize_t)sizeof out->secret)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s is no key: remove it and a new one is made", path);
    crypto_sign_ed25519_sk_to_pk(out->public, out->secret);
    return MQA_OK;
}

void mqa_receipt_key_text(const mqa_receipt_key *key, char out[MQA_PUBLIC_KEY_TEXT])
{
    sodium_bin2base64(out, MQA_PUBLIC_KEY_TEXT, key->public, sizeof key->public, BASE64);
}

/* ---- hashes ---- */

static void hash_hex(const void *bytes, size_t n, char out[MQA_HASH_HEX])
{
    uint8_t hash[HASH_BYTES];
    crypto_generichash(hash, sizeof hash, bytes, n, NULL, 0);
    sodium_bin2hex(out, MQA_HASH_HEX, hash, sizeof hash);
}

mqa_status mqa_file_hash(const char *path, char out[MQA_HASH_HEX], mqa_error *err)
{
    enum { PART = 1 << 24 };
    mqa_file file;
    MQA_TRY(mqa_file_map(path, &file, err));
    crypto_generichash_state state;
    uint8_t hash[HASH_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    for (size_t at = 0; at < file.size; at += PART) {
        const size_t n = file.size - at < PART ? file.size - at : PART;
        crypto_generichash_update(&state, file.data + at, n);
        mqa_file_give_back(&file, at, n);
    }
    crypto_generichash_final(&state, hash, sizeof hash);
    mqa_file_unmap(&file);
    sodium_bin2hex(out, MQA_HASH_HEX, hash, sizeof hash);
    return MQA_OK;
}

/* The one form that is hashed and signed. */
static char *canonical(const json_t *json)
{
    return json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
}

static json_t *hash_json(const json_t *json)
{
    char hex[MQA_HASH_HEX], *text = canonical(json);
    if (!text) return NULL;
    hash_hex(text, strlen(text), hex);
    free(text);
    return json_string(hex);
}

static json_t *hashes_of(const json_t *receipt)
{
    return json_pack("{s:o, s:o, s:o}", "prompt", hash_json(json_object_get(receipt, "prompt")), "outputs",
                     hash_json(json_object_get(receipt, "outputs")), "parameters",
                     hash_json(json_object_get(receipt, "parameters")));
}

/* ---- making ---- */

static json_t *ids_json(const mqa_tokens *tokens)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tokens->n; i++) json_array_append_new(list, json_integer(tokens->ids[i]));
    return list;
}

/* What of the request decides which tokens are drawn, with what it left to the server. */
static json_t *parameters_json(const mqa_receipt_facts *f)
{
    static const char *const as_given[] = {"top_p",
                                           "min_p",
                                           "top_k",
                                           "presence_penalty",
                                           "frequency_penalty",
                                           "repeat_penalty",
                                           "repetition_penalty",
                                           "stop_token_ids",
                                           "stop",
                                           "logit_bias",
                                           "ignore_eos",
                                           "response_format",
                                           "grammar"};
    json_t *out =
        json_pack("{s:f, s:I, s:i, s:I}", "temperature", f->ask->temperature, "seed",
                  (json_int_t)f->ask->seed, "n", f->ask->n, "max_tokens", (json_int_t)f->max_tokens);
    for (size_t i = 0; i < sizeof as_given / sizeof as_given[0]; i++) {
        json_t *value = json_object_get(f->ask->root, as_given[i]);
        if (value && !json_is_null(value)) json_object_set(out, as_given[i], value);
    }
    return out;
}

static bool sign(json_t *receipt, const mqa_receipt_key *key)
{
    uint8_t signature[SIGNATURE_BYTES];
    char text[SIGNATURE_TEXT], *bytes = canonical(receipt);
    if (!bytes) return false;
    crypto_sign_detached(signature, NULL, (const uint8_t *)bytes, strlen(bytes), key->secret);
    free(bytes);
    sodium_bin2base64(text, sizeof text, signature, sizeof signature, BASE64);
    return json_object_set_new(receipt, "signature", json_string(text)) == 0;
}

json_t *mqa_receipt_make(const mqa_receipt_key *key, const mqa_receipt_facts *f)
{
    char public_key[MQA_PUBLIC_KEY_TEXT];
    mqa_receipt_key_text(key, public_key);
    json_t *outputs = json_array();
    for (int i = 0; i < f->ask->n; i++) json_array_append_new(outputs, ids_json(&f->outputs[i]));
    json_t *receipt = json_pack(
        "{s:i, s:s, s:I, s:{s:s, s:s}, s:s, s:s, s:{s:s, s:s, s:b}, s:o, s:o, s:o, s:s}", "version",
        MQA_RECEIPT_VERSION, "id", f->id, "created", (json_int_t)f->created, "model", "name", f->model_name,
        "blake2b", f->model_hash, "recipe", f->recipe, "isa", f->isa, "kv", "k", mqa_kv_type_name(f->k_type),
        "v", mqa_kv_type_name(f->v_type), "plain", f->kv_plain, "parameters", parameters_json(f), "prompt",
        ids_json(f->prompt), "outputs", outputs, "public_key", public_key);
    json_t *hashes = receipt ? hashes_of(receipt) : NULL;
    if (hashes && json_object_set_new(receipt, "hashes", hashes) == 0 && sign(receipt, key)) return receipt;
    json_decref(receipt);
    return NULL;
}

/* ---- checking ---- */

static bool decode(const json_t *value, uint8_t *out, size_t n)
{
    size_t got;
    const char *text = json_string_value(value);
    return text && sodium_base642bin(out, n, text, strlen(text), NULL, &got, NULL, BASE64) == 0 && got == n;
}

mqa_status mqa_receipt_check(const json_t *receipt, const char *public_key, mqa_error *err)
{
    uint8_t key[crypto_sign_PUBLICKEYBYTES], signature[SIGNATURE_BYTES];
    const char *of = json_string_value(json_object_get(receipt, "public_key"));
    if (json_integer_value(json_object_get(receipt, "version")) != MQA_RECEIPT_VERSION)
        return mqa_fail(err, MQA_ERR_FORMAT, "no receipt of version %d", MQA_RECEIPT_VERSION);
    if (!decode(json_object_get(receipt, "public_key"), key, sizeof key) ||
        !decode(json_object_get(receipt, "signature"), signature, sizeof signature))
        return mqa_fail(err, MQA_ERR_FORMAT, "the receipt has no whole public_key and signature");
    if (public_key && strcmp(public_key, of) != 0)
        return mqa_fail(err, MQA_ERR_FORMAT, "the receipt was signed by another key, %s", of);
    json_t *rest = json_copy((json_t *)receipt), *hashes = hashes_of(receipt);
    json_object_del(rest, "signature");
    char *bytes = canonical(rest);
    const bool signed_so =
        bytes && crypto_sign_verify_detached(signature, (const uint8_t *)bytes, strlen(bytes), key) == 0;
    const bool hashed_so = json_equal(hashes, json_object_get(receipt, "hashes"));
    free(bytes);
    json_decref(rest);
    json_decref(hashes);
    if (!signed_so)
        return mqa_fail(err, MQA_ERR_FORMAT, "the signature isn't this receipt's: it was changed");
    return hashed_so ? MQA_OK
                     : mqa_fail(err, MQA_ERR_FORMAT, "the hashes aren't those of what is in the receipt");
}
