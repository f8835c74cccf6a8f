/* At the edges of what can be counted, and wrong: shapes, configs, demands. One line each, and never a
 * wrapped number.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <math.h>

/* ---- shapes ---- */

static mqa_shape good_shape(void)
{
    return (mqa_shape){.layers = 4, .heads = 8, .kv_heads = 2, .embd = 512, .ff = 1024, .vocab = 1000};
}

static void test_shapes(void **unused)
{
    (void)unused;
    static const size_t members[] = {
        offsetof(mqa_shape, layers),         offsetof(mqa_shape, heads),
        offsetof(mqa_shape, kv_heads),       offsetof(mqa_shape, head_dim),
        offsetof(mqa_shape, head_dim_v),     offsetof(mqa_shape, vocab),
        offsetof(mqa_shape, embd),           offsetof(mqa_shape, ff),
        offsetof(mqa_shape, latent_rank),    offsetof(mqa_shape, rope_dims),
        offsetof(mqa_shape, query_rank),     offsetof(mqa_shape, experts),
        offsetof(mqa_shape, experts_used),   offsetof(mqa_shape, shared_experts),
        offsetof(mqa_shape, expert_ff),      offsetof(mqa_shape, dense_layers),
        offsetof(mqa_shape, window),         offsetof(mqa_shape, sinks),
        offsetof(mqa_shape, window_pattern), offsetof(mqa_shape, context_length)};
    static const int64_t values[] = {-1, INT64_MIN, INT64_MAX, (int64_t)1 << 53};
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            mqa_shape shape = good_shape();
            mqa_design design;
            mqa_error err = {.message = ""};
            *(int64_t *)(void *)((char *)&shape + members[m]) = values[v];
            assert_int_equal(mqa_design_from_shape(&shape, &design, &err), MQA_ERR_INVALID_ARGUMENT);
            assert_non_null(strstr(err.message, "shape: "));
        }
}

static void test_impossible_shapes(void **unused)
{
    (void)unused;
    const mqa_shape shapes[] = {
        {0},
        {.layers = 4},
        {.heads = 4, .embd = 64},
        {.layers = 4, .heads = 4},                            /* no width */
        {.layers = 4, .heads = 6, .kv_heads = 4, .embd = 64}, /* 6 is no multiple of 4 */
        {.layers = 4, .heads = 2, .kv_heads = 4, .embd = 64},
        {.layers = 4, .heads = 200, .embd = 64},           /* heads of nothing */
        {.layers = 4, .heads = 1, .embd = 4096},           /* a head of more than a cache holds */
        {.layers = 4, .heads = 4, .embd = 64, .sinks = 4}, /* sinks without a window */
        {.layers = 4, .heads = 4, .embd = 64, .latent_rank = 1024, .rope_dims = 1},
        {.layers = 4, .heads = 4, .embd = 64, .latent_rank = 64, .window = 64},
        {.layers = 4, .heads = 4, .embd = 64, .experts = 8},
        {.layers = 4, .heads = 4, .embd = 64, .experts = 8, .experts_used = 9},
        {.layers = 4, .heads = 4, .embd = 64, .experts = 8, .experts_used = 2, .dense_layers = 5},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        mqa_design design;
        mqa_error err = {.message = ""};
        if (mqa_design_from_shape(&shapes[i], &design, &err) == MQA_OK || !err.message[0])
            fail_msg("shape %zu is a design", i);
    }
}

/* The largest of everything: parameters beyond 64 bits are refused, or counted right. */
static void test_largest(void **unused)
{
    (void)unused;
    mqa_design design;
    mqa_error err;
    mqa_shape shape = {.layers = 4096,
                       .heads = 16384,
                       .head_dim = 1024,
                       .embd = 1 << 24,
                       .ff = 1 << 24,
                       .vocab = 1 << 24,
                       .experts = 16384,
                       .experts_used = 16384};
    assert_int_equal(mqa_design_from_shape(&shape, &design, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "more than 2^63"));
    shape.experts = 65536; /* more matrices than are counted */
    assert_int_equal(mqa_design_from_shape(&shape, &design, &err), MQA_ERR_INVALID_ARGUMENT);
    shape.experts = shape.experts_used = 0;
    shape.layers = 2048;
    assert_ok(mqa_design_from_shape(&shape, &design, why));
    uint64_t all, active;
    assert_ok(mqa_design_parameters(&design, &all, &active, why));
    /* q, k, v and out of 2^48, gate, up and down too, in 2^11 layers; the head; norms. */
    const unsigned __int128 expected =
        ((unsigned __int128)7 << 59) + ((unsigned __int128)1 << 48) + (unsigned __int128)4097 * (1 << 24);
    assert_true((unsigned __int128)all == expected);
    assert_int_equal(mqa_design_weight_bytes(&design, MQA_GGUF_F32, &(size_t){0}, &err),
                     MQA_ERR_INVALID_ARGUMENT); /* 2^63 and more */
}

/* ---- demands ---- */

static mqa_status forecast(const mqa_demand *d, mqa_figures *f, mqa_error *err)
{
    const mqa_design design = design_of("llama-3-8b");
    const mqa_machine machine = machine_of("H200");
    return mqa_forecast(&design, &machine, d, d->contexts[0], f, err);
}

static void test_demands(void **unused)
{
    (void)unused;
    mqa_figures f;
    mqa_error err;
    mqa_demand good, d;
    mqa_demand_default(&good);
#define WRONG(change)                                                                                        \
    do {                                                                                                     \
        d = good;                                                                                            \
        change;                                                                                              \
        err.message[0] = 0;                                                                                  \
        if (forecast(&d, &f, &err) != MQA_ERR_INVALID_ARGUMENT || !err.message[0]) fail_msg("%s", #change);  \
    } while (0)
    WRONG(d.contexts[0] = 0);
    WRONG(d.contexts[0] = -5);
    WRONG(d.contexts[0] = 1000000000000000000);
    WRONG(d.contexts[0] = INT64_MAX);
    WRONG(d.requests = 0);
    WRONG(d.requests = INT64_MAX);
    WRONG(d.shared = 4097);
    WRONG(d.shared = -1);
    WRONG(d.generate = 4097);
    WRONG((d.shared = 4000, d.generate = 97));
    WRONG(d.generate = INT64_MIN);
    WRONG(d.chunk = 0);
    WRONG(d.chunk = 65537);
    WRONG(d.page_tokens = 100);
    WRONG(d.k_type = (mqa_kv_type)MQA_KV_TYPES);
    WRONG(d.v_type = (mqa_kv_type)-1);
    WRONG(d.want_tokens_per_s = NAN);
    WRONG(d.want_prompt_ms = -1);
    WRONG(d.n_tenants = 33);
    WRONG(d.n_tenants = -1);
    WRONG(d.n_tenants = 1); /* of nothing */
#undef WRONG
    d = good;
    d.weights = 4242;
    assert_int_equal(forecast(&d, &f, &err), MQA_ERR_UNSUPPORTED);
}

/* The longest context and the most requests of a large design: refused where 64 bits end, right below. */
static void test_longest(void **unused)
{
    (void)unused;
    mqa_figures f;
    mqa_error err;
    mqa_demand d;
    mqa_demand_default(&d);
    d.contexts[0] = MQA_MAX_CONTEXT;
    assert_ok(forecast(&d, &f, why));
    assert_true(f.kv_bytes == (size_t)MQA_MAX_CONTEXT * 131072);
    assert_true(isfinite(f.prompt_ms) && f.prompt_ms > 0 && isfinite(f.ms_per_token));
    assert_false(f.fits);
    d.requests = MQA_MAX_REQUESTS;
    assert_int_equal(forecast(&d, &f, &err), MQA_ERR_INVALID_ARGUMENT);
    d.contexts[0] = 1;
    assert_ok(forecast(&d, &f, why));
    assert_true(f.kv_bytes == (size_t)MQA_MAX_REQUESTS * 64 * 131072);
    assert_true(f.max_requests > 0 && f.max_requests < MQA_MAX_REQUESTS);
}

/* ---- configs ---- */

static void expect_config(const char *text, mqa_status status, const char *says)
{
    mqa_design design;
    mqa_error err = {.message = ""};
    const mqa_status got = mqa_design_from_config("some/config.json", text, strlen(text), &design, &err);
    if (got != status || !strstr(err.message, says) || strncmp(err.message, "some/config.json: ", 18) != 0 ||
        strchr(err.message, '\n'))
        fail_msg("%s: %s, '%s'", text, mqa_status_name(got), err.message);
}

#define LLAMA(more)                                                                                          \
    "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"vocab_size\": 100, "     \
    "\"intermediate_size\": 128, " more "}"

static void test_configs(void **unused)
{
    (void)unused;
    expect_config("", MQA_ERR_FORMAT, "line 1");
    expect_config("{", MQA_ERR_FORMAT, "line 1");
    expect_config("{\"a\":\n1,}", MQA_ERR_FORMAT, "line 2");
    expect_config("[]", MQA_ERR_FORMAT, "no object");
    expect_config("{}", MQA_ERR_FORMAT, "model_type is missing");
    expect_config("{\"model_type\": 7}", MQA_ERR_FORMAT, "model_type is missing");
    expect_config("{\"model_type\": \"mamba\"}", MQA_ERR_UNSUPPORTED, "model_type 'mamba' isn't known");
    expect_config("{\"model_type\": \"llama\"}", MQA_ERR_FORMAT, "num_hidden_layers is missing");
    expect_config(LLAMA("\"num_hidden_layers\": 0"), MQA_ERR_FORMAT, "num_hidden_layers is 0");
    expect_config(LLAMA("\"num_hidden_layers\": -3"), MQA_ERR_FORMAT, "num_hidden_layers is -3");
    expect_config(LLAMA("\"num_hidden_layers\": 2.5"), MQA_ERR_FORMAT, "no whole number");
    expect_config(LLAMA("\"num_hidden_layers\": \"2\""), MQA_ERR_FORMAT, "no whole number");
    expect_config(LLAMA("\"num_hidden_layers\": 99999999999999999999"), MQA_ERR_FORMAT, "line 1");
    expect_config(LLAMA("\"num_hidden_layers\": NaN"), MQA_ERR_FORMAT, "line 1");
    expect_config(LLAMA("\"num_hidden_layers\": 2, \"num_key_value_heads\": 0"), MQA_ERR_FORMAT,
                  "num_key_value_heads is 0");
    expect_config(LLAMA("\"num_hidden_layers\": 2, \"num_key_value_heads\": 3"), MQA_ERR_INVALID_ARGUMENT,
                  "no multiple");
    expect_config(LLAMA("\"num_hidden_layers\": 2, \"head_dim\": 5000"), MQA_ERR_FORMAT, "head_dim is 5000");
    expect_config(LLAMA("\"num_hidden_layers\": 2, \"tie_word_embeddings\": 1"), MQA_ERR_FORMAT,
                  "neither true nor false");
    expect_config("{\"model_type\": \"gemma3_text\", \"hidden_size\": 64, \"intermediate_size\": 64, "
                  "\"num_hidden_layers\": 3, \"sliding_window\": 512, \"layer_types\": [\"full_attention\"]}",
                  MQA_ERR_FORMAT, "layer_types");
    expect_config(
        "{\"model_type\": \"gemma3_text\", \"hidden_size\": 64, \"intermediate_size\": 64, "
        "\"num_hidden_layers\": 1, \"sliding_window\": 512, \"layer_types\": [\"linear_attention\"]}",
        MQA_ERR_UNSUPPORTED, "linear_attention");
    /* Widths below the heads: heads of no dims. */
    expect_config(
        "{\"model_type\": \"llama\", \"hidden_size\": 2, \"num_attention_heads\": 4, \"vocab_size\": 9, "
        "\"intermediate_size\": 8, \"num_hidden_layers\": 1}",
        MQA_ERR_INVALID_ARGUMENT, "head_dim");
}

static void test_files(void **unused)
{
    (void)unused;
    mqa_design design;
    mqa_error err = {.message = ""};
    assert_int_equal(mqa_design_from_file("/nonexistent", &design, &err), MQA_ERR_NOT_FOUND);
    assert_int_not_equal(mqa_design_from_file("/dev/null", &design, &err), MQA_OK);
    assert_int_not_equal(mqa_design_from_file("/", &design, &err), MQA_OK);
    assert_true(err.message[0] != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),  cmocka_unit_test(test_impossible_shapes),
        cmocka_unit_test(test_largest), cmocka_unit_test(test_demands),
        cmocka_unit_test(test_longest), cmocka_unit_test(test_configs),
        cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
