/* SPDX-License-Identifier: Apache-2.0 */
#include "naive.h"

#include <stdio.h>
#include <string.h>

#include "rig.h"

const char *const naive_alphabet[5] = {"a", "b", "\xC3\xA9", "\"", "\xE2\x82\xAC"};

/* ---- making one ---- */

static int new_expr(naive_grammar *g, uint64_t *seed, int depth)
{
    const int number = g->n_exprs++;
    naive_expr e = {.kind = (naive_kind)below(seed, 6)};
    const bool leaf = depth >= 4 || g->n_exprs > NAIVE_EXPRS - 20;
    if (leaf && e.kind >= N_SEQUENCE) e.kind = below(seed, 4) ? N_LITERAL : N_RULE;
    switch (e.kind) {
    case N_LITERAL:
        for (unsigned n = below(seed, 3); n > 0; n--) strcat(e.literal, naive_alphabet[below(seed, 5)]);
        if (!e.literal[0] && below(seed, 4)) strcpy(e.literal, "a");
        break;
    case N_CLASS:
        for (int i = 0; i < 5; i++) e.has[i] = below(seed, 2);
        e.negated = below(seed, 3) == 0;
        break;
    case N_SEQUENCE:
    case N_CHOICE:
        e.n_kids = 2 + (int)below(seed, 2);
        for (int i = 0; i < e.n_kids; i++) e.kids[i] = new_expr(g, seed, depth + 1);
        break;
    case N_REPEAT:
        e.n_kids = 1;
        e.kids[0] = new_expr(g, seed, depth + 1);
        e.min = (int)below(seed, 3);
        e.max = below(seed, 2) ? -1 : e.min + (int)below(seed, 3);
        break;
    case N_RULE:
        e.rule = (int)below(seed, (unsigned)g->n_rules);
        break;
    }
    g->exprs[number] = e;
    return number;
}

static bool can_end(const naive_grammar *g, const naive_expr *e)
{
    switch (e->kind) {
    case N_LITERAL:
        return true;
    case N_CLASS:
        if (e->negated) return true;
        for (int i = 0; i < 5; i++)
            if (e->has[i]) return true;
        return false;
    case N_SEQUENCE:
        for (int i = 0; i < e->n_kids; i++)
            if (!g->ends[e->kids[i]]) return false;
        return true;
    case N_CHOICE:
        for (int i = 0; i < e->n_kids; i++)
            if (g->ends[e->kids[i]]) return true;
        return false;
    case N_REPEAT:
        return e->min == 0 || g->ends[e->kids[0]];
    case N_RULE:
        return g->ends[g->bodies[e->rule]];
    }
    return false;
}

void naive_random(naive_grammar *g, uint64_t *seed)
{
    memset(g, 0, sizeof *g);
    g->n_rules = 1 + (int)below(seed, NAIVE_RULES);
    for (int i = 0; i < g->n_rules; i++) g->bodies[i] = new_expr(g, seed, 2 * (i > 0));
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < g->n_exprs; i++)
            if (!g->ends[i] && can_end(g, &g->exprs[i])) changed = g->ends[i] = true;
    }
}

/* ---- its text ---- */

static size_t print_expr(const naive_grammar *g, int number, char *out, size_t size)
{
    const naive_expr *e = &g->exprs[number];
    size_t n = 0;
#define PRINT(...) n += (size_t)snprintf(out + n, size > n ? size - n : 0, __VA_ARGS__)
    switch (e->kind) {
    case N_LITERAL:
        PRINT("\"");
        for (const char *p = e->literal; *p; p++) PRINT(*p == '"' ? "\\\"" : "%c", *p);
        PRINT("\"");
        break;
    case N_CLASS:
        PRINT(e->negated ? "[^" : "[");
        for (int i = 0; i < 5; i++)
            if (e->has[i]) PRINT("%s%s", naive_alphabet[i][0] == '"' ? "\\" : "", naive_alphabet[i]);
        PRINT("]");
        break;
    case N_RULE:
        PRINT(e->rule ? "rule-%d" : "root", e->rule);
        break;
    case N_REPEAT:
        PRINT("(");
        n += print_expr(g, e->kids[0], out + n, size - n);
        if (e->max < 0)
            PRINT("){%d,}", e->min);
        else
            PRINT("){%d,%d}", e->min, e->max);
        break;
    case N_SEQUENCE:
    case N_CHOICE:
        PRINT("(");
        for (int i = 0; i < e->n_kids; i++) {
            if (i > 0) PRINT(e->kind == N_CHOICE ? " | " : " ");
            n += print_expr(g, e->kids[i], out + n, size - n);
        }
        PRINT(")");
        break;
    }
    return n;
}

void naive_print(const naive_grammar *g, char *out, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < g->n_rules; i++) {
        PRINT(i ? "rule-%d ::= " : "root ::= ", i);
        n += print_expr(g, g->bodies[i], out + n, size - n);
        PRINT("\n");
    }
}

/* ---- matching ---- */

typedef struct matching {
    const naive_grammar *g;
    const char *text;
    int n;
    /* by expression and place: what is known (1) and the answer */
    struct {
        uint8_t ends_known, alive_known, alive;
        uint32_t ends;
    } memo[NAIVE_EXPRS][NAIVE_TEXT_MAX + 1];
} matching;

static bool begins(const matching *m, int at, const char *what, int n)
{
    return n <= m->n - at && memcmp(m->text + at, what, (size_t)n) == 0;
}

/* The length of the well-formed character at a place, 0 if there is none; *rest whether the text ends within
 * something that may become one. */
static int character(const matching *m, int at, bool *rest)
{
    *rest = at == m->n;
    for (int i = 0; i < 5; i++) {
        const int n = (int)strlen(naive_alphabet[i]);
        if (begins(m, at, naive_alphabet[i], n)) return n;
        if (m->n - at < n && memcmp(m->text + at, naive_alphabet[i], (size_t)(m->n - at)) == 0) *rest = true;
    }
    return 0;
}

static uint32_t ends_of(matching *m, int number, int at);

static uint32_t ends_from_all(matching *m, int number, uint32_t places)
{
    uint32_t out = 0;
    for (int i = 0; i <= m->n; i++)
        if (places >> i & 1) out |= ends_of(m, number, i);
    return out;
}

/* The places where an expression that begins at a place may end, as bits. */
static uint32_t find_ends(matching *m, const naive_expr *e, int at)
{
    uint32_t places = 1u << at, out = 0;
    const int most = e->max < 0 ? e->min + m->n + 1 : e->max;
    switch (e->kind) {
    case N_LITERAL: {
        const int n = (int)strlen(e->literal);
        return begins(m, at, e->literal, n) ? 1u << (at + n) : 0;
    }
    case N_CLASS: {
        bool rest;
        const int n = character(m, at, &rest);
        for (int i = 0; n > 0 && i < 5; i++)
            if (begins(m, at, naive_alphabet[i], (int)strlen(naive_alphabet[i])))
                return e->has[i] != e->negated ? 1u << (at + n) : 0;
        return 0;
    }
    case N_SEQUENCE:
        for (int i = 0; i < e->n_kids; i++) places = ends_from_all(m, e->kids[i], places);
        return places;
    case N_CHOICE:
        for (int i = 0; i < e->n_kids; i++) out |= ends_of(m, e->kids[i], at);
        return out;
    case N_REPEAT:
        for (int times = 0; times < most; times++) {
            if (times >= e->min) out |= places;
            places = ends_from_all(m, e->kids[0], places);
        }
        return out | places;
    case N_RULE:
        return ends_of(m, m->g->bodies[e->rule], at);
    }
    return 0;
}

static uint32_t ends_of(matching *m, int number, int at)
{
    if (!m->g->ends[number]) return 0;
    if (!m->memo[number][at].ends_known) {
        m->memo[number][at].ends = find_ends(m, &m->g->exprs[number], at);
        m->memo[number][at].ends_known = 1;
    }
    return m->memo[number][at].ends;
}

static bool alive(matching *m, int number, int at);

static bool any_alive(matching *m, int number, uint32_t places)
{
    for (int i = 0; i <= m->n; i++)
        if (places >> i & 1 && alive(m, number, i)) return true;
    return false;
}

/* Whether the text from a place on is the beginning of something that satisfies the expression. */
static bool find_alive(matching *m, const naive_expr *e, int at)
{
    uint32_t places = 1u << at;
    switch (e->kind) {
    case N_LITERAL: {
        const int left = m->n - at;
        return left <= (int)strlen(e->literal) && memcmp(m->text + at, e->literal, (size_t)left) == 0;
    }
    case N_CLASS: {
        bool rest = false;
        const int n = character(m, at, &rest);
        if (n > 0) return at + n == m->n && find_ends(m, e, at);
        for (int i = 0; i < 5 && !e->negated; i++) /* negated ones have all other characters, too */
            if (e->has[i] && m->n - at < (int)strlen(naive_alphabet[i]) &&
                memcmp(m->text + at, naive_alphabet[i], (size_t)(m->n - at)) == 0)
                return true;
        return rest && e->negated;
    }
    case N_SEQUENCE:
        for (int i = 0; i < e->n_kids; i++) {
            if (any_alive(m, e->kids[i], places)) return true;
            places = ends_from_all(m, e->kids[i], places);
        }
        return false;
    case N_CHOICE:
        for (int i = 0; i < e->n_kids; i++)
            if (alive(m, e->kids[i], at)) return true;
        return false;
    case N_REPEAT:
        for (int times = 0; times < (e->max < 0 ? e->min + m->n + 1 : e->max); times++) {
            if (any_alive(m, e->kids[0], places)) return true;
            places = ends_from_all(m, e->kids[0], places);
        }
        return false;
    case N_RULE:
        return alive(m, m->g->bodies[e->rule], at);
    }
    return false;
}

static bool alive(matching *m, int number, int at)
{
    if (!m->g->ends[number]) return false;
    if (at == m->n) return true;
    if (!m->memo[number][at].alive_known) {
        m->memo[number][at].alive = find_alive(m, &m->g->exprs[number], at);
        m->memo[number][at].alive_known = 1;
    }
    return m->memo[number][at].alive;
}

bool naive_is_sentence(const naive_grammar *g, const char *text, size_t n)
{
    matching m = {.g = g, .text = text, .n = (int)n};
    return ends_of(&m, g->bodies[0], 0) >> n & 1;
}

bool naive_is_beginning(const naive_grammar *g, const char *text, size_t n)
{
    matching m = {.g = g, .text = text, .n = (int)n};
    return alive(&m, g->bodies[0], 0);
}
