/* Loops over the probabilities of one row in one span, on sixteen lanes that the compiler turns into vectors.
 * The order of additions is the source's, so sums are the same on every machine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_INSPECT_SUMS_H
#define MQA_INSPECT_SUMS_H

/* Any n >= 0. */
float mqa_sum(const float *p, int n);
float mqa_largest(const float *p, int n); /* 0 where n is 0 */

/* p[i] *= factor; the sum of p log2 p. n: a multiple of 16. */
float mqa_scale_sum_plogp(float *p, int n, float factor);

/* Of two rows, n a multiple of 16: the sums of x log2 x with x = (a + b) / 2, and of min(a, b). */
typedef struct mqa_two_rows {
    float middle_plogp, overlap;
} mqa_two_rows;
mqa_two_rows mqa_compare_rows(const float *a, const float *b, int n);

#endif
