/* The machines that ship, each figure with its source.
 *
 * Rates of data sheets are without sparsity. What isn't published says how it was arrived at.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "planner/planner.h"

#define GB  1000000000u
#define GiB ((size_t)1 << 30)

static const mqa_machine machines[] = {
    {.name = "AMD Zen 4, 2 cores",
     .source = "mqa bench roofline on a virtual machine of 2 AMD EPYC Zen 4 cores",
     .n_threads = 2,
     .bandwidth = 42e9,
     .peak = {236e9, 472e9, 944e9},
     .exp_rate = 10.6e9,
     .memory = 23 * GiB},
    {.name = "AMD Zen 5, 2 cores",
     .source = "mqa bench roofline on a virtual machine of 2 AMD Zen 5 cores",
     .n_threads = 2,
     .bandwidth = 40e9,
     .peak = {480e9, 913e9, 1980e9},
     .memory = 23 * GiB},
    {.name = "Intel AMX, 2 cores",
     .source = "mqa bench roofline on a virtual machine of 2 Intel cores with AMX",
     .n_threads = 2,
     .bandwidth = 31e9,
     .peak = {490e9, 7050e9, 14070e9},
     .memory = 23 * GiB},
    {.name = "H100 SXM",
     .source = "NVIDIA H100 Tensor Core GPU data sheet: 80 GB HBM3, 3.35 TB/s, dense bf16 989, int8 1,979, "
               "f32 67 T/s",
     .bandwidth = 3.35e12,
     .peak = {67e12, 989e12, 1979e12},
     .memory = (size_t)80 * GB},
    {.name = "H200",
     .source = "NVIDIA H200 Tensor Core GPU data sheet (SXM): 141 GB HBM3e, 4.8 TB/s, dense bf16 989, int8 "
               "1,979, f32 67 T/s",
     .bandwidth = 4.8e12,
     .peak = {67e12, 989e12, 1979e12},
     .memory = (size_t)141 * GB},
    {.name = "A100 80GB",
     .source = "NVIDIA A100 80GB SXM data sheet: 2,039 GB/s, dense bf16 312, int8 624, f32 19.5 T/s",
     .bandwidth = 2.039e12,
     .peak = {19.5e12, 312e12, 624e12},
     .memory = (size_t)80 * GB},
    {.name = "L4",
     .source = "NVIDIA L4 data sheet: 24 GB, 300 GB/s, f32 30.3 T/s; dense bf16 121, int8 242 T/s (half of "
               "its figures with sparsity)",
     .bandwidth = 300e9,
     .peak = {30.3e12, 121e12, 242e12},
     .memory = (size_t)24 * GB},
    {.name = "M4 Max",
     .source = "Apple's technical specifications: 546 GB/s, 128 GB at most; peak not published: 40 GPU cores "
               "x 128 multiply-adds x 1.6 GHz or so",
     .bandwidth = 546e9,
     .peak = {16e12, 16e12, 16e12},
     .memory = (size_t)128 * GB},
    {.name = "Raspberry Pi 5",
     .source = "Raspberry Pi 5 product brief: LPDDR4X-4267 of 32 bits (17.1 GB/s), 8 GB, 4 Cortex-A76 at 2.4 "
               "GHz with two 128-bit pipes (Arm's optimisation guide): f32 154, int8 dot products 614 G/s",
     .n_threads = 4,
     .bandwidth = 17.1e9,
     .peak = {153.6e9, 153.6e9, 614.4e9},
     .memory = (size_t)8 * GB},
};

int mqa_machine_count(void)
{
    return (int)(sizeof machines / sizeof machines[0]);
}

const mqa_machine *mqa_machine_at(int i)
{
    return i >= 0 && i < mqa_machine_count() ? &machines[i] : NULL;
}

/* Letters and digits only count. */
static bool same_name(const char *a, const char *b)
{
    for (;;) {
        while (*a && !isalnum((unsigned char)*a)) a++;
        while (*b && !isalnum((unsigned char)*b)) b++;
        if (!*a || !*b) return *a == *b;
        if (tolower((unsigned char)*a++) != tolower((unsigned char)*b++)) return false;
    }
}

mqa_status mqa_machine_find(const char *name, mqa_machine *out, mqa_error *err)
{
    char list[400] = "";
    size_t n = 0;
    for (int i = 0; i < mqa_machine_count(); i++) {
        if (same_name(name, machines[i].name)) {
            *out = machines[i];
            mqa_machine_assume(out);
            return MQA_OK;
        }
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s'%s'", i ? ", " : "", machines[i].name);
    }
    return mqa_fail(err, MQA_ERR_NOT_FOUND, "no machine '%.60s': there are %s", name, list);
}
