/* The same with the i8mm extension. SPDX-License-Identifier: Apache-2.0 */
#define LINEAR_ROWS_FILL mqa_linear_rows_neon_i8mm
#include "kernels/neon/linear_rows.c"
