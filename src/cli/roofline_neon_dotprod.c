/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#define DOT_ACC             int32x4_t
#define DOT_OPERAND         int8x16_t
#define DOT_OPS             32
#define DOT_STEP(acc, x, y) vdotq_s32(acc, x, y)
#define DOT_NAME            roofline_bytes_neon_dotprod
#include "roofline_dot.h"
