/* How far a result may be from the oracle's of the same stored values.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ATTENTION_BOUNDS_H
#define TESTS_ATTENTION_BOUNDS_H

#include "harness.h"

/* The one table of formats: what is rounded beside the stored values. Those left out are widened to f32,
 * exactly, and rounded nowhere else. */
typedef struct format_error {
    double q_relative;     /* each value of q, in its own magnitude: the bf16 recipes */
    double q_absolute;     /* in that of the largest of its vector */
    double p_relative;     /* each p: the bf16 recipes */
    double p_absolute;     /* each p times its V's scale, in that of the largest of the span */
    double nmse_to_stored; /* of a whole problem with scores of deviation 1 */
} format_error;

/* fast: by a recipe other than portable. */
const format_error *format_error_of(mqa_kv_type type, bool fast);

/* Whether out (NULL: that isn't asked) and lse are what row `id` of the stored problem may give; else says
 * why (256 characters). */
bool within_bounds(const problem *stored, row_id id, const oracle_row *right, bool fast, const float *out,
                   float lse, char *why);

#endif
