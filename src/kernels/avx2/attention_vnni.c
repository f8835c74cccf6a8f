/* The same with AVX-VNNI. SPDX-License-Identifier: Apache-2.0 */
#define ATTENTION_FILL mqa_attention_avx2_vnni
#include "kernels/avx2/attention.c"
