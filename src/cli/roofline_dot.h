/* A dot product instruction, back to back in registers: a template. Before including it define
 *
 *   DOT_NAME             the function's name
 *   DOT_ACC, DOT_OPERAND types of the sums and of what is multiplied
 *   DOT_STEP(acc, x, y)  acc + x . y
 *   DOT_OPS              operations of a step, two a multiply-add
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "roofline_loops_all.h"

#ifndef ROOFLINE_DOT_H
#define ROOFLINE_DOT_H
/* Twelve sums hide the latency and leave registers. By name: as an array GCC keeps them in memory. */
#define DOT_CHAINS     12
#define DOT_EACH(X)    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DOT_DECLARE(j) DOT_ACC acc##j = {0};
#ifdef __aarch64__
#define DOT_REGISTER "+w"
#else
#define DOT_REGISTER "+v"
#endif
/* The asm has no instructions. Without it, what needs no acc would be taken out of the loop. */
#define DOT_ONE(j)                                                                                           \
    acc##j = DOT_STEP(acc##j, x, y);                                                                         \
    __asm__ volatile("" : DOT_REGISTER(x), DOT_REGISTER(acc##j));
#define DOT_ADD(j) sum += acc##j;
#endif

float DOT_NAME(long rounds, double *ops)
{
    DOT_OPERAND x, y;
    __builtin_memset(&x, 0, sizeof x);
    __builtin_memset(&y, 0, sizeof y);
    DOT_ACC sum = {0};
    DOT_EACH(DOT_DECLARE)
    for (long i = 0; i < rounds; i++) {
        DOT_EACH(DOT_ONE)
    }
    DOT_EACH(DOT_ADD)
    *ops += (double)DOT_OPS * DOT_CHAINS * (double)rounds;
    float first;
    __builtin_memcpy(&first, &sum, sizeof first);
    return first;
}

#undef DOT_NAME
#undef DOT_ACC
#undef DOT_OPERAND
#undef DOT_STEP
#undef DOT_OPS
