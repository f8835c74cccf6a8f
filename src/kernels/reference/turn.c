/* K runs read as V: the same values, from [d/per_cell][16] cells to [token/per_cell][d_v] cells.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kernels/reference/reference.h"

/* `per` cells, of as many tokens, become cells of as many dims: their values change rows for columns. In K a
 * token's dims lie together, in V a dim's tokens. */
static inline void turn_square(const unsigned char *k, unsigned char *v, int per)
{
    const int width = 32 / per;
    const uint32_t mask = width == 32 ? UINT32_MAX : (1u << width) - 1;
    uint32_t from[8], to[8] = {0};
    memcpy(from, k, (size_t)per * sizeof *from);
    for (int token = 0; token < per; token++)
        for (int dim = 0; dim < per; dim++) to[dim] |= (from[token] >> width * dim & mask) << width * token;
    memcpy(v, to, (size_t)per * sizeof *to);
}

/* per is a constant where this is inlined. */
static inline void turn_squares(const unsigned char *k, unsigned char *v, size_t tile_bytes, int d_v, int per)
{
    for (int t = 0; t < MQA_GRANULE; t += per) {
        const unsigned char *from =
            k + (size_t)(t / MQA_TILE) * tile_bytes + (size_t)(t % MQA_TILE) * MQA_CELL_BYTES;
        unsigned char *to = v + (size_t)(t / per) * mqa_v_row_bytes(d_v);
        for (int i = 0; i < MQA_PAD(d_v); i += per, from += MQA_CELL_ROW, to += per * MQA_CELL_BYTES)
            turn_square(from, to, per);
    }
}

void mqa_v_from_k_reference(mqa_kv_type type, const void *k_run, int d, int d_v, void *v_run)
{
    const size_t v_header = mqa_kv_header_bytes(type, d_v), tile_bytes = mqa_k_tile_bytes(type, d);
    const unsigned char *k = (const unsigned char *)k_run + mqa_kv_header_bytes(type, d);
    unsigned char *v = (unsigned char *)v_run + v_header;
    memcpy(v_run, k_run, v_header); /* the same scales; where they are by groups of dims, the first ones */
    switch (mqa_kv_formats[type].per_cell) {
    case 1:
        turn_squares(k, v, tile_bytes, d_v, 1);
        break;
    case 2:
        turn_squares(k, v, tile_bytes, d_v, 2);
        break;
    case 4:
        turn_squares(k, v, tile_bytes, d_v, 4);
        break;
    default:
        turn_squares(k, v, tile_bytes, d_v, 8);
        break;
    }
    if (type == MQA_KV_INT8) /* K is biased, V is not */
        for (size_t i = 0; i < (size_t)MQA_GRANULE * (size_t)MQA_PAD(d_v); i++) v[i] ^= 0x80;
}
