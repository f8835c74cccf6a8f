/* Programs of calls with hostile arguments: everything that mqa/cache.h, mqa/attention.h and mqa/rope.h take.
 *
 * The program's header chooses a cache, whose memory comes from an allocator that counts, has a limit and now
 * and then refuses. Each record is an operation. Its numbers are usual ones, with which a call must succeed,
 * or, one in some, wild ones, which it may refuse. Whatever comes, a call returns a status it may return,
 * with one line of text, and OUT_OF_MEMORY exactly where the allocator refused; it leaves everything usable;
 * and what runs gives each row the bits that it has alone, in another cache, by other threads, and what the
 * float64 oracle says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ATTENTION_FUZZ_WORLD_H
#define TESTS_ATTENTION_FUZZ_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/programs.h"
#include "guarded.h"
#include "mqa/attention.h"

extern const program_kind plan_programs;

enum { WORLD_SEQUENCES = 4, WORLD_PLANS = 2, WORLD_ITEMS = 6, WORLD_LAYERS = 2, WORLD_TOKENS = 1280 };
enum { WORLD_HEADER = 24, WORLD_RECORD = 24 };

/* ---- numbers from bytes: a record read from its beginning; after its end there are zeros ---- */

typedef struct reader {
    const uint8_t *at, *end;
    bool wild; /* a number was that may be refused */
} reader;

uint8_t take_byte(reader *r);
uint16_t take_two(reader *r);
int64_t take_from(reader *r, int64_t lo, int64_t hi); /* always in range, at most 2^16 apart */
bool take_one_in(reader *r, int n);
/* In range, or, one time in 24, anything at all. */
int64_t take_number(reader *r, int64_t lo, int64_t hi);
int take_int(reader *r, int lo, int hi);
/* One of n usual ones, or, one time in 24, NaN, infinities, extremes. */
float take_float(reader *r, const float *usual, int n);
double take_double(reader *r, double usual);
/* sizeof the struct, or, one time in 64, another. */
size_t take_struct_size(reader *r, size_t right);
uint64_t take_seed(reader *r);

/* ---- the world ---- */

/* A caller's allocator. */
typedef struct purse {
    size_t live, limit;
    int64_t blocks;
    int fail_in; /* the n-th allocation from now on is refused; 0: none */
    int refused, calls;
} purse;

typedef struct track {
    mqa_sequence *seq;
    int64_t first;
    int changes;                                /* that make plans stale */
    uint32_t stamp[WORLD_LAYERS][WORLD_TOKENS]; /* from first on; see tests/kvcache/rows.h */
} track;

/* An item as planned, with arrays of its own, exactly as long as it says. */
typedef struct planned {
    mqa_plan_item item;
    int track, changes;
    int64_t first, length;
    int64_t *documents;
    uint8_t *bits;
} planned;

typedef struct plan_slot {
    mqa_plan *plan;
    mqa_plan_options options;
    bool wild; /* its options: scores may be anything */
    bool has_batch;
    int n_items;
    planned items[WORLD_ITEMS];
    guarded workspace;
} plan_slot;

typedef struct world {
    purse purse;
    int kind;    /* of context */
    int threads; /* 1 or 2 */
    mqa_context *ctx;
    mqa_rope *rope;      /* of the cache and of its plans, or NULL */
    mqa_rope *wide_rope; /* for heads that nobody here has */
    mqa_cache_config config;
    mqa_cache *cache;
    mqa_cache *other_cache; /* with a sequence that is none of cache's */
    mqa_sequence *stranger;
    track s[WORLD_SEQUENCES];
    plan_slot p[WORLD_PLANS];
    uint8_t pending[WORLD_ITEMS][WORLD_RECORD]; /* items of the batches to come */
    uint32_t last_stamp;
    mqa_error err;
    size_t at; /* the record */
    char why[600];
} world;

/* Contexts live as long as the process. kind: instruction set and numerics. With a purse's allocator, or the
 * C library's. */
enum { CONTEXT_KINDS = 3 };
mqa_context *world_context(int kind, int threads, bool purse);

/* ---- calls ---- */

bool differ(world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define MUST(w, condition, ...)                                                                              \
    do {                                                                                                     \
        if (!(condition)) return differ(w, __VA_ARGS__);                                                     \
    } while (0)

/* Sets of statuses. OUT_OF_MEMORY needs no mention: it is due where the allocator refused. */
enum {
    FINE = 1 << MQA_OK,
    REFUSED = 1 << MQA_ERR_INVALID_ARGUMENT,
    DEAR = 1 << MQA_ERR_BUDGET,
    NO_NUMBER = 1 << MQA_ERR_NOT_FINITE
};
void world_before_call(world *w);
bool world_called(world *w, const char *call, mqa_status status, unsigned may);
/* CALL(w, may, status, mqa_…(…, &w->err)): returns false from here if it did what it may not do. */
#define CALL(w, may, status, call)                                                                           \
    do {                                                                                                     \
        world_before_call(w);                                                                                \
        status = (call);                                                                                     \
        if (!world_called(w, #call, status, may)) return false;                                              \
    } while (0)

/* ---- operations: false: w->why ---- */

/* fuzz_sequences.c */
bool op_create(world *w, int who, reader *r);
bool op_destroy(world *w, int who);
bool op_append(world *w, int who, reader *r);
bool op_extend(world *w, int who, reader *r);
bool op_truncate(world *w, int who, reader *r);
bool op_fork(world *w, int who, reader *r);
bool op_evict(world *w, int who);
bool extend_by(world *w, int who, int64_t n);
bool truncate_to(world *w, int who, int64_t length);
bool op_write(world *w, int who, reader *r);
bool op_import(world *w, int who, reader *r);
bool op_read(world *w, int who, reader *r);
/* Writes n tokens with new stamps, however the reader says. */
bool write_stamped(world *w, int who, int layer, int64_t position, int64_t n, reader *r);

/* fuzz_batches.c */
bool op_plan(world *w, int slot, reader *r);
bool op_batch(world *w, int slot, reader *r);
bool op_run(world *w, int slot, reader *r);
bool op_workspace(world *w, int slot, reader *r);
void end_batch(plan_slot *p);
void end_plan(plan_slot *p);
bool is_stale(const world *w, const plan_slot *p);

/* fuzz_answers.c: what was run. q and out, lse are dense: [tokens][heads][d], [tokens][heads]. */
typedef struct ran {
    const plan_slot *p;
    int layer;
    const float *q, *out, *lse, *sinks, *slopes;
} ran;
/* Item i's rows are what they are alone. */
bool same_alone(world *w, const ran *a, int i, int64_t first_token, uint64_t seed);
/* One of its rows is what the oracle says. */
bool near_oracle(world *w, const ran *a, int i, int64_t first_token, uint64_t seed);

/* fuzz_shapes.c: descriptors that are used once. */
bool op_context(world *w, reader *r);
bool op_rope(world *w, reader *r);
bool op_cache(world *w, reader *r);
bool op_names(world *w, reader *r);
bool op_states(world *w, reader *r);
bool op_simple(world *w, reader *r);
mqa_rope_config take_rope(reader *r, int d);

#endif
