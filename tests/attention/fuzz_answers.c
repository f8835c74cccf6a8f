/* What was run, computed in other ways.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "../kvcache/rows.h"
#include "bounds.h"
#include "fuzz_world.h"

static float *new_floats(int64_t n)
{
    float *x = calloc((size_t)n + 1, sizeof *x);
    if (!x) abort();
    return x;
}

/* ---- alone, in another cache --------------------------------------------------------------------- */

/* A cache of its own, with the same tokens and one item. */
typedef struct replica {
    mqa_cache *cache;
    mqa_sequence *seq;
    mqa_plan *plan;
} replica;

static void end_replica(replica *c)
{
    mqa_plan_destroy(&c->plan);
    mqa_sequence_destroy(&c->seq);
    mqa_cache_destroy(&c->cache);
}

/* Stretches of tokens that were written. */
static mqa_status write_same(const track *t, int layer, mqa_sequence *seq, int64_t n, mqa_error *err)
{
    const import_way way = {.kind = IMPORT_NHD, .bad_token = -1};
    const uint32_t *stamps = t->stamp[layer];
    for (int64_t at = 0, end; at < n; at = end) {
        for (end = at; end < n && (stamps[end] != 0) == (stamps[at] != 0);) end++;
        if (stamps[at] == 0) continue;
        const mqa_status status = import_tokens(seq, layer, t->first + at, end - at, stamps + at, &way, err);
        if (status != MQA_OK) return status;
    }
    return MQA_OK;
}

static mqa_status make_replica(const world *w, const ran *a, const planned *item, uint64_t seed, replica *out,
                               mqa_error *err)
{
    const int kind = w->kind < 2 ? (int)(seed % 2) : w->kind; /* portable has one set of bits */
    mqa_context *ctx = world_context(kind, 3 - w->threads, false);
    mqa_cache_config config = w->config;
    mqa_plan_item alone = item->item;
    mqa_status status;
    const int64_t n = item->length - item->first;
    config.page_tokens = 64 << seed / 2 % 3;
    config.budget_bytes = 0;
    config.max_pages = n / 64 + 2;
    if ((status = mqa_cache_create(ctx, &config, &out->cache, err)) ||
        (status = mqa_sequence_create_at(out->cache, item->first, &out->seq, err)) ||
        (status = mqa_sequence_extend(out->seq, n, err)) ||
        (status = write_same(&w->s[item->track], a->layer, out->seq, n, err)) ||
        (status = mqa_plan_create(out->cache, &a->p->options, &out->plan, err)))
        return status;
    alone.sequence = out->seq;
    return mqa_plan_batch(out->plan, &alone, 1, err);
}

bool same_alone(world *w, const ran *a, int i, int64_t first_token, uint64_t seed)
{
    const planned *item = &a->p->items[i];
    const int64_t heads = a->p->options.n_heads, rows = item->item.n_queries * heads;
    const int64_t d = w->config.head_dim_qk, d_v = w->config.head_dim_vo;
    float *out = new_floats(rows * d_v), *lse = new_floats(rows);
    const mqa_run run = {.struct_size = sizeof run,
                         .layer = a->layer,
                         .q = a->q + first_token * heads * d,
                         .q_stride_token = (size_t)(heads * d),
                         .q_stride_head = (size_t)d,
                         .out = out,
                         .out_stride_token = (size_t)(heads * d_v),
                         .out_stride_head = (size_t)d_v,
                         .lse = lse,
                         .sinks = a->sinks,
                         .alibi_slopes = a->slopes};
    replica c = {0};
    mqa_status status = make_replica(w, a, item, seed, &c, &w->err);
    if (status == MQA_OK) status = mqa_plan_run(c.plan, &run, &w->err);
    end_replica(&c);
    const bool same =
        memcmp(out, a->out + first_token * heads * d_v, (size_t)(rows * d_v) * sizeof *out) == 0 &&
        memcmp(lse, a->lse + first_token * heads, (size_t)rows * sizeof *lse) == 0;
    free(out), free(lse);
    MUST(w, status == MQA_OK, "item %d alone: %s", i, w->err.message);
    MUST(w, same, "item %d has other bits alone", i);
    return true;
}

/* ---- the oracle ---------------------------------------------------------------------------------- */

static problem make_stored(const world *w, const ran *a, const planned *item, int64_t first_token)
{
    const mqa_cache_config *c = &w->config;
    const mqa_plan_options *o = &a->p->options;
    const int64_t n = item->length, queries = item->item.n_queries;
    const size_t heads = (size_t)c->n_kv_heads, d = (size_t)c->head_dim_qk, d_v = (size_t)c->head_dim_vo;
    problem p = {
        .shape = {.n_heads = o->n_heads,
                  .n_kv_heads = c->n_kv_heads,
                  .d = c->head_dim_qk,
                  .d_v = c->head_dim_vo,
                  .k_type = c->k_type,
                  .v_type = c->v_type,
                  .v_in_k = c->v_in_k,
                  .k_hadamard = c->k_hadamard,
                  .v_hadamard = c->v_hadamard,
                  .window = c->window,
                  .plan_window = o->window_left < 0 || o->window_left == INT64_MAX ? 0 : o->window_left + 1,
                  .n_sink_tokens = o->n_sink_tokens,
                  .chunk = o->chunk,
                  .mask = o->mask,
                  .softcap = o->logit_softcap,
                  .n_sequences = 1,
                  .of = {{.n = n,
                          .n_queries = queries,
                          .q_ahead = item->item.q_ahead,
                          .prefix = item->item.prefix}}},
        .sm_scale = o->sm_scale,
        .documents = {item->item.documents ? item->documents : NULL},
        .n_documents = {item->item.n_documents},
        .bits = {item->item.bits ? item->bits : NULL},
        .bits_stride = {item->item.bits_stride},
        .bits_first = {item->item.bits_first}};
    const int64_t held = mqa_sequence_first_held(item->item.sequence);
    p.k[0] = new_floats(n * (int64_t)(heads * d)), p.v[0] = new_floats(n * (int64_t)(heads * d_v));
    const int64_t gone = mqa_sequence_first_gone(item->item.sequence);
    if (mqa_sequence_read(item->item.sequence, a->layer, held, n - held, p.k[0] + (size_t)held * heads * d,
                          heads * d, d, p.v[0] + (size_t)held * heads * d_v, heads * d_v, d_v, NULL) ||
        (gone > 0 && mqa_sequence_read(item->item.sequence, a->layer, 0, gone, p.k[0], heads * d, d, p.v[0],
                                       heads * d_v, d_v, NULL)))
        abort();
    const size_t row = (size_t)o->n_heads * d;
    p.q[0] = new_floats(queries * (int64_t)row);
    memcpy(p.q[0], a->q + (size_t)first_token * row, (size_t)queries * row * sizeof(float));
    if (w->rope && mqa_rope_apply(w->rope, position_of(&p, 0, 0), queries, o->n_heads, p.q[0], row, d, NULL))
        abort();
    p.sinks = new_floats(o->n_heads), p.slopes = new_floats(o->n_heads);
    if (a->sinks) memcpy(p.sinks, a->sinks, (size_t)o->n_heads * sizeof(float));
    if (a->slopes) memcpy(p.slopes, a->slopes, (size_t)o->n_heads * sizeof(float));
    return p;
}

bool near_oracle(world *w, const ran *a, int i, int64_t first_token, uint64_t seed)
{
    const planned *item = &a->p->items[i];
    const int64_t heads = a->p->options.n_heads;
    if (item->first != 0) return true; /* it counts from 0 */
    problem p = make_stored(w, a, item, first_token);
    problem asked = p;
    if (!a->sinks) asked.sinks = NULL;
    if (!a->slopes) asked.slopes = NULL;
    const row_id id = {0, (int64_t)(seed / 7 % (uint64_t)item->item.n_queries),
                       (int)(seed % (uint64_t)heads)};
    const int64_t row = (first_token + id.query) * heads + id.head;
    const bool fast = strcmp(mqa_plan_recipe(a->p->plan), MQA_RECIPE_PORTABLE) != 0;
    char why[256];
    oracle_row right = oracle_of(&asked, id);
    const bool good =
        within_bounds(&asked, id, &right, fast, a->out + row * w->config.head_dim_vo, a->lse[row], why);
    free_oracle_row(&right);
    free(p.k[0]), free(p.v[0]), free(p.q[0]), free(p.sinks), free(p.slopes);
    MUST(w, good, "item %d, query %lld, head %d: %s", i, (long long)id.query, id.head, why);
    return true;
}
