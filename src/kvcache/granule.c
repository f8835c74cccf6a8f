/* Taking tokens out of a granule.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kvcache/cache.h"

/* In every K format a row of a tile is 64 bytes: 4 for each of its 16 tokens. */
enum { CELL = 4, ROW = CELL * MQA_TILE };

static unsigned char *clear_scales(mqa_kv_type type, unsigned char *run, int from, int to)
{
    if (type != MQA_KV_INT8) return run;
    memset((float *)run + from, 0, (size_t)(to - from) * sizeof(float));
    return run + MQA_GRANULE * sizeof(float);
}

static void clear_k(mqa_kv_type type, unsigned char *run, int d, int from, int to)
{
    const int values_per_cell = type == MQA_KV_F32 ? 1 : type == MQA_KV_BF16 ? 2 : 4;
    const size_t tile_bytes = (size_t)(MQA_PAD(d) / values_per_cell) * ROW;
    unsigned char *tiles = clear_scales(type, run, from, to);
    for (int tile = from / MQA_TILE; tile * MQA_TILE < to; tile++) {
        const int first = tile * MQA_TILE;
        const int a = from > first ? from - first : 0, b = to - first < MQA_TILE ? to - first : MQA_TILE;
        unsigned char *row = tiles + (size_t)tile * tile_bytes;
        for (const unsigned char *end = row + tile_bytes; row < end; row += ROW)
            memset(row + CELL * a, 0, (size_t)(CELL * (b - a)));
    }
}

/* A V row is a cell for each column, which holds 1, 2 or 4 tokens. */
static void clear_v(mqa_kv_type type, unsigned char *run, int d_v, int from, int to)
{
    const int tokens_per_cell = type == MQA_KV_F32 ? 1 : type == MQA_KV_BF16 ? 2 : 4;
    const int value_bytes = CELL / tokens_per_cell;
    const size_t row_bytes = (size_t)MQA_PAD(d_v) * CELL;
    unsigned char *rows = clear_scales(type, run, from, to);
    for (int token = from; token < to;) {
        unsigned char *row = rows + (size_t)(token / tokens_per_cell) * row_bytes;
        if (token % tokens_per_cell == 0 && token + tokens_per_cell <= to) {
            memset(row, 0, row_bytes);
            token += tokens_per_cell;
            continue;
        }
        unsigned char *value = row + token % tokens_per_cell * value_bytes;
        for (int c = 0; c < MQA_PAD(d_v); c++, value += CELL) memset(value, 0, (size_t)value_bytes);
        token++;
    }
}

void mqa_granule_clear(const mqa_cache *cache, unsigned char *run, int from, int to)
{
    clear_k(cache->config.k_type, run, cache->config.head_dim_qk, from, to);
    if (cache->config.v_in_k) return;
    clear_v(cache->config.v_type, run + cache->layout.k_run, cache->config.head_dim_vo, from, to);
}
