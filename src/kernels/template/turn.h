/* K runs read as V, sixteen tokens by sixteen dims at a time. Include after v16_<isa>.h and unroll.h.
 *
 * A vector of K has a cell of each token, a vector of V a cell of each dim. With `per` values in a cell that
 * is a transpose of 16/per x 16/per squares of `per` cells each, in so many vectors; and then of each
 * square's values, which lie within 16 bytes, but for those of int4.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* Squares of bytes/n bytes: those in the same half, quarter … of all n vectors come together. */
V16_INLINE void turn_step(vi x[16], int n, int distance, int bytes)
{
    UNROLL for (int i = 0; i < n; i++) if (!(i & distance)) vi_swap(&x[i], &x[i + distance], bytes);
}

/* 4 x 4 bytes */
static const int8_t turn_bytes[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

/* Of 4 tokens x 8 dims of four bits: the bytes of two tokens side by side, and within them the nibbles of a
 * dim. */
V16_INLINE vi turn_pairs(vi x)
{
    x = vi_shuffle_quads(x, turn_bytes);
    const vi up = vi_sll(vi_and(x, vi_set1(0x00f000f0)), 4), down = vi_sra(vi_and(x, vi_set1(0x0f000f00)), 4);
    return vi_xor(vi_and(x, vi_set1((int32_t)0xf00ff00fu)), vi_xor(up, down));
}

/* Two vectors of two squares each, of 8 tokens x 8 dims of four bits. */
V16_INLINE void turn_nibbles(vi *x, vi *y)
{
    static const int8_t dims[16] = {0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15};
    *x = turn_pairs(*x);
    *y = turn_pairs(*y);
    /* Tokens 0-3 and 4-7 of a square lie 16 bytes apart: the same four dims of both come side by side. */
    vi_swap(x, y, 16);
    vi_swap(x, y, 8);
    *x = vi_shuffle_quads(*x, dims);
    *y = vi_shuffle_quads(*y, dims);
    vi_swap(x, y, 16);
}

V16_INLINE void turn_block(const unsigned char *k, unsigned char *v, size_t v_row, int per, int32_t flip)
{
    static const int8_t pairs[16] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
    const int n = 16 / per;
    vi x[16];
    UNROLL for (int i = 0; i < n; i++) x[i] = vi_load(k + (size_t)i * MQA_CELL_ROW);
    turn_step(x, n, n / 2, 32);
    if (n >= 4) turn_step(x, n, n / 4, 16);
    if (n >= 8) turn_step(x, n, n / 8, 8);
    if (n >= 16) turn_step(x, n, n / 16, 4);
    if (per == 8) turn_nibbles(&x[0], &x[1]);
    UNROLL for (int i = 0; i < n; i++)
    {
        if (per == 2 || per == 4) x[i] = vi_shuffle_quads(x[i], per == 2 ? pairs : turn_bytes);
        vi_store(v + (size_t)i * v_row, vi_xor(x[i], vi_set1(flip)));
    }
}

/* per is a constant where this is inlined. */
V16_INLINE void turn_run(mqa_kv_type type, const unsigned char *k, int d, int d_v, unsigned char *v, int per)
{
    const size_t tile_bytes = mqa_k_tile_bytes(type, d), v_row = mqa_v_row_bytes(d_v);
    const int32_t flip = type == MQA_KV_INT8 ? (int32_t)0x80808080u : 0; /* K is biased, V is not */
    for (int t = 0; t < MQA_GRANULE; t += MQA_TILE, k += tile_bytes, v += (size_t)(MQA_TILE / per) * v_row)
        for (int i = 0; i < MQA_PAD(d_v); i += 16)
            turn_block(k + (size_t)(i / per) * MQA_CELL_ROW, v + (size_t)i * MQA_CELL_BYTES, v_row, per,
                       flip);
}

static void v_from_k(mqa_kv_type type, const void *k_run, int d, int d_v, void *v_run)
{
    const size_t header = mqa_kv_header_bytes(type, d_v);
    const unsigned char *k = (const unsigned char *)k_run + mqa_kv_header_bytes(type, d);
    unsigned char *v = (unsigned char *)v_run + header;
    memcpy(v_run, k_run, header);
    switch (mqa_kv_formats[type].per_cell) {
    case 1:
        turn_run(type, k, d, d_v, v, 1);
        break;
    case 2:
        turn_run(type, k, d, d_v, v, 2);
        break;
    case 4:
        turn_run(type, k, d, d_v, v, 4);
        break;
    default:
        turn_run(type, k, d, d_v, v, 8);
        break;
    }
}
