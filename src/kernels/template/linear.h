/* The linear layers on sixteen lanes: an output in each lane, a row's activations broadcast four at a time.
 *
 * A parametrised source, included once per instruction set after v16_<isa>.h and linear_dot_<isa>.h. Few rows
 * take the weights apart in registers, so that generation reads each packed byte once; more rows take a tile
 * apart once, in scratch, and run over it DOT_ROWS at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/half.h"
#include "kernels/linear_layout.h"
#include "kernels/simd/unroll.h"

/* --- activations --- */

V16_INLINE void quantize_block(const float *x, int8_t *q, float *scale, int32_t sum16[2])
{
    const vf x0 = vf_load(x), x1 = vf_load(x + 16);
    const float a = mqa_f32_from_bits((uint32_t)vi_max_lane(vi_max(vf_abs_bits(x0), vf_abs_bits(x1))));
    const int usable = a >= MQA_LINEAR_LEAST && a < INFINITY;
    *scale = a / 127.0f;
    vi q0 = vi_zero(), q1 = vi_zero();
    if (usable) {
        const vf inv = vf_set1(127.0f / a);
        q0 = vi_from_vf(vf_mul(x0, inv));
        q1 = vi_from_vf(vf_mul(x1, inv));
    }
    vi_store_s8(q, q0);
    vi_store_s8(q + 16, q1);
    sum16[0] = vi_sum_lanes(q0);
    sum16[1] = vi_sum_lanes(q1);
}

static void quantize_rows(const float *x, size_t stride, int rows, int n_in, mqa_linear_rows *out)
{
    const int n_blocks = (n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK;
    for (int r = 0; r < rows; r++)
        for (int b = 0; b < n_blocks; b++) {
            const size_t at = (size_t)r * (size_t)n_blocks + (size_t)b;
            const float *from = x + (size_t)r * stride + b * MQA_LINEAR_BLOCK;
            const int left = n_in - b * MQA_LINEAR_BLOCK;
            float padded[MQA_LINEAR_BLOCK] = {0};
            if (left < MQA_LINEAR_BLOCK) {
                memcpy(padded, from, sizeof(float) * (size_t)left);
                from = padded;
            }
            quantize_block(from, out->q + at * MQA_LINEAR_BLOCK, out->scale + at, out->sum16 + at * 2);
        }
}

/* --- weights --- */

/* The 8-bit form of steps h and h + 4, h = 0 .. 3, as the dot products take it. */
V16_INLINE void load_steps(int bits, const uint8_t *quants, int h, vi *first, vi *second)
{
    const vi x = vi_load(quants + 64 * h);
    if (bits == 8) {
        *first = dot_prepare8(x);
        *second = dot_prepare8(vi_load(quants + 256 + 64 * h));
        return;
    }
    *first = bytes_low_nibbles(x);
    *second = bytes_high_nibbles(x);
    if (bits == 5) {
        const vi plane = vi_load(quants + 256);
        *first = bytes_or_plane(*first, plane, 4 - h, 16);
        *second = bytes_or_plane(*second, plane, -h, 16);
    }
    if (bits == 6) { /* steps h and h + 4 lie in the same plane */
        const vi plane = vi_load(quants + 256 + 64 * (h % 2));
        *first = bytes_or_plane(*first, plane, 4 - 2 * (h / 2), 48);
        *second = bytes_or_plane(*second, plane, -2 * (h / 2), 48);
    }
}

V16_INLINE vf load_scale(mqa_linear_format f, const uint8_t *p, int g)
{
    return f.f16_scales ? vf_load_f16(p + 32 * g) : vf_load((const float *)p + 16 * g);
}

V16_INLINE void unpack_tile(int bits, const mqa_linear_weight *w, const uint8_t *p,
                            const mqa_linear_scratch *s)
{
    const mqa_linear_format f = w->format;
    const int groups = mqa_linear_groups(f);
    const size_t quants_at = mqa_linear_quants_at(f), scale_bytes = mqa_linear_scale_bytes(f);
    for (int b = 0; b < w->n_blocks; b++, p += w->block_bytes) {
        uint8_t *form = s->form + (size_t)b * MQA_LINEAR_FORM_BYTES;
        for (int h = 0; h < 4; h++) {
            vi first, second;
            load_steps(bits, p + quants_at, h, &first, &second);
            vi_store(form + 64 * h, first);
            vi_store(form + 256 + 64 * h, second);
        }
        for (int g = 0; g < groups; g++) {
            vf_store(s->scale + 16 * (b * groups + g), load_scale(f, p, g));
            if (f.has_min) vf_store(s->min + 16 * (b * groups + g), load_scale(f, p + scale_bytes, g));
        }
    }
}

/* --- rows over one unpacked tile --- */

typedef struct row_block {
    const mqa_linear_scratch *s;
    int n_blocks, has_min;
    const int8_t *q;           /* of the first row */
    const float *d;            /* likewise */
    const int32_t *correction; /* likewise, or NULL where there is nothing to correct */
    const float *min_factor;
    const uint8_t *ahead; /* packed blocks to fetch meanwhile, or NULL */
    size_t block_bytes;
} row_block;

V16_INLINE void fetch_block(const uint8_t *p, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(p + line, 0, 0);
}

V16_INLINE void rows_over_tile(int bits, int groups, int rows, const row_block *x, float *y, size_t y_stride)
{
    const int n_blocks = x->n_blocks, group_steps = 8 / groups;
    const int chunk = DOT_STEPS(bits) < group_steps ? DOT_STEPS(bits) : group_steps;
    const uint8_t *form = x->s->form;
    const float *scale = x->s->scale, *min = x->s->min;
    vf sum[DOT_ROWS];
    for (int r = 0; r < rows; r++) sum[r] = vf_zero();
    for (int b = 0; b < n_blocks; b++) {
        if (x->ahead) fetch_block(x->ahead + (size_t)b * x->block_bytes, x->block_bytes);
        UNROLL for (int g = 0; g < groups; g++, form += 64 * group_steps, scale += 16, min += 16)
        {
            const int8_t *q = x->q + b * MQA_LINEAR_BLOCK + g * group_steps * 4;
            vi t[DOT_ROWS], part[DOT_ROWS];
            UNROLL for (int step = 0; step < group_steps; step++)
            {
                const vi w = vi_load(form + 64 * step);
                UNROLL for (int r = 0; r < rows; r++)
                {
                    const dot_quad quad = dot_load_quad(q + r * n_blocks * MQA_LINEAR_BLOCK + 4 * step);
                    part[r] = step % chunk ? dot_next(bits, part[r], w, quad) : dot_first(bits, w, quad);
                    if (step % chunk == chunk - 1)
                        t[r] = step < chunk ? dot_total(part[r]) : vi_add(t[r], dot_total(part[r]));
                }
            }
            const vf ws = vf_load(scale);
            UNROLL for (int r = 0; r < rows; r++)
            {
                const int at = (r * n_blocks + b) * groups + g;
                if (x->correction) t[r] = vi_add(t[r], vi_set1(x->correction[at]));
                sum[r] = vf_fma(vf_from_vi(t[r]), vf_mul(ws, vf_set1(x->d[r * n_blocks + b])), sum[r]);
                if (x->has_min) sum[r] = vf_fma(vf_load(min), vf_set1(x->min_factor[at]), sum[r]);
            }
        }
    }
    for (int r = 0; r < rows; r++) vf_store(y + (size_t)r * y_stride, sum[r]);
}

/* --- few rows, the weights taken apart in registers --- */

#define WEIGHTS_AHEAD 2048 /* bytes */
#if DOT_ROWS == 8
#define IN_REGISTERS 8 /* rows */
#else
#define IN_REGISTERS 2
#endif
/* To take a tile apart twice is faster than to write it into scratch, three times is not: 16 rows from memory
 * took 0.9 of the time on Zen 4. */
#define FEW_ROWS (2 * IN_REGISTERS)

V16_INLINE void few_rows(int bits, int groups, int rows, const mqa_linear_weight *w, const uint8_t *p,
                         const mqa_linear_rows *x, float *y, size_t y_stride)
{
    const mqa_linear_format f = w->format;
    const int n_blocks = w->n_blocks, zero = f.zero - (bits == 8 ? DOT_ZERO8 : 0);
    const int chunk = DOT_STEPS(bits) < 4 ? DOT_STEPS(bits) : 4;
    const size_t quants_at = mqa_linear_quants_at(f), scale_bytes = mqa_linear_scale_bytes(f);
    vf sum[IN_REGISTERS];
    UNROLL for (int r = 0; r < rows; r++) sum[r] = vf_zero();
    for (int b = 0; b < n_blocks; b++, p += w->block_bytes) {
        /* Weights come from memory once a token, and the CPU's own prefetch stops at each 4 KiB: with this
         * Zen 3 reads 1.3 to 1.4 times faster. Past the end of the matrix it does nothing. */
        fetch_block(p + WEIGHTS_AHEAD, w->block_bytes);
        vi t[IN_REGISTERS][2], part[IN_REGISTERS][2]; /* row, half of the block */
        UNROLL for (int h = 0; h < 4; h++)
        {
            vi half[2];
            load_steps(bits, p + quants_at, h, &half[0], &half[1]);
            UNROLL for (int i = 0; i < 2 * rows; i++)
            {
                const int r = i / 2, k = i % 2;
                const dot_quad quad =
                    dot_load_quad(x->q + (r * n_blocks + b) * MQA_LINEAR_BLOCK + 16 * k + 4 * h);
                part[r][k] =
                    h % chunk ? dot_next(bits, part[r][k], half[k], quad) : dot_first(bits, half[k], quad);
                if (h % chunk == chunk - 1)
                    t[r][k] = h < chunk ? dot_total(part[r][k]) : vi_add(t[r][k], dot_total(part[r][k]));
            }
        }
        UNROLL for (int g = 0; g < groups; g++)
        {
            const vf ws = load_scale(f, p, g);
            UNROLL for (int r = 0; r < rows; r++)
            {
                const int32_t *sum16 = x->sum16 + (r * n_blocks + b) * 2;
                const int32_t q_sum = groups == 2 ? sum16[g] : sum16[0] + sum16[1];
                const float d = x->scale[r * n_blocks + b];
                vi total = groups == 2 ? t[r][g] : vi_add(t[r][0], t[r][1]);
                if (zero) total = vi_sub(total, vi_set1(zero * q_sum));
                sum[r] = vf_fma(vf_from_vi(total), vf_mul(ws, vf_set1(d)), sum[r]);
                if (f.has_min)
                    sum[r] = vf_fma(load_scale(f, p + scale_bytes, g), vf_set1(d * (float)q_sum), sum[r]);
            }
        }
    }
    for (int r = 0; r < rows; r++) vf_store(y + (size_t)r * y_stride, sum[r]);
}

/* --- one function for each number of bits and groups --- */

/* What a chunk of rows needs once for all tiles. */
V16_INLINE void prepare_chunk(const mqa_linear_rows *x, int first, int rows, int n_blocks, int groups,
                              int zero, const mqa_linear_scratch *s)
{
    for (int i = 0; i < rows * n_blocks; i++) {
        const size_t at = (size_t)first * (size_t)n_blocks + (size_t)i;
        const int32_t *sum16 = x->sum16 + at * 2;
        for (int g = 0; g < groups; g++) {
            const int32_t q_sum = groups == 2 ? sum16[g] : sum16[0] + sum16[1];
            s->correction[i * groups + g] = -zero * q_sum;
            s->min_factor[i * groups + g] = x->scale[at] * (float)q_sum;
        }
    }
}

V16_INLINE void many_rows(int bits, int groups, const mqa_linear_weight *w, const mqa_linear_rows *x,
                          int rows, int tile0, int tile1, float *y, size_t y_stride, void *scratch)
{
    const mqa_linear_scratch s = mqa_linear_scratch_at(w, scratch);
    const int n_blocks = w->n_blocks, zero = w->format.zero - (bits == 8 ? DOT_ZERO8 : 0);
    for (int r0 = 0; r0 < rows; r0 += MQA_LINEAR_CHUNK) {
        const int r1 = rows < r0 + MQA_LINEAR_CHUNK ? rows : r0 + MQA_LINEAR_CHUNK;
        prepare_chunk(x, r0, r1 - r0, n_blocks, groups, zero, &s);
        for (int tile = tile0; tile < tile1; tile++) {
            unpack_tile(bits, w, mqa_linear_tile(w, tile), &s);
            int n;
            for (int r = r0; r < r1; r += n) {
                const size_t block = (size_t)r * (size_t)n_blocks;
                const size_t at = (size_t)((r - r0) * n_blocks * groups);
                const row_block rb = {&s,
                                      n_blocks,
                                      w->format.has_min,
                                      x->q + block * MQA_LINEAR_BLOCK,
                                      x->scale + block,
                                      zero ? s.correction + at : NULL,
                                      s.min_factor + at,
                                      r == r0 ? mqa_linear_tile(w, tile + 1) : NULL,
                                      w->block_bytes};
                float *to = y + (size_t)r * y_stride + (size_t)tile * MQA_LINEAR_TILE;
                n = r1 - r;
#if DOT_ROWS == 8
                if (n >= 8) {
                    rows_over_tile(bits, groups, n = 8, &rb, to, y_stride);
                    continue;
                }
#endif
                if (n >= 4)
                    rows_over_tile(bits, groups, n = 4, &rb, to, y_stride);
                else if (n >= 2)
                    rows_over_tile(bits, groups, n = 2, &rb, to, y_stride);
                else
                    rows_over_tile(bits, groups, n = 1, &rb, to, y_stride);
            }
        }
    }
}

/* A tile for a few rows, as many at a time as registers hold. */
V16_INLINE void few_rows_over_tile(int bits, int groups, const mqa_linear_weight *w, const uint8_t *p,
                                   const mqa_linear_rows *x, int rows, float *y, size_t y_stride)
{
    int n;
    for (int r = 0; r < rows; r += n) {
        const size_t block = (size_t)r * (size_t)w->n_blocks;
        const mqa_linear_rows from = {x->q + block * MQA_LINEAR_BLOCK, x->scale + block,
                                      x->sum16 + block * 2};
        float *to = y + (size_t)r * y_stride;
        n = rows - r < IN_REGISTERS ? rows - r : IN_REGISTERS;
#define FEW(rows) few_rows(bits, groups, rows, w, p, &from, to, y_stride)
        if (n == 1) FEW(1);
        if (n == 2) FEW(2);
#if IN_REGISTERS == 8
        if (n == 3) FEW(3);
        if (n == 4) FEW(4);
        if (n == 5) FEW(5);
        if (n == 6) FEW(6);
        if (n == 7) FEW(7);
        if (n == 8) FEW(8);
#endif
#undef FEW
    }
}

V16_INLINE void linear_format(int bits, int groups, const mqa_linear_weight *w, const mqa_linear_rows *x,
                              int rows, int tile0, int tile1, float *y, size_t y_stride, void *scratch)
{
    if (rows > FEW_ROWS) {
        many_rows(bits, groups, w, x, rows, tile0, tile1, y, y_stride, scratch);
        return;
    }
    for (int tile = tile0; tile < tile1; tile++)
        few_rows_over_tile(bits, groups, w, mqa_linear_tile(w, tile), x, rows,
                           y + (size_t)tile * MQA_LINEAR_TILE, y_stride);
}

#define LINEAR_FORMAT(bits, groups)                                                                          \
    static void linear_##bits##_##groups(const mqa_linear_weight *w, const mqa_linear_rows *x, int rows,     \
                                         int tile0, int tile1, float *y, size_t y_stride, void *scratch)     \
    {                                                                                                        \
        linear_format(bits, groups, w, x, rows, tile0, tile1, y, y_stride, scratch);                         \
    }
LINEAR_FORMAT(4, 1)
LINEAR_FORMAT(4, 2)
LINEAR_FORMAT(5, 1)
LINEAR_FORMAT(5, 2)
LINEAR_FORMAT(6, 1)
LINEAR_FORMAT(6, 2)
LINEAR_FORMAT(8, 1)
LINEAR_FORMAT(8, 2)

static void linear(const mqa_linear_weight *w, const mqa_linear_rows *x, int rows, int tile0, int tile1,
                   float *y, size_t y_stride, void *scratch)
{
    static mqa_linear_fn *const table[4][2] = {{linear_4_1, linear_4_2},
                                               {linear_5_1, linear_5_2},
                                               {linear_6_1, linear_6_2},
                                               {linear_8_1, linear_8_2}};
    table[w->format.bits == 8 ? 3 : w->format.bits - 4][mqa_linear_groups(w->format) - 1](
        w, x, rows, tile0, tile1, y, y_stride, scratch);
}
