/* Which table for this CPU: what is fast on it, not only what it has.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "kernels/reference/reference.h"

static mqa_kernels tables[MQA_ISA_NEON_C + 1];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
/* Zen 4 and 5 run vdpbf16ps at twice the rate of f32 FMA; Intel's CPUs with AMX at half of it. */
static bool bf16_dot_is_fast(const mqa_cpu *cpu)
{
    return cpu->avx512_bf16 && strcmp(cpu->vendor, "AuthenticAMD") == 0;
}
#endif

int mqa_isa_available(mqa_isa isa)
{
    const mqa_cpu *cpu = mqa_cpu_detect();
    switch (isa) {
    case MQA_ISA_AUTO:
    case MQA_ISA_REFERENCE:
    case MQA_ISA_AMX_C:
    case MQA_ISA_NEON_C:
        return 1;
#if defined(__x86_64__)
    case MQA_ISA_AVX2:
        return cpu->avx2 && cpu->fma && cpu->f16c;
    case MQA_ISA_AVX512:
        return mqa_isa_available(MQA_ISA_AVX2) && cpu->avx512 && cpu->avx512_vnni;
    case MQA_ISA_AMX:
        return mqa_isa_available(MQA_ISA_AVX512) && cpu->avx512_bf16 && cpu->amx_tile && cpu->amx_bf16 &&
               cpu->amx_int8;
#elif defined(__aarch64__)
    case MQA_ISA_NEON:
        return cpu->neon;
#endif
    default:
        (void)cpu;
        return 0;
    }
}

/* Code of an instruction set, its fill functions too, runs only where the CPU has it. */
static void fill(void)
{
    for (int isa = 0; isa <= MQA_ISA_NEON_C; isa++) {
        mqa_kernels *table = &tables[isa];
        table->isa = (mqa_isa)isa;
        mqa_attention_reference(table);
        mqa_linear_rows_reference(table);
        if (isa == MQA_ISA_AMX_C) mqa_attention_amx_c(table);
        if (isa == MQA_ISA_NEON_C) mqa_neon_bf16_reference(table);
#if defined(__x86_64__)
        if (!mqa_isa_available(table->isa)) continue;
        if (isa == MQA_ISA_AVX2 && mqa_cpu_detect()->avx_vnni) {
            mqa_attention_avx2_vnni(table);
            mqa_linear_rows_avx2_vnni(table);
        } else if (isa == MQA_ISA_AVX2) {
            mqa_attention_avx2(table);
            mqa_linear_rows_avx2(table);
        }
        if (isa == MQA_ISA_AVX512 || isa == MQA_ISA_AMX) {
            mqa_attention_avx512(table);
            mqa_linear_rows_avx512(table);
        }
        if (isa == MQA_ISA_AVX512 && bf16_dot_is_fast(mqa_cpu_detect())) mqa_attention_avx512_bf16(table);
        if (isa == MQA_ISA_AMX) mqa_attention_amx(table);
#elif defined(__aarch64__)
        if (isa != MQA_ISA_NEON || !mqa_isa_available(MQA_ISA_NEON)) continue;
        if (mqa_cpu_detect()->neon_i8mm) {
            mqa_attention_neon_i8mm(table);
            mqa_linear_rows_neon_i8mm(table);
        } else if (mqa_cpu_detect()->neon_dotprod) {
            mqa_attention_neon_dotprod(table);
            mqa_linear_rows_neon_dotprod(table);
        } else {
            mqa_attention_neon(table);
            mqa_linear_rows_neon(table);
        }
        if (mqa_cpu_detect()->neon_bf16) mqa_attention_neon_bf16(table);
#endif
    }
}

const mqa_kernels *mqa_kernels_get(mqa_isa isa)
{
    if (isa == MQA_ISA_AUTO) {
        static const mqa_isa fastest_first[] = {MQA_ISA_AMX, MQA_ISA_AVX512, MQA_ISA_AVX2, MQA_ISA_NEON,
                                                MQA_ISA_REFERENCE};
        for (int i = 0; isa == MQA_ISA_AUTO; i++)
            if (mqa_isa_available(fastest_first[i])) isa = fastest_first[i];
    }
    if ((unsigned)isa > MQA_ISA_NEON_C || !mqa_isa_available(isa)) return NULL;
    pthread_once(&filled, fill);
    return &tables[isa];
}
