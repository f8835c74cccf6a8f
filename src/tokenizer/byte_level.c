/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/byte_level.h"

#include "base/utf8.h"
#include "tokenizer/utf8.h"

/* Printable Latin-1 stands for itself; the other bytes, in ascending order, for U+0100 and on. */
static bool stands_for_itself(uint32_t code)
{
    return (code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xAC) || (code >= 0xAE && code <= 0xFF);
}

static int byte_of(uint32_t code)
{
    if (code < 0x100) return stands_for_itself(code) ? (int)code : -1;
    uint32_t nth = code - 0x100;
    for (uint32_t byte = 0; byte < 0x100; byte++)
        if (!stands_for_itself(byte) && nth-- == 0) return (int)byte;
    return -1;
}

bool mqa_byte_level_decode(const char *text, size_t n, char *out, size_t *n_out)
{
    *n_out = 0;
    for (size_t at = 0, length; at < n; at += length) {
        const uint8_t *p = (const uint8_t *)text + at;
        if (mqa_utf8_next(p, n - at, &length) != MQA_UTF8_CHARACTER) return false;
        int byte = length <= 2 ? byte_of(mqa_utf8_code_point(p, length)) : -1;
        if (byte < 0) return false;
        out[(*n_out)++] = (char)byte;
    }
    return true;
}
