/* Beginnings that are left for others.
 *
 * Where all layers are global, any sequence can be forked at any length, so what an answer leaves behind at
 * its end is enough. With window layers a sequence can be forked only about where it ends, so checkpoints are
 * left on the way: at pages' ends, where they cost no copy, and exactly at a prompt's end, if there is room.
 * A checkpoint takes no memory from anybody: what it alone holds can be evicted.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine/state.h"

/* The last token of a prompt is always computed, for its logits. */
static int64_t prompt_end(const mqa_choice *choice)
{
    return choice->job->n_prompt - 1;
}

void mqa_mark(mqa_choice *choice, int64_t length)
{
    if (length <= choice->length || choice->n_marks == MQA_MAX_MARKS) return;
    for (int i = 0; i < choice->n_marks; i++)
        if (choice->marks[i] == length) return;
    choice->marks[choice->n_marks++] = length;
}

int64_t mqa_mark_for(const mqa_engine *engine, const mqa_choice *choice, int64_t length)
{
    if (length >= prompt_end(choice)) return prompt_end(choice);
    return engine->info.n_window_layers > 0 ? length / engine->page_tokens * engine->page_tokens : length;
}

static void put(mqa_engine *engine, mqa_choice *choice, int64_t length, int sequence)
{
    mqa_tenant *tenant = choice->job->tenant;
    mqa_prefix_node *node = mqa_prefix_insert(&tenant->tree, choice->text, length);
    if (!node || node->checkpoint >= 0) {
        if (node) mqa_lru_touch(&engine->lru, node);
        mqa_session_close(engine->session, sequence);
        return;
    }
    mqa_session_keep(engine->session, sequence, true);
    mqa_session_evict(engine->session, sequence);
    node->checkpoint = sequence;
    node->tenant = tenant;
    node->account = tenant->account;
    mqa_lru_add(&engine->lru, node);
    tenant->n_checkpoints++;
    while (engine->lru.n > engine->options.max_checkpoints)
        if (!mqa_evict_one(engine, NULL, node)) break;
}

static bool is_cached(mqa_choice *choice, const mqa_engine *engine, int64_t length)
{
    const mqa_prefix_match match =
        mqa_prefix_find(&choice->job->tenant->tree, engine->session, choice->text, length, length);
    return match.length == length;
}

static bool leave(mqa_engine *engine, mqa_choice *choice, int64_t length)
{
    if (length < 1 || is_cached(choice, engine, length)) return true;
    const int sequence = mqa_open_sequence(engine, choice->job->tenant->account, NULL);
    if (sequence < 0) return true;
    if (mqa_session_fork(engine->session, choice->sequence, length, sequence, NULL) == MQA_OK) {
        put(engine, choice, length, sequence);
        return true;
    }
    mqa_session_close(engine->session, sequence); /* no room for a copy of a page */
    return false;
}

/* Whether another ring of windows fits without anybody's checkpoint being lost for it. */
static bool has_spare_ring(const mqa_engine *engine, const mqa_tenant *tenant)
{
    const size_t ring = mqa_session_most_bytes(engine->session, 0, engine->options.context, 1).window_bytes;
    const mqa_account_usage all = mqa_usage_of(mqa_session_account(engine->session)),
                            own = mqa_usage_of(tenant->account);
    return all.in_use + ring <= engine->options.kv_budget_bytes &&
           own.in_use + ring <= mqa_tenant_budget(engine, tenant);
}

void mqa_leave_checkpoints(mqa_engine *engine, mqa_choice *choice, int64_t begin)
{
    if (!mqa_job_shares(engine, choice->job)) return;
    if (engine->info.n_window_layers == 0) return;
    const int64_t end = choice->length, page = engine->page_tokens;
    int n = 0;
    for (int i = 0; i < choice->n_marks; i++) {
        const int64_t mark = choice->marks[i];
        if (mark > end)
            choice->marks[n++] = mark;
        else if (mark >= begin && mark != prompt_end(choice))
            leave(engine, choice, mark);
    }
    choice->n_marks = n;
    if (begin > prompt_end(choice)) return;
    const int64_t every = engine->options.checkpoint_tokens, regular = end / every * every;
    if (regular >= begin && regular > 0 && regular < prompt_end(choice) && regular % page == 0 &&
        has_spare_ring(engine, choice->job->tenant))
        leave(engine, choice, regular);
    if (end > prompt_end(choice) && !leave(engine, choice, prompt_end(choice)))
        leave(engine, choice, prompt_end(choice) / page * page);
}

void mqa_keep_answer(mqa_engine *engine, mqa_choice *choice)
{
    if (!mqa_job_shares(engine, choice->job) || choice->sequence < 0) return;
    const int sequence = choice->sequence;
    choice->sequence = -1;
    put(engine, choice, choice->length, sequence);
}
