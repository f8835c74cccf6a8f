/* The vocabularies of real models: ids against goldens, round trips, speed. Skipped where the files are
 * absent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>
#include <unistd.h>

#include "base/utf8.h"
#include "golden_file.h"
#include "mqa/tokenizer.h"

typedef struct model {
    const char *file, *golden;
    bool byte_level;
} model;

static const model gemma = {"gemma-3-270m-q4_k_m.gguf", "gemma3.ids", false};
static const model smollm = {"SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2.ids", true};

static mqa_tokenizer *load(const model *m)
{
    char path[1024];
    const char *folder = getenv("MQA_MODELS");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : MQA_TEST_MODELS, m->file);
    if (access(path, R_OK) != 0) skip();
    mqa_tokenizer *t;
    mqa_error err;
    if (mqa_tokenizer_load(path, &t, &err) != MQA_OK) fail_msg("%s", err.message);
    return t;
}

static int wrong, n_exact;

static void compare(const mqa_tokenizer *t, const char *text, size_t n, unsigned flags, const char *golden,
                    mqa_tokens *ids)
{
    ids->n = 0;
    assert_int_equal(mqa_tokenizer_encode(t, text, n, flags, ids, NULL), MQA_OK);
    if (golden_same(golden, ids->ids, ids->n)) return;
    wrong++;
    print_error("'%s' (%zu bytes, flags %u): not %s but", text, n, flags, golden);
    for (size_t i = 0; i < ids->n; i++) print_error(" %d", ids->ids[i]);
    print_error("\n");
}

/* Whether every byte of the text has a token: SmolLM2's vocabulary lacks some that occur in rare characters
 * only. */
static bool all_bytes_known(const mqa_tokenizer *t, const char *text, size_t n)
{
    bool known[256] = {false};
    for (int32_t id = 0; id < mqa_tokenizer_n_tokens(t); id++) {
        size_t length;
        const char *piece = mqa_tokenizer_piece(t, id, &length);
        if (length == 1) known[(uint8_t)piece[0]] = true;
    }
    for (size_t i = 0; i < n; i++)
        if (!known[(uint8_t)text[i]]) return false;
    return true;
}

/* Decoding gives the text back, and the stream gives the same as the whole. */
static void check_round_trip(const mqa_tokenizer *t, const model *m, const char *text, size_t n,
                             const mqa_tokens *ids)
{
    mqa_text whole = {0}, piecewise = {0};
    assert_int_equal(mqa_tokenizer_decode(t, ids->ids, ids->n, MQA_DECODE_SPECIAL, &whole, NULL), MQA_OK);
    bool valid = mqa_utf8_valid((const uint8_t *)text, n);
    /* U+2581 and a space are the same to a SentencePiece-style tokenizer. */
    bool exact = m->byte_level ? valid && all_bytes_known(t, text, n) : !memmem(text, n, "\xE2\x96\x81", 3);
    if (exact) {
        n_exact++;
        assert_int_equal(whole.n, n);
        assert_memory_equal(whole.bytes, text, n);
    }
    mqa_detokenizer *d;
    assert_int_equal(mqa_detokenizer_create(t, MQA_DECODE_SPECIAL, &d, NULL), MQA_OK);
    for (size_t i = 0; i < ids->n; i++) {
        assert_int_equal(mqa_detokenizer_push(d, ids->ids[i], &piecewise, NULL), MQA_OK);
        assert_true(mqa_utf8_valid((const uint8_t *)piecewise.bytes, piecewise.n));
        if (valid) assert_memory_equal(piecewise.bytes, whole.bytes, piecewise.n);
    }
    assert_int_equal(mqa_detokenizer_finish(d, &piecewise, NULL), MQA_OK);
    assert_true(mqa_utf8_valid((const uint8_t *)piecewise.bytes, piecewise.n));
    if (mqa_utf8_valid((const uint8_t *)whole.bytes, whole.n))
        assert_string_equal(piecewise.bytes, whole.bytes);
    mqa_detokenizer_destroy(&d);
    mqa_text_free(&whole);
    mqa_text_free(&piecewise);
}

static void check_golden(const model *m)
{
    mqa_tokenizer *t = load(m);
    FILE *file = golden_open(m->golden);
    assert_non_null(file);
    golden_line line = {0};
    mqa_tokens ids = {0};
    int n_lines = 0;
    wrong = n_exact = 0;
    for (; golden_next(file, &line); n_lines++) {
        const char *text = line.cells[0];
        size_t n = golden_unhex(line.cells[0]);
        compare(t, text, n, 0, line.cells[1], &ids);
        check_round_trip(t, m, text, n, &ids);
        compare(t, text, n, MQA_ENCODE_PARSE_SPECIAL, line.cells[line.n_cells > 2 ? 2 : 1], &ids);
        check_round_trip(t, m, text, n, &ids);
    }
    assert_int_equal(wrong, 0);
    assert_true(n_lines >= 300 && n_exact >= 2 * 300);
    free(line.buffer);
    mqa_tokens_free(&ids);
    fclose(file);
    mqa_tokenizer_destroy(&t);
}

static void test_gemma(void **state)
{
    (void)state;
    check_golden(&gemma);
}

static void test_smollm(void **state)
{
    (void)state;
    check_golden(&smollm);
}

static int32_t special(const mqa_tokenizer *t, const char *name)
{
    return mqa_tokenizer_find_special(t, name, strlen(name));
}

static void test_gemma_facts(void **state)
{
    (void)state;
    mqa_tokenizer *t = load(&gemma);
    assert_int_equal(mqa_tokenizer_n_tokens(t), 262144);
    assert_int_equal(mqa_tokenizer_bos(t), 2);
    assert_int_equal(mqa_tokenizer_eos(t), 1);
    assert_int_equal(mqa_tokenizer_pad(t), 0);
    assert_int_equal(mqa_tokenizer_unk(t), 3);
    assert_true(mqa_tokenizer_adds_bos(t));
    assert_false(mqa_tokenizer_adds_eos(t));
    int32_t turn = special(t, "<end_of_turn>");
    assert_int_equal(mqa_tokenizer_eot(t), turn);
    assert_true(mqa_tokenizer_is_end(t, turn) && mqa_tokenizer_is_end(t, 1));
    assert_false(mqa_tokenizer_is_end(t, special(t, "</s>"))); /* an HTML tag here */
    assert_int_equal(mqa_tokenizer_chat_form(t, NULL), MQA_CHAT_GEMMA);

    mqa_chat_message message = {"user", "Hi"};
    mqa_tokens ids = {0};
    assert_int_equal(mqa_chat_encode(t, &message, 1, MQA_CHAT_OPEN_REPLY, &ids, NULL), MQA_OK);
    mqa_tokens plain = {0};
    static const char rendered[] = "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n";
    assert_int_equal(mqa_tokenizer_encode(t, rendered, sizeof rendered - 1,
                                          MQA_ENCODE_ADD_SPECIAL | MQA_ENCODE_PARSE_SPECIAL, &plain, NULL),
                     MQA_OK);
    assert_int_equal(ids.n, plain.n);
    assert_memory_equal(ids.ids, plain.ids, ids.n * sizeof *ids.ids);
    assert_int_equal(ids.ids[0], 2);
    assert_int_equal(ids.ids[1], special(t, "<start_of_turn>"));
    mqa_tokens_free(&ids);
    mqa_tokens_free(&plain);
    mqa_tokenizer_destroy(&t);
}

static void test_smollm_facts(void **state)
{
    (void)state;
    mqa_tokenizer *t = load(&smollm);
    assert_int_equal(mqa_tokenizer_n_tokens(t), 49152);
    assert_int_equal(mqa_tokenizer_bos(t), 1);
    assert_int_equal(mqa_tokenizer_eos(t), 2);
    assert_int_equal(mqa_tokenizer_eot(t), 2);
    assert_false(mqa_tokenizer_adds_bos(t));
    assert_true(mqa_tokenizer_is_end(t, 2) && mqa_tokenizer_is_end(t, 0));
    const char *note;
    assert_int_equal(mqa_tokenizer_chat_form(t, &note), MQA_CHAT_CHATML);
    assert_null(note);
    mqa_chat_message message = {"user", "Hi"};
    mqa_text text = {0};
    assert_int_equal(mqa_chat_render(t, &message, 1, MQA_CHAT_OPEN_REPLY, &text, NULL), MQA_OK);
    assert_string_equal(text.bytes,
                        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
                        "Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    mqa_text_free(&text);
    mqa_tokenizer_destroy(&t);
}

static void fill(char *text, size_t n, int what)
{
    static const char *const repeated[] = {"a", " ", "7", "\n", "\xE4\xBD\xA0", "=", "<unused"};
    uint64_t random = 1;
    size_t word = 0, period = what < 7 ? strlen(repeated[what]) : 0;
    for (size_t i = 0; i < n; i++) {
        if (what < 7) {
            text[i] = repeated[what][i % period];
            continue;
        }
        random = random * 6364136223846793005u + 1442695040888963407u;
        text[i] = word == 0 ? ' ' : (char)('a' + (random >> 40) % 26);
        word = word == 0 ? 1 + (random >> 33) % 9 : word - 1;
    }
}

/* A second in a release; builds for finding faults are slower. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&              \
    !defined(__clang__)
#define SECONDS_MAX 1.0
#else
#define SECONDS_MAX 15.0
#endif

static void check_speed(const model *m)
{
    enum { N = 1 << 20 };
    mqa_tokenizer *t = load(m);
    char *text = malloc(N);
    for (int what = 0; what < 8; what++) {
        fill(text, N, what);
        mqa_tokens ids = {0};
        double took = 1e9;
        for (int attempt = 0; attempt < 3 && took > SECONDS_MAX; attempt++) {
            ids.n = 0;
            clock_t start = clock();
            assert_int_equal(mqa_tokenizer_encode(t, text, N, 0, &ids, NULL), MQA_OK);
            took = (double)(clock() - start) / CLOCKS_PER_SEC;
        }
        print_message("%s, text %d of 1 MiB: %.3f s, %zu tokens\n", m->file, what, took, ids.n);
        if (took > SECONDS_MAX) fail_msg("text %d took %.2f s", what, took);
        mqa_tokens_free(&ids);
    }
    free(text);
    mqa_tokenizer_destroy(&t);
}

static void test_gemma_speed(void **state)
{
    (void)state;
    check_speed(&gemma);
}

static void test_smollm_speed(void **state)
{
    (void)state;
    check_speed(&smollm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemma),       cmocka_unit_test(test_smollm),
        cmocka_unit_test(test_gemma_facts), cmocka_unit_test(test_smollm_facts),
        cmocka_unit_test(test_gemma_speed), cmocka_unit_test(test_smollm_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
