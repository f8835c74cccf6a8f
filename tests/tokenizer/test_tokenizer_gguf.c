/* A tokenizer out of a GGUF file: what its keys mean, and what is said where they are wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "gguf/writer.h"
#include "tiny_vocab.h"

static const char PRE[] = "tokenizer.ggml.";

/* Keys that a case leaves out or spoils. */
typedef struct fault {
    const char *without;
    const char *kind; /* NULL: as it is */
    uint32_t eos;     /* 0: as it is */
    size_t n_scores;  /* 0: as it is */
    const char *mention;
    mqa_status status;
} fault;

static const char *key(const char *name)
{
    static char text[64];
    snprintf(text, sizeof text, "%s%s", PRE, name);
    return text;
}

static void add_strs(mqa_gguf_writer *w, const char *name, const mqa_piece *pieces, size_t n)
{
    mqa_gguf_str *strs = calloc(n, sizeof *strs);
    for (size_t i = 0; i < n; i++) strs[i] = (mqa_gguf_str){pieces[i].bytes, pieces[i].n};
    mqa_gguf_writer_add_strs(w, key(name), strs, n);
    free(strs);
}

static mqa_status load(const mqa_vocab *v, const fault *f, mqa_tokenizer **out, mqa_error *err)
{
    char path[] = "/tmp/mqa-tokenizer-XXXXXX";
    close(mkstemp(path));
    mqa_gguf_writer *w;
    assert_int_equal(mqa_gguf_writer_create(&w, NULL), MQA_OK);
    bool gpt2 = v->kind == MQA_TOKENIZER_GPT2;
#define HAS(name) (!f->without || strcmp(f->without, name) != 0)
    mqa_gguf_writer_add_str(w, "general.architecture", "gemma3");
    if (HAS("model")) mqa_gguf_writer_add_str(w, key("model"), f->kind ? f->kind : gpt2 ? "gpt2" : "llama");
    if (gpt2) mqa_gguf_writer_add_str(w, key("pre"), "smollm");
    if (HAS("tokens")) add_strs(w, "tokens", v->pieces, v->n_tokens);
    if (gpt2 && HAS("merges")) add_strs(w, "merges", v->merges, v->n_merges);
    if (!gpt2)
        mqa_gguf_writer_add_array(w, key("scores"), MQA_GGUF_VALUE_F32, v->scores,
                                  f->n_scores ? f->n_scores : v->n_tokens);
    mqa_gguf_writer_add_array(w, key("token_type"), MQA_GGUF_VALUE_I32, v->types, v->n_tokens);
    mqa_gguf_writer_add_u32(w, key("bos_token_id"), (uint32_t)v->bos);
    mqa_gguf_writer_add_u32(w, key("eos_token_id"), f->eos ? f->eos : (uint32_t)v->eos);
    mqa_gguf_writer_add_bool(w, key("add_eos_token"), true);
    mqa_gguf_writer_add_bool(w, key("add_space_prefix"), false);
    mqa_error written = {0};
    if (mqa_gguf_writer_finish(w, path, &written) != MQA_OK) fail_msg("%s", written.message);
    mqa_gguf_writer_destroy(&w);
    mqa_status status = mqa_tokenizer_load(path, out, err);
    unlink(path);
    return status;
}

static void check_same(mqa_vocab vocab, const char *text)
{
    static const fault none = {0};
    mqa_tokenizer *from_file, *by_hand;
    mqa_error err = {0};
    if (load(&vocab, &none, &from_file, &err) != MQA_OK) fail_msg("%s", err.message);
    vocab.add_eos = true;
    assert_int_equal(mqa_tokenizer_build(&vocab, &by_hand, NULL), MQA_OK);
    mqa_tokens a = {0}, b = {0};
    assert_int_equal(mqa_tokenizer_encode(from_file, text, strlen(text), 3, &a, NULL), MQA_OK);
    assert_int_equal(mqa_tokenizer_encode(by_hand, text, strlen(text), 3, &b, NULL), MQA_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.ids, b.ids, a.n * sizeof *a.ids);
    assert_int_equal(a.ids[a.n - 1], vocab.eos);
    mqa_tokens_free(&a);
    mqa_tokens_free(&b);
    mqa_tokenizer_destroy(&from_file);
    mqa_tokenizer_destroy(&by_hand);
}

static void test_load(void **state)
{
    (void)state;
    check_same(tiny_llama(), "abc<b> a\n\nz<eos>");
    check_same(tiny_gpt2("smollm"), " hello 12<|im_end|>x");
}

static void test_faults(void **state)
{
    (void)state;
    static const fault faults[] = {
        {.without = "model", .mention = "tokenizer.ggml.model", .status = MQA_ERR_NOT_FOUND},
        {.without = "tokens", .mention = "tokenizer.ggml.tokens", .status = MQA_ERR_NOT_FOUND},
        {.kind = "bert", .mention = "'bert'", .status = MQA_ERR_UNSUPPORTED},
        {.kind = "gpt2", .mention = "tokenizer.ggml.merges", .status = MQA_ERR_NOT_FOUND},
        {.eos = TINY_N, .mention = "tokenizer.ggml.eos_token_id", .status = MQA_ERR_FORMAT},
        {.n_scores = TINY_N - 1, .mention = "tokenizer.ggml.scores", .status = MQA_ERR_FORMAT},
    };
    mqa_vocab vocab = tiny_llama();
    for (size_t i = 0; i < COUNT(faults); i++) {
        mqa_tokenizer *t = NULL;
        mqa_error err = {0};
        assert_int_equal(load(&vocab, &faults[i], &t, &err), faults[i].status);
        assert_null(t);
        if (!strstr(err.message, faults[i].mention))
            fail_msg("'%s' is not in '%s'", faults[i].mention, err.message);
    }
    mqa_tokenizer *t = NULL;
    assert_int_equal(mqa_tokenizer_load("/nonexistent.gguf", &t, NULL), MQA_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load), cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
