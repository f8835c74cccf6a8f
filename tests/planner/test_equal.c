/* Forecasts of the cache against caches: 500 random shapes and demands, equal to the byte.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

enum { SHAPES = 500, MOST_REQUESTS = 4 };

/* A shape of any sort: heads in any ratio, one window or several kinds of layers, sinks, MLA. */
static mqa_design random_design(random_state *r)
{
    const int64_t kv_heads = pick(r, 1, 4), ratio = pick(r, 1, 6);
    mqa_shape shape = {.layers = pick(r, 1, 6),
                       .heads = kv_heads * ratio,
                       .kv_heads = kv_heads,
                       .head_dim = pick(r, 1, 70),
                       .head_dim_v = pick(r, 1, 70),
                       .embd = 64,
                       .ff = 64,
                       .vocab = 100};
    if (pick(r, 0, 4) == 0) {
        shape.kv_heads = 0;
        shape.latent_rank = pick(r, 1, 80);
        shape.rope_dims = pick(r, 0, 20);
    } else if (pick(r, 0, 2) > 0) {
        shape.window = pick(r, 1, 700);
        shape.window_pattern = pick(r, 0, 4);
        if (pick(r, 0, 2) == 0) shape.sinks = pick(r, 1, 200);
    }
    mqa_design design;
    assert_ok(mqa_design_from_shape(&shape, &design, why));
    return design;
}

static mqa_demand random_demand(random_state *r)
{
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.contexts[0] = pick(r, 0, 3) ? pick(r, 1, 3000) : pick(r, 1, 40) * 64;
    demand.requests = pick(r, 1, MOST_REQUESTS);
    if (pick(r, 0, 1)) demand.shared = pick(r, 0, demand.contexts[0]);
    demand.chunk = (int)(pick(r, 0, 2) ? pick(r, 1, 600) : 64 * pick(r, 1, 8));
    if (pick(r, 0, 1)) demand.generate = pick(r, 0, demand.contexts[0] - demand.shared);
    demand.page_tokens = 64 << pick(r, 0, 2);
    demand.k_type = (mqa_kv_type)pick(r, 0, MQA_KV_TYPES - 1);
    demand.v_type = (mqa_kv_type)pick(r, 0, MQA_KV_TYPES - 1);
    return demand;
}

/* ---- the live ones ---- */

typedef struct live {
    mqa_cache *cache;
    mqa_sequence *sequences[MOST_REQUESTS];
    size_t most;
} live;

static void extend(live *l, mqa_sequence *seq, int64_t to, int64_t chunk)
{
    while (mqa_sequence_length(seq) < to) {
        const int64_t left = to - mqa_sequence_length(seq);
        assert_int_equal(mqa_sequence_extend(seq, left < chunk ? left : chunk, NULL), MQA_OK);
        if (mqa_cache_bytes_in_use(l->cache) > l->most) l->most = mqa_cache_bytes_in_use(l->cache);
    }
}

/* As a server would: the shared beginning once, forks, each prompt in chunks, then a token of each in turn.
 */
static live grow(mqa_context *ctx, const mqa_layer_group *group, const mqa_demand *d)
{
    mqa_cache_config config = mqa_group_cache(group, d->k_type, d->v_type);
    config.page_tokens = d->page_tokens;
    config.max_pages = 4096;
    live l = {0};
    assert_ok(mqa_cache_create(ctx, &config, &l.cache, why));
    assert_ok(mqa_sequence_create(l.cache, &l.sequences[0], why));
    extend(&l, l.sequences[0], d->shared, d->chunk);
    for (int i = 1; i < d->requests; i++)
        assert_ok(mqa_sequence_fork(l.sequences[0], d->shared, &l.sequences[i], why));
    for (int i = 0; i < d->requests; i++) extend(&l, l.sequences[i], d->contexts[0] - d->generate, d->chunk);
    for (int64_t t = d->contexts[0] - d->generate; t < d->contexts[0]; t++)
        for (int i = 0; i < d->requests; i++) extend(&l, l.sequences[i], t + 1, 1);
    return l;
}

static void end(live *l)
{
    for (int i = 0; i < MOST_REQUESTS; i++) mqa_sequence_destroy(&l->sequences[i]);
    mqa_cache_destroy(&l->cache);
}

static void test_random_shapes(void **unused)
{
    (void)unused;
    random_state r = {8};
    const mqa_machine machine = machine_of("H100 SXM");
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 1;
    mqa_context *ctx;
    assert_ok(mqa_context_create(&options, &ctx, why));
    for (int i = 0; i < SHAPES; i++) {
        const mqa_design design = random_design(&r);
        const mqa_demand demand = random_demand(&r);
        mqa_figures f;
        assert_ok(mqa_forecast(&design, &machine, &demand, demand.contexts[0], &f, why));
        size_t in_use = 0, most = 0, by_kind[MQA_KINDS] = {0};
        for (int g = 0; g < design.n_groups; g++) {
            live l = grow(ctx, &design.groups[g], &demand);
            in_use += mqa_cache_bytes_in_use(l.cache);
            by_kind[design.groups[g].kind] += mqa_cache_bytes_in_use(l.cache);
            most += l.most;
            end(&l);
        }
        if (f.kv_bytes != in_use) fail_msg("shape %d: %zu bytes forecast, %zu in use", i, f.kv_bytes, in_use);
        for (int k = 0; k < MQA_KINDS; k++) assert_int_equal(f.kv[k].bytes, by_kind[k]);
        /* What is reserved is enough; nobody says that these chunks come to it. */
        if (f.kv_peak_bytes < most) fail_msg("shape %d: %zu reserved, %zu taken", i, f.kv_peak_bytes, most);
        assert_true(f.kv_peak_bytes <= f.kv_bytes_per_token * (size_t)demand.requests *
                                           (size_t)(demand.contexts[0] + demand.page_tokens));
    }
    mqa_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
