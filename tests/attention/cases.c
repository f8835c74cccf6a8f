/* Random cases: drawn, written, read and made smaller.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

const char *const column_names[COLUMNS] = {"ratios",  "dims",    "queries", "masks",    "scores",  "formats",
                                           "results", "cascade", "mla",     "extremes", "numerics"};

/* ---- fields by name ---------------------------------------------------------------------------------- */

typedef struct field {
    const char *name;
    size_t offset;
    int64_t simplest;
} field;

#define CASE_FIELD(name, simplest)     {#name, offsetof(test_case, name), simplest},
#define SEQUENCE_FIELD(name, simplest) {#name, offsetof(case_sequence, name), simplest},
#define ROUTE_FIELD(name, simplest)    {#name, offsetof(case_route, name), simplest},
static const field case_fields[] = {CASE_FIELDS(CASE_FIELD)};
static const field sequence_fields[] = {SEQUENCE_FIELDS(SEQUENCE_FIELD)};
static const field route_fields[] = {ROUTE_FIELDS(ROUTE_FIELD)};
#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])

typedef struct place {
    char name[40];
    int64_t *value;
    int64_t simplest;
} place;

enum { MAX_PLACES = 200 };

static int add_places(place *to, const field *fields, int n, void *base, const char *prefix)
{
    for (int i = 0; i < n; i++) {
        snprintf(to[i].name, sizeof to[i].name, "%s%s", prefix, fields[i].name);
        to[i].value = (int64_t *)(void *)((char *)base + fields[i].offset);
        to[i].simplest = fields[i].simplest;
    }
    return n;
}

static int places_of(test_case *c, place *out)
{
    char prefix[16];
    int n = add_places(out, case_fields, COUNT(case_fields), c, "");
    for (int i = 0; i < c->n_sequences && i < MAX_SEQUENCES; i++) {
        snprintf(prefix, sizeof prefix, "s%d.", i);
        n += add_places(out + n, sequence_fields, COUNT(sequence_fields), &c->of[i], prefix);
    }
    for (int i = 0; i < N_ROUTES; i++) {
        snprintf(prefix, sizeof prefix, "r%d.", i);
        n += add_places(out + n, route_fields, COUNT(route_fields), &c->route[i], prefix);
    }
    return n;
}

static test_case simplest_case(int64_t n_sequences)
{
    test_case c = {.n_sequences = n_sequences};
    place places[MAX_PLACES];
    const int n = places_of(&c, places);
    for (int i = 0; i < n; i++) *places[i].value = places[i].simplest;
    c.n_sequences = n_sequences;
    return c;
}

void print_case(const test_case *c, char *to, size_t size)
{
    test_case copy = *c;
    place places[MAX_PLACES];
    const int n = places_of(&copy, places);
    size_t at = 0;
    to[0] = '\0';
    for (int i = 0; i < n && at < size; i++)
        if (*places[i].value != places[i].simplest)
            at += (size_t)snprintf(to + at, size - at, "%s%s=%lld", at ? " " : "", places[i].name,
                                   (long long)*places[i].value);
}

bool parse_case(const char *text, test_case *c)
{
    const char *n_sequences = strstr(text, "n_sequences=");
    *c = simplest_case(n_sequences ? atoi(n_sequences + 12) : 1);
    if (c->n_sequences < 1 || c->n_sequences > MAX_SEQUENCES) return false;
    place places[MAX_PLACES];
    const int n = places_of(c, places);
    while (*(text += strspn(text, " "))) {
        const size_t name = strcspn(text, "= ");
        int i = 0;
        while (i < n && (strlen(places[i].name) != name || strncmp(places[i].name, text, name) != 0)) i++;
        if (i == n || text[name] != '=') return false;
        *places[i].value = strtoll(text + name + 1, NULL, 10);
        text += strcspn(text, " ");
    }
    tidy_case(c);
    return true;
}

/* ---- in order ------------------------------------------------------------------------------------------ */

static void clamp(int64_t *x, int64_t lo, int64_t hi)
{
    if (*x > hi) *x = hi;
    if (*x < lo) *x = lo;
}

static void tidy_sequence(test_case *c, int i)
{
    case_sequence *s = &c->of[i];
    clamp(&s->n, 0, 20000);
    clamp(&s->q_ahead, s->n == 0, INT64_MAX / 4);
    if (c->slopes) clamp(&s->q_ahead, 0, INT32_MAX - 20000);
    clamp(&s->n_queries, 1, s->n + s->q_ahead < 4096 ? s->n + s->q_ahead : 4096);
    clamp(&s->prefix, 0, c->window ? 0 : 100000);
    clamp(&s->document, 0, 100000);
    clamp(&s->bits, 0, BITS_KINDS - 1);
    clamp(&s->bits_first, 0, 100000);
    clamp(&s->bits_tokens, 1, 20000);
    clamp(&s->parent, 0, i > 0 ? i - 1 : 0);
    clamp(&s->shared, 0, i == 0 || c->window ? 0 : s->n);
    clamp(&s->shared, 0, c->of[s->parent].n);
}

void tidy_case(test_case *c)
{
    clamp(&c->n_sequences, 1, MAX_SEQUENCES);
    clamp(&c->group, 1, 128);
    clamp(&c->n_kv_heads, 1, 8);
    clamp(&c->d, 1, 1024);
    clamp(&c->d_v, 1, c->v_in_k ? c->d : 1024);
    clamp(&c->k_type, 0, MQA_KV_TYPES - 1);
    clamp(&c->v_type, 0, MQA_KV_TYPES - 1);
    if (c->v_in_k) c->v_type = c->k_type;
    clamp(&c->k_hadamard, 0, 1);
    clamp(&c->v_hadamard, 0, 1);
    if (c->v_in_k && c->k_hadamard) { /* V is whole blocks of K */
        const int64_t block = mqa_hadamard_block((int)c->d);
        c->d_v = c->d_v < block ? block : c->d_v / block * block;
    }
    if (c->values == VALUES_HUGE &&
        !(format_holds((mqa_kv_type)c->k_type, 2e20f) && format_holds((mqa_kv_type)c->v_type, 2e38f)))
        c->values = VALUES_SIGMA_10;
    if (c->window) c->full = 0; /* it keeps no more than its window */
    clamp(&c->n_sink_tokens, 0, 100000);
    for (int i = 0; i < c->n_sequences; i++) tidy_sequence(c, i);
    for (int i = 0; i < N_ROUTES; i++) {
        case_route *r = &c->route[i];
        clamp(&r->chunk, 1, INT64_MAX);
        clamp(&r->block_rows, 0, MQA_MAX_ROWS);
        clamp(&r->spare_sinks, 0, 1000);
        if (!mqa_isa_available((mqa_isa)r->isa)) r->isa = MQA_ISA_AUTO;
        if (c->numerics == MQA_NUMERICS_FAST) r->isa = c->route[0].isa;
        if (r->poison) r->chunk = 100000, r->together = 1;
    }
}

int64_t case_work(const test_case *c)
{
    int64_t sum = 0;
    for (int i = 0; i < c->n_sequences; i++)
        sum += c->of[i].n * c->of[i].n_queries * c->group * c->n_kv_heads * (c->d + c->d_v);
    return sum;
}

problem_shape case_shape(const test_case *c)
{
    problem_shape s = {.n_heads = (int)(c->group * c->n_kv_heads),
                       .n_kv_heads = (int)c->n_kv_heads,
                       .d = (int)c->d,
                       .d_v = (int)c->d_v,
                       .k_type = (mqa_kv_type)c->k_type,
                       .v_type = (mqa_kv_type)c->v_type,
                       .v_in_k = c->v_in_k,
                       .k_hadamard = c->k_hadamard,
                       .v_hadamard = c->v_hadamard,
                       .window = c->window,
                       .plan_window = c->plan_window,
                       .n_sink_tokens = c->n_sink_tokens,
                       .chunk = c->chunk,
                       .mask = c->full ? MQA_MASK_FULL : MQA_MASK_CAUSAL,
                       .softcap = (float)c->softcap / 1000,
                       .values = (values_kind)c->values,
                       .slopes = (slopes_kind)c->slopes,
                       .sinks = (sinks_kind)c->sinks,
                       .n_sequences = (int)c->n_sequences};
    for (int i = 0; i < s.n_sequences; i++)
        s.of[i] = (sequence_shape){.n = c->of[i].n,
                                   .n_queries = c->of[i].n_queries,
                                   .q_ahead = c->of[i].q_ahead,
                                   .prefix = c->of[i].prefix,
                                   .document = c->of[i].document,
                                   .bits = (bits_kind)c->of[i].bits,
                                   .bits_first = c->of[i].bits_first,
                                   .bits_tokens = c->of[i].bits_tokens,
                                   .parent = (int)c->of[i].parent,
                                   .shared = c->of[i].shared};
    return s;
}

route case_way(const test_case *c, int i)
{
    const case_route *r = &c->route[i];
    return (route){.isa = (mqa_isa)r->isa,
                   .numerics = (mqa_numerics)c->numerics,
                   .threads = (int)r->threads,
                   .chunk = r->chunk,
                   .together = (int)r->together,
                   .reversed = (int)r->reversed,
                   .recycled = (int)r->recycled,
                   .block_rows = (int)r->block_rows,
                   .tasks_per_thread = (int)r->tasks_per_thread,
                   .cut_all = (int)r->cut_all,
                   .order = (task_order)r->order,
                   .share = (int)r->share,
                   .no_cascade = (int)r->no_cascade,
                   .page_tokens = (int)r->page_tokens,
                   .keep_all = (int)r->keep_all,
                   .spare_sinks = r->spare_sinks,
                   .forked = (int)r->forked,
                   .speculate = (int)r->speculate,
                   .poison = (int)r->poison,
                   .results = (results_kind)r->results};
}

/* ---- smaller ------------------------------------------------------------------------------------------- */

static void drop_sequence(test_case *c, int which)
{
    for (int i = which; i + 1 < c->n_sequences; i++) c->of[i] = c->of[i + 1];
    c->n_sequences--;
    for (int i = which; i < c->n_sequences; i++) {
        if (c->of[i].parent == which) c->of[i].shared = 0;
        if (c->of[i].parent > which) c->of[i].parent--;
    }
}

/* First whole sequences go, then each number goes all, half, a quarter … of the way to its simplest. */
bool smaller_case(const test_case *c, int n, test_case *out)
{
    enum { STEPS = 6 };
    *out = *c;
    if (n < c->n_sequences) {
        if (c->n_sequences > 1) drop_sequence(out, n);
        return true;
    }
    place places[MAX_PLACES];
    const int n_places = places_of(out, places), i = (n - (int)c->n_sequences) / STEPS,
              step = (n - (int)c->n_sequences) % STEPS;
    if (i >= n_places) return false;
    if (strcmp(places[i].name, "seed") == 0 || strcmp(places[i].name, "n_sequences") == 0) return true;
    const int64_t distance = places[i].simplest - *places[i].value;
    *places[i].value += step == STEPS - 1 ? (distance > 0) - (distance < 0) : distance / ((int64_t)1 << step);
    tidy_case(out);
    return true;
}

/* ---- random -------------------------------------------------------------------------------------------- */

static bool chance(uint64_t *rng, int percent)
{
    return random_between(rng, 1, 100) <= percent;
}

static int64_t one_of(uint64_t *rng, const int64_t *choices, int n)
{
    return choices[random_between(rng, 0, n - 1)];
}
#define ONE_OF(rng, ...)                                                                                     \
    one_of(rng, (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / 8))

/* Around the edges of tiles, granules, spans and groups, or anywhere. */
static int64_t some_tokens(uint64_t *rng, int64_t most)
{
    int64_t n;
    if (chance(rng, 40))
        n = ONE_OF(rng, 1, 2, 16, 64, 128, 448, 512, 1024, 1536, 8192) + random_between(rng, -1, 1);
    else
        n = random_between(rng, 1, chance(rng, 70) ? 300 : 1400);
    return n < 1 ? 1 : n > most ? most : n;
}

static void draw_heads(test_case *c, column which, uint64_t *rng)
{
    c->n_kv_heads = ONE_OF(rng, 1, 1, 1, 2, 3);
    c->group = ONE_OF(rng, 1, 2, 3, 4, 5, 7, 8, 16);
    if (which == COLUMN_RATIOS)
        c->group =
            ONE_OF(rng, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 31, 32, 33, 48, 63, 64, 65, 71, 96, 127, 128);
    c->d = random_between(rng, 1, 80);
    c->d_v = chance(rng, 50) ? c->d : random_between(rng, 1, 80);
    if (which == COLUMN_DIMS) {
        c->d = ONE_OF(rng, 1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 72, 80, 96, 112, 128, 160, 192, 256,
                      320, 511, 512, 576);
        c->d_v = chance(rng, 40)
                     ? c->d
                     : ONE_OF(rng, 1, 15, 16, 17, 32, 47, 48, 49, 64, 80, 96, 128, 192, 256, 512, 576);
    }
    c->k_type = random_between(rng, 0, MQA_KV_TYPES - 1);
    c->v_type = chance(rng, 50) ? c->k_type : random_between(rng, 0, MQA_KV_TYPES - 1);
    c->v_in_k = which == COLUMN_MLA || chance(rng, 5);
    if (which != COLUMN_MLA) return;
    c->n_kv_heads = ONE_OF(rng, 1, 1, 1, 2);
    if (chance(rng, 20)) c->group = ONE_OF(rng, 64, 65, 127, 128);
    const bool real = chance(rng, 40);
    c->d = real ? 576 : random_between(rng, 1, 200);
    c->d_v = real ? 512 : random_between(rng, 1, c->d);
}

/* From a stream of its own, as whatever is added: the other numbers of a seed stay what they were. */
static void draw_transforms(test_case *c, column which)
{
    uint64_t rng = (uint64_t)c->seed;
    const int often = which == COLUMN_FORMATS || which == COLUMN_MLA ? 50 : 25;
    c->k_hadamard = (int64_t)chance(&rng, often);
    c->v_hadamard = (int64_t)chance(&rng, often);
}

static void draw_sequences(test_case *c, column which, uint64_t *rng)
{
    c->n_sequences = which == COLUMN_CASCADE ? random_between(rng, 2, MAX_SEQUENCES)
                     : chance(rng, 50)       ? 1
                                             : random_between(rng, 1, 4);
    const int64_t most = which == COLUMN_RESULTS ? 20000 : 2100;
    for (int i = 0; i < c->n_sequences; i++) {
        case_sequence *s = &c->of[i];
        s->n = some_tokens(rng, most);
        if (which == COLUMN_RESULTS && chance(rng, 50)) s->n += 8192;
        if (which == COLUMN_CASCADE && chance(rng, 25)) s->n = ONE_OF(rng, 512, 1024, 1536);
        const int kind = (int)random_between(rng, 0, which == COLUMN_QUERIES ? 4 : 2);
        s->n_queries = kind == 0   ? 1
                       : kind == 1 ? random_between(rng, 2, 5)
                       : kind == 2 ? random_between(rng, 2, 63)
                       : kind == 3 ? random_between(rng, 64, 300)
                                   : s->n;
        if (i > 0 && chance(rng, which == COLUMN_CASCADE ? 90 : 20)) {
            s->parent = random_between(rng, 0, i - 1);
            const int64_t longest = c->of[s->parent].n;
            if (which == COLUMN_CASCADE && chance(rng, 60)) s->n += longest / 2;
            if (chance(rng, 15)) s->n = longest;
            s->shared = chance(rng, 30) ? longest : random_between(rng, 0, longest);
            if (which == COLUMN_CASCADE && chance(rng, 30)) { /* all of another, and more */
                s->n = longest + random_between(rng, 1, 700);
                s->shared = longest;
                s->n_queries = c->of[s->parent].n_queries = 1;
            }
            /* Most of a span, but not all of it. */
            if (longest >= 512 && chance(rng, 25))
                s->shared = 512 * random_between(rng, 1, longest / 512) - random_between(rng, 0, 70);
        }
    }
}

static void draw_masks(test_case *c, column which, uint64_t *rng)
{
    const int often = which == COLUMN_MASKS ? 35 : which == COLUMN_EXTREMES ? 15 : 8;
    if (chance(rng, often)) c->full = 1;
    if (chance(rng, often)) c->plan_window = some_tokens(rng, 2000);
    if (chance(rng, often) && which != COLUMN_CASCADE) c->window = some_tokens(rng, 2000);
    if (chance(rng, often)) c->chunk = some_tokens(rng, 2000);
    if ((c->window || c->plan_window || c->chunk) && chance(rng, 50))
        c->n_sink_tokens = ONE_OF(rng, 1, 4, 16, 64, 65, 600);
    for (int i = 0; i < c->n_sequences; i++) {
        case_sequence *s = &c->of[i];
        if (chance(rng, often)) s->prefix = random_between(rng, 1, s->n + 5);
        if (chance(rng, often)) s->document = ONE_OF(rng, 1, 10, 64, 200, 700);
        if (chance(rng, often)) s->bits = random_between(rng, BITS_RANDOM, BITS_TREE);
        s->bits_tokens = some_tokens(rng, 700);
        s->bits_first = s->bits ? random_between(rng, 0, s->n) : 0;
        if (chance(rng, often))
            s->q_ahead =
                ONE_OF(rng, 1, 7, 64, 513, 8192, 1000003, 2147450000, 2147483647, 5000000000, 1L << 60);
        if (s->q_ahead && chance(rng, 10)) s->n = s->shared = 0;
    }
}

static void draw_scores(test_case *c, column which, uint64_t *rng)
{
    const int often = which == COLUMN_SCORES ? 50 : which == COLUMN_EXTREMES ? 25 : 12;
    if (chance(rng, often)) c->softcap = ONE_OF(rng, 1, 500, 2000, 30000, 50000, 10000000);
    if (chance(rng, often)) c->slopes = random_between(rng, SLOPES_USUAL, SLOPES_MIXED);
    if (chance(rng, often)) c->sinks = random_between(rng, SINKS_USUAL, SINKS_KINDS - 1);
    if (which == COLUMN_SCORES) c->values = random_between(rng, VALUES_GAUSSIAN, VALUES_NEGATIVE_SCALE);
    if (which != COLUMN_EXTREMES) return;
    c->values = random_between(rng, VALUES_SIGMA_3, VALUES_KINDS - 1);
    if (chance(rng, 30)) c->slopes = SLOPES_HUGE;
}

static int64_t some_isa(column which, int64_t work, uint64_t *rng)
{
    for (;;) {
        const mqa_isa isa = (mqa_isa)random_between(rng, MQA_ISA_AUTO, MQA_ISA_NEON_C);
        if (which != COLUMN_NUMERICS && chance(rng, 50)) return MQA_ISA_AUTO;
        if ((isa == MQA_ISA_REFERENCE || isa == MQA_ISA_AMX_C || isa == MQA_ISA_NEON_C) && work > 400000)
            continue;
        if (mqa_isa_available(isa)) return isa;
    }
}

static void draw_route(test_case *c, int i, column which, uint64_t *rng)
{
    case_route *r = &c->route[i];
    r->isa = some_isa(which, case_work(c), rng);
    r->threads = chance(rng, 60) ? 1 : random_between(rng, 1, 4);
    r->together = (int64_t)chance(rng, 50);
    r->share = (int64_t)chance(rng, 80);
    if (i == 0) return;
    r->chunk = chance(rng, 50) ? 100000 : ONE_OF(rng, 1, 3, 7, 16, 63, 64, 65, 100, 512, 700);
    for (int s = 0; s < c->n_sequences; s++)
        if (c->of[s].n > 700 * r->chunk / 10) r->chunk = 512;
    r->reversed = (int64_t)chance(rng, 50);
    r->recycled = (int64_t)chance(rng, 40);
    r->block_rows = chance(rng, 50) ? 0 : ONE_OF(rng, 1, 2, 5, 8, 16, 23, 33, 64, 128);
    r->tasks_per_thread = chance(rng, 50) ? 0 : ONE_OF(rng, 1, 2, 5, 50, 10000);
    r->cut_all = (int64_t)chance(rng, 60);
    r->order = chance(rng, 60) ? ORDER_POOL : random_between(rng, 1, ORDER_KINDS - 1);
    r->no_cascade = (int64_t)chance(rng, 30);
    r->speculate = (int64_t)chance(rng, 20);
    r->page_tokens = ONE_OF(rng, 0, 0, 128, 256);
    r->keep_all = (int64_t)chance(rng, 30);
    r->spare_sinks = chance(rng, 70) ? 0 : ONE_OF(rng, 1, 64, 200);
    r->forked = (int64_t)chance(rng, 15);
    r->results =
        chance(rng, which == COLUMN_RESULTS ? 80 : 25) ? random_between(rng, 1, RESULTS_KINDS - 1) : 0;
    int64_t pairs = 0;
    for (int s = 0; s < c->n_sequences; s++) pairs += c->of[s].n * c->of[s].n_queries;
    r->poison = pairs < 30000 && chance(rng, 40);
}

static bool has_many_queries(const test_case *c, const case_sequence *s, int64_t most)
{
    return s->n > 0 && s->n_queries > 1 && (s->n < 64 || s->n * s->n_queries > most / 100 / (c->d + c->d_v));
}

/* Fewer queries, then fewer tokens, until it is cheap enough or there is nothing left to take. */
static void fit(test_case *c, int64_t most)
{
    tidy_case(c);
    for (int64_t work = 0; case_work(c) > most && case_work(c) != work;) {
        work = case_work(c);
        bool queries = false;
        for (int i = 0; i < c->n_sequences; i++) {
            if (!has_many_queries(c, &c->of[i], most)) continue;
            c->of[i].n_queries -= (c->of[i].n_queries + 3) / 4;
            queries = true;
        }
        for (int i = 0; i < c->n_sequences && !queries; i++) c->of[i].n -= c->of[i].n / 4;
        tidy_case(c);
    }
}

test_case random_case(column which, uint64_t seed)
{
    uint64_t rng = seed * COLUMNS + (uint64_t)which;
    test_case c = simplest_case(MAX_SEQUENCES);
    c.seed = (int64_t)(random_bits(&rng) >> 24);
    draw_heads(&c, which, &rng);
    draw_transforms(&c, which);
    draw_sequences(&c, which, &rng);
    draw_masks(&c, which, &rng);
    draw_scores(&c, which, &rng);
    c.numerics = which == COLUMN_NUMERICS ? MQA_NUMERICS_PORTABLE
                                          : random_between(&rng, MQA_NUMERICS_FAST, MQA_NUMERICS_PORTABLE);
    fit(&c, chance(&rng, 3) ? 20000000 : chance(&rng, 20) ? 3000000 : 600000);
    for (int i = 0; i < N_ROUTES; i++) draw_route(&c, i, which, &rng);
    tidy_case(&c);
    return c;
}
