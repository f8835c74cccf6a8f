/* Sets of code points as lists of ranges.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "grammar/expr.h"
#include "tokenizer/array.h"

enum { SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF };

mqa_status mqa_range_list_add(mqa_range_list *list, uint32_t lo, uint32_t hi, mqa_error *err)
{
    MQA_TRY(mqa_array_reserve(&list->at, &list->capacity, list->n + 1, sizeof *list->at, err));
    list->at[list->n++] = (mqa_range){lo, hi};
    return MQA_OK;
}

static int by_low(const void *x, const void *y)
{
    const mqa_range *a = x, *b = y;
    return (a->lo > b->lo) - (a->lo < b->lo);
}

static void join(mqa_range_list *list)
{
    size_t n = 0;
    if (list->n) qsort(list->at, list->n, sizeof *list->at, by_low);
    for (size_t i = 0; i < list->n; i++) {
        const mqa_range r = list->at[i];
        if (n > 0 && r.lo <= list->at[n - 1].hi + 1) {
            if (r.hi > list->at[n - 1].hi) list->at[n - 1].hi = r.hi;
        } else {
            list->at[n++] = r;
        }
    }
    list->n = n;
}

mqa_status mqa_range_list_normalize(mqa_range_list *list, mqa_error *err)
{
    join(list);
    for (size_t i = 0, n = list->n; i < n; i++) {
        mqa_range *r = &list->at[i];
        if (r->hi < SURROGATE_FIRST || r->lo > SURROGATE_LAST) continue;
        const uint32_t hi = r->hi;
        r->hi = SURROGATE_FIRST - 1; /* below lo where the range begins with one: dropped */
        if (hi > SURROGATE_LAST) MQA_TRY(mqa_range_list_add(list, SURROGATE_LAST + 1, hi, err));
    }
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->at[i].lo <= list->at[i].hi) list->at[n++] = list->at[i];
    list->n = n;
    if (n) qsort(list->at, n, sizeof *list->at, by_low); /* not joined again across the gap */
    return MQA_OK;
}

mqa_status mqa_range_list_negate(mqa_range_list *list, mqa_error *err)
{
    MQA_TRY(mqa_range_list_add(list, MQA_CODE_POINT_MAX + 1, MQA_CODE_POINT_MAX + 1, err)); /* the end */
    join(list);
    uint32_t next = 0;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        const mqa_range r = list->at[i];
        if (r.lo > next) list->at[n++] = (mqa_range){next, r.lo - 1};
        next = r.hi + 1;
    }
    list->n = n;
    return mqa_range_list_normalize(list, err);
}

size_t mqa_utf8_encode(uint32_t code, uint8_t out[4])
{
    const size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(lead[n] | code);
    return n;
}
