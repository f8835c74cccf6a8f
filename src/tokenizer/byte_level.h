/* GPT-2's way of writing bytes as printable characters, in which its vocabularies and merges are stored.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_BYTE_LEVEL_H
#define MQA_TOKENIZER_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the bytes that n bytes of such text stand for to out (room for n) and their count to *n_out. False
 * if it has a character that stands for no byte. */
bool mqa_byte_level_decode(const char *text, size_t n, char *out, size_t *n_out);

#endif
