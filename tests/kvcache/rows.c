/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t random_from(uint64_t *state, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(next_random(state) % (uint64_t)(hi - lo + 1));
}

void stamped_row(uint32_t stamp, int layer, int head, bool is_v, int d, float *x)
{
    const uint32_t base = stamp * 31 + (uint32_t)(layer * 7 + head * 13 + is_v * 3);
    for (int i = 0; i < d; i++) x[i] = (float)((int)((base + (uint32_t)i * 5) % 199) - 99);
}

static int block_of(const mqa_cache *cache, bool is_v)
{
    return is_v ? mqa_cache_v_block(&cache->config) : mqa_cache_k_block(&cache->config);
}

void stored_row(const mqa_cache *cache, uint32_t stamp, int layer, int head, bool is_v, float *x)
{
    const int d = is_v ? cache->config.head_dim_vo : cache->config.head_dim_qk;
    stamped_row(stamp, layer, head, is_v, d, x);
    cache->ctx->kernels->rows.hadamard(x, d, block_of(cache, is_v));
}

void stamped_granule(const mqa_cache *cache, const uint32_t *stamps, int layer, int head, unsigned char *run)
{
    const mqa_cache_config *c = &cache->config;
    float x[ROWS_MAX_D];
    memset(run, 0, cache->layout.head_bytes);
    for (int t = 0; t < MQA_GRANULE; t++) {
        if (stamps[t] == 0) continue;
        stored_row(cache, stamps[t], layer, head, false, x);
        if (!mqa_pack_k(c->k_type, run, c->head_dim_qk, t, x)) abort();
        stored_row(cache, stamps[t], layer, head, true, x);
        if (!mqa_pack_v(c->v_type, run + cache->layout.k_run, c->head_dim_vo, t, x)) abort();
    }
}

/* ---- handing over ----------------------------------------------------------------------------------------
 */

/* A caller's array: where each element is, and the array itself. */
typedef struct host {
    mqa_source_type type;
    size_t stride_page, stride_token, stride_head;
    unsigned char *data;
} host;

static void put(const host *h, size_t at, float x)
{
    if (h->type == MQA_SOURCE_F32)
        ((float *)h->data)[at] = x;
    else
        ((uint16_t *)h->data)[at] = h->type == MQA_SOURCE_BF16 ? mqa_f32_to_bf16(x) : mqa_f32_to_f16(x);
}

static void put_row(const host *h, size_t page, size_t token, int head, int d, const float *x)
{
    const size_t at = page * h->stride_page + token * h->stride_token + (size_t)head * h->stride_head;
    for (int i = 0; i < d; i++) put(h, at + (size_t)i, x[i]);
}

/* Bytes of 0xff are NaN in every source type. */
static unsigned char *all_nan(size_t values, mqa_source_type type)
{
    const size_t bytes = values * (type == MQA_SOURCE_F32 ? 4 : 2);
    unsigned char *data = malloc(bytes);
    if (!data) abort();
    return memset(data, 0xff, bytes);
}

static host make_host(const import_way *way, size_t page_tokens, int heads, int d)
{
    const bool hnd = way->kind == IMPORT_HND || (way->kind == IMPORT_PAGED && way->layout == MQA_SOURCE_HND);
    return (host){.type = way->kind == IMPORT_PAGED ? way->type : MQA_SOURCE_F32,
                  .stride_page = page_tokens * (size_t)(heads * d),
                  .stride_token = (size_t)(hnd ? d : heads * d),
                  .stride_head = hnd ? page_tokens * (size_t)d : (size_t)d};
}

/* Pages of the blocks, all different: a walk through n_pages in steps that share no factor with it. */
static void make_table(int32_t *table, int64_t n_blocks, int64_t n_pages, uint64_t shuffle)
{
    for (int64_t i = 0; i < n_blocks; i++)
        table[i] = (int32_t)(((uint64_t)i * (shuffle % 2 ? 1 : (uint64_t)n_pages - 1) + shuffle) %
                             (uint64_t)n_pages);
}

typedef struct hosts {
    host k, v;
    unsigned char *memory[2];
    int64_t n_pages, n_blocks, page_tokens, first_token;
    int32_t *table;
} hosts;

static void fill(const mqa_sequence *seq, const hosts *h, int layer, int64_t n, const uint32_t *stamps,
                 int64_t bad_token)
{
    const mqa_cache_config *c = &seq->cache->config;
    float x[ROWS_MAX_D];
    for (int64_t t = 0; t < n; t++)
        for (int head = 0; head < c->n_kv_heads; head++) {
            const int64_t at = h->first_token + t;
            const size_t page = (size_t)h->table[at / h->page_tokens], token = (size_t)(at % h->page_tokens);
            stamped_row(stamps[t], layer, head, false, c->head_dim_qk, x);
            put_row(&h->k, page, token, head, c->head_dim_qk, x);
            stamped_row(stamps[t], layer, head, true, c->head_dim_vo, x);
            if (t == bad_token && head == c->n_kv_heads - 1) x[c->head_dim_vo - 1] = NAN;
            put_row(&h->v, page, token, head, c->head_dim_vo, x);
        }
}

static hosts make_hosts(const mqa_sequence *seq, int64_t n, const import_way *way)
{
    const mqa_cache_config *c = &seq->cache->config;
    const bool paged = way->kind == IMPORT_PAGED;
    hosts h = {.page_tokens = paged   ? way->page_tokens
                              : n > 0 ? n
                                      : 1,
               .first_token = paged ? way->first_token : 0};
    h.n_blocks = (h.first_token + n) / h.page_tokens + 1;
    h.n_pages = paged ? h.n_blocks + 2 : h.n_blocks;
    h.table = malloc((size_t)h.n_blocks * sizeof *h.table);
    if (!h.table) abort();
    make_table(h.table, h.n_blocks, h.n_pages, paged ? way->shuffle : 1);
    if (!paged) h.table[0] = 0;
    h.k = make_host(way, (size_t)h.page_tokens, c->n_kv_heads, c->head_dim_qk);
    h.v = make_host(way, (size_t)h.page_tokens, c->n_kv_heads, c->head_dim_vo);
    const size_t k_page = h.k.stride_page, v_page = h.v.stride_page, pages = (size_t)h.n_pages;
    if (paged && way->side_by_side) {
        h.k.stride_page = h.v.stride_page = k_page + v_page;
        h.memory[0] = all_nan(pages * (k_page + v_page), h.k.type);
        h.k.data = h.memory[0];
        h.v.data = h.memory[0] + k_page * (h.k.type == MQA_SOURCE_F32 ? 4 : 2);
    } else {
        h.k.data = h.memory[0] = all_nan(pages * k_page, h.k.type);
        h.v.data = h.memory[1] = all_nan(pages * v_page, h.v.type);
    }
    return h;
}

mqa_status import_tokens(mqa_sequence *seq, int layer, int64_t position, int64_t n, const uint32_t *stamps,
                         const import_way *way, mqa_error *err)
{
    hosts h = make_hosts(seq, n > 0 ? n : 0, way);
    fill(seq, &h, layer, n, stamps, way->bad_token);
    mqa_status status;
    if (way->kind != IMPORT_PAGED) {
        status =
            mqa_sequence_write(seq, layer, position, n, (float *)h.k.data, h.k.stride_token, h.k.stride_head,
                               (float *)h.v.data, h.v.stride_token, h.v.stride_head, err);
    } else {
        mqa_paged_source source = {.struct_size = sizeof source,
                                   .type = way->type,
                                   .layout = way->layout,
                                   .k = h.k.data,
                                   .v = h.v.data,
                                   .n_pages = h.n_pages,
                                   .page_tokens = h.page_tokens,
                                   .block_table = h.table,
                                   .n_blocks = h.n_blocks,
                                   .first_token = h.first_token};
        if (way->side_by_side) source.k_page_stride = source.v_page_stride = h.k.stride_page;
        if (way->hostile && n > 0)
            h.table[(h.first_token + n - 1) / h.page_tokens] = way->shuffle % 2 ? (int32_t)h.n_pages : -1;
        status = mqa_sequence_write_paged(seq, layer, position, n, &source, err);
    }
    free(h.table), free(h.memory[0]), free(h.memory[1]);
    return status;
}

/* ---- reading back -------------------------------------------------------------------------------- */

const char *compare_tokens(const mqa_sequence *seq, int layer, int64_t position, int64_t n,
                           const uint32_t *stamps, bool hnd)
{
    static _Thread_local char why[160];
    static _Thread_local _Alignas(64) unsigned char run[2 * 64 * (ROWS_MAX_D + 16) * 4 + 1024];
    const mqa_cache *cache = seq->cache;
    const mqa_cache_config *c = &cache->config;
    const size_t heads = (size_t)c->n_kv_heads, dk = (size_t)c->head_dim_qk, dv = (size_t)c->head_dim_vo;
    const size_t rows = (size_t)n * heads;
    float *k = malloc((rows * dk + 1) * sizeof *k), *v = malloc((rows * dv + 1) * sizeof *v);
    if (!k || !v) abort();
    memset(k, 0xff, (rows * dk + 1) * sizeof *k), memset(v, 0xff, (rows * dv + 1) * sizeof *v);
    const size_t token = hnd ? 1 : heads, head = hnd ? (size_t)n : 1; /* in rows */
    const char *wrong = NULL;
    if (mqa_sequence_read(seq, layer, position, n, k, token * dk, head * dk, v, token * dv, head * dv,
                          NULL) != MQA_OK)
        wrong = "read failed";
    if (!isnan(k[rows * dk]) || !isnan(v[rows * dv])) wrong = "read wrote too much";
    for (size_t t = 0; t < (size_t)n && !wrong; t++)
        for (size_t h = 0; h < heads && !wrong; h++) {
            float x[ROWS_MAX_D], y[ROWS_MAX_D];
            uint32_t one[MQA_GRANULE] = {stamps[t]};
            stamped_granule(cache, one, layer, (int)h, run);
            mqa_unpack_k(c->k_type, run, c->head_dim_qk, 0, x);
            mqa_unpack_v(c->v_type, run + cache->layout.k_run, c->head_dim_vo, 0, y);
            cache->ctx->kernels->rows.hadamard(x, c->head_dim_qk, block_of(cache, false));
            cache->ctx->kernels->rows.hadamard(y, c->head_dim_vo, block_of(cache, true));
            bool same = true;
            for (size_t i = 0; i < dk; i++) same &= k[(t * token + h * head) * dk + i] == x[i];
            for (size_t i = 0; i < dv; i++) same &= v[(t * token + h * head) * dv + i] == y[i];
            if (same) continue;
            snprintf(why, sizeof why, "token %lld, layer %d, head %zu isn't what was written",
                     (long long)position + (long long)t, layer, h);
            wrong = why;
        }
    free(k), free(v);
    return wrong;
}
