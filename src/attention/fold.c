/* SPDX-License-Identifier: Apache-2.0 */
#include "attention/fold.h"

#include <math.h>
#include <string.h>

void mqa_row_states_fold(const mqa_attention_kernels *kernels, int rows, int d_v, mqa_row_states a,
                         mqa_row_states b)
{
    kernels->fold(rows, d_v, a.m, a.l, a.o, b.m, b.l, b.o);
}

void mqa_row_states_clear(mqa_row_states s, int rows, int d_v)
{
    for (int r = 0; r < rows; r++) s.m[r] = -INFINITY;
    memset(s.l, 0, (size_t)rows * sizeof(float));
    memset(s.o, 0, (size_t)rows * (size_t)MQA_PAD(d_v) * sizeof(float));
}

static void swap(mqa_row_states *a, mqa_row_states *b)
{
    const mqa_row_states t = *a;
    *a = *b;
    *b = t;
}

mqa_fold mqa_fold_begin(const mqa_attention_kernels *kernels, int rows, int d_v, mqa_row_states group,
                        mqa_row_states total)
{
    return (mqa_fold){
        .kernels = kernels, .rows = rows, .d_v = d_v, .group = -1, .open_group = group, .total = total};
}

/* What leaves a group is of V as it was given: public states of any caches merge. */
static void turn_back(const mqa_fold *f)
{
    const size_t row = (size_t)MQA_PAD(f->d_v);
    for (int r = 0; r < f->rows; r++) f->turn_back(f->open_group.o + (size_t)r * row, f->d_v, f->block);
}

/* The empty state is an identity of the fold, so the first to come is taken as it is. */
static void close_group(mqa_fold *f)
{
    if (f->group < 0) return;
    if (f->turn_back) turn_back(f);
    if (f->emit) {
        f->emit(f->emit_arg, f->group, f->open_group);
    } else if (f->any) {
        mqa_row_states_fold(f->kernels, f->rows, f->d_v, f->total, f->open_group);
    } else {
        swap(&f->total, &f->open_group);
        f->any = true;
    }
    f->group = -1;
}

void mqa_fold_take(mqa_fold *f, int64_t span, mqa_row_states *states)
{
#ifdef MQA_MUTANT_FOLD /* the tests build this to see that they notice */
    const int64_t group = span / 2;
#else
    const int64_t group = span / MQA_GROUP_SPANS;
#endif
    if (group == f->group) {
        mqa_row_states_fold(f->kernels, f->rows, f->d_v, f->open_group, *states);
        return;
    }
    close_group(f);
    swap(&f->open_group, states);
    f->group = group;
}

mqa_row_states mqa_fold_end(mqa_fold *f)
{
    close_group(f);
    if (!f->any) mqa_row_states_clear(f->total, f->rows, f->d_v);
    return f->total;
}
