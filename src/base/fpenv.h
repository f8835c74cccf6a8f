/* The floating-point environment that the row contract asks for: round to nearest, denormals kept,
 * nothing trapped. A caller may have set its thread otherwise (flush-to-zero is common in audio code).
 *
 *     mqa_fpenv saved = mqa_fpenv_enter();
 *     ... arithmetic ...
 *     mqa_fpenv_leave(saved);
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_FPENV_H
#define MQA_BASE_FPENV_H

#include <stdint.h>

typedef uint64_t mqa_fpenv;

#if defined(__x86_64__)
#include <xmmintrin.h>

static inline mqa_fpenv mqa_fpenv_enter(void)
{
    mqa_fpenv saved = _mm_getcsr();
    _mm_setcsr(0x1f80); /* every exception masked, nearest, neither FTZ nor DAZ */
    return saved;
}
static inline void mqa_fpenv_leave(mqa_fpenv saved)
{
    _mm_setcsr((unsigned)saved);
}

#elif defined(__aarch64__)

static inline mqa_fpenv mqa_fpenv_enter(void)
{
    mqa_fpenv saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return saved;
}
static inline void mqa_fpenv_leave(mqa_fpenv saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
}

#else

static inline mqa_fpenv mqa_fpenv_enter(void)
{
    return 0;
}
static inline void mqa_fpenv_leave(mqa_fpenv saved)
{
    (void)saved;
}

#endif
#endif
