/* Writing: K and V of new tokens into their tiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>

#include <string.h>

#include "base/fpenv.h"
#include "base/half.h"
#include "base/status.h"
#include "kernels/rope.h"
#include "kvcache/rows.h"

mqa_status mqa_rows_check_held(const mqa_sequence *seq, const char *what, int layer, int64_t position,
                               int64_t n_tokens, mqa_error *err)
{
    if (!seq || layer < 0 || layer >= seq->cache->config.n_layers)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s: no layer %d in the cache", what, layer);
    if (n_tokens >= 0 && mqa_sequence_holds(seq, position, n_tokens)) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "%s: %" PRId64 " tokens at %" PRId64 ": the sequence holds [%" PRId64 ", %" PRId64
                    ") and [%" PRId64 ", %" PRId64 "); extend it first",
                    what, n_tokens, position, seq->first_position, mqa_sequence_first_gone(seq),
                    mqa_sequence_first_held(seq), seq->length);
}

mqa_status mqa_rows_check_writable(const mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                   mqa_error *err)
{
    MQA_TRY(mqa_rows_check_held(seq, "write", layer, position, n_tokens, err));
    const int page_tokens = seq->cache->layout.page_tokens;
    const int64_t end = mqa_pages_for(position + n_tokens, page_tokens);
    for (int64_t page = position / page_tokens; n_tokens > 0 && page < end; page++)
        if (mqa_arena_is_shared(&seq->cache->arena, seq->pages[mqa_sequence_slot(seq, page)]))
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "write: tokens [%" PRId64 ", %" PRId64 ") are in a page that another sequence "
                            "shares; write before forking, or truncate and extend",
                            page * page_tokens, (page + 1) * page_tokens);
    return MQA_OK;
}

/* One head's row as f32: where it is, or widened into scratch. */
static const float *row_of(const mqa_rows *rows, size_t token, size_t head, int d, float *scratch)
{
    const size_t at = token * rows->stride_token + head * rows->stride_head;
    if (rows->type == MQA_SOURCE_F32) return (const float *)rows->data + at;
    const uint16_t *half = (const uint16_t *)rows->data + at;
    for (int i = 0; i < d; i++)
        scratch[i] = rows->type == MQA_SOURCE_BF16 ? mqa_bf16_to_f32(half[i]) : mqa_f16_to_f32(half[i]);
    return scratch;
}

/* RoPE of one position. */
typedef struct turn {
    const mqa_rope *rope; /* NULL: none */
    float c[MQA_MAX_HEAD_DIM / 2], s[MQA_MAX_HEAD_DIM / 2];
} turn;

/* A row as it is stored, where the cache asks for that: turned by its position (t NULL: never), transformed.
 */
static const float *turned(const turn *t, const mqa_cache *cache, int block, const float *x, int d,
                           float *scratch)
{
    const mqa_row_kernels *kernels = &cache->ctx->kernels->rows;
    const mqa_rope *rope = t ? t->rope : NULL;
    if (!rope && block == 1) return x;
    if (x != scratch) memcpy(scratch, x, (size_t)d * sizeof *x);
    if (rope) mqa_rope_turn(rope, kernels, scratch, t->c, t->s);
    if (block > 1) kernels->hadamard(scratch, d, block);
    return scratch;
}

static mqa_status write_token(mqa_sequence *seq, int layer, int64_t position, size_t token, const mqa_rows *k,
                              const mqa_rows *v, const turn *t, mqa_error *err)
{
    const mqa_cache *cache = seq->cache;
    const mqa_cache_config *config = &cache->config;
    const int in_granule = (int)(position % MQA_GRANULE);
    unsigned char *run = mqa_sequence_granule(seq, layer, 0, position / MQA_GRANULE);
    float scratch[MQA_MAX_HEAD_DIM];
    const int d = config->head_dim_qk, d_v = config->head_dim_vo;
    for (int head = 0; head < config->n_kv_heads; head++, run += cache->layout.head_stride) {
        const char *bad = NULL;
        const float *row = row_of(k, token, (size_t)head, d, scratch);
        row = turned(t, cache, mqa_cache_k_block(config), row, d, scratch);
        if (!mqa_pack_k(config->k_type, run, d, in_granule, row)) bad = "K";
        if (!bad && !config->v_in_k) {
            row = row_of(v, token, (size_t)head, d_v, scratch);
            row = turned(NULL, cache, mqa_cache_v_block(config), row, d_v, scratch);
            if (!mqa_pack_v(config->v_type, run + cache->layout.k_run, d_v, in_granule, row)) bad = "V";
        }
        if (bad)
            return mqa_fail(err, MQA_ERR_NOT_FINITE,
                            "%s of token %" PRId64 ", head %d, layer %d is not finite", bad, position, head,
                            layer);
    }
    return MQA_OK;
}

mqa_status mqa_rows_write(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens, const mqa_rows *k,
                          const mqa_rows *v, mqa_error *err)
{
    turn turn_k = {.rope = seq->cache->config.rope};
    if (turn_k.rope && position > MQA_ROPE_MAX_POSITION - n_tokens)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "write: position 2^40 is the last that rope turns");
    for (int64_t t = 0; t < n_tokens; t++) {
        if (turn_k.rope) mqa_rope_table_at(turn_k.rope, position + t, turn_k.c, turn_k.s);
        MQA_TRY(write_token(seq, layer, position + t, (size_t)t, k, v, &turn_k, err));
    }
    return MQA_OK;
}

mqa_status mqa_sequence_write(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                              const float *k, size_t k_stride_token, size_t k_stride_head, const float *v,
                              size_t v_stride_token, size_t v_stride_head, mqa_error *err)
{
    MQA_TRY(mqa_rows_check_writable(seq, layer, position, n_tokens, err));
    if (n_tokens > 0 && (!k || (!v && !seq->cache->config.v_in_k)))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "write: k or v is NULL");
    const mqa_rows k_rows = {MQA_SOURCE_F32, k, k_stride_token, k_stride_head};
    const mqa_rows v_rows = {MQA_SOURCE_F32, v, v_stride_token, v_stride_head};
    const mqa_fpenv saved = mqa_fpenv_enter();
    const mqa_status status = mqa_rows_write(seq, layer, position, n_tokens, &k_rows, &v_rows, err);
    mqa_fpenv_leave(saved);
    return status;
}
