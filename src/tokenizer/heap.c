/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/heap.h"

mqa_status mqa_heap_push(mqa_heap *heap, mqa_candidate item, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&heap->items, &heap->capacity, heap->n + 1, sizeof item, err));
    size_t at = heap->n++;
    while (at > 0 && heap->items[(at - 1) / 2].key > item.key) {
        heap->items[at] = heap->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->items[at] = item;
    return MQA_OK;
}

mqa_candidate mqa_heap_pop(mqa_heap *heap)
{
    mqa_candidate top = heap->items[0], last = heap->items[--heap->n];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < heap->n) {
        if (child + 1 < heap->n && heap->items[child + 1].key < heap->items[child].key) child++;
        if (heap->items[child].key >= last.key) break;
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = last; /* harmless when the heap is empty now */
    return top;
}
