/* The inside of a plan: how a batch is cut into tasks.
 *
 *   item    one sequence's queries in the batch
 *   block   up to MQA_MAX_ROWS rows (tokens first, then the heads of the group) of one item and KV head
 *   run     consecutive spans of a block: one task
 *
 * A block of one run folds as it goes and finishes itself. In a block of several runs each run stores its
 * states, and the last run to be done folds all of them in order and finishes the block. Which way a block
 * goes, and where it is cut, changes no bit: see fold.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_PLAN_H
#define MQA_ATTENTION_PLAN_H

#include <stdatomic.h>
#include <stdint.h>

#include "attention/fold.h"
#include "kvcache/cache.h"
#include "mqa/attention.h"

typedef struct mqa_item {
    const mqa_sequence *sequence;
    int64_t length;    /* the sequence's, when the batch was planned */
    int64_t n_queries; /* its last ones */
    int64_t first_row; /* the item's first token in q, out and lse */
} mqa_item;

typedef struct mqa_block {
    int item, kv_head;
    int64_t first_row; /* among the item's (token, head of the group) pairs */
    int rows;
    int n_runs;
    int64_t lo, hi;              /* tokens that some row sees */
    int64_t first_span, n_spans; /* that meet [lo, hi) */
    float *states;               /* n_runs > 1: the stored states, in order of spans */
    atomic_int runs_left;        /* n_runs > 1: back at n_runs when the block is done */
} mqa_block;

typedef struct mqa_task {
    int block, run;
    float *states; /* where the run's states go, if the block has several runs */
    double cost;   /* estimate, in nanoseconds of one thread */
} mqa_task;

/* What each thread works in. */
typedef struct mqa_scratch {
    void *q;
    float *s;
    float *p_scale, *lse;          /* [MQA_MAX_ROWS] */
    mqa_states span, group, total; /* span: the state being computed */
} mqa_scratch;

struct mqa_plan {
    mqa_cache *cache;
    mqa_plan_options options;
    const mqa_attention_kernels *kernels;
    int group_size; /* query heads of a KV head */

    /* Tuning: how the work is cut, never what comes out. Tests set them before mqa_plan_batch. */
    int block_rows;       /* at most, 1 .. MQA_MAX_ROWS */
    int tasks_per_thread; /* wanted, where a block can be cut into runs */
    double least_cost;    /* of a run, in nanoseconds */

    int n_items, n_blocks, n_tasks;
    int item_capacity, block_capacity, task_capacity;
    mqa_item *items;
    mqa_block *blocks;
    mqa_task *tasks;
    float *states; /* of all blocks that are cut */
    size_t states_bytes;
    unsigned char *scratch_memory;
    size_t scratch_bytes;
    mqa_scratch *scratch; /* [threads] */
    int scratch_rows;     /* that each has room for */
};

/* Bytes of scratch for one thread, and its division. */
size_t mqa_scratch_bytes(const mqa_plan *plan, int rows);
void mqa_scratch_make(const mqa_plan *plan, int rows, unsigned char *memory, mqa_scratch *out);

/* Cuts plan->items into blocks and tasks, and gives them room. */
mqa_status mqa_plan_cut(mqa_plan *plan, mqa_error *err);

/* Where run `run` of a block begins; run = n_runs gives its end. */
static inline int64_t mqa_run_begin(const mqa_block *block, int run)
{
    return block->first_span + block->n_spans * run / block->n_runs;
}

/* Whether the run that begins at span `begin` stores a state of its own for `span`, or folds it into the
 * one before: only what a group begins with may be folded before the rest of the group is known. */
static inline int mqa_stores_state(const mqa_block *block, int64_t begin, int64_t span)
{
    const int64_t group = span / MQA_GROUP_SPANS * MQA_GROUP_SPANS;
    const int64_t head = group > block->first_span ? group : block->first_span;
    return span == head || span == begin || begin > head;
}

/* The call of mqa_plan_run that tasks belong to. */
typedef struct mqa_layer_run {
    mqa_plan *plan;
    int layer;
    const float *q;
    size_t q_stride_token, q_stride_head;
    float *out;
    size_t out_stride_token, out_stride_head;
    float *lse;
    atomic_int bad_query; /* some query wasn't finite */
} mqa_layer_run;

void mqa_attention_task(void *layer_run, int task, int worker);

#endif
