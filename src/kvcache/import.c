/* Import from a host's paged cache.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>

#include "base/fpenv.h"
#include "base/status.h"
#include "base/take_struct.h"
#include "kvcache/rows.h"

/* K or V of a host: rows within a page, and the step to the next page in bytes. */
typedef struct host_array {
    mqa_rows rows; /* of page 0 */
    size_t page_bytes;
} host_array;

static mqa_status make_array(const mqa_paged_source *source, const char *what, const void *data, int n_heads,
                             int d, size_t page_stride, host_array *out, mqa_error *err)
{
    const size_t page_tokens = (size_t)source->page_tokens, row = (size_t)n_heads * (size_t)d;
    const size_t value_bytes = mqa_source_value_bytes(source->type);
    size_t page, all;
    if (!mqa_mul(page_tokens, row, &page) || (page_stride > 0 && page_stride < page))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "write_paged: %s's page stride of %zu is less than a page of %" PRId64
                        " tokens, %d heads, %d values",
                        what, page_stride, source->page_tokens, n_heads, d);
    if (page_stride == 0) page_stride = page;
    if (!mqa_mul(page_stride, value_bytes, &out->page_bytes) ||
        !mqa_mul(out->page_bytes, (size_t)source->n_pages, &all) || all > PTRDIFF_MAX)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "write_paged: %" PRId64 " pages of %s are beyond any address space", source->n_pages,
                        what);
    const bool nhd = source->layout == MQA_SOURCE_NHD;
    out->rows = (mqa_rows){.type = source->type,
                           .data = data,
                           .stride_token = nhd ? row : (size_t)d,
                           .stride_head = nhd ? (size_t)d : page_tokens * (size_t)d};
    return MQA_OK;
}

static mqa_status check_source(const mqa_paged_source *s, bool v_in_k, mqa_error *err)
{
    if ((unsigned)s->type > MQA_SOURCE_F16 || (unsigned)s->layout > MQA_SOURCE_HND)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "write_paged: type %d, layout %d: not of mqa_source_type, mqa_source_layout",
                        (int)s->type, (int)s->layout);
    if (!s->k || (!s->v && !v_in_k))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "write_paged: k or v is NULL");
    if (s->n_pages < 1 || s->page_tokens < 1 || s->first_token < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "write_paged: %" PRId64 " pages of %" PRId64 " tokens, from token %" PRId64
                        " on: give at least 1, 1 and 0",
                        s->n_pages, s->page_tokens, s->first_token);
    return MQA_OK;
}

/* The page of a block, itself in range. */
static int64_t page_of(const mqa_paged_source *s, int64_t block)
{
    return s->block_table ? s->block_table[block] : block;
}

static mqa_status check_blocks(const mqa_paged_source *s, int64_t n_tokens, mqa_error *err)
{
    const int64_t n_blocks = s->block_table ? s->n_blocks : s->n_pages;
    const int64_t first = s->first_token / s->page_tokens;
    if (n_tokens > INT64_MAX - s->first_token ||
        (n_tokens > 0 && (s->first_token + n_tokens - 1) / s->page_tokens >= n_blocks))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "write_paged: %" PRId64 " tokens from %" PRId64 " on are beyond %" PRId64
                        " blocks of %" PRId64,
                        n_tokens, s->first_token, n_blocks, s->page_tokens);
    for (int64_t block = first; n_tokens > 0 && block <= (s->first_token + n_tokens - 1) / s->page_tokens;
         block++)
        if (page_of(s, block) < 0 || page_of(s, block) >= s->n_pages)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "write_paged: block %" PRId64 " is page %" PRId64 " of %" PRId64, block,
                            page_of(s, block), s->n_pages);
    return MQA_OK;
}

/* The array's rows from one token of a page on. */
static mqa_rows rows_at(const host_array *array, int64_t page, int64_t token)
{
    mqa_rows rows = array->rows;
    rows.data = (const unsigned char *)rows.data + (size_t)page * array->page_bytes +
                (size_t)token * rows.stride_token * mqa_source_value_bytes(rows.type);
    return rows;
}

static mqa_status write_blocks(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                               const mqa_paged_source *source, const host_array *k, const host_array *v,
                               mqa_error *err)
{
    for (int64_t done = 0, n; done < n_tokens; done += n) {
        const int64_t token = source->first_token + done, in_page = token % source->page_tokens;
        const int64_t page = page_of(source, token / source->page_tokens);
        n = source->page_tokens - in_page;
        if (n > n_tokens - done) n = n_tokens - done;
        const mqa_rows k_rows = rows_at(k, page, in_page);
        const mqa_rows v_rows = source->v ? rows_at(v, page, in_page) : k_rows; /* V in K: not looked at */
        MQA_TRY(mqa_rows_write(seq, layer, position + done, n, &k_rows, &v_rows, err));
    }
    return MQA_OK;
}

mqa_status mqa_sequence_write_paged(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                    const mqa_paged_source *source, mqa_error *err)
{
    MQA_TRY(mqa_rows_check_writable(seq, layer, position, n_tokens, err));
    mqa_paged_source own;
    MQA_TRY(MQA_TAKE(mqa_paged_source, source, &own, err));
    source = &own;
    MQA_TRY(check_source(source, seq->cache->config.v_in_k, err));
    MQA_TRY(check_blocks(source, n_tokens, err));
    const mqa_cache_config *config = &seq->cache->config;
    host_array k, v;
    MQA_TRY(make_array(source, "k", source->k, config->n_kv_heads, config->head_dim_qk, source->k_page_stride,
                       &k, err));
    MQA_TRY(make_array(source, "v", source->v, config->n_kv_heads, config->head_dim_vo, source->v_page_stride,
                       &v, err));
    const mqa_fpenv saved = mqa_fpenv_enter();
    const mqa_status status = write_blocks(seq, layer, position, n_tokens, source, &k, &v, err);
    mqa_fpenv_leave(saved);
    return status;
}
