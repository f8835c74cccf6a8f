/* The same with the dot product extension. SPDX-License-Identifier: Apache-2.0 */
#define LINEAR_ROWS_FILL mqa_linear_rows_neon_dotprod
#include "kernels/neon/linear_rows.c"
