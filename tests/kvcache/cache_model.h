/* A plain model of a cache beside the cache itself, and programs that run on both.
 *
 * A program's header chooses the cache; each record is an operation. After each the cache must be what the
 * model says: statuses, tokens, the bytes of every tile, who shares which page, and what all of that costs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KVCACHE_CACHE_MODEL_H
#define TESTS_KVCACHE_CACHE_MODEL_H

#include "../base/programs.h"

extern const program_kind cache_programs;

#endif
