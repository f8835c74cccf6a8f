/* Four lanes, so that the multiplications overlap. Each step is a bijection of the lane, which is why a
 * changed word can't be lost in it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/checksum.h"

#include <string.h>

enum { LANES = 4, WORD = 8 };
static const uint64_t odd = 0x9e3779b97f4a7c15u; /* 2^64 / the golden ratio */

static uint64_t stir(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * odd;
    return lane ^ lane >> 32;
}

uint64_t mqa_checksum(uint64_t seed, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint64_t lanes[LANES], words[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = seed + odd * (uint64_t)i;
    size_t left = n;
    for (; left >= sizeof words; left -= sizeof words, at += sizeof words) {
        memcpy(words, at, sizeof words);
        for (int i = 0; i < LANES; i++) lanes[i] = stir(lanes[i], words[i]);
    }
    if (left > 0) {
        memset(words, 0, sizeof words);
        memcpy(words, at, left);
        for (int i = 0; i < LANES; i++) lanes[i] = stir(lanes[i], words[i]);
    }
    uint64_t sum = stir(seed, n);
    for (int i = 0; i < LANES; i++) sum = stir(sum, lanes[i]);
    return sum;
}
