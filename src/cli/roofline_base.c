/* SPDX-License-Identifier: Apache-2.0 */
#define VECTOR_BYTES   16
#define N_ACCUMULATORS 8
#define NAMED(x)       roofline_##x##_base
#include "roofline_loops.h"
