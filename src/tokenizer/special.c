/* Finding special tokens in a text.
 *
 * The rule is llama.cpp's: all places of the longest token are taken first, from the left, then those of the
 * next longest in what is left over. A sorted table narrowed byte by byte gives the longest match at each
 * position; a heap takes the positions in that order. One that is blocked comes back with its next
 * shorter match.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

static int compare_pieces(const char *a, size_t n, const char *b, size_t m)
{
    int order = memcmp(a, b, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static int by_bytes(const void *x, const void *y, void *arg)
{
    const mqa_tokenizer *t = arg;
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    int order = compare_pieces(mqa_piece_bytes(t, a), mqa_piece_length(t, a), mqa_piece_bytes(t, b),
                               mqa_piece_length(t, b));
    return order ? order : (a > b) - (a < b);
}

static bool is_special(uint8_t type)
{
    return type == MQA_TOKEN_CONTROL || type == MQA_TOKEN_USER_DEFINED || type == MQA_TOKEN_UNKNOWN;
}

mqa_status mqa_special_build(mqa_tokenizer *t, mqa_error *err)
{
    size_t n = 0;
    for (int32_t id = 0; id < t->n_tokens; id++) n += is_special(t->types[id]);
    t->special = malloc((n ? n : 1) * sizeof *t->special);
    if (!t->special) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for special tokens");
    for (int32_t id = 0; id < t->n_tokens; id++) {
        uint32_t length = mqa_piece_length(t, id);
        if (!is_special(t->types[id]) || length == 0) continue;
        if (length > MQA_SPECIAL_MAX)
            return mqa_fail(err, MQA_ERR_FORMAT,
                            "tokenizer.ggml.tokens: special token %d has %u bytes, more than %d", id, length,
                            MQA_SPECIAL_MAX);
        t->special[t->n_special++] = id;
    }
    qsort_r(t->special, t->n_special, sizeof *t->special, by_bytes, t);
    uint32_t kept = 0; /* of equal texts the lowest id */
    for (uint32_t i = 0; i < t->n_special; i++) {
        int32_t id = t->special[i];
        if (kept > 0 && compare_pieces(mqa_piece_bytes(t, id), mqa_piece_length(t, id),
                                       mqa_piece_bytes(t, t->special[kept - 1]),
                                       mqa_piece_length(t, t->special[kept - 1])) == 0)
            continue;
        t->special[kept++] = id;
    }
    t->n_special = kept;
    uint32_t at = 0;
    for (int byte = 0; byte < 256; byte++) {
        t->special_first[byte] = at;
        while (at < kept && (uint8_t)mqa_piece_bytes(t, t->special[at])[0] == byte) at++;
    }
    t->special_first[256] = at;
    return MQA_OK;
}

/* The first in [low, high) whose byte at depth is not below byte; all are longer than depth. */
static uint32_t lower_bound(const mqa_tokenizer *t, uint32_t low, uint32_t high, uint32_t depth, int byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint8_t)mqa_piece_bytes(t, t->special[middle])[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that text begins with and that is at most room bytes long; control tokens at most
 * control_room. MQA_TOKEN_NONE if there is none. */
static int32_t longest(const mqa_tokenizer *t, const uint8_t *text, size_t room, size_t control_room)
{
    int32_t best = MQA_TOKEN_NONE;
    uint32_t low = t->special_first[text[0]], high = t->special_first[text[0] + 1];
    for (uint32_t depth = 1; low < high; depth++) {
        /* What is exactly as long as what was read comes first. */
        int32_t id = t->special[low];
        if (mqa_piece_length(t, id) == depth) {
            if (t->types[id] == MQA_TOKEN_USER_DEFINED || depth <= control_room) best = id;
            low++;
        }
        if (depth >= room) break;
        low = lower_bound(t, low, high, depth, text[depth]);
        high = lower_bound(t, low, high, depth, text[depth] + 1);
    }
    return best;
}

static int by_position(const void *x, const void *y)
{
    const mqa_found *a = x, *b = y;
    return (a->position > b->position) - (a->position < b->position);
}

typedef struct search {
    const mqa_tokenizer *t;
    const uint8_t *text;
    size_t n;
    const mqa_span *spans;
    size_t n_spans;
    mqa_heap heap;
} search;

/* Pushes the longest match of at most limit bytes at position. */
static mqa_status push_match(search *s, size_t position, size_t limit, mqa_error *err)
{
    if (limit > s->n - position) limit = s->n - position;
    if (limit == 0) return MQA_OK;
    size_t low = 0, high = s->n_spans; /* the span that ends behind position */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->spans[middle].end <= position)
            low = middle + 1;
        else
            high = middle;
    }
    size_t control_room =
        low < s->n_spans && s->spans[low].begin <= position ? s->spans[low].end - position : 0;
    int32_t id = longest(s->t, s->text + position, limit, control_room);
    if (id == MQA_TOKEN_NONE) return MQA_OK;
    uint32_t rank = UINT32_MAX - mqa_piece_length(s->t, id);
    return mqa_heap_push(&s->heap, (mqa_candidate){mqa_heap_key(rank, (uint32_t)position), 0, id}, err);
}

static mqa_status take_matches(search *s, mqa_found_list *out, mqa_error *err)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->t->special_first[s->text[i]] < s->t->special_first[s->text[i] + 1])
            MQA_TRY(push_match(s, i, s->n - i, err));
    if (s->heap.n == 0) return MQA_OK;
    uint8_t *taken = calloc(s->n, 1);
    if (!taken)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "tokenizer: no memory for a text of %zu bytes", s->n);
    mqa_status status = MQA_OK;
    while (status == MQA_OK && s->heap.n > 0) {
        mqa_candidate top = mqa_heap_pop(&s->heap);
        uint32_t position = (uint32_t)top.key, length = mqa_piece_length(s->t, top.id);
        if (taken[position]) continue;
        /* All that is taken is at least as long, so it can't lie strictly inside: the last byte tells. */
        if (taken[position + length - 1]) {
            status = push_match(s, position, length - 1, err);
            continue;
        }
        memset(taken + position, 1, length);
        status = mqa_array_reserve(&out->items, &out->capacity, out->n + 1, sizeof *out->items, err);
        if (status == MQA_OK) out->items[out->n++] = (mqa_found){position, top.id};
    }
    free(taken);
    if (out->n) qsort(out->items, out->n, sizeof *out->items, by_position);
    return status;
}

mqa_status mqa_special_find(const mqa_tokenizer *t, const uint8_t *text, size_t n, const mqa_span *spans,
                            size_t n_spans, mqa_found_list *out, mqa_error *err)
{
    search s = {.t = t, .text = text, .n = n, .spans = spans, .n_spans = n_spans};
    mqa_status status = take_matches(&s, out, err);
    free(s.heap.items);
    return status;
}

int32_t mqa_tokenizer_find_special(const mqa_tokenizer *t, const char *text, size_t n_bytes)
{
    uint32_t low = 0, high = t->n_special;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int32_t id = t->special[middle];
        int order = compare_pieces(mqa_piece_bytes(t, id), mqa_piece_length(t, id), text, n_bytes);
        if (order == 0) return id;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return MQA_TOKEN_NONE;
}
