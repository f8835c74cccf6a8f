/* The cache: configurations, exact bytes, budgets, windows, writing, failing allocations.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed_of_run;

static mqa_cache_config random_config(uint64_t *rng)
{
    mqa_cache_config c = small_config();
    c.n_layers = (int)random_from(rng, 1, 3);
    c.n_kv_heads = (int)random_from(rng, 1, 3);
    c.head_dim_qk = (int)random_from(rng, 1, 40);
    c.head_dim_vo = (int)random_from(rng, 1, 40);
    c.k_type = (mqa_kv_type)random_from(rng, 0, MQA_KV_TYPES - 1);
    c.v_type = (mqa_kv_type)random_from(rng, 0, MQA_KV_TYPES - 1);
    c.window = next_random(rng) % 2 ? random_from(rng, 1, 300) : 0;
    c.n_sink_tokens = c.window && next_random(rng) % 2 ? random_from(rng, 1, 300) : 0;
    c.max_pages = random_from(rng, 1, 40);
    c.page_tokens = 64 << random_from(rng, 0, 2);
    return c;
}

/* ---- configurations and names -------------------------------------------------------------------- */

static void names(void **state)
{
    (void)state;
    mqa_kv_type type;
    mqa_error err;
    for (int i = 0; i < MQA_KV_TYPES; i++) {
        assert_int_equal(mqa_kv_type_parse(mqa_kv_type_name((mqa_kv_type)i), &type, &err), MQA_OK);
        assert_int_equal(type, i);
    }
    assert_int_equal(mqa_kv_type_parse("q8_0", &type, &err), MQA_OK);
    assert_int_equal(type, MQA_KV_INT8);
    assert_int_equal(mqa_kv_type_parse("q4_0", &type, &err), MQA_OK);
    assert_int_equal(type, MQA_KV_INT4);
    assert_int_equal(mqa_kv_type_parse("f64", &type, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "'f64'"));
    assert_int_equal(mqa_kv_type_parse(NULL, &type, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(mqa_kv_type_name((mqa_kv_type)17));

    mqa_isa isa;
    for (int i = MQA_ISA_AUTO; i <= MQA_ISA_NEON_C; i++) {
        assert_int_equal(mqa_isa_parse(mqa_isa_name((mqa_isa)i), &isa, &err), MQA_OK);
        assert_int_equal(isa, i);
    }
    assert_int_equal(mqa_isa_parse("mmx", &isa, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_true(mqa_isa_available(MQA_ISA_REFERENCE));
    assert_false(mqa_isa_available((mqa_isa)99));
}

static void contexts(void **state)
{
    (void)state;
    mqa_context *ctx;
    mqa_error err;
    assert_int_equal(mqa_context_create(NULL, &ctx, &err), MQA_OK);
    assert_int_equal(mqa_context_isa(ctx) == MQA_ISA_AUTO, 0);
    assert_int_equal(mqa_context_numerics(ctx), MQA_NUMERICS_FAST);
    assert_true(mqa_context_n_threads(ctx) >= 1);
    mqa_context_destroy(&ctx);
    assert_null(ctx);
    mqa_context_destroy(&ctx);
    mqa_context_destroy(NULL);

    mqa_context_options o = mqa_context_options_default();
    o.struct_size = 3;
    assert_int_equal(mqa_context_create(&o, &ctx, &err), MQA_ERR_INVALID_ARGUMENT);
    o = mqa_context_options_default();
    o.n_threads = -1;
    assert_int_equal(mqa_context_create(&o, &ctx, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_null(ctx);
    o = mqa_context_options_default();
    o.isa = (mqa_isa)77;
    assert_int_equal(mqa_context_create(&o, &ctx, &err), MQA_ERR_INVALID_ARGUMENT);
    for (int i = MQA_ISA_AUTO; i <= MQA_ISA_NEON_C; i++) {
        o.isa = (mqa_isa)i;
        const mqa_status status = mqa_context_create(&o, &ctx, &err);
        assert_int_equal(status, mqa_isa_available(o.isa) ? MQA_OK : MQA_ERR_UNSUPPORTED);
        if (i != MQA_ISA_AUTO && ctx) assert_int_equal(mqa_context_isa(ctx), i);
        mqa_context_destroy(&ctx);
    }
}

static void bad_configs(void **state)
{
    (void)state;
    mqa_context *ctx = make_context(NULL);
    const mqa_cache_config good = small_config();
    assert_true(mqa_cache_page_bytes(&good) > 0);
    assert_int_equal(mqa_cache_page_bytes(NULL), 0);
    mqa_cache_config bad[20];
    for (int i = 0; i < 20; i++) bad[i] = good;
    bad[0].struct_size = 8;
    bad[1].n_layers = 0;
    bad[2].n_kv_heads = -1;
    bad[3].head_dim_qk = 1025;
    bad[4].head_dim_vo = 0;
    bad[5].k_type = (mqa_kv_type)MQA_KV_TYPES;
    bad[6].v_type = (mqa_kv_type)-1;
    bad[7].window = -5;
    bad[8].max_pages = 0;
    bad[9].max_pages = INT64_C(1) << 40;
    bad[10].budget_bytes = mqa_cache_page_bytes(&good) - 1;
    bad[11].n_layers = 65537;
    bad[12].n_kv_heads = INT32_MAX;
    bad[13] = (mqa_cache_config){.struct_size = sizeof(mqa_cache_config), /* 2^70 bytes */
                                 .n_layers = 65536,
                                 .n_kv_heads = 65536,
                                 .head_dim_qk = 1024,
                                 .head_dim_vo = 1024,
                                 .max_pages = INT32_MAX};
    bad[14].page_tokens = 32;
    bad[15].page_tokens = 192;
    bad[16].page_tokens = -64;
    bad[17].n_sink_tokens = 4; /* without a window */
    bad[18].n_sink_tokens = -1;
    bad[19].window = 100, bad[19].n_sink_tokens = INT64_MIN;
    for (int i = 0; i < 20; i++) {
        mqa_cache *cache = (mqa_cache *)&cache;
        mqa_error err = {0};
        assert_int_equal(mqa_cache_create(ctx, &bad[i], &cache, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_null(cache);
        assert_true(err.message[0] != '\0');
        assert_int_equal(mqa_cache_page_bytes(&bad[i]) == 0, i < 8 || i == 11 || i == 12 || i > 13);
    }
    mqa_context_destroy(&ctx);
}

/* ---- bytes and budget ---------------------------------------------------------------------------- */

/* mqa_kv_bytes says what the arena holds, after every chunk. */
static void exact_bytes(void **state)
{
    (void)state;
    uint64_t rng = seed_of_run;
    mqa_context *ctx = make_context(NULL);
    for (int round = 0; round < 200; round++) {
        mqa_cache_config config = random_config(&rng);
        config.max_pages = 64;
        const int64_t chunk = random_from(&rng, 1, 600), n = random_from(&rng, 1, 3000);
        mqa_cache *cache;
        mqa_sequence *seq;
        assert_int_equal(mqa_cache_create(ctx, &config, &cache, NULL), MQA_OK);
        assert_int_equal(mqa_sequence_create(cache, &seq, NULL), MQA_OK);
        for (int64_t t = 0; t < n; t += chunk) {
            const int64_t step = n - t < chunk ? n - t : chunk;
            assert_int_equal(mqa_sequence_extend(seq, step, NULL), MQA_OK);
            assert_int_equal(mqa_cache_bytes_in_use(cache), mqa_kv_bytes(&config, t + step, chunk));
        }
        mqa_sequence_destroy(&seq);
        assert_int_equal(mqa_cache_bytes_in_use(cache), 0);
        mqa_cache_destroy(&cache);
    }
    const mqa_cache_config config = small_config();
    assert_int_equal(mqa_kv_bytes(&config, 0, 1), 0);
    assert_int_equal(mqa_kv_bytes(&config, -1, 1), 0);
    assert_int_equal(mqa_kv_bytes(&config, 1, 0), 0);
    assert_int_equal(mqa_kv_bytes(&config, INT64_MAX, 512), SIZE_MAX);
    mqa_context_destroy(&ctx);
}

/* Gemma 3 270M's window layers: 512 tokens, the chunk in flight, and page rounding. */
static void window_bytes(void **state)
{
    (void)state;
    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = 15,
                               .n_kv_heads = 1,
                               .head_dim_qk = 256,
                               .head_dim_vo = 256,
                               .k_type = MQA_KV_BF16,
                               .v_type = MQA_KV_BF16,
                               .window = 512};
    const size_t page = 15 * 64 * 1024; /* (256 + 256) * 2 bytes * 64 tokens, 15 layers */
    assert_int_equal(mqa_cache_page_bytes(&config), page);
    assert_int_equal(mqa_kv_bytes(&config, 512, 512), 8 * page);
    assert_int_equal(mqa_kv_bytes(&config, 32768, 512),
                     16 * page); /* 511 tokens before the chunk, from 31745 on: 8 pages */
    assert_int_equal(mqa_kv_bytes(&config, 32768, 1), 8 * page);
    assert_int_equal(mqa_kv_bytes(&config, 32769, 1), 9 * page);
    config.n_sink_tokens = 4;
    assert_int_equal(mqa_kv_bytes(&config, 32769, 1), 10 * page);
    assert_int_equal(mqa_kv_bytes(&config, 512, 1), 8 * page); /* the sinks' page is the window's first */
    config.n_sink_tokens = 65;
    assert_int_equal(mqa_kv_bytes(&config, 32769, 1), 11 * page);
    config.n_sink_tokens = INT64_MAX; /* keeps all */
    assert_int_equal(mqa_kv_bytes(&config, 32768, 1), 512 * page);
    config.n_sink_tokens = 0;
    config.page_tokens = 256;
    assert_int_equal(mqa_cache_page_bytes(&config), 4 * page);
    assert_int_equal(mqa_kv_bytes(&config, 1, 1), 4 * page);
    assert_int_equal(mqa_kv_bytes(&config, 32768, 1), 2 * 4 * page);
    assert_int_equal(mqa_kv_bytes(&config, 32769, 1), 3 * 4 * page);
}

static void budget(void **state)
{
    (void)state;
    mqa_context *ctx = make_context(NULL);
    mqa_cache_config config = small_config();
    config.budget_bytes = 3 * mqa_cache_page_bytes(&config) + 1;
    mqa_cache *cache;
    mqa_sequence *a, *b;
    mqa_error err;
    assert_int_equal(mqa_cache_create(ctx, &config, &cache, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create(cache, &a, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create(cache, &b, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_extend(a, 65, &err), MQA_OK);
    const size_t used = mqa_cache_bytes_in_use(cache);
    assert_int_equal(mqa_sequence_extend(b, 65, &err), MQA_ERR_BUDGET);
    char needed[32];
    snprintf(needed, sizeof needed, "need %zu bytes", 2 * mqa_cache_page_bytes(&config));
    assert_non_null(strstr(err.message, needed));
    assert_int_equal(mqa_sequence_length(b), 0);
    assert_int_equal(mqa_cache_bytes_in_use(cache), used);
    assert_int_equal(mqa_sequence_extend(b, INT64_MAX / 2, &err), MQA_ERR_BUDGET);
    assert_int_equal(mqa_sequence_extend(b, INT64_MAX, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_extend(b, -1, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_extend(b, 64, &err), MQA_OK);
    assert_int_equal(mqa_sequence_extend(a, 63, &err), MQA_OK); /* fills its open page */
    assert_int_equal(mqa_sequence_extend(a, 1, &err), MQA_ERR_BUDGET);
    assert_int_equal(mqa_sequence_truncate(a, 64, &err), MQA_OK);
    assert_int_equal(mqa_sequence_extend(b, 1, &err), MQA_OK); /* a's page */
    assert_int_equal(mqa_sequence_truncate(a, 65, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_truncate(a, -1, &err), MQA_ERR_INVALID_ARGUMENT);
    mqa_sequence_destroy(&a);
    mqa_sequence_destroy(&b);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
}

/* ---- windows ------------------------------------------------------------------------------------- */

static void windows(void **state)
{
    (void)state;
    mqa_context *ctx = make_context(NULL);
    mqa_cache_config config = small_config();
    config.window = 100;
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_error err;
    assert_int_equal(mqa_cache_create(ctx, &config, &cache, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create(cache, &seq, NULL), MQA_OK);
    /* The query at 163 sees 64 .. 163; at 162 it still sees token 63. */
    assert_int_equal(mqa_sequence_extend(seq, 162, &err), MQA_OK);
    assert_int_equal(mqa_sequence_extend(seq, 1, &err), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(seq), 0);
    assert_int_equal(mqa_sequence_extend(seq, 1, &err), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(seq), 64);
    assert_int_equal(mqa_sequence_truncate(seq, 163, &err),
                     MQA_OK); /* undo: the next query is at 163 again */
    assert_int_equal(mqa_sequence_truncate(seq, 162, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_length(seq), 163);
    /* A chunk much longer than the window keeps all of its own tokens. */
    assert_int_equal(mqa_sequence_extend(seq, 400, &err), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(seq), 64);
    /* 19 pages less 7 dead ones are 12, of 10: nothing changes. */
    assert_int_equal(mqa_sequence_extend(seq, 600, &err), MQA_ERR_BUDGET);
    assert_int_equal(mqa_sequence_first_held(seq), 64);
    assert_int_equal(mqa_sequence_length(seq), 563);
    assert_int_equal(mqa_sequence_truncate(seq, 0, &err), MQA_OK);
    assert_int_equal(mqa_cache_bytes_in_use(cache), 0);
    assert_int_equal(mqa_sequence_extend(seq, 1, &err), MQA_OK);
    assert_int_equal(mqa_sequence_first_held(seq), 0);
    /* A million tokens, one at a time, in three pages. */
    for (int i = 0; i < 1000000; i++) {
        assert_int_equal(mqa_sequence_extend(seq, 1, NULL), MQA_OK);
        assert_true(cache->arena.in_use <= 3);
    }
    assert_true(seq->capacity <= 8);
    mqa_sequence_destroy(&seq);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
}

/* ---- writing ------------------------------------------------------------------------------------- */

static void not_finite(void **state)
{
    (void)state;
    mqa_context *ctx = make_context(NULL);
    mqa_cache_config config = small_config();
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_error err;
    assert_int_equal(mqa_cache_create(ctx, &config, &cache, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_create(cache, &seq, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_extend(seq, 70, &err), MQA_OK);
    float k[70 * 2 * 5], v[70 * 2 * 18], x[18];
    for (int i = 0; i < 70 * 2 * 5; i++) k[i] = (float)i;
    for (int i = 0; i < 70 * 2 * 18; i++) v[i] = 1.0f;
    v[(66 * 2 + 1) * 18 + 17] = INFINITY;
    assert_int_equal(mqa_sequence_write(seq, 1, 0, 70, k, 10, 5, v, 36, 18, &err), MQA_ERR_NOT_FINITE);
    assert_non_null(strstr(err.message, "V of token 66, head 1, layer 1"));
    mqa_unpack_k(config.k_type, mqa_sequence_granule(seq, 1, 1, 1), 5, 65 - 64, x);
    assert_true(x[0] == k[(65 * 2 + 1) * 5]);
    v[(66 * 2 + 1) * 18 + 17] = 0;
    k[0] = NAN;
    assert_int_equal(mqa_sequence_write(seq, 0, 0, 1, k, 10, 5, v, 36, 18, &err), MQA_ERR_NOT_FINITE);
    assert_non_null(strstr(err.message, "K of token 0, head 0, layer 0"));
    assert_int_equal(mqa_sequence_write(seq, 0, 1, 69, k + 10, 10, 5, v + 36, 36, 18, &err), MQA_OK);

    assert_int_equal(mqa_sequence_write(seq, 0, 1, 70, k, 10, 5, v, 36, 18, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write(seq, 2, 0, 1, k, 10, 5, v, 36, 18, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write(seq, -1, 0, 1, k, 10, 5, v, 36, 18, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write(seq, 0, -1, 1, k, 10, 5, v, 36, 18, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write(seq, 0, 70, INT64_MAX, k, 10, 5, v, 36, 18, &err),
                     MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write(seq, 0, 0, 1, NULL, 10, 5, v, 36, 18, &err),
                     MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write(seq, 0, 70, 0, NULL, 10, 5, NULL, 36, 18, &err), MQA_OK);
    mqa_sequence_destroy(&seq);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
}

/* A value that a format would round to infinity is refused, and the token stays as it was. */
static void too_large(void **state)
{
    (void)state;
    static const struct {
        mqa_kv_type type;
        float good, bad;
    } edges[] = {{MQA_KV_F32, 0x1.fffffep127f, INFINITY},      {MQA_KV_BF16, 0x1.fefffep127f, 0x1.ffp127f},
                 {MQA_KV_INT8, 0x1.fffffep127f, INFINITY},     {MQA_KV_F16, 0x1.ffdffep15f, -0x1.ffep15f},
                 {MQA_KV_FP8_E4M3, 0x1.fffffep127f, NAN},      {MQA_KV_FP8_E5M2, 0x1.fffffep127f, -INFINITY},
                 {MQA_KV_INT4, -0x1.fefffep127f, -0x1.ffp127f}};
    assert_int_equal(sizeof edges / sizeof edges[0], MQA_KV_TYPES);
    for (size_t i = 0; i < MQA_KV_TYPES; i++)
        for (int is_v = 0; is_v < 2; is_v++) {
            int (*pack)(mqa_kv_type, void *, int, int, const float *) = is_v ? mqa_pack_v : mqa_pack_k;
            static _Alignas(64) unsigned char run[64 * 48 * 4 + 512], before[sizeof run];
            float x[40] = {1};
            memset(run, 0, sizeof run);
            x[39] = edges[i].good;
            assert_true(pack(edges[i].type, run, 40, 7, x));
            memcpy(before, run, sizeof run);
            x[39] = edges[i].bad;
            assert_false(pack(edges[i].type, run, 40, 7, x));
            assert_memory_equal(before, run, sizeof run);
        }
}

/* ---- the caller's allocator ---------------------------------------------------------------------- */

typedef struct budgeted {
    int live, left; /* allocations until it refuses */
} budgeted;

static void *budgeted_alloc(void *user, size_t size, size_t alignment)
{
    budgeted *b = user;
    void *ptr = NULL;
    if (b->left-- <= 0 || posix_memalign(&ptr, alignment, size) != 0) return NULL;
    memset(ptr, 0xff, size);
    b->live++;
    return ptr;
}
static void budgeted_free(void *user, void *ptr, size_t size)
{
    ((budgeted *)user)->live -= ptr != NULL;
    (void)size;
    free(ptr);
}

/* Every allocation in turn fails; nothing leaks, and the status says so. */
static void allocations_fail(void **state)
{
    (void)state;
    budgeted b = {0};
    const mqa_allocator allocator = {budgeted_alloc, budgeted_free, &b};
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 1;
    options.allocator = &allocator;
    const mqa_cache_config config = small_config();
    int done = 0;
    for (int left = 0; !done; left++) {
        b = (budgeted){.left = left};
        mqa_context *ctx = NULL;
        mqa_cache *cache = NULL;
        mqa_sequence *seq = NULL;
        mqa_status status = mqa_context_create(&options, &ctx, NULL);
        if (status == MQA_OK) status = mqa_cache_create(ctx, &config, &cache, NULL);
        if (status == MQA_OK) status = mqa_sequence_create(cache, &seq, NULL);
        if (status == MQA_OK) status = mqa_sequence_extend(seq, 10, NULL);
        if (status == MQA_OK) {
            const unsigned char *run = mqa_sequence_granule(seq, 1, 1, 0);
            for (size_t i = 0; i < cache->layout.head_bytes; i++) assert_int_equal(run[i], 0);
            done = 1;
        } else {
            assert_int_equal(status, MQA_ERR_OUT_OF_MEMORY);
            if (seq) assert_int_equal(mqa_sequence_length(seq), 0);
        }
        mqa_sequence_destroy(&seq);
        mqa_cache_destroy(&cache);
        mqa_context_destroy(&ctx);
        assert_int_equal(b.live, 0);
        assert_true(left < 20);
    }
}

int main(void)
{
    const char *seed = getenv("MQA_SEED");
    seed_of_run = seed ? strtoull(seed, NULL, 10) : 1;
    printf("MQA_SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),        cmocka_unit_test(contexts),
        cmocka_unit_test(bad_configs),  cmocka_unit_test(exact_bytes),
        cmocka_unit_test(window_bytes), cmocka_unit_test(budget),
        cmocka_unit_test(windows),      cmocka_unit_test(not_finite),
        cmocka_unit_test(too_large),    cmocka_unit_test(allocations_fail),
    };
    return cmocka_run_group_tests_name("kvcache", tests, NULL, NULL);
}
