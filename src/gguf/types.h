/* The types of tensors in GGUF files: names, sizes, and how blocks become numbers.
 *
 * Sources: the `gguf` package's quants.py, which every type here equals bit for bit (tests/gguf), and the
 * OCP microscaling formats specification 1.0 for MXFP4.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_GGUF_TYPES_H
#define MQA_GGUF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The numbers are the file format's. */
typedef enum mqa_gguf_type {
    MQA_GGUF_F32 = 0,
    MQA_GGUF_F16 = 1,
    MQA_GGUF_Q4_0 = 2,
    MQA_GGUF_Q4_1 = 3,
    MQA_GGUF_Q5_0 = 6,
    MQA_GGUF_Q5_1 = 7,
    MQA_GGUF_Q8_0 = 8,
    MQA_GGUF_Q2_K = 10,
    MQA_GGUF_Q3_K = 11,
    MQA_GGUF_Q4_K = 12,
    MQA_GGUF_Q5_K = 13,
    MQA_GGUF_Q6_K = 14,
    MQA_GGUF_IQ4_NL = 20,
    MQA_GGUF_BF16 = 30,
    MQA_GGUF_MXFP4 = 39
} mqa_gguf_type;

#define MQA_GGUF_MAX_BLOCK 256 /* values in the largest block */

/* A quantised type as integers: value = (q - zero) * scale + min, q unsigned of `bits` bits, one scale
 * (and min) for each `group` values in order. The field names are those of mqa_linear_format. */
typedef struct mqa_gguf_quant {
    uint8_t bits;    /* 4, 5, 6, 8; 0: not a quantised type (floats, and what we can't read) */
    uint8_t zero;    /* 0, 4, 8, 16, 32, 128 */
    uint8_t group;   /* 16 or 32 */
    bool has_min;    /* else every min is 0 */
    bool f16_scales; /* each scale and min is exactly an f16 */
} mqa_gguf_quant;

typedef struct mqa_gguf_type_info {
    const char *name; /* "Q4_K" */
    uint16_t block_values, block_bytes;
    bool readable; /* mqa_gguf_dequantize knows it; of the others we know only name and size */
    mqa_gguf_quant quant;
} mqa_gguf_type_info;

/* NULL for a number that is no type we have heard of. */
const mqa_gguf_type_info *mqa_gguf_type_find(uint32_t type);
/* "Q4_K", or "?". */
const char *mqa_gguf_type_name(uint32_t type);

/* dst[n_values] from the blocks at src (any alignment). n_values is a multiple of the type's
 * block_values. MQA_ERR_UNSUPPORTED for a type that isn't readable; MQA_ERR_NOT_FINITE where a value is
 * NaN or infinite, with dst filled all the same. Thread safe. */
mqa_status mqa_gguf_dequantize(uint32_t type, const void *src, float *dst, size_t n_values, mqa_error *err);

/* The other way, by rounding to nearest: dst[n_values] in blocks from src, finite values of at most the
 * type's range, n_values a multiple of block_values. For F32, F16, BF16, Q8_0 and Q4_0 (a scale for each 32
 * values, the largest of which is met exactly); MQA_ERR_UNSUPPORTED for others. Thread safe. */
mqa_status mqa_gguf_quantize(uint32_t type, const float *src, void *dst, size_t n_values, mqa_error *err);

/* n_blocks blocks as integers: q[n_blocks * block_values], scale and min one for each group. min may be
 * NULL where the type has none; otherwise it is filled (with 0 for types without). The type must be a
 * quantised one (quant.bits > 0). False if a scale or min is not finite, or so large (MXFP4 only) that a
 * value would not be; all is filled even then. Thread safe.
 *
 * (float)(q - zero) * scale + min in separate IEEE operations is exactly what mqa_gguf_dequantize gives;
 * as one fused operation it differs where has_min, by the rounding of the product. */
bool mqa_gguf_unpack(uint32_t type, const void *src, size_t n_blocks, uint8_t *q, float *scale, float *min);

#endif
