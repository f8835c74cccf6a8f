/* Which rows a step has: one of each choice that generates, guesses, the rest for prompts, by deficit round
 * robin.
 *
 * M. Shreedhar, G. Varghese, "Efficient fair queueing using deficit round robin" (SIGCOMM 1995).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine/state.h"

enum { QUANTUM = 64, LEAST_ROWS = 16, FIRST_ROWS = 64 };

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool reads_prompt(const mqa_choice *choice)
{
    return choice->state == MQA_CHOICE_RUNNING && !mqa_choice_decodes(choice) &&
           choice->length + choice->part < choice->n_text;
}

static void add_to_batch(mqa_engine *engine, mqa_choice *choice, int64_t rows)
{
    if (choice->part == 0) engine->batch[engine->n_batch++] = choice;
    choice->part += rows;
}

static int add_decodes(mqa_engine *engine)
{
    int n = 0;
    for (mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices; i++) {
            mqa_choice *choice = &job->choices[i];
            choice->part = 0;
            choice->n_drafts = 0;
            if (choice->state != MQA_CHOICE_RUNNING || !mqa_choice_decodes(choice)) continue;
            add_to_batch(engine, choice, 1);
            n++;
        }
    return n;
}

/* ---- how many rows ---- */

/* What is left of a step's time beside the choices that generate. */
static double spare_seconds(const mqa_engine *engine)
{
    const double decode = engine->stats.decode_seconds;
    const double target = engine->options.step_seconds > 0 ? engine->options.step_seconds : 1.75 * decode;
    return target > decode ? target - decode : 0;
}

static bool prompt_waits(const mqa_engine *engine)
{
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices; i++)
            if (reads_prompt(&job->choices[i])) return true;
    return false;
}

/* A choice by itself may take its time; others, whose guesses may not hold, have the step's to wait; of which
 * prompts that wait leave half. */
static int draft_rows(const mqa_engine *engine, int decodes)
{
    if (decodes == 0 || engine->stats.decode_seconds <= 0) return 0;
    const int64_t most = min64(engine->options.draft_max, engine->options.chunk - decodes);
    const bool waits = prompt_waits(engine);
    if (decodes == 1 && !waits) return (int)most;
    const double rows = spare_seconds(engine) * (waits ? 0.5 : 1) / mqa_draft_seconds(engine);
    return rows < (double)most ? (int)rows : (int)most;
}

/* While choices generate, as many as the step's time allows. */
static int64_t prompt_rows(const mqa_engine *engine, int decodes)
{
    const int64_t rest = engine->options.chunk - decodes - engine->n_drafts;
    if (decodes == 0) return rest;
    if (engine->row_seconds <= 0 || engine->stats.decode_seconds <= 0) return min64(rest, FIRST_ROWS);
    const double spare = spare_seconds(engine) - mqa_draft_seconds(engine) * engine->n_drafts;
    const double rows = spare / engine->row_seconds;
    if (rows < LEAST_ROWS) return min64(rest, LEAST_ROWS);
    return rows < (double)rest ? (int64_t)rows : rest;
}

/* ---- room for larger parts ---- */

/* Bytes that windows take for a part beyond what every choice has claimed. */
static size_t extra_bytes(const mqa_engine *engine, const mqa_choice *choice, int64_t part)
{
    if (part <= MQA_LEAST_PART) return 0;
    const int64_t longest = mqa_job_longest(choice->job);
    return mqa_session_most_bytes(engine->session, 0, longest, part).window_bytes -
           mqa_session_most_bytes(engine->session, 0, longest, MQA_LEAST_PART).window_bytes;
}

/* What nobody claims. */
typedef struct spare {
    size_t all, own;
} spare;

static size_t left(size_t budget, size_t claims)
{
    return budget > claims ? budget - claims : 0;
}

/* Rows of the `rows` wanted that the choice can have now. */
static int64_t affordable(const mqa_engine *engine, const mqa_choice *choice, int64_t rows, spare *s)
{
    const size_t before = extra_bytes(engine, choice, choice->part);
    while (rows > 0) {
        const size_t more = extra_bytes(engine, choice, choice->part + rows) - before;
        if (more <= s->all && (choice->job->pin || more <= s->own)) {
            s->all -= more;
            if (!choice->job->pin) s->own -= more;
            return rows;
        }
        const int64_t half = (choice->part + rows) / 2;
        const int64_t least = half > MQA_LEAST_PART ? half : MQA_LEAST_PART;
        rows = least < choice->part + rows ? least - choice->part : 0;
    }
    return 0;
}

/* ---- turns ---- */

/* Of the tenant's prompts: by priority, then age. */
static mqa_choice *next_prompt(const mqa_engine *engine, const mqa_tenant *tenant, const mqa_choice *full)
{
    mqa_choice *next = NULL;
    bool passed = full == NULL;
    for (const mqa_job *job = engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices && job->tenant == tenant; i++) {
            mqa_choice *c = &job->choices[i];
            if (!passed) {
                passed = c == full;
                continue;
            }
            if (reads_prompt(c) && (!next || job->request.priority > next->job->request.priority)) next = c;
        }
    return next;
}

/* The tenant's turn, of up to `rows` rows; returns what it had. */
static int64_t take_turn(mqa_engine *engine, mqa_tenant *tenant, int64_t rows, spare *s)
{
    int64_t taken = 0;
    mqa_choice *full = NULL, *choice;
    tenant->deficit += QUANTUM * (int64_t)tenant->options.weight;
    while (taken < rows && tenant->deficit > 0 && (choice = next_prompt(engine, tenant, full)) != NULL) {
        const int64_t pending = choice->n_text - choice->length - choice->part;
        const int64_t want = min64(pending, min64(tenant->deficit, rows - taken));
        const int64_t part = affordable(engine, choice, want, s);
        if (part == 0) { /* no room for more of this one: others after it */
            full = choice;
            continue;
        }
        add_to_batch(engine, choice, part);
        tenant->deficit -= part;
        taken += part;
    }
    if (!next_prompt(engine, tenant, full)) tenant->deficit = 0;
    return taken;
}

static int64_t add_prompts(mqa_engine *engine, int64_t rows)
{
    int64_t taken = 0;
    size_t all = left(engine->options.kv_budget_bytes, mqa_claims(engine, NULL));
    for (bool any = true; any && taken < rows;) {
        any = false;
        for (int turns = 0; turns < engine->stats.tenants && taken < rows; turns++) {
            mqa_tenant *tenant = engine->turn ? engine->turn : engine->tenants;
            engine->turn = tenant->next;
            if (!next_prompt(engine, tenant, NULL)) continue;
            spare s = {all, left(mqa_tenant_budget(engine, tenant), mqa_claims(engine, tenant))};
            for (int i = 0; i < engine->n_batch; i++) { /* of this tenant, in turns before */
                const mqa_choice *c = engine->batch[i];
                if (c->job->tenant == tenant && !c->job->pin)
                    s.own = left(s.own, extra_bytes(engine, c, c->part));
            }
            const bool owes = tenant->deficit < 0; /* for guesses */
            const int64_t had = take_turn(engine, tenant, rows - taken, &s);
            all = s.all;
            taken += had;
            any |= had > 0 || owes;
        }
    }
    return taken;
}

void mqa_charge_turn(mqa_tenant *tenant, int rows)
{
    const int64_t least = -QUANTUM * (int64_t)tenant->options.weight;
    tenant->deficit = tenant->deficit - rows > least ? tenant->deficit - rows : least;
}

int mqa_schedule(mqa_engine *engine, int *decodes)
{
    engine->n_batch = 0;
    *decodes = add_decodes(engine);
    mqa_add_drafts(engine, draft_rows(engine, *decodes));
    return (int)add_prompts(engine, prompt_rows(engine, *decodes));
}

/* ---- how long it takes ---- */

/* A guess's row takes something, and never as much as a step by itself. */
static double draft_row(double seconds, double decode, int drafts)
{
    const double row = (seconds - decode) / drafts, least = decode / 1024;
    return row < least ? least : row > decode ? decode : row;
}

void mqa_learn(mqa_engine *engine, double seconds, int rows, int decodes, int drafts)
{
    mqa_engine_stats *stats = &engine->stats;
    stats->step_seconds = seconds;
    if (rows == 0 && drafts > 0)
        mqa_average(&engine->draft_seconds, draft_row(seconds, stats->decode_seconds, drafts));
    else if (rows == 0 && decodes > 0)
        mqa_average(&stats->decode_seconds, seconds);
    if (rows < LEAST_ROWS) return;
    const double decode = decodes > 0 ? stats->decode_seconds + mqa_draft_seconds(engine) * drafts : 0;
    if (seconds > decode) mqa_average(&engine->row_seconds, (seconds - decode) / rows);
}
