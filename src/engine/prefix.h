/* Cached beginnings: a radix tree over tokens. A node ends where texts part or where a checkpoint is: a
 * sequence of the session that holds the tokens from the root to there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ENGINE_PREFIX_H
#define MQA_ENGINE_PREFIX_H

#include <stdint.h>

#include "mqa/model.h"

typedef struct mqa_prefix_node mqa_prefix_node;
struct mqa_tenant;

struct mqa_prefix_node {
    mqa_prefix_node *parent, *child, *sibling;
    int32_t *tokens; /* from its parent's end to its own */
    int64_t n_tokens, end;
    int checkpoint; /* a sequence; -1: none */
    struct mqa_tenant *tenant;
    const mqa_account *account;     /* that pays for the checkpoint */
    mqa_prefix_node *newer, *older; /* among checkpoints that may be evicted */
};

/* Zeroes: an empty one. */
typedef struct mqa_prefix_tree {
    mqa_prefix_node root; /* no tokens, no checkpoint */
} mqa_prefix_tree;

/* Checkpoints by when they were last used. */
typedef struct mqa_prefix_lru {
    mqa_prefix_node *newest, *oldest;
    int n;
} mqa_prefix_lru;

typedef struct mqa_prefix_match {
    mqa_prefix_node *node; /* a checkpoint that can be forked at length; NULL: none */
    int64_t length;
    int64_t matched; /* tokens of the text that the tree has, with a checkpoint there or not */
} mqa_prefix_match;

/* The longest beginning of text[0..n) that can be had, of at most `limit` tokens. */
mqa_prefix_match mqa_prefix_find(mqa_prefix_tree *tree, const mqa_session *session, const int32_t *text,
                                 int64_t n, int64_t limit);
/* The node that ends with text[0..n), n > 0; made where there is none. NULL: no memory. */
mqa_prefix_node *mqa_prefix_insert(mqa_prefix_tree *tree, const int32_t *text, int64_t n);
/* Its checkpoint is gone: what only led there goes, too. */
void mqa_prefix_prune(mqa_prefix_node *node);
/* Any checkpoint of the tree; NULL: none. */
mqa_prefix_node *mqa_prefix_any(mqa_prefix_tree *tree);

void mqa_lru_add(mqa_prefix_lru *lru, mqa_prefix_node *node);
void mqa_lru_remove(mqa_prefix_lru *lru, mqa_prefix_node *node);
/* It was used, and so were those on the way to it: what is deeper goes first. */
void mqa_lru_touch(mqa_prefix_lru *lru, mqa_prefix_node *node);

/* Tokens that a and b begin with in common, of n. */
int64_t mqa_common_tokens(const int32_t *a, const int32_t *b, int64_t n);

#endif
