/* Who may have how much, and what goes when a step needs more than there is.
 *
 * Claims. A running choice claims what its global layers may come to beyond what they hold, and the whole
 * ring of its window layers, held or not: rings shift, so what two choices share of them now they won't share
 * for long. Claims and the pages of global layers that running choices hold, each once, are at most the
 * budget; all else in use is held by checkpoints alone, so evicting those always makes room for what was
 * claimed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "engine/state.h"

mqa_account_usage mqa_usage_of(const mqa_account *account)
{
    mqa_account_usage usage = {.struct_size = sizeof usage};
    if (account) (void)mqa_account_get_usage(account, &usage, NULL);
    return usage;
}

size_t mqa_tenant_budget(const mqa_engine *engine, const mqa_tenant *tenant)
{
    const size_t all = engine->options.kv_budget_bytes;
    const size_t own = tenant ? tenant->options.budget_bytes : 0;
    return own > 0 && own < all ? own : all;
}

/* ---- claims ---- */

int64_t mqa_choice_longest(const mqa_engine *engine, const mqa_choice *choice)
{
    const int64_t longest = mqa_job_longest(choice->job), soon = choice->n_text + engine->page_tokens;
    return engine->options.admission == MQA_ADMISSION_RESERVE || soon > longest ? longest : soon;
}

size_t mqa_choice_claim(const mqa_engine *engine, const mqa_choice *choice)
{
    if (choice->state == MQA_CHOICE_DONE || choice->state == MQA_CHOICE_PREEMPTED) return 0;
    const int64_t longest = mqa_choice_longest(engine, choice);
    const mqa_session *s = engine->session;
    if (choice->state == MQA_CHOICE_WAITING) {
        const int64_t shared = choice->index > 0 ? choice->job->n_prompt : 0;
        const mqa_session_most most = mqa_session_most_bytes(s, shared, longest, MQA_LEAST_PART);
        return most.bytes + most.window_bytes;
    }
    const mqa_session_most all = mqa_session_most_bytes(s, 0, longest, MQA_LEAST_PART);
    const size_t held = mqa_session_most_bytes(s, 0, choice->length, MQA_LEAST_PART).bytes;
    return (all.bytes > held ? all.bytes - held : 0) + all.window_bytes;
}

size_t mqa_held(const mqa_account *account)
{
    const mqa_account_usage u = mqa_usage_of(account);
    return (u.in_use - u.window_in_use) - (u.kept - u.window_kept);
}

size_t mqa_job_claims(const mqa_engine *engine, const mqa_job *job)
{
    size_t bytes = 0;
    for (int i = 0; i < job->n_choices; i++) bytes += mqa_choice_claim(engine, &job->choices[i]);
    return bytes;
}

size_t mqa_claims(mqa_engine *engine, const mqa_tenant *tenant)
{
    size_t bytes = mqa_held(tenant ? tenant->account : mqa_session_account(engine->session));
    for (const mqa_pin *pin = engine->pins; pin && !tenant; pin = pin->next) bytes += pin->window_bytes;
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        if (!tenant || (job->tenant == tenant && !job->pin)) bytes += mqa_job_claims(engine, job);
    return bytes;
}

/* ---- eviction ---- */

void mqa_drop_checkpoint(mqa_engine *engine, mqa_prefix_node *node)
{
    mqa_session_close(engine->session, node->checkpoint);
    node->checkpoint = -1;
    if (node->tenant) {
        mqa_lru_remove(&engine->lru, node);
        node->tenant->n_checkpoints--;
    }
    mqa_prefix_prune(node);
}

void mqa_drop_tree(mqa_engine *engine, mqa_prefix_tree *tree)
{
    for (mqa_prefix_node *node; (node = mqa_prefix_any(tree)) != NULL;) mqa_drop_checkpoint(engine, node);
}

bool mqa_evict_one(mqa_engine *engine, const mqa_account *account, const mqa_prefix_node *except)
{
    /* One that frees something at once, else any: checkpoints that share all they have free it together. */
    for (int any = 0; any < 2; any++)
        for (mqa_prefix_node *node = engine->lru.oldest; node; node = node->newer) {
            if (node == except || (account && node->account != account)) continue;
            if (!any && mqa_session_unique_bytes(engine->session, node->checkpoint) == 0) continue;
            mqa_drop_checkpoint(engine, node);
            engine->stats.evicted++;
            return true;
        }
    return false;
}

int mqa_open_sequence(mqa_engine *engine, mqa_account *account, const mqa_prefix_node *except)
{
    int sequence;
    while (mqa_session_open(engine->session, &sequence, NULL) != MQA_OK)
        if (!mqa_evict_one(engine, NULL, except)) return -1;
    (void)mqa_session_set_account(engine->session, sequence, account, NULL);
    return sequence;
}

void mqa_close_sequence(mqa_engine *engine, mqa_choice *choice)
{
    if (choice->sequence >= 0) mqa_session_close(engine->session, choice->sequence);
    mqa_spill_drop(engine, choice);
    choice->sequence = -1;
    choice->length = 0;
    choice->n_marks = 0;
}

/* ---- preemption ---- */

static void preempt(mqa_engine *engine, mqa_choice *choice)
{
    (void)mqa_drop_drafts(engine, choice);
    mqa_spilled *spilled = mqa_spill_out(engine, choice);
    mqa_close_sequence(engine, choice);
    choice->spilled = spilled;
    choice->state = MQA_CHOICE_PREEMPTED;
    choice->part = 0;
    engine->stats.preempted++;
    if (engine->options.admission == MQA_ADMISSION_RESERVE) engine->stats.rescued++;
    choice->job->tenant->counters.preempted++;
    for (int i = 0; i < engine->n_batch; i++)
        if (engine->batch[i] == choice) {
            engine->batch[i] = engine->batch[--engine->n_batch];
            return;
        }
}

/* Later ones go first, those of a lower priority before. */
static bool goes_before(const mqa_choice *a, const mqa_choice *b)
{
    if (a->job->request.priority != b->job->request.priority)
        return a->job->request.priority < b->job->request.priority;
    return a->job->id != b->job->id ? a->job->id > b->job->id : a->index > b->index;
}

/* Of the tenant's (NULL: all) choices that hold pages, the one to go; never the earliest of all those. */
static mqa_choice *victim_of(const mqa_engine *engine, const mqa_tenant *tenant, const mqa_choice *earliest)
{
    mqa_choice *victim = NULL;
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices && (!tenant || job->tenant == tenant); i++) {
            mqa_choice *c = &job->choices[i];
            if (c->state == MQA_CHOICE_RUNNING && c != earliest && (!victim || goes_before(c, victim)))
                victim = c;
        }
    return victim;
}

static const mqa_choice *earliest_of(const mqa_engine *engine, const mqa_tenant *tenant)
{
    const mqa_choice *earliest = NULL;
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices && (!tenant || job->tenant == tenant); i++) {
            const mqa_choice *c = &job->choices[i];
            if (c->state != MQA_CHOICE_RUNNING) continue;
            if (!earliest || c->job->id < earliest->job->id) earliest = c;
        }
    return earliest;
}

/* The tenant whose running choices have most of its share; of those that have a choice to give. */
static const mqa_tenant *most_over_share(const mqa_engine *engine, const mqa_choice *earliest)
{
    const mqa_tenant *most = NULL;
    double most_share = -1;
    for (const mqa_tenant *t = engine->tenants; t; t = t->next) {
        if (!victim_of(engine, t, earliest)) continue;
        const mqa_account_usage u = mqa_usage_of(t->account);
        const double share = (double)(u.in_use - u.kept) / (double)mqa_tenant_budget(engine, t);
        if (share > most_share) {
            most = t;
            most_share = share;
        }
    }
    return most;
}

static bool preempt_one(mqa_engine *engine, const mqa_account *scarce)
{
    const mqa_tenant *tenant = NULL;
    for (const mqa_tenant *t = engine->tenants; t && scarce; t = t->next)
        if (t->account == scarce) tenant = t;
    const mqa_choice *earliest = earliest_of(engine, tenant);
    if (!tenant) tenant = most_over_share(engine, earliest);
    mqa_choice *victim = tenant ? victim_of(engine, tenant, earliest) : NULL;
    if (victim) preempt(engine, victim);
    return victim != NULL;
}

/* ---- room for a step ---- */

/* All guesses go before anybody is put back for them. */
static bool drop_all_drafts(mqa_engine *engine)
{
    bool any = false;
    for (int i = 0; i < engine->n_batch; i++) any |= mqa_drop_drafts(engine, engine->batch[i]);
    return any;
}

static int fill_items(mqa_engine *engine)
{
    for (int i = 0; i < engine->n_batch; i++) {
        const mqa_choice *c = engine->batch[i];
        engine->items[i] =
            (mqa_eval_item){.sequence = c->sequence, .tokens = c->text + c->length, .n_tokens = c->part};
    }
    return engine->n_batch;
}

mqa_status mqa_make_room(mqa_engine *engine, mqa_error *err)
{
    while (engine->n_batch > 0) {
        mqa_cache_need need;
        MQA_TRY(mqa_session_eval_need(engine->session, engine->items, fill_items(engine), &need, err));
        if (need.taken <= need.available) return MQA_OK;
        const bool of_all = !need.scarce || need.scarce == mqa_session_account(engine->session);
        const mqa_account *scarce = of_all ? NULL : need.scarce;
        if (mqa_evict_one(engine, scarce, NULL) || drop_all_drafts(engine)) continue;
        if (!preempt_one(engine, scarce))
            return mqa_fail(err, MQA_ERR_INTERNAL,
                            "a step needs %zu bytes, %zu are available, and nothing can be given back",
                            need.taken, need.available);
    }
    return MQA_OK;
}
