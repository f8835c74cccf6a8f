/* Merging: the best pair of neighbours becomes one symbol, until none can; the leftmost on a tie. A heap
 * holds the candidates; those that a merge has made stale are dropped when they come up, so the work is O(n
 * log n) whatever the text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tokenizer/internal.h"

#include <stdlib.h>

void mqa_encoder_free(mqa_encoder *encoder)
{
    free(encoder->symbols);
    free(encoder->heap.items);
    mqa_text_free(&encoder->repaired);
}

mqa_status mqa_encoder_add_symbol(mqa_encoder *encoder, uint32_t start, uint32_t length, int32_t id,
                                  mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&encoder->symbols, &encoder->symbols_capacity, encoder->n_symbols + 1,
                              sizeof *encoder->symbols, err));
    int32_t at = (int32_t)encoder->n_symbols++;
    encoder->symbols[at] = (mqa_symbol){start, length, id, at - 1, -1};
    if (at > 0) encoder->symbols[at - 1].next = at;
    return MQA_OK;
}

static mqa_status consider(mqa_encoder *encoder, const uint8_t *text, int32_t left, int32_t right,
                           mqa_error *err)
{
    if (left < 0 || right < 0) return MQA_OK;
    const mqa_tokenizer *t = encoder->tokenizer;
    const mqa_symbol *l = &encoder->symbols[left], *r = &encoder->symbols[right];
    uint32_t rank;
    int32_t merged;
    if (t->kind == MQA_TOKENIZER_LLAMA) {
        uint32_t length = l->length + r->length;
        if (length > t->mergeable_max) return MQA_OK;
        merged = mqa_piece_map_find(&t->mergeable, text + l->start, length);
        if (merged == MQA_TOKEN_NONE) return MQA_OK;
        rank = t->ranks[merged];
    } else {
        if (l->id < 0 || r->id < 0) return MQA_OK;
        const mqa_merge_slot *merge = mqa_merge_map_find(&t->merges, l->id, r->id);
        if (!merge) return MQA_OK;
        rank = merge->rank;
        merged = merge->merged;
    }
    return mqa_heap_push(&encoder->heap,
                         (mqa_candidate){mqa_heap_key(rank, (uint32_t)left), (uint32_t)right, merged}, err);
}

mqa_status mqa_merge(mqa_encoder *encoder, const uint8_t *text, mqa_error *err)
{
    encoder->heap.n = 0;
    for (size_t i = 1; i < encoder->n_symbols; i++)
        MQA_TRY(consider(encoder, text, (int32_t)i - 1, (int32_t)i, err));
    while (encoder->heap.n > 0) {
        mqa_candidate best = mqa_heap_pop(&encoder->heap);
        int32_t left = (int32_t)(uint32_t)best.key;
        mqa_symbol *l = &encoder->symbols[left], *r = &encoder->symbols[best.right];
        /* Symbols only grow, so the lengths tell whether either has changed since. */
        if (l->length == 0 || r->length == 0 ||
            l->length + r->length != mqa_piece_length(encoder->tokenizer, best.id))
            continue;
        l->length += r->length;
        l->id = best.id;
        l->next = r->next;
        r->length = 0;
        if (l->next >= 0) encoder->symbols[l->next].prev = left;
        MQA_TRY(consider(encoder, text, l->prev, left, err));
        MQA_TRY(consider(encoder, text, left, l->next, err));
    }
    return MQA_OK;
}
