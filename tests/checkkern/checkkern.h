/* checkkern: every kernel of every instruction set that this CPU has, against the plain C ones, bit for bit.
 *
 *     checkkern [FAMILY]...                checks (linear, rows, attention, pairs, scores, math; default:
 * all) checkkern --bench [FAMILY]...        measures instead (linear, rows, attention)
 *
 * A family is one file. A check makes its buffers with ck_buffer, so that a kernel that reads or writes past
 * an end dies on a guard page and one that writes before the start is seen by ck_intact.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_CHECKKERN_H
#define MQA_TESTS_CHECKKERN_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Tables to test: those of the instruction sets available, the plain C one left out, and variants of them
 * that this CPU could run but has something better than (variants.c). */
extern int ck_n_tables;
extern const mqa_kernels *ck_tables[16];
void ck_add_table(const char *name, const mqa_kernels *k);
void ck_add_variants(void);
const char *ck_name(const mqa_kernels *k);
const mqa_attention_kernels *ck_plain_of(const char *recipe);

/* What is being checked, for messages: ck_case("linear", "avx2 4 bits, 3 rows"). */
void ck_case(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Counts a failure and prints the case and the message. */
void ck_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Fails unless the values are the same to the bit (any NaN equals any NaN). */
void ck_same(const char *what, const float *expected, const float *got, size_t n);
void ck_same_bytes(const char *what, const void *expected, const void *got, size_t n);

/* size bytes that end at a guard page, at an address that is a multiple of alignment (size too, else the
 * end is short of the page by less than alignment), each 0xa5 (as f32 a small number). Lives until
 * ck_release_all, which first checks the bytes before and behind each buffer. */
void *ck_buffer(size_t size, size_t alignment);
void ck_release_all(void);

uint32_t ck_random(void);
float ck_uniform(float lo, float hi);
float ck_normal(void);
void ck_fill_normal(float *x, size_t n, float scale);

/* How often fn(arg) runs in a second: of this thread's CPU time (others may be at work on the machine), best
 * of several bursts; or by the clock on the wall, for what runs in several threads. */
double ck_rate(void (*fn)(void *arg), void *arg);
double ck_wall_rate(void (*fn)(void *arg), void *arg);
double ck_seconds(void);   /* on the wall */
double ck_gigahertz(void); /* of dependent additions, one a cycle */

void check_linear(void);
void check_rows(void);
void check_attention(void);
void check_pairs(void);
void check_scores(void);
void check_math(void);
void bench_linear(void);
void bench_rows(void);
void bench_attention(void);

#endif
