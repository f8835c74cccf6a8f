/* The two lookups of encoding: bytes → id, and (left id, right id) → rank.
 * Open addressing, at most half full. A file whose keys were made to collide is refused at its building, so
 * lookups stay short.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TOKENIZER_MAPS_H
#define MQA_TOKENIZER_MAPS_H

#include "tokenizer/array.h"

typedef struct mqa_piece_map {
    int32_t *slots; /* ids, MQA_TOKEN_NONE: free */
    uint32_t mask;
    const char *bytes; /* the pieces: not owned */
    const uint32_t *offsets;
} mqa_piece_map;

/* Room for n_max pieces. */
mqa_status mqa_piece_map_init(mqa_piece_map *map, size_t n_max, const char *bytes, const uint32_t *offsets,
                              mqa_error *err);
void mqa_piece_map_free(mqa_piece_map *map);
/* Of equal pieces the first one added stays. */
mqa_status mqa_piece_map_add(mqa_piece_map *map, int32_t id, mqa_error *err);
int32_t mqa_piece_map_find(const mqa_piece_map *map, const void *bytes, size_t n);

typedef struct mqa_merge_slot {
    int32_t left, right; /* left MQA_TOKEN_NONE: free */
    uint32_t rank;
    int32_t merged;
} mqa_merge_slot;

typedef struct mqa_merge_map {
    mqa_merge_slot *slots;
    uint32_t mask;
} mqa_merge_map;

mqa_status mqa_merge_map_init(mqa_merge_map *map, size_t n_max, mqa_error *err);
void mqa_merge_map_free(mqa_merge_map *map);
/* Of equal pairs the first one added stays. */
mqa_status mqa_merge_map_add(mqa_merge_map *map, mqa_merge_slot merge, mqa_error *err);
const mqa_merge_slot *mqa_merge_map_find(const mqa_merge_map *map, int32_t left, int32_t right);

#endif
