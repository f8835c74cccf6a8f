/* Memory that ends at a page which can't be touched, with known bytes before it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ATTENTION_GUARDED_H
#define TESTS_ATTENTION_GUARDED_H

#include <stdbool.h>
#include <stddef.h>

typedef struct guarded {
    unsigned char *data; /* 0xa5 at first: as f32 a small number */
    size_t bytes;
    unsigned char *map;
    size_t map_bytes;
} guarded;

/* The data begin at a multiple of alignment, and end less than that before the guard. */
guarded guarded_make(size_t bytes, size_t alignment);
/* Whether nothing was written around the data. */
bool guarded_free(guarded *g);

#endif
