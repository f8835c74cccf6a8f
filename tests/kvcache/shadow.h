/* The plain model: what each sequence of a cache should be, kept as arrays of numbers, and what follows from
 * that.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KVCACHE_SHADOW_H
#define TESTS_KVCACHE_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include "mqa/cache.h"

enum { SEQUENCES = 5, MAX_LAYERS = 2, MAX_TOKENS = 1280, MAX_PAGES = MAX_TOKENS / 64 };

/* Who pays: nobody, or an account; the last two are below TOP. */
enum { NOBODY, TOP, LEFT, RIGHT, PAYERS };

/* What one sequence should be. Tokens are counted from `first` in the arrays. */
typedef struct shadow {
    mqa_sequence *seq;
    int64_t first, length;
    bool stale; /* its last page was cut while others had it: what lies behind is theirs */
    bool kept;
    int payer;                /* for pages it takes */
    uint32_t page[MAX_PAGES]; /* names: the same name is the same page; 0: given back */
    uint32_t stamp[MAX_LAYERS][MAX_TOKENS];
} shadow;

typedef struct model {
    mqa_cache_config config;
    mqa_cache *cache;
    int page_tokens;
    int64_t limit;
    shadow s[SEQUENCES];
    uint32_t last_page, last_stamp;
    mqa_account *account[PAYERS];
    int64_t account_limit[PAYERS]; /* pages; -1: none */
    uint8_t payer_of[1 << 16];     /* by a page's name */
    size_t at;                     /* the record */
    char why[300];
} model;

/* Where a sequence's names end, and how many of them are pages. */
int64_t end_index(const model *m, const shadow *s);
int64_t n_pages(const model *m, const shadow *s);
/* Whether its tokens [position, position + n) are there, none of them given back. */
bool holds(const model *m, const shadow *s, int64_t position, int64_t n);
/* The first token given back and the one after the last; both are its first token where there are none. */
int64_t gone_from(const model *m, const shadow *s);
int64_t held_from(const model *m, const shadow *s);
/* Sequences that have the page. */
int holders(const model *m, uint32_t name);
int64_t pages_in_use(const model *m);
/* The same, were sequence `which` as in `other`: of all pages, or (payer not NOBODY) of those charged to an
 * account or to those below it. */
int64_t pages_with(const model *m, int which, const shadow *other);
int64_t pages_charged(const model *m, int which, const shadow *other, int payer);
/* Of these, pages whose holders are all kept. */
int64_t pages_kept(const model *m, int payer);
/* A page that the sequence takes: its name. */
uint32_t take_page(model *m, const shadow *s);
int64_t unique_pages(const model *m, const shadow *s);
/* Keeps only pages that the next token sees, and those with a sink. */
void drop_behind_window(const model *m, shadow *s);
/* Whether it could be cut to length. */
bool can_go_back(const model *m, const shadow *s, int64_t length);

#endif
