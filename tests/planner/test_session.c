/* Forecasts of GGUF models beside sessions that hold them: the tiny model, and both real ones where they are
 * (the folder MQA_MODELS, else models/ in the source).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../model/real.h"
#include "rig.h"

#include <unistd.h>

#include "model/session.h"
#include "mqa/model.h"

typedef struct loaded {
    mqa_context *ctx;
    mqa_model *model;
    mqa_model_info info;
    mqa_design design;
} loaded;

static loaded load(const char *path)
{
    loaded l;
    mqa_context_options options = mqa_context_options_default();
    options.n_threads = 2;
    assert_ok(mqa_context_create(&options, &l.ctx, why));
    assert_ok(mqa_model_load(l.ctx, path, NULL, &l.model, why));
    mqa_model_get_info(l.model, &l.info);
    assert_ok(mqa_design_from_file(path, &l.design, why));
    return l;
}

static void unload(loaded *l)
{
    mqa_model_destroy(&l->model);
    mqa_context_destroy(&l->ctx);
}

static void eval(mqa_session *s, const loaded *l, int sequence, int64_t n)
{
    int32_t *tokens = malloc((size_t)n * sizeof *tokens);
    assert_non_null(tokens);
    for (int64_t i = 0; i < n; i++) tokens[i] = (int32_t)(i * 7919 % l->info.n_vocab);
    const mqa_eval_item item = {
        .sequence = sequence, .tokens = tokens, .n_tokens = n, .want = MQA_LOGITS_NONE};
    assert_ok(mqa_session_eval(s, &item, 1, NULL, why));
    free(tokens);
}

static void compare_session(const loaded *l, mqa_kv_type type, int64_t context, int64_t generate, int chunk)
{
    enum { REQUESTS = 2 };
    const mqa_machine machine = machine_of("AMD Zen 4, 2 cores");
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.requests = REQUESTS;
    demand.generate = generate;
    demand.chunk = chunk;
    demand.k_type = demand.v_type = type;
    mqa_figures f;
    assert_ok(mqa_forecast(&l->design, &machine, &demand, context, &f, why));
    assert_int_equal(f.weights_bytes, l->info.weight_bytes);
    assert_int_equal(f.parameters, l->info.n_params);

    mqa_session_options options = mqa_session_options_default();
    options.context = context;
    options.max_sequences = REQUESTS;
    options.chunk = chunk;
    options.k_type = options.v_type = type;
    mqa_session *s;
    assert_ok(mqa_session_create(l->model, &options, &s, why));
    for (int i = 0; i < REQUESTS; i++) eval(s, l, i, context - generate);
    for (int64_t t = 0; t < generate; t++)
        for (int i = 0; i < REQUESTS; i++) eval(s, l, i, 1);
    assert_int_equal(f.kv_bytes, mqa_session_kv_bytes(s));
    size_t reserved = 0;
    for (int k = 0; k < MQA_LAYER_KINDS; k++)
        reserved += (size_t)s->kind[k].config.max_pages * s->kind[k].page_bytes;
    assert_int_equal(f.kv_peak_bytes, reserved);
    /* The estimate: within a third of the activations that the session takes and the logits of its caller. */
    const size_t work = s->ws.bytes + REQUESTS * (size_t)l->info.n_vocab * sizeof(float);
    if (3 * f.work_bytes < 2 * work || 2 * f.work_bytes > 3 * work)
        fail_msg("%s: %zu bytes of activations estimated, %zu taken", l->info.name, f.work_bytes, work);
    mqa_session_destroy(&s);
}

static void test_tiny(void **unused)
{
    (void)unused;
    loaded l = load(MQA_TEST_TINY);
    for (int type = 0; type < MQA_KV_TYPES; type++) {
        compare_session(&l, (mqa_kv_type)type, 100 + 37 * type, 3, 64 + type);
        compare_session(&l, (mqa_kv_type)type, 64 + type, 0, 512);
    }
    unload(&l);
}

static void test_real(const char *file)
{
    loaded l = load(real_model_path(file));
    compare_session(&l, MQA_KV_BF16, 1100, 2, 128);
    compare_session(&l, MQA_KV_INT8, 700, 0, 200);
    unload(&l);
}

static void test_gemma(void **unused)
{
    (void)unused;
    test_real("gemma-3-270m-q4_k_m.gguf");
}

static void test_smollm(void **unused)
{
    (void)unused;
    test_real("SmolLM2-135M-Instruct.Q4_1.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny), cmocka_unit_test(test_gemma),
                                       cmocka_unit_test(test_smollm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
