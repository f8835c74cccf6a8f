/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_BASE_UTF8_H
#define MQA_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed UTF-8 character at the start of p[0 .. n), 1 to 4; 0 where there is none
 * (overlong forms, surrogates, above U+10FFFF, cut short, n = 0). NUL is a character of 1 byte. */
static inline size_t mqa_utf8_length(const uint8_t *p, size_t n)
{
    if (n == 0) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    const size_t length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0)) return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90)) return 0;
    return length;
}

/* Of one well-formed character. */
static inline uint32_t mqa_utf8_code_point(const uint8_t *p, size_t length)
{
    if (length == 1) return p[0];
    uint32_t code = p[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) code = code << 6 | (p[i] & 0x3f);
    return code;
}

static inline bool mqa_utf8_valid(const uint8_t *p, size_t n)
{
    for (size_t i = 0, length; i < n; i += length)
        if ((length = mqa_utf8_length(p + i, n - i)) == 0) return false;
    return true;
}

#endif
