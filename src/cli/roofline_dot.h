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

float DOT_NAME(long rounds, double *ops)
{
    enum { CHAINS = 12 }; /* hide the latency, leave registers */
    DOT_ACC acc[CHAINS];
    DOT_OPERAND x, y;
    __builtin_memset(acc, 0, sizeof acc);
    __builtin_memset(&x, 0, sizeof x);
    __builtin_memset(&y, 0, sizeof y);
    __asm__("" : "+m"(x), "+m"(y)); /* not constants any more */
    for (long i = 0; i < rounds; i++)
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++) acc[j] = DOT_STEP(acc[j], x, y);
    *ops += (double)DOT_OPS * CHAINS * (double)rounds;
    float total = 0;
    for (int j = 0; j < CHAINS; j++) {
        float first;
        __builtin_memcpy(&first, &acc[j], sizeof first);
        total += first;
    }
    return total;
}

#undef DOT_NAME
#undef DOT_ACC
#undef DOT_OPERAND
#undef DOT_STEP
#undef DOT_OPS
