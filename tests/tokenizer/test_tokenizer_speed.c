/* A mebibyte of each nasty sort through the real vocabularies.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models.h"

#include <string.h>
#include <time.h>

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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gemma_speed),
                                       cmocka_unit_test(test_smollm_speed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
