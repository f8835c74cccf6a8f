/* The arbiter of the linear layers (docs/numerics.md section 5): plain C, one step after the other.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/linear_layout.h"
#include "kernels/reference/reference.h"

static void quantize_block(const float *x, int n, int8_t *q, float *scale, int32_t sum16[2])
{
    uint32_t largest = 0; /* the bits of |x| are ordered as |x| is, NaN above all */
    for (int i = 0; i < n; i++) {
        const uint32_t bits = mqa_f32_bits(x[i]) & 0x7fffffff;
        if (bits > largest) largest = bits;
    }
    const float a = mqa_f32_from_bits(largest);
    const int usable = a >= MQA_LINEAR_LEAST && a < INFINITY;
    const float inv = usable ? 127.0f / a : 0.0f;
    *scale = a / 127.0f;
    sum16[0] = sum16[1] = 0;
    for (int i = 0; i < MQA_LINEAR_BLOCK; i++) {
        q[i] = i < n && usable ? (int8_t)rintf(x[i] * inv) : 0;
        sum16[i / 16] += q[i];
    }
}

static void quantize_rows(const float *x, size_t stride, int rows, int n_in, mqa_linear_rows *out)
{
    const int n_blocks = (n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK;
    for (int r = 0; r < rows; r++)
        for (int b = 0; b < n_blocks; b++) {
            const size_t at = (size_t)r * (size_t)n_blocks + (size_t)b;
            const int left = n_in - b * MQA_LINEAR_BLOCK;
            quantize_block(x + (size_t)r * stride + b * MQA_LINEAR_BLOCK,
                           left < MQA_LINEAR_BLOCK ? left : MQA_LINEAR_BLOCK, out->q + at * MQA_LINEAR_BLOCK,
                           out->scale + at, out->sum16 + at * 2);
        }
}

/* The 8-bit form and the f32 scales of a tile. */
static void unpack_tile(const mqa_linear_weight *w, const uint8_t *p, const mqa_linear_scratch *s)
{
    const mqa_linear_format f = w->format;
    const size_t quants_at = mqa_linear_quants_at(f), scale_bytes = mqa_linear_scale_bytes(f);
    const int n_scales = mqa_linear_groups(f) * MQA_LINEAR_TILE;
    for (int b = 0; b < w->n_blocks; b++, p += w->block_bytes) {
        for (int kind = 0; kind <= f.has_min; kind++)
            for (int i = 0; i < n_scales; i++) {
                const uint8_t *from = p + (size_t)kind * scale_bytes + (size_t)i * (f.f16_scales ? 2 : 4);
                float *to = (kind ? s->min : s->scale) + b * n_scales + i;
                uint16_t half;
                memcpy(&half, from, sizeof half);
                if (f.f16_scales)
                    *to = mqa_f16_to_f32(half);
                else
                    memcpy(to, from, sizeof *to);
            }
        uint8_t *form = s->form + b * MQA_LINEAR_FORM_BYTES;
        const uint8_t *quants = p + quants_at, *plane = quants + 256;
        for (int j = 0; j < MQA_LINEAR_FORM_BYTES; j++) {
            const int step = j / 64, i = j % 64;
            if (f.bits == 8) {
                form[j] = quants[j];
                continue;
            }
            form[j] = quants[j % 256] >> 4 * (j / 256) & 15;
            if (f.bits == 5) form[j] |= (uint8_t)((plane[i] >> step & 1) << 4);
            if (f.bits == 6) form[j] |= (uint8_t)((plane[64 * (step % 2) + i] >> 2 * (step / 2) & 3) << 4);
        }
    }
}

static int32_t dot_group(const uint8_t *form, int lane, int zero, const int8_t *q, int first, int n)
{
    int32_t t = 0;
    for (int i = first; i < first + n; i++) t += (form[i / 4 * 64 + lane * 4 + i % 4] - zero) * q[i];
    return t;
}

static void linear(const mqa_linear_weight *w, const mqa_linear_rows *x, int rows, int tile0, int tile1,
                   float *y, size_t y_stride, void *scratch)
{
    const mqa_linear_format f = w->format;
    const mqa_linear_scratch s = mqa_linear_scratch_at(w, scratch);
    const int groups = mqa_linear_groups(f);
    for (int tile = tile0; tile < tile1; tile++) {
        unpack_tile(w, mqa_linear_tile(w, tile), &s);
        for (int r = 0; r < rows; r++)
            for (int lane = 0; lane < MQA_LINEAR_TILE; lane++) {
                float sum = 0.0f;
                for (int g = 0; g < w->n_blocks * groups; g++) {
                    const size_t block = (size_t)r * (size_t)w->n_blocks + (size_t)(g / groups);
                    const int in_block = g % groups;
                    const float d = x->scale[block], scale = s.scale[g * MQA_LINEAR_TILE + lane];
                    const int32_t t = dot_group(s.form + (g / groups) * MQA_LINEAR_FORM_BYTES, lane, f.zero,
                                                x->q + block * MQA_LINEAR_BLOCK, in_block * f.group, f.group);
                    sum = fmaf((float)t, scale * d, sum);
                    if (f.has_min) {
                        const int32_t *sum16 = x->sum16 + block * 2;
                        const int32_t q_sum = groups == 2 ? sum16[in_block] : sum16[0] + sum16[1];
                        sum = fmaf(s.min[g * MQA_LINEAR_TILE + lane], d * (float)q_sum, sum);
                    }
                }
                y[(size_t)r * y_stride + (size_t)tile * MQA_LINEAR_TILE + (size_t)lane] = sum;
            }
    }
}

void mqa_linear_reference(mqa_kernels *k)
{
    k->linear.quantize_rows = quantize_rows;
    k->linear.linear = linear;
}
