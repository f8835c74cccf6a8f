/* RoPE: frequencies from a configuration, tables from frequencies, and the call on plain arrays.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/rope.h"

#include <inttypes.h>
#include <math.h>

#include "base/fpenv.h"
#include "base/status.h"
#include "base/take_struct.h"
#include "kernels/context.h"

#define TWO_PI 0x1.921fb54442d18p+2

static const double MAX_FREQUENCY = 1024; /* times the largest position: 2^50, the reach of mqa_sincos64 */
static const double MAX_ATTENTION_FACTOR = 1e6; /* cosines stay far from f32's end */

void mqa_rope_config_init(mqa_rope_config *out, size_t struct_size)
{
    const mqa_rope_config defaults = {.base = 10000,
                                      .factor = 1,
                                      .low_freq_factor = 1,
                                      .high_freq_factor = 4,
                                      .beta_fast = 32,
                                      .beta_slow = 1,
                                      .truncate = 1};
    mqa_give_struct(&defaults, sizeof defaults, out, struct_size);
}

/* ---- what is valid ---- */

static mqa_status check_positive(const char *name, double value, mqa_error *err)
{
    if (value > 0 && value < INFINITY) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope: %s is %g: give a finite number above 0", name,
                    value);
}

/* 0 < low < high, both finite. */
static mqa_status check_order(const char *low_name, double low, const char *high_name, double high,
                              mqa_error *err)
{
    MQA_TRY(check_positive(low_name, low, err));
    MQA_TRY(check_positive(high_name, high, err));
    if (low < high) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope: %s, %g, is not below %s, %g", low_name, low,
                    high_name, high);
}

static mqa_status check_dims(const mqa_rope_config *c, mqa_error *err)
{
    if (c->n_dims < 2 || c->n_dims > MQA_ROPE_MAX_DIMS || c->n_dims % 2 != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope: n_dims is %d: give an even number from 2 to %d",
                        c->n_dims, MQA_ROPE_MAX_DIMS);
    if (c->first_dim < 0 || c->first_dim > MQA_ROPE_MAX_DIMS - c->n_dims)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "rope: first_dim is %d: give 0 to %d, so that with n_dims it is at most %d",
                        c->first_dim, MQA_ROPE_MAX_DIMS - c->n_dims, MQA_ROPE_MAX_DIMS);
    return MQA_OK;
}

static mqa_status check_scaling(const mqa_rope_config *c, mqa_error *err)
{
    if (c->scaling == MQA_ROPE_SCALING_NONE) return MQA_OK;
    MQA_TRY(check_positive("factor", c->factor, err));
    if (c->scaling == MQA_ROPE_SCALING_LINEAR) return MQA_OK;
    MQA_TRY(check_positive("original_context", c->original_context, err));
    if (c->scaling == MQA_ROPE_SCALING_LLAMA3)
        return check_order("low_freq_factor", c->low_freq_factor, "high_freq_factor", c->high_freq_factor,
                           err);
    if (!(c->base > 1))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope: base is %g: YaRN needs one above 1", c->base);
    return check_order("beta_slow", c->beta_slow, "beta_fast", c->beta_fast, err);
}

static mqa_status check_config(const mqa_rope_config *c, mqa_error *err)
{
    MQA_TRY(check_dims(c, err));
    if (c->style != MQA_ROPE_NEOX && c->style != MQA_ROPE_ADJACENT)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope: style is %d: not one of mqa_rope_style",
                        (int)c->style);
    MQA_TRY(check_positive("base", c->base, err));
    if ((unsigned)c->scaling > MQA_ROPE_SCALING_YARN)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "rope: scaling is %d: not one of mqa_rope_scaling",
                        (int)c->scaling);
    MQA_TRY(check_scaling(c, err));
    if (!(c->attention_factor >= 0 && c->attention_factor <= MAX_ATTENTION_FACTOR))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "rope: attention_factor is %g: give a number up to %g, or 0 for the default",
                        c->attention_factor, MAX_ATTENTION_FACTOR);
    for (int i = 0; c->freq_factors && i < c->n_dims / 2; i++)
        if (!(c->freq_factors[i] > 0 && c->freq_factors[i] < INFINITY))
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "rope: freq_factors[%d] is %g: give a finite number above 0", i,
                            c->freq_factors[i]);
    return MQA_OK;
}

/* ---- frequencies ---- */

/* Pairs that make more than high_freq_factor turns within the original context stay, those that make less
 * than low_freq_factor are slowed down, those between are mixed. */
static double llama3(const mqa_rope_config *c, double f)
{
    const double turns = c->original_context * f / TWO_PI;
    if (turns > c->high_freq_factor) return f;
    if (turns < c->low_freq_factor) return f / c->factor;
    const double smooth = (turns - c->low_freq_factor) / (c->high_freq_factor - c->low_freq_factor);
    return (1 - smooth) * f / c->factor + smooth * f;
}

/* YaRN's pairs before low stay, those after high are slowed down. */
typedef struct ramp {
    double low, high;
} ramp;

/* The pair, with a fraction, that makes so many turns within the original context. */
static double pair_of_turns(const mqa_rope_config *c, double turns)
{
    return c->n_dims * mqa_log64(c->original_context / (turns * TWO_PI)) / (2 * mqa_log64(c->base));
}

static mqa_status make_ramp(const mqa_rope_config *c, ramp *out, mqa_error *err)
{
    ramp r = {.low = pair_of_turns(c, c->beta_fast), .high = pair_of_turns(c, c->beta_slow)};
    if (c->truncate) r = (ramp){.low = floor(r.low), .high = ceil(r.high)};
    if (r.low < 0) r.low = 0;
    if (r.high > c->n_dims - 1) r.high = c->n_dims - 1;
    if (!(r.low <= r.high)) /* where implementations part ways */
        return mqa_fail(
            err, MQA_ERR_INVALID_ARGUMENT,
            "rope: YaRN's ramp would run from pair %g to %g of %d: original_context %g doesn't go with "
            "base %g",
            r.low, r.high, c->n_dims / 2, c->original_context, c->base);
    if (r.low == r.high) r.high += 0.001;
    *out = r;
    return MQA_OK;
}

static double yarn(const mqa_rope_config *c, ramp r, int i, double f)
{
    double slow = (i - r.low) / (r.high - r.low);
    slow = slow < 0 ? 0 : slow > 1 ? 1 : slow;
    return slow * (f / c->factor) + (1 - slow) * f;
}

static mqa_status set_frequencies(const mqa_rope_config *c, double *f, mqa_error *err)
{
    const double log_base = mqa_log64(c->base);
    ramp r = {0};
    if (c->scaling == MQA_ROPE_SCALING_YARN) MQA_TRY(make_ramp(c, &r, err));
    for (int i = 0; i < c->n_dims / 2; i++) {
        f[i] = mqa_exp64(-(2.0 * i / c->n_dims * log_base));
        if (c->scaling == MQA_ROPE_SCALING_LINEAR) f[i] /= c->factor;
        if (c->scaling == MQA_ROPE_SCALING_LLAMA3) f[i] = llama3(c, f[i]);
        if (c->scaling == MQA_ROPE_SCALING_YARN) f[i] = yarn(c, r, i, f[i]);
        if (c->freq_factors) f[i] /= c->freq_factors[i];
        if (!(f[i] >= 0 && f[i] <= MAX_FREQUENCY))
            return mqa_fail(
                err, MQA_ERR_INVALID_ARGUMENT,
                "rope: pair %d would turn by %g radians a position; the most is %g: base, factor or "
                "freq_factors is too small",
                i, f[i], MAX_FREQUENCY);
    }
    return MQA_OK;
}

static double attention_factor(const mqa_rope_config *c)
{
    if (c->attention_factor > 0) return c->attention_factor;
    if (c->scaling != MQA_ROPE_SCALING_YARN || c->factor <= 1) return 1;
    return 0.1 * mqa_log64(c->factor) + 1;
}

/* ---- objects ---- */

static size_t rope_bytes(int n_dims)
{
    return sizeof(mqa_rope) + (size_t)(n_dims / 2) * sizeof(double);
}

static mqa_status fill(mqa_rope *rope, const mqa_rope_config *c, mqa_error *err)
{
    const mqa_fpenv saved = mqa_fpenv_enter();
    const mqa_status status = set_frequencies(c, rope->f, err);
    rope->attention_factor = attention_factor(c);
    mqa_fpenv_leave(saved);
    return status;
}

mqa_status mqa_rope_create(mqa_context *ctx, const mqa_rope_config *config, mqa_rope **out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_rope_create: out is NULL");
    *out = NULL;
    if (!ctx) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_rope_create: ctx is NULL");
    mqa_rope_config own;
    MQA_TRY(MQA_TAKE(mqa_rope_config, config, &own, err));
    MQA_TRY(check_config(&own, err));
    mqa_rope *rope = mqa_alloc(ctx->allocator, rope_bytes(own.n_dims));
    if (!rope) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a rope");
    rope->ctx = ctx;
    rope->n_dims = own.n_dims;
    rope->first_dim = own.first_dim;
    rope->style = own.style;
    const mqa_status status = fill(rope, &own, err);
    if (status != MQA_OK)
        mqa_rope_destroy(&rope);
    else
        *out = rope;
    return status;
}

void mqa_rope_destroy(mqa_rope **rope)
{
    if (!rope || !*rope) return;
    mqa_release((*rope)->ctx->allocator, *rope, rope_bytes((*rope)->n_dims));
    *rope = NULL;
}

void mqa_rope_table_at(const mqa_rope *rope, int64_t position, float *c, float *s)
{
    const double a = rope->attention_factor;
    for (int i = 0; i < rope->n_dims / 2; i++) {
        double sine, cosine;
        mqa_sincos64((double)position * rope->f[i], &sine, &cosine);
        c[i] = (float)(a * cosine);
        s[i] = (float)(a * sine);
    }
}

/* ---- plain arrays ---- */

static mqa_status check_positions(int64_t position, int64_t n_tokens, mqa_error *err)
{
    const int64_t max = MQA_ROPE_MAX_POSITION;
    if (position >= -max && position <= max && n_tokens - 1 <= max - position) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "rope: %" PRId64 " tokens at %" PRId64 ": positions reach from -2^40 to 2^40", n_tokens,
                    position);
}

/* From the bytes of one thing to those from the first of n to the last, stride elements apart; false where
 * they overlap or exceed all memory. */
static bool extend(size_t *bytes, size_t n, size_t stride)
{
    size_t apart;
    if (n < 2) return true;
    if (!mqa_mul(stride, sizeof(float), &apart) || apart < *bytes) return false;
    return mqa_mul(n - 1, apart, &apart) && mqa_add(apart, *bytes, bytes) && *bytes <= PTRDIFF_MAX;
}

static mqa_status check_strides(const mqa_rope *rope, size_t n_tokens, size_t n_heads, size_t stride_token,
                                size_t stride_head, mqa_error *err)
{
    const size_t head = (size_t)(rope->first_dim + rope->n_dims) * sizeof(float);
    size_t nhd = head, hnd = head;
    if ((extend(&nhd, n_heads, stride_head) && extend(&nhd, n_tokens, stride_token)) ||
        (extend(&hnd, n_tokens, stride_token) && extend(&hnd, n_heads, stride_head)))
        return MQA_OK;
    return mqa_fail(
        err, MQA_ERR_INVALID_ARGUMENT,
        "rope: with stride_token %zu and stride_head %zu, %zu tokens of %zu heads of %zu values overlap "
        "or exceed all memory",
        stride_token, stride_head, n_tokens, n_heads, head / sizeof(float));
}

mqa_status mqa_rope_apply(const mqa_rope *rope, int64_t position, int64_t n_tokens, int n_heads, float *x,
                          size_t stride_token, size_t stride_head, mqa_error *err)
{
    if (!rope) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_rope_apply: rope is NULL");
    if (n_tokens < 0 || n_heads < 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "rope: %" PRId64 " tokens of %d heads: give 0 or more of 1 or more", n_tokens,
                        n_heads);
    if (n_tokens == 0) return MQA_OK;
    if (!x) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_rope_apply: x is NULL");
    MQA_TRY(check_positions(position, n_tokens, err));
    MQA_TRY(check_strides(rope, (size_t)n_tokens, (size_t)n_heads, stride_token, stride_head, err));

    const mqa_row_kernels *kernels = &rope->ctx->kernels->rows;
    float c[MQA_ROPE_MAX_DIMS / 2], s[MQA_ROPE_MAX_DIMS / 2];
    const mqa_fpenv saved = mqa_fpenv_enter();
    for (int64_t t = 0; t < n_tokens; t++) {
        float *token = x + (size_t)t * stride_token;
        mqa_rope_table_at(rope, position + t, c, s);
        for (size_t h = 0; h < (size_t)n_heads; h++)
            mqa_rope_turn(rope, kernels, token + h * stride_head, c, s);
    }
    mqa_fpenv_leave(saved);
    return MQA_OK;
}
