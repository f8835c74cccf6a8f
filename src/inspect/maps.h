/* Attention maps, a square of bins for each head: bins of queries down, bins of keys across, a power of two
 * of tokens to a bin. Each bin is one byte, by logarithm, which is also its colour in a picture:
 *
 *     code 0: below 1e-4;   code c: 10^(4 (c - 255) / 254), so that 255 is 1
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_INSPECT_MAPS_H
#define MQA_INSPECT_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { MQA_MAP_LEAST_BINS = 16, MQA_MAP_MOST_BINS = 1024 };
#define MQA_MAP_DECADES 4
#define MQA_MAP_LEAST   1e-4

typedef enum mqa_map_fold {
    MQA_MAP_MEAN = 0, /* the share of attention on the keys of a bin, mean over the bin's queries */
    MQA_MAP_MAX = 1   /* the largest probability in the bin */
} mqa_map_fold;

typedef struct mqa_maps {
    int n_maps, bins; /* bins along a side that hold tokens; 0: there are no maps */
    int shift;        /* a bin has 1 << shift tokens; the last may have fewer */
    uint8_t *codes;   /* [n_maps][bins][bins] */
    size_t bytes;
} mqa_maps;

mqa_status mqa_maps_create(const mqa_allocator *allocator, int n_maps, int64_t n_tokens, int max_bins,
                           mqa_maps *out, mqa_error *err);
void mqa_maps_destroy(const mqa_allocator *allocator, mqa_maps *maps);

static inline uint8_t *mqa_maps_row(const mqa_maps *maps, int map, int row)
{
    return maps->codes + ((size_t)map * (size_t)maps->bins + (size_t)row) * (size_t)maps->bins;
}

uint8_t mqa_map_code(double p);

#endif
