/* The kernels of attention: what each gets, may assume, and must give. docs/numerics.md has the bits.
 *
 * Layout of the cache's runs, the same on every instruction set. d and d_v are padded to multiples of 16
 * with zeros (MQA_PAD). A run holds one granule (64 tokens) of one KV head, 64-byte aligned:
 *
 *   K  f32   four tiles [d][16]          V  f32   [64][d_v]
 *      bf16  four tiles [d/2][16][2]        bf16  [32][d_v][2]
 *      f16   the same                       f16   the same
 *      int8  f32 scale[64], then            int8  f32 scale[64], then
 *            four tiles [d/4][16][4] u8           [16][d_v][4] s8
 *      fp8   the same, its own bytes        fp8   the same
 *      int4  bf16 scale[d/32][64], then     int4  bf16 scale[d_v/32][64], then
 *            four tiles [d/8][16][8] s4           [8][d_v][8] s4
 *
 * int8 K is biased: stored = value + 128. Of two s4 in a byte the first has the low bits; d/32 is rounded up.
 * Unwritten tokens are all zero bits, scales too.
 *
 * All pointers are 64-byte aligned; rows is 1 .. MQA_MAX_ROWS. Kernels touch no memory beyond what is
 * named here, keep no state, allocate nothing, and may be called from any thread.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_ATTENTION_KERNELS_H
#define MQA_KERNELS_ATTENTION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/constants.h"
#include "kernels/fetch.h"
#include "kernels/kv_format.h"
#include "mqa/cache.h"

#define MQA_MAX_ROWS 128

/* Bytes of one granule's run of one KV head. d: head_dim_qk or head_dim_vo. */
size_t mqa_k_run_bytes(mqa_kv_type type, int d);
size_t mqa_v_run_bytes(mqa_kv_type type, int d_v);

/* Packs one token (0 .. 63 of its granule) of one head; x: d values. Returns 0, and leaves the run as it
 * was, if a value isn't finite or doesn't stay so when rounded (bf16, f16, int4). One implementation for all
 * instruction sets (pack.c). */
int mqa_pack_k(mqa_kv_type type, void *run, int d, int token, const float *x);
int mqa_pack_v(mqa_kv_type type, void *run, int d_v, int token, const float *x);
/* The stored values back as f32: tests, export, and moving a granule. */
void mqa_unpack_k(mqa_kv_type type, const void *run, int d, int token, float *x);
void mqa_unpack_v(mqa_kv_type type, const void *run, int d_v, int token, float *x);

/* One row of a prepared query block, in whatever form the scores kernel of the same table and format
 * wants: opaque elsewhere. */
#define MQA_Q_ROW_BYTES(d) ((size_t)64 + 4 * (size_t)MQA_PAD(d))

/* q: rows pointers to d floats each; q_block: rows * MQA_Q_ROW_BYTES(d). Returns 0 if a value isn't finite
 * after scaling. */
typedef int mqa_pack_q_fn(const float *const *q, int rows, int d, float sm_scale, void *q_block);

/* s[r * s_stride + 64 * g + t] = score of row r and token t of granule g, all 64 tokens of each granule.
 * s_stride >= 64 * n_granules, a multiple of 16. ahead: [n_granules], what to fetch during each; or NULL. */
typedef void mqa_scores_fn(const void *q_block, int rows, int d, const void *const *k_runs, int n_granules,
                           const mqa_ahead *ahead, float *s, size_t s_stride);

/* Scores to probabilities, one row of one span at a time.
 * s: [64 * n_granules] scores, overwritten with p in the form that the pv kernel of the same table and
 * format wants.
 * valid: [4 * n_granules]; bit i of word w says that the row sees token 16 * w + i, counted from s[0].
 * NULL: it sees all. The others get p = 0, whatever their score.
 * v_runs: the granules' V (formats with a scale for each token read it; others ignore it).
 * m, l: as in docs/numerics.md section 2; p_scale: one float for the pv kernel. */
typedef void mqa_softmax_fn(float *s, int n_granules, const uint16_t *valid, const void *const *v_runs,
                            float *m, float *l, float *p_scale);

/* o[r * MQA_PAD(d_v) + c] = the P.V of the granules given, + 0.0f (overwrites). p, p_stride: as s and
 * s_stride above; ahead: as above. */
typedef void mqa_pv_fn(const float *p, size_t p_stride, const float *p_scale, int rows,
                       const void *const *v_runs, int n_granules, int d_v, const mqa_ahead *ahead, float *o);

/* The V run that holds the first d_v dims of a K run as V (multi-head latent attention), value for value: in
 * the V layout of the same format. */
typedef void mqa_v_from_k_fn(mqa_kv_type type, const void *k_run, int d, int d_v, void *v_run);

/* s[0 .. n) = cap * tanh(s / cap); n: a multiple of 16. */
typedef void mqa_softcap_fn(float *s, int n, float cap);
/* s[t] += slope * (first + t), rounded once; the distance is below 2^31 in magnitude. */
typedef void mqa_alibi_fn(float *s, int n, float slope, int32_t first);

/* What a machine makes of inf - inf has a sign that others give otherwise: results carry one NaN only. */
static inline float mqa_one_nan(float x)
{
    return x == x ? x : __builtin_nanf("");
}

/* rows states: m[rows], l[rows], o[rows * MQA_PAD(d_v)]; a = fold(a, b). */
typedef void mqa_fold_fn(int rows, int d_v, float *a_m, float *a_l, float *a_o, const float *b_m,
                         const float *b_l, const float *b_o);

/* out[r] (d_v floats) = o / l, 0 where l is 0. lse: rows floats, or NULL. Every NaN is mqa_one_nan's. */
typedef void mqa_finish_fn(int rows, int d_v, const float *m, const float *l, const float *o,
                           float *const *out, float *lse);

/* docs/numerics.md section 4. */
#define MQA_RECIPE_PORTABLE    "portable/2"
#define MQA_RECIPE_AVX512_BF16 "avx512-bf16/2"
#define MQA_RECIPE_AMX_BF16    "amx-bf16/2"
#define MQA_RECIPE_NEON_BF16   "neon-bf16/1"

typedef struct mqa_attention_kernels {
    const char *recipe; /* of the bf16 format: one of the above */
    mqa_pack_q_fn *pack_q[MQA_KV_TYPES];
    mqa_scores_fn *scores[MQA_KV_TYPES];
    mqa_softmax_fn *softmax[MQA_KV_TYPES]; /* by V's format */
    mqa_pv_fn *pv[MQA_KV_TYPES];
    mqa_softcap_fn *softcap;
    mqa_alibi_fn *alibi;
    mqa_v_from_k_fn *v_from_k;
    mqa_fold_fn *fold;
    mqa_finish_fn *finish;
} mqa_attention_kernels;

#endif
