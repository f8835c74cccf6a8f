/* What this CPU has. What is *fast* on it is decided by kernels/dispatch.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_CPU_H
#define MQA_BASE_CPU_H

#include <stdbool.h>

typedef struct mqa_cpu {
    char name[64];   /* brand string, or "unknown" */
    char vendor[16]; /* "AuthenticAMD", "GenuineIntel", … */
    int family, model;
    bool avx2, fma, f16c; /* AVX2 and what we use with it, OS support included */
    bool avx512;          /* F, BW, VL, DQ with OS support */
    bool avx512_vnni, avx512_bf16, avx_vnni;
    bool amx_tile, amx_int8, amx_bf16; /* the CPU's flags and the kernel's permission */
    bool neon, neon_dotprod, neon_i8mm, neon_bf16;
    long l1d_bytes, l2_bytes, l3_bytes; /* 0 when unknown */
} mqa_cpu;

/* Detected once, thread safe. Asks Linux for leave to use AMX tiles where the CPU has them. */
const mqa_cpu *mqa_cpu_detect(void);

#endif
