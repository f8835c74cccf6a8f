/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_UTF8_H
#define MQA_TOKENIZER_UTF8_H

#include "tokenizer/array.h"

typedef enum mqa_utf8_kind { MQA_UTF8_CHARACTER, MQA_UTF8_ILL_FORMED, MQA_UTF8_INCOMPLETE } mqa_utf8_kind;

/* What [p, p + n), n > 0, begins with, and its length: a character; the longest ill-formed part (Unicode's
 * "maximal subpart"); or the beginning of a character, cut off by the end. */
static inline mqa_utf8_kind mqa_utf8_next(const uint8_t *p, size_t n, size_t *length)
{
    uint8_t lead = p[0];
    *length = 1;
    if (lead < 0x80) return MQA_UTF8_CHARACTER;
    if (lead < 0xC2 || lead > 0xF4) return MQA_UTF8_ILL_FORMED;
    size_t want = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    /* Only the second byte's range depends on the lead. */
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (; *length < want; ++*length) {
        if (*length == n) return MQA_UTF8_INCOMPLETE;
        if (p[*length] < low || p[*length] > high) return MQA_UTF8_ILL_FORMED;
        low = 0x80, high = 0xBF;
    }
    return MQA_UTF8_CHARACTER;
}

/* The length of the longest well-formed beginning. */
size_t mqa_utf8_valid_length(const uint8_t *p, size_t n);

/* Appends the text with U+FFFD for what is ill-formed: one for each byte, or one for each maximal part. */
typedef enum mqa_utf8_repair { MQA_REPAIR_EACH_BYTE, MQA_REPAIR_EACH_PART } mqa_utf8_repair;
mqa_status mqa_utf8_append_repaired(mqa_text *out, const uint8_t *p, size_t n, mqa_utf8_repair how,
                                    mqa_error *err);

#endif
