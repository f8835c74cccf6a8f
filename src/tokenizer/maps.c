/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/maps.h"

#include <stdlib.h>
#include <string.h>

#define PROBES_MAX 1024 /* by chance, runs at half load stay below a hundred */

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD6E8FEB86659FD93u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint64_t h = n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = mix(h, word);
    }
    word = 0;
    if (n) memcpy(&word, p, n);
    return mix(h, word);
}

/* Slots for n_max keys, half of them free; 0 if there are too many keys. */
static uint32_t slots_for(size_t n_max)
{
    if (n_max > (size_t)1 << 29) return 0;
    uint32_t n = 16;
    while (n < 2 * n_max) n *= 2;
    return n;
}

mqa_status mqa_piece_map_init(mqa_piece_map *map, size_t n_max, const char *bytes, const uint32_t *offsets,
                              mqa_error *err)
{
    uint32_t n = slots_for(n_max);
    *map = (mqa_piece_map){
        .slots = n ? malloc(n * sizeof *map->slots) : NULL, .bytes = bytes, .offsets = offsets};
    if (!map->slots)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for %zu pieces", n_max);
    map->mask = n - 1;
    memset(map->slots, 0xFF, n * sizeof *map->slots);
    return MQA_OK;
}

void mqa_piece_map_free(mqa_piece_map *map)
{
    free(map->slots);
    map->slots = NULL;
}

static bool same(const mqa_piece_map *map, int32_t id, const void *bytes, size_t n)
{
    return map->offsets[id + 1] - map->offsets[id] == n &&
           memcmp(map->bytes + map->offsets[id], bytes, n) == 0;
}

mqa_status mqa_piece_map_add(mqa_piece_map *map, int32_t id, mqa_error *err)
{
    const char *bytes = map->bytes + map->offsets[id];
    size_t n = map->offsets[id + 1] - map->offsets[id];
    uint32_t at = (uint32_t)hash_bytes(bytes, n) & map->mask;
    for (int probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & map->mask) {
        if (map->slots[at] == MQA_TOKEN_NONE) {
            map->slots[at] = id;
            return MQA_OK;
        }
        if (same(map, map->slots[at], bytes, n)) return MQA_OK;
    }
    return mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.tokens: token %d and others were made to collide",
                    id);
}

int32_t mqa_piece_map_find(const mqa_piece_map *map, const void *bytes, size_t n)
{
    for (uint32_t at = (uint32_t)hash_bytes(bytes, n) & map->mask;; at = (at + 1) & map->mask) {
        int32_t id = map->slots[at];
        if (id == MQA_TOKEN_NONE || same(map, id, bytes, n)) return id;
    }
}

mqa_status mqa_merge_map_init(mqa_merge_map *map, size_t n_max, mqa_error *err)
{
    uint32_t n = slots_for(n_max);
    *map = (mqa_merge_map){.slots = n ? malloc(n * sizeof *map->slots) : NULL};
    if (!map->slots)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for %zu merges", n_max);
    map->mask = n - 1;
    for (uint32_t i = 0; i < n; i++) map->slots[i].left = MQA_TOKEN_NONE;
    return MQA_OK;
}

void mqa_merge_map_free(mqa_merge_map *map)
{
    free(map->slots);
    map->slots = NULL;
}

static uint32_t merge_slot(const mqa_merge_map *map, int32_t left, int32_t right)
{
    return (uint32_t)mix((uint32_t)left, (uint32_t)right) & map->mask;
}

mqa_status mqa_merge_map_add(mqa_merge_map *map, mqa_merge_slot merge, mqa_error *err)
{
    uint32_t at = merge_slot(map, merge.left, merge.right);
    for (int probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & map->mask) {
        mqa_merge_slot *slot = &map->slots[at];
        if (slot->left == MQA_TOKEN_NONE) {
            *slot = merge;
            return MQA_OK;
        }
        if (slot->left == merge.left && slot->right == merge.right) return MQA_OK;
    }
    return mqa_fail(err, MQA_ERR_FORMAT, "tokenizer.ggml.merges: merge %u and others were made to collide",
                    merge.rank);
}

const mqa_merge_slot *mqa_merge_map_find(const mqa_merge_map *map, int32_t left, int32_t right)
{
    for (uint32_t at = merge_slot(map, left, right);; at = (at + 1) & map->mask) {
        const mqa_merge_slot *slot = &map->slots[at];
        if (slot->left == MQA_TOKEN_NONE) return NULL;
        if (slot->left == left && slot->right == right) return slot;
    }
}
