/* Models that are made: what pooling and repeating heads leaves as it was, and that the runner takes them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare/random_model.h"
#include "compare/variant_model.h"
#include "model/session.h"
#include "mqa/model.h"

#define OK(call)                                                                                             \
    do {                                                                                                     \
        mqa_error err = {0};                                                                                 \
        if ((call) != MQA_OK) fail_msg("%s:%d: %s", __FILE__, __LINE__, err.message);                        \
    } while (0)

enum { N_VOCAB = 40, N_TOKENS = 20 };
static const mqa_random_model small = {.n_layers = 2,
                                       .n_embd = 64,
                                       .n_ff = 96,
                                       .n_heads = 8,
                                       .head_dim = 16,
                                       .n_vocab = N_VOCAB,
                                       .context_length = 128,
                                       .weights = MQA_GGUF_F32};

static char folder[64], base[96], a[96], b[96];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mqa-models-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(base, sizeof base, "%s/base", folder);
    snprintf(a, sizeof a, "%s/a", folder);
    snprintf(b, sizeof b, "%s/b", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(base), (void)unlink(a), (void)unlink(b);
    return rmdir(folder);
}

static void make(const char *from, mqa_variant variant, const char *to)
{
    mqa_gguf *gguf;
    OK(mqa_gguf_open(from, &gguf, &err));
    OK(mqa_variant_model_write(gguf, variant, to, &err));
    mqa_gguf_close(&gguf);
}

/* The logits of some tokens; the caller frees. */
static float *logits_of(const char *path, mqa_model_info *info)
{
    mqa_context *ctx;
    mqa_model *model;
    mqa_session *session;
    int32_t tokens[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = (i * 17 + 3) % N_VOCAB;
    OK(mqa_context_create(NULL, &ctx, &err));
    OK(mqa_model_load(ctx, path, NULL, &model, &err));
    mqa_model_get_info(model, info);
    info->name = info->arch = NULL;
    OK(mqa_session_create(model, NULL, &session, &err));
    float *logits = malloc((size_t)N_TOKENS * N_VOCAB * sizeof *logits);
    const mqa_eval_item item = {0, tokens, N_TOKENS, MQA_LOGITS_ALL, logits};
    OK(mqa_session_eval(session, &item, 1, NULL, &err));
    for (int i = 0; i < N_TOKENS * N_VOCAB; i++) assert_true(isfinite(logits[i]));
    mqa_session_destroy(&session);
    mqa_model_destroy(&model);
    mqa_context_destroy(&ctx);
    return logits;
}

static bool same_logits(const char *x, const char *y)
{
    mqa_model_info info;
    float *p = logits_of(x, &info), *q = logits_of(y, &info);
    const bool same = memcmp(p, q, (size_t)N_TOKENS * N_VOCAB * sizeof *p) == 0;
    free(p), free(q);
    return same;
}

static void every_sharing_is_made(void **state)
{
    (void)state;
    static const uint32_t types[] = {MQA_GGUF_F32, MQA_GGUF_F16, MQA_GGUF_BF16, MQA_GGUF_Q8_0, MQA_GGUF_Q4_0};
    static const struct {
        mqa_variant variant;
        int n_kv_heads, head_dim, kv_lora_rank;
    } made[] = {{MQA_VARIANT_AS_IS, 8, 16, 0},
                {MQA_VARIANT_MHA, 8, 16, 0},
                {MQA_VARIANT_GQA4, 4, 16, 0},
                {MQA_VARIANT_MQA, 1, 16, 0},
                {MQA_VARIANT_MLA, 1, 72, 64}};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        mqa_random_model m = small;
        m.weights = types[t];
        OK(mqa_random_model_write(&m, base, &err));
        for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
            mqa_model_info info;
            make(base, made[i].variant, a);
            free(logits_of(a, &info));
            assert_int_equal(info.n_kv_heads, made[i].n_kv_heads);
            assert_int_equal(info.head_dim, made[i].head_dim);
            assert_int_equal(info.kv_lora_rank, made[i].kv_lora_rank);
            assert_int_equal(info.n_heads, 8);
            assert_int_equal(info.n_embd, 64);
            assert_int_equal(info.n_layers, 2);
        }
    }
}

/* A head that is repeated says what it said; the mean of equal heads is each of them. */
static void repeating_changes_nothing_and_pooling_takes_it_back(void **state)
{
    (void)state;
    for (int quantised = 0; quantised < 2; quantised++) {
        mqa_random_model m = small;
        m.weights = quantised ? MQA_GGUF_Q8_0 : MQA_GGUF_F32;
        OK(mqa_random_model_write(&m, base, &err));
        make(base, MQA_VARIANT_GQA4, a);
        assert_false(same_logits(base, a));
        make(a, MQA_VARIANT_MHA, b);
        assert_true(same_logits(a, b));
        if (quantised) continue; /* pooling rounds anew */
        make(b, MQA_VARIANT_GQA4, base);
        assert_true(same_logits(a, base));
    }
}

static const float *row_of(const mqa_gguf *gguf, const char *name, size_t row)
{
    const mqa_gguf_tensor *t = mqa_gguf_find_tensor(gguf, name);
    assert_non_null(t);
    assert_int_equal(t->type, MQA_GGUF_F32);
    return (const float *)(const void *)t->data + row * t->dims[0];
}

static void pooled_rows_are_means(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.1.attn_k.weight", "blk.1.attn_v.weight"};
    OK(mqa_random_model_write(&small, base, &err));
    make(base, MQA_VARIANT_GQA4, a);
    make(base, MQA_VARIANT_MQA, b);
    mqa_gguf *all, *four, *one;
    OK(mqa_gguf_open(base, &all, &err));
    OK(mqa_gguf_open(a, &four, &err));
    OK(mqa_gguf_open(b, &one, &err));
    for (int n = 0; n < 2; n++)
        for (size_t row = 0; row < 16; row++)
            for (size_t c = 0; c < 64; c++) {
                double sum = 0;
                for (size_t head = 0; head < 8; head++)
                    sum += (double)row_of(all, names[n], head * 16 + row)[c];
                assert_true(fabs((double)row_of(one, names[n], row)[c] - sum / 8) < 1e-7);
                const float *x = row_of(all, names[n], 4 * 16 + row),
                            *y = row_of(all, names[n], 5 * 16 + row);
                assert_true(row_of(four, names[n], 2 * 16 + row)[c] == (x[c] + y[c]) / 2);
            }
    mqa_gguf_close(&all), mqa_gguf_close(&four), mqa_gguf_close(&one);
}

static void what_cannot_be_is_said(void **state)
{
    (void)state;
    mqa_random_model m = small;
    m.n_heads = 6;
    m.head_dim = 300;
    OK(mqa_random_model_write(&m, base, &err));
    mqa_gguf *gguf;
    OK(mqa_gguf_open(base, &gguf, &err));
    (void)unlink(a);
    mqa_error err = {0};
    static const struct {
        mqa_variant variant;
        const char *why;
    } cases[] = {{MQA_VARIANT_GQA8, "8 KV heads can't be made of 6"},
                 {MQA_VARIANT_GQA4, "4 KV heads can't be made of 6"},
                 {MQA_VARIANT_MLA, "heads of 300"},
                 {MQA_VARIANT_WINDOW, "windows"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(mqa_variant_model_write(gguf, cases[i].variant, a, &err), MQA_ERR_UNSUPPORTED);
        if (!strstr(err.message, cases[i].why)) fail_msg("%s", err.message);
        assert_int_equal(access(a, F_OK), -1);
    }
    mqa_gguf_close(&gguf);

    const struct {
        int *field, value;
    } wrong[] = {{&m.n_layers, 0}, {&m.n_embd, 33}, {&m.n_ff, 0},    {&m.n_heads, 1 << 20},
                 {&m.head_dim, 3}, {&m.n_vocab, 1}, {&m.n_embd, -64}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        m = small;
        *wrong[i].field = wrong[i].value;
        assert_int_equal(mqa_random_model_write(&m, a, &err), MQA_ERR_INVALID_ARGUMENT);
    }
    m = small;
    m.n_embd = 65536, m.n_ff = 1 << 20;
    assert_int_equal(mqa_random_model_write(&m, a, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "too many"));
}

/* Made-up K and V: as many pages as computed ones, and the model goes on behind them. */
static void filled_sequences_go_on(void **state)
{
    (void)state;
    OK(mqa_random_model_write(&small, base, &err));
    mqa_context *ctx;
    mqa_model *model;
    mqa_session *s;
    mqa_session_options options = mqa_session_options_default();
    options.context = 1000;
    options.max_sequences = 2;
    OK(mqa_context_create(NULL, &ctx, &err));
    OK(mqa_model_load(ctx, base, NULL, &model, &err));
    OK(mqa_session_create(model, &options, &s, &err));
    OK(mqa_session_fill(s, 1, 700, &err));
    assert_int_equal(mqa_session_length(s, 1), 700);
    assert_int_equal(mqa_session_length(s, 0), 0);
    const mqa_cache_config config = s->kind[MQA_LAYER_GLOBAL].config;
    assert_int_equal(mqa_session_kv_bytes(s), mqa_kv_bytes(&config, 700, 512));
    float logits[N_VOCAB], k[128];
    const int32_t token = 1;
    const mqa_eval_item item = {1, &token, 1, MQA_LOGITS_LAST, logits};
    OK(mqa_session_eval(s, &item, 1, NULL, &err));
    for (int i = 0; i < N_VOCAB; i++) assert_true(isfinite(logits[i]));
    for (int layer = 0; layer < 2; layer++) {
        double sum = 0;
        OK(mqa_sequence_read(s->kind[MQA_LAYER_GLOBAL].sequences[1], layer, 699, 1, k, 128, 16, NULL, 0, 0,
                             &err));
        for (int i = 0; i < 128; i++) sum += fabs((double)k[i]);
        assert_true(sum > 30 && sum < 100); /* even in [-1, 1): about 64 */
    }
    assert_int_equal(mqa_session_fill(s, 1, 300, NULL), MQA_ERR_BUDGET);
    assert_int_equal(mqa_session_fill(s, 2, 1, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_session_length(s, 1), 701);
    mqa_session_destroy(&s);
    mqa_model_destroy(&model);
    mqa_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sharing_is_made),
        cmocka_unit_test(repeating_changes_nothing_and_pooling_takes_it_back),
        cmocka_unit_test(pooled_rows_are_means),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(filled_sequences_go_on),
    };
    return cmocka_run_group_tests_name("compare models", tests, setup, teardown);
}
