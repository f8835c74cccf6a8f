/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow.h"

int64_t end_index(const model *m, const shadow *s)
{
    return (s->length - s->first + m->page_tokens - 1) / m->page_tokens;
}

int64_t n_pages(const model *m, const shadow *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < end_index(m, s); i++) n += s->page[i] != 0;
    return n;
}

bool holds(const model *m, const shadow *s, int64_t position, int64_t n)
{
    if (n < 0 || position < s->first || position + n > s->length) return false;
    if (n == 0) return position == s->length || s->page[(position - s->first) / m->page_tokens] != 0;
    for (int64_t t = position; t < position + n; t++)
        if (s->page[(t - s->first) / m->page_tokens] == 0) return false;
    return true;
}

int64_t gone_from(const model *m, const shadow *s)
{
    for (int64_t i = 0; i < end_index(m, s); i++)
        if (s->page[i] == 0) return s->first + i * m->page_tokens;
    return s->first;
}

int64_t held_from(const model *m, const shadow *s)
{
    for (int64_t i = end_index(m, s); i > 0; i--)
        if (s->page[i - 1] == 0) return s->first + i * m->page_tokens;
    return s->first;
}

static bool has_page(const model *m, const shadow *s, uint32_t name)
{
    for (int64_t i = 0; s->seq && i < end_index(m, s); i++)
        if (s->page[i] == name) return true;
    return false;
}

int holders(const model *m, uint32_t name)
{
    int n = 0;
    for (int i = 0; i < SEQUENCES; i++) n += has_page(m, &m->s[i], name);
    return n;
}

static bool is_charged(const model *m, uint32_t name, int payer)
{
    const int pays = m->payer_of[name];
    return payer == NOBODY || pays == payer || (payer == TOP && pays != NOBODY);
}

int64_t pages_charged(const model *m, int which, const shadow *other, int payer)
{
    int64_t n = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        const shadow *s = i == which ? other : &m->s[i];
        for (int64_t p = 0; s->seq && p < end_index(m, s); p++) {
            bool seen = s->page[p] == 0;
            for (int j = 0; j < i && !seen; j++)
                seen = has_page(m, j == which ? other : &m->s[j], s->page[p]);
            n += !seen && is_charged(m, s->page[p], payer);
        }
    }
    return n;
}

int64_t pages_with(const model *m, int which, const shadow *other)
{
    return pages_charged(m, which, other, NOBODY);
}

int64_t pages_kept(const model *m, int payer)
{
    int64_t n = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        const shadow *s = &m->s[i];
        for (int64_t p = 0; s->seq && s->kept && p < end_index(m, s); p++) {
            bool counts = s->page[p] != 0 && is_charged(m, s->page[p], payer);
            for (int j = 0; j < SEQUENCES && counts; j++)
                counts = !has_page(m, &m->s[j], s->page[p]) || (m->s[j].kept && j >= i);
            n += counts;
        }
    }
    return n;
}

uint32_t take_page(model *m, const shadow *s)
{
    const uint32_t name = ++m->last_page;
    m->payer_of[name] = (uint8_t)s->payer;
    return name;
}

int64_t pages_in_use(const model *m)
{
    return pages_with(m, -1, NULL);
}

int64_t unique_pages(const model *m, const shadow *s)
{
    int64_t n = 0;
    for (int64_t p = 0; p < end_index(m, s); p++) n += s->page[p] != 0 && holders(m, s->page[p]) == 1;
    return n;
}

/* The first position that the query at `position` sees. */
static int64_t seen_from(const model *m, const shadow *s, int64_t position)
{
    const int64_t from = m->config.window ? position - m->config.window + 1 : s->first;
    return from > s->first ? from : s->first;
}

void drop_behind_window(const model *m, shadow *s)
{
    for (int64_t i = 0; s->first + (i + 1) * m->page_tokens <= seen_from(m, s, s->length); i++)
        if (s->first + i * m->page_tokens >= m->config.n_sink_tokens) s->page[i] = 0;
}

bool can_go_back(const model *m, const shadow *s, int64_t length)
{
    if (length < s->first || length > s->length) return false;
    return length <= gone_from(m, s) || seen_from(m, s, length) >= held_from(m, s);
}
