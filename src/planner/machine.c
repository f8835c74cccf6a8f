/* What a machine's figures say, and what is assumed where they say nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>

#include "planner/planner.h"

const int mqa_curve_rows[MQA_CURVE_POINTS] = {1, 4, 16, 64, 256, 1024};

double mqa_curve_at(const double shares[MQA_CURVE_POINTS], double rows)
{
    const int *at = mqa_curve_rows;
    if (rows <= at[0]) return shares[0];
    for (int i = 1; i < MQA_CURVE_POINTS; i++) {
        if (rows > at[i]) continue;
        const double part = log(rows / at[i - 1]) / log((double)at[i] / at[i - 1]);
        return shares[i - 1] + part * (shares[i] - shares[i - 1]);
    }
    return shares[MQA_CURVE_POINTS - 1];
}

/* Between two sizes by the logarithm of the size. */
double mqa_machine_bandwidth(const mqa_machine *m, double working_set)
{
    double bytes = 0, rate = 0, share = 1;
    for (int i = 0; i < m->n_caches; i++) {
        const double b = m->caches[i].bytes, r = m->caches[i].rate * m->caches[i].share;
        if (working_set <= b && i == 0) return r;
        if (working_set <= b) return rate + log(working_set / bytes) / log(b / bytes) * (r - rate);
        bytes = b;
        rate = r;
        share = m->caches[i].share;
    }
    return m->bandwidth * share;
}

double mqa_part_from_memory(const mqa_machine *m, double bandwidth)
{
    if (m->curve_bytes == 0) return 1;
    const double cached = 1 / mqa_machine_bandwidth(m, m->curve_bytes),
                 memory = 1 / mqa_machine_bandwidth(m, HUGE_VAL);
    if (memory <= cached) return 1;
    return fmin(fmax((1 / bandwidth - cached) / (memory - cached), 0), 1);
}

mqa_rate mqa_rate_of_kv(mqa_kv_type type)
{
    if (type == MQA_KV_F32) return MQA_RATE_F32;
    return type == MQA_KV_INT8 || type == MQA_KV_INT4 ? MQA_RATE_INT8 : MQA_RATE_BF16;
}

mqa_rate mqa_rate_of_weights(mqa_weight_class c)
{
    if (c == MQA_WEIGHTS_F32) return MQA_RATE_F32;
    return c == MQA_WEIGHTS_BF16 ? MQA_RATE_BF16 : MQA_RATE_INT8;
}

static void assume_curve(mqa_curve *curve, double share)
{
    for (int i = 0; i < MQA_CURVE_POINTS; i++) {
        if (curve->share[i] == 0) curve->share[i] = share;
        if (curve->memory[i] == 0) curve->memory[i] = share;
    }
}

/* What good kernels reach: seven tenths of memory's bandwidth and of the peak; quants of fewer than 8 bits
 * are unpacked first, and their products made in 16 bits on most machines. */
void mqa_machine_assume(mqa_machine *m)
{
    for (int c = 0; c < MQA_WEIGHT_CLASSES; c++) assume_curve(&m->linear[c], 0.7);
    for (int t = 0; t < MQA_KV_TYPES; t++) assume_curve(&m->attention[t], 0.7);
    if (m->peak[MQA_RATE_BF16] == 0) m->peak[MQA_RATE_BF16] = m->peak[MQA_RATE_F32];
    if (m->peak[MQA_RATE_F32] == 0) m->peak[MQA_RATE_F32] = m->peak[MQA_RATE_BF16];
    if (m->peak[MQA_RATE_INT8] == 0) m->peak[MQA_RATE_INT8] = m->peak[MQA_RATE_BF16];
}

/* ---- checks ---- */

static mqa_status check(const char *what, double value, bool may_be_zero, mqa_error *err)
{
    if (isfinite(value) && (value > 0 || (may_be_zero && value == 0)) && value < 1e24) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "machine: %s is %g: give a finite number above 0", what,
                    value);
}

static mqa_status check_curve(const char *what, const mqa_curve *curve, mqa_error *err)
{
    for (int i = 0; i < 2 * MQA_CURVE_POINTS; i++) {
        const double share = i < MQA_CURVE_POINTS ? curve->share[i] : curve->memory[i - MQA_CURVE_POINTS];
        if (!(share >= 1e-6 && share <= 1e3))
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "machine: a share of %g for %s: not from 1e-6 to 1000", share, what);
    }
    return MQA_OK;
}

mqa_status mqa_machine_check(const mqa_machine *m, mqa_error *err)
{
    static const char *const peaks[MQA_RATES] = {"the peak of f32", "the peak of bf16", "the peak of int8"};
    MQA_TRY(check("bandwidth", m->bandwidth, false, err));
    for (int i = 0; i < MQA_RATES; i++) MQA_TRY(check(peaks[i], m->peak[i], false, err));
    MQA_TRY(check("the rate of exponentials", m->exp_rate, true, err));
    MQA_TRY(check("curve_bytes", m->curve_bytes, true, err));
    MQA_TRY(check("seconds_per_step", m->seconds_per_step, true, err));
    MQA_TRY(check("seconds_per_layer", m->seconds_per_layer, true, err));
    MQA_TRY(check("seconds_per_value", m->seconds_per_value, true, err));
    MQA_TRY(check("seconds_per_granule", m->seconds_per_granule, true, err));
    MQA_TRY(check("seconds_per_small_page", m->seconds_per_small_page, true, err));
    MQA_TRY(check("seconds_per_request", m->seconds_per_request, true, err));
    MQA_TRY(check("seconds_per_unit", m->seconds_per_unit, true, err));
    for (int t = 0; t < MQA_KV_TYPES; t++) {
        MQA_TRY(check("seconds_per_kv_value", m->seconds_per_kv_value[t], true, err));
        MQA_TRY(check("seconds_per_score", m->seconds_per_score[t], true, err));
        MQA_TRY(check("seconds_per_turned_value", m->seconds_per_turned_value[t], true, err));
    }
    if (m->n_caches < 0 || m->n_caches > MQA_MACHINE_CACHES)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "machine: %d caches: 0 to %d", m->n_caches,
                        MQA_MACHINE_CACHES);
    for (int i = 0; i < m->n_caches; i++) {
        MQA_TRY(check("a cache's size", m->caches[i].bytes, false, err));
        MQA_TRY(check("a cache's bandwidth", m->caches[i].rate, false, err));
        MQA_TRY(check("the share of a cache's bandwidth", m->caches[i].share, false, err));
        if (i > 0 && m->caches[i].bytes <= m->caches[i - 1].bytes)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "machine: the sizes of caches don't ascend");
    }
    for (int c = 0; c < MQA_WEIGHT_CLASSES; c++)
        MQA_TRY(check_curve(mqa_weight_class_name((mqa_weight_class)c), &m->linear[c], err));
    for (int t = 0; t < MQA_KV_TYPES; t++)
        MQA_TRY(check_curve(mqa_kv_type_name((mqa_kv_type)t), &m->attention[t], err));
    return MQA_OK;
}
