/* Tables that this CPU could run but that dispatch.c doesn't choose on it, so that one machine tests every
 * path.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/cpu.h"
#include "checkkern.h"
#include "kernels/reference/reference.h"

typedef void fill_fn(mqa_kernels *k);

static void add_variant(const char *name, mqa_isa isa, fill_fn *attention, fill_fn *linear_rows)
{
    static mqa_kernels tables[4];
    static int n;
    mqa_kernels *k = &tables[n++];
    k->isa = isa;
    mqa_attention_reference(k);
    mqa_linear_rows_reference(k);
    attention(k);
    linear_rows(k);
    ck_add_table(name, k);
}

#if defined(__x86_64__)

/* CMakeLists.txt */
void ck_attention_evex(mqa_kernels *k);
void ck_linear_rows_evex(mqa_kernels *k);

void ck_add_variants(void)
{
    const mqa_cpu *cpu = mqa_cpu_detect();
    if (mqa_isa_available(MQA_ISA_AVX2) && cpu->avx_vnni)
        add_variant("avx2 without vnni", MQA_ISA_AVX2, mqa_attention_avx2, mqa_linear_rows_avx2);
    if (mqa_isa_available(MQA_ISA_AVX512))
        add_variant("avx2 with avx512's vnni", MQA_ISA_AVX2, ck_attention_evex, ck_linear_rows_evex);
}

#elif defined(__aarch64__)

void ck_add_variants(void)
{
    const mqa_cpu *cpu = mqa_cpu_detect();
    if (cpu->neon_i8mm && cpu->neon_dotprod)
        add_variant("neon without i8mm", MQA_ISA_NEON, mqa_attention_neon_dotprod,
                    mqa_linear_rows_neon_dotprod);
    if (cpu->neon_i8mm || cpu->neon_dotprod)
        add_variant("neon without extensions", MQA_ISA_NEON, mqa_attention_neon, mqa_linear_rows_neon);
}

#else

void ck_add_variants(void)
{
    (void)add_variant;
}

#endif
