/* GBNF: what is parsed, what it means, and what is said of what isn't GBNF.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <stdio.h>

static mqa_token_index *bytes_index;

static int group_setup(void **state)
{
    (void)state;
    bytes_index = tiny_index(true);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    mqa_token_index_destroy(&bytes_index);
    return 0;
}

typedef struct meaning {
    const char *grammar;
    const char *sentences[8], *beginnings[8], *refused[8]; /* "" as first: the empty text */
} meaning;

static const meaning meanings[] = {
    {"root ::= \"abc\"", {"abc"}, {"", "a", "ab"}, {"b", "abcd", "abd"}},
    {"root ::= \"\"", {""}, {0}, {"a"}},
    {"root ::= ", {""}, {0}, {"a"}},
    {"root ::= \"a\" |", {"", "a"}, {0}, {"b", "aa"}},
    {"root ::= \"a\" | \"b\" \"c\"", {"a", "bc"}, {"", "b"}, {"c", "ab", "ac"}},
    {"root ::= x y\nx ::= \"a\" | \"b\"\ny::=x x", {"aaa", "bab"}, {"", "a", "ab"}, {"c", "aaaa"}},
    {"root ::= (\"a\" | \"b\")* \"c\"", {"c", "abc", "bbbac"}, {"", "ab"}, {"cc", "d"}},
    {"root ::= \"a\"? \"b\"+", {"b", "ab", "abbb"}, {"", "a"}, {"aab", "ba"}},
    {"root ::= \"ab\"{2}", {"abab"}, {"", "a", "aba"}, {"ababa", "aa"}},
    {"root ::= [ab]{2,}", {"ab", "bbb"}, {"", "a"}, {"c", "abc"}},
    {"root ::= \"a\"{0,2} \"b\"", {"b", "ab", "aab"}, {"", "a", "aa"}, {"aaa"}},
    {"root ::= \"a\"{0}", {""}, {0}, {"a"}},
    {"root ::= (\"a\"{1,2}){2} \"b\"", {"aab", "aaab", "aaaab"}, {"a", "aaaa"}, {"ab", "aaaaa"}},
    {"root ::= (\"a\"?){3} \"b\"", {"b", "ab", "aaab"}, {"", "aaa"}, {"aaaa"}},
    {"root ::= (\"a\"*)* \"b\"", {"b", "aab"}, {"", "a"}, {"bb"}},
    {"root ::= \"a\"*+? \"b\"", {"b", "aab"}, {"", "aaa"}, {"bb"}},
    /* classes, escapes and characters of several bytes */
    {"root ::= [a-c-]", {"a", "b", "c", "-"}, {""}, {"d", "`", "aa"}},
    {"root ::= [^a-y\\n]",
     {"z", "A", "\r", "\xC3\xA9", "\xF0\x9F\x98\x80"},
     {"\xC3", "\xF0\x9F"},
     {"a", "\n", "\x80", "\xC3z"}},
    {"root ::= [\\]\\[\\\\\\\"^]", {"]", "[", "\\", "\"", "^"}, {""}, {"a"}},
    {"root ::= [\\x41\\u00e9\\U0001F600]",
     {"A", "\xC3\xA9", "\xF0\x9F\x98\x80"},
     {"\xC3"},
     {"\xC3\xA8", "B"}},
    {"root ::= [\xC3\xA0-\xC3\xA9]", {"\xC3\xA0", "\xC3\xA9"}, {"\xC3"}, {"\xC3\xAA", "\xC3\x9F", "\xC2"}},
    {"root ::= [\\u07fe-\\u0801]",
     {"\xDF\xBE", "\xDF\xBF", "\xE0\xA0\x80", "\xE0\xA0\x81"},
     {"\xDF", "\xE0\xA0"},
     {"\xDF\xBD", "\xE0\xA0\x82", "\xE0\x9F", "\xE1"}},
    {"root ::= [\\uD7FE-\\uE001]",
     {"\xED\x9F\xBE", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEE\x80\x81"},
     {"\xED\x9F"},
     {"\xED\xA0", "\xEE\x80\x82", "\xED\x9F\xBD"}},
    {"root ::= [\\uFFFF-\\U00010000]",
     {"\xEF\xBF\xBF", "\xF0\x90\x80\x80"},
     {"\xF0\x90\x80"},
     {"\xEF\xBF\xBE", "\xF0\x90\x80\x81", "\xF0\x8F"}},
    {"root ::= .",
     {"a", "\n", "\xC3\xA9", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"},
     {"\xF4\x8F"},
     {"\xF4\x90", "\xC0", "\xFF", "aa", "\xED\xA0", "\x80"}},
    {"root ::= \"\\u00e9\\t\\r\\n\\x7e\\\\\"", {"\xC3\xA9\t\r\n~\\"}, {"\xC3", "\xC3\xA9"}, {"e"}},
    {"root ::= [^\\x00-\\U0010FFFF] | \"a\"", {"a"}, {""}, {"b"}},
    /* comments and lines */
    {"# first\nroot ::= # a comment\n  \"a\" # more\nx ::= \"#\"\n# last", {"a"}, {""}, {"#"}},
    {"root ::= \"a\" |\n  \"b\"\n\n\n", {"a", "b"}, {""}, {"c"}},
    {"root ::= (\n\"a\" # here, too\n |\n \"b\" )\r\nother ::= \"x\"", {"a", "b"}, {""}, {"x"}},
    {"other-one ::= root \"x\"\nroot ::= \"a\"", {"a"}, {""}, {"ax"}},
    /* recursion */
    {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "((("}, {")", "())"}},
    {"root ::= \"a\" root | \"b\"", {"b", "aaab"}, {"", "aaa"}, {"ba"}},
    {"root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"d\"",
     {"d", "adb", "aadcb"},
     {"aa", "aadb"},
     {"aadbbb", "b"}},
    {"root ::= a a \"x\"\na ::= \"b\"?", {"x", "bx", "bbx"}, {"", "bb"}, {"bbb"}},
    {"root ::= a b c\na ::= \"a\"?\nb ::= a a\nc ::= \"c\" | \"\"",
     {"", "aaa", "aac", "c"},
     {0},
     {"aaaa", "ca"}},
    /* what can't end is no way on */
    {"root ::= \"a\" | \"b\" x\nx ::= \"c\" x", {"a"}, {""}, {"b"}},
    {"root ::= \"a\" [^\\x00-\\U0010FFFF] | \"b\"", {"b"}, {""}, {"a"}},
};

static void expect(const mqa_matcher *start, const meaning *m, const char *const texts[8], verdict expected)
{
    static const char *const names[] = {"refused", "a beginning", "a sentence"};
    for (int i = 0; i < 8 && texts[i]; i++) {
        const verdict v = judge(start, texts[i], strlen(texts[i]));
        if (v != expected)
            fail_msg("%s\n'%s' is %s, not %s", m->grammar, texts[i], names[v], names[expected]);
    }
}

static void what_grammars_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(meanings); i++) {
        mqa_grammar *grammar = gbnf(meanings[i].grammar);
        mqa_matcher *m = matcher_of(grammar, bytes_index);
        expect(m, &meanings[i], meanings[i].sentences, SENTENCE);
        expect(m, &meanings[i], meanings[i].beginnings, BEGINNING);
        expect(m, &meanings[i], meanings[i].refused, REFUSED);
        mqa_matcher_destroy(&m);
        mqa_grammar_destroy(&grammar);
    }
}

static const struct {
    const char *grammar;
    mqa_status status;
    const char *message; /* a part of it */
} errors[] = {
    {"", MQA_ERR_FORMAT, "no rule 'root'"},
    {"x ::= \"a\"", MQA_ERR_FORMAT, "no rule 'root'"},
    {"root ::= x", MQA_ERR_FORMAT, "line 1, column 10: rule 'x' is nowhere defined"},
    {"root ::= \"a\"\nx ::= \"b\" |\n\"\xC3\xA9\" y", MQA_ERR_FORMAT,
     "line 3, column 5: rule 'y' is nowhere"},
    {"root ::= \"a\"\nroot ::= \"b\"", MQA_ERR_FORMAT, "line 2, column 1: rule 'root' is defined twice"},
    {"root = \"a\"", MQA_ERR_FORMAT, "line 1, column 6: '::=' is missing"},
    {"root ::= \"a", MQA_ERR_FORMAT, "column 12: a \"literal\" isn't closed"},
    {"root ::= \"a\n\"", MQA_ERR_FORMAT, "column 12: a \"literal\" isn't closed"},
    {"root ::= [a", MQA_ERR_FORMAT, "column 12: a [class] isn't closed"},
    {"root ::= [b-a]", MQA_ERR_FORMAT, "column 11: a range runs backwards"},
    {"root ::= \"\\q\"", MQA_ERR_FORMAT, "column 11: an unknown escape"},
    {"root ::= \"\\x4\"", MQA_ERR_FORMAT, "column 13: an escape lacks"},
    {"root ::= \"\\uD800\"", MQA_ERR_FORMAT, "U+D800 is no character"},
    {"root ::= \"\\U00110000\"", MQA_ERR_FORMAT, "U+110000 is no character"},
    {"root ::= (\"a\"", MQA_ERR_FORMAT, "column 10: ')' is missing"},
    {"root ::= \"a\")", MQA_ERR_FORMAT, "column 13: ')' without"},
    {"root ::= \"a\" %", MQA_ERR_FORMAT, "column 14: this can't stand"},
    {"root ::= \"a\"\n| \"b\"", MQA_ERR_FORMAT, "line 2, column 1: a rule's name is missing"},
    {"root ::= \"a\"{", MQA_ERR_FORMAT, "a number of times is missing"},
    {"root ::= \"a\"{,2}", MQA_ERR_FORMAT, "a number of times is missing"},
    {"root ::= \"a\"{1", MQA_ERR_FORMAT, "'}' is missing"},
    {"root ::= \"a\"{3,2}", MQA_ERR_FORMAT, "at least 3 and at most 2"},
    {"root ::= \"a\"{100001}", MQA_ERR_FORMAT, "above 100000 times"},
    {"root ::= *", MQA_ERR_FORMAT, "this can't stand"},
    {"root ::= <think>", MQA_ERR_FORMAT, "tokens by name"},
    {"root ::= \"\xFF\"", MQA_ERR_FORMAT, "column 11: this isn't UTF-8"},
    /* left recursion: direct, through others, behind what may be empty */
    {"root ::= root \"a\" | \"b\"", MQA_ERR_FORMAT, "rule 'root' can begin with itself"},
    {"root ::= \"x\" a\na ::= b \"x\" | \"y\"\nb ::= a | \"z\"", MQA_ERR_FORMAT, "can begin with itself"},
    {"root ::= \"x\" a\na ::= b a | \"z\"\nb ::= \"y\"?", MQA_ERR_FORMAT, "rule 'a' can begin with itself"},
    {"root ::= (\"\" | root)", MQA_ERR_FORMAT, "rule 'root' can begin with itself"},
    {"root ::= \"a\" root", MQA_ERR_FORMAT, "can't come to an end"},
    {"root ::= [^\\x00-\\U0010FFFF]", MQA_ERR_FORMAT, "can't come to an end"},
};

static void what_errors_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        mqa_grammar *grammar;
        mqa_error err = {0};
        const mqa_status status =
            mqa_grammar_parse_gbnf(errors[i].grammar, strlen(errors[i].grammar), &grammar, &err);
        if (status != errors[i].status || !strstr(err.message, errors[i].message))
            fail_msg("%s\n%s: %s\nexpected: %s", errors[i].grammar, mqa_status_name(status), err.message,
                     errors[i].message);
        assert_null(grammar);
        assert_int_equal(mqa_grammar_parse_gbnf(errors[i].grammar, strlen(errors[i].grammar), &grammar, NULL),
                         status);
    }
}

/* A text of n times part, between head and tail. */
static char *repeated(const char *head, const char *part, size_t n, const char *tail)
{
    const size_t length = strlen(part);
    char *text = malloc(strlen(head) + n * length + strlen(tail) + 1);
    assert_non_null(text);
    char *end = stpcpy(text, head);
    for (size_t i = 0; i < n; i++) end = stpcpy(end, part);
    strcpy(end, tail);
    return text;
}

static void limits_hold(void **state)
{
    (void)state;
    char rules[40 * 40];
    size_t n = 0;
    for (int i = 0; i < 30; i++) n += (size_t)sprintf(rules + n, "r%d ::= (r%d{9}){9}\n", i, i + 1);
    sprintf(rules + n, "r30 ::= \"a\"\nroot ::= r0\n"); /* 3^120 a's: no trouble */
    mqa_grammar *grammar = gbnf(rules);
    mqa_matcher *m = matcher_of(grammar, bytes_index);
    assert_int_equal(judge(m, "aaaaaaaaaaaa", 12), BEGINNING);
    mqa_matcher_destroy(&m);
    mqa_grammar_destroy(&grammar);

    const struct {
        char *text;
        const char *message; /* NULL: fine */
    } large[] = {
        {repeated("root ::= ", "(", 100, "\"a\"))))))))))"), "')' is missing"},
        {repeated("root ::= ", "(", 200, ""), "nested more than 128 deep"},
        {repeated("root ::= \"a\"", "?", 600, ""), "nested more than 512 deep"},
        {repeated("root ::= \"a\"", "{99999}", 5, ""), "too large"},
        {repeated("root ::= ", "[a-z]{1000} ", 200, ""), NULL},
        {repeated("root ::= ", "[a-z]{1000} ", 300, ""), "too large"},
        {repeated("root ::= (", "\"a\"? ", 5000, ")*"), "too much in it can be left out"},
        {repeated("root ::= \"", "a", 1 << 20, "\""), "at most 1048576 are taken"},
        {repeated("root ::= \"", "a", (1 << 20) - 20, "\""), "too large"},
        {repeated("root ::= (", "a|", 100000, "a)\na ::= \"a\""), NULL},
    };
    for (size_t i = 0; i < COUNT(large); i++) {
        mqa_error err = {0};
        const mqa_status status =
            mqa_grammar_parse_gbnf(large[i].text, strlen(large[i].text), &grammar, &err);
        if (large[i].message ? status == MQA_OK || !strstr(err.message, large[i].message) : status != MQA_OK)
            fail_msg("case %zu: %s '%s'", i, mqa_status_name(status), err.message);
        mqa_grammar_destroy(&grammar);
        free(large[i].text);
    }
    assert_int_equal(mqa_grammar_parse_gbnf(NULL, 1, &grammar, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_grammar_parse_gbnf("", 0, NULL, NULL), MQA_ERR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_grammars_mean),
        cmocka_unit_test(what_errors_say),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests_name("gbnf", tests, group_setup, group_teardown);
}
