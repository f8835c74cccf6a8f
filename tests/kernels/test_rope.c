/* RoPE's numbers: against transformers, against long double, and against the committed hashes.
 *
 * usage: test_rope [--print]     --print writes data/rope_hashes.txt's lines instead of checking
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rope_golden.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

static mqa_context *make_context(mqa_isa isa)
{
    mqa_context_options options = mqa_context_options_default();
    mqa_context *ctx;
    options.isa = isa;
    options.n_threads = 1;
    assert_int_equal(mqa_context_create(&options, &ctx, NULL), MQA_OK);
    return ctx;
}

static mqa_rope *make_rope(mqa_context *ctx, const mqa_rope_config *config)
{
    mqa_rope *rope;
    mqa_error err = {0};
    if (mqa_rope_create(ctx, config, &rope, &err) != MQA_OK) fail_msg("%s", err.message);
    return rope;
}

/* ---- transformers ---- */

/* The relative error of an angle, in roundings of the arithmetic that it was computed in: the exponent's
 * counts times ln(1/f), the power, the reciprocal, the factor and the product with the position are five.
 * Where a scaling mixes f and f / factor, an error of the mixture can weigh as much more as these two are
 * apart. */
static double units_of_frequency(const golden_case *g, int pair)
{
    const bool mixes = g->config.scaling >= MQA_ROPE_SCALING_LLAMA3;
    const double slowed = -log(g->frequencies[pair]) + 5;
    return mixes ? 2 * g->config.factor * slowed : slowed;
}

/* How far from each other two results may be of which one, or both, have angles with roundings of unit: what
 * that makes of the pair, and ten roundings of f32 for cosine and sine, the attention factor, the rotation on
 * both sides, and the golden value. */
static double tolerance(const golden_case *g, int pair, int64_t position, double length, double unit)
{
    const double angle = fabs((double)position * g->frequencies[pair]);
    return g->attention_factor * length * (angle * units_of_frequency(g, pair) * unit + 10 * 0x1p-24);
}

typedef struct comparison {
    double worst; /* of error to tolerance */
    int meaningful, all;
} comparison;

static void compare(const golden_case *g, int64_t position, const float *got, const float *golden,
                    double unit, comparison *c)
{
    const int first = g->config.first_dim, pairs = g->config.n_dims / 2;
    const bool neox = g->config.style == MQA_ROPE_NEOX;
    for (int i = 0; i < pairs; i++) {
        const int a = first + (neox ? i : 2 * i), b = neox ? a + pairs : a + 1;
        const double length = hypot((double)g->x[a], (double)g->x[b]);
        const double limit = tolerance(g, i, position, length, unit);
        const double error =
            fmax(fabs((double)got[a] - (double)golden[a]), fabs((double)got[b] - (double)golden[b]));
        c->all++;
        if (limit > 0.5 * length) continue; /* an angle that f32 knows nothing of */
        c->meaningful++;
        c->worst = fmax(c->worst, error / limit);
        if (!(error <= limit))
            fail_msg("%s, position %lld, pair %d: off by %g, may be %g", g->name, (long long)position, i,
                     error, limit);
    }
    for (int i = 0; i < g->head_dim; i++)
        if ((i < first || i >= first + 2 * pairs) && memcmp(&got[i], &g->x[i], sizeof(float)) != 0)
            fail_msg("%s: dim %d isn't turned, but has changed", g->name, i);
}

static void check_frequencies(const golden_case *g, const mqa_rope *rope)
{
    for (int i = 0; i < g->config.n_dims / 2; i++) {
        const double limit = fmin(g->frequencies[i] * 2 * units_of_frequency(g, i) * 0x1p-53, 1e-15);
        if (!(fabs(rope->f[i] - g->frequencies[i]) <= limit))
            fail_msg("%s: frequency %d is %.17g, should be %.17g", g->name, i, rope->f[i], g->frequencies[i]);
    }
    if (!(fabs(rope->attention_factor - g->attention_factor) <= 4e-16 * g->attention_factor))
        fail_msg("%s: attention factor %.17g, should be %.17g", g->name, rope->attention_factor,
                 g->attention_factor);
}

static void turns_as_transformers_does(void **unused)
{
    (void)unused;
    mqa_context *ctx = make_context(MQA_ISA_REFERENCE);
    FILE *f = golden_open();
    golden_case g;
    int cases = 0;
    for (; golden_next(f, &g); cases++) {
        mqa_rope *rope = make_rope(ctx, &g.config);
        comparison single = {0}, twice = {0};
        check_frequencies(&g, rope);
        for (int i = 0; i < g.n_positions; i++) {
            float y[GOLDEN_DIMS];
            memcpy(y, g.x, sizeof y);
            assert_int_equal(mqa_rope_apply(rope, g.turned[i].position, 1, 1, y, 0, 0, NULL), MQA_OK);
            compare(&g, g.turned[i].position, y, g.turned[i].by_float32, 0x1p-24, &single);
            compare(&g, g.turned[i].position, y, g.turned[i].by_float64, 2 * 0x1p-53, &twice);
        }
        print_message("  %-26s f32 %.2f of the tolerance (%d of %d pairs), f64 %.2f\n", g.name, single.worst,
                      single.meaningful, single.all, twice.worst);
        assert_true(single.meaningful > single.all / 3);
        assert_int_equal(twice.meaningful, twice.all);
        mqa_rope_destroy(&rope);
    }
    assert_int_equal(cases, 17);
    fclose(f);
    mqa_context_destroy(&ctx);
}

/* ---- accuracy ---- */

/* docs/numerics.md section 5: the angle is off by less than 5e-16 * position, the table by a rounding more.
 */
static void tables_are_as_accurate_as_said(void **unused)
{
    (void)unused;
    static const double bases[] = {1.5, 100, 1e4, 5e5, 1e6, 1e9};
    static const int dims[] = {2, 20, 64, 256, 1024};
    mqa_context *ctx = make_context(MQA_ISA_REFERENCE);
    float c[MQA_ROPE_MAX_DIMS / 2], s[MQA_ROPE_MAX_DIMS / 2];
    long double worst[41] = {0}, worst_frequency = 0;
    for (size_t k = 0; k < 30; k++) {
        mqa_rope_config config = mqa_rope_config_default();
        config.base = bases[k % 6];
        config.n_dims = dims[k % 5];
        mqa_rope *rope = make_rope(ctx, &config);
        for (int bits = 0; bits <= 40; bits++) {
            const int64_t position =
                ((INT64_C(1) << bits) - (int64_t)(k * 977) % (1 << bits / 2)) * (k % 2 ? -1 : 1);
            mqa_rope_table_at(rope, position, c, s);
            for (int i = 0; i < config.n_dims / 2; i++) {
                const long double f = powl((long double)config.base, -2.0L * i / config.n_dims);
                const long double angle = (long double)position * f;
                worst[bits] = fmaxl(worst[bits], fmaxl(fabsl((long double)c[i] - cosl(angle)),
                                                       fabsl((long double)s[i] - sinl(angle))));
                worst_frequency = fmaxl(worst_frequency, fabsl((long double)rope->f[i] - f));
            }
        }
        mqa_rope_destroy(&rope);
    }
    print_message("  frequencies %.1Le; tables at 2^17 %.2Le, at 2^31 %.2Le, at 2^40 %.2Le\n",
                  worst_frequency, worst[17], worst[31], worst[40]);
    assert_true(worst_frequency < 4e-16L);
    for (int bits = 0; bits <= 40; bits++)
        if (!(worst[bits] <= 3.0e-8L + 5e-16L * (long double)(INT64_C(1) << bits)))
            fail_msg("positions near 2^%d: %Lg", bits, worst[bits]);
    mqa_context_destroy(&ctx);
}

/* ---- hashes ---- */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    return hash;
}

/* The frequencies, and x turned to the golden positions and to the ends of what positions may be. */
static uint64_t hash_of(mqa_context *ctx, const golden_case *g)
{
    mqa_rope *rope = make_rope(ctx, &g->config);
    uint64_t hash = hash_bytes(14695981039346656037u, rope->f, (size_t)rope->n_dims / 2 * sizeof(double));
    for (int i = 0; i < g->n_positions + 2; i++) {
        const int64_t ends[] = {-MQA_ROPE_MAX_POSITION, MQA_ROPE_MAX_POSITION};
        const int64_t position = i < g->n_positions ? g->turned[i].position : ends[i - g->n_positions];
        float y[GOLDEN_DIMS];
        memcpy(y, g->x, sizeof y);
        assert_int_equal(mqa_rope_apply(rope, position, 1, 1, y, 0, 0, NULL), MQA_OK);
        hash = hash_bytes(hash, y, (size_t)g->head_dim * sizeof(float));
    }
    mqa_rope_destroy(&rope);
    return hash;
}

static uint64_t committed_hash(const char *name)
{
    FILE *f = fopen(MQA_TEST_DATA "/rope_hashes.txt", "r");
    assert_non_null(f);
    char line[128], named[64];
    unsigned long long hash, found = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%llx %63[^\n]", &hash, named) == 2 && strcmp(named, name) == 0) found = hash;
    fclose(f);
    return found;
}

static void print_hashes(void)
{
    mqa_context *ctx = make_context(MQA_ISA_REFERENCE);
    FILE *f = golden_open();
    golden_case g;
    while (golden_next(f, &g)) printf("%016llx %s\n", (unsigned long long)hash_of(ctx, &g), g.name);
    fclose(f);
    mqa_context_destroy(&ctx);
}

static void every_instruction_set_gives_the_committed_bits(void **unused)
{
    (void)unused;
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++) {
        if (!mqa_isa_available((mqa_isa)isa)) continue;
        mqa_context *ctx = make_context((mqa_isa)isa);
        FILE *f = golden_open();
        golden_case g;
        while (golden_next(f, &g)) {
            const uint64_t hash = hash_of(ctx, &g), expected = committed_hash(g.name);
            if (hash != expected)
                fail_msg("%s, %s: %016llx, the file says %016llx", mqa_isa_name((mqa_isa)isa), g.name,
                         (unsigned long long)hash, (unsigned long long)expected);
        }
        fclose(f);
        mqa_context_destroy(&ctx);
        print_message("  %s\n", mqa_isa_name((mqa_isa)isa));
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        print_hashes();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_as_transformers_does),
        cmocka_unit_test(tables_are_as_accurate_as_said),
        cmocka_unit_test(every_instruction_set_gives_the_committed_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
