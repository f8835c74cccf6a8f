/* The same with the i8mm extension. SPDX-License-Identifier: Apache-2.0 */
#define ATTENTION_FILL mqa_attention_neon_i8mm
#include "kernels/neon/attention.c"
