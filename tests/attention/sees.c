/* What mqa/attention.h says of masks, token by token. Shares nothing with the library's views.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "harness.h"

static int64_t document_at(const problem *p, int i, int64_t position)
{
    int64_t n = 0;
    while (n < p->n_documents[i] && p->documents[i][n] <= position) n++;
    return n;
}

/* window: keys seen, the query itself included; 0: all */
static bool within(int64_t window, int64_t position, int64_t t)
{
    return window == 0 || t > position - window;
}

bool sees(const problem *p, int i, int64_t query, int64_t t)
{
    const problem_shape *s = &p->shape;
    const sequence_shape *of = &s->of[i];
    const int64_t position = position_of(p, i, query);
    if (t < 0 || t >= of->n) return false;
    if (s->mask == MQA_MASK_CAUSAL && t > position && t >= of->prefix) return false;
    if (document_at(p, i, t) != document_at(p, i, position)) return false;
    const bool near = within(s->window, position, t) && within(s->plan_window, position, t) &&
                      (s->chunk == 0 || t >= position / s->chunk * s->chunk);
    if (!near && t >= s->n_sink_tokens) return false;
    const int64_t b = t - p->bits_first[i];
    if (p->bits[i] && b >= 0 && b < 8 * (int64_t)p->bits_stride[i])
        return p->bits[i][(size_t)query * p->bits_stride[i] + (size_t)(b / 8)] >> b % 8 & 1;
    return true;
}
