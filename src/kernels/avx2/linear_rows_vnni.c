/* The same with AVX-VNNI. SPDX-License-Identifier: Apache-2.0 */
#define LINEAR_ROWS_FILL mqa_linear_rows_avx2_vnni
#include "kernels/avx2/linear_rows.c"
