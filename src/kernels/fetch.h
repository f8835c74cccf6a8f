/* Reading ahead. What comes next lies in another run, often in another page, where no hardware prefetcher
 * looks, and there is far more of it than a core keeps requests for. So kernels fetch it while they compute,
 * a line or a few at every step of their inner loop: all at once would stand in the way of their own loads
 * (measured: no gain).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_FETCH_H
#define MQA_KERNELS_FETCH_H

#include <stddef.h>

enum { MQA_LINE = 64 };

/* Up to two stretches of memory, wanted in the second-level cache soon. No results depend on it. */
typedef struct mqa_ahead {
    const void *from[2]; /* any address will do where bytes is 0 */
    size_t bytes[2];
} mqa_ahead;

static inline size_t mqa_ahead_bytes(const mqa_ahead *a)
{
    return a->bytes[0] > a->bytes[1] ? a->bytes[0] : a->bytes[1];
}

/* What falls to one run of a kernel's inner loop: at every step a line of both stretches, or a few. */
typedef struct mqa_fetch {
    const char *at[2];
    int lines; /* a step: 0, 1 or MQA_FETCH_FEW */
} mqa_fetch;
enum { MQA_FETCH_FEW = 4 };

/* Hands what is ahead to the inner loops, evenly over all of them: where they are many, most get nothing (all
 * at the beginning: 32 rows of int8 took 8 % longer). */
typedef struct mqa_fetch_pace {
    const mqa_ahead *ahead; /* what is left, the first begun */
    int n;
    size_t begun, share; /* bytes */
    int lines, every, wait;
} mqa_fetch_pace;

/* n things ahead, or NULL; inner loops: so many, of so many steps each, about. */
static inline mqa_fetch_pace mqa_fetch_begin(const mqa_ahead *ahead, int n, int loops, int steps)
{
    mqa_fetch_pace p = {.ahead = ahead, .lines = 1, .every = 1, .wait = 1};
    size_t bytes = 0, shares = 0;
    for (int i = 0; ahead && i < n; i++) bytes += mqa_ahead_bytes(&ahead[i]);
    if (bytes == 0) return p;
    p.n = n;
    if (bytes / MQA_LINE > (size_t)loops * (size_t)steps) p.lines = MQA_FETCH_FEW;
    p.share = (size_t)(steps * p.lines * MQA_LINE);
    for (int i = 0; i < n; i++) shares += (mqa_ahead_bytes(&ahead[i]) + p.share - 1) / p.share;
    if ((size_t)loops > shares) p.every = (int)((size_t)loops / shares);
    return p;
}

/* The share of the next inner loop. */
static inline mqa_fetch mqa_fetch_next(mqa_fetch_pace *p)
{
    mqa_fetch f = {{NULL, NULL}, 0};
    if (p->n == 0 || --p->wait > 0) return f;
    p->wait = p->every;
    while (p->begun >= mqa_ahead_bytes(p->ahead)) {
        p->begun = 0;
        p->ahead++;
        if (--p->n == 0) return f;
    }
    for (int i = 0; i < 2; i++)
        if (p->begun < p->ahead->bytes[i]) {
            f.at[i] = (const char *)p->ahead->from[i] + p->begun;
            f.lines = p->lines;
        }
    for (int i = 0; i < 2; i++) /* the same lines twice cost little */
        if (!f.at[i]) f.at[i] = f.at[1 - i];
    p->begun += p->share;
    return f;
}

/* No loop: it is the inside of one. */
static inline __attribute__((always_inline)) void mqa_fetch_step(mqa_fetch *f)
{
    if (f->lines == 0) return;
    __builtin_prefetch(f->at[0], 0, 2);
    __builtin_prefetch(f->at[1], 0, 2);
    if (f->lines > 1) {
        __builtin_prefetch(f->at[0] + MQA_LINE, 0, 2);
        __builtin_prefetch(f->at[1] + MQA_LINE, 0, 2);
        __builtin_prefetch(f->at[0] + 2 * MQA_LINE, 0, 2);
        __builtin_prefetch(f->at[1] + 2 * MQA_LINE, 0, 2);
        __builtin_prefetch(f->at[0] + 3 * MQA_LINE, 0, 2);
        __builtin_prefetch(f->at[1] + 3 * MQA_LINE, 0, 2);
    }
    f->at[0] += f->lines * MQA_LINE;
    f->at[1] += f->lines * MQA_LINE;
}

#endif
