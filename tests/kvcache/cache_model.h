/* A plain model of a cache beside the cache itself, and programs that run on both.
 *
 * A program is a header that chooses the cache and records of MODEL_RECORD bytes, an operation each. Any
 * bytes are a program, so that a fuzzer can write them, and a program without some of its records is one too,
 * so that failing ones can be made short. After each operation the cache must be what the model says:
 * statuses, tokens, the bytes of every tile, who shares which page, and what all of that costs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KVCACHE_CACHE_MODEL_H
#define TESTS_KVCACHE_CACHE_MODEL_H

#include <stddef.h>
#include <stdint.h>

enum { MODEL_HEADER = 12, MODEL_RECORD = 8 };

/* NULL, or where and how cache and model came apart (in static memory). */
const char *run_model(const uint8_t *program, size_t size);

#endif
