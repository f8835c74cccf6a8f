/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/utf8.h"

#include <string.h>

size_t mqa_utf8_valid_length(const uint8_t *p, size_t n)
{
    size_t at = 0, length;
    while (at < n) {
        uint64_t eight;
        if (n - at >= 8 && (memcpy(&eight, p + at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            continue;
        }
        if (mqa_utf8_next(p + at, n - at, &length) != MQA_UTF8_CHARACTER) break;
        at += length;
    }
    return at;
}

mqa_status mqa_utf8_append_repaired(mqa_text *out, const uint8_t *p, size_t n, mqa_utf8_repair how,
                                    mqa_error *err)
{
    while (n > 0) {
        size_t good = mqa_utf8_valid_length(p, n);
        MQA_TRY(mqa_text_append(out, p, good, err));
        p += good, n -= good;
        if (n == 0) break;
        size_t bad;
        mqa_utf8_next(p, n, &bad);
        for (size_t i = 0; i < (how == MQA_REPAIR_EACH_BYTE ? bad : 1); i++)
            MQA_TRY(mqa_text_append(out, "\xEF\xBF\xBD", 3, err));
        p += bad, n -= bad;
    }
    return MQA_OK;
}
