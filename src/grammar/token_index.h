/* The tokens of a vocabulary as tries over their bytes.
 *
 * Besides the trie of all there are tries of parts. A plain character is any but a control character, '"' and
 * '\': inside a JSON string, and nearly everywhere else where text is free, plain characters all do the same,
 * so what tokens of nothing else do is known by their length. Only the rest needs to be walked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GRAMMAR_TOKEN_INDEX_H
#define MQA_GRAMMAR_TOKEN_INDEX_H

#include <stdatomic.h>

#include "mqa/grammar.h"

#define MQA_TOKEN_BYTES_MAX 255
#define MQA_TRIE_NODES_MAX  ((size_t)1 << 24)

/* In preorder: a node's children follow it. Where several tokens have the same bytes, each has a node, one
 * behind the other, and the last has the children. */
typedef struct mqa_trie_node {
    uint32_t byte : 8;
    uint32_t skip : 24;  /* nodes from this one to the next that isn't below it */
    uint32_t depth : 8;  /* the first byte's is 1 */
    uint32_t token : 24; /* MQA_TRIE_NO_TOKEN: none ends here */
} mqa_trie_node;

#define MQA_TRIE_NO_TOKEN 0xFFFFFFu

typedef struct mqa_trie {
    mqa_trie_node *nodes;
    size_t n, capacity;
} mqa_trie;

/* Tokens of plain characters only, at least one, by their number: below and at each of these bounds. */
enum { MQA_PLAIN_PARTS = 5 };
extern const uint32_t mqa_plain_bounds[MQA_PLAIN_PARTS]; /* the last is no bound */

struct mqa_token_index {
    atomic_uint references;
    int32_t n_tokens;
    size_t n_words;
    uint32_t *offsets; /* [n_tokens + 1] into bytes; nothing for tokens that are never allowed */
    uint8_t *bytes;
    uint64_t *ends; /* the end tokens' bits */
    mqa_trie all, not_plain, plain[MQA_PLAIN_PARTS];
    uint64_t *plain_masks[MQA_PLAIN_PARTS]; /* of plain[i] and all parts before it */
};

mqa_token_index *mqa_token_index_keep(mqa_token_index *index); /* one more to destroy it */

static inline bool mqa_is_plain_byte(uint8_t byte) /* of well-formed UTF-8 */
{
    return byte >= 0x20 && byte != 0x7F && byte != '"' && byte != '\\';
}

#endif
