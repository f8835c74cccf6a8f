/* Words of valid bits, as the softmax kernels take them: bit i of word w is token 16 * w + i.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_VALID_H
#define MQA_KERNELS_VALID_H

#include <stdint.h>

/* The bits of [lo, hi) in a word that begins with token `first`. */
static inline uint16_t mqa_valid_word(int first, int lo, int hi)
{
    const int a = lo - first < 0 ? 0 : lo - first, b = hi - first > 16 ? 16 : hi - first;
    return a < b ? (uint16_t)(((1u << b) - 1) & ~((1u << a) - 1)) : 0;
}

/* Sets n words to the range [lo, hi). */
static inline void mqa_valid_range(uint16_t *words, int n, int lo, int hi)
{
    for (int w = 0; w < n; w++) words[w] = mqa_valid_word(16 * w, lo, hi);
}

#endif
