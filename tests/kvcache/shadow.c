/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow.h"

int64_t first_index(const model *m, const shadow *s)
{
    return (s->held - s->first) / m->page_tokens;
}
int64_t end_index(const model *m, const shadow *s)
{
    return (s->length - s->first + m->page_tokens - 1) / m->page_tokens;
}

static bool has_page(const model *m, const shadow *s, uint32_t name)
{
    for (int64_t i = first_index(m, s); s->seq && i < end_index(m, s); i++)
        if (s->page[i] == name) return true;
    return false;
}

int holders(const model *m, uint32_t name)
{
    int n = 0;
    for (int i = 0; i < SEQUENCES; i++) n += has_page(m, &m->s[i], name);
    return n;
}

int64_t pages_with(const model *m, int which, const shadow *other)
{
    int64_t n = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        const shadow *s = i == which ? other : &m->s[i];
        for (int64_t p = first_index(m, s); s->seq && p < end_index(m, s); p++) {
            bool seen = false;
            for (int j = 0; j < i && !seen; j++)
                seen = has_page(m, j == which ? other : &m->s[j], s->page[p]);
            n += !seen;
        }
    }
    return n;
}

int64_t pages_in_use(const model *m)
{
    return pages_with(m, -1, NULL);
}

int64_t unique_pages(const model *m, const shadow *s)
{
    int64_t n = 0;
    for (int64_t p = first_index(m, s); p < end_index(m, s); p++) n += holders(m, s->page[p]) == 1;
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
    const int64_t held = s->first + (seen_from(m, s, s->length) - s->first) / m->page_tokens * m->page_tokens;
    if (held > s->held) s->held = held;
}

bool can_go_back(const model *m, const shadow *s, int64_t length)
{
    if (length < s->first || length > s->length) return false;
    return length == s->first || seen_from(m, s, length) >= s->held;
}
