/* Multi-head latent attention: against transformers' DeepSeek-V2 and V3 (scripts/golden_deepseek2.py), which
 * unfold what we absorb; the row contract; the cache's bytes; files that are wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "contract.h"
#include "scratch_model.h"

#include <math.h>

#include <jansson.h>

#include "model/model.h"
#include "model/session.h"

static const rig_options bf16 = {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16};
static const rig_options f32 = {.k_type = MQA_KV_F32, .v_type = MQA_KV_F32};

/* ---- transformers ---- */

static double worst_difference(const json_t *golden, const float *logits, int n)
{
    double worst = 0;
    assert_int_equal(json_array_size(golden), n);
    for (int i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)logits[i] - json_number_value(json_array_get(golden, (size_t)i))));
    return worst;
}

static void check_case(const json_t *c, double tolerance)
{
    char file[256];
    snprintf(file, sizeof file, "%s/%s", MQA_TEST_DATA, json_string_value(json_object_get(c, "file")));
    const json_t *array = json_object_get(c, "tokens"), *positions = json_object_get(c, "positions");
    const int n = (int)json_array_size(array);
    int32_t *tokens = malloc((size_t)n * sizeof *tokens);
    for (int i = 0; i < n; i++) tokens[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    rig r = rig_open(file, f32);
    float *logits = rig_logits(&r, tokens, n);
    double worst = 0;
    assert_true(json_array_size(positions) > 0);
    for (size_t i = 0; i < json_array_size(positions); i++) {
        const size_t p = (size_t)json_integer_value(json_array_get(positions, i));
        worst = fmax(worst, worst_difference(json_array_get(json_object_get(c, "logits"), i),
                                             logits + p * (size_t)r.info.n_vocab, r.info.n_vocab));
    }
    print_message("%s: worst difference %.2e\n", file, worst);
    assert_true(worst <= tolerance);
    free(tokens);
    free(logits);
    rig_close(&r);
}

static void equals_transformers(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(MQA_TEST_DATA "/deepseek2_logits.json", 0, &error);
    assert_non_null(root);
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 3);
    for (size_t i = 0; i < json_array_size(cases); i++) check_case(json_array_get(cases, i), 3e-5);
    json_decref(root);
}

/* ---- contract and cache ---- */

static void row_contract(void **state)
{
    (void)state;
    synthetic_write(&small_deepseek2, path);
    assert_row_contract(path, bf16, 600);
    assert_row_contract(path, (rig_options){.k_type = MQA_KV_INT8, .v_type = MQA_KV_INT8}, 200);
    synthetic other = small_deepseek2;
    other.type = MQA_GGUF_F16;
    other.q_rank = 0;
    synthetic_write(&other, path);
    assert_row_contract(path, bf16, 200);
    other.type = MQA_GGUF_Q8_0;
    other.unfolded = true;
    synthetic_write(&other, path);
    assert_row_contract(path, bf16, 200);
}

/* More rows in a step than a panel of a head's results holds. */
static void large_chunks_are_the_same(void **state)
{
    (void)state;
    enum { N = 1100 };
    synthetic_write(&small_deepseek2, path);
    float *logits[2];
    int32_t *tokens = random_tokens(N, small_deepseek2.n_vocab, 3);
    for (int i = 0; i < 2; i++) {
        rig_options o = bf16;
        o.chunk = i ? 2048 : 100;
        rig r = rig_open(path, o);
        logits[i] = rig_logits(&r, tokens, N);
        rig_close(&r);
    }
    assert_memory_equal(logits[0], logits[1], (size_t)N * (size_t)small_deepseek2.n_vocab * sizeof(float));
    free(tokens);
    free(logits[0]), free(logits[1]);
}

static void the_cache_holds_the_latent_alone(void **state)
{
    (void)state;
    enum { N = 200, CHUNK = 64 };
    synthetic_write(&small_deepseek2, path);
    rig_options o = bf16;
    o.chunk = CHUNK;
    rig r = rig_open(path, o);
    assert_int_equal(r.info.n_kv_heads, 1);
    assert_int_equal(r.info.head_dim, 112);
    assert_int_equal(r.info.head_dim_v, 96);
    assert_int_equal(r.info.kv_lora_rank, 96);
    int32_t *tokens = random_tokens(N, r.info.n_vocab, 1);
    const mqa_eval_item item = {.tokens = tokens, .n_tokens = N};
    OK(mqa_session_eval(r.session, &item, 1, NULL, &err));
    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = 3,
                               .n_kv_heads = 1,
                               .head_dim_qk = 112,
                               .head_dim_vo = 96,
                               .v_in_k = true,
                               .k_type = MQA_KV_BF16,
                               .v_type = MQA_KV_BF16,
                               .max_pages = 1};
    assert_int_equal(mqa_session_kv_bytes(r.session), mqa_kv_bytes(&config, N, CHUNK));
    config.v_in_k = false;
    config.n_kv_heads = 4;
    config.head_dim_qk = 48;
    config.head_dim_vo = 40;
    assert_int_equal(mqa_session_kv_bytes_multi_head(r.session), mqa_kv_bytes(&config, N, CHUNK));
    free(tokens);
    rig_close(&r);
}

/* ---- files ---- */

static mqa_status load(const synthetic *m, mqa_error *error)
{
    synthetic_write(m, path);
    mqa_context *ctx;
    mqa_model *model = NULL;
    OK(mqa_context_create(NULL, &ctx, &err));
    const mqa_status status = mqa_model_load(ctx, path, NULL, &model, error);
    assert_true((status == MQA_OK) == (model != NULL));
    mqa_model_destroy(&model);
    mqa_context_destroy(&ctx);
    return status;
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    const struct {
        const char *skip_key, *skip_tensor, *change_key;
        uint32_t change_to;
        const char *narrow_tensor, *nan_tensor, *extra_key;
        mqa_status status;
        const char *named;
    } cases[] = {
        {.skip_key = "attention.kv_lora_rank", .status = MQA_ERR_FORMAT, .named = "kv_lora_rank"},
        {.skip_key = "rope.dimension_count", .status = MQA_ERR_FORMAT, .named = "rope.dimension_count"},
        {.skip_key = "attention.value_length_mla", .status = MQA_ERR_FORMAT, .named = "value_length_mla"},
        {.skip_key = "attention.key_length_mla", .status = MQA_ERR_FORMAT, .named = "head_count_kv"},
        {.change_key = "attention.head_count_kv", .change_to = 4, .status = MQA_ERR_FORMAT, .named = "kv"},
        {.change_key = "attention.kv_lora_rank",
         .change_to = 0,
         .status = MQA_ERR_FORMAT,
         .named = "kv_lora"},
        {.change_key = "attention.kv_lora_rank",
         .change_to = 0xffffffff,
         .status = MQA_ERR_FORMAT,
         .named = "kv_lora"},
        {.change_key = "attention.kv_lora_rank",
         .change_to = 64,
         .status = MQA_ERR_FORMAT,
         .named = "kv_lora"},
        {.change_key = "attention.q_lora_rank",
         .change_to = 32,
         .status = MQA_ERR_FORMAT,
         .named = "attn_q_a"},
        {.change_key = "attention.q_lora_rank", .change_to = 0, .status = MQA_ERR_FORMAT, .named = "attn_q"},
        {.change_key = "attention.key_length",
         .change_to = 48,
         .status = MQA_ERR_FORMAT,
         .named = "key_length"},
        {.change_key = "attention.value_length", .change_to = 40, .status = MQA_ERR_FORMAT, .named = "value"},
        {.change_key = "attention.key_length_mla",
         .change_to = 16,
         .status = MQA_ERR_FORMAT,
         .named = "below"},
        {.change_key = "attention.key_length_mla",
         .change_to = 64,
         .status = MQA_ERR_FORMAT,
         .named = "attn_q"},
        {.change_key = "attention.value_length_mla",
         .change_to = 64,
         .status = MQA_ERR_FORMAT,
         .named = "attn_v_b"},
        {.change_key = "rope.dimension_count",
         .change_to = 15,
         .status = MQA_ERR_FORMAT,
         .named = "key_length"},
        {.change_key = "rope.dimension_count", .change_to = 2000, .status = MQA_ERR_FORMAT, .named = "rope"},
        {.change_key = "leading_dense_block_count",
         .change_to = 1,
         .status = MQA_ERR_UNSUPPORTED,
         .named = "layers from 1 on have experts"},
        {.skip_key = "leading_dense_block_count", .status = MQA_ERR_UNSUPPORTED, .named = "experts"},
        {.change_key = "attention.head_count", .change_to = 2, .status = MQA_ERR_FORMAT, .named = "attn_q_b"},
        {.skip_tensor = "blk.1.attn_k_b.weight", .status = MQA_ERR_FORMAT, .named = "blk.1.attn_k_b.weight"},
        {.narrow_tensor = "blk.2.attn_v_b.weight",
         .status = MQA_ERR_FORMAT,
         .named = "blk.2.attn_v_b.weight"},
        {.narrow_tensor = "blk.2.attn_kv_a_mqa.weight",
         .status = MQA_ERR_FORMAT,
         .named = "blk.2.attn_kv_a_mqa"},
        {.nan_tensor = "blk.0.attn_k_b.weight", .status = MQA_ERR_FORMAT, .named = "blk.0.attn_k_b.weight"},
        {.nan_tensor = "blk.0.attn_kv_a_norm.weight",
         .status = MQA_ERR_FORMAT,
         .named = "blk.0.attn_kv_a_norm"},
        {.extra_key = "attention.temperature_scale",
         .status = MQA_ERR_UNSUPPORTED,
         .named = "temperature_scale"},
        {.extra_key = "nextn_predict_layers", .status = MQA_ERR_UNSUPPORTED, .named = "nextn_predict_layers"},
    };
    mqa_error err = {0};
    assert_int_equal(load(&small_deepseek2, &err), MQA_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        synthetic m = small_deepseek2;
        m.skip_key = cases[i].skip_key, m.skip_tensor = cases[i].skip_tensor;
        m.change_key = cases[i].change_key, m.change_to = cases[i].change_to;
        m.narrow_tensor = cases[i].narrow_tensor, m.nan_tensor = cases[i].nan_tensor;
        m.extra_key = cases[i].extra_key;
        const mqa_status status = load(&m, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].named))
            fail_msg("case %zu (%s): %s: %s", i, cases[i].named, mqa_status_name(status), err.message);
    }
    synthetic older = small_deepseek2;
    older.unfolded = true;
    assert_int_equal(load(&older, &err), MQA_OK);
    older.nan_tensor = "blk.1.attn_kv_b.weight";
    assert_int_equal(load(&older, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "blk.1.attn_kv_b.weight"));
    older.nan_tensor = NULL, older.narrow_tensor = "blk.1.attn_kv_b.weight";
    assert_int_equal(load(&older, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "blk.1.attn_kv_b.weight"));
}

static size_t last_done, last_total;
static int progress(void *user, size_t done, size_t total)
{
    (void)user;
    assert_true(done >= last_done && done <= total);
    last_done = done;
    last_total = total;
    return 0;
}

/* Padding between heads isn't counted, and both halves of attn_kv_b are. */
static void progress_ends_at_the_total(void **state)
{
    (void)state;
    for (int unfolded = 0; unfolded < 2; unfolded++) {
        synthetic m = small_deepseek2;
        m.unfolded = unfolded;
        synthetic_write(&m, path);
        mqa_context *ctx;
        mqa_model *model;
        const mqa_model_options options = {.struct_size = sizeof options, .progress = progress};
        last_done = 0;
        OK(mqa_context_create(NULL, &ctx, &err));
        OK(mqa_model_load(ctx, path, &options, &model, &err));
        assert_true(last_done == last_total && last_total > 0);
        mqa_model_destroy(&model);
        mqa_context_destroy(&ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_transformers),       cmocka_unit_test(row_contract),
        cmocka_unit_test(large_chunks_are_the_same), cmocka_unit_test(the_cache_holds_the_latent_alone),
        cmocka_unit_test(wrong_files_are_named),     cmocka_unit_test(progress_ends_at_the_total),
    };
    return cmocka_run_group_tests_name("deepseek2", tests, setup, teardown);
}
