/* Sampling: docs/numerics.md section 7.
 *
 * Filters first choose which tokens may be drawn; then the probabilities of those tokens, in token order,
 * are summed in blocks and the draw is looked up. Sums of block sums and of probabilities inside the block
 * that holds the draw are binary64. All of it is the same on every CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include "base/fpenv.h"
#include "base/status.h"
#include "engine/philox.h"
#include "kernels/kernels.h"
#include "mqa/model.h"

enum { BLOCK = 4096 };

/* The caller's scratch: a probability and an id for every token. */
typedef struct sampler {
    const mqa_row_kernels *kernels;
    const float *logits;
    int n_vocab;
    float *p;     /* [n_vocab] */
    int32_t *ids; /* [n_ids] what may be drawn */
    int n_ids;
    bool all; /* everything may, and ids isn't filled */
} sampler;

static mqa_status check(const mqa_sampling *s, const float *logits, int n_vocab, int64_t position,
                        const void *scratch, const int32_t *token, mqa_error *err)
{
    if (!s || !logits || !token || n_vocab < 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_sample: sampling, logits or token is missing");
    if (!(s->temperature >= 0 && s->temperature < INFINITY))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "temperature is %g: give 0 (greedy) or more",
                        (double)s->temperature);
    if (s->top_k < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "top_k is %d: give 0 (off) or more", s->top_k);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "top_p is %g: give a number in (0, 1], 1 is off",
                        (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "min_p is %g: give a number in [0, 1], 0 is off",
                        (double)s->min_p);
    if (position < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "position is %" PRId64 ": give 0 or more", position);
    if (s->temperature > 0 && !scratch)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_sample: scratch is NULL");
    return MQA_OK;
}

/* The lowest id among the largest; -1 if a logit is NaN or +inf, or all are -inf. */
static int32_t largest(const float *logits, int n_vocab)
{
    int32_t best = 0;
    for (int i = 0; i < n_vocab; i++) {
        if (!(logits[i] < INFINITY)) return -1;
        if (logits[i] > logits[best]) best = i;
    }
    return isfinite(logits[best]) ? best : -1;
}

/* ---- filters ---- */

/* More likely first, ties to the lower id. */
static bool before(const float *logits, int32_t a, int32_t b)
{
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
}

/* A heap of candidates. sign > 0: the most likely on top; < 0: the least likely. */
static void sift_down(const float *logits, int32_t *heap, int n, int at, int sign)
{
    for (;;) {
        int child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && before(logits, heap[child + 1], heap[child]) == (sign > 0)) child++;
        if (before(logits, heap[at], heap[child]) == (sign > 0)) return;
        const int32_t swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

static void heapify(const float *logits, int32_t *heap, int n, int sign)
{
    for (int i = n / 2 - 1; i >= 0; i--) sift_down(logits, heap, n, i, sign);
}

static void keep_top_k(sampler *s, int k)
{
    for (int i = 0; i < k; i++) s->ids[i] = i;
    heapify(s->logits, s->ids, k, -1);
    for (int i = k; i < s->n_vocab; i++) {
        if (!before(s->logits, i, s->ids[0])) continue;
        s->ids[0] = i;
        sift_down(s->logits, s->ids, k, 0, -1);
    }
    s->n_ids = k;
    s->all = false;
}

/* The fewest most likely candidates whose probabilities (at temperature 1) reach top_p. */
static void keep_top_p(sampler *s, float top_p, float max)
{
    if (s->all)
        for (int i = 0; i < s->n_vocab; i++) s->ids[i] = i;
    double sum = 0;
    for (int i = 0; i < s->n_ids; i++) s->p[i] = s->logits[s->ids[i]];
    for (int i = 0; i < s->n_ids; i += BLOCK) {
        const int n = s->n_ids - i < BLOCK ? s->n_ids - i : BLOCK;
        sum += (double)s->kernels->exp_sum(s->p + i, max, n, s->p + i);
    }
    /* All that is less likely than this comes to less than 1 - top_p together: it needn't be sorted. */
    const double least = (1 - (double)top_p) * sum / s->n_ids;
    int n = 0;
    for (int i = 0; i < s->n_ids; i++)
        if ((double)s->p[i] >= least) s->ids[n++] = s->ids[i];

    /* The heap's top moves behind its end, so what is kept comes to stand at the back, in reverse. */
    heapify(s->logits, s->ids, n, 1);
    int kept = 0;
    for (double running = 0; kept < n && running < (double)top_p * sum; kept++) {
        const int32_t top = s->ids[0];
        float p;
        s->kernels->exp_sum(&s->logits[top], max, 1, &p);
        running += (double)p;
        const int last = n - kept - 1;
        s->ids[0] = s->ids[last];
        s->ids[last] = top;
        sift_down(s->logits, s->ids, last, 0, 1);
    }
    for (int i = 0; i < kept; i++)
        s->ids[i] = s->ids[n - kept + i]; /* upward: never over what is still to come */
    s->n_ids = kept;
    s->all = false;
}

/* ---- the draw ---- */

static double draw(const mqa_sampling *sampling, int64_t position)
{
    const uint32_t counter[4] = {(uint32_t)position, (uint32_t)((uint64_t)position >> 32), sampling->choice,
                                 0};
    const uint32_t key[2] = {(uint32_t)sampling->seed, (uint32_t)(sampling->seed >> 32)};
    uint32_t bits[4];
    mqa_philox4x32(counter, key, bits);
    return ((double)bits[0] + 0.5) * 0x1p-32;
}

/* p = exp((logit - max) / temperature) of what may be drawn, 0 elsewhere; sums: those of the blocks. Returns
 * the sum of all. The candidates are read first, then sums may take their place. */
static double fill_probabilities(sampler *s, const mqa_sampling *sampling, float max, float *sums)
{
    for (int i = 0; i < s->n_vocab; i++) s->p[i] = s->all ? s->logits[i] : -INFINITY; /* exp is 0 */
    if (!s->all)
        for (int i = 0; i < s->n_ids; i++) s->p[s->ids[i]] = s->logits[s->ids[i]];
    double total = 0;
    for (int i = 0; i < s->n_vocab; i += BLOCK) {
        const int n = s->n_vocab - i < BLOCK ? s->n_vocab - i : BLOCK;
        float *p = s->p + i;
        if (sampling->min_p > 0) { /* of probabilities at temperature 1; the largest is exp(0) = 1 */
            float relative[BLOCK];
            s->kernels->exp_sum(p, max, n, relative);
            for (int j = 0; j < n; j++)
                if (relative[j] < sampling->min_p) p[j] = -INFINITY;
        }
        for (int j = 0; j < n; j++) p[j] = (p[j] - max) / sampling->temperature;
        sums[i / BLOCK] = s->kernels->exp_sum(p, 0, n, p);
        total += (double)sums[i / BLOCK];
    }
    return total;
}

static int32_t find_token(const sampler *s, const float *sums, double target)
{
    double running = 0;
    int begin = 0;
    for (; begin + BLOCK < s->n_vocab && running + (double)sums[begin / BLOCK] <= target; begin += BLOCK)
        running += (double)sums[begin / BLOCK];
    int32_t token = -1;
    for (int i = begin; i < s->n_vocab && (i < begin + BLOCK || token < 0); i++) {
        if (s->p[i] == 0) continue;
        token = i; /* should the block's own sum have been rounded up past all of them: the last */
        running += (double)s->p[i];
        if (running > target) break;
    }
    return token;
}

static int32_t draw_token(const mqa_sampling *sampling, const float *logits, int n_vocab, int64_t position,
                          float max, void *scratch)
{
    sampler s = {.kernels = &mqa_kernels_get(MQA_ISA_AUTO)->rows,
                 .logits = logits,
                 .n_vocab = n_vocab,
                 .p = scratch,
                 .ids = (int32_t *)((float *)scratch + n_vocab),
                 .n_ids = n_vocab,
                 .all = true};
    if (sampling->top_k > 0 && sampling->top_k < n_vocab) keep_top_k(&s, sampling->top_k);
    if (sampling->top_p < 1) keep_top_p(&s, sampling->top_p, max);
    float *sums = (float *)s.ids;
    const double total = fill_probabilities(&s, sampling, max, sums);
    return find_token(&s, sums, draw(sampling, position) * total);
}

mqa_status mqa_sample(const mqa_sampling *sampling, const float *logits, int n_vocab, int64_t position,
                      void *scratch, int32_t *token, mqa_error *err)
{
    MQA_TRY(check(sampling, logits, n_vocab, position, scratch, token, err));
    const int32_t best = largest(logits, n_vocab);
    if (best < 0)
        return mqa_fail(err, MQA_ERR_NOT_FINITE, "a logit is not finite, or every token is ruled out");
    if (sampling->temperature == 0) {
        *token = best;
        return MQA_OK;
    }
    const mqa_fpenv saved = mqa_fpenv_enter();
    const int32_t drawn = draw_token(sampling, logits, n_vocab, position, logits[best], scratch);
    mqa_fpenv_leave(saved);
    if (drawn < 0) return mqa_fail(err, MQA_ERR_INTERNAL, "no token could be drawn");
    *token = drawn;
    return MQA_OK;
}
