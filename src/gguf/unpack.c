/* Blocks of each quantised type as unsigned integers with a scale and a minimum for each group.
 *
 * b is a block; f16 fields are little endian. The sources are in types.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/types.h"

#include <math.h>

#include "base/half.h"

static float f16_at(const uint8_t *p)
{
    return mqa_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* 32 values of 4 bits: 0-15 in the low nibbles, 16-31 in the high ones. */
static void nibbles32(const uint8_t *qs, uint8_t *q)
{
    for (int j = 0; j < 16; j++) {
        q[j] = qs[j] & 15;
        q[j + 16] = qs[j] >> 4;
    }
}

static void fifth_bits32(const uint8_t *qh, uint8_t *q)
{
    for (int j = 0; j < 32; j++) q[j] |= (uint8_t)((qh[j / 8] >> (j % 8) & 1) << 4);
}

static void q4_0(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = f16_at(b);
    nibbles32(b + 2, q);
}

static void q4_1(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    *scale = f16_at(b);
    *min = f16_at(b + 2);
    nibbles32(b + 4, q);
}

static void q5_0(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = f16_at(b);
    nibbles32(b + 6, q);
    fifth_bits32(b + 2, q);
}

static void q5_1(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    *scale = f16_at(b);
    *min = f16_at(b + 2);
    nibbles32(b + 8, q);
    fifth_bits32(b + 4, q);
}

static void q8_0(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = f16_at(b);
    for (int j = 0; j < 32; j++) q[j] = b[2 + j] ^ 0x80; /* two's complement + 128 */
}

/* q = 2 bits: four planes of 32 values in each 32 bytes. */
static void crumbs256(const uint8_t *qs, uint8_t *q)
{
    for (int half = 0; half < 2; half++)
        for (int plane = 0; plane < 4; plane++)
            for (int j = 0; j < 32; j++) *q++ = qs[32 * half + j] >> (2 * plane) & 3;
}

static void q2_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    const float d = f16_at(b + 80), dmin = f16_at(b + 82);
    for (int g = 0; g < 16; g++) {
        scale[g] = d * (float)(b[g] & 15);
        min[g] = -(dmin * (float)(b[g] >> 4));
    }
    crumbs256(b + 16, q);
}

static void q3_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    (void)min;
    const uint8_t *hmask = b, *scales = b + 96;
    const float d = f16_at(b + 108);
    for (int g = 0; g < 16; g++) { /* 6 bits: four in bytes 0-7, two in bytes 8-11 */
        const int low = scales[g % 8] >> (g < 8 ? 0 : 4) & 15, high = scales[8 + g % 4] >> (2 * (g / 4)) & 3;
        scale[g] = d * (float)((low | high << 4) - 32);
    }
    crumbs256(b + 32, q);
    for (int i = 0; i < 256; i++) q[i] |= (uint8_t)((hmask[i % 32] >> (i / 32) & 1) << 2);
}

/* Eight scales and eight mins of 6 bits in 12 bytes (Q4_K, Q5_K). */
static void scales_and_mins(const uint8_t *b, float *scale, float *min)
{
    const float d = f16_at(b), dmin = f16_at(b + 2);
    const uint8_t *s = b + 4;
    for (int j = 0; j < 8; j++) {
        const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        const int m = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        scale[j] = d * (float)sc;
        min[j] = -(dmin * (float)m);
    }
}

/* Each 32 bytes hold 32 values in their low nibbles, then 32 in their high ones. */
static void nibbles256(const uint8_t *qs, uint8_t *q)
{
    for (int run = 0; run < 4; run++)
        for (int j = 0; j < 32; j++) {
            q[64 * run + j] = qs[32 * run + j] & 15;
            q[64 * run + 32 + j] = qs[32 * run + j] >> 4;
        }
}

static void q4_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    scales_and_mins(b, scale, min);
    nibbles256(b + 16, q);
}

static void q5_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    const uint8_t *qh = b + 16;
    scales_and_mins(b, scale, min);
    nibbles256(b + 48, q);
    for (int i = 0; i < 256; i++) q[i] |= (uint8_t)((qh[i % 32] >> (i / 32) & 1) << 4);
}

static void q6_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    (void)min;
    const int8_t *scales = (const int8_t *)b + 192;
    const float d = f16_at(b + 208);
    for (int g = 0; g < 16; g++) scale[g] = d * (float)scales[g];
    for (int half = 0; half < 2; half++, q += 128) {
        const uint8_t *ql = b + 64 * half, *qh = b + 128 + 32 * half;
        for (int j = 0; j < 64; j++) {
            q[j] = ql[j] & 15;
            q[j + 64] = ql[j] >> 4;
        }
        for (int j = 0; j < 128; j++) q[j] |= (uint8_t)((qh[j % 32] >> (2 * (j / 32)) & 3) << 4);
    }
}

static void through_table(const uint8_t *qs, const uint8_t table[16], uint8_t *q)
{
    nibbles32(qs, q);
    for (int j = 0; j < 32; j++) q[j] = table[q[j]];
}

static void iq4_nl(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    /* -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113, each + 128 */
    static const uint8_t table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};
    (void)min;
    *scale = f16_at(b);
    through_table(b + 2, table, q);
}

static void mxfp4(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
    /* twice e2m1's 0 .5 1 1.5 2 3 4 6 and their negatives, each + 128 */
    static const uint8_t table[16] = {128, 129, 130, 131, 132, 134, 136, 140,
                                      128, 127, 126, 125, 124, 122, 120, 116};
    (void)min;
    /* half of 2^(e - 127): the two least exponents are denormal */
    *scale = mqa_f32_from_bits(b[0] < 2 ? UINT32_C(0x00200000) << b[0] : (uint32_t)(b[0] - 1) << 23);
    through_table(b + 1, table, q);
}

typedef void unpack_fn(const uint8_t *block, uint8_t *q, float *scale, float *min);

static unpack_fn *const unpackers[] = {
    [MQA_GGUF_Q4_0] = q4_0, [MQA_GGUF_Q4_1] = q4_1, [MQA_GGUF_Q5_0] = q5_0,     [MQA_GGUF_Q5_1] = q5_1,
    [MQA_GGUF_Q8_0] = q8_0, [MQA_GGUF_Q2_K] = q2_k, [MQA_GGUF_Q3_K] = q3_k,     [MQA_GGUF_Q4_K] = q4_k,
    [MQA_GGUF_Q5_K] = q5_k, [MQA_GGUF_Q6_K] = q6_k, [MQA_GGUF_IQ4_NL] = iq4_nl, [MQA_GGUF_MXFP4] = mxfp4,
};

/* The largest scale whose products (q - zero) * scale are finite: MXFP4's reach 12 times it, the others
 * come from an f16 and can't get near. */
#define SCALE_MAX 0x1p124f

bool mqa_gguf_unpack(uint32_t type, const void *src, size_t n_blocks, uint8_t *q, float *scale, float *min)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    if (info == NULL || info->quant.bits == 0) return false;
    const size_t groups = info->block_values / info->quant.group;
    const uint8_t *block = src;
    bool finite = true;
    for (size_t i = 0; i < n_blocks; i++) {
        float none[MQA_GGUF_MAX_BLOCK / 16] = {0};
        float *block_min = min ? min : none;
        for (size_t g = 0; g < groups; g++) block_min[g] = 0.0f;
        unpackers[type](block, q, scale, block_min);
        for (size_t g = 0; g < groups; g++)
            finite &= fabsf(scale[g]) <= SCALE_MAX && fabsf(block_min[g]) <= SCALE_MAX;
        block += info->block_bytes;
        q += info->block_values;
        scale += groups;
        if (min) min += groups;
    }
    return finite;
}
