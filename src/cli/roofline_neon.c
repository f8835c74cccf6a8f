/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/simd/v16_neon.h"

#define VECTOR_BYTES   16
#define N_ACCUMULATORS 24
#define NAMED(x)       roofline_##x##_neon
#include "roofline_loops.h"
