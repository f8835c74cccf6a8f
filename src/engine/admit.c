/* Which requests start, and from which beginning.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine/state.h"

enum { MOST_OVERTAKEN = 16, MOST_LOOKED_AT = 64 };

/* ---- where to begin ---- */

static void consider(mqa_source *best, int sequence, int64_t length, mqa_prefix_node *node)
{
    if (length <= best->length) return;
    best->sequence = sequence;
    best->length = length;
    best->node = node;
}

static mqa_source find_source(mqa_engine *engine, const mqa_choice *choice)
{
    mqa_source best = {.sequence = -1};
    if (!mqa_job_shares(engine, choice->job)) return best;
    mqa_tenant *tenant = choice->job->tenant;
    const int64_t limit = choice->n_text - 1;
    const mqa_prefix_match own =
        mqa_prefix_find(&tenant->tree, engine->session, choice->text, choice->n_text, limit);
    const mqa_prefix_match pinned =
        mqa_prefix_find(&engine->pinned_tree, engine->session, choice->text, choice->n_text, limit);
    best.matched = own.matched;
    if (own.node) consider(&best, own.node->checkpoint, own.length, own.node);
    if (pinned.node) consider(&best, pinned.node->checkpoint, pinned.length, NULL);
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices && job->tenant == tenant; i++) {
            const mqa_choice *other = &job->choices[i];
            if (other == choice || other->state != MQA_CHOICE_RUNNING || !mqa_job_shares(engine, job))
                continue;
            const int64_t most = other->length < limit ? other->length : limit;
            if (most <= best.length) continue;
            const int64_t common = mqa_common_tokens(choice->text, other->text, most);
            if (common > best.length && mqa_session_can_fork(engine->session, other->sequence, common))
                consider(&best, other->sequence, common, NULL);
        }
    return best;
}

int64_t mqa_choice_cached(mqa_engine *engine, const mqa_choice *choice)
{
    return find_source(engine, choice).length;
}

/* Whether more of its prompt than a source has is being computed for another choice, which is then asked to
 * leave it. */
static bool is_being_computed(const mqa_engine *engine, const mqa_choice *choice, const mqa_source *have)
{
    if (!mqa_job_shares(engine, choice->job)) return false;
    const int64_t limit = choice->n_text - 1;
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices && job->tenant == choice->job->tenant; i++) {
            mqa_choice *other = &job->choices[i];
            if (other->state != MQA_CHOICE_RUNNING || other->length >= job->n_prompt ||
                !mqa_job_shares(engine, job))
                continue;
            const int64_t most = job->n_prompt < limit ? job->n_prompt : limit;
            if (most < have->length + engine->page_tokens) continue;
            const int64_t common = mqa_common_tokens(choice->text, other->text, most);
            const int64_t mark = mqa_mark_for(engine, other, common);
            if (mark < have->length + engine->page_tokens || other->length >= mark) continue;
            mqa_mark(other, mark);
            return true;
        }
    return false;
}

/* ---- whether there is room ---- */

/* What comes back into use with the source's whole pages. */
static size_t brought_back(const mqa_engine *engine, const mqa_source *from)
{
    if (from->sequence < 0) return 0;
    return mqa_session_kept_bytes(engine->session, from->sequence,
                                  from->length / engine->page_tokens * engine->page_tokens);
}

static size_t claim_from(const mqa_engine *engine, const mqa_choice *choice, const mqa_source *from)
{
    const mqa_session_most most = mqa_session_most_bytes(engine->session, from->length,
                                                         mqa_choice_longest(engine, choice), MQA_LEAST_PART);
    return most.bytes + most.window_bytes;
}

typedef enum room { ROOM, NO_ROOM_IN_TENANT, NO_ROOM } room;

static room room_for(mqa_engine *engine, const mqa_job *job, size_t more)
{
    mqa_tenant *tenant = job->tenant;
    if (!job->pin && mqa_claims(engine, tenant) + more > mqa_tenant_budget(engine, tenant))
        return NO_ROOM_IN_TENANT;
    return mqa_claims(engine, NULL) + more <= engine->options.kv_budget_bytes ? ROOM : NO_ROOM;
}

/* ---- starting ---- */

static mqa_account *account_of(const mqa_engine *engine, const mqa_job *job)
{
    return job->pin ? engine->pin_account : job->tenant->account;
}

/* A copy of an open page may be needed, for which others' checkpoints go. */
static bool fork_into(mqa_engine *engine, const mqa_source *from, int sequence, const mqa_account *account)
{
    for (;;) {
        const mqa_status status =
            mqa_session_fork(engine->session, from->sequence, from->length, sequence, NULL);
        if (status != MQA_ERR_BUDGET) return status == MQA_OK;
        if (!mqa_evict_one(engine, account, from->node) && !mqa_evict_one(engine, NULL, from->node))
            return false;
    }
}

/* Its beginning in a new sequence: what was spilled, or the source. Tokens; -1: no room. */
static int64_t begin_with(mqa_engine *engine, mqa_choice *choice, int sequence, const mqa_source *from)
{
    const mqa_account *account = account_of(engine, choice->job);
    const int64_t restored = mqa_spill_in(engine, choice, sequence, account, from);
    if (restored != 0) return restored;
    return from->length == 0 || fork_into(engine, from, sequence, account) ? from->length : -1;
}

/* Gives the choice a sequence that begins with the source. */
static bool run_choice(mqa_engine *engine, mqa_choice *choice, const mqa_source *from)
{
    mqa_account *account = account_of(engine, choice->job);
    const int sequence = mqa_open_sequence(engine, account, from->node);
    if (sequence < 0) return false;
    const int64_t length = begin_with(engine, choice, sequence, from);
    if (length < 0) {
        mqa_session_close(engine->session, sequence);
        return false;
    }
    if (from->node) mqa_lru_touch(&engine->lru, from->node);
    mqa_session_evict(engine->session, sequence);
    choice->sequence = sequence;
    choice->length = length;
    choice->state = MQA_CHOICE_RUNNING;
    /* Where others have come before, but nothing is left to begin with. */
    if (from->matched > from->length) mqa_mark(choice, mqa_mark_for(engine, choice, from->matched));
    return true;
}

static const mqa_source nothing = {.sequence = -1};

/* From the source, or without one where its own pages stand in the way. more: what else the job claims. */
static room try_choice(mqa_engine *engine, mqa_choice *choice, const mqa_source *from, size_t more)
{
    room r =
        room_for(engine, choice->job, claim_from(engine, choice, from) + brought_back(engine, from) + more);
    if (r == ROOM && run_choice(engine, choice, from)) return ROOM;
    if (r == ROOM && from->length > 0) {
        r = room_for(engine, choice->job, claim_from(engine, choice, &nothing) + more);
        if (r == ROOM && run_choice(engine, choice, &nothing)) return ROOM;
    }
    return r == ROOM ? NO_ROOM : r;
}

static void has_started(mqa_engine *engine, mqa_job *job)
{
    mqa_tenant *tenant = job->tenant;
    mqa_list_remove(&tenant->waiting, job);
    tenant->n_waiting--;
    mqa_list_append(&engine->running, job);
    engine->n_running++;
    engine->n_choices += job->n_choices;
    tenant->n_running++;
    job->started = true;
    job->started_at = mqa_engine_now(engine);
    job->cached_tokens = job->choices[0].length;
    engine->stats.prompt_tokens += (uint64_t)job->n_prompt;
    engine->stats.cached_tokens += (uint64_t)job->cached_tokens;
    tenant->counters.prompt_tokens += (uint64_t)job->n_prompt;
    tenant->counters.cached_tokens += (uint64_t)job->cached_tokens;
}

static room try_job(mqa_engine *engine, mqa_job *job, const mqa_source *from)
{
    if (engine->n_choices + job->n_choices > engine->options.max_running) return NO_ROOM;
    size_t more = 0;
    for (int i = 1; i < job->n_choices; i++) more += mqa_choice_claim(engine, &job->choices[i]);
    const room r = try_choice(engine, &job->choices[0], from, more);
    if (r == ROOM) has_started(engine, job);
    return r;
}

/* ---- in which order ---- */

/* The tenant's next job that needn't wait for a beginning; NULL: there is none. */
static mqa_job *next_of(mqa_engine *engine, const mqa_tenant *tenant, mqa_source *from)
{
    int looks = 0;
    for (mqa_job *job = tenant->waiting.first; job && looks++ < MOST_LOOKED_AT; job = job->next) {
        *from = find_source(engine, &job->choices[0]);
        if (!is_being_computed(engine, &job->choices[0], from)) return job;
    }
    return NULL;
}

static void overtake(mqa_engine *engine, const mqa_job *started)
{
    for (mqa_tenant *t = engine->tenants; t; t = t->next)
        for (mqa_job *job = t->waiting.first; job; job = job->next)
            if (job->blocked && job->id < started->id) job->overtaken++;
}

/* The earliest of those that were overtaken too often: nobody else starts before it does. */
static mqa_job *most_patient(const mqa_engine *engine)
{
    mqa_job *found = NULL;
    for (const mqa_tenant *t = engine->tenants; t; t = t->next)
        for (mqa_job *job = t->waiting.first; job; job = job->next)
            if (job->overtaken >= MOST_OVERTAKEN && (!found || job->id < found->id)) found = job;
    return found;
}

/* One job of the tenant; whether it started. */
static bool admit_one(mqa_engine *engine, mqa_tenant *tenant)
{
    mqa_source from;
    mqa_job *job = next_of(engine, tenant, &from);
    if (!job) return false;
    const room r = try_job(engine, job, &from);
    if (r != ROOM) {
        job->blocked = r == NO_ROOM;
        /* A budget was lowered, or what it would have shared was unpinned, since it was taken in. */
        if (r == NO_ROOM ? engine->n_running == 0 : tenant->n_running == 0)
            mqa_job_end(engine, job, MQA_FINISH_ERROR, MQA_ERR_BUDGET,
                        "its budget became less than what it may need");
        return false;
    }
    overtake(engine, job);
    return true;
}

/* Preempted choices, the earliest first: until that one has room again, nothing else starts. */
static bool resume(mqa_engine *engine)
{
    for (;;) {
        mqa_choice *first = NULL;
        for (mqa_job *job = engine->running.first; job; job = job->next)
            for (int i = 0; i < job->n_choices; i++) {
                mqa_choice *c = &job->choices[i];
                if (c->state == MQA_CHOICE_PREEMPTED && (!first || job->id < first->job->id)) first = c;
            }
        if (!first) return true;
        const mqa_source from = find_source(engine, first);
        if (try_choice(engine, first, &from, 0) != ROOM) return false;
    }
}

/* The tenants of a priority, in turns, as long as any has a job that can start. */
static void admit_all(mqa_engine *engine, int priority)
{
    bool any = true;
    while (any) {
        any = false;
        for (int turns = 0; turns < engine->stats.tenants; turns++) {
            mqa_tenant *tenant = engine->admit_turn ? engine->admit_turn : engine->tenants;
            engine->admit_turn = tenant->next;
            if (tenant->options.priority == priority) any |= admit_one(engine, tenant);
        }
    }
}

/* The highest priority below `than`; false: there is none. */
static bool next_priority(const mqa_engine *engine, int64_t than, int *out)
{
    bool found = false;
    for (const mqa_tenant *t = engine->tenants; t; t = t->next)
        if (t->options.priority < than && (!found || t->options.priority > *out)) {
            *out = t->options.priority;
            found = true;
        }
    return found;
}

void mqa_admit(mqa_engine *engine)
{
    if (!resume(engine)) return;
    for (mqa_job *job; (job = most_patient(engine)) != NULL;) {
        const mqa_source from = find_source(engine, &job->choices[0]);
        if (try_job(engine, job, &from) != ROOM) return;
    }
    int priority = 0;
    for (int64_t than = INT64_MAX; next_priority(engine, than, &priority); than = priority)
        admit_all(engine, priority);
}

void mqa_fork_choices(mqa_engine *engine, mqa_job *job)
{
    mqa_choice *first = &job->choices[0];
    const mqa_source from = {.sequence = first->sequence, .length = first->length, .matched = first->length};
    for (int i = 1; i < job->n_choices; i++)
        if (job->choices[i].state == MQA_CHOICE_WAITING && !run_choice(engine, &job->choices[i], &from))
            job->choices[i].state = MQA_CHOICE_PREEMPTED;
}
