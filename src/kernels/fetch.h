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

/* The part of it that falls to one block of a kernel's loops: at every step a line of both stretches, or a
 * few. */
typedef struct mqa_fetch {
    const char *at[2];
    int lines; /* a step: 0, 1 or MQA_FETCH_FEW */
} mqa_fetch;
enum { MQA_FETCH_FEW = 4 };

/* The share of block `block` of n_blocks, each of so many steps. ahead NULL: nothing. */
static inline mqa_fetch mqa_fetch_share(const mqa_ahead *ahead, int block, int n_blocks, int steps)
{
    mqa_fetch f = {{NULL, NULL}, 0};
    if (!ahead) return f;
    const size_t most = (ahead->bytes[0] > ahead->bytes[1] ? ahead->bytes[0] : ahead->bytes[1]) / MQA_LINE;
    const int lines = most > (size_t)n_blocks * (size_t)steps ? MQA_FETCH_FEW : 1;
    const size_t begin = (size_t)block * (size_t)steps * (size_t)(lines * MQA_LINE);
    for (int i = 0; i < 2; i++)
        if (begin < ahead->bytes[i]) {
            f.at[i] = (const char *)ahead->from[i] + begin;
            f.lines = lines;
        }
    for (int i = 0; i < 2; i++) /* the same lines twice cost little */
        if (!f.at[i]) f.at[i] = f.at[1 - i];
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
