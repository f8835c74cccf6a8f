/* SPDX-License-Identifier: Apache-2.0 */
#include "attention/view.h"

#include "kernels/valid.h"

static mqa_range intersect(mqa_range a, mqa_range b)
{
    return (mqa_range){mqa_max64(a.lo, b.lo), mqa_min64(a.hi, b.hi)};
}

/* The document that a position lies in: the last that begins at or before it. */
static mqa_range document_of(const mqa_item_rules *item, int64_t position)
{
    int64_t lo = 0, hi = item->n_documents;
    while (hi - lo > 1) {
        const int64_t middle = lo + (hi - lo) / 2;
        if (item->documents[middle] <= position)
            lo = middle;
        else
            hi = middle;
    }
    return (mqa_range){item->documents[lo], hi < item->n_documents ? item->documents[hi] : item->end};
}

mqa_view mqa_view_of(const mqa_rules *rules, const mqa_item_rules *item, int64_t query, int64_t position)
{
    const int64_t causal_hi = mqa_max64(position + 1, item->prefix);
    mqa_range all = {item->begin, rules->causal ? mqa_min64(item->end, causal_hi) : item->end};
    if (item->documents) all = intersect(all, document_of(item, position));

    int64_t near = 0; /* window and chunk begin here */
    if (rules->window_left >= 0) near = mqa_max64(near, position - rules->window_left);
    if (rules->chunk > 0) near = mqa_max64(near, position / rules->chunk * rules->chunk);
    mqa_view view = {.main = intersect(all, (mqa_range){near, INT64_MAX})};
    view.sinks = intersect(all, (mqa_range){0, rules->n_sink_tokens});
    if (view.sinks.hi <= view.sinks.lo)
        view.sinks = (mqa_range){0, 0};
    else if (view.sinks.hi >= view.main.lo) {
        view.main.lo = mqa_min64(view.main.lo, view.sinks.lo);
        view.main.hi = mqa_max64(view.main.hi, view.sinks.hi);
        view.sinks = (mqa_range){0, 0};
    }
    if (view.main.hi < view.main.lo) view.main.hi = view.main.lo;
    if (item->bits) {
        view.bits = item->bits + (size_t)query * item->bits_stride;
        view.bits_over = (mqa_range){item->bits_first, item->bits_first + 8 * (int64_t)item->bits_stride};
    }
    return view;
}

/* A range in words that begin with `token`, clamped to `n` tokens. */
static int clamp(int64_t token, int64_t begin, int n)
{
    return (int)mqa_min64(mqa_max64(token - begin, 0), n);
}

static uint16_t bits_word(const mqa_view *view, int64_t token)
{
    uint16_t word = 0xffff;
    for (int i = 0; i < 16; i++) {
        const int64_t t = token + i, b = t - view->bits_over.lo;
        if (b >= 0 && t < view->bits_over.hi && !(view->bits[b / 8] >> b % 8 & 1))
            word &= (uint16_t) ~(1u << i);
    }
    return word;
}

mqa_seen mqa_view_words(const mqa_view *view, int64_t token, int n_words, uint16_t *words)
{
    const int n = 16 * n_words;
    const bool bits = view->bits && view->bits_over.lo < token + n && token < view->bits_over.hi;
    const int lo = clamp(view->main.lo, token, n), hi = clamp(view->main.hi, token, n);
    if (!bits && lo == 0 && hi == n) return MQA_SEES_ALL;
    const int sinks_lo = clamp(view->sinks.lo, token, n), sinks_hi = clamp(view->sinks.hi, token, n);
    unsigned any = 0, all = 0xffff;
    for (int w = 0; w < n_words; w++) {
        words[w] = mqa_valid_word(16 * w, lo, hi) | mqa_valid_word(16 * w, sinks_lo, sinks_hi);
        if (bits && words[w]) words[w] &= bits_word(view, token + 16 * w);
        any |= words[w];
        all &= words[w];
    }
    return any == 0 ? MQA_SEES_NONE : all == 0xffff ? MQA_SEES_ALL : MQA_SEES_SOME;
}
