/* JSON, and the formats of strings, in GBNF.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "grammar/gbnf.h"
#include "grammar/json.h"

/* ws: behind { [ , and in front of } ]; sp: behind a colon. */
static const char flexible[] = "ws ::= (\" \" | \"\\n\" (\" \"{0,32} | \"\\t\"{0,8}))?\n"
                               "sp ::= \" \"?\n";
static const char compact_text[] = "ws ::= \"\"\n"
                                   "sp ::= \"\"\n";

static const char prelude[] =
    "root    ::= object\n"
    "value   ::= object | array | string | number | boolean | null\n"
    "object  ::= \"{}\" | \"{\" ws pair (\",\" ws pair)* ws \"}\"\n"
    "pair    ::= string \":\" sp value\n"
    "array   ::= \"[]\" | \"[\" ws value (\",\" ws value)* ws \"]\"\n"
    "string  ::= \"\\\"\" char* \"\\\"\"\n"
    "char    ::= plain | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" code)\n"
    "plain   ::= [^\"\\\\\\x00-\\x1F]\n"
    /* one character: not a surrogate, or two that make one */
    "code    ::= [0-9a-cefA-CEF] hex{3} | [dD] [0-7] hex{2} | [dD] [89abAB] hex{2} \"\\\\u\" [dD] [c-fC-F] "
    "hex{2}\n"
    "hex     ::= [0-9a-fA-F]\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null    ::= \"null\"\n"
    "integer ::= \"0\" | \"-\"? [1-9] [0-9]{0,17}\n"
    "number  ::= \"-\"? (\"0\" | [1-9] [0-9]{0,17}) (\".\" [0-9]{1,18})? ([eE] [-+]? [0-9]{1,2})?\n"
    /* RFC 3339; years from 0001, days as the month has them, no leap seconds */
    "date-time ::= date \"T\" time\n"
    "date  ::= year \"-\" (day31 | day30 | day28) | leap \"-02-29\"\n"
    "year  ::= [0-9]{3} [1-9] | [0-9]{2} [1-9] \"0\" | [0-9] [1-9] \"00\" | [1-9] \"000\"\n"
    "leap  ::= [0-9]{2} leap4 | leap4 \"00\"\n"
    "leap4 ::= \"0\" [48] | [2468] [048] | [13579] [26]\n"
    "day31 ::= (\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01])\n"
    "day30 ::= (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\")\n"
    "day28 ::= \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])\n"
    "time  ::= clock \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? (\"Z\" | [-+] clock)\n"
    "clock ::= ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9]\n"
    /* ISO 8601 as in RFC 3339's appendix A */
    "duration ::= \"P\" (count \"W\" | ((count \"Y\" month? | month | day) (\"T\" part)?) | \"T\" part)\n"
    "month    ::= count \"M\" day?\n"
    "day      ::= count \"D\"\n"
    "part     ::= count \"H\" minute? | minute | second\n"
    "minute   ::= count \"M\" second?\n"
    "second   ::= count \"S\"\n"
    "count    ::= \"0\" | [1-9] [0-9]{0,5}\n"
    "email    ::= atom (\".\" atom){0,2} \"@\" (label \".\"){1,3} top\n"
    "atom     ::= [a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}\n"
    "hostname ::= (label \".\"){0,3} top\n"
    "label    ::= [a-zA-Z0-9] ([a-zA-Z0-9-]{0,56} [a-zA-Z0-9])?\n"
    "top      ::= [a-zA-Z]{2,60}\n"
    "ipv4     ::= byte \".\" byte \".\" byte \".\" byte\n"
    "byte     ::= [0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5]\n"
    "ipv6     ::= (h \":\"){7} h | \"::\" (h (\":\" h){0,5})? | h \"::\" (h (\":\" h){0,4})? |\n"
    "             h \":\" h \"::\" (h (\":\" h){0,3})? | h (\":\" h){2} \"::\" (h (\":\" h){0,2})? |\n"
    "             h (\":\" h){3} \"::\" (h (\":\" h)?)? | h (\":\" h){4} \"::\" h? | h (\":\" h){5} \"::\"\n"
    "h        ::= hex{1,4}\n"
    "uuid     ::= hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}\n";

mqa_status mqa_prelude_parse(mqa_translation *t, bool compact, uint32_t *root)
{
    char text[sizeof flexible + sizeof prelude];
    char *end = stpcpy(text, compact ? compact_text : flexible);
    end = stpcpy(end, prelude);
    const mqa_status status = mqa_gbnf_parse(&t->book, text, (size_t)(end - text), root);
    t->n_prelude = t->book.n_rules;
    return status;
}

mqa_expr mqa_prelude(mqa_translation *t, const char *name)
{
    for (uint32_t rule = 0; rule < t->n_prelude; rule++)
        if (strcmp(t->book.rules[rule].name, name) == 0) return mqa_book_call(&t->book, rule);
    mqa_book_fail(&t->book, MQA_ERR_INTERNAL, "schema: no rule '%s'", name);
    return 0;
}

const char *mqa_prelude_format(const char *format)
{
    static const char *const formats[] = {"date-time", "date", "time", "duration", "email",
                                          "hostname",  "ipv4", "ipv6", "uuid"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(format, formats[i]) == 0) return formats[i];
    return NULL;
}
