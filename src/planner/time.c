/* Time from bytes and operations. A stretch of work is a list of parts, each by the roofline; see planner.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "planner/forecast.h"

#include <math.h>

#include "kernels/attention_kernels.h"
#include "planner/design.h"

/* Something done n times, one time after the other. bytes, operations and exponentials are of one time. */
typedef struct part {
    double n, bytes, operations, exponentials;
    double begin;     /* seconds before work does */
    double streams;   /* seconds before memory streams, if all comes from there */
    double per_score; /* seconds of an exponential that products don't account for */
    double turning;   /* seconds of K turned into V */
    double waiting;   /* threads for one that works, 1 or more */
    mqa_rate rate;
    const mqa_curve *curve; /* how much of memory's and of arithmetic's roof is reached */
    double rows;
    bool attention;
} part;

enum { MAX_PARTS = 2 * MQA_DESIGN_MATRICES + 2 * MQA_DESIGN_GROUPS };
typedef struct work {
    const mqa_design *design;
    const mqa_machine *machine;
    const mqa_demand *demand;
    part parts[MAX_PARTS];
    int n_parts;
    double steps;  /* in all */
    double values; /* that go in and out of matrices, of all rows together */
    double rows;   /* of all steps together */
    double items;  /* requests of a step, all steps together */
} work;

/* ---- matrices ---- */

/* Rows that the step takes through one of the matrices, how many of them are read, and how many products that
 * makes. */
typedef struct use {
    double read, rows;
} use;

/* Experts: each row goes through n_used of n, evenly, so some are met by no row and others by several. */
static use use_of(const mqa_matrices *m, double rows)
{
    if (m->n_used == m->n || m->n_used == 0) return (use){.read = (double)m->n_used, .rows = rows};
    const double share = (double)m->n_used / (double)m->n;
    const double read = (double)m->n * -expm1(rows * log1p(-share));
    return (use){.read = read, .rows = rows * (double)m->n_used / read};
}

static double stream_seconds(const mqa_machine *machine, const mqa_matrices *m, size_t bytes)
{
    enum { SMALL_PAGE = 4096, HUGE_PAGE = 2 << 20 }; /* base/memory.c asks for huge ones from that size on */
    const double pages = bytes < HUGE_PAGE ? (double)bytes / SMALL_PAGE : 0;
    return (double)m->n_out / MQA_GRANULE * machine->seconds_per_granule +
           pages * machine->seconds_per_small_page;
}

/* n times the part `of` it. */
static mqa_status add_matrix(work *w, const mqa_matrices *m, double n, double of, double rows, mqa_error *err)
{
    if (m->role == MQA_ROLE_VECTOR || m->n_used == 0 || of == 0 || n == 0) return MQA_OK;
    size_t bytes;
    MQA_TRY(mqa_matrices_bytes(m, w->demand->weights, &bytes, err));
    const uint32_t type = w->demand->weights == MQA_WEIGHTS_AS_IS ? m->type : w->demand->weights;
    const mqa_weight_class c = mqa_weight_class_of(type);
    const use u = use_of(m, rows);
    w->values += n * of * rows * (double)m->n_used * ((double)m->n_in + m->n_out);
    w->parts[w->n_parts++] =
        (part){.n = n,
               .bytes = of * u.read * (double)bytes,
               .operations = of * u.read * u.rows * 2 * (double)m->n_in * (double)m->n_out,
               .streams = of * u.read * stream_seconds(w->machine, m, bytes),
               .waiting = 1,
               .rate = mqa_rate_of_weights(c),
               .curve = &w->machine->linear[c],
               .rows = u.rows};
    return MQA_OK;
}

static mqa_status add_decode_matrices(work *w, double rows, mqa_error *err)
{
    for (int i = 0; i < w->design->n_matrices; i++)
        MQA_TRY(add_matrix(w, &w->design->matrices[i], 1, 1, rows, err));
    w->steps = 1;
    w->rows = w->items = rows;
    return MQA_OK;
}

/* Of a prompt only the last token's logits are wanted, and of the last layer what leads to them. */
static double part_in_prompt(const work *w, mqa_role role)
{
    const double layers = w->design->n_layers;
    return role == MQA_ROLE_OUT || role == MQA_ROLE_FEED_FORWARD || role == MQA_ROLE_EXPERT
               ? (layers - 1) / layers
               : 1;
}

static mqa_status add_prompt_matrices(work *w, double n_tokens, double chunk, mqa_error *err)
{
    const double whole = floor(n_tokens / chunk), rest = n_tokens - whole * chunk;
    for (int i = 0; i < w->design->n_matrices; i++) {
        const mqa_matrices *m = &w->design->matrices[i];
        const double of = part_in_prompt(w, m->role);
        if (m->role == MQA_ROLE_HEAD) {
            MQA_TRY(add_matrix(w, m, 1, 1, 1, err));
            continue;
        }
        MQA_TRY(add_matrix(w, m, whole, of, chunk, err));
        if (rest > 0) MQA_TRY(add_matrix(w, m, 1, of, rest, err));
    }
    w->steps = w->items = whole + (rest > 0);
    w->rows = n_tokens;
    return MQA_OK;
}

/* ---- attention ---- */

/* Threads for each that has a span to compute: keys of one request, rows on one KV head. */
static double waiting_threads(const mqa_machine *m, double heads, double keys, double rows)
{
    const double spans = heads * ceil(keys / MQA_SPAN) * ceil(rows / MQA_MAX_ROWS);
    if (m->curve_bytes == 0 || m->n_threads <= 1 || spans <= 0) return 1; /* shares have it in them */
    return ceil(spans / m->n_threads) * m->n_threads / spans;
}

/* tokens of K and V read by so many requests at once; pairs of a query's token and a key; rows on one KV head
 * at a time. */
static void add_attention(work *w, const mqa_layer_group *g, double n, double requests, double tokens,
                          double pairs, double rows)
{
    if (tokens <= 0 || pairs <= 0) return;
    const mqa_cache_config config = mqa_group_cache(g, w->demand->k_type, w->demand->v_type);
    const double token_bytes = (double)mqa_cache_page_bytes(&config) / MQA_GRANULE;
    const double scores = pairs * g->n_heads * g->n_layers;
    w->parts[w->n_parts++] =
        (part){.n = n,
               .bytes = tokens * token_bytes,
               .operations = 2.0 * (g->head_dim_qk + g->head_dim_vo) * scores,
               .exponentials = scores,
               .begin = requests * g->n_kv_heads * g->n_layers * w->machine->seconds_per_unit,
               .per_score = w->machine->seconds_per_score[w->demand->k_type],
               .turning = g->v_in_k ? tokens * g->head_dim_vo * g->n_kv_heads * g->n_layers *
                                          ceil(rows / MQA_MAX_ROWS) *
                                          w->machine->seconds_per_turned_value[w->demand->k_type]
                                    : 0,
               .waiting = waiting_threads(w->machine, requests * g->n_kv_heads, tokens / requests, rows),
               .rate = mqa_rate_of_kv(w->demand->k_type),
               .curve = &w->machine->attention[w->demand->k_type],
               .rows = rows,
               .attention = true};
}

/* Each request's token sees its own tokens, and all of them see the shared ones, which are read once. */
static void add_decoding(work *w, const mqa_layer_group *g, int64_t context)
{
    const double requests = (double)w->demand->requests;
    const int64_t first = g->window > 0 && g->window < context ? context - g->window : 0;
    int64_t shared = w->demand->shared < context ? w->demand->shared : context;
    if (requests == 1 || shared < first) shared = first;
    const double ratio = (double)g->n_heads / g->n_kv_heads;
    const double common = (double)(shared - first), own = (double)(context - shared);
    add_attention(w, g, 1, 1, common, requests * common, requests * ratio);
    add_attention(w, g, 1, requests, requests * own, requests * own, ratio);
}

/* The sum of min(x, cap) for x = first, first + step, …, n of them. */
static double sum_capped(double first, double step, double n, double cap)
{
    double below = first > cap ? 0 : floor((cap - first) / step) + 1;
    if (below > n) below = n;
    const double sum = below * first + step * below * (below - 1) / 2;
    return n > below ? sum + (n - below) * cap : sum; /* cap may be infinite */
}

/* The last layer attends only in the last step: before it nobody waits for what comes out. has_last: it is
 * one of the group's. */
static void add_prompt(work *w, const mqa_layer_group *g, bool has_last, double from, double n_tokens,
                       double chunk)
{
    const double cap = g->window > 0 ? (double)g->window : HUGE_VAL,
                 ratio = (double)g->n_heads / g->n_kv_heads;
    const double before = ceil(n_tokens / chunk) - 1, last = n_tokens - before * chunk;
    mqa_layer_group rest = *g;
    rest.n_layers -= has_last;
    if (before > 0 && rest.n_layers > 0) {
        const double ends_cap = cap + chunk - 1; /* what a whole chunk sees */
        add_attention(w, &rest, before, 1, sum_capped(from + chunk, chunk, before, ends_cap) / before,
                      sum_capped(from + 1, 1, n_tokens - last, cap) / before, chunk * ratio);
    }
    add_attention(w, g, 1, 1, fmin(from + n_tokens, cap + last - 1),
                  sum_capped(from + n_tokens - last + 1, 1, last, cap), last * ratio);
}

/* Where a model has windows, its last layer has none (Gemma 2 and 3, gpt-oss, Llama 4). */
static int group_of_last_layer(const mqa_design *design)
{
    for (int i = design->n_groups - 1; i >= 0; i--)
        if (design->groups[i].window == 0) return i;
    return design->n_groups - 1;
}

/* What putting a row's K and V into the caches of all layers takes. */
static double write_seconds(const work *w)
{
    const double *cost = w->machine->seconds_per_kv_value;
    double sum = 0;
    for (int i = 0; i < w->design->n_groups; i++) {
        const mqa_layer_group *g = &w->design->groups[i];
        const double k = g->head_dim_qk * cost[w->demand->k_type],
                     v = g->v_in_k ? 0 : g->head_dim_vo * cost[w->demand->v_type];
        sum += (double)g->n_layers * g->n_kv_heads * (k + v);
    }
    return sum;
}

/* ---- adding up ---- */

static void add_time(mqa_times *t, double *slot, mqa_bound bound, double seconds)
{
    t->seconds += seconds;
    *slot += seconds;
    t->by_bound[bound] += seconds;
}

/* What memory takes longer than the cache by which shares of arithmetic were measured, since they have that
 * in them; nothing where none was measured. */
static double longer_than_cache(const mqa_machine *m, const part *p, double bandwidth)
{
    if (m->curve_bytes == 0) return 0;
    return fmax(p->bytes / bandwidth - p->bytes / mqa_machine_bandwidth(m, m->curve_bytes), 0);
}

static void add_part(const work *w, const part *p, double bandwidth, mqa_times *t)
{
    const mqa_machine *m = w->machine;
    const double share = mqa_curve_at(p->curve->memory, p->rows);
    /* Where shares were measured, what a cache takes is in arithmetic's. */
    const double memory = p->bytes / (bandwidth * (m->curve_bytes > 0 ? 1 : fmin(share, 1)));
    const double exps = m->exp_rate > 0 ? p->exponentials / m->exp_rate : 0;
    const double arithmetic =
        (fmax(p->operations / m->peak[p->rate], exps) / mqa_curve_at(p->curve->share, p->rows) +
         p->exponentials * p->per_score + p->turning) *
        p->waiting;
    const double waits = longer_than_cache(m, p, bandwidth) / share;
    const double streams = p->streams * mqa_part_from_memory(m, bandwidth);
    const double seconds = p->n * (fmax(memory, arithmetic + waits) + streams + p->begin);
    add_time(t, p->attention ? &t->attention : &t->weights,
             memory >= arithmetic ? MQA_BOUND_MEMORY : MQA_BOUND_OPERATIONS, seconds);
    t->operations += p->n * p->operations;
    if (p->attention) {
        t->kv_bytes += p->n * p->bytes;
        t->attention_operations += p->n * p->operations;
    } else {
        t->weight_bytes += p->n * p->bytes;
    }
}

static void add_up(const work *w, mqa_times *t)
{
    const mqa_machine *m = w->machine;
    const double layers = w->design->n_layers;
    *t = (mqa_times){0};
    double bytes = 0;
    for (int i = 0; i < w->n_parts; i++) bytes += w->parts[i].n * w->parts[i].bytes;
    const double bandwidth = mqa_machine_bandwidth(m, w->steps > 0 ? bytes / w->steps : 0);
    for (int i = 0; i < w->n_parts; i++) add_part(w, &w->parts[i], bandwidth, t);
    add_time(t, &t->overhead, MQA_BOUND_OVERHEAD,
             w->steps * (m->seconds_per_step + layers * m->seconds_per_layer) +
                 w->items * m->seconds_per_request + w->values * m->seconds_per_value +
                 w->rows * write_seconds(w));
    for (int i = 1; i < MQA_BOUNDS; i++)
        if (t->by_bound[i] > t->by_bound[t->bound]) t->bound = (mqa_bound)i;
    if (bytes > 0) t->intensity = t->operations / bytes;
    if (t->kv_bytes > 0) t->attention_intensity = t->attention_operations / t->kv_bytes;
}

mqa_status mqa_time_token(const mqa_design *design, const mqa_machine *machine, const mqa_demand *demand,
                          int64_t context, mqa_times *out, mqa_error *err)
{
    work w = {.design = design, .machine = machine, .demand = demand};
    MQA_TRY(add_decode_matrices(&w, (double)demand->requests, err));
    for (int i = 0; i < design->n_groups; i++) add_decoding(&w, &design->groups[i], context);
    add_up(&w, out);
    return MQA_OK;
}

mqa_status mqa_time_prompt(const mqa_design *design, const mqa_machine *machine, const mqa_demand *demand,
                           int64_t from, int64_t n_tokens, mqa_times *out, mqa_error *err)
{
    work w = {.design = design, .machine = machine, .demand = demand};
    *out = (mqa_times){0};
    if (n_tokens < 1) return MQA_OK;
    MQA_TRY(add_prompt_matrices(&w, (double)n_tokens, demand->chunk, err));
    const int last = group_of_last_layer(design);
    for (int i = 0; i < design->n_groups; i++)
        add_prompt(&w, &design->groups[i], i == last, (double)from, (double)n_tokens, demand->chunk);
    add_up(&w, out);
    return MQA_OK;
}
