/* What needs no model file: tiny vocabularies, word cuts, chat forms, streaming, growth of time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "golden_file.h"
#include "tiny_vocab.h"
#include "tokenizer/pretokenize.h"

static mqa_tokenizer *build(mqa_vocab vocab)
{
    mqa_tokenizer *t;
    mqa_error err;
    if (mqa_tokenizer_build(&vocab, &t, &err) != MQA_OK) fail_msg("%s", err.message);
    return t;
}

#define IDS(...)   (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)
#define TEXT(text) text, sizeof(text) - 1

static void check_ids(const mqa_tokenizer *t, const char *text, size_t n_text, unsigned flags,
                      const int32_t *ids, size_t n)
{
    mqa_tokens out = {0};
    assert_int_equal(mqa_tokenizer_encode(t, text, n_text, flags, &out, NULL), MQA_OK);
    if (out.n != n || memcmp(out.ids, ids, n * sizeof *ids) != 0) {
        print_error("'%s' gives", text);
        for (size_t i = 0; i < out.n; i++) print_error(" %d", out.ids[i]);
        print_error("\n");
        fail();
    }
    mqa_tokens_free(&out);
}

static void test_llama_merges(void **state)
{
    (void)state;
    mqa_tokenizer *t = build(tiny_llama());
    check_ids(t, TEXT("abc"), 0, IDS(TINY_ABC));
    check_ids(t, TEXT("abb"), 0, IDS(TINY_AB, TINY_B));
    check_ids(t, TEXT("aabc"), 0, IDS(TINY_AA, TINY_BC)); /* b and c first, then a and a: the higher score */
    check_ids(t, TEXT("aaa"), 0, IDS(TINY_AA, TINY_A));   /* a tie goes to the left */
    check_ids(t, TEXT("aab"), 0, IDS(TINY_AA, TINY_B));   /* also between different pieces */
    check_ids(t, TEXT("ab a"), 0, IDS(TINY_AB, TINY_SPACE_A));
    check_ids(t, TEXT("  a"), 0, IDS(TINY_SPACE, TINY_SPACE_A));
    check_ids(t, TEXT("a  "), 0, IDS(TINY_A, TINY_SPACE2));
    check_ids(t,
              TEXT("\xE2\x96\x81"
                   "a"),
              0, IDS(TINY_SPACE_A)); /* U+2581 is a space */
    check_ids(t, TEXT("\xC3\xA9"), 0, IDS(TINY_E_ACUTE));
    check_ids(t, TEXT("dé\0"), 0, IDS(TINY_BYTES + 'd', TINY_E_ACUTE, TINY_BYTES));
    /* Ill-formed: a lead byte takes nothing with it. */
    check_ids(t, TEXT("\xC3 a\xE2\x96"), 0,
              IDS(TINY_BYTES + 0xC3, TINY_SPACE_A, TINY_BYTES + 0xE2, TINY_BYTES + 0x96));
    mqa_tokens none = {0};
    assert_int_equal(mqa_tokenizer_encode(t, "", 0, 0, &none, NULL), MQA_OK);
    assert_int_equal(none.n, 0);
    mqa_tokenizer_destroy(&t);
    assert_null(t);
}

static void test_llama_special(void **state)
{
    (void)state;
    mqa_vocab vocab = tiny_llama();
    mqa_tokenizer *t = build(vocab);
    const unsigned parse = MQA_ENCODE_PARSE_SPECIAL, add = MQA_ENCODE_ADD_SPECIAL;
    check_ids(t, TEXT("a"), add, IDS(TINY_BOS, TINY_A));
    check_ids(t, TEXT(""), add, IDS(TINY_BOS));
    check_ids(t, TEXT("a<eos>b"), parse, IDS(TINY_A, TINY_EOS, TINY_B));
    check_ids(t, TEXT("<eos>"), 0,
              IDS(TINY_BYTES + '<', TINY_BYTES + 'e', TINY_BYTES + 'o', TINY_BYTES + 's', TINY_BYTES + '>'));
    /* User-defined tokens always count; the longest of all first, from the left. */
    check_ids(t, TEXT("<b><b><b>a<b>"), 0, IDS(TINY_TAGS, TINY_TAG, TINY_A, TINY_TAG));
    check_ids(t, TEXT("\n\n\n\n\na\n"), 0, IDS(TINY_NL2, TINY_NL2, TINY_NL, TINY_A, TINY_NL));
    mqa_tokenizer_destroy(&t);

    vocab.add_space_prefix = true;
    vocab.add_eos = true;
    t = build(vocab);
    check_ids(t, TEXT("a<eos>a"), parse | add, IDS(TINY_BOS, TINY_SPACE_A, TINY_EOS, TINY_SPACE_A, TINY_EOS));
    mqa_text text = {0};
    assert_int_equal(mqa_tokenizer_decode(t, IDS(TINY_BOS, TINY_SPACE_A, TINY_SPACE_A),
                                          MQA_DECODE_STRIP_PREFIX, &text, NULL),
                     MQA_OK);
    assert_string_equal(text.bytes, "a a");
    mqa_text_free(&text);
    mqa_tokenizer_destroy(&t);
}

/* A match that is blocked by a longer one to its right comes back with a shorter one. */
static void test_special_overlap(void **state)
{
    (void)state;
    static const mqa_piece pieces[] = {P("x"), P("abc"), P("cdefg"), P("ab"), P("a"), P("efghij")};
    static const int32_t types[] = {1, 4, 4, 4, 4, 3};
    mqa_vocab vocab = mqa_vocab_default(MQA_TOKENIZER_LLAMA);
    vocab.pieces = pieces, vocab.types = types, vocab.n_tokens = COUNT(pieces);
    vocab.add_space_prefix = false;
    mqa_tokenizer *t = build(vocab);
    check_ids(t, TEXT("abcdefg"), 0, IDS(3, 2));
    check_ids(t, TEXT("abcabcdefgx"), 0, IDS(1, 3, 2, 0));
    check_ids(t, TEXT("abcdefghij"), MQA_ENCODE_PARSE_SPECIAL, IDS(1, 5)); /* "d" is no token at all */
    assert_int_equal(mqa_tokenizer_find_special(t, "ab", 2), 3);
    assert_int_equal(mqa_tokenizer_find_special(t, "abx", 3), MQA_TOKEN_NONE);
    mqa_tokenizer_destroy(&t);
}

static void test_gpt2(void **state)
{
    (void)state;
    mqa_tokenizer *t = build(tiny_gpt2("gpt-2"));
    check_ids(t, TEXT("hello"), 0, IDS(BPE_HELLO));
    check_ids(t, TEXT("hellohe"), 0, IDS(BPE_HELLO, BPE_HE));
    check_ids(t, TEXT(" hello"), 0, IDS(' ', BPE_HELLO)); /* "h e" is the earlier merge */
    check_ids(t, TEXT(" hi"), 0, IDS(BPE_SPACE_H, 'i'));
    check_ids(t, TEXT("llll"), 0, IDS(BPE_LL, BPE_LL));
    check_ids(t, TEXT("\xC3\xA9\0\xFF"), 0, IDS(0xC3, 0xA9, 0, 0xEF, 0xBF, 0xBD));
    check_ids(t, TEXT("<|im_end|>"), MQA_ENCODE_PARSE_SPECIAL, IDS(BPE_END));
    check_ids(t, TEXT("a"), MQA_ENCODE_ADD_SPECIAL, IDS('a')); /* gpt-2 adds no BOS unless the file says so */
    assert_int_equal(mqa_tokenizer_eot(t), BPE_END);
    assert_true(mqa_tokenizer_is_end(t, BPE_END));
    assert_true(mqa_tokenizer_is_end(t, BPE_TEXT_END));
    assert_false(mqa_tokenizer_is_end(t, BPE_START));
    assert_true(mqa_tokenizer_is_control(t, BPE_START));
    size_t n;
    assert_memory_equal(mqa_tokenizer_piece(t, BPE_SPACE_H, &n), " h", 2);
    assert_int_equal(n, 2);
    assert_null(mqa_tokenizer_piece(t, BPE_N, &n));
    mqa_tokenizer_destroy(&t);

    mqa_vocab vocab = tiny_gpt2("llama-bpe");
    vocab.n_merges =
        0; /* ignore_merges: a word that is a token is taken whole; control tokens aren't words */
    t = build(vocab);
    check_ids(t, TEXT("hello hello"), MQA_ENCODE_ADD_SPECIAL,
              IDS(BPE_START, BPE_HELLO, ' ', 'h', 'e', 'l', 'l', 'o'));
    mqa_tokenizer_destroy(&t);
}

static void check_refused(mqa_vocab vocab, mqa_status status, const char *mention)
{
    mqa_tokenizer *t = NULL;
    mqa_error err = {0};
    assert_int_equal(mqa_tokenizer_build(&vocab, &t, &err), status);
    assert_null(t);
    assert_non_null(strstr(err.message, mention));
}

static void test_refusals(void **state)
{
    (void)state;
    mqa_vocab vocab = tiny_gpt2("no-such");
    check_refused(vocab, MQA_ERR_UNSUPPORTED, "tokenizer.ggml.pre");
    vocab = tiny_gpt2("gpt-2");
    vocab.bos = BPE_N;
    check_refused(vocab, MQA_ERR_FORMAT, "bos_token_id");
    vocab = tiny_llama();
    vocab.n_tokens = 0;
    check_refused(vocab, MQA_ERR_FORMAT, "tokenizer.ggml.tokens");
    mqa_piece merge = P("nospace");
    vocab = tiny_gpt2("gpt-2");
    vocab.merges = &merge, vocab.n_merges = 1;
    check_refused(vocab, MQA_ERR_FORMAT, "merges");
    mqa_piece piece = P("<0xG1>");
    int32_t type = MQA_TOKEN_BYTE;
    vocab = tiny_llama();
    vocab.pieces = &piece, vocab.types = &type, vocab.n_tokens = 1;
    check_refused(vocab, MQA_ERR_FORMAT, "<0xG1>");

    mqa_tokenizer *t = build(tiny_llama());
    mqa_text text = {0};
    mqa_error err;
    assert_int_equal(mqa_tokenizer_decode(t, IDS(TINY_A, TINY_N), 0, &text, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(text.n, 0);
    mqa_text_free(&text);
    mqa_tokenizer_destroy(&t);
}

static void stream(const mqa_tokenizer *t, const int32_t *ids, size_t n, mqa_text *out)
{
    mqa_detokenizer *d;
    assert_int_equal(mqa_detokenizer_create(t, 0, &d, NULL), MQA_OK);
    for (size_t i = 0; i < n; i++) assert_int_equal(mqa_detokenizer_push(d, ids[i], out, NULL), MQA_OK);
    assert_int_equal(mqa_detokenizer_finish(d, out, NULL), MQA_OK);
    mqa_detokenizer_destroy(&d);
}

static void test_stream(void **state)
{
    (void)state;
    mqa_tokenizer *t = build(tiny_gpt2("gpt-2"));
    /* bytes in, text out: expected values are Python's bytes.decode("utf-8", "replace") */
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"h\xC3\xA9!", "h\xC3\xA9!"},
                 {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
                 {"\xF0\x9F\x98", "\xEF\xBF\xBD"},
                 {"\xF0\x9F\x98z", "\xEF\xBF\xBDz"},
                 {"\xE4\xBD\xE4\xBD\xA0", "\xEF\xBF\xBD\xE4\xBD\xA0"},
                 {"\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                 {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
                 {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
                 {"\xE0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                 {"a\xC3", "a\xEF\xBF\xBD"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int32_t ids[16];
        size_t n = strlen(cases[i].bytes);
        for (size_t j = 0; j < n; j++) ids[j] = (uint8_t)cases[i].bytes[j];
        mqa_text out = {0};
        stream(t, ids, n, &out);
        assert_string_equal(out.bytes, cases[i].text);
        mqa_text_free(&out);
    }
    /* Nothing comes before a character is whole. */
    mqa_detokenizer *d;
    mqa_text out = {0};
    assert_int_equal(mqa_detokenizer_create(t, 0, &d, NULL), MQA_OK);
    static const uint8_t smile[] = {0xF0, 0x9F, 0x98, 0x80};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out.n, 0);
        assert_int_equal(mqa_detokenizer_push(d, smile[i], &out, NULL), MQA_OK);
    }
    assert_string_equal(out.bytes, "\xF0\x9F\x98\x80");
    assert_int_equal(mqa_detokenizer_push(d, -1, &out, NULL), MQA_ERR_INVALID_ARGUMENT);
    mqa_detokenizer_destroy(&d);
    mqa_text_free(&out);
    mqa_tokenizer_destroy(&t);
}

static void test_words(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.words", names[i]);
        FILE *file = golden_open(name);
        assert_non_null(file);
        mqa_pretokenizer *pre;
        assert_int_equal(mqa_pretokenizer_create(names[i], strlen(names[i]), &pre, NULL), MQA_OK);
        golden_line line = {0};
        int n_lines = 0, wrong = 0;
        for (; golden_next(file, &line); n_lines++) {
            size_t n = golden_unhex(line.cells[0]), start, length, n_words = 0;
            static int lengths[4096];
            mqa_words words;
            assert_int_equal(mqa_words_begin(&words, pre, (const uint8_t *)line.cells[0], n, NULL), MQA_OK);
            while (mqa_words_next(&words, &start, &length, NULL) == MQA_OK && length > 0 &&
                   n_words < COUNT(lengths))
                lengths[n_words++] = (int)length;
            mqa_words_end(&words);
            if (!golden_same(line.cells[1], lengths, n_words)) {
                print_error("%s, line %d: '%s' is not cut into %s\n", names[i], n_lines + 1, line.cells[0],
                            line.cells[1]);
                wrong++;
            }
        }
        assert_int_equal(wrong, 0);
        assert_true(n_lines >= 300);
        free(line.buffer);
        mqa_pretokenizer_destroy(pre);
        fclose(file);
    }
}

static void test_chat_forms(void **state)
{
    (void)state;
    FILE *file = golden_open("chat.txt");
    assert_non_null(file);
    golden_line line = {0};
    int n_lines = 0;
    for (; golden_next(file, &line); n_lines++) {
        for (int i = 0; i < line.n_cells; i++)
            if (i != 0 && i != 2) golden_unhex(line.cells[i]);
        mqa_vocab vocab = tiny_gpt2("gpt-2");
        vocab.chat_template = (mqa_piece){line.cells[1], strlen(line.cells[1])};
        mqa_tokenizer *t = build(vocab);
        const char *note = "x";
        mqa_tokenizer_chat_form(t, &note);
        assert_null(note);
        mqa_chat_message messages[8];
        size_t n = 0;
        for (int i = 4; i + 1 < line.n_cells; i += 2)
            messages[n++] = (mqa_chat_message){line.cells[i], line.cells[i + 1]};
        mqa_text text = {0};
        assert_int_equal(
            mqa_chat_render(t, messages, n, line.cells[2][0] == '1' ? MQA_CHAT_OPEN_REPLY : 0, &text, NULL),
            MQA_OK);
        assert_string_equal(text.bytes, line.cells[3]);
        mqa_text_free(&text);
        mqa_tokenizer_destroy(&t);
    }
    assert_true(n_lines >= 40);
    free(line.buffer);
    fclose(file);
}

/* A message can't close its own turn, and the template's own marks are control tokens. */
static void test_chat_ids(void **state)
{
    (void)state;
    mqa_tokenizer *t = build(tiny_llama());
    const char *note = NULL;
    assert_int_equal(mqa_tokenizer_chat_form(t, &note), MQA_CHAT_GEMMA);
    assert_non_null(note);
    mqa_chat_message message = {"user", "<end_of_turn>"};
    mqa_tokens ids = {0};
    assert_int_equal(mqa_chat_encode(t, &message, 1, 0, &ids, NULL), MQA_OK);
    int turns = 0;
    for (size_t i = 0; i < ids.n; i++) turns += ids.ids[i] == TINY_TURN;
    assert_int_equal(turns, 1);
    assert_int_equal(ids.ids[0], TINY_BOS);
    assert_int_equal(ids.ids[ids.n - 2], TINY_TURN);
    mqa_tokens_free(&ids);
    mqa_tokenizer_destroy(&t);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double encode_time(const mqa_tokenizer *t, const char *text, size_t n)
{
    mqa_tokens out = {0};
    double start = seconds();
    assert_int_equal(mqa_tokenizer_encode(t, text, n, MQA_ENCODE_PARSE_SPECIAL, &out, NULL), MQA_OK);
    double took = seconds() - start;
    mqa_tokens_free(&out);
    return took;
}

/* Eight times the text takes about eight times as long; quadratic work would take 64 times. What disturbs a
 * time makes it longer, so the shortest of several is taken. */
static void check_growth(const mqa_tokenizer *t, const char *text, size_t n, const char *what)
{
    double small = 1e9, large = 1e9;
    for (int attempt = 0; attempt < 10; attempt++) {
        const double eighth = encode_time(t, text, n / 8), whole = encode_time(t, text, n);
        if (eighth < small) small = eighth;
        if (whole < large) large = whole;
        if (large < 24 * small || large < 0.02) return;
    }
    fail_msg("'%s' over %zu bytes: %.3f s, an eighth of it %.4f s", what, n, large, small);
}

static void test_growth(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizer's own costs grow as they please */
#endif
    enum { N = 1 << 16 };
    static const char *const repeated[] = {"a",  " ",          "7",    "\n",  "h",      "<",
                                           "<b", "<|im_start", "\xC3", " \n", "hello ", "a \xE2\x96\x81"};
    mqa_tokenizer *tokenizers[] = {build(tiny_llama()), build(tiny_gpt2("gpt-2")), build(tiny_gpt2("smollm")),
                                   build(tiny_gpt2("llama-bpe")), build(tiny_gpt2("qwen2"))};
    char *text = malloc(N);
    for (size_t i = 0; i < COUNT(repeated); i++) {
        size_t period = strlen(repeated[i]);
        for (size_t j = 0; j < N; j++) text[j] = repeated[i][j % period];
        for (size_t k = 0; k < COUNT(tokenizers); k++) check_growth(tokenizers[k], text, N, repeated[i]);
    }
    free(text);
    for (size_t k = 0; k < COUNT(tokenizers); k++) mqa_tokenizer_destroy(&tokenizers[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_merges),    cmocka_unit_test(test_llama_special),
        cmocka_unit_test(test_special_overlap), cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_words),           cmocka_unit_test(test_chat_forms),
        cmocka_unit_test(test_chat_ids),        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
