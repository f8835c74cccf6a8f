/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#define DOT_ACC             int32x4_t
#define DOT_OPERAND         uint8x16_t
#define DOT_OPS             64
#define DOT_STEP(acc, x, y) vusmmlaq_s32(acc, x, vreinterpretq_s8_u8(y))
#define DOT_NAME            roofline_bytes_neon_i8mm
#include "roofline_dot.h"
