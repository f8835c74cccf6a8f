/* A token from logits: docs/numerics.md section 7, from the penalties to the draw.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fpenv.h"
#include "base/status.h"
#include "engine/state.h"
#include "kernels/context.h"
#include "model/model.h"

enum { BLOCK = 4096 };

/* ---- counts ---- */

/* Where the token is, or would be. */
static int place_of(const mqa_token_counts *counts, int32_t token)
{
    int lo = 0, hi = counts->n;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (counts->at[mid].token < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool has_token(const mqa_token_counts *counts, int32_t token)
{
    const int place = place_of(counts, token);
    return place < counts->n && counts->at[place].token == token;
}

bool mqa_count_token(mqa_token_counts *counts, int32_t token)
{
    const int place = place_of(counts, token);
    if (place < counts->n && counts->at[place].token == token) {
        counts->at[place].n++;
        return true;
    }
    if (counts->n == counts->capacity) {
        const int capacity = 2 * counts->capacity + 32;
        mqa_token_count *at = realloc(counts->at, (size_t)capacity * sizeof *at);
        if (!at) return false;
        counts->at = at;
        counts->capacity = capacity;
    }
    memmove(counts->at + place + 1, counts->at + place, (size_t)(counts->n - place) * sizeof *counts->at);
    counts->at[place] = (mqa_token_count){token, 1};
    counts->n++;
    return true;
}

/* ---- what changes logits ---- */

static void repeat_penalty(float *logit, float penalty)
{
    *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
}

static void apply_penalties(const mqa_choice *choice, float *logits)
{
    const mqa_request *r = &choice->job->request;
    const mqa_token_counts *own = &choice->counts, *prompt = &choice->job->in_prompt;
    if (r->repetition_penalty != 1) {
        for (int i = 0; i < prompt->n; i++)
            repeat_penalty(&logits[prompt->at[i].token], r->repetition_penalty);
        for (int i = 0; i < own->n; i++)
            if (!has_token(prompt, own->at[i].token))
                repeat_penalty(&logits[own->at[i].token], r->repetition_penalty);
    }
    for (int i = 0; i < own->n; i++) {
        float *logit = &logits[own->at[i].token];
        *logit = *logit - r->frequency_penalty * (float)own->at[i].n;
        *logit = *logit - r->presence_penalty;
    }
    for (int i = 0; i < r->n_bias; i++) logits[r->bias[i].token] += r->bias[i].bias;
}

static mqa_status apply_mask(const mqa_choice *choice, float *logits, int n_vocab, uint64_t *allowed,
                             mqa_error *err)
{
    const mqa_token_mask *mask = &choice->job->request.mask;
    const int words = (n_vocab + 63) / 64;
    memset(allowed, 0, (size_t)words * sizeof *allowed);
    MQA_TRY(mask->fill(mask->user, choice->index, allowed, err));
    for (int w = 0; w < words; w++) {
        if (allowed[w] == UINT64_MAX) continue;
        const int end = 64 * w + 64 < n_vocab ? 64 * w + 64 : n_vocab;
        for (int t = 64 * w; t < end; t++)
            if (!(allowed[w] >> (t - 64 * w) & 1)) logits[t] = -INFINITY;
    }
    return MQA_OK;
}

static bool changes_logits(const mqa_request *r)
{
    return r->repetition_penalty != 1 || r->frequency_penalty != 0 || r->presence_penalty != 0 ||
           r->n_bias > 0 || r->mask.fill;
}

/* ---- log probabilities ---- */

static float max_of(const float *x, int n)
{
    float max = x[0];
    for (int i = 1; i < n; i++)
        if (x[i] > max) max = x[i];
    return max;
}

/* log of the sum of exp(x - max), by blocks. */
static double log_sum(const mqa_row_kernels *kernels, const float *x, int n, float max, float *scratch)
{
    double sum = 0;
    for (int i = 0; i < n; i += BLOCK)
        sum += (double)kernels->exp_sum(x + i, max, n - i < BLOCK ? n - i : BLOCK, scratch);
    return mqa_log64(sum);
}

/* The likeliest first, ties to the lower id. */
static void find_top(mqa_choice *choice, const float *x, int n_vocab, int n_top)
{
    int n = 0;
    if (n_top > n_vocab) n_top = n_vocab;
    for (int t = 0; t < n_vocab && n_top > 0; t++) {
        if (n == n_top && !(x[t] > choice->top[n - 1].logprob)) continue;
        int at = n < n_top ? n++ : n - 1;
        for (; at > 0 && x[t] > choice->top[at - 1].logprob; at--) choice->top[at] = choice->top[at - 1];
        choice->top[at] = (mqa_token_logprob){t, x[t]};
    }
    choice->n_top = n;
}

static void find_logprobs(mqa_choice *choice, const mqa_row_kernels *kernels, int n_vocab, float *scratch)
{
    const float max = max_of(choice->logits, n_vocab);
    const double sum = log_sum(kernels, choice->logits, n_vocab, max, scratch);
    find_top(choice, choice->logits, n_vocab, choice->job->request.n_logprobs);
    for (int i = 0; i < choice->n_top; i++)
        choice->top[i].logprob = (float)((double)(choice->top[i].logprob - max) - sum);
    choice->logprob = (float)((double)(choice->logits[choice->token] - max) - sum);
}

/* ---- the draw ---- */

typedef struct draw_call {
    mqa_engine *engine;
    mqa_choice **choices;
    int n;
} draw_call;

size_t mqa_draw_scratch_bytes(int n_vocab)
{
    const size_t n = (size_t)n_vocab;
    return mqa_round_up(8 * n + sizeof(float) * n + (n + 63) / 64 * sizeof(uint64_t), MQA_CACHE_LINE);
}

static mqa_status draw(const mqa_engine *engine, mqa_choice *choice, unsigned char *scratch, mqa_error *err)
{
    const mqa_request *r = &choice->job->request;
    const int n_vocab = engine->info.n_vocab;
    uint64_t *allowed = (uint64_t *)(void *)(scratch + 8 * (size_t)n_vocab);
    float *changed = (float *)(void *)(allowed + (n_vocab + 63) / 64);
    const float *logits = choice->logits;
    if (changes_logits(r)) {
        memcpy(changed, logits, (size_t)n_vocab * sizeof *changed);
        apply_penalties(choice, changed);
        if (r->mask.fill) MQA_TRY(apply_mask(choice, changed, n_vocab, allowed, err));
        logits = changed;
    }
    mqa_sampling sampling = r->sampling;
    sampling.choice = (uint32_t)choice->index;
    MQA_TRY(mqa_sample(&sampling, logits, n_vocab, choice->n_text, scratch, &choice->token, err));
    if (r->n_logprobs >= 0)
        find_logprobs(choice, &engine->model->ctx->kernels->rows, n_vocab, (float *)(void *)scratch);
    return r->mask.accept ? r->mask.accept(r->mask.user, choice->index, choice->token, err) : MQA_OK;
}

/* All choices of one request: its mask sees one call at a time. */
static void draw_job(void *arg, int task, int worker)
{
    const draw_call *call = arg;
    unsigned char *scratch = call->engine->scratch + (size_t)worker * call->engine->scratch_bytes;
    int at = 0;
    for (int group = 0; group < task; group++) {
        const mqa_job *job = call->choices[at]->job;
        while (at < call->n && call->choices[at]->job == job) at++;
    }
    const mqa_job *job = call->choices[at]->job;
    const mqa_fpenv saved = mqa_fpenv_enter();
    for (; at < call->n && call->choices[at]->job == job; at++) {
        mqa_choice *choice = call->choices[at];
        choice->n_top = 0;
        choice->logprob = 0;
        choice->status = draw(call->engine, choice, scratch, &choice->error);
    }
    mqa_fpenv_leave(saved);
}

static int by_job(const void *a_, const void *b_)
{
    const mqa_choice *a = *(mqa_choice *const *)a_, *b = *(mqa_choice *const *)b_;
    if (a->job->id != b->job->id) return a->job->id < b->job->id ? -1 : 1;
    return a->index - b->index;
}

void mqa_draw(mqa_engine *engine, mqa_choice **choices, int n)
{
    if (n == 0) return;
    qsort(choices, (size_t)n, sizeof(mqa_choice *), by_job);
    int n_jobs = 1;
    for (int i = 1; i < n; i++) n_jobs += choices[i]->job != choices[i - 1]->job;
    draw_call call = {engine, choices, n};
    mqa_pool_run(engine->model->ctx->pool, draw_job, &call, n_jobs);
}
