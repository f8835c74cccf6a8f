/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/maps.h"

#include <math.h>

#include "kernels/row_kernels.h"

static const double log_of_10 = 2.302585092994046;

mqa_status mqa_maps_create(const mqa_allocator *allocator, int n_maps, int64_t n_tokens, int max_bins,
                           mqa_maps *out, mqa_error *err)
{
    *out = (mqa_maps){.n_maps = n_maps};
    if (max_bins == 0) return MQA_OK;
    while (((n_tokens - 1) >> out->shift) + 1 > max_bins) out->shift++;
    out->bins = (int)((n_tokens - 1) >> out->shift) + 1;
    size_t cells;
    if (!mqa_mul((size_t)out->bins * (size_t)out->bins, (size_t)n_maps, &cells) ||
        !(out->codes = mqa_alloc(allocator, cells)))
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY,
                        "no memory for %d maps of %d x %d bins; ask for fewer bins", n_maps, out->bins,
                        out->bins);
    out->bytes = cells;
    return MQA_OK;
}

void mqa_maps_destroy(const mqa_allocator *allocator, mqa_maps *maps)
{
    mqa_release(allocator, maps->codes, maps->bytes);
    *maps = (mqa_maps){0};
}

uint8_t mqa_map_code(double p)
{
    if (!(p >= MQA_MAP_LEAST)) return 0;
    if (p >= 1) return 255;
    return (uint8_t)(1.5 + 254 * (1 + mqa_log64(p) / (MQA_MAP_DECADES * log_of_10)));
}
