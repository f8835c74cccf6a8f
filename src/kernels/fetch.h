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

/* The part of it that falls to one block of a kernel's loops. */
typedef struct mqa_fetch {
    const char *at[2];
    int lines[2]; /* a step */
} mqa_fetch;

/* The share of block `block` of n_blocks, each of so many steps. ahead NULL: nothing. */
static inline mqa_fetch mqa_fetch_share(const mqa_ahead *ahead, int block, int n_blocks, int steps)
{
    mqa_fetch f = {{NULL, NULL}, {0, 0}};
    for (int i = 0; ahead && i < 2; i++) {
        const size_t lines = (ahead->bytes[i] + MQA_LINE - 1) / MQA_LINE,
                     all = (size_t)n_blocks * (size_t)steps;
        const size_t a_step = (lines + all - 1) / all, begin = a_step * (size_t)steps * (size_t)block;
        if (begin >= lines) continue;
        f.at[i] = (const char *)ahead->from[i] + begin * MQA_LINE;
        f.lines[i] = (int)a_step;
    }
    return f;
}

static inline __attribute__((always_inline)) void mqa_fetch_step(mqa_fetch *f)
{
    for (int i = 0; i < 2; i++)
        for (int n = 0; n < f->lines[i]; n++, f->at[i] += MQA_LINE) __builtin_prefetch(f->at[i], 0, 2);
}

#endif
