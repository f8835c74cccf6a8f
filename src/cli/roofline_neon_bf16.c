/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#define DOT_ACC             float32x4_t
#define DOT_OPERAND         bfloat16x8_t
#define DOT_OPS             16
#define DOT_STEP(acc, x, y) vbfdotq_f32(acc, x, y)
#define DOT_NAME            roofline_bf16_neon
#include "roofline_dot.h"
