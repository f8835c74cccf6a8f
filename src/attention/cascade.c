/* Cascade: the spans that several sequences of a batch share, found from their block tables.
 *
 * Sequences sorted by their block tables form a tree of common beginnings. Each of its nodes is a run of
 * whole spans that two or more of them share: one unit there has rows of them all. A span in which a common
 * beginning ends is left to each alone, so that every row's span is computed in one piece, as it would be
 * without the others.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "attention/plan.h"
#include "base/status.h"

typedef struct member {
    int item;
    int64_t n_spans; /* from the sequence's begin that all its queries see whole */
    int64_t common;  /* of them, shared with the member before it in the order of block tables */
    const int32_t *pages;
    int span_pages; /* of a span */
} member;

/* Members [first, end) share spans [begin, n_spans). */
typedef struct node {
    int first, end;
    int64_t begin, n_spans;
} node;

/* 0 for an item that has nothing to share: one whose rows fill a unit alone, or whose view isn't a beginning.
 */
static int64_t spans_to_share(const mqa_plan *plan, const mqa_item *item)
{
    const int64_t begin = item->rules.begin;
    if (2 * item->n_queries * plan->group_size > plan->block_rows) return 0;
    if (mqa_sequence_first_held(item->sequence) > begin) return 0;
    const mqa_view first = mqa_view_of_query(plan, item, 0),
                   last = mqa_view_of_query(plan, item, item->n_queries - 1);
    if (first.main.lo > begin || last.main.lo > begin || first.sinks.hi > 0 || last.sinks.hi > 0) return 0;
    return (mqa_min64(first.main.hi, last.main.hi) - begin) / MQA_SPAN;
}

static int by_pages(const void *a_, const void *b_)
{
    const member *a = a_, *b = b_;
    const size_t n_pages = (size_t)(mqa_min64(a->n_spans, b->n_spans) * a->span_pages);
    const int order = memcmp(a->pages, b->pages, n_pages * sizeof *a->pages);
    if (order) return order;
    if (a->n_spans != b->n_spans) return a->n_spans < b->n_spans ? -1 : 1;
    return a->item - b->item;
}

static int64_t common_spans(const member *a, const member *b)
{
    const int64_t most = mqa_min64(a->n_spans, b->n_spans) * a->span_pages;
    int64_t n = 0;
    while (n < most && a->pages[n] == b->pages[n]) n++;
    return n / a->span_pages;
}

static int list_members(const mqa_plan *plan, member *members)
{
    int n = 0;
    for (int i = 0; i < plan->n_items; i++) {
        const int64_t n_spans = spans_to_share(plan, &plan->items[i]);
        if (n_spans > 0)
            members[n++] = (member){.item = i,
                                    .n_spans = n_spans,
                                    .pages = plan->items[i].sequence->pages,
                                    .span_pages = MQA_SPAN / plan->cache->layout.page_tokens};
    }
    qsort(members, (size_t)n, sizeof *members, by_pages);
    for (int i = 1; i < n; i++) members[i].common = common_spans(&members[i - 1], &members[i]);
    return n;
}

/* The tree's nodes, children before parents: intervals of members with a common beginning, by a stack of
 * those that are open. nodes has room for n - 1, open for n. */
static int list_nodes(const member *members, int n, node *nodes, node *open)
{
    int n_nodes = 0, depth = 0;
    open[0] = (node){0};
    for (int i = 1; i <= n; i++) {
        const int64_t common = i < n ? members[i].common : 0;
        int first = i - 1;
        while (open[depth].n_spans > common) {
            node closed = open[depth--];
            const int64_t parent = open[depth].n_spans;
            closed.begin = parent > common ? parent : common;
            closed.end = i;
            nodes[n_nodes++] = closed;
            first = closed.first;
        }
        if (open[depth].n_spans < common) open[++depth] = (node){.first = first, .n_spans = common};
    }
    return n_nodes;
}

static void add_node(mqa_plan *plan, const member *members, const node *at)
{
    for (int kv_head = 0; kv_head < plan->cache->config.n_kv_heads; kv_head++) {
        int first_part = plan->n_parts, rows = 0;
        for (int i = at->first; i <= at->end; i++) {
            /* A member's rows of one KV head are one block. */
            const int block = i < at->end ? plan->items[members[i].item].first_block + kv_head : 0;
            if (i == at->end || rows + plan->blocks[block].rows > plan->block_rows) {
                mqa_plan_add_unit(plan, first_part, at->begin, at->n_spans,
                                  (at->n_spans - at->begin) * MQA_SPAN);
                first_part = plan->n_parts;
                rows = 0;
            }
            if (i == at->end) break;
            plan->parts[plan->n_parts++] = (mqa_part){.block = block, .row = rows};
            rows += plan->blocks[block].rows;
        }
    }
}

static mqa_status reserve_units(mqa_plan *plan, int64_t n_parts, mqa_error *err)
{
    if (n_parts > INT_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a batch of %lld row blocks: cut it into several",
                        (long long)n_parts);
    MQA_TRY(mqa_plan_reserve(plan, &plan->part_memory, n_parts, sizeof *plan->parts, "parts", err));
    MQA_TRY(mqa_plan_reserve(plan, &plan->unit_memory, n_parts, sizeof *plan->units, "units", err));
    plan->parts = plan->part_memory.data;
    plan->units = plan->unit_memory.data;
    return MQA_OK;
}

mqa_status mqa_plan_cascade(mqa_plan *plan, mqa_error *err)
{
    for (int i = 0; i < plan->n_items; i++) plan->items[i].n_shared = 0;
    if (!plan->cascade || plan->n_items < 2) return reserve_units(plan, plan->n_blocks, err);

    const int64_t n_items = plan->n_items;
    MQA_TRY(mqa_plan_reserve(plan, &plan->cascade_memory, n_items, sizeof(member) + 2 * sizeof(node),
                             "sequences to compare", err));
    member *members = plan->cascade_memory.data;
    node *nodes = (node *)(void *)(members + n_items), *open = nodes + n_items;
    const int n = list_members(plan, members);
    int n_nodes = n > 1 ? list_nodes(members, n, nodes, open) : 0;

    int64_t n_parts = 0;
    for (int i = 0; i < n_nodes; i++) n_parts += nodes[i].end - nodes[i].first;
    /* A chain of ever longer common beginnings would take parts by the square of its length. */
    if (n_parts > 64 * n_items) n_nodes = 0, n_parts = 0;
    MQA_TRY(reserve_units(plan, n_parts * plan->cache->config.n_kv_heads + plan->n_blocks, err));
    for (int i = n_nodes - 1; i >= 0; i--) {
        add_node(plan, members, &nodes[i]);
        for (int j = nodes[i].first; j < nodes[i].end; j++) {
            mqa_item *item = &plan->items[members[j].item];
            if (item->n_shared < nodes[i].n_spans) item->n_shared = nodes[i].n_spans;
        }
    }
    return MQA_OK;
}
