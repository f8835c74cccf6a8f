/* What becomes of a block's folded states: out and lse, or public states of groups.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ATTENTION_RESULTS_H
#define MQA_ATTENTION_RESULTS_H

#include "attention/plan.h"

typedef struct mqa_query_row {
    int64_t token; /* of the batch: the index into q, out and lse */
    int64_t position;
    int head;
    int view; /* of the query: an index that its task gives it */
} mqa_query_row;

typedef struct mqa_block_rows {
    const mqa_layer_run *layer;
    int n;
    mqa_query_row rows[MQA_MAX_ROWS];
} mqa_block_rows;

/* A fold of the rows' states, in the scratch's buffers, that ends in mqa_results_finish. b stays until then.
 */
mqa_fold mqa_results_begin(mqa_block_rows *b, const mqa_scratch *scratch);
void mqa_results_finish(const mqa_block_rows *b, mqa_fold *fold, const mqa_scratch *scratch);

#endif
