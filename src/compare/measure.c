/* Making comparisons, and the runs that are timed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "compare/inside.h"
#include "model/session.h"

enum { MAX_ROUNDS = 64, BURST = 16, MAX_SETS = 3, ENOUGH = 3 };
static const double WARM_SECONDS = 0.01, /* of a design's turn, which aren't counted */
    BURST_SECONDS = 0.04,                /* counted, after which the turn is over */
    WIDE = 0.1;                          /* a spread of samples that asks for more of them */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double mqa_compare_median(double *x, int n)
{
    if (n == 0) return NAN;
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* ---- making ---- */

static mqa_status check_lengths(const char *what, const int64_t *list, int n, int64_t most, mqa_error *err)
{
    if (n < 1 || n > MQA_COMPARE_LENGTHS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%d %s: give 1 to %d", n, what, MQA_COMPARE_LENGTHS);
    for (int i = 0; i < n; i++)
        if (list[i] < 1 || list[i] > most || (i > 0 && list[i] <= list[i - 1]))
            return mqa_fail(
                err, MQA_ERR_INVALID_ARGUMENT,
                "%s: %lld is out of order: give numbers from 1 to %lld, each larger than the last", what,
                (long long)list[i], (long long)most);
    return MQA_OK;
}

static mqa_status check_options(const mqa_compare_options *o, mqa_error *err)
{
    MQA_TRY(check_lengths("contexts", o->contexts, o->n_contexts, (int64_t)1 << 24, err));
    MQA_TRY(check_lengths("batches", o->batches, o->n_batches, 4096, err));
    if (o->n_variants < 1 || o->n_variants > MQA_VARIANTS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%d designs: give 1 to %d", o->n_variants,
                        MQA_VARIANTS);
    if (o->rounds < 1 || o->rounds > MAX_ROUNDS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rounds is %d: give 1 to %d", o->rounds, MAX_ROUNDS);
    return MQA_OK;
}

static mqa_status make_inputs(mqa_compare *c, mqa_error *err)
{
    const mqa_compare_options *o = &c->options;
    const size_t n_tokens = (size_t)mqa_compare_last(o->contexts, o->n_contexts);
    const size_t batch = (size_t)mqa_compare_last(o->batches, o->n_batches);
    const size_t n_vocab = (size_t)c->result.info[0].n_vocab;
    c->tokens = malloc(n_tokens * sizeof *c->tokens);
    c->logits = malloc(batch * n_vocab * sizeof *c->logits);
    c->items = malloc(batch * sizeof *c->items);
    if (!c->tokens || !c->logits || !c->items)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the inputs of %zu requests", batch);
    uint32_t random = 1;
    for (size_t i = 0; i < n_tokens; i++) {
        random = random * 1664525u + 1013904223u;
        c->tokens[i] = (int32_t)((size_t)(random >> 8) % n_vocab);
    }
    return MQA_OK;
}

static mqa_status create(mqa_compare *c, mqa_error *err)
{
    MQA_TRY(mqa_compare_load(c, err));
    c->result.recipe = mqa_session_recipe(c->sessions[0]);
    MQA_TRY(make_inputs(c, err));
    return mqa_compare_lay_out(c, err);
}

mqa_status mqa_compare_create(mqa_context *ctx, const mqa_compare_options *options,
                              const mqa_machine *machine, mqa_compare **out, mqa_error *err)
{
    *out = NULL;
    MQA_TRY(check_options(options, err));
    mqa_compare *c = calloc(1, sizeof *c);
    if (!c) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a comparison");
    c->ctx = ctx;
    c->options = *options;
    c->machine = *machine;
    const mqa_status status = create(c, err);
    if (status != MQA_OK)
        mqa_compare_destroy(&c);
    else
        *out = c;
    return status;
}

void mqa_compare_destroy(mqa_compare **compare)
{
    if (!compare || !*compare) return;
    mqa_compare *c = *compare;
    for (int i = 0; i < MQA_VARIANTS; i++) {
        mqa_session_destroy(&c->sessions[i]);
        mqa_model_destroy(&c->models[i]);
    }
    free(c->tokens);
    free(c->logits);
    free(c->items);
    for (int i = 0; i < c->result.n_cells; i++) free(c->samples[i].at);
    free(c->samples);
    free(c->result.cells);
    free(c);
    *compare = NULL;
}

const mqa_compare_result *mqa_compare_result_of(const mqa_compare *compare)
{
    return &compare->result;
}

/* ---- timed runs ---- */

static mqa_status add_sample(mqa_compare_samples *s, double seconds, bool calm, mqa_error *err)
{
    if (s->n == s->room) {
        const int room = s->room ? 2 * s->room : MAX_ROUNDS;
        mqa_compare_sample *at = realloc(s->at, (size_t)room * sizeof *at);
        if (!at) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %d times", room);
        s->at = at;
        s->room = room;
    }
    s->at[s->n++] = (mqa_compare_sample){.seconds = seconds, .calm = calm};
    return MQA_OK;
}

/* Brings each request to context - 1 tokens, what decoding finds before it. Other requests are emptied. */
static mqa_status fill(mqa_session *s, int64_t context, int batch, int most, mqa_error *err)
{
    for (int i = batch; i < most; i++) MQA_TRY(mqa_session_truncate(s, i, 0, err));
    for (int i = 0; i < batch; i++) {
        if (mqa_session_length(s, i) > context - 1) MQA_TRY(mqa_session_truncate(s, i, context - 1, err));
        MQA_TRY(mqa_session_fill(s, i, context - 1 - mqa_session_length(s, i), err));
    }
    return MQA_OK;
}

/* A token for each request, and back. */
static mqa_status decode(mqa_compare *c, mqa_compare_cell *cell, double *seconds, mqa_error *err)
{
    mqa_session *s = c->sessions[cell->design];
    const size_t n_vocab = (size_t)c->result.info[cell->design].n_vocab;
    for (int i = 0; i < cell->batch; i++)
        c->items[i] = (mqa_eval_item){.sequence = i,
                                      .tokens = c->tokens + (cell->context - 1 + i) % cell->context,
                                      .n_tokens = 1,
                                      .want = MQA_LOGITS_LAST,
                                      .logits = c->logits + (size_t)i * n_vocab};
    const double start = mqa_seconds();
    MQA_TRY(mqa_session_eval(s, c->items, cell->batch, c->options.stop, err));
    *seconds = mqa_seconds() - start;
    cell->kv_bytes = mqa_session_kv_bytes(s);
    for (int i = 0; i < cell->batch; i++) MQA_TRY(mqa_session_truncate(s, i, cell->context - 1, err));
    return MQA_OK;
}

/* The whole prompt, in a sequence of its own. */
static mqa_status prompt(mqa_compare *c, mqa_compare_cell *cell, double *seconds, mqa_error *err)
{
    mqa_session *s = c->sessions[cell->design];
    const int sequence = (int)mqa_compare_last(c->options.batches, c->options.n_batches);
    const mqa_eval_item item = {.sequence = sequence,
                                .tokens = c->tokens,
                                .n_tokens = cell->context,
                                .want = MQA_LOGITS_LAST,
                                .logits = c->logits};
    const double start = mqa_seconds();
    MQA_TRY(mqa_session_eval(s, &item, 1, c->options.stop, err));
    *seconds = mqa_seconds() - start;
    cell->kv_bytes = mqa_session_kv_bytes(s);
    return mqa_session_truncate(s, sequence, 0, err);
}

/* A design's turn: steps of decoding until some time has passed, the first of which only warm up, since the
 * CPU's caches hold another design's, and give them up step by step; or one prompt. */
static mqa_status turn(mqa_compare *c, mqa_compare_cell *cell, mqa_compare_samples *out, mqa_error *err)
{
    double seconds, warm = 0, spent = 0;
    long before = mqa_interruptions();
    if (cell->prompt) {
        MQA_TRY(prompt(c, cell, &seconds, err));
        return add_sample(out, seconds, mqa_interruptions() == before, err);
    }
    for (; warm < WARM_SECONDS; warm += seconds) MQA_TRY(decode(c, cell, &seconds, err));
    for (int i = 0; i < BURST && spent < BURST_SECONDS; i++) {
        before = mqa_interruptions();
        MQA_TRY(decode(c, cell, &seconds, err));
        MQA_TRY(add_sample(out, seconds, mqa_interruptions() == before, err));
        spent += seconds;
    }
    return MQA_OK;
}

/* The median and what lies around it, of calm samples if there are enough. */
static mqa_status sum_up(const mqa_compare_samples *s, mqa_compare_cell *cell, mqa_error *err)
{
    double *x = malloc((size_t)s->n * sizeof *x + 1);
    if (!x) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %d times", s->n);
    int n_calm = 0, n = 0;
    for (int i = 0; i < s->n; i++) n_calm += s->at[i].calm;
    cell->calm = n_calm >= ENOUGH;
    for (int i = 0; i < s->n; i++)
        if (s->at[i].calm || !cell->calm) x[n++] = s->at[i].seconds;
    cell->seconds = mqa_compare_median(x, n); /* sorts them */
    cell->best = x[0];
    cell->spread = (x[3 * (n - 1) / 4] - x[(n - 1) / 4]) / cell->seconds;
    cell->runs = n;
    free(x);
    return MQA_OK;
}

/* A set of rounds, in each of which every design has its turn. *wide: some design's samples lie so far apart,
 * or were disturbed so often, that its median means little. */
static mqa_status measure_set(mqa_compare *c, int first, bool *wide, mqa_error *err)
{
    mqa_compare_cell *group = c->result.cells + first;
    mqa_compare_samples *s = c->samples + first;
    const int n = c->result.n_designs;
    const int rounds = group->prompt ? (c->options.rounds + 1) / 2 : c->options.rounds;
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < n; i++) MQA_TRY(turn(c, &group[i], &s[i], err));
    *wide = false;
    for (int i = 0; i < n; i++) {
        MQA_TRY(sum_up(&s[i], &group[i], err));
        *wide |= group[i].spread > WIDE || !group[i].calm;
    }
    return MQA_OK;
}

/* The designs of one context and batch, in turns, again if samples spread; of prompts, which take seconds,
 * once again. */
static mqa_status measure_group(mqa_compare *c, int first, mqa_error *err)
{
    const mqa_compare_cell *group = c->result.cells + first;
    const int most = (int)mqa_compare_last(c->options.batches, c->options.n_batches);
    for (int i = 0; i < c->result.n_designs; i++)
        MQA_TRY(fill(c->sessions[i], group->context, group->prompt ? 0 : group->batch, most, err));
    bool wide = true;
    for (int sets = group->prompt ? MAX_SETS - 1 : MAX_SETS; wide && sets > 0; sets--)
        MQA_TRY(measure_set(c, first, &wide, err));
    return MQA_OK;
}

mqa_status mqa_compare_run(mqa_compare *c, mqa_error *err)
{
    const mqa_compare_result *r = &c->result;
    for (int i = 0; i < r->n_cells; i += r->n_designs) {
        if (r->cells[i].left_out) continue;
        MQA_TRY(measure_group(c, i, err));
        MQA_TRY(mqa_compare_report(c, "comparing", (size_t)(i + r->n_designs), (size_t)r->n_cells, err));
    }
    return mqa_compare_find_errors(c, err);
}
