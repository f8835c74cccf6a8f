/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/prefix.h"

#include <stdlib.h>
#include <string.h>

int64_t mqa_common_tokens(const int32_t *a, const int32_t *b, int64_t n)
{
    int64_t i = 0;
    while (i + 64 <= n && memcmp(a + i, b + i, 64 * sizeof *a) == 0) i += 64;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

static mqa_prefix_node *child_with(const mqa_prefix_node *node, int32_t token)
{
    mqa_prefix_node *child = node->child;
    while (child && child->tokens[0] != token) child = child->sibling;
    return child;
}

/* ---- finding ---- */

/* In the subtree, a checkpoint that can be forked at length. Looks at some of it only: where any will do, the
 * first does. */
static mqa_prefix_node *forkable(mqa_prefix_node *node, const mqa_session *session, int64_t length,
                                 int *looks)
{
    if (node->parent && node->checkpoint >= 0 && mqa_session_can_fork(session, node->checkpoint, length))
        return node;
    for (mqa_prefix_node *child = node->child; child && (*looks)-- > 0; child = child->sibling) {
        mqa_prefix_node *found = forkable(child, session, length, looks);
        if (found) return found;
    }
    return NULL;
}

mqa_prefix_match mqa_prefix_find(mqa_prefix_tree *tree, const mqa_session *session, const int32_t *text,
                                 int64_t n, int64_t limit)
{
    mqa_prefix_match match = {0};
    mqa_prefix_node *node = &tree->root, *child;
    while (match.matched < n && (child = child_with(node, text[match.matched])) != NULL) {
        node = child;
        const int64_t left = n - match.matched;
        const int64_t common = mqa_common_tokens(node->tokens, text + match.matched,
                                                 left < node->n_tokens ? left : node->n_tokens);
        match.matched += common;
        if (common < node->n_tokens) break;
        if (node->checkpoint >= 0 && node->end <= limit) {
            match.node = node;
            match.length = node->end;
        }
    }
    const int64_t length = match.matched < limit ? match.matched : limit;
    int looks = 32;
    if (length > match.length) {
        mqa_prefix_node *deeper = forkable(node, session, length, &looks);
        if (deeper) {
            match.node = deeper;
            match.length = length;
        }
    }
    return match;
}

mqa_prefix_node *mqa_prefix_any(mqa_prefix_tree *tree)
{
    mqa_prefix_node *node = &tree->root;
    while (node->child) node = node->child; /* a leaf is there for its checkpoint */
    return node == &tree->root ? NULL : node;
}

/* ---- inserting ---- */

static mqa_prefix_node *make_node(mqa_prefix_node *parent, const int32_t *tokens, int64_t n)
{
    mqa_prefix_node *node = calloc(1, sizeof *node);
    int32_t *own = malloc((size_t)n * sizeof *own);
    if (!node || !own) {
        free(node);
        free(own);
        return NULL;
    }
    memcpy(own, tokens, (size_t)n * sizeof *own);
    *node = (mqa_prefix_node){
        .parent = parent, .sibling = parent->child, .tokens = own, .n_tokens = n, .end = parent->end + n};
    node->checkpoint = -1;
    parent->child = node;
    return node;
}

static void unlink_child(mqa_prefix_node *node)
{
    mqa_prefix_node **at = &node->parent->child;
    while (*at != node) at = &(*at)->sibling;
    *at = node->sibling;
}

/* A node for the first n tokens of `node`, between it and its parent. */
static mqa_prefix_node *split(mqa_prefix_node *node, int64_t n)
{
    unlink_child(node);
    mqa_prefix_node *upper = make_node(node->parent, node->tokens, n);
    if (!upper) {
        node->sibling = node->parent->child;
        node->parent->child = node;
        return NULL;
    }
    node->n_tokens -= n;
    memmove(node->tokens, node->tokens + n, (size_t)node->n_tokens * sizeof *node->tokens);
    node->parent = upper;
    node->sibling = NULL;
    upper->child = node;
    return upper;
}

mqa_prefix_node *mqa_prefix_insert(mqa_prefix_tree *tree, const int32_t *text, int64_t n)
{
    mqa_prefix_node *node = &tree->root;
    while (node->end < n) {
        mqa_prefix_node *child = child_with(node, text[node->end]);
        if (!child) return make_node(node, text + node->end, n - node->end);
        const int64_t left = n - node->end;
        const int64_t common = mqa_common_tokens(child->tokens, text + node->end,
                                                 left < child->n_tokens ? left : child->n_tokens);
        node = common < child->n_tokens ? split(child, common) : child;
        if (!node) return NULL;
    }
    return node;
}

void mqa_prefix_prune(mqa_prefix_node *node)
{
    while (node->parent && node->checkpoint < 0 && !node->child) {
        mqa_prefix_node *parent = node->parent;
        unlink_child(node);
        free(node->tokens);
        free(node);
        node = parent;
    }
}

/* ---- by use ---- */

void mqa_lru_add(mqa_prefix_lru *lru, mqa_prefix_node *node)
{
    node->newer = NULL;
    node->older = lru->newest;
    if (lru->newest) lru->newest->newer = node;
    lru->newest = node;
    if (!lru->oldest) lru->oldest = node;
    lru->n++;
}

void mqa_lru_remove(mqa_prefix_lru *lru, mqa_prefix_node *node)
{
    if (node->newer) node->newer->older = node->older;
    if (node->older) node->older->newer = node->newer;
    if (lru->newest == node) lru->newest = node->older;
    if (lru->oldest == node) lru->oldest = node->newer;
    node->newer = node->older = NULL;
    lru->n--;
}

void mqa_lru_touch(mqa_prefix_lru *lru, mqa_prefix_node *node)
{
    for (; node && node->parent; node = node->parent) {
        const bool listed = node->newer || node->older || lru->newest == node;
        if (!listed) continue;
        mqa_lru_remove(lru, node);
        mqa_lru_add(lru, node);
    }
}
