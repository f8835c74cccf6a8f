/* SPDX-License-Identifier: Apache-2.0 */
#define VECTOR_BYTES   32
#define N_ACCUMULATORS 12
#define NAMED(x)       roofline_##x##_avx2
#include "roofline_loops.h"
