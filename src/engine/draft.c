/* Guesses at what choices will draw, checked in rows of the same step.
 *
 * A guess is found by prompt lookup and stands behind the choice's text. Its rows are computed with the
 * choice's own row; then each token is drawn as ever, from its row's logits, and as long as it is the one
 * guessed, the next row is that of the true text, whose bits don't depend on the batch. The first that isn't
 * ends it: what is behind goes. So a guess changes when a token is there, never which.
 *
 * It takes nothing that wasn't claimed: no token that the answer can't come to, and no part larger than the
 * one that rings of windows are claimed for.
 *
 * Y. Leviathan, M. Kalman, Y. Matias, "Fast inference from transformers via speculative decoding" (2023).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "engine/lookup.h"
#include "engine/state.h"

_Static_assert(MQA_MOST_DRAFTS < MQA_LEAST_PART, "a choice's rows are a part that it has claimed");

/* A try where none seems to be worth it: the first after so many tokens, then ever more rarely. */
enum { FIRST_PAUSE = 16, LAST_PAUSE = 256 };

static const float first_chance[MQA_DRAFT_KINDS] = {0.4f, 0.6f, 0.8f};

static int kind_of(int matched)
{
    return matched < 4 ? 0 : matched < MQA_MOST_MATCH ? 1 : 2;
}

void mqa_drafting_init(mqa_drafting *d)
{
    *d = (mqa_drafting){.pause = FIRST_PAUSE};
    for (int k = 0; k < MQA_DRAFT_KINDS; k++) d->chance[k] = first_chance[k];
}

/* ---- how many are worth their time ---- */

/* How likely a row has to be of use: its time against that of a token in steps without. */
static double least_chance(const mqa_engine *engine, int decodes)
{
    return mqa_draft_seconds(engine) * decodes / engine->stats.decode_seconds;
}

/* Rows in a row that are likelier than that to be of use. */
static int worth(mqa_drafting *d, double least, int most)
{
    const double chance = (double)d->chance[d->kind];
    int n = 0;
    for (double p = chance; n < most && p > least; p *= chance) n++;
    d->passed = n > 0 ? 0 : d->passed + 1;
    if (n > 0 || d->passed < d->pause) return n;
    d->passed = 0;
    return 1;
}

static void learn(mqa_drafting *d, bool held)
{
    float *chance = &d->chance[d->kind];
    *chance += 0.125f * ((held ? 1.0f : 0.0f) - *chance);
    if (held)
        d->pause = FIRST_PAUSE;
    else if (d->pause < LAST_PAUSE)
        d->pause *= 2;
}

/* ---- into a step ---- */

/* Of up to `most` tokens; an end token isn't guessed, since no row comes after it. */
static int guess(mqa_engine *engine, mqa_choice *choice, double least, int64_t most)
{
    int matched;
    const int64_t rest = mqa_choice_longest(engine, choice) - choice->n_text;
    if (most > rest) most = rest;
    if (most < 1) return 0;
    const int64_t from = mqa_lookup(choice->text, choice->n_text, &matched);
    if (matched == 0) return 0;
    choice->drafting.kind = kind_of(matched);
    most = worth(&choice->drafting, least, (int)most);
    if (mqa_choice_reserve(choice, most, NULL) != MQA_OK) return 0;
    int n = 0;
    int32_t *draft = choice->text + choice->n_text;
    for (; n < most && !mqa_job_ends_with(engine, choice->job, choice->text[from + n]); n++)
        draft[n] = choice->text[from + n]; /* which may be what was just guessed: a text in circles */
    return n;
}

double mqa_draft_seconds(const mqa_engine *engine)
{
    return engine->draft_seconds > 0 ? engine->draft_seconds : engine->stats.decode_seconds / 4;
}

void mqa_add_drafts(mqa_engine *engine, int most)
{
    const int n = engine->n_batch;
    int left = most;
    engine->n_drafts = 0;
    if (left == 0) return;
    const double least = least_chance(engine, n);
    const int first = (int)(engine->stats.steps % (uint64_t)n);
    for (int i = 0; i < n && left > 0; i++) {
        mqa_choice *choice = engine->batch[(first + i) % n];
        const int share = (left + n - i - 1) / (n - i);
        choice->n_drafts = guess(engine, choice, least, share);
        choice->part += choice->n_drafts;
        engine->n_drafts += choice->n_drafts;
        left -= choice->n_drafts;
        mqa_charge_turn(choice->job->tenant, choice->n_drafts);
    }
}

bool mqa_drop_drafts(mqa_engine *engine, mqa_choice *choice)
{
    const int n = choice->n_drafts;
    choice->part -= n;
    engine->n_drafts -= n;
    choice->n_drafts = 0;
    return n > 0;
}

/* ---- out of it ---- */

bool mqa_check_draft(mqa_engine *engine, mqa_choice *choice, bool goes_on)
{
    if (choice->n_drafts == 0) return false;
    const bool held = choice->token == choice->text[choice->n_text];
    if (choice->status == MQA_OK) learn(&choice->drafting, held);
    const bool next = goes_on && held;
    if (next) {
        choice->length++;
        choice->n_drafts--;
        engine->stats.accepted_tokens++;
    } else {
        choice->n_drafts = 0;
        const mqa_status status =
            mqa_session_truncate(engine->session, choice->sequence, choice->length, &choice->error);
        if (choice->status == MQA_OK) choice->status = status;
    }
    if (choice->n_drafts == 0) mqa_session_evict(engine->session, choice->sequence);
    return next;
}
