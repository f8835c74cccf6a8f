/* What tests write into caches, and the ways of handing it over. A token's K and V are made from a number,
 * its stamp; stamp 0 is a token that was never written.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KVCACHE_ROWS_H
#define TESTS_KVCACHE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kvcache/cache.h"

enum { ROWS_MAX_HEADS = 3, ROWS_MAX_D = 40, ROWS_MAX_TOKENS = 2048 };

/* splitmix64 */
uint64_t next_random(uint64_t *state);
int64_t random_from(uint64_t *state, int64_t lo, int64_t hi);

/* Small whole numbers, exact in every float format. Different for K and V, layers and heads. */
void stamped_row(uint32_t stamp, int layer, int head, bool is_v, int d, float *x);
/* The same as the cache stores it: transformed, where its configuration says so. */
void stored_row(const mqa_cache *cache, uint32_t stamp, int layer, int head, bool is_v, float *x);
/* One granule of one head as it must be, byte for byte, where its 64 tokens have these stamps: packed afresh
 * into layout.head_bytes bytes, 64-byte aligned. */
void stamped_granule(const mqa_cache *cache, const uint32_t *stamps, int layer, int head, unsigned char *run);

typedef enum import_kind { IMPORT_NHD, IMPORT_HND, IMPORT_PAGED } import_kind;

typedef struct import_way {
    import_kind kind;
    int64_t bad_token; /* of the call: its last head's V has a NaN; -1: none */
    /* IMPORT_PAGED only: */
    mqa_source_type type;
    mqa_source_layout layout;
    int page_tokens;
    int first_token;
    bool side_by_side; /* K and V of a page one after the other, as FlashInfer has them */
    uint64_t shuffle;  /* where pages lie */
    bool hostile;      /* the last block's page isn't there */
} import_way;

/* Writes n tokens of one layer, all else in the arrays being NaN. */
mqa_status import_tokens(mqa_sequence *seq, int layer, int64_t position, int64_t n, const uint32_t *stamps,
                         const import_way *way, mqa_error *err);

/* Reads the tokens back, in either order, and compares: NULL, or what is wrong. */
const char *compare_tokens(const mqa_sequence *seq, int layer, int64_t position, int64_t n,
                           const uint32_t *stamps, bool hnd);

#endif
