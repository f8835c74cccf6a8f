/* Packing of quantised weights into tiles, and back: see linear_kernels.h for the layout.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/linear_layout.h"

/* Four quants of one output in a step (input / 4): the unit that every plane is made of. */
static uint32_t load_word(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}
static void store_word(uint8_t *p, uint32_t x)
{
    memcpy(p, &x, sizeof x);
}

size_t mqa_linear_block_bytes(mqa_linear_format f)
{
    return mqa_linear_quants_at(f) + (size_t)f.bits * 64;
}

bool mqa_linear_bytes(mqa_linear_format f, int n_in, int n_out, size_t *bytes)
{
    if (n_in < 0 || n_out < 0) return false;
    const size_t blocks = ((size_t)n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK;
    const size_t tiles = ((size_t)n_out + MQA_LINEAR_TILE - 1) / MQA_LINEAR_TILE;
    size_t n;
    return mqa_mul(blocks, tiles, &n) && mqa_mul(n, mqa_linear_block_bytes(f), bytes);
}

size_t mqa_linear_scratch_bytes(const mqa_linear_weight *w)
{
    const size_t n_groups = (size_t)w->n_blocks * (size_t)mqa_linear_groups(w->format);
    return (size_t)w->n_blocks * MQA_LINEAR_FORM_BYTES +
           n_groups * sizeof(float) * 2 * (MQA_LINEAR_TILE + MQA_LINEAR_CHUNK);
}

static void pack_scales(mqa_linear_format f, uint8_t *to, int lane, const float *x, int n)
{
    for (int g = 0; g < mqa_linear_groups(f); g++) {
        const float value = g < n ? x[g] : 0.0f;
        const size_t at = (size_t)(g * MQA_LINEAR_TILE + lane);
        if (f.f16_scales) {
            const uint16_t half = mqa_f32_to_f16(value);
            memcpy(to + at * 2, &half, sizeof half);
        } else {
            memcpy(to + at * 4, &value, sizeof value);
        }
    }
}

static float unpack_scale(mqa_linear_format f, const uint8_t *from, int g, int lane)
{
    const size_t at = (size_t)(g * MQA_LINEAR_TILE + lane);
    uint16_t half;
    float value;
    if (f.f16_scales) {
        memcpy(&half, from + at * 2, sizeof half);
        return mqa_f16_to_f32(half);
    }
    memcpy(&value, from + at * 4, sizeof value);
    return value;
}

/* word[8]: the 32 quants of one output in a block. p: the quants of the block at that output's lane. */
static void pack_quants(int bits, uint8_t *p, const uint32_t word[8])
{
    if (bits == 8) {
        for (int s = 0; s < 8; s++) store_word(p + 64 * s, word[s]);
        return;
    }
    for (int s = 0; s < 4; s++)
        store_word(p + 64 * s, (word[s] & 0x0f0f0f0fu) | (word[s + 4] & 0x0f0f0f0fu) << 4);
    if (bits == 5) {
        uint32_t plane = 0;
        for (int s = 0; s < 8; s++) plane |= (word[s] >> 4 & 0x01010101u) << s;
        store_word(p + 256, plane);
    } else if (bits == 6) {
        for (int half = 0; half < 2; half++) {
            uint32_t plane = 0;
            for (int s = 0; s < 4; s++) plane |= (word[2 * s + half] >> 4 & 0x03030303u) << 2 * s;
            store_word(p + 256 + 64 * half, plane);
        }
    }
}

static void unpack_quants(int bits, const uint8_t *p, uint32_t word[8])
{
    for (int s = 0; s < 8; s++) {
        if (bits == 8) {
            word[s] = load_word(p + 64 * s);
            continue;
        }
        word[s] = load_word(p + 64 * (s % 4)) >> 4 * (s / 4) & 0x0f0f0f0fu;
        if (bits == 5) word[s] |= (load_word(p + 256) >> s & 0x01010101u) << 4;
        if (bits == 6) word[s] |= (load_word(p + 256 + 64 * (s % 2)) >> 2 * (s / 2) & 0x03030303u) << 4;
    }
}

void mqa_linear_pack_row(mqa_linear_format f, uint8_t *data, int n_in, int output, const uint8_t *q,
                         const float *scale, const float *min)
{
    const int blocks = (n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK, groups = mqa_linear_groups(f);
    const int lane = output % MQA_LINEAR_TILE, n_groups = (n_in + f.group - 1) / f.group;
    const size_t block_bytes = mqa_linear_block_bytes(f), scale_bytes = mqa_linear_scale_bytes(f);
    uint8_t *p = data + (size_t)(output / MQA_LINEAR_TILE) * (size_t)blocks * block_bytes;
    for (int b = 0; b < blocks; b++, p += block_bytes) {
        pack_scales(f, p, lane, scale + b * groups, n_groups - b * groups);
        if (f.has_min) pack_scales(f, p + scale_bytes, lane, min + b * groups, n_groups - b * groups);
        const int n = n_in - b * MQA_LINEAR_BLOCK;
        uint32_t word[8] = {0};
        memcpy(word, q + b * MQA_LINEAR_BLOCK, n < MQA_LINEAR_BLOCK ? (size_t)n : sizeof word);
        pack_quants(f.bits, p + mqa_linear_quants_at(f) + lane * 4, word);
    }
}

void mqa_linear_unpack_row(const mqa_linear_weight *w, int output, float *x)
{
    const mqa_linear_format f = w->format;
    const int lane = output % MQA_LINEAR_TILE;
    const uint8_t *p = mqa_linear_tile(w, output / MQA_LINEAR_TILE);
    for (int b = 0; b < w->n_blocks; b++, p += w->block_bytes) {
        uint32_t word[8];
        uint8_t q[MQA_LINEAR_BLOCK];
        unpack_quants(f.bits, p + mqa_linear_quants_at(f) + lane * 4, word);
        memcpy(q, word, sizeof q);
        const int left = w->n_in - b * MQA_LINEAR_BLOCK;
        for (int i = 0; i < MQA_LINEAR_BLOCK && i < left; i++) {
            const float scale = unpack_scale(f, p, i / f.group, lane);
            const float min =
                f.has_min ? unpack_scale(f, p + mqa_linear_scale_bytes(f), i / f.group, lane) : 0.0f;
            x[b * MQA_LINEAR_BLOCK + i] = fmaf((float)(q[i] - f.zero), scale, min);
        }
    }
}
