/* What forecasts and reports say: what fits, what is shared, times by the roofline, the verdict.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <math.h>

static mqa_demand demand_of(int64_t context, int64_t requests)
{
    mqa_demand d;
    mqa_demand_default(&d);
    d.contexts[0] = context;
    d.requests = requests;
    return d;
}

/* A machine whose kernels reach the roofline and whose steps cost nothing: times can be computed by hand. */
static mqa_machine ideal(double bandwidth, double peak)
{
    mqa_machine m = {.name = "ideal", .bandwidth = bandwidth, .peak = {peak, peak, peak}};
    for (int p = 0; p < MQA_CURVE_POINTS; p++) {
        for (int c = 0; c < MQA_WEIGHT_CLASSES; c++) m.linear[c].share[p] = m.linear[c].memory[p] = 1;
        for (int t = 0; t < MQA_KV_TYPES; t++) m.attention[t].share[p] = m.attention[t].memory[p] = 1;
    }
    return m;
}

/* A cache of so many bytes, in which shares of arithmetic were measured. */
static void give_cache(mqa_machine *m, double bytes, double rate)
{
    m->n_caches = 1;
    m->caches[0].bytes = m->curve_bytes = bytes;
    m->caches[0].rate = rate;
    m->caches[0].share = 1;
}

static mqa_design shape_of(int64_t kv_heads)
{
    const mqa_shape shape = {
        .layers = 4, .heads = 16, .kv_heads = kv_heads, .embd = 1024, .ff = 4096, .vocab = 1000};
    mqa_design d;
    assert_ok(mqa_design_from_shape(&shape, &d, why));
    return d;
}

static mqa_figures forecast(const mqa_design *d, const mqa_machine *m, const mqa_demand *q)
{
    mqa_figures f;
    assert_ok(mqa_forecast(d, m, q, q->contexts[0], &f, why));
    return f;
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9 * fabs(b))) fail_msg("%.17g, expected %.17g", a, b);
}

/* ---- time ---- */

/* Memory holds it: weights and K and V once, whatever the heads are. */
static void test_decoding_from_memory(void **unused)
{
    (void)unused;
    const mqa_machine m = ideal(1e9, 1e18);
    const mqa_demand q = demand_of(10000, 3);
    const mqa_design d = shape_of(2);
    const mqa_figures f = forecast(&d, &m, &q);
    /* The head has 1,000 outputs, stored as 1,024; norms aren't counted. */
    const double weights = 2.0 * (4 * (1024 * 1024 * 2 + 1024 * 128 * 2 + 3 * 1024 * 4096) + 1024 * 1024);
    const double kv = 3 * 10000.0 * f.kv_bytes_per_token;
    assert_near(f.token.weight_bytes, weights);
    assert_near(f.token.kv_bytes, kv);
    assert_near(f.token.seconds, (weights + kv) / 1e9);
    assert_near(f.ms_per_token, (weights + kv) / 1e6);
    assert_near(f.tokens_per_s, 3 / f.token.seconds);
    assert_int_equal(f.token.bound, MQA_BOUND_MEMORY);
    /* 2 (64 + 64) operations for each of 8 heads a KV head and key, over 256 bytes of K and V. */
    assert_near(f.token.attention_intensity, 8);
}

/* Arithmetic holds it: 2 operations a parameter, and those of attention. */
static void test_decoding_by_operations(void **unused)
{
    (void)unused;
    const mqa_machine m = ideal(1e18, 1e9);
    const mqa_demand q = demand_of(10000, 3);
    const mqa_design d = shape_of(1);
    const mqa_figures f = forecast(&d, &m, &q);
    const double matrices = 4 * (1024.0 * 1024 * 2 + 1024 * 64 * 2 + 3 * 1024 * 4096) + 1024.0 * 1000;
    const double attention = 2.0 * 128 * 16 * 10000 * 4 * 3;
    assert_near(f.token.operations, 2 * matrices * 3 + attention);
    assert_near(f.token.seconds, f.token.operations / 1e9);
    assert_int_equal(f.token.bound, MQA_BOUND_OPERATIONS);
    assert_near(f.token.weights + f.token.attention + f.token.overhead, f.token.seconds);
}

/* What products take from a cache and what memory takes longer add up; without measurement the larger holds.
 */
static void test_waiting_for_memory(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e9, 1e9);
    const mqa_demand q = demand_of(10000, 3);
    const mqa_design d = shape_of(1);
    const mqa_times roof = forecast(&d, &m, &q).token;
    give_cache(&m, 1 << 20, 4e9);
    const mqa_times t = forecast(&d, &m, &q).token;
    const double bytes = t.weight_bytes + t.kv_bytes;
    assert_near(t.seconds, t.operations / 1e9 + bytes / 1e9 - bytes / 4e9);
    assert_true(roof.seconds < t.seconds && roof.seconds >= t.operations / 1e9);
    m.curve_bytes = 0;
    assert_near(forecast(&d, &m, &q).token.seconds, roof.seconds);
    /* A share of bandwidth is memory's alone. */
    for (int p = 0; p < MQA_CURVE_POINTS; p++) {
        for (int c = 0; c < MQA_WEIGHT_CLASSES; c++) m.linear[c].memory[p] = 0.5;
        for (int k = 0; k < MQA_KV_TYPES; k++) m.attention[k].memory[p] = 0.5;
    }
    m.peak[0] = m.peak[1] = m.peak[2] = 1e18;
    assert_near(forecast(&d, &m, &q).token.seconds, bytes / 5e8);
}

/* What rows cost besides: values in and out of matrices, and K and V left in the cache. */
static void test_values(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e24 / 2, 1e24 / 2);
    const mqa_demand q = demand_of(1000, 3);
    const mqa_design d = shape_of(4);
    m.seconds_per_kv_value[MQA_KV_BF16] = 1e-6;
    const double kv = 4 * 2.0 * 4 * 64; /* layers, K and V, heads, values */
    assert_near(forecast(&d, &m, &q).token.overhead, 3 * kv * 1e-6);
    assert_near(forecast(&d, &m, &q).prompt.overhead, 1000 * kv * 1e-6);
    m.seconds_per_kv_value[MQA_KV_BF16] = 0;
    m.seconds_per_value = 1e-6;
    const double layer = 2 * (1024 + 1024) + 2 * (1024 + 256) + 3 * (1024 + 4096);
    assert_near(forecast(&d, &m, &q).token.overhead, 3 * (4 * layer + 1024 + 1000) * 1e-6);
}

/* A prompt's keys: 1 + 2 + … + n, with a window at most the window each; in the last layer only those of the
 * last chunk. The last layer's second half and the head are for one token. */
static void test_prompt(void **unused)
{
    (void)unused;
    const mqa_machine m = ideal(1e18, 1e9);
    const mqa_demand q = demand_of(1000, 1);
    const mqa_design d = shape_of(16);
    const mqa_figures f = forecast(&d, &m, &q);
    const double per_pair = 2.0 * 128 * 16;
    const double all = 1000.0 * 1001 / 2, last = all - 512.0 * 513 / 2;
    assert_near(f.prompt.attention_operations, per_pair * (3 * all + last));
    const double first = 4 * 1024.0 * 1024 * 3, second = 3 * (1024.0 * 1024 + 3 * 1024 * 4096);
    assert_near(f.prompt.operations - f.prompt.attention_operations,
                2 * 1000 * (first + second) + 2.0 * 1024 * 1000);

    const mqa_shape windowed = {.layers = 3, .heads = 16, .embd = 1024, .window = 100, .window_pattern = 3};
    mqa_design w;
    assert_ok(mqa_design_from_shape(&windowed, &w, why));
    const double windows = 2 * (100.0 * 101 / 2 + 900.0 * 100);
    assert_near(forecast(&w, &m, &q).prompt.attention_operations, per_pair * (windows + last));
}

/* Bytes of attention in a prompt: each chunk reads what it sees once, the last layer's in the last chunk. */
static void test_prompt_bytes(void **unused)
{
    (void)unused;
    const mqa_machine m = ideal(1e9, 1e18);
    mqa_demand q = demand_of(1000, 1);
    q.chunk = 300;
    const mqa_design d = shape_of(4);
    const mqa_figures f = forecast(&d, &m, &q);
    assert_near(f.prompt.kv_bytes, ((300.0 + 600 + 900) * 3 / 4 + 1000) * f.kv_bytes_per_token);
    const mqa_shape windowed = {.layers = 2, .heads = 4, .head_dim = 64, .window = 150};
    mqa_design w;
    assert_ok(mqa_design_from_shape(&windowed, &w, why));
    const mqa_figures g = forecast(&w, &m, &q);
    assert_near(g.prompt.kv_bytes, ((300.0 + 449 + 449) / 2 + 249) * g.kv_bytes_per_token);
}

/* What isn't memory or arithmetic: a step, its layers, values in and out of matrices, K and V put into
 * caches. */
static void test_overhead(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e18, 1e18);
    mqa_demand q = demand_of(1000, 3);
    q.v_type = MQA_KV_INT8;
    q.chunk = 300;
    m.seconds_per_step = 1;
    m.seconds_per_layer = 10;
    m.seconds_per_kv_value[MQA_KV_BF16] = 1e-2;
    m.seconds_per_kv_value[MQA_KV_INT8] = 3e-2;
    const mqa_design d = shape_of(2); /* 4 layers, width 1,024, K and V of 2 x 64 */
    const mqa_figures f = forecast(&d, &m, &q);
    const double row = 4 * 128 * (1e-2 + 3e-2);
    assert_true(fabs(f.token.overhead - (1 + 40 + 3 * row)) < 1e-6);
    assert_true(fabs(f.prompt.overhead - (4 * 41 + 1000 * row)) < 1e-6);
    assert_int_equal(f.token.bound, MQA_BOUND_OVERHEAD);
    mqa_machine v = ideal(1e18, 1e18);
    v.seconds_per_value = 1;
    const double layer = 2048 + 2 * 1152 + 2048 + 3 * 5120;
    assert_true(fabs(forecast(&d, &v, &q).token.overhead - 3 * (4 * layer + 2024)) < 1e-3);

    /* Narrow matrices: 64 outputs at a time, and pages of 4 KiB below 2 MiB. */
    mqa_machine n = ideal(1e18, 1e18);
    n.seconds_per_granule = 1;
    const double granules = 4 * (16 + 2 + 2 + 16 + 64 + 64 + 16) + 1000 / 64.0;
    assert_true(fabs(forecast(&d, &n, &q).token.seconds - granules) < 1e-6);
    n.seconds_per_granule = 0;
    n.seconds_per_small_page = 1; /* K and V of 256 KiB; q and out have 2 MiB just so, the head too */
    assert_true(fabs(forecast(&d, &n, &q).token.seconds - 4 * 2 * 64) < 1e-6);
}

/* What attention costs beside products: each score, and each request's rows on a KV head; and a request. */
static void test_many_requests(void **unused)
{
    (void)unused;
    mqa_demand q = demand_of(1000, 3);
    q.chunk = 400;
    const mqa_design d = shape_of(2); /* 4 layers, 16 heads */
    mqa_machine m = ideal(1e18, 1e18);
    m.seconds_per_score[MQA_KV_INT8] = 100;
    assert_true(forecast(&d, &m, &q).token.seconds < 1e-3); /* K is in bf16 */
    m.seconds_per_score[MQA_KV_BF16] = 1;
    mqa_figures f = forecast(&d, &m, &q);
    assert_true(fabs(f.token.attention - 3 * 1000 * 16 * 4) < 1e-3);
    /* All queries and the keys before them; of the last layer the last chunk's, 200 of them. */
    const double pairs = 1000.0 * 1001 / 2, last = pairs - 800.0 * 801 / 2;
    assert_true(fabs(f.prompt.attention - 16 * (3 * pairs + last)) < 1);
    /* No share of the peak makes a score's own cost larger. */
    for (int p = 0; p < MQA_CURVE_POINTS; p++) m.attention[MQA_KV_BF16].share[p] = 0.5;
    assert_true(fabs(forecast(&d, &m, &q).token.attention - 3 * 1000 * 16 * 4) < 1e-3);

    m = ideal(1e18, 1e18);
    m.seconds_per_unit = 1;
    f = forecast(&d, &m, &q);
    assert_true(fabs(f.token.attention - 3 * 2 * 4) < 1e-6);
    assert_true(fabs(f.prompt.attention - (2 * 2 * 3 + 2 * 4)) < 1e-6); /* 3 chunks, the last layer in one */
    q.shared = 600; /* read for all of them at once, then each one's own */
    assert_true(fabs(forecast(&d, &m, &q).token.attention - (3 + 1) * 2 * 4) < 1e-6);
    q.shared = 0;

    m = ideal(1e18, 1e18);
    m.seconds_per_request = 1;
    f = forecast(&d, &m, &q);
    assert_true(fabs(f.token.overhead - 3) < 1e-6 && fabs(f.prompt.overhead - 3) < 1e-6);
}

/* V in K is turned, once for each key and 128 rows. */
static void test_turning(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e18, 1e18);
    m.seconds_per_turned_value[MQA_KV_BF16] = 1;
    m.seconds_per_turned_value[MQA_KV_INT8] = 100;
    const mqa_demand q = demand_of(1000, 3);
    mqa_design d = shape_of(2);
    assert_true(forecast(&d, &m, &q).token.attention < 1e-3);
    d.groups[0].v_in_k = true;
    const double values = 1000.0 * d.groups[0].head_dim_vo * 2 * 4;
    assert_true(fabs(forecast(&d, &m, &q).token.attention - 3 * values) < 1e-3);
}

/* Spans of 512 keys are shared among threads, where shares were measured with all of them at work. */
static void test_waiting_threads(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e18, 1e9);
    const mqa_design d = shape_of(2);
    mqa_demand q = demand_of(500, 1); /* 2 KV heads of a span each */
    m.n_threads = 8;
    const double alone = forecast(&d, &m, &q).token.attention;
    m.curve_bytes = 1;
    assert_true(fabs(forecast(&d, &m, &q).token.attention / alone - 4) < 1e-6);
    q.requests = 3; /* 6 spans for 8 threads */
    assert_true(fabs(forecast(&d, &m, &q).token.attention / alone - 3 * 8.0 / 6) < 1e-6);
    q.requests = 4;
    assert_true(fabs(forecast(&d, &m, &q).token.attention / alone - 4) < 1e-6);
    q.requests = 5; /* 10 spans in two rounds of 8 */
    assert_true(fabs(forecast(&d, &m, &q).token.attention / alone - 5 * 16.0 / 10) < 1e-6);
}

/* A share of memory above 1: so much of what memory takes longer than the cache is hidden; never more than
 * that. */
static void test_hidden_memory(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e9, 1e18);
    const mqa_design d = shape_of(2);
    const mqa_demand q = demand_of(4000, 1);
    give_cache(&m, 1, 1e12);
    const double memory = forecast(&d, &m, &q).token.attention;
    m.peak[MQA_RATE_BF16] = 1e9; /* arithmetic is most of it */
    const double both = forecast(&d, &m, &q).token.attention;
    for (int p = 0; p < MQA_CURVE_POINTS; p++) m.attention[MQA_KV_BF16].memory[p] = 4;
    const double hidden = forecast(&d, &m, &q).token.attention;
    assert_true(fabs((both - hidden) / (0.75 * memory) - 1) < 0.01);
    m.peak[MQA_RATE_BF16] = 1e18;
    assert_true(fabs(forecast(&d, &m, &q).token.attention / memory - 1) < 0.01);
}

/* What a cache takes is in arithmetic's shares, which were measured there: memory's share, and what begins
 * its streams, are of what comes from memory. */
static void test_cached(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e9, 1e10);
    const mqa_demand q = demand_of(1000, 1);
    const mqa_design d = shape_of(2);
    give_cache(&m, 1e12, 1e11);
    const double cached = forecast(&d, &m, &q).token.seconds;
    m.seconds_per_granule = m.seconds_per_small_page = 1;
    for (int p = 0; p < MQA_CURVE_POINTS; p++) {
        for (int c = 0; c < MQA_WEIGHT_CLASSES; c++) m.linear[c].memory[p] = 0.001;
        for (int k = 0; k < MQA_KV_TYPES; k++) m.attention[k].memory[p] = 0.001;
    }
    assert_near(forecast(&d, &m, &q).token.seconds, cached);
    give_cache(&m, 1, 1e11);
    assert_true(forecast(&d, &m, &q).token.seconds > 1000 * cached);
}

/* A working set that a cache nearly holds is read at what steps of decoding reach of its bandwidth. */
static void test_streams(void **unused)
{
    (void)unused;
    mqa_machine m = ideal(1e9, 1e18);
    const mqa_demand q = demand_of(10000, 3);
    const mqa_design d = shape_of(2);
    const mqa_times memory = forecast(&d, &m, &q).token;
    const double bytes = memory.weight_bytes + memory.kv_bytes;
    m.n_caches = 2;
    m.caches[0].bytes = bytes / 2;
    m.caches[0].rate = 8e9;
    m.caches[0].share = 1;
    m.caches[1].bytes = bytes;
    m.caches[1].rate = 4e9;
    m.caches[1].share = 0.25;
    assert_near(forecast(&d, &m, &q).token.seconds, bytes / 1e9);
    m.caches[1].bytes = bytes * 2;
    assert_near(forecast(&d, &m, &q).token.seconds, bytes / 4.5e9); /* half of the way in logarithms */
    m.caches[0].bytes = bytes / 8;
    m.caches[1].bytes = bytes / 4;
    assert_near(forecast(&d, &m, &q).token.seconds, bytes / 0.25e9); /* the last share holds beyond */
}

/* MHA's decoding does one operation a byte, MQA's one for each head: from bandwidth to arithmetic. */
static void test_intensity(void **unused)
{
    (void)unused;
    const mqa_design llama = design_of("llama-2-70b");
    const mqa_machine m = machine_of("H100 SXM");
    const mqa_demand q = demand_of(32768, 16);
    static const struct {
        mqa_variant variant;
        double intensity;
    } expected[] = {
        {MQA_VARIANT_MHA, 1}, {MQA_VARIANT_GQA8, 8}, {MQA_VARIANT_GQA4, 16}, {MQA_VARIANT_MQA, 64}};
    double before = INFINITY;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        mqa_design d;
        assert_ok(mqa_design_vary(&llama, expected[i].variant, &d, why));
        const mqa_figures f = forecast(&d, &m, &q);
        assert_near(f.token.attention_intensity, expected[i].intensity);
        assert_true(f.ms_per_token < before);
        before = f.ms_per_token;
    }
}

/* A shared beginning is read once in decoding, and computed once. */
static void test_shared(void **unused)
{
    (void)unused;
    const mqa_machine m = ideal(1e9, 1e18);
    mqa_demand q = demand_of(10000, 4);
    const mqa_design d = shape_of(2);
    const mqa_figures alone = forecast(&d, &m, &q);
    q.shared = 6400;
    const mqa_figures f = forecast(&d, &m, &q);
    assert_near(f.token.kv_bytes, (6400 + 4 * 3600.0) * f.kv_bytes_per_token);
    assert_near(alone.token.kv_bytes, 4 * 10000.0 * f.kv_bytes_per_token);
    assert_near(f.token.attention_operations, alone.token.attention_operations);
    assert_int_equal(f.kv_saved_bytes, 3 * 6400 * f.kv_bytes_per_token);
    assert_int_equal(alone.kv_saved_bytes, 0);
    assert_true(f.max_requests >= alone.max_requests && f.prompt_ms < alone.prompt_ms);
}

/* Of experts those are read that some row goes through. */
static void test_experts(void **unused)
{
    (void)unused;
    const mqa_design d = design_of("deepseek-v3");
    const mqa_machine m = ideal(1e9, 1e18);
    double before = 0;
    for (int64_t requests = 1; requests <= 1 << 16; requests *= 16) {
        mqa_demand q = demand_of(64, requests);
        const mqa_figures f = forecast(&d, &m, &q);
        assert_true(f.token.weight_bytes >= before && f.token.weight_bytes <= (double)f.weights_bytes);
        if (requests == 1) assert_true(f.token.weight_bytes < 0.07 * (double)f.weights_bytes);
        if (requests == 1 << 16) assert_true(f.token.weight_bytes > 0.99 * (double)f.weights_bytes);
        before = f.token.weight_bytes;
    }
}

/* Time grows with context, requests and bytes, and shrinks with bandwidth. */
static void test_monotone(void **unused)
{
    (void)unused;
    random_state r = {4};
    for (int i = 0; i < 200; i++) {
        const mqa_design d = design_of(i % 2 ? "llama-3-8b" : "gemma-3-270m");
        mqa_machine m = machine_of(i % 3 ? "L4" : "amd zen4 2 cores");
        mqa_demand q = demand_of(pick(&r, 1, 100000), pick(&r, 1, 64)), more = q;
        const mqa_figures f = forecast(&d, &m, &q);
        more.contexts[0] = 2 * q.contexts[0] + 1;
        const mqa_figures longer = forecast(&d, &m, &more);
        assert_true(longer.ms_per_token >= f.ms_per_token && longer.prompt_ms > f.prompt_ms);
        assert_true(longer.kv_peak_bytes >= f.kv_peak_bytes && longer.max_requests <= f.max_requests);
        more = q;
        more.requests++;
        assert_true(forecast(&d, &m, &more).ms_per_token >= f.ms_per_token);
        m.bandwidth *= 2;
        assert_true(forecast(&d, &m, &q).ms_per_token <= f.ms_per_token);
    }
}

/* ---- what fits ---- */

/* As many requests as are said fit, and one more doesn't; the same of tokens. */
static void test_most(void **unused)
{
    (void)unused;
    const mqa_design d = design_of("llama-3-8b");
    const mqa_machine m = machine_of("A100 80GB");
    mqa_demand q = demand_of(20000, 3);
    const mqa_figures f = forecast(&d, &m, &q);
    assert_true(f.fits && f.max_requests > 3);
    q.requests = f.max_requests;
    assert_true(forecast(&d, &m, &q).fits);
    q.requests++;
    assert_false(forecast(&d, &m, &q).fits);
    q.requests = 3;
    q.contexts[0] = f.max_context;
    assert_true(forecast(&d, &m, &q).fits);
    q.contexts[0]++;
    assert_false(forecast(&d, &m, &q).fits);
    q.memory = 1 << 20; /* not even the weights */
    const mqa_figures none = forecast(&d, &m, &q);
    assert_false(none.fits);
    assert_int_equal(none.max_requests, 0);
    assert_int_equal(none.max_context, 0);
    q.memory = none.peak_bytes;
    assert_true(forecast(&d, &m, &q).fits);
    q.memory--;
    assert_false(forecast(&d, &m, &q).fits);
}

static void test_tenants(void **unused)
{
    (void)unused;
    const mqa_design d = design_of("llama-3-8b");
    const mqa_machine m = machine_of("A100 80GB");
    mqa_demand q = demand_of(1000, 1);
    const size_t page = 64 * 131072;
    q.n_tenants = 2;
    q.tenants[0] = (mqa_tenant){"a", 4, 1000, 0, 64 * page};
    q.tenants[1] = (mqa_tenant){"b", 4, 1000, 640, 32 * page};
    mqa_report *r = malloc(sizeof *r);
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    assert_int_equal(r->tenants[0].kv_bytes, 4 * 16 * page);
    assert_true(r->tenants[0].fits);
    assert_int_equal(r->tenants[0].max_requests, 4);
    assert_int_equal(r->tenants[0].max_context, 1024);
    assert_int_equal(r->tenants[1].kv_bytes, (10 + 4 * 6) * page);
    assert_false(r->tenants[1].fits);
    assert_int_equal(r->tenants[1].max_requests, 3);
    assert_int_equal(r->tenants[1].max_context, 640 + 5 * 64);
    assert_true(r->tenants_fit);
    free(r);
}

/* ---- reports ---- */

static void test_report(void **unused)
{
    (void)unused;
    static const mqa_variant all[] = {MQA_VARIANT_AS_IS, MQA_VARIANT_MHA, MQA_VARIANT_GQA8,  MQA_VARIANT_GQA4,
                                      MQA_VARIANT_MQA,   MQA_VARIANT_MLA, MQA_VARIANT_WINDOW};
    const mqa_design d = design_of("llama-3-8b");
    const mqa_machine m = machine_of("L4");
    const mqa_demand q = demand_of(32768, 8);
    mqa_report *r = malloc(sizeof *r);
    assert_ok(mqa_report_make(&d, all, 7, &m, &q, r, why));
    assert_int_equal(r->n_designs, 6); /* GQA-8 is what it is */
    assert_string_equal(r->designs[0].label, "as is, GQA-8");
    assert_string_equal(r->left_out, "GQA-8: what it is already");
    assert_int_equal(r->rows[1][0].kv_bytes, 4 * r->rows[0][0].kv_bytes);
    assert_int_equal(8 * r->rows[3][0].kv_bytes, r->rows[0][0].kv_bytes);
    assert_true(r->n_verdict >= 4 && r->n_changes > 2);
    assert_false(r->rows[0][0].fits);
    assert_non_null(strstr(r->verdict[0], "do not fit"));
    for (int i = 0; i < r->n_changes; i++) {
        assert_true(r->changes[i].gain > 1);
        assert_true(r->changes[i].what[0] && r->changes[i].cost[0]);
    }
    free(r);
}

/* Where something is short the cheapest change that settles it goes first; else the one that gains most. */
static void test_changes(void **unused)
{
    (void)unused;
    const mqa_design d = design_of("llama-3-8b");
    const mqa_machine m = machine_of("A100 80GB");
    mqa_report *r = malloc(sizeof *r);
    const size_t kv = (size_t)100 * 64 * 131072;
    mqa_demand q = demand_of(6400, 1);
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    for (int i = 1; i < r->n_changes; i++) assert_true(r->changes[i - 1].gain >= r->changes[i].gain);
    assert_false(r->changes[0].settles);

    /* A budget that int8 is small enough for: not int4, which gains more. */
    q.n_tenants = 1;
    q.tenants[0] = (mqa_tenant){"a", 1, 6400, 0, kv * 6 / 10};
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    assert_string_equal(r->changes[0].what, "K and V in int8");
    assert_true(r->changes[0].settles && r->changes[0].gain > 1.9);
    q.tenants[0].budget_bytes = kv * 3 / 10;
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    assert_string_equal(r->changes[0].what, "K and V in int4");
    bool said = false;
    for (int v = 0; v < r->n_verdict; v++)
        said |= strstr(r->verdict[v], "divides the KV cache by 3.56 and is enough") != NULL;
    if (!said) fail_msg("%s", r->verdict[r->n_verdict - 2]);

    /* Memory that 8 bits a weight are small enough for. */
    q.n_tenants = 0;
    q.memory = (size_t)10 << 30;
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    assert_string_equal(r->changes[0].what, "weights in q8_0");
    assert_true(r->changes[0].settles);
    /* And none that is: what gains most goes first, and nothing settles it. */
    q.memory = (size_t)1 << 30;
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    assert_string_equal(r->changes[0].what, "weights in q4_k");
    assert_false(r->changes[0].settles);

    /* A speed that is wanted. */
    q.memory = 0;
    q.want_tokens_per_s = 120;
    assert_ok(mqa_report_make(&d, NULL, 0, &m, &q, r, why));
    assert_false(r->rows[0][0].meets_speed);
    assert_string_equal(r->changes[0].what, "weights in q8_0");
    assert_true(r->changes[0].settles);
    free(r);
}

/* A verdict names what holds. */
static void test_verdict(void **unused)
{
    (void)unused;
    const mqa_design d = design_of("llama-3-8b");
    mqa_demand q = demand_of(1000, 1);
    mqa_report *r = malloc(sizeof *r);
    const struct {
        mqa_machine machine;
        const char *says;
    } cases[] = {{ideal(1e9, 1e18), "what holds it is reading memory"},
                 {ideal(1e18, 1e9), "what holds it is arithmetic"}};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(mqa_report_make(&d, NULL, 0, &cases[i].machine, &q, r, why));
        bool said = false;
        for (int v = 0; v < r->n_verdict; v++) said |= strstr(r->verdict[v], cases[i].says) != NULL;
        assert_true(said);
    }
    free(r);
}

/* Other attention, the same everything else. */
static void test_variants(void **unused)
{
    (void)unused;
    const mqa_design v3 = design_of("deepseek-v3"), gemma = design_of("gemma-3-270m");
    mqa_design d;
    assert_ok(
        mqa_design_vary(&v3, MQA_VARIANT_MHA, &d, why)); /* 128 heads of 128: 2 * 61 * 16,384 * 2 bytes */
    const mqa_machine m = machine_of("H200");
    const mqa_demand q = demand_of(1000, 1);
    assert_int_equal(forecast(&d, &m, &q).kv_bytes_per_token, 2 * 61 * 16384 * 2);
    assert_int_equal(mqa_design_vary(&gemma, MQA_VARIANT_GQA8, &d, NULL), MQA_ERR_UNSUPPORTED);
    assert_int_equal(mqa_design_vary(&gemma, MQA_VARIANT_WINDOW, &d, NULL), MQA_ERR_UNSUPPORTED);
    assert_ok(mqa_design_vary(&gemma, MQA_VARIANT_MHA, &d, why));
    assert_int_equal(d.n_groups, 2); /* windows stay */
    assert_int_equal(forecast(&d, &m, &q).kv_bytes_per_token, 4 * 18432);
    /* Back again is where it was. */
    mqa_design back;
    assert_ok(mqa_design_vary(&d, MQA_VARIANT_MQA, &back, why));
    assert_true(mqa_design_same_attention(&back, &gemma));
    uint64_t a, b, active;
    assert_ok(mqa_design_parameters(&gemma, &a, &active, why));
    assert_ok(mqa_design_parameters(&back, &b, &active, why));
    assert_int_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoding_from_memory),
        cmocka_unit_test(test_decoding_by_operations),
        cmocka_unit_test(test_waiting_for_memory),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_prompt_bytes),
        cmocka_unit_test(test_intensity),
        cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_many_requests),
        cmocka_unit_test(test_turning),
        cmocka_unit_test(test_waiting_threads),
        cmocka_unit_test(test_cached),
        cmocka_unit_test(test_hidden_memory),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_monotone),
        cmocka_unit_test(test_most),
        cmocka_unit_test(test_tenants),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_variants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
