/* Linear layers and row kernels on AVX2.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/simd/v16_avx2.h"

#include "kernels/simd/linear_dot_avx2.h"
#include "kernels/simd/v16_math.h"

#include "kernels/reference/reference.h"
#include "kernels/template/linear.h"
#include "kernels/template/rows.h"

#ifndef LINEAR_ROWS_FILL
#define LINEAR_ROWS_FILL mqa_linear_rows_avx2
#endif

void LINEAR_ROWS_FILL(mqa_kernels *k)
{
    k->linear = (mqa_linear_kernels){.quantize_rows = quantize_rows, .linear = linear};
    k->rows = (mqa_row_kernels)ROW_KERNELS;
}
