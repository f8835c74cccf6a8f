/* Tokens in and out: both orders of contiguous arrays, hosts' pages of any size and type, hostile block
 * tables, and that nothing of it, nor the size of our own pages, changes a bit of what is stored.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

enum { TOKENS = 300 };

static void stamp_all(uint32_t *stamps)
{
    for (int t = 0; t < TOKENS; t++) stamps[t] = (uint32_t)(t * t + 1);
}

/* All tokens by one way, in calls of several sizes, so that they begin and end within pages of both sides. */
static mqa_sequence *imported(mqa_cache *cache, import_way way)
{
    uint32_t stamps[TOKENS];
    stamp_all(stamps);
    mqa_sequence *seq = make_sequence(cache);
    assert_int_equal(mqa_sequence_extend(seq, TOKENS, NULL), MQA_OK);
    const int first = way.first_token;
    for (int layer = 0; layer < cache->config.n_layers; layer++)
        for (int64_t at = 0, n = 1; at < TOKENS; at += n, n = 2 * n + 3) {
            if (n > TOKENS - at) n = TOKENS - at;
            way.first_token = first + (int)at;
            assert_int_equal(import_tokens(seq, layer, at, n, stamps + at, &way, NULL), MQA_OK);
        }
    return seq;
}

static void assert_same_tiles(const mqa_sequence *a, const mqa_sequence *b)
{
    const mqa_cache_config *c = &a->cache->config;
    for (int layer = 0; layer < c->n_layers; layer++)
        for (int head = 0; head < c->n_kv_heads; head++)
            for (int64_t granule = 0; granule * 64 < TOKENS; granule++)
                assert_memory_equal(mqa_sequence_granule(a, layer, head, granule),
                                    mqa_sequence_granule(b, layer, head, granule),
                                    a->cache->layout.head_bytes);
}

static void assert_stored(const mqa_sequence *seq)
{
    uint32_t stamps[TOKENS];
    stamp_all(stamps);
    for (int layer = 0; layer < seq->cache->config.n_layers; layer++)
        for (int hnd = 0; hnd < 2; hnd++) assert_null(compare_tokens(seq, layer, 0, TOKENS, stamps, hnd));
}

static mqa_cache_config nth_config(int i)
{
    mqa_cache_config c = small_config();
    c.n_kv_heads = 3;
    c.page_tokens = 64 << i % 3;
    c.head_dim_qk = 6;
    c.k_hadamard = i / 2 % 2;
    c.v_hadamard = i / 4 % 2;
    c.k_type = (mqa_kv_type)(i % MQA_KV_TYPES);
    c.v_type = (mqa_kv_type)(i / 3 % MQA_KV_TYPES);
    c.max_pages = 20;
    return c;
}
enum { N_CONFIGS = 3 * MQA_KV_TYPES };

static void contiguous_nhd_and_hnd(void **state)
{
    (void)state;
    for (int i = 0; i < N_CONFIGS; i++) {
        const mqa_cache_config config = nth_config(i);
        rig r = make_rig(&config);
        mqa_sequence *nhd = imported(r.cache, (import_way){.kind = IMPORT_NHD, .bad_token = -1});
        mqa_sequence *hnd = imported(r.cache, (import_way){.kind = IMPORT_HND, .bad_token = -1});
        assert_stored(nhd);
        assert_same_tiles(nhd, hnd);
        mqa_sequence_destroy(&nhd);
        mqa_sequence_destroy(&hnd);
        end_rig(&r);
    }
}

static void host_pages_of_any_size(void **state)
{
    (void)state;
    static const int sizes[] = {16, 32, 1, 7, 64, 1000};
    for (int i = 0; i < N_CONFIGS; i++) {
        const mqa_cache_config config = nth_config(i);
        rig r = make_rig(&config);
        mqa_sequence *plain = imported(r.cache, (import_way){.kind = IMPORT_NHD, .bad_token = -1});
        for (int j = 0; j < 6 * 2 * 3 * 2; j++) {
            const import_way way = {.kind = IMPORT_PAGED,
                                    .bad_token = -1,
                                    .page_tokens = sizes[j % 6],
                                    .layout = (mqa_source_layout)(j / 6 % 2),
                                    .type = (mqa_source_type)(j / 12 % 3),
                                    .side_by_side = j / 36,
                                    .first_token = j % 5,
                                    .shuffle = (uint64_t)j};
            mqa_sequence *paged = imported(r.cache, way);
            assert_same_tiles(plain, paged);
            mqa_sequence_destroy(&paged);
        }
        mqa_sequence_destroy(&plain);
        end_rig(&r);
    }
}

/* The tiles of 64, 128 and 256 tokens a page are the same bytes. */
static void page_size_changes_no_bit(void **state)
{
    (void)state;
    mqa_context *ctx = make_context(NULL);
    mqa_cache *caches[3];
    mqa_sequence *seqs[3];
    for (int i = 0; i < 3; i++) {
        mqa_cache_config config = nth_config(1);
        config.page_tokens = 64 << i;
        assert_int_equal(mqa_cache_create(ctx, &config, &caches[i], NULL), MQA_OK);
        seqs[i] = imported(caches[i], (import_way){.kind = IMPORT_NHD, .bad_token = -1});
        assert_int_equal(mqa_cache_bytes_in_use(caches[i]) / mqa_cache_page_bytes(&config),
                         (TOKENS + config.page_tokens - 1) / config.page_tokens);
        assert_stored(seqs[i]);
        assert_same_tiles(seqs[0], seqs[i]);
    }
    for (int i = 0; i < 3; i++) {
        mqa_sequence_destroy(&seqs[i]);
        mqa_cache_destroy(&caches[i]);
    }
    mqa_context_destroy(&ctx);
}

/* ---- types of hosts ------------------------------------------------------------------------------ */

/* 16-bit values of every kind come through exactly: a bf16 cache keeps bf16, an f32 cache either. */
static void sixteen_bits_exactly(void **state)
{
    (void)state;
    enum { N = 61 };
    for (int type = MQA_SOURCE_BF16; type <= MQA_SOURCE_F16; type++) {
        mqa_cache_config config = small_config();
        config.n_layers = config.n_kv_heads = 1;
        config.head_dim_qk = config.head_dim_vo = 16;
        config.k_type = MQA_KV_F32;
        config.v_type = type == MQA_SOURCE_BF16 ? MQA_KV_BF16 : MQA_KV_F32;
        rig r = make_rig(&config);
        mqa_sequence *seq = make_sequence(r.cache);
        uint16_t x[N * 16];
        uint64_t rng = (uint64_t)type;
        const uint16_t infinity = type == MQA_SOURCE_BF16 ? 0x7f80 : 0x7c00;
        for (int i = 0; i < N * 16; i++) { /* subnormals, zeros and both signs among them */
            x[i] = (uint16_t)(next_random(&rng) & (i % 3 ? 0xffff : 0x80ff));
            if ((x[i] & infinity) == infinity) x[i] ^= 0x0400 | infinity;
        }
        /* Contiguous: one page as long as all of it, no block table. */
        mqa_paged_source source = {.struct_size = sizeof source,
                                   .type = (mqa_source_type)type,
                                   .k = x,
                                   .v = x,
                                   .n_pages = 1,
                                   .page_tokens = N};
        assert_int_equal(mqa_sequence_extend(seq, N, NULL), MQA_OK);
        assert_int_equal(mqa_sequence_write_paged(seq, 0, 0, N, &source, NULL), MQA_OK);
        float k[N * 16], v[N * 16];
        assert_int_equal(mqa_sequence_read(seq, 0, 0, N, k, 16, 0, v, 16, 0, NULL), MQA_OK);
        for (int i = 0; i < N * 16; i++) {
            const float right = type == MQA_SOURCE_BF16 ? mqa_bf16_to_f32(x[i]) : mqa_f16_to_f32(x[i]);
            assert_int_equal(mqa_f32_bits(k[i]), mqa_f32_bits(right));
            assert_int_equal(mqa_f32_bits(v[i]), mqa_f32_bits(right));
        }
        x[60 * 16 + 7] = infinity;
        mqa_error err;
        assert_int_equal(mqa_sequence_write_paged(seq, 0, 0, N, &source, &err), MQA_ERR_NOT_FINITE);
        assert_non_null(strstr(err.message, "K of token 60, head 0"));
        mqa_sequence_destroy(&seq);
        end_rig(&r);
    }
}

/* K or V alone; and int8 comes back as its steps. */
static void reading_half(void **state)
{
    (void)state;
    mqa_cache_config config = small_config();
    config.k_type = config.v_type = MQA_KV_INT8;
    rig r = make_rig(&config);
    mqa_sequence *seq = make_sequence(r.cache);
    float k[2 * 5] = {1, -2, 0.5f, 0.25f, 127, 0, 0, 0, 0, 0}, v[2 * 18] = {254}, x[2 * 18];
    assert_int_equal(mqa_sequence_extend(seq, 1, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_write(seq, 0, 0, 1, k, 0, 5, v, 0, 18, NULL), MQA_OK);
    const float stored[5] = {1, -2, 0, 0, 127}; /* half goes to the even one */
    assert_int_equal(mqa_sequence_read(seq, 0, 0, 1, x, 0, 5, NULL, 0, 0, NULL), MQA_OK);
    for (int i = 0; i < 5; i++) assert_true(x[i] == stored[i]);
    assert_int_equal(mqa_sequence_read(seq, 0, 0, 1, NULL, 0, 0, x, 0, 18, NULL), MQA_OK);
    assert_true(x[0] == 254 && x[1] == 0 && x[18] == 0);
    mqa_error err;
    assert_int_equal(mqa_sequence_read(seq, 2, 0, 1, x, 0, 5, NULL, 0, 0, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_read(seq, 0, 0, 2, x, 0, 5, NULL, 0, 0, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_read(seq, 0, -1, 1, x, 0, 5, NULL, 0, 0, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_read(NULL, 0, 0, 1, x, 0, 5, NULL, 0, 0, &err), MQA_ERR_INVALID_ARGUMENT);
    mqa_sequence_destroy(&seq);
    end_rig(&r);
}

/* Written transformed, read as given; an outlier then costs the others less. */
static void reading_transformed(void **state)
{
    (void)state;
    enum { D = 64 };
    float x[D], k[D], v[D];
    double error[2] = {0};
    uint64_t rng = 4;
    for (int i = 0; i < D; i++) x[i] = (float)random_from(&rng, -1000, 1000) / 1000;
    x[7] = 50;
    for (int hadamard = 0; hadamard < 2; hadamard++)
        for (int type = 0; type < MQA_KV_TYPES; type++) {
            mqa_cache_config config = small_config();
            config.n_layers = config.n_kv_heads = 1;
            config.head_dim_qk = config.head_dim_vo = D;
            config.k_type = config.v_type = (mqa_kv_type)type;
            config.k_hadamard = config.v_hadamard = hadamard;
            rig r = make_rig(&config);
            mqa_sequence *seq = make_sequence(r.cache);
            assert_int_equal(mqa_sequence_extend(seq, 2, NULL), MQA_OK);
            assert_int_equal(mqa_sequence_write(seq, 0, 1, 1, x, 0, 0, x, 0, 0, NULL), MQA_OK);
            assert_int_equal(mqa_sequence_read(seq, 0, 1, 1, k, 0, 0, v, 0, 0, NULL), MQA_OK);
            assert_memory_equal(k, v, sizeof k);
            for (int i = 0; i < D; i++) {
                if (type == MQA_KV_F32) assert_true(fabsf(k[i] - x[i]) <= 1e-5f);
                if (type == MQA_KV_INT8) error[hadamard] += fabs((double)k[i] - (double)x[i]);
            }
            assert_int_equal(mqa_sequence_read(seq, 0, 0, 1, k, 0, 0, v, 0, 0, NULL), MQA_OK); /* unwritten */
            for (int i = 0; i < D; i++) assert_true(k[i] == 0 && v[i] == 0);
            mqa_sequence_destroy(&seq);
            end_rig(&r);
        }
    assert_true(error[1] < error[0] / 4);
}

/* V in K comes back as the first dims of K; they must be whole blocks. */
static void transformed_v_in_k(void **state)
{
    (void)state;
    mqa_cache_config config = small_config();
    config.n_layers = config.n_kv_heads = 1;
    config.head_dim_qk = 48;
    config.head_dim_vo = 32;
    config.v_in_k = config.k_hadamard = true;
    rig r = make_rig(&config);
    mqa_sequence *seq = make_sequence(r.cache);
    float x[48], k[48], v[32];
    for (int i = 0; i < 48; i++) x[i] = (float)(i * i % 13) - 6;
    assert_int_equal(mqa_sequence_extend(seq, 1, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_write(seq, 0, 0, 1, x, 0, 0, NULL, 0, 0, NULL), MQA_OK);
    assert_int_equal(mqa_sequence_read(seq, 0, 0, 1, k, 0, 0, v, 0, 0, NULL), MQA_OK);
    assert_memory_equal(k, v, sizeof v);
    for (int i = 0; i < 48; i++) assert_true(fabsf(k[i] - x[i]) <= 1e-5f);

    mqa_cache *cache;
    mqa_error err;
    config.head_dim_vo = 40;
    assert_int_equal(mqa_cache_create(r.ctx, &config, &cache, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "v_in_k and k_hadamard, but head_dim_vo, 40, would cut"));
    config.k_hadamard = false;
    config.v_hadamard = true; /* not looked at */
    assert_int_equal(mqa_cache_create(r.ctx, &config, &cache, &err), MQA_OK);
    mqa_cache_destroy(&cache);
    mqa_sequence_destroy(&seq);
    end_rig(&r);
}

/* ---- hostile sources ----------------------------------------------------------------------------- */

static void hostile_sources(void **state)
{
    (void)state;
    const mqa_cache_config config = small_config();
    rig r = make_rig(&config);
    mqa_sequence *seq = make_sequence(r.cache);
    append_tokens(seq, 70, 1);
    enum { PAGES = 4, SIZE = 16 };
    static float k[PAGES * SIZE * 2 * 5], v[PAGES * SIZE * 2 * 18];
    int32_t table[5] = {3, 0, 2, 1, 9};
    const mqa_paged_source good = {.struct_size = sizeof good,
                                   .k = k,
                                   .v = v,
                                   .n_pages = PAGES,
                                   .page_tokens = SIZE,
                                   .block_table = table,
                                   .n_blocks = 4};
    mqa_error err = {0};
    enum { N_BAD = 20 };
    mqa_paged_source bad[N_BAD];
    for (int i = 0; i < N_BAD; i++) bad[i] = good;
    bad[0].struct_size = 8;
    bad[1].type = (mqa_source_type)3;
    bad[2].type = (mqa_source_type)-1;
    bad[3].layout = (mqa_source_layout)2;
    bad[4].k = NULL;
    bad[5].v = NULL;
    bad[6].n_pages = 0;
    bad[7].page_tokens = 0;
    bad[8].first_token = -1;
    bad[9].n_blocks = 3;
    bad[10].n_blocks = -4;
    bad[11].first_token = 1;
    bad[12].first_token = INT64_MAX;
    bad[13].page_tokens = INT64_MAX;
    bad[14].n_pages = INT64_MAX; /* beyond any address space */
    bad[15].k_page_stride = SIZE * 2 * 5 - 1;
    bad[16].v_page_stride = SIZE_MAX / 2;
    bad[17].n_pages = 3; /* page 3 isn't there */
    bad[18].block_table = NULL;
    bad[18].n_pages = 3; /* nor a fourth block */
    bad[19].n_pages = INT64_MAX / (SIZE * 2 * 18 * 4) + 1;
    for (int i = 0; i < N_BAD; i++) {
        err.message[0] = '\0';
        assert_int_equal(mqa_sequence_write_paged(seq, 0, 0, 64, &bad[i], &err), MQA_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, i < 1 ? "struct_size" : "write_paged"));
    }
    assert_int_equal(mqa_sequence_write_paged(seq, 0, 0, 64, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
    static const int32_t wrong[] = {-1, 4, INT32_MAX, INT32_MIN};
    for (int block = 0; block < 4; block++)
        for (int w = 0; w < 4; w++) {
            const int32_t was = table[block];
            table[block] = wrong[w];
            assert_int_equal(mqa_sequence_write_paged(seq, 1, 0, 64, &good, &err), MQA_ERR_INVALID_ARGUMENT);
            assert_non_null(strstr(err.message, "is page"));
            table[block] = was;
        }
    assert_int_equal(mqa_sequence_write_paged(seq, 0, 7, 64, &good, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_sequence_write_paged(seq, 2, 0, 64, &good, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_tokens(seq, 0, 70, 1); /* all of that changed nothing */

    /* Blocks that the call doesn't need are not looked at. */
    table[0] = -5;
    mqa_paged_source later = good;
    later.first_token = 16;
    assert_int_equal(mqa_sequence_write_paged(seq, 0, 0, 48, &later, &err), MQA_OK);
    assert_int_equal(mqa_sequence_write_paged(seq, 0, 0, 0, &good, &err), MQA_OK);
    mqa_sequence_destroy(&seq);
    end_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contiguous_nhd_and_hnd),
        cmocka_unit_test(host_pages_of_any_size),
        cmocka_unit_test(page_size_changes_no_bit),
        cmocka_unit_test(sixteen_bits_exactly),
        cmocka_unit_test(reading_half),
        cmocka_unit_test(reading_transformed),
        cmocka_unit_test(transformed_v_in_k),
        cmocka_unit_test(hostile_sources),
    };
    return cmocka_run_group_tests_name("kvcache_import", tests, NULL, NULL);
}
