/* Evaluation: items are checked as a whole, then go through the model in steps of at most chunk rows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <string.h>

#include "base/fpenv.h"
#include "kvcache/cache.h"
#include "model/session.h"

/* ---- where the tokens are cut ---- */

/* Items one after the other, chunk tokens to a step: a part is what one item has in one step. */
typedef struct cursor {
    int item;
    int64_t done; /* of that item's tokens */
    int room;     /* rows left in this step */
} cursor;

/* Tokens of the next part; 0 where the step is full or all items are done. */
static int next_part(const mqa_eval_item *items, int n_items, cursor *at)
{
    if (at->item < n_items && at->done == items[at->item].n_tokens) {
        at->item++;
        at->done = 0;
    }
    if (at->item == n_items) return 0;
    const int64_t left = items[at->item].n_tokens - at->done;
    return left < at->room ? (int)left : at->room;
}

static void advance(cursor *at, int part)
{
    at->done += part;
    at->room -= part;
}

static bool at_end(const mqa_eval_item *items, int n_items, cursor *at, int chunk)
{
    at->room = chunk;
    return next_part(items, n_items, at) == 0;
}

/* ---- the budget ---- */

/* One step's extends, kind by kind as extend_and_plan does them, until one fails. Moves the cursor past it.
 */
static mqa_status rehearse_step(mqa_session *s, uint64_t rehearsal, const mqa_eval_item *items, int n_items,
                                cursor *at, mqa_cache_need *need, mqa_error *err)
{
    const cursor begin = *at;
    for (int k = 0; k < MQA_LAYER_KINDS; k++) {
        if (!s->kind[k].cache) continue;
        *at = begin;
        for (int part; (part = next_part(items, n_items, at)) > 0; advance(at, part)) {
            mqa_sequence *sequence = s->kind[k].sequences[items[at->item].sequence];
            MQA_TRY(mqa_rehearse_extend(rehearsal, sequence, part, need, err));
            if (need->taken > need->available) return MQA_OK;
        }
    }
    return MQA_OK;
}

static mqa_status find_need(mqa_session *s, const mqa_eval_item *items, int n_items, mqa_cache_need *need,
                            mqa_error *err)
{
    *need = (mqa_cache_need){0};
    const uint64_t rehearsal = mqa_rehearsal_begin(s->model->ctx);
    for (cursor at = {0}; need->taken <= need->available && !at_end(items, n_items, &at, s->options.chunk);)
        MQA_TRY(rehearse_step(s, rehearsal, items, n_items, &at, need, err));
    need->returned = 0;
    return MQA_OK;
}

static mqa_status check_budget(mqa_session *s, const mqa_eval_item *items, int n_items, mqa_error *err)
{
    mqa_cache_need need;
    MQA_TRY(find_need(s, items, n_items, &need, err));
    if (need.taken <= need.available) return MQA_OK;
    mqa_account_usage usage = {.struct_size = sizeof usage};
    (void)mqa_account_get_usage(need.scarce ? need.scarce : s->account, &usage, NULL);
    return mqa_fail(err, MQA_ERR_BUDGET,
                    "these tokens come to where %zu bytes more of the KV cache are needed and %zu are "
                    "available; %s budget is %zu, %zu are in use",
                    need.taken, need.available,
                    need.scarce && need.scarce != s->account ? "their account's" : "its", usage.budget,
                    usage.in_use);
}

/* ---- arguments ---- */

static mqa_status check_item(mqa_session *s, const mqa_eval_item *item, int index, mqa_error *err)
{
    if (!mqa_session_has(s, item->sequence))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "item %d: there is no sequence %d (max_sequences is %d, of %d on demand it isn't one "
                        "that is open)",
                        index, item->sequence, s->options.max_sequences, s->options.max_on_demand);
    if (s->seen[item->sequence]++)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: sequence %d occurs twice", index,
                        item->sequence);
    if (item->n_tokens < 1 || !item->tokens)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: no tokens", index);
    if ((unsigned)item->want > MQA_LOGITS_ALL || (item->want != MQA_LOGITS_NONE && !item->logits))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: wants logits but gives no room for them",
                        index);
    const int64_t length = mqa_session_length(s, item->sequence);
    if (item->n_tokens > s->options.context - length)
        return mqa_fail(err, MQA_ERR_BUDGET,
                        "sequence %d holds %" PRId64 " tokens; %" PRId64
                        " more exceed the context of %" PRId64,
                        item->sequence, length, item->n_tokens, s->options.context);
    for (int64_t t = 0; t < item->n_tokens; t++)
        if (item->tokens[t] < 0 || item->tokens[t] >= s->model->hp.n_vocab)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "item %d: token %" PRId64 " is %d, not in [0, %d)",
                            index, t, item->tokens[t], s->model->hp.n_vocab);
    return MQA_OK;
}

static mqa_status check_items(mqa_session *s, const mqa_eval_item *items, int n_items, mqa_error *err)
{
    memset(s->seen, 0, (size_t)s->n_numbers);
    for (int i = 0; i < n_items; i++) MQA_TRY(check_item(s, &items[i], i, err));
    return MQA_OK;
}

static mqa_status check_call(mqa_session *s, const mqa_eval_item *items, int n_items, const char *call,
                             mqa_error *err)
{
    if (!s || n_items < 0 || (n_items > 0 && !items))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s: session or items is NULL", call);
    return check_items(s, items, n_items, err);
}

mqa_status mqa_session_eval_need(mqa_session *s, const mqa_eval_item *items, int n_items, mqa_cache_need *out,
                                 mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_session_eval_need: out is NULL");
    MQA_TRY(check_call(s, items, n_items, "mqa_session_eval_need", err));
    return find_need(s, items, n_items, out, err);
}

/* ---- one step ---- */

/* Puts one part's rows into the step. */
static void add_part(mqa_session *s, mqa_step *step, const mqa_eval_item *item, int64_t done, int part)
{
    const int row0 = step->n_rows;
    mqa_segment *segment = &s->segments[step->n_segments++];
    *segment = (mqa_segment){.position = mqa_session_length(s, item->sequence), .n_rows = part};
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        if (s->kind[k].cache) segment->sequence[k] = s->kind[k].sequences[item->sequence];
    memcpy(s->tokens + row0, item->tokens + done, (size_t)part * sizeof *s->tokens);

    const size_t n_vocab = (size_t)s->model->hp.n_vocab;
    for (int i = 0; i < part; i++) {
        const bool last = done + i == item->n_tokens - 1;
        if (item->want == MQA_LOGITS_NONE || (item->want == MQA_LOGITS_LAST && !last)) continue;
        const size_t slot = item->want == MQA_LOGITS_ALL ? (size_t)(done + i) : 0;
        s->wanted[step->n_wanted] = row0 + i;
        s->logits[step->n_wanted++] = item->logits + slot * n_vocab;
    }
    step->n_rows += part;
}

static void prepare_pages(mqa_session *s, const mqa_step *step)
{
    int64_t pages[MQA_LAYER_KINDS] = {0};
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        for (int i = 0; i < step->n_segments && s->kind[k].cache; i++) {
            const mqa_segment *segment = &step->segments[i];
            pages[k] += mqa_pages_for(segment->position + segment->n_rows, s->kind[k].page_tokens) -
                        mqa_pages_for(segment->position, s->kind[k].page_tokens) +
                        mqa_sequence_must_copy(segment->sequence[k]);
        }
    mqa_session_prepare_pages(s, pages);
}

static mqa_status extend_and_plan(mqa_session *s, const mqa_step *step, mqa_error *err)
{
    for (int k = 0; k < MQA_LAYER_KINDS; k++) {
        mqa_session_kind *kind = &s->kind[k];
        if (!kind->cache) continue;
        for (int i = 0; i < step->n_segments; i++) {
            const mqa_segment *segment = &step->segments[i];
            MQA_TRY(mqa_sequence_extend(segment->sequence[k], segment->n_rows, err));
            kind->plan_items[i] =
                (mqa_plan_item){.sequence = segment->sequence[k], .n_queries = segment->n_rows};
        }
        MQA_TRY(mqa_plan_batch(kind->plan, kind->plan_items, step->n_segments, err));
    }
    return MQA_OK;
}

/* As if the step had not begun. A window's pages from before it are still there: extend gives back only
 * what the step's first token cannot see. */
static void undo(const mqa_step *step)
{
    for (int i = 0; i < step->n_segments; i++)
        for (int k = 0; k < MQA_LAYER_KINDS; k++) {
            mqa_sequence *sequence = step->segments[i].sequence[k];
            if (sequence && mqa_sequence_length(sequence) > step->segments[i].position)
                (void)mqa_sequence_truncate(sequence, step->segments[i].position, NULL);
        }
}

static mqa_status run_step(mqa_session *s, mqa_step *step, mqa_error *err)
{
    prepare_pages(s, step);
    mqa_status status = extend_and_plan(s, step, err);
    if (status == MQA_OK) status = s->model->arch->forward(step, err);
    if (status != MQA_OK) undo(step);
    return status;
}

mqa_status mqa_session_eval(mqa_session *s, const mqa_eval_item *items, int n_items, const volatile int *stop,
                            mqa_error *err)
{
    MQA_TRY(check_call(s, items, n_items, "mqa_session_eval", err));
    MQA_TRY(check_budget(s, items, n_items, err));
    const mqa_context *ctx = s->model->ctx;
    mqa_plan *const plans[MQA_LAYER_KINDS] = {s->kind[0].plan, s->kind[1].plan};
    const mqa_fpenv saved = mqa_fpenv_enter();
    mqa_status status = MQA_OK;
    for (cursor at = {0}; status == MQA_OK && !at_end(items, n_items, &at, s->options.chunk);) {
        if (stop && *stop) {
            status = mqa_fail(err, MQA_ERR_CANCELLED, "evaluation was stopped");
            break;
        }
        atomic_int not_finite = 0;
        mqa_step step = {.model = s->model,
                         .kernels = ctx->kernels,
                         .pool = ctx->pool,
                         .ws = &s->ws,
                         .plan = plans,
                         .segments = s->segments,
                         .tokens = s->tokens,
                         .wanted = s->wanted,
                         .logits = s->logits,
                         .not_finite = &not_finite,
                         .observer = &s->observer};
        for (int part; (part = next_part(items, n_items, &at)) > 0; advance(&at, part))
            add_part(s, &step, &items[at.item], at.done, part);
        status = run_step(s, &step, err);
    }
    mqa_fpenv_leave(saved);
    return status;
}
