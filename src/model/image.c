/* Images of sequences: a header that says what they belong to, then the pages, global layers' before window
 * layers', each with a checksum.
 *
 * What a session would write for so many tokens is known before: the header is compared with that as a whole,
 * and nothing in a file decides where anything is or how much memory is taken but its length, which is
 * checked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <string.h>

#include "base/checksum.h"
#include "kvcache/cache.h"
#include "model/session.h"

/* "MQAimage", read in the byte order of the machine that wrote it: one of the other order has another number.
 */
static const uint64_t magic = 0x6567616d6941514du;
enum { VERSION = 1 };

/* No padding: images are compared by bytes. */
typedef struct image_kind {
    int64_t window, n_sink_tokens, n_pages;
    uint64_t page_bytes;
    int32_t n_layers, n_kv_heads, head_dim_qk, head_dim_vo;
    int32_t k_type, v_type, v_in_k, k_hadamard, v_hadamard, page_tokens;
} image_kind;
_Static_assert(sizeof(image_kind) == 4 * 8 + 10 * 4, "no padding");

typedef struct image_header {
    uint64_t magic;
    int32_t version, n_vocab;
    int64_t n_tokens;
    uint64_t n_params;
    char recipe[64];
    unsigned char tag[MQA_IMAGE_TAG];
    image_kind kind[MQA_LAYER_KINDS];
    uint64_t checksum; /* of all before it */
} image_header;
_Static_assert(sizeof(image_header) == 4 * 8 + 64 + MQA_IMAGE_TAG + 2 * sizeof(image_kind) + 8, "no padding");

static image_kind kind_of(const mqa_session_kind *kind, int64_t n_tokens)
{
    if (!kind->cache) return (image_kind){0};
    const mqa_cache_config *c = &kind->cache->config;
    return (image_kind){.window = c->window,
                        .n_sink_tokens = c->n_sink_tokens,
                        .n_pages = mqa_image_pages(kind->cache, n_tokens),
                        .page_bytes = kind->page_bytes,
                        .n_layers = c->n_layers,
                        .n_kv_heads = c->n_kv_heads,
                        .head_dim_qk = c->head_dim_qk,
                        .head_dim_vo = c->head_dim_vo,
                        .k_type = (int32_t)c->k_type,
                        .v_type = (int32_t)c->v_type,
                        .v_in_k = c->v_in_k,
                        .k_hadamard = c->k_hadamard,
                        .v_hadamard = c->v_hadamard,
                        .page_tokens = kind->page_tokens};
}

static image_header header_of(const mqa_session *s, const unsigned char *tag, int64_t n_tokens)
{
    image_header h = {.magic = magic,
                      .version = VERSION,
                      .n_vocab = s->model->hp.n_vocab,
                      .n_tokens = n_tokens,
                      .n_params = s->model->n_params};
    _Static_assert(sizeof h.recipe == sizeof s->recipe, "all of it");
    memcpy(h.recipe, s->recipe, strlen(s->recipe));
    memcpy(h.tag, tag, sizeof h.tag);
    for (int k = 0; k < MQA_LAYER_KINDS; k++) h.kind[k] = kind_of(&s->kind[k], n_tokens);
    h.checksum = mqa_checksum(0, &h, offsetof(image_header, checksum));
    return h;
}

/* What a page's checksum begins with, so that no page passes for another. */
static uint64_t page_seed(const image_header *header, int kind, int64_t page)
{
    const int64_t place[2] = {kind, page};
    return mqa_checksum(header->checksum, place, sizeof place);
}

size_t mqa_session_image_bytes(const mqa_session *s, int64_t n_tokens)
{
    if (!s || n_tokens < 1 || n_tokens > s->options.context) return 0;
    size_t bytes = sizeof(image_header);
    for (int k = 0; k < MQA_LAYER_KINDS; k++) /* pages that fit the address space, and 8 bytes each */
        if (s->kind[k].cache)
            bytes += (size_t)mqa_image_pages(s->kind[k].cache, n_tokens) *
                     (s->kind[k].page_bytes + sizeof(uint64_t));
    return bytes;
}

/* ---- writing ---- */

static mqa_status write_page(const mqa_session_kind *kind, const mqa_sequence *seq, int64_t page,
                             uint64_t sum, const mqa_image_sink *sink, mqa_error *err)
{
    const size_t slice_bytes = kind->cache->layout.slice_bytes;
    for (int layer = 0; layer < kind->cache->config.n_layers; layer++) {
        const unsigned char *slice = mqa_image_slice(seq, page, layer);
        sum = mqa_checksum(sum, slice, slice_bytes);
        MQA_TRY(sink->write(sink->user, slice, slice_bytes, err));
    }
    return sink->write(sink->user, &sum, sizeof sum, err);
}

mqa_status mqa_session_image_write(const mqa_session *s, int sequence, const unsigned char tag[MQA_IMAGE_TAG],
                                   const mqa_image_sink *sink, mqa_error *err)
{
    if (!s || !mqa_session_has(s, sequence) || !tag || !sink || !sink->write)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_session_image_write: there is no sequence %d, or an argument is NULL", sequence);
    const int64_t n_tokens = mqa_session_length(s, sequence);
    if (n_tokens < 1)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "an image of sequence %d, which is empty", sequence);
    const image_header h = header_of(s, tag, n_tokens);
    MQA_TRY(sink->write(sink->user, &h, sizeof h, err));
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        for (int64_t page = 0; page < h.kind[k].n_pages; page++)
            MQA_TRY(write_page(&s->kind[k], s->kind[k].sequences[sequence], page, page_seed(&h, k, page),
                               sink, err));
    return MQA_OK;
}

/* ---- reading ---- */

static mqa_status check_header(const mqa_session *s, const unsigned char *tag, const image_header *h,
                               mqa_error *err)
{
    if (h->magic != magic)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "image: begins with %016" PRIx64 ", not as one of a sequence does", h->magic);
    if (h->version != VERSION)
        return mqa_fail(err, MQA_ERR_FORMAT, "image: version %d; this is for version %d", h->version,
                        VERSION);
    if (h->checksum != mqa_checksum(0, h, offsetof(image_header, checksum)))
        return mqa_fail(err, MQA_ERR_FORMAT, "image: its header is damaged: the checksum is another one");
    if (h->n_tokens < 1 || h->n_tokens > s->options.context)
        return mqa_fail(err, MQA_ERR_FORMAT, "image: of %" PRId64 " tokens; the context has 1 to %" PRId64,
                        h->n_tokens, s->options.context);
    const image_header own = header_of(s, tag, h->n_tokens);
    if (memcmp(h->recipe, own.recipe, sizeof own.recipe) != 0)
        return mqa_fail(err, MQA_ERR_FORMAT, "image: of recipe '%.63s'; this session's is '%s'", h->recipe,
                        own.recipe);
    if (memcmp(h->tag, own.tag, sizeof own.tag) != 0)
        return mqa_fail(err, MQA_ERR_FORMAT, "image: of something else: its tag isn't the one asked for");
    if (memcmp(h, &own, sizeof own) != 0)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "image: of another model, or another layout of the cache: layers, heads, formats or "
                        "window differ");
    return MQA_OK;
}

/* Zeros in place of the empty sequence, with what is shared. All kinds or, but for the emptying, none. */
static mqa_status lay_out(mqa_session *s, int sequence, const image_header *h, int from, int64_t n_shared,
                          mqa_error *err)
{
    int64_t pages[MQA_LAYER_KINDS], shared[MQA_LAYER_KINDS] = {0};
    if (s->kind[MQA_LAYER_GLOBAL].cache)
        shared[MQA_LAYER_GLOBAL] = n_shared / s->kind[MQA_LAYER_GLOBAL].page_tokens;
    for (int k = 0; k < MQA_LAYER_KINDS; k++) pages[k] = h->kind[k].n_pages - shared[k];
    mqa_session_prepare_pages(s, pages);
    for (int k = 0; k < MQA_LAYER_KINDS; k++) {
        if (!s->kind[k].cache) continue;
        mqa_sequence **at = &s->kind[k].sequences[sequence], *laid_out = NULL;
        const mqa_sequence *source = shared[k] > 0 ? s->kind[k].sequences[from] : NULL;
        MQA_TRY(mqa_sequence_lay_out(*at, h->n_tokens, source, shared[k], &laid_out, err));
        mqa_sequence_destroy(at);
        *at = laid_out;
    }
    return MQA_OK;
}

static mqa_status read_page(const mqa_session_kind *kind, const mqa_sequence *seq, int64_t page, uint64_t sum,
                            size_t at, const mqa_image_source *source, mqa_error *err)
{
    const size_t slice_bytes = kind->cache->layout.slice_bytes;
    uint64_t stored;
    for (int layer = 0; layer < kind->cache->config.n_layers; layer++, at += slice_bytes) {
        unsigned char *slice = mqa_image_slice(seq, page, layer);
        MQA_TRY(source->read(source->user, at, slice, slice_bytes, err));
        sum = mqa_checksum(sum, slice, slice_bytes);
    }
    MQA_TRY(source->read(source->user, at, &stored, sizeof stored, err));
    if (sum == stored) return MQA_OK;
    return mqa_fail(err, MQA_ERR_FORMAT, "image: page %" PRId64 " is damaged: its checksum is another one",
                    page);
}

static mqa_status read_pages(mqa_session *s, int sequence, const image_header *h, int64_t n_shared,
                             const mqa_image_source *source, mqa_error *err)
{
    size_t at = sizeof *h;
    for (int k = 0; k < MQA_LAYER_KINDS; k++) {
        const mqa_session_kind *kind = &s->kind[k];
        if (!kind->cache) continue;
        const mqa_sequence *seq = kind->sequences[sequence];
        const int64_t shared = k == MQA_LAYER_GLOBAL ? n_shared / kind->page_tokens : 0;
        const size_t page_bytes = kind->page_bytes + sizeof(uint64_t);
        for (int64_t page = shared; page < h->kind[k].n_pages; page++)
            MQA_TRY(read_page(kind, seq, page, page_seed(h, k, page), at + (size_t)page * page_bytes, source,
                              err));
        at += (size_t)h->kind[k].n_pages * page_bytes;
        mqa_sequence_trim(seq);
    }
    return MQA_OK;
}

mqa_status mqa_session_image_read(mqa_session *s, int sequence, const unsigned char tag[MQA_IMAGE_TAG],
                                  const mqa_image_source *source, int from, int64_t n_shared, mqa_error *err)
{
    if (!s || !mqa_session_has(s, sequence) || !tag || !source || !source->read)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "mqa_session_image_read: there is no sequence %d, or an argument is NULL", sequence);
    if (mqa_session_length(s, sequence) > 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "an image into sequence %d, which isn't empty",
                        sequence);
    if (n_shared < 0 ||
        (n_shared > 0 && (!mqa_session_has(s, from) || n_shared > mqa_session_length(s, from))))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "an image that shares %" PRId64 " tokens with sequence %d, which hasn't so many",
                        n_shared, from);
    image_header h;
    MQA_TRY(source->read(source->user, 0, &h, sizeof h, err));
    MQA_TRY(check_header(s, tag, &h, err));
    if (n_shared > h.n_tokens)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "an image of %" PRId64 " tokens that shares %" PRId64,
                        h.n_tokens, n_shared);
    mqa_status status = lay_out(s, sequence, &h, from, n_shared, err);
    if (status == MQA_OK) status = read_pages(s, sequence, &h, n_shared, source, err);
    if (status != MQA_OK) (void)mqa_session_truncate(s, sequence, 0, NULL);
    return status;
}
