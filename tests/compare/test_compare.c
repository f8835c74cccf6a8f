/* Comparisons, tiny: what is planned for the cache is what is there, to the byte; what is left out and what
 * is refused. Times are only looked at for being times.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare/inside.h"

#define OK(call)                                                                                             \
    do {                                                                                                     \
        mqa_error err = {0};                                                                                 \
        if ((call) != MQA_OK) fail_msg("%s:%d: %s", __FILE__, __LINE__, err.message);                        \
    } while (0)

static char scratch[64];

static int setup(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/mqa-compare-test-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(scratch); /* which fails where something was left in it */
}

static mqa_compare_options tiny(void)
{
    return (mqa_compare_options){
        .random = {.n_layers = 2,
                   .n_embd = 64,
                   .n_ff = 96,
                   .n_heads = 16,
                   .head_dim = 32,
                   .n_vocab = 50,
                   .context_length = 512,
                   .weights = MQA_GGUF_Q8_0},
        .variants = {MQA_VARIANT_MHA, MQA_VARIANT_GQA8, MQA_VARIANT_GQA4, MQA_VARIANT_MQA, MQA_VARIANT_MLA},
        .n_variants = 5,
        .contexts = {1, 64, 65, 200},
        .n_contexts = 4,
        .batches = {1, 3},
        .n_batches = 2,
        .k_type = MQA_KV_BF16,
        .v_type = MQA_KV_BF16,
        .chunk = 48,
        .rounds = 2,
        .prompts = true,
        .memory = SIZE_MAX,
        .scratch = scratch};
}

static mqa_machine some_machine(void)
{
    mqa_machine machine = *mqa_machine_at(0);
    mqa_machine_assume(&machine);
    return machine;
}

typedef struct rig {
    mqa_context *ctx;
    mqa_compare *compare;
    const mqa_compare_result *result;
} rig;

static rig run(const mqa_compare_options *options)
{
    rig r = {0};
    const mqa_machine machine = some_machine();
    OK(mqa_context_create(NULL, &r.ctx, &err));
    OK(mqa_compare_create(r.ctx, options, &machine, &r.compare, &err));
    OK(mqa_compare_run(r.compare, &err));
    r.result = mqa_compare_result_of(r.compare);
    return r;
}

static void stop(rig *r)
{
    mqa_compare_destroy(&r->compare);
    mqa_context_destroy(&r->ctx);
}

/* K and V in bf16 of 2 layers, pages of 64 tokens; MLA's latent is 128 and its key 16. */
static size_t bytes_of(int design, int64_t context, int batch)
{
    static const size_t values[] = {16 * 64, 8 * 64, 4 * 64, 64, 144};
    return (size_t)batch * (size_t)((context + 63) / 64) * 64 * values[design] * 2 * 2;
}

static void the_cache_is_what_was_planned(void **state)
{
    (void)state;
    const mqa_compare_options options = tiny();
    rig r = run(&options);
    assert_int_equal(r.result->n_designs, 5);
    assert_string_equal(r.result->left_out, "");
    assert_int_equal(r.result->n_cells, 5 * 4 * (2 + 1));
    static const char *const labels[] = {"MHA", "GQA-8", "GQA-4", "MQA", "MLA"};
    for (int i = 0; i < r.result->n_cells; i++) {
        const mqa_compare_cell *c = &r.result->cells[i];
        assert_int_equal(c->design, i % 5);
        assert_string_equal(r.result->designs[c->design].label, labels[c->design]);
        assert_int_equal(c->context, options.contexts[i < 40 ? i / 10 : (i - 40) / 5]);
        assert_int_equal(c->batch, i >= 40 || i / 5 % 2 == 0 ? 1 : 3);
        assert_int_equal(c->prompt, i >= 40);
        assert_int_equal(c->kv_bytes, c->plan_kv_bytes);
        assert_int_equal(c->kv_bytes, bytes_of(c->design, c->context, c->batch));
        assert_true(c->seconds > 0 && c->best > 0 && c->best <= c->seconds && c->runs >= 1);
        assert_true(c->spread >= 0 && c->spread < 1e3);
        assert_true(c->plan_seconds > 0 && c->limit_seconds > 0 && c->limit_seconds < c->plan_seconds);
        assert_false(c->left_out);
    }
    for (int prompts = 0; prompts < 2; prompts++)
        assert_true(r.result->median_error[prompts] >= 0 && r.result->median_error[prompts] < 1e6);
    stop(&r);
}

/* A second time over the grid adds runs; another machine changes plans, and nothing that was measured. */
static void passes_add_up_and_plans_are_made_anew(void **state)
{
    (void)state;
    mqa_compare_options options = tiny();
    options.n_contexts = 2;
    options.n_batches = 1;
    rig r = run(&options);
    mqa_compare_cell first[MQA_VARIANTS * 4];
    const int n = r.result->n_cells;
    assert_true(n > 0 && n <= MQA_VARIANTS * 4);
    memcpy(first, r.result->cells, sizeof *first * (size_t)n);
    int samples[MQA_VARIANTS * 4];
    for (int i = 0; i < n; i++) samples[i] = r.compare->samples[i].n;
    OK(mqa_compare_run(r.compare, &err));
    for (int i = 0; i < n; i++) {
        const mqa_compare_cell *c = &r.result->cells[i];
        assert_true(r.compare->samples[i].n > samples[i]);
        assert_true(c->runs >= first[i].runs || !first[i].calm);
        assert_true(c->plan_seconds == first[i].plan_seconds);
        assert_int_equal(c->kv_bytes, first[i].kv_bytes);
        first[i] = *c;
    }
    mqa_machine slower = some_machine();
    slower.seconds_per_step += 1;
    OK(mqa_compare_plan(r.compare, &slower, &err));
    for (int i = 0; i < n; i++) {
        const mqa_compare_cell *c = &r.result->cells[i];
        assert_true(c->plan_seconds > first[i].plan_seconds + 0.99);
        assert_true(c->seconds == first[i].seconds && c->runs == first[i].runs);
        assert_int_equal(c->plan_kv_bytes, first[i].plan_kv_bytes);
    }
    assert_true(r.result->median_error[0] > 1);
    stop(&r);
}

/* What the planner says of a model's variants is what was made of it. */
static void designs_are_the_planners(void **state)
{
    (void)state;
    mqa_compare_options options = tiny();
    options.n_contexts = options.n_batches = options.rounds = 1;
    options.prompts = false;
    rig r = run(&options);
    const mqa_random_model *m = &options.random;
    const mqa_shape shape = {.layers = m->n_layers,
                             .heads = m->n_heads,
                             .kv_heads = m->n_heads,
                             .head_dim = m->head_dim,
                             .vocab = m->n_vocab,
                             .embd = m->n_embd,
                             .ff = m->n_ff};
    mqa_design base, varied;
    OK(mqa_design_from_shape(&shape, &base, &err));
    for (int i = 0; i < 5; i++) {
        OK(mqa_design_vary(&base, options.variants[i], &varied, &err));
        assert_true(mqa_design_same_attention(&varied, &r.result->designs[i]));
        uint64_t all, active, made;
        OK(mqa_design_parameters(&varied, &all, &active, &err));
        OK(mqa_design_parameters(&r.result->designs[i], &made, &active, &err));
        assert_int_equal(all, made);
        assert_int_equal(made, r.result->info[i].n_params);
        size_t bytes;
        OK(mqa_design_weight_bytes(&r.result->designs[i], MQA_WEIGHTS_AS_IS, &bytes, &err));
        assert_int_equal(bytes, r.result->info[i].weight_bytes);
    }
    assert_true(isnan(r.result->median_error[1]));
    stop(&r);
}

static void what_exceeds_the_memory_is_left_out(void **state)
{
    (void)state;
    mqa_compare_options options = tiny();
    options.memory = 0;
    for (int i = 0; i < 5; i++) options.memory += bytes_of(i, 65, 3);
    rig r = run(&options);
    for (int i = 0; i < r.result->n_cells; i++) {
        const mqa_compare_cell *c = &r.result->cells[i];
        const bool too_much = c->context == 200 && c->batch == 3;
        assert_int_equal(c->left_out, too_much);
        assert_int_equal(c->runs == 0, too_much);
        assert_int_equal(c->plan_kv_bytes, bytes_of(c->design, c->context, c->batch));
    }
    stop(&r);
}

static void variants_that_cannot_be_are_named(void **state)
{
    (void)state;
    mqa_compare_options options = tiny();
    options.random.n_heads = 4; /* GQA-8 can't be, GQA-4 is MHA */
    options.n_contexts = options.n_batches = 1;
    rig r = run(&options);
    assert_int_equal(r.result->n_designs, 3);
    assert_non_null(strstr(r.result->left_out, "GQA-8: 8 KV heads"));
    assert_non_null(strstr(r.result->left_out, "GQA-4: the same"));
    stop(&r);
}

static mqa_status refused(const mqa_compare_options *options, mqa_error *error)
{
    mqa_context *ctx;
    mqa_compare *compare = NULL;
    const mqa_machine machine = some_machine();
    OK(mqa_context_create(NULL, &ctx, &err));
    const mqa_status status = mqa_compare_create(ctx, options, &machine, &compare, error);
    assert_int_equal(status == MQA_OK, compare != NULL);
    mqa_compare_destroy(&compare);
    mqa_context_destroy(&ctx);
    return status;
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    mqa_error err = {0};
    mqa_compare_options o = tiny();
    o.contexts[1] = 1;
    assert_int_equal(refused(&o, &err), MQA_ERR_INVALID_ARGUMENT);
    o = tiny(), o.contexts[3] = (int64_t)1 << 60;
    assert_int_equal(refused(&o, &err), MQA_ERR_INVALID_ARGUMENT);
    o = tiny(), o.batches[0] = 0;
    assert_int_equal(refused(&o, &err), MQA_ERR_INVALID_ARGUMENT);
    o = tiny(), o.n_variants = 0;
    assert_int_equal(refused(&o, &err), MQA_ERR_INVALID_ARGUMENT);
    o = tiny(), o.rounds = 1000;
    assert_int_equal(refused(&o, &err), MQA_ERR_INVALID_ARGUMENT);
    o = tiny(), o.random.n_layers = -1;
    assert_int_equal(refused(&o, &err), MQA_ERR_INVALID_ARGUMENT);
    o = tiny(), o.random.weights = MQA_GGUF_Q6_K;
    assert_int_equal(refused(&o, &err), MQA_ERR_UNSUPPORTED);
    o = tiny(), o.path = "/nonexistent/model.gguf";
    assert_int_equal(refused(&o, &err), MQA_ERR_NOT_FOUND);
    o = tiny(), o.scratch = "/nonexistent";
    assert_int_equal(refused(&o, &err), MQA_ERR_IO);
    assert_non_null(strstr(err.message, "/nonexistent"));
    o = tiny(), o.variants[0] = MQA_VARIANT_WINDOW, o.n_variants = 1;
    assert_int_equal(refused(&o, &err), MQA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "nothing to compare"));
    const int stopped = 1;
    o = tiny(), o.stop = &stopped;
    assert_int_equal(refused(&o, &err), MQA_ERR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_is_what_was_planned),
        cmocka_unit_test(passes_add_up_and_plans_are_made_anew),
        cmocka_unit_test(designs_are_the_planners),
        cmocka_unit_test(what_exceeds_the_memory_is_left_out),
        cmocka_unit_test(variants_that_cannot_be_are_named),
        cmocka_unit_test(wrong_options_are_refused),
    };
    return cmocka_run_group_tests_name("compare", tests, setup, teardown);
}
