/* Models of random weights: forms of matrices, the row contract, budgets, and files that are wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "contract.h"
#include "scratch_model.h"

#include <math.h>

#include "model/model.h"
#include "model/session.h"

static const rig_options bf16 = {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16};

/* ---- numbers ---- */

static void forms_of_the_same_weights_agree(void **state)
{
    (void)state;
    static const uint32_t types[] = {MQA_GGUF_F32, MQA_GGUF_F16, MQA_GGUF_BF16, MQA_GGUF_Q8_0};
    const synthetic *const models[] = {&small_gemma3, &small_llama};
    enum { N = 150 };
    for (int m = 0; m < 2; m++) {
        int32_t *tokens = random_tokens(N, models[m]->n_vocab, 3);
        float *expected = NULL;
        for (int t = 0; t < 4; t++) {
            synthetic model = *models[m];
            model.type = types[t];
            synthetic_write(&model, path);
            rig r = rig_open(path, (rig_options){0});
            const size_t n = (size_t)N * (size_t)r.info.n_vocab;
            float *logits = rig_logits(&r, tokens, N);
            if (!expected) {
                expected = logits;
                logits = NULL;
            } else if (types[t] != MQA_GGUF_Q8_0) {
                assert_memory_equal(logits, expected, n * sizeof(float));
            } else { /* activations in s8 */
                double error = 0, size = 0;
                for (size_t i = 0; i < n; i++) {
                    error += pow((double)logits[i] - (double)expected[i], 2);
                    size += pow((double)expected[i], 2);
                }
                assert_true(error > 0 && error < 0.05 * 0.05 * size);
            }
            free(logits);
            rig_close(&r);
        }
        free(tokens);
        free(expected);
    }
}

static void row_contract(void **state)
{
    (void)state;
    synthetic_write(&small_gemma3, path);
    assert_row_contract(path, bf16, 600);
    assert_row_contract(path, (rig_options){.k_type = MQA_KV_INT8, .v_type = MQA_KV_F32}, 200);
    synthetic_write(&small_llama, path);
    assert_row_contract(path, bf16, 600);
    synthetic floats = small_gemma3;
    floats.type = MQA_GGUF_F16;
    synthetic_write(&floats, path);
    assert_row_contract(path, bf16, 200);
}

static void portable_is_the_same_on_every_instruction_set(void **state)
{
    (void)state;
    enum { N = 130 };
    synthetic_write(&small_gemma3, path);
    float *expected = NULL;
    int32_t *tokens = random_tokens(N, small_gemma3.n_vocab, 8);
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++) {
        if (!mqa_isa_available((mqa_isa)isa)) continue;
        rig_options o = bf16;
        o.isa = (mqa_isa)isa;
        o.numerics = MQA_NUMERICS_PORTABLE;
        rig r = rig_open(path, o);
        float *logits = rig_logits(&r, tokens, N);
        if (expected)
            assert_memory_equal(logits, expected, (size_t)N * (size_t)r.info.n_vocab * sizeof(float));
        rig_close(&r);
        if (expected)
            free(logits);
        else
            expected = logits;
    }
    free(tokens);
    free(expected);
}

/* Products of floats longer than any head: the attention kernels that make them have no such bound. */
static void wide_matrices_of_floats(void **state)
{
    (void)state;
    enum { N = 5 };
    static const uint32_t types[] = {MQA_GGUF_F32, MQA_GGUF_BF16};
    for (int type = 0; type < 2; type++) {
        synthetic model = small_llama;
        model.type = types[type];
        model.n_ff = 20000;
        synthetic_write(&model, path);
        int32_t *tokens = random_tokens(N, model.n_vocab, 8);
        float *expected = NULL;
        for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON; isa++) {
            if (!mqa_isa_available((mqa_isa)isa)) continue;
            rig r = rig_open(path, (rig_options){.isa = (mqa_isa)isa, .numerics = MQA_NUMERICS_PORTABLE});
            float *logits = rig_logits(&r, tokens, N);
            if (expected)
                assert_memory_equal(logits, expected, (size_t)N * (size_t)r.info.n_vocab * sizeof(float));
            free(expected);
            expected = logits;
            rig_close(&r);
        }
        free(tokens);
        free(expected);
    }
}

static void truncated_and_continued_is_the_same(void **state)
{
    (void)state;
    enum { N = 140, KEEP = 130 };
    synthetic_write(&small_gemma3, path);
    rig_options o = bf16;
    o.chunk = 16;
    rig r = rig_open(path, o);
    const size_t row = (size_t)r.info.n_vocab;
    int32_t *tokens = random_tokens(N, r.info.n_vocab, 1);
    float *expected = rig_logits(&r, tokens, N), *logits = malloc((N - KEEP) * row * sizeof *logits);
    OK(mqa_session_truncate(r.session, 0, KEEP, &err));
    const mqa_eval_item item = {0, tokens + KEEP, N - KEEP, MQA_LOGITS_ALL, logits};
    OK(mqa_session_eval(r.session, &item, 1, NULL, &err));
    assert_memory_equal(logits, expected + KEEP * row, (N - KEEP) * row * sizeof *logits);
    free(tokens);
    free(expected);
    free(logits);
    rig_close(&r);
}

/* int8 and int4 are stored transformed, unless that isn't wanted; the recipe says so. */
static void few_bits_are_transformed(void **state)
{
    (void)state;
    enum { N = 40 };
    synthetic_write(&small_gemma3, path);
    int32_t *tokens = random_tokens(N, small_gemma3.n_vocab, 4);
    for (int type = 0; type < MQA_KV_TYPES; type++) {
        const bool few_bits = type == MQA_KV_INT8 || type == MQA_KV_INT4;
        float *logits[2];
        size_t n = 0;
        for (int plain = 0; plain < 2; plain++) {
            rig r = rig_open(path, (rig_options){.k_type = (mqa_kv_type)type, .kv_plain = plain});
            n = (size_t)N * (size_t)r.info.n_vocab;
            const bool said = strstr(mqa_session_recipe(r.session), "+hadamard/1") != NULL;
            assert_int_equal(said, few_bits && !plain);
            const mqa_cache_config *config = &r.session->kind[MQA_LAYER_WINDOW].config;
            assert_int_equal(config->k_hadamard, few_bits && !plain);
            assert_false(config->v_hadamard); /* f32 */
            logits[plain] = rig_logits(&r, tokens, N);
            rig_close(&r);
        }
        assert_int_equal(memcmp(logits[0], logits[1], n * sizeof(float)) != 0, few_bits);
        free(logits[0]), free(logits[1]);
    }
    free(tokens);
}

/* ---- budgets ---- */

static void a_budget_is_exact_and_all_or_nothing(void **state)
{
    (void)state;
    enum { N = 400, CHUNK = 48 };
    synthetic_write(&small_gemma3, path);
    rig_options o = bf16;
    o.chunk = CHUNK;
    rig r = rig_open(path, o);
    int32_t *tokens = random_tokens(N, r.info.n_vocab, 1);
    const mqa_eval_item item = {.tokens = tokens, .n_tokens = N};
    OK(mqa_session_eval(r.session, &item, 1, NULL, &err));
    const size_t full = mqa_session_kv_bytes(r.session);
    assert_int_equal(mqa_session_kv_bytes_multi_head(r.session), 4 * full);

    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = 1,
                               .n_kv_heads = 1,
                               .head_dim_qk = 32,
                               .head_dim_vo = 32,
                               .k_type = MQA_KV_BF16,
                               .v_type = MQA_KV_BF16,
                               .max_pages = 1};
    size_t expected = mqa_kv_bytes(&config, N, CHUNK);
    config.n_layers = 6;
    config.window = 100;
    expected += mqa_kv_bytes(&config, N, CHUNK);
    assert_int_equal(full, expected);
    rig_close(&r);

    /* The window's ring may have been larger on the way than at the end: find the least budget that works. */
    config.n_layers = 1;
    const size_t page = mqa_cache_page_bytes(&config);
    size_t least = 0;
    for (o.budget = full - page; !least && o.budget < 2 * full; o.budget += page) {
        r = rig_open(path, o);
        mqa_error err = {0};
        const mqa_status status = mqa_session_eval(r.session, &item, 1, NULL, &err);
        if (status == MQA_OK) {
            assert_true(mqa_session_kv_bytes(r.session) == full);
            least = o.budget;
        } else {
            assert_int_equal(status, MQA_ERR_BUDGET);
            assert_non_null(strstr(err.message, "budget"));
            assert_int_equal(mqa_session_kv_bytes(r.session), 0);
            assert_int_equal(mqa_session_length(r.session, 0), 0);
        }
        rig_close(&r);
    }
    assert_true(least >= full && least <= full + 2 * 6 * page);
    free(tokens);
}

/* ---- arguments ---- */

static int stop_at_once = 1;

static void wrong_arguments_change_nothing(void **state)
{
    (void)state;
    synthetic_write(&small_llama, path);
    rig_options o = bf16;
    o.sequences = 2;
    o.context = 64;
    rig r = rig_open(path, o);
    float *logits = calloc((size_t)r.info.n_vocab, sizeof *logits);
    const int32_t good[65] = {1, 2, 3}, bad[] = {1, 300}, negative[] = {-1};
    const struct {
        mqa_eval_item items[2];
        int n;
        mqa_status status;
    } cases[] = {
        {{{2, good, 1, MQA_LOGITS_NONE, NULL}}, 1, MQA_ERR_INVALID_ARGUMENT},
        {{{-1, good, 1, MQA_LOGITS_NONE, NULL}}, 1, MQA_ERR_INVALID_ARGUMENT},
        {{{0, good, 0, MQA_LOGITS_NONE, NULL}}, 1, MQA_ERR_INVALID_ARGUMENT},
        {{{0, NULL, 1, MQA_LOGITS_NONE, NULL}}, 1, MQA_ERR_INVALID_ARGUMENT},
        {{{0, good, 1, MQA_LOGITS_LAST, NULL}}, 1, MQA_ERR_INVALID_ARGUMENT},
        {{{0, good, 1, MQA_LOGITS_NONE, NULL}, {1, bad, 2, MQA_LOGITS_NONE, NULL}},
         2,
         MQA_ERR_INVALID_ARGUMENT},
        {{{0, good, 1, MQA_LOGITS_NONE, NULL}, {1, negative, 1, MQA_LOGITS_NONE, NULL}},
         2,
         MQA_ERR_INVALID_ARGUMENT},
        {{{0, good, 1, MQA_LOGITS_NONE, NULL}, {0, good, 1, MQA_LOGITS_NONE, NULL}},
         2,
         MQA_ERR_INVALID_ARGUMENT},
        {{{0, good, 65, MQA_LOGITS_NONE, NULL}}, 1, MQA_ERR_BUDGET},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mqa_error err = {0};
        assert_int_equal(mqa_session_eval(r.session, cases[i].items, cases[i].n, NULL, &err),
                         cases[i].status);
        assert_true(err.message[0] != 0);
        assert_int_equal(mqa_session_length(r.session, 0), 0);
        assert_int_equal(mqa_session_length(r.session, 1), 0);
        assert_int_equal(mqa_session_kv_bytes(r.session), 0);
    }
    const mqa_eval_item item = {0, good, 3, MQA_LOGITS_LAST, logits};
    assert_int_equal(mqa_session_eval(r.session, &item, 1, &stop_at_once, NULL), MQA_ERR_CANCELLED);
    assert_int_equal(mqa_session_length(r.session, 0), 0);
    free(logits);
    rig_close(&r);
}

/* ---- loading ---- */

static mqa_status load(const synthetic *m, const mqa_model_options *options, mqa_error *error)
{
    synthetic_write(m, path);
    mqa_context *ctx;
    mqa_model *model = NULL;
    OK(mqa_context_create(NULL, &ctx, &err));
    const mqa_status status = mqa_model_load(ctx, path, options, &model, error);
    assert_true((status == MQA_OK) == (model != NULL));
    mqa_model_destroy(&model);
    mqa_context_destroy(&ctx);
    return status;
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    const struct {
        synthetic damage; /* the fields of damage only */
        mqa_status status;
        const char *named;
    } cases[] = {
        {{.skip_key = "block_count"}, MQA_ERR_FORMAT, "gemma3.block_count"},
        {{.skip_key = "attention.layer_norm_rms_epsilon"}, MQA_ERR_FORMAT, "layer_norm_rms_epsilon"},
        {{.change_key = "block_count", .change_to = 0}, MQA_ERR_FORMAT, "gemma3.block_count"},
        {{.change_key = "block_count", .change_to = 8}, MQA_ERR_FORMAT, "blk.7."},
        {{.change_key = "block_count", .change_to = 4000}, MQA_ERR_FORMAT, "gemma3.block_count"},
        {{.change_key = "block_count", .change_to = 6}, MQA_ERR_UNSUPPORTED, "blk.6."},
        {{.change_key = "attention.head_count", .change_to = 0}, MQA_ERR_FORMAT, "attention.head_count"},
        {{.change_key = "attention.head_count_kv", .change_to = 3},
         MQA_ERR_FORMAT,
         "attention.head_count_kv"},
        {{.change_key = "attention.head_count", .change_to = 2}, MQA_ERR_FORMAT, "attn_q"},
        {{.change_key = "attention.key_length", .change_to = 31}, MQA_ERR_UNSUPPORTED, "key_length"},
        {{.change_key = "attention.key_length", .change_to = 0xffffffff}, MQA_ERR_FORMAT, "key_length"},
        {{.change_key = "embedding_length", .change_to = 64}, MQA_ERR_FORMAT, "blk.0.attn_norm.weight"},
        {{.change_key = "embedding_length", .change_to = 0x7fffffff}, MQA_ERR_FORMAT, "embedding_length"},
        {{.change_key = "feed_forward_length", .change_to = 1 << 20}, MQA_ERR_FORMAT, "ffn_gate"},
        {{.change_key = "context_length", .change_to = 0}, MQA_ERR_FORMAT, "context_length"},
        {{.skip_tensor = "token_embd.weight"}, MQA_ERR_FORMAT, "token_embd.weight"},
        {{.skip_tensor = "output_norm.weight"}, MQA_ERR_FORMAT, "output_norm.weight"},
        {{.skip_tensor = "blk.3.ffn_up.weight"}, MQA_ERR_FORMAT, "blk.3.ffn_up.weight"},
        {{.skip_tensor = "blk.0.attn_k_norm.weight"}, MQA_ERR_FORMAT, "blk.0.attn_k_norm.weight"},
        {{.narrow_tensor = "blk.2.ffn_down.weight"}, MQA_ERR_FORMAT, "blk.2.ffn_down.weight"},
        {{.narrow_tensor = "blk.2.post_ffw_norm.weight"}, MQA_ERR_FORMAT, "blk.2.post_ffw_norm.weight"},
        {{.nan_tensor = "blk.1.attn_v.weight"}, MQA_ERR_FORMAT, "blk.1.attn_v.weight"},
        {{.nan_tensor = "blk.1.attn_norm.weight"}, MQA_ERR_FORMAT, "blk.1.attn_norm.weight"},
        {{.extra_tensor = "blk.0.attn_q.bias"}, MQA_ERR_UNSUPPORTED, "blk.0.attn_q.bias"},
        {{.extra_tensor = "rope_freqs.weight"}, MQA_ERR_UNSUPPORTED, "rope_freqs.weight"},
        {{.extra_key = "final_logit_softcapping"}, MQA_ERR_UNSUPPORTED, "final_logit_softcapping"},
    };
    mqa_error err = {0};
    assert_int_equal(load(&small_gemma3, NULL, &err), MQA_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        synthetic m = cases[i].damage;
        const synthetic *s = &small_gemma3;
        m.arch = s->arch, m.type = s->type, m.n_layers = s->n_layers, m.n_embd = s->n_embd, m.n_ff = s->n_ff;
        m.n_heads = s->n_heads, m.n_kv_heads = s->n_kv_heads, m.head_dim = s->head_dim;
        m.n_vocab = s->n_vocab, m.window = s->window;
        const mqa_status status = load(&m, NULL, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].named))
            fail_msg("case %zu (%s): %s: %s", i, cases[i].named, mqa_status_name(status), err.message);
    }
    synthetic other = small_llama;
    other.arch = "mamba";
    assert_int_equal(load(&other, NULL, &err), MQA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "mamba"));
    other.arch = "llama", other.extra_key = "expert_count";
    assert_int_equal(load(&other, NULL, &err), MQA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "llama.expert_count"));
}

/* Pair i turns by base^(-2i / n_dims) / factor a position. */
static void check_rope(const mqa_rope *rope, mqa_rope_style style, int n_dims, double base, double factor)
{
    assert_non_null(rope);
    assert_int_equal(rope->style, style);
    assert_int_equal(rope->n_dims, n_dims);
    assert_int_equal(rope->first_dim, 0);
    for (int i = 0; i < n_dims / 2; i++)
        assert_true(fabs(rope->f[i] * factor * pow(base, 2.0 * i / n_dims) - 1) < 1e-14);
}

static void rope_is_what_the_file_says(void **state)
{
    (void)state;
    synthetic gemma3 = small_gemma3, llama = small_llama;
    gemma3.rope_factor = 8;
    llama.rope_factor = 2.5f;
    llama.rope_dims = 12;
    const synthetic *const models[] = {&gemma3, &llama, &small_llama};
    mqa_context *ctx;
    OK(mqa_context_create(NULL, &ctx, &err));
    mqa_model *model[3];
    for (int i = 0; i < 3; i++) {
        synthetic_write(models[i], path);
        OK(mqa_model_load(ctx, path, NULL, &model[i], &err));
    }
    check_rope(model[0]->rope[MQA_LAYER_GLOBAL], MQA_ROPE_NEOX, 32, 1e6, 8);
    check_rope(model[0]->rope[MQA_LAYER_WINDOW], MQA_ROPE_NEOX, 32, 1e4, 1);
    check_rope(model[1]->rope[MQA_LAYER_GLOBAL], MQA_ROPE_ADJACENT, 12, 1e4, 2.5);
    check_rope(model[2]->rope[MQA_LAYER_GLOBAL], MQA_ROPE_ADJACENT, 16, 1e4, 1);
    assert_null(model[1]->rope[MQA_LAYER_WINDOW]);
    for (int i = 0; i < 3; i++) mqa_model_destroy(&model[i]);
    mqa_context_destroy(&ctx);

    mqa_error err = {0};
    llama.rope_dims = 11;
    assert_int_equal(load(&llama, NULL, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "rope.dimension_count is odd"));
    llama.rope_dims = 0, llama.rope_factor = 1e-4f;
    assert_int_equal(load(&llama, NULL, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "rope.scaling.factor"));
}

static size_t last_done, last_total;
static int progress(void *user, size_t done, size_t total)
{
    assert_true(done >= last_done && done <= total);
    last_done = done;
    last_total = total;
    return user ? done > total / 2 : 0;
}

static void progress_ends_at_the_total_and_can_cancel(void **state)
{
    (void)state;
    mqa_error err = {0};
    mqa_model_options o = {.struct_size = sizeof o, .progress = progress};
    assert_int_equal(load(&small_gemma3, &o, &err), MQA_OK);
    assert_true(last_done == last_total && last_total > 0);
    last_done = 0;
    o.progress_user = &err;
    assert_int_equal(load(&small_gemma3, &o, &err), MQA_ERR_CANCELLED);
    assert_true(last_done < last_total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_the_same_weights_agree),
        cmocka_unit_test(row_contract),
        cmocka_unit_test(portable_is_the_same_on_every_instruction_set),
        cmocka_unit_test(wide_matrices_of_floats),
        cmocka_unit_test(truncated_and_continued_is_the_same),
        cmocka_unit_test(few_bits_are_transformed),
        cmocka_unit_test(a_budget_is_exact_and_all_or_nothing),
        cmocka_unit_test(wrong_arguments_change_nothing),
        cmocka_unit_test(wrong_files_are_named),
        cmocka_unit_test(rope_is_what_the_file_says),
        cmocka_unit_test(progress_ends_at_the_total_and_can_cancel),
    };
    return cmocka_run_group_tests_name("model", tests, setup, teardown);
}
