/* Taking tokens out of a granule.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kvcache/cache.h"

/* Returns the run's cells. */
static unsigned char *clear_scales(mqa_kv_type type, unsigned char *run, int d, int from, int to)
{
    const size_t size = (size_t)mqa_kv_formats[type].scale_bytes;
    for (int line = 0; line < mqa_kv_scale_lines(type, d); line++, run += mqa_kv_line_bytes(type))
        memset(run + (size_t)from * size, 0, (size_t)(to - from) * size);
    return run;
}

static void clear_k(mqa_kv_type type, unsigned char *run, int d, int from, int to)
{
    const size_t tile_bytes = mqa_k_tile_bytes(type, d);
    unsigned char *tiles = clear_scales(type, run, d, from, to);
    for (int tile = from / MQA_TILE; tile * MQA_TILE < to; tile++) {
        const int first = tile * MQA_TILE;
        const int a = from > first ? from - first : 0, b = to - first < MQA_TILE ? to - first : MQA_TILE;
        unsigned char *row = tiles + (size_t)tile * tile_bytes;
        for (const unsigned char *end = row + tile_bytes; row < end; row += MQA_CELL_ROW)
            memset(row + MQA_CELL_BYTES * a, 0, (size_t)(MQA_CELL_BYTES * (b - a)));
    }
}

/* The bits [from, to) of a cell, from < to. */
static uint32_t bits_of(int from, int to)
{
    return UINT32_MAX >> (32 - (to - from)) << from;
}

static void clear_v(mqa_kv_type type, unsigned char *run, int d_v, int from, int to)
{
    const int per = mqa_kv_formats[type].per_cell, bits = 8 * MQA_CELL_BYTES / per;
    const size_t row_bytes = mqa_v_row_bytes(d_v);
    unsigned char *rows = clear_scales(type, run, d_v, from, to);
    for (int first = from / per * per; first < to; first += per) {
        const int a = from > first ? from - first : 0, b = to - first < per ? to - first : per;
        const uint32_t stay = ~bits_of(a * bits, b * bits);
        unsigned char *row = rows + (size_t)(first / per) * row_bytes;
        for (const unsigned char *end = row + row_bytes; row < end; row += MQA_CELL_BYTES) {
            uint32_t cell;
            memcpy(&cell, row, sizeof cell);
            cell &= stay;
            memcpy(row, &cell, sizeof cell);
        }
    }
}

void mqa_granule_clear(const mqa_cache *cache, unsigned char *run, int from, int to)
{
    clear_k(cache->config.k_type, run, cache->config.head_dim_qk, from, to);
    if (cache->config.v_in_k) return;
    clear_v(cache->config.v_type, run + cache->layout.k_run, cache->config.head_dim_vo, from, to);
}
