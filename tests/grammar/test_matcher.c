/* Matchers against the naive one, masks against trying each token, and the life of matchers: rollback,
 * clones, threads, dropping of states.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <pthread.h>
#include <stdio.h>

#include "grammar/matcher.h"
#include "naive.h"

static mqa_token_index *indexes[2];
static const int32_t n_tokens[2] = {TINY_N, BPE_N};
static const int32_t ends[2] = {TINY_EOS, BPE_END};

static int group_setup(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) indexes[i] = tiny_index(i == 1);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) mqa_token_index_destroy(&indexes[i]);
    return 0;
}

/* A random grammar that isn't refused (left recursion, nothing that satisfies it). */
static mqa_grammar *random_grammar(naive_grammar *g, char *text, size_t size, uint64_t *seed)
{
    for (int tries = 0; tries < 1000; tries++) {
        mqa_grammar *grammar;
        mqa_error err;
        naive_random(g, seed);
        naive_print(g, text, size);
        if (mqa_grammar_parse_gbnf(text, strlen(text), &grammar, &err) == MQA_OK) return grammar;
        const bool recursive = strstr(err.message, "begin with itself");
        if (!recursive && (g->ends[g->bodies[0]] || !strstr(err.message, "can't come to an end")))
            fail_msg("%s\n%s", err.message, text);
    }
    fail_msg("no grammar was taken");
    return NULL;
}

static void same_verdict(const naive_grammar *g, const mqa_matcher *m, const char *grammar, const char *text,
                         size_t n)
{
    const verdict expected = naive_is_sentence(g, text, n)    ? SENTENCE
                             : naive_is_beginning(g, text, n) ? BEGINNING
                                                              : REFUSED;
    const verdict v = judge(m, text, n);
    if (v != expected) fail_msg("%s'%.*s' is %d, not %d", grammar, (int)n, text, v, expected);
}

static void random_grammars_and_texts(void **state)
{
    (void)state;
    uint64_t seed = seed_or(1);
    int n[3] = {0};
    for (unsigned i = 0; i < cases_or(1500); i++) {
        naive_grammar g;
        char grammar_text[4096], text[NAIVE_TEXT_MAX + 1];
        mqa_grammar *grammar = random_grammar(&g, grammar_text, sizeof grammar_text, &seed);
        mqa_matcher *m = matcher_of(grammar, indexes[i % 2]);
        for (int j = 0; j < 60; j++) {
            /* Mostly what can go on, since few random texts get far; sometimes cut inside a character. */
            size_t length = 0;
            for (unsigned k = below(&seed, 8); k > 0; k--) {
                char tried[NAIVE_TEXT_MAX + 1];
                memcpy(tried, text, length);
                const char *c = naive_alphabet[below(&seed, 5)];
                const size_t more = strlen(c);
                memcpy(tried + length, c, more);
                if (below(&seed, 10) && judge(m, tried, length + more) == REFUSED) continue;
                memcpy(text + length, c, more);
                length += more;
            }
            if (length > 0 && below(&seed, 8) == 0) length--;
            same_verdict(&g, m, grammar_text, text, length);
            n[judge(m, text, length)]++;
        }
        mqa_matcher_destroy(&m);
        mqa_grammar_destroy(&grammar);
    }
    for (int v = REFUSED; v <= SENTENCE; v++) assert_true(n[v] > 100);
}

/* Takes random allowed tokens; text has room for NAIVE_TEXT_MAX bytes. */
static void random_walks(void **state)
{
    (void)state;
    uint64_t seed = seed_or(2);
    for (unsigned i = 0; i < cases_or(400); i++) {
        const int which = i % 2;
        naive_grammar g;
        char grammar_text[4096], text[NAIVE_TEXT_MAX + 1];
        size_t n = 0;
        mqa_grammar *grammar = random_grammar(&g, grammar_text, sizeof grammar_text, &seed);
        mqa_matcher *m = matcher_of(grammar, indexes[which]);
        for (int step = 0; step < 12; step++) {
            uint64_t mask[8];
            int32_t choices[TINY_N], n_choices = 0;
            assert_true(mqa_token_index_mask_words(indexes[which]) <= 8);
            expect_mask(m, indexes[which], n_tokens[which], 1, 0);
            if (mqa_matcher_is_complete(m) != naive_is_sentence(&g, text, n) ||
                !naive_is_beginning(&g, text, n))
                fail_msg("%s'%.*s': complete %d, not %d", grammar_text, (int)n, text,
                         mqa_matcher_is_complete(m), naive_is_sentence(&g, text, n));
            assert_int_equal(mqa_matcher_fill_mask(m, mask, NULL), MQA_OK);
            assert_int_equal(allowed(mask, ends[which]), mqa_matcher_is_complete(m));
            for (int32_t id = 0; id < n_tokens[which]; id++)
                if (allowed(mask, id) && !allowed(indexes[which]->ends, id)) choices[n_choices++] = id;
            if (n_choices == 0) { /* then it can't go on, by any byte */
                assert_true(mqa_matcher_is_complete(m));
                break;
            }
            const int32_t id = choices[below(&seed, (unsigned)n_choices)];
            const uint32_t from = indexes[which]->offsets[id], to = indexes[which]->offsets[id + 1];
            if (n + to - from > NAIVE_TEXT_MAX) break;
            memcpy(text + n, indexes[which]->bytes + from, to - from);
            n += to - from;
            assert_int_equal(mqa_matcher_accept(m, id, NULL), MQA_OK);
            /* Negated classes have characters that the naive one doesn't know. */
            for (size_t k = 0; k < n; k++)
                if (!strchr("ab\"\xC3\xA9\xE2\x82\xAC", text[k]) || text[k] == 0) goto next;
            if (naive_is_beginning(&g, text, n)) continue;
            if (strchr(grammar_text, '^')) goto next;
            fail_msg("%s'%.*s' was allowed", grammar_text, (int)n, text);
        }
    next:
        mqa_matcher_destroy(&m);
        mqa_grammar_destroy(&grammar);
    }
}

/* ---- life ---- */

static const char nested[] =
    "root ::= value\n"
    "value ::= \"[\" (value (\",\" value)*)? \"]\" | \"{\" pair? \"}\" | string | [0-9]{1,3}\n"
    "pair ::= string \":\" value\n"
    "string ::= \"\\\"\" ([^\"\\\\] | \"\\\\\" [\"\\\\])* \"\\\"\"\n";

static int32_t random_allowed(const uint64_t *mask, uint64_t *seed)
{
    int32_t chosen = MQA_TOKEN_NONE;
    unsigned n_seen = 0;
    for (int32_t id = 0; id < BPE_N; id++)
        if (allowed(mask, id) && !allowed(indexes[1]->ends, id) && below(seed, ++n_seen) == 0) chosen = id;
    return chosen;
}

/* Goes to and fro; what is allowed at a length of the text is always what it was there before. */
static void rollback_and_dropped_states(void **state)
{
    (void)state;
    enum { LONG = 600, WORDS = 8 };
    static uint64_t seen[LONG + 1][WORDS];
    uint64_t seed = seed_or(3);
    mqa_grammar *grammar = gbnf(nested);
    mqa_matcher *m = matcher_of(grammar, indexes[1]), *other;
    mqa_grammar_destroy(&grammar);
    assert_int_equal(mqa_matcher_clone(m, &other, NULL), MQA_OK);
    assert_int_equal(mqa_matcher_rollback(m, 1, NULL), MQA_ERR_INVALID_ARGUMENT);
    size_t n = 0, kept = 0;
    assert_int_equal(mqa_matcher_fill_mask(m, seen[0], NULL), MQA_OK);
    for (int i = 0; i < 6000; i++) {
        uint64_t mask[WORDS] = {0};
        if (n == LONG || below(&seed, 8) == 0) {
            const size_t back = below(&seed, kept < 40 ? (unsigned)kept + 1 : 40);
            assert_int_equal(mqa_matcher_rollback(m, kept + 1, NULL), MQA_ERR_INVALID_ARGUMENT);
            assert_int_equal(mqa_matcher_rollback(m, back, NULL), MQA_OK);
            n -= back, kept -= back;
            assert_int_equal(mqa_matcher_fill_mask(m, mask, NULL), MQA_OK);
            assert_memory_equal(mask, seen[n], sizeof mask);
        } else {
            const int32_t id = random_allowed(seen[n], &seed);
            if (id == MQA_TOKEN_NONE || n == LONG) { /* complete, and nothing more may come */
                assert_true(mqa_matcher_is_complete(m));
                assert_int_equal(mqa_matcher_rollback(m, kept, NULL), MQA_OK);
                n -= kept, kept = 0;
                continue;
            }
            assert_int_equal(mqa_matcher_accept(m, id, NULL), MQA_OK);
            if (kept < MQA_MATCHER_ROLLBACK) kept++;
            assert_int_equal(mqa_matcher_fill_mask(m, seen[++n], NULL), MQA_OK);
        }
        if (below(&seed, 50) == 0) { /* as when room runs out */
            const size_t before = m->automaton->states.n;
            assert_int_equal(mqa_automaton_collect(m->automaton, NULL), MQA_OK);
            assert_true(m->automaton->states.n <= before);
            assert_true(m->automaton->states.n <= kept + 4);
            assert_int_equal(mqa_matcher_fill_mask(m, mask, NULL), MQA_OK);
            assert_memory_equal(mask, seen[n], sizeof mask);
            if (below(&seed, 4) == 0) { /* the clone hasn't moved */
                assert_int_equal(mqa_matcher_fill_mask(other, mask, NULL), MQA_OK);
                assert_memory_equal(mask, seen[0], sizeof mask);
            }
        }
    }
    mqa_matcher_destroy(&m);
    mqa_matcher_destroy(&other);
}

static void ends_and_wrong_calls(void **state)
{
    (void)state;
    mqa_grammar *grammar = gbnf("root ::= \"ab\"");
    mqa_matcher *m = matcher_of(grammar, indexes[0]), *none = NULL;
    mqa_error err;
    uint64_t mask[8];
    assert_int_equal(mqa_matcher_accept(m, TINY_EOS, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_accept(m, TINY_BC, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "'bc'"));
    assert_int_equal(mqa_matcher_accept(m, TINY_ABC, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_accept(m, TINY_BOS, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_accept(m, -1, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_accept(m, TINY_N, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_accept(m, TINY_AB, &err), MQA_OK);
    assert_true(mqa_matcher_is_complete(m) && !mqa_matcher_has_ended(m));
    assert_int_equal(mqa_matcher_accept(m, TINY_EOS, &err), MQA_OK);
    assert_true(mqa_matcher_is_complete(m) && mqa_matcher_has_ended(m));
    assert_int_equal(mqa_matcher_fill_mask(m, mask, &err), MQA_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(mask[i], 0);
    assert_int_equal(mqa_matcher_accept(m, TINY_EOS, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_accept_bytes(m, "", 0, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_rollback(m, 1, &err), MQA_OK);
    assert_int_equal(mqa_matcher_fill_mask(m, mask, &err), MQA_OK);
    /* eos and the turn's end, nothing else */
    for (int32_t id = 0; id < TINY_N; id++)
        assert_int_equal(allowed(mask, id), id == TINY_EOS || id == TINY_TURN);
    assert_int_equal(mqa_matcher_rollback(m, 1, &err), MQA_OK);
    assert_false(mqa_matcher_is_complete(m));
    assert_int_equal(mqa_matcher_accept_bytes(m, "a", 1, &err), MQA_OK);
    assert_int_equal(mqa_matcher_accept(m, TINY_B, &err), MQA_OK);
    assert_int_equal(mqa_matcher_rollback(m, 2, &err), MQA_OK);

    assert_int_equal(mqa_matcher_create(NULL, indexes[0], &none, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_create(grammar, NULL, &none, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_clone(NULL, &none, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_matcher_fill_mask(m, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_token_index_create(NULL, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
    mqa_matcher_destroy(&none);
    mqa_matcher_destroy(&m);
    mqa_grammar_destroy(&grammar);
}

/* However a text may be read, the work is bounded: an answer or MQA_ERR_BUDGET, which changes nothing. */
static void ambiguous_and_deep(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *text;
        size_t n_before, n_after; /* so often is the text accepted, at least and at most */
    } cases[] = {
        {"root ::= \"a\" root root | \"a\"", "aaaaaaaa", 100, 5000},
        {"root ::= (\"a\"? \"a\"? \"a\"?)*", "aaaaaaaa", 2000, 2000},
        {"root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\"", "aaaaaaaa", 120, 128},
        {"root ::= x\nx ::= [ab] x [ab] | [ab] x [cd] | \"a\" x | \"\"", "abababab", 50, 5000},
        {"root ::= \"a\" root | \"\"", "aaaaaaaa", 20000, 20000}, /* right recursion takes no room */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        mqa_grammar *grammar = gbnf(cases[i].grammar);
        mqa_matcher *m = matcher_of(grammar, indexes[1]);
        mqa_grammar_destroy(&grammar);
        mqa_error err = {0};
        size_t n = 0;
        mqa_status status = MQA_OK;
        uint64_t mask[8];
        while (n < cases[i].n_after && status == MQA_OK) {
            status = mqa_matcher_accept_bytes(m, cases[i].text, 8, &err);
            if (status == MQA_OK && n % 100 == 0) status = mqa_matcher_fill_mask(m, mask, &err);
            n += status == MQA_OK;
        }
        if (n < cases[i].n_before ||
            (status != MQA_OK && status != MQA_ERR_BUDGET && status != MQA_ERR_INVALID_ARGUMENT))
            fail_msg("%s: %zu times, then %s", cases[i].grammar, n, err.message);
        mqa_matcher_destroy(&m);
    }
}

typedef struct worker {
    mqa_matcher *matcher;
    uint64_t seed;
    bool failed;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    for (int i = 0; i < 400 && !w->failed; i++) {
        uint64_t mask[8];
        if (mqa_matcher_fill_mask(w->matcher, mask, NULL) != MQA_OK) w->failed = true;
        const int32_t id = random_allowed(mask, &w->seed);
        if (id == MQA_TOKEN_NONE)
            w->failed |= mqa_matcher_rollback(w->matcher, 1, NULL) != MQA_OK;
        else
            w->failed |= mqa_matcher_accept(w->matcher, id, NULL) != MQA_OK;
        if (i % 100 == 99) {
            mqa_matcher *clone;
            w->failed |= mqa_matcher_clone(w->matcher, &clone, NULL) != MQA_OK;
            mqa_matcher_destroy(&w->matcher);
            w->matcher = clone;
        }
    }
    return NULL;
}

static void clones_in_threads(void **state)
{
    (void)state;
    enum { N = 4 };
    mqa_grammar *grammar = gbnf(nested);
    mqa_matcher *first = matcher_of(grammar, indexes[1]);
    worker workers[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        workers[i] = (worker){.seed = (uint64_t)i};
        assert_int_equal(mqa_matcher_clone(first, &workers[i].matcher, NULL), MQA_OK);
    }
    mqa_matcher_destroy(&first);
    mqa_grammar_destroy(&grammar);
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < N; i++) {
        assert_false(workers[i].failed);
        mqa_matcher_destroy(&workers[i].matcher);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_grammars_and_texts),   cmocka_unit_test(random_walks),
        cmocka_unit_test(rollback_and_dropped_states), cmocka_unit_test(ends_and_wrong_calls),
        cmocka_unit_test(ambiguous_and_deep),          cmocka_unit_test(clones_in_threads),
    };
    return cmocka_run_group_tests_name("matcher", tests, group_setup, group_teardown);
}
