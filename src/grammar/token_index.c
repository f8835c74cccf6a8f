/* Building the tries of a vocabulary.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "grammar/token_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tokenizer/array.h"

const uint32_t mqa_lengths[MQA_LENGTHS] = {4, 8, 16, MQA_TOKEN_BYTES_MAX};

/* A token's alphabet and number of characters as one number above 0. */
#define PART_OF(alphabet, n) (1 + (alphabet)*MQA_COUNTS + ((n) < MQA_COUNTS ? (n) : MQA_COUNTS) - 1)

typedef struct building {
    mqa_token_index *index;
    uint32_t *ids; /* the tokens that can be allowed, sorted by their bytes */
    size_t n;
    uint8_t *part; /* [n_tokens] PART_OF; 0: of no alphabet */
    mqa_error *err;
} building;

static uint32_t length_of(const mqa_token_index *index, uint32_t id)
{
    return index->offsets[id + 1] - index->offsets[id];
}

static int by_bytes(const void *x, const void *y, void *arg)
{
    const mqa_token_index *index = arg;
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    const uint32_t n = length_of(index, a), m = length_of(index, b);
    const int order =
        memcmp(index->bytes + index->offsets[a], index->bytes + index->offsets[b], n < m ? n : m);
    if (order) return order;
    return n != m ? (n > m) - (n < m) : (a > b) - (a < b);
}

/* PART_OF a token; 0 where it is of no alphabet. */
static uint8_t find_part(mqa_token_index *index, const uint8_t *bytes, uint32_t n)
{
    unsigned alphabets = (1u << MQA_ALPHABETS) - 1; /* that have all its characters */
    uint32_t n_characters = 0;
    for (uint32_t i = 0, length; i < n; i += length, n_characters++) {
        length = (uint32_t)mqa_utf8_length(bytes + i, n - i);
        if (length == 0) return 0;
        for (unsigned x = 0; x < MQA_ALPHABETS; x++)
            if (!mqa_alphabet_has((mqa_alphabet)x, bytes[i])) alphabets &= ~(1u << x);
    }
    if (alphabets == 0) return 0;
    if (n_characters > index->longest) index->longest = n_characters;
    return (uint8_t)PART_OF((unsigned)__builtin_ctz(alphabets), n_characters);
}

static mqa_status copy_tokens(building *b, const mqa_tokenizer *tokenizer)
{
    mqa_token_index *index = b->index;
    const size_t n_tokens = (size_t)index->n_tokens;
    size_t total = 0, length;
    for (int32_t id = 0; id < index->n_tokens; id++) {
        mqa_tokenizer_piece(tokenizer, id, &length);
        if (length <= MQA_TOKEN_BYTES_MAX) total += length;
    }
    if (total > MQA_TRIE_NODES_MAX - 1 || n_tokens > MQA_TRIE_NO_TOKEN)
        return mqa_fail(b->err, MQA_ERR_BUDGET,
                        "token index: a vocabulary of %zu tokens, %zu bytes is too large", n_tokens, total);
    index->n_words = (n_tokens + 63) / 64;
    index->offsets = calloc(n_tokens + 1, sizeof *index->offsets);
    index->bytes = malloc(total + 1);
    index->ends = calloc(index->n_words, sizeof *index->ends);
    b->ids = malloc(n_tokens * sizeof *b->ids);
    b->part = calloc(n_tokens, 1);
    if (!index->offsets || !index->bytes || !index->ends || !b->ids || !b->part)
        return mqa_fail(b->err, MQA_ERR_OUT_OF_MEMORY, "token index: no memory for %zu tokens", n_tokens);
    uint32_t at = 0;
    for (int32_t id = 0; id < index->n_tokens; id++) {
        const char *bytes = mqa_tokenizer_piece(tokenizer, id, &length);
        index->offsets[id] = at;
        if (mqa_tokenizer_is_end(tokenizer, id)) {
            index->ends[id / 64] |= (uint64_t)1 << id % 64;
        } else if (!mqa_tokenizer_is_control(tokenizer, id) && length > 0 && length <= MQA_TOKEN_BYTES_MAX) {
            memcpy(index->bytes + at, bytes, length);
            b->part[id] = find_part(index, (const uint8_t *)bytes, (uint32_t)length);
            b->ids[b->n++] = (uint32_t)id;
            at += (uint32_t)length;
        }
    }
    index->offsets[index->n_tokens] = at;
    qsort_r(b->ids, b->n, sizeof *b->ids, by_bytes, index);
    return MQA_OK;
}

static mqa_status add_node(mqa_trie *trie, uint8_t byte, uint32_t depth, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&trie->nodes, &trie->capacity, trie->n + 1, sizeof *trie->nodes, err));
    trie->nodes[trie->n++] =
        (mqa_trie_node){.byte = byte, .skip = 1, .depth = depth & 0xFF, .token = MQA_TRIE_NO_TOKEN};
    return MQA_OK;
}

/* The nodes on the way to the last token are open: their skip is set when something else follows. */
static void close_nodes(mqa_trie *trie, const size_t *open, uint32_t from, uint32_t to)
{
    for (uint32_t depth = from; depth <= to; depth++)
        trie->nodes[open[depth]].skip = (trie->n - open[depth]) & 0xFFFFFF;
}

/* Of the sorted tokens those of the parts first .. last. */
static mqa_status build_trie(const building *b, unsigned first, unsigned last_part, mqa_trie *trie)
{
    const mqa_token_index *index = b->index;
    size_t open[MQA_TOKEN_BYTES_MAX + 1];
    const uint8_t *last = NULL;
    uint32_t last_length = 0;
    for (size_t i = 0; i < b->n; i++) {
        const uint32_t id = b->ids[i], length = length_of(index, id);
        const uint8_t *bytes = index->bytes + index->offsets[id];
        if (b->part[id] < first || b->part[id] > last_part) continue;
        uint32_t same = 0;
        while (same < last_length && same < length && last[same] == bytes[same]) same++;
        if (same == length) same--; /* the same bytes again: a node beside the last one */
        close_nodes(trie, open, same + 1, last_length);
        for (uint32_t depth = same + 1; depth <= length; depth++) {
            open[depth] = trie->n;
            MQA_TRY(add_node(trie, bytes[depth - 1], depth, b->err));
        }
        trie->nodes[trie->n - 1].token = id & 0xFFFFFF;
        last = bytes, last_length = length;
    }
    close_nodes(trie, open, 1, last_length);
    return MQA_OK;
}

static mqa_status build_mask(building *b, unsigned alphabet, unsigned n_characters)
{
    mqa_token_index *index = b->index;
    uint64_t *mask = index->masks[alphabet][n_characters - 1] = calloc(index->n_words, sizeof *mask);
    if (!mask) return mqa_fail(b->err, MQA_ERR_OUT_OF_MEMORY, "token index: no memory for a mask");
    const unsigned first = PART_OF(alphabet, 1), last = PART_OF(alphabet, n_characters);
    for (int32_t id = 0; id < index->n_tokens; id++)
        if (b->part[id] >= first && b->part[id] <= last) mask[id / 64] |= (uint64_t)1 << id % 64;
    return MQA_OK;
}

static mqa_status build(building *b)
{
    MQA_TRY(build_trie(b, 0, UINT8_MAX, &b->index->all));
    MQA_TRY(build_trie(b, 0, 0, &b->index->rest));
    for (unsigned x = 0; x < MQA_ALPHABETS; x++) {
        uint32_t shorter = 0;
        for (int i = 0; i < MQA_LENGTHS; shorter = mqa_lengths[i++])
            MQA_TRY(
                build_trie(b, PART_OF(x, shorter + 1), PART_OF(x, mqa_lengths[i]), &b->index->parts[x][i]));
        for (unsigned n = 1; n <= MQA_COUNTS; n++) MQA_TRY(build_mask(b, x, n));
    }
    return MQA_OK;
}

mqa_status mqa_token_index_create(const mqa_tokenizer *tokenizer, mqa_token_index **out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "token index: out is NULL");
    *out = NULL;
    if (!tokenizer) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "token index: the tokenizer is NULL");
    building b = {.index = calloc(1, sizeof *b.index), .err = err};
    if (!b.index) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "token index: no memory");
    atomic_init(&b.index->references, 1);
    b.index->n_tokens = mqa_tokenizer_n_tokens(tokenizer);
    mqa_status status = copy_tokens(&b, tokenizer);
    if (status == MQA_OK) status = build(&b);
    free(b.ids);
    free(b.part);
    if (status == MQA_OK)
        *out = b.index;
    else
        mqa_token_index_destroy(&b.index);
    return status;
}

mqa_token_index *mqa_token_index_keep(mqa_token_index *index)
{
    atomic_fetch_add(&index->references, 1);
    return index;
}

void mqa_token_index_destroy(mqa_token_index **index)
{
    if (!index || !*index) return;
    mqa_token_index *x = *index;
    *index = NULL;
    if (atomic_fetch_sub(&x->references, 1) > 1) return;
    free(x->offsets);
    free(x->bytes);
    free(x->ends);
    free(x->all.nodes);
    free(x->rest.nodes);
    for (int alphabet = 0; alphabet < MQA_ALPHABETS; alphabet++) {
        for (int i = 0; i < MQA_LENGTHS; i++) free(x->parts[alphabet][i].nodes);
        for (int i = 0; i < MQA_COUNTS; i++) free(x->masks[alphabet][i]);
    }
    free(x);
}

size_t mqa_token_index_mask_words(const mqa_token_index *index)
{
    return index->n_words;
}
