/* Attention's kernels in plain C: the arbiter of their bits (docs/numerics.md). Written to be read, one
 * loop a formula; nothing here is shared with the vector kernels but the description of the formats.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/kv_value.h"
#include "kernels/q_row.h"
#include "kernels/reference/reference.h"

/* --- the query ----------------------------------------------------------------------------------- */

static int pack_q_f32(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    for (int r = 0; r < rows; r++) {
        float *x = mqa_q_row_at(q_block, r, d)->x.f32;
        for (int i = 0; i < MQA_PAD(d); i++) {
            x[i] = i < d ? q[r][i] * sm_scale : 0.0f;
            if (!isfinite(x[i])) return 0;
        }
    }
    return 1;
}

int mqa_pack_q_int8(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    for (int r = 0; r < rows; r++) {
        mqa_q_row *row = mqa_q_row_at(q_block, r, d);
        float a = 0.0f;
        for (int i = 0; i < d; i++) {
            const float x = q[r][i] * sm_scale;
            if (!isfinite(x)) return 0;
            a = fmaxf(a, fabsf(x));
        }
        float inv = a > 0.0f ? MQA_INT8_Q_MAX / a : 0.0f;
        if (!isfinite(inv)) a = inv = 0.0f; /* all subnormal: zero */
        row->scale = a / MQA_INT8_Q_MAX;
        row->sum = 0;
        for (int i = 0; i < MQA_PAD(d); i++) {
            const int x = i < d ? (int)rintf((q[r][i] * sm_scale) * inv) : 0;
            row->x.s16[i] = (int16_t)x;
            row->sum += x;
        }
    }
    return 1;
}

int mqa_pack_q_int8_digits(const float *const *q, int rows, int d, float sm_scale, void *q_block)
{
    enum { MOST = MQA_MAX_HEAD_DIM };
    if (!mqa_pack_q_int8(q, rows, d, sm_scale, q_block)) return 0;
    for (int r = 0; r < rows; r++) {
        mqa_q_row *row = mqa_q_row_at(q_block, r, d);
        int16_t x[MOST];
        memcpy(x, row->x.s16, sizeof x[0] * (size_t)MQA_PAD(d));
        for (int i = 0; i < MQA_PAD(d); i++) {
            const int high = (x[i] + 64) >> 7;
            row->x.s8[i] = (int8_t)high;
            row->x.s8[MQA_PAD(d) + i] = (int8_t)(x[i] - 128 * high);
        }
    }
    return 1;
}

/* --- scores -------------------------------------------------------------------------------------- */

/* Sums of blocks, added pairwise as they come: a binary counter's digits are sums of 2^level blocks that wait
 * for their neighbours. */
typedef struct pairwise {
    float waiting[MQA_DOT_LEVELS];
    unsigned n;
} pairwise;

static void add_block(pairwise *p, float x)
{
    int level = 0;
    for (unsigned carry = p->n++; carry & 1; carry >>= 1) x = p->waiting[level++] + x;
    p->waiting[level] = x;
}

static float sum_of_blocks(const pairwise *p)
{
    int level = 0;
    while (!(p->n >> level & 1)) level++;
    float x = p->waiting[level++];
    for (; p->n >> level; level++)
        if (p->n >> level & 1) x = p->waiting[level] + x;
    return x;
}

static inline void scores_float(mqa_kv_type type, const void *q_block, int rows, int d,
                                const void *const *k_runs, int n_granules, const mqa_ahead *ahead, float *s,
                                size_t s_stride)
{
    (void)ahead;
    for (int r = 0; r < rows; r++) {
        const float *q = mqa_q_row_at(q_block, r, d)->x.f32;
        for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
            const void *run = k_runs[t / MQA_GRANULE];
            pairwise sum = {.n = 0};
            for (int i = 0; i < MQA_PAD(d); i += MQA_DOT_BLOCK) {
                float x = 0.0f;
                for (int j = i; j < i + MQA_DOT_BLOCK; j++)
                    x = fmaf(q[j], mqa_kv_value(0, type, run, d, t % MQA_GRANULE, j), x);
                add_block(&sum, x);
            }
            s[(size_t)r * s_stride + (size_t)t] =
                sum_of_blocks(&sum) * mqa_kv_token_scale(type, run, t % MQA_GRANULE);
        }
    }
}

static void scores_int8(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                        const mqa_ahead *ahead, float *s, size_t s_stride)
{
    (void)ahead;
    for (int r = 0; r < rows; r++) {
        const mqa_q_row *q = mqa_q_row_at(q_block, r, d);
        for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
            const void *run = k_runs[t / MQA_GRANULE];
            int32_t x = 0;
            for (int i = 0; i < d; i++)
                x += q->x.s16[i] * (int)mqa_kv_value(0, MQA_KV_INT8, run, d, t % MQA_GRANULE, i);
            s[(size_t)r * s_stride + (size_t)t] =
                ((float)x * q->scale) * mqa_kv_token_scale(MQA_KV_INT8, run, t % MQA_GRANULE);
        }
    }
}

/* --- softmax of a span ----------------------------------------------------------------------------- */

static float tree_sum(float x[16])
{
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) x[i] += x[i + step];
    return x[0];
}

float mqa_exp_reference(float x)
{
    if (isnan(x)) return x;
    if (x < MQA_EXP_LOW) return 0.0f;
    const float y = x > MQA_EXP_HIGH ? MQA_EXP_HIGH : x;
    const float n = rintf(y * MQA_LOG2E);
    float r = fmaf(-n, MQA_LN2_HI, y);
    r = fmaf(-n, MQA_LN2_LO, r);
    float p = fmaf(MQA_EXP_C6, r, MQA_EXP_C5);
    p = fmaf(p, r, MQA_EXP_C4);
    p = fmaf(p, r, MQA_EXP_C3);
    p = fmaf(p, r, MQA_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return mqa_f32_from_bits(mqa_f32_bits(p) + ((uint32_t)(int32_t)n << 23));
}

static int sees(const uint16_t *valid, int t)
{
    return !valid || valid[t / 16] >> t % 16 & 1;
}

void mqa_softmax_float_reference(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                                 float *m, float *l, float *p_scale)
{
    (void)v_runs;
    *p_scale = 1.0f;
    *m = -INFINITY;
    for (int t = 0; t < MQA_GRANULE * n_granules; t++)
        if (sees(valid, t) && s[t] > *m) *m = s[t];
    *m += 0.0f;
    const float shift = *m == -INFINITY ? 0.0f : *m;
    float sum[16] = {0};
    for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
        s[t] = sees(valid, t) ? mqa_exp_reference(s[t] - shift) : 0.0f;
        sum[t % 16] += s[t];
    }
    *l = tree_sum(sum);
}

/* p times V's scales; returns the largest. */
static float scale_p(float *s, int n_granules, const void *const *v_runs)
{
    float largest = 0.0f;
    for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
        s[t] *= ((const float *)v_runs[t / MQA_GRANULE])[t % MQA_GRANULE];
        if (s[t] > largest) largest = s[t];
    }
    return largest;
}

static void softmax_scaled(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                           float *m, float *l, float *p_scale)
{
    mqa_softmax_float_reference(s, n_granules, valid, v_runs, m, l, p_scale);
    scale_p(s, n_granules, v_runs);
}

/* p becomes u_t, a whole number of 32 bits in the place of each float. */
void mqa_softmax_int8_reference(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                                float *m, float *l, float *p_scale)
{
    mqa_softmax_float_reference(s, n_granules, valid, v_runs, m, l, p_scale);
    float largest = scale_p(s, n_granules, v_runs);
    float inv = largest > 0.0f ? 65535.0f / largest : 0.0f;
    if (!isfinite(inv)) largest = inv = 0.0f;
    *p_scale = largest / 65535.0f;
    for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
        const uint32_t u = (uint32_t)rintf(fminf(s[t] * inv, 65535.0f));
        memcpy(&s[t], &u, sizeof u);
    }
}

/* --- what may come between scores and softmax ---------------------------------------------------------- */

static float tanh_of(float x)
{
    if (isnan(x)) return x;
    const float y = fminf(2.0f * fabsf(x), MQA_TANH_HIGH);
    const float n = rintf(y * MQA_LOG2E);
    float r = fmaf(-n, MQA_LN2_HI, y);
    r = fmaf(-n, MQA_LN2_LO, r);
    float p = fmaf(MQA_EXP_C6, r, MQA_EXP_C5);
    p = fmaf(p, r, MQA_EXP_C4);
    p = fmaf(p, r, MQA_EXP_C3);
    p = fmaf(p, r, MQA_EXP_C2);
    p = fmaf(p, r, 1.0f) * r;
    const float power = mqa_f32_from_bits((uint32_t)((int32_t)n + 127) << 23);
    const float e = fmaf(power, p, power - 1.0f); /* exp(y) - 1 */
    const float t = e / (e + 2.0f);
    return x < 0.0f ? -t : t;
}

static void softcap(float *s, int n, float cap)
{
    for (int i = 0; i < n; i++) s[i] = cap * tanh_of(s[i] / cap);
}

static void alibi(float *s, int n, float slope, int32_t first)
{
    for (int i = 0; i < n; i++) s[i] = fmaf(slope, (float)(first + i), s[i]);
}

/* --- P.V ------------------------------------------------------------------------------------------- */

static inline void pv_float(mqa_kv_type type, const float *p, size_t p_stride, int rows,
                            const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead,
                            float *o)
{
    (void)ahead;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < MQA_PAD(d_v); c++) {
            float sum = 0.0f;
            for (int g = 0; g < n_granules; g++) {
                const float *from = p + (size_t)r * p_stride + (size_t)g * MQA_GRANULE;
                float x = 0.0f;
                for (int t = 0; t < MQA_GRANULE; t++)
                    x = fmaf(from[t], mqa_kv_value(1, type, v_runs[g], d_v, t, c), x);
                sum += x;
            }
            o[(size_t)r * (size_t)MQA_PAD(d_v) + (size_t)c] = sum + 0.0f;
        }
}

static void pv_int8(const float *p, size_t p_stride, const float *p_scale, int rows,
                    const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead, float *o)
{
    (void)ahead;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < MQA_PAD(d_v); c++) {
            int32_t high = 0, low = 0;
            for (int t = 0; t < MQA_GRANULE * n_granules; t++) {
                const int v =
                    (int)mqa_kv_value(1, MQA_KV_INT8, v_runs[t / MQA_GRANULE], d_v, t % MQA_GRANULE, c);
                uint32_t u;
                memcpy(&u, &p[(size_t)r * p_stride + (size_t)t], sizeof u);
                high += (int)(u >> 8) * v;
                low += (int)(u & 255) * v;
            }
            o[(size_t)r * (size_t)MQA_PAD(d_v) + (size_t)c] =
                fmaf((float)high, 256.0f, (float)low) * p_scale[r] + 0.0f;
        }
}

/* --- states ---------------------------------------------------------------------------------------- */

static void fold(int rows, int d_v, float *a_m, float *a_l, float *a_o, const float *b_m, const float *b_l,
                 const float *b_o)
{
    for (int r = 0; r < rows; r++) {
        const float m = a_m[r] > b_m[r] ? a_m[r] : b_m[r];
        const float wa = m == -INFINITY ? 0.0f : mqa_exp_reference(a_m[r] - m);
        const float wb = m == -INFINITY ? 0.0f : mqa_exp_reference(b_m[r] - m);
        a_m[r] = m;
        a_l[r] = fmaf(a_l[r], wa, b_l[r] * wb);
        for (int c = 0; c < MQA_PAD(d_v); c++) {
            const size_t i = (size_t)r * (size_t)MQA_PAD(d_v) + (size_t)c;
            a_o[i] = fmaf(a_o[i], wa, b_o[i] * wb);
        }
    }
}

static void finish(int rows, int d_v, const float *m, const float *l, const float *o, float *const *out,
                   float *lse)
{
    for (int r = 0; r < rows; r++) {
        const bool empty = l[r] == 0.0f;
        const float *from = o + (size_t)r * (size_t)MQA_PAD(d_v);
        for (int c = 0; c < d_v; c++) out[r][c] = empty ? 0.0f : mqa_one_nan(from[c] / l[r]);
        if (lse) lse[r] = empty ? -INFINITY : mqa_one_nan((float)((double)m[r] + mqa_log64((double)l[r])));
    }
}

/* --- the table ------------------------------------------------------------------------------------- */

MQA_FLOAT_FORMATS(FLOAT_KERNELS)

void mqa_attention_reference(mqa_kernels *k)
{
    mqa_attention_kernels a = {.recipe = MQA_RECIPE_PORTABLE,
                               .softcap = softcap,
                               .alibi = alibi,
                               .fold = fold,
                               .finish = finish,
                               .v_from_k = mqa_v_from_k_reference};
#define FILL(TYPE, SUFFIX)                                                                                   \
    a.pack_q[TYPE] = pack_q_f32;                                                                             \
    a.scores[TYPE] = scores_##SUFFIX;                                                                        \
    a.softmax[TYPE] = mqa_kv_has_token_scale(TYPE) ? softmax_scaled : mqa_softmax_float_reference;           \
    a.pv[TYPE] = pv_##SUFFIX;
    MQA_FLOAT_FORMATS(FILL)
#undef FILL
    a.pack_q[MQA_KV_INT8] = mqa_pack_q_int8;
    a.scores[MQA_KV_INT8] = scores_int8;
    a.softmax[MQA_KV_INT8] = mqa_softmax_int8_reference;
    a.pv[MQA_KV_INT8] = pv_int8;
    k->attention[MQA_NUMERICS_FAST] = k->attention[MQA_NUMERICS_PORTABLE] = a;
}
