/* Tables that this CPU could run but that dispatch.c doesn't choose on it, so that one machine tests every
 * path.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/cpu.h"
#include "checkkern.h"
#include "kernels/reference/reference.h"

typedef void fill_fn(mqa_kernels *k);

__attribute__((unused)) static void add_variant(const char *name, mqa_kernels *k, mqa_isa isa,
                                                fill_fn *attention, fill_fn *linear_rows)
{
    k->isa = isa;
    mqa_attention_reference(k);
    mqa_linear_rows_reference(k);
    attention(k);
    linear_rows(k);
    ck_add_table(name, k);
}

void ck_add_variants(void)
{
#if defined(__aarch64__)
    static mqa_kernels plain;
    if (mqa_cpu_detect()->neon_dotprod)
        add_variant("neon without dotprod", &plain, MQA_ISA_NEON, mqa_attention_neon, mqa_linear_rows_neon);
#endif
}
