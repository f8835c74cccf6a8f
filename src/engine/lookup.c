/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lookup.h"

/* Tokens up to a[-1] and b[-1] that are the same, of `most`. */
static int match_back(const int32_t *a, const int32_t *b, int64_t most)
{
    int n = 0;
    while (n < most && a[-1 - n] == b[-1 - n]) n++;
    return n;
}

int64_t mqa_lookup(const int32_t *text, int64_t n, int *matched)
{
    int64_t found = 0;
    *matched = 0;
    if (n <= MQA_LEAST_MATCH) return 0;
    const int32_t last = text[n - 1], before = text[n - 2];
    for (int64_t at = n - 1; at >= MQA_LEAST_MATCH && *matched < MQA_MOST_MATCH; at--) {
        if (text[at - 1] != last || text[at - 2] != before) continue;
        const int length = match_back(text + at, text + n, at < MQA_MOST_MATCH ? at : MQA_MOST_MATCH);
        if (length <= *matched) continue;
        *matched = length;
        found = at;
    }
    return found;
}
