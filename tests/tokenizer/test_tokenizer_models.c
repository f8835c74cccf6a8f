/* The vocabularies of real models: ids against goldens, round trips, speed. Skipped where the files are
 * absent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models.h"

#include <string.h>

#include "base/utf8.h"
#include "golden_file.h"

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

/* Bytes that have a token: SmolLM2's vocabulary lacks some that occur in rare characters only. */
static bool known[256];

static void learn_known_bytes(const mqa_tokenizer *t)
{
    memset(known, 0, sizeof known);
    for (int32_t id = 0; id < mqa_tokenizer_n_tokens(t); id++) {
        size_t length;
        const char *piece = mqa_tokenizer_piece(t, id, &length);
        if (length == 1) known[(uint8_t)piece[0]] = true;
    }
}

static bool all_bytes_known(const char *text, size_t n)
{
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
    bool exact = m->byte_level ? valid && all_bytes_known(text, n) : !memmem(text, n, "\xE2\x96\x81", 3);
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
    learn_known_bytes(t);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_smollm),
        cmocka_unit_test(test_gemma_facts),
        cmocka_unit_test(test_smollm_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
