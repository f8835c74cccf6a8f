/* SPDX-License-Identifier: Apache-2.0 */
#define VECTOR_BYTES   64
#define N_ACCUMULATORS 24
#define NAMED(x)       roofline_##x##_avx512
#include "roofline_loops.h"
