/* Cutting a batch into blocks of rows and units of work. K and V are read once for all rows of a block, and
 * for all blocks of a unit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "attention/plan.h"
#include "base/status.h"

/* ---- blocks ---- */

static int64_t item_rows(const mqa_plan *plan, const mqa_item *item)
{
    return item->n_queries * plan->group_size;
}

static int64_t item_blocks(const mqa_plan *plan, const mqa_item *item)
{
    return (item_rows(plan, item) + plan->block_rows - 1) / plan->block_rows;
}

static mqa_range unite(mqa_range a, mqa_range b)
{
    if (b.hi <= b.lo) return a;
    if (a.hi <= a.lo) return b;
    return (mqa_range){mqa_min64(a.lo, b.lo), mqa_max64(a.hi, b.hi)};
}

/* The spans that meet a range. */
static void spans_over(mqa_range r, int64_t *first, int64_t *n)
{
    *first = r.lo / MQA_SPAN;
    *n = r.hi > r.lo ? (r.hi - 1) / MQA_SPAN + 1 - *first : 0;
}

/* Queries see more to the right and less to the left as they go on, so that the first and the last tell; but
 * a document or a chunk may begin between them, and a row of bits may leave out anything: what is then
 * counted too much is found empty when it comes to be computed. */
static mqa_spans spans_seen(const mqa_plan *plan, const mqa_item *item, int64_t first_query,
                            int64_t last_query)
{
    const mqa_view a = mqa_view_of_query(plan, item, first_query),
                   b = mqa_view_of_query(plan, item, last_query);
    mqa_range main = unite(a.main, b.main);
    /* The last may stand behind all that it could see, while those between see more than the first. */
    if (main.hi > main.lo) main.hi = mqa_max64(main.hi, mqa_min64(b.main.hi, item->rules.end));
    mqa_spans spans;
    spans_over(unite(a.sinks, b.sinks), &spans.first[0], &spans.n[0]);
    spans_over(main, &spans.first[1], &spans.n[1]);
    const int64_t begin = spans.first[1], end = spans.first[0] + spans.n[0];
    if (spans.n[0] > 0 && spans.n[1] > 0 && begin < end) { /* they touch: one stretch */
        spans.first[1] = mqa_min64(spans.first[0], begin);
        spans.n[1] = mqa_max64(end, begin + spans.n[1]) - spans.first[1];
        spans.n[0] = 0;
    }
    return spans;
}

static void make_blocks(mqa_plan *plan)
{
    mqa_block *block = plan->blocks;
    for (int i = 0; i < plan->n_items; i++) {
        mqa_item *item = &plan->items[i];
        item->first_block = (int)(block - plan->blocks);
        const int64_t rows = item_rows(plan, item), n = item_blocks(plan, item);
        /* Of even size, in eights where that makes no more of them. */
        int64_t step = (rows + n - 1) / n;
        step = mqa_min64(plan->block_rows, (step + 7) / 8 * 8);
        for (int kv_head = 0; kv_head < plan->cache->config.n_kv_heads; kv_head++)
            for (int64_t row = 0; row < rows; row += step, block++) {
                const int64_t end = mqa_min64(row + step, rows);
                *block = (mqa_block){
                    .item = i,
                    .kv_head = kv_head,
                    .first_row = row,
                    .rows = (int)(end - row),
                    .spans = spans_seen(plan, item, row / plan->group_size, (end - 1) / plan->group_size)};
            }
    }
    plan->n_blocks = (int)(block - plan->blocks);
}

/* ---- units ---- */

void mqa_plan_add_unit(mqa_plan *plan, int first_part, int64_t begin, int64_t end, int64_t tokens)
{
    mqa_unit *unit = &plan->units[plan->n_units++];
    *unit = (mqa_unit){.first_part = first_part,
                       .n_parts = plan->n_parts - first_part,
                       .begin = begin,
                       .end = end,
                       .tokens = tokens};
    const mqa_part *last = &plan->parts[plan->n_parts - 1];
    unit->rows = last->row + plan->blocks[last->block].rows;
}

/* What each block has for itself; a block that sees nothing has a unit all the same, to be finished by. */
static void add_own_units(mqa_plan *plan)
{
    for (int b = 0; b < plan->n_blocks; b++) {
        const mqa_block *block = &plan->blocks[b];
        const int64_t begin = plan->items[block->item].n_shared, end = mqa_n_spans(&block->spans);
        if (begin == end && begin > 0) continue;
        plan->parts[plan->n_parts++] = (mqa_part){.block = b, .row = 0};
        mqa_plan_add_unit(plan, plan->n_parts - 1, begin, end, (end - begin) * MQA_SPAN);
    }
}

/* The units of each block, in the order in which they were added, which is that of their spans. */
static void list_uses(mqa_plan *plan)
{
    for (int b = 0; b < plan->n_blocks; b++) plan->blocks[b].n_uses = 0;
    for (int p = 0; p < plan->n_parts; p++) plan->blocks[plan->parts[p].block].n_uses++;
    int next = 0;
    for (int b = 0; b < plan->n_blocks; b++) {
        plan->blocks[b].first_use = next;
        next += plan->blocks[b].n_uses;
        plan->blocks[b].n_uses = 0;
    }
    for (int u = 0; u < plan->n_units; u++)
        for (int p = 0; p < plan->units[u].n_parts; p++) {
            const mqa_part *part = &plan->parts[plan->units[u].first_part + p];
            mqa_block *block = &plan->blocks[part->block];
            plan->uses[block->first_use + block->n_uses++] = (mqa_use){.unit = u, .row = part->row};
        }
}

/* ---- all of it ---- */

mqa_status mqa_plan_cut(mqa_plan *plan, mqa_error *err)
{
    int64_t n = 0;
    for (int i = 0; i < plan->n_items; i++)
        n += item_blocks(plan, &plan->items[i]) * plan->cache->config.n_kv_heads;
    MQA_TRY(mqa_plan_array_of(plan, &plan->block_memory, n, sizeof *plan->blocks, "row blocks", &plan->blocks,
                              err));
    make_blocks(plan);
    plan->n_units = plan->n_parts = 0;
    MQA_TRY(mqa_plan_cascade(plan, err));
    add_own_units(plan);
    MQA_TRY(mqa_plan_array_of(plan, &plan->use_memory, plan->n_parts, sizeof *plan->uses, "parts",
                              &plan->uses, err));
    list_uses(plan);
    return mqa_plan_cut_units(plan, err);
}
