/* The tokens of a vocabulary as tries over their bytes.
 *
 * Besides the trie of all there are tries of parts: of the tokens whose characters are all of one alphabet,
 * and that have at most so many. Where text is free, all characters of an alphabet do the same (inside a JSON
 * string all but control characters, '"' and '\'; where a pattern asks for letters, those): then what the
 * tokens of a part do is known by their length, and only other parts need to be walked.
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

/* Each token is in the first alphabet that has all its characters. */
typedef enum mqa_alphabet {
    MQA_ALPHABET_LOWER,   /* a-z */
    MQA_ALPHABET_LETTERS, /* A-Z, too */
    MQA_ALPHABET_WORDS,   /* and spaces */
    MQA_ALPHABET_ASCII,   /* from the space on, but '"', '\' and DEL */
    MQA_ALPHABET_FOREIGN, /* all that isn't ASCII */
    MQA_ALPHABET_PLAIN,   /* and the ASCII from above */
    MQA_ALPHABETS
} mqa_alphabet;

/* Tries are by alphabet and length: those of the tokens with at most so many characters, and more than the
 * length before. Masks are by alphabet and number of characters: 1, 2, … 16, and any. */
enum { MQA_LENGTHS = 4, MQA_COUNTS = 17 };
extern const uint32_t mqa_lengths[MQA_LENGTHS]; /* the last is no limit */

struct mqa_token_index {
    atomic_uint references;
    int32_t n_tokens;
    size_t n_words;
    uint32_t *offsets; /* [n_tokens + 1] into bytes; nothing for tokens that are never allowed */
    uint8_t *bytes;
    uint64_t *ends;     /* the end tokens' bits */
    uint32_t longest;   /* characters in any token of a part */
    mqa_trie all, rest; /* rest: of no alphabet */
    mqa_trie parts[MQA_ALPHABETS][MQA_LENGTHS];
    uint64_t *masks[MQA_ALPHABETS][MQA_COUNTS]; /* of tokens of at most 1 + i characters; of all */
};

mqa_token_index *mqa_token_index_keep(mqa_token_index *index); /* one more to destroy it */

/* Whether an alphabet has the character that begins with this byte (of well-formed UTF-8). */
static inline bool mqa_alphabet_has(mqa_alphabet alphabet, uint8_t byte)
{
    const bool lower = byte >= 'a' && byte <= 'z', letter = lower || (byte >= 'A' && byte <= 'Z');
    const bool ascii = byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
    switch (alphabet) {
    case MQA_ALPHABET_LOWER:
        return lower;
    case MQA_ALPHABET_LETTERS:
        return letter;
    case MQA_ALPHABET_WORDS:
        return letter || byte == ' ';
    case MQA_ALPHABET_ASCII:
        return ascii;
    case MQA_ALPHABET_FOREIGN:
        return byte >= 0x80;
    default:
        return ascii || byte >= 0x80;
    }
}

#endif
