/* Memory: aligned blocks through the caller's allocator, and arithmetic that cannot wrap.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_MEMORY_H
#define MQA_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/context.h"

#define MQA_CACHE_LINE 64

/* Zeroed memory aligned to 64 bytes (blocks of 2 MiB and more: to 2 MiB, with huge pages asked for).
 * NULL when there is none or size is 0. allocator NULL: the C library's. */
void *mqa_alloc(const mqa_allocator *allocator, size_t size);
/* As mqa_alloc for n * size bytes; NULL also when the product overflows. */
void *mqa_alloc_array(const mqa_allocator *allocator, size_t n, size_t size);
/* size: what mqa_alloc was asked for. ptr may be NULL. */
void mqa_release(const mqa_allocator *allocator, void *ptr, size_t size);

/* Checked arithmetic: false (and *out untouched) on overflow. */
static inline bool mqa_mul(size_t a, size_t b, size_t *out)
{
    size_t result;
    if (__builtin_mul_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}
static inline bool mqa_add(size_t a, size_t b, size_t *out)
{
    size_t result;
    if (__builtin_add_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

static inline size_t mqa_round_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

#endif
