/* The same with the dot product extension. SPDX-License-Identifier: Apache-2.0 */
#define ATTENTION_FILL mqa_attention_neon_dotprod
#include "kernels/neon/attention.c"
