/* The inside of a plan: how a batch is cut into tasks.
 *
 *   item    one sequence's queries in the batch
 *   block   up to MQA_MAX_ROWS rows (queries first, then the heads of the group) of one item and KV head
 *   unit    rows that see the same tokens over consecutive spans: one block, or a cascade: several blocks
 *           whose items share those pages
 *   run     some of a unit's spans, computed by one thread: a task
 *
 * A block's spans are covered by its units in ascending order.
 *
 * A block that one task covers alone folds as it goes and finishes itself. Otherwise each task stores
 * states, and the last task of a block to be done folds what there is in order and finishes it. Which way a
 * block goes, and where it is cut, changes no bit: see fold.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_PLAN_H
#define MQA_ATTENTION_PLAN_H

#include <stdatomic.h>
#include <stdint.h>

#include "attention/fold.h"
#include "attention/view.h"
#include "kvcache/cache.h"
#include "mqa/attention.h"

typedef struct mqa_item {
    const mqa_sequence *sequence;
    int64_t length;         /* the sequence's, when the batch was planned */
    uint64_t version;       /* likewise */
    int64_t n_queries;      /* at consecutive positions */
    int64_t first_position; /* of the first query */
    int64_t first_row;      /* the item's first query in q, out and lse */
    mqa_item_rules rules;
    int first_block;
    int64_t n_shared; /* spans that units of several items cover: the item's own begin after them */
} mqa_item;

/* The spans that some row of a block sees, in two stretches: those of sinks, and the rest. A span counts by
 * its index among them. */
typedef struct mqa_spans {
    int64_t first[2], n[2];
} mqa_spans;

typedef struct mqa_block {
    int item, kv_head;
    int64_t first_row; /* among the item's (query, head of the group) pairs */
    int rows;
    mqa_spans spans;
    int first_use, n_uses; /* in plan->uses */
    int n_tasks;           /* that compute some of its rows' spans */
    atomic_int tasks_left; /* back at n_tasks when the block is done */
} mqa_block;

typedef struct mqa_unit {
    int first_part, n_parts; /* in plan->parts: the blocks whose rows it has */
    int rows;
    int64_t begin, end;    /* spans by index, the same for all its blocks */
    int64_t tokens;        /* in them, for the estimate of cost */
    int first_run, n_runs; /* in plan->runs, in order of spans */
    bool direct;           /* one block, one run, nothing else: no states are stored */
} mqa_unit;

/* Spans [begin, end) of a unit, by index. It folds what it can: groups from their first span on, and with a
 * group that the run before began, if that is done, it goes on in that one's state. For every other span it
 * stores one. */
typedef struct mqa_span_run {
    int64_t begin, end;
    float *states;
    /* Of the layer that is computed. */
    bool went_on;     /* from the run before */
    float *open;      /* the state of the group it ends in, folded from the group's first span on; or NULL */
    atomic_uint done; /* the layer's number: then `open` is set */
} mqa_span_run;

/* A block's place in a unit; and the units of a block, in order of spans. */
typedef struct mqa_part {
    int block;
    int row; /* of the unit's, where the block's begin */
} mqa_part;
typedef struct mqa_use {
    int unit, row;
} mqa_use;

typedef struct mqa_task {
    int unit, run; /* of plan->runs */
    double cost;   /* estimate, in nanoseconds of one thread */
    int in_group;  /* spans of its group that runs before it have */
} mqa_task;

/* What each thread works in. */
typedef struct mqa_scratch {
    void *q;
    float *s;
    float *p_scale, *lse;       /* [MQA_MAX_ROWS] */
    float *turned;              /* the query rows where RoPE or a transform turns them, [rows][head_dim_qk] */
    float *rope_cos, *rope_sin; /* of one position */
    unsigned char *v;           /* V of a span turned from K, where the cache has no V of its own */
    mqa_row_states span, group, total; /* span: the state being computed */
} mqa_scratch;

/* An array that grows and keeps nothing. */
typedef struct mqa_plan_array {
    void *data;
    size_t bytes;
} mqa_plan_array;

struct mqa_plan {
    mqa_cache *cache;
    mqa_plan_options options;
    mqa_rules rules;
    const mqa_attention_kernels *kernels;
    int group_size; /* query heads of a KV head */

    /* Tuning: how the work is cut, never what comes out. Tests set them before mqa_plan_batch. */
    int block_rows;       /* at most, 1 .. MQA_MAX_ROWS */
    int tasks_per_thread; /* wanted, where a unit can be cut into runs */
    double least_cost;    /* of a run, in nanoseconds */
    bool cascade;         /* find what sequences share */

    int n_items, n_blocks, n_units, n_parts, n_runs, n_tasks;
    mqa_item *items;
    mqa_block *blocks;
    mqa_unit *units;
    mqa_part *parts;
    mqa_use *uses;
    mqa_span_run *runs;
    mqa_task *tasks;
    unsigned n_layers_run; /* so far: the number of the layer that is computed */
    mqa_plan_array item_memory, block_memory, unit_memory, part_memory, use_memory, run_memory, task_memory,
        cascade_memory;

    /* The workspace: the scratch of each thread, then the states of all units that store some. */
    mqa_plan_array own_workspace;
    unsigned char *given_workspace; /* the caller's, or NULL */
    size_t given_bytes, needed_bytes;
    unsigned char *workspace;
    int scratch_rows; /* that each thread has room for */
};

/* Makes room for n elements; *array->data is then new and undefined, or as it was. */
mqa_status mqa_plan_reserve(const mqa_plan *plan, mqa_plan_array *array, int64_t n, size_t size,
                            const char *what, mqa_error *err);
/* The same for an array of the plan's: *pointer becomes its data. Not more than INT_MAX elements. */
mqa_status mqa_plan_array_of(const mqa_plan *plan, mqa_plan_array *array, int64_t n, size_t size,
                             const char *what, void *pointer, mqa_error *err);
void mqa_plan_release(const mqa_plan *plan, mqa_plan_array *array);

/* Bytes of scratch for one thread, and its division. */
size_t mqa_scratch_bytes(const mqa_plan *plan, int rows);
void mqa_scratch_make(const mqa_plan *plan, int rows, unsigned char *memory, mqa_scratch *out);

/* Cuts plan->items into blocks, units and tasks, and lays out the workspace. Afterwards, without room for it,
 * MQA_ERR_BUDGET or MQA_ERR_OUT_OF_MEMORY. */
mqa_status mqa_plan_cut(mqa_plan *plan, mqa_error *err);

/* The last of it: units are cut into runs, which are the tasks. */
mqa_status mqa_plan_cut_units(mqa_plan *plan, mqa_error *err);

/* Adds units for the spans that several items share, and sets the items' n_shared. The arrays have room. */
mqa_status mqa_plan_cascade(mqa_plan *plan, mqa_error *err);
/* Adds a unit of the blocks that the parts from first_part to the last one added are of. */
void mqa_plan_add_unit(mqa_plan *plan, int first_part, int64_t begin, int64_t end, int64_t tokens);

static inline mqa_view mqa_view_of_query(const mqa_plan *plan, const mqa_item *item, int64_t query)
{
    return mqa_view_of(&plan->rules, &item->rules, query, item->first_position + query);
}

static inline int64_t mqa_n_spans(const mqa_spans *spans)
{
    return spans->n[0] + spans->n[1];
}
static inline int64_t mqa_nth_span(const mqa_spans *spans, int64_t i)
{
    return i < spans->n[0] ? spans->first[0] + i : spans->first[1] + i - spans->n[0];
}

/* Whether span i (by index) is the first one of its group that the block sees. */
static inline bool mqa_begins_group(const mqa_spans *spans, int64_t i)
{
    return i == 0 || mqa_nth_span(spans, i - 1) / MQA_GROUP_SPANS != mqa_nth_span(spans, i) / MQA_GROUP_SPANS;
}

/* Whether the run that begins at span `begin` stores a state of its own for span i, or folds it into an open
 * one: its group's, which the run began, or went on with. */
static inline bool mqa_stores_state(const mqa_spans *spans, int64_t begin, bool went_on, int64_t i)
{
    if (mqa_begins_group(spans, i)) return true;
    const bool same =
        mqa_nth_span(spans, begin) / MQA_GROUP_SPANS == mqa_nth_span(spans, i) / MQA_GROUP_SPANS;
    return same && !mqa_begins_group(spans, begin) && !went_on;
}

/* The spans of a unit's blocks. */
static inline const mqa_spans *mqa_unit_spans(const mqa_plan *plan, const mqa_unit *unit)
{
    return &plan->blocks[plan->parts[unit->first_part].block].spans;
}

/* The call of mqa_plan_run that tasks belong to. */
typedef struct mqa_layer_run {
    mqa_plan *plan;
    const mqa_run *run;
    int64_t n_tokens;     /* queries in the batch */
    int64_t first_group;  /* of mqa_plan_first_group */
    atomic_int bad_query; /* some query wasn't finite */
} mqa_layer_run;

void mqa_attention_task(void *layer_run, int task, int worker);

#endif
