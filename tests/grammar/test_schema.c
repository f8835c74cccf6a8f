/* JSON Schema: which texts are sentences, and what is said of schemas that can't be kept.
 * scripts/check-schemas compares many more with the package jsonschema.
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
    const char *schema;
    const char *sentences[10], *others[12];
} meaning;

/* Quotes in schemas and texts are written ' for legibility. */
static const meaning meanings[] = {
    {"{'type':'boolean'}", {"true", "false"}, {"null", "True", " true", "true "}},
    {"{'type':'null'}", {"null"}, {"0"}},
    {"true", {"1", "'a'", "[null,{}]", "{'a':1}"}, {"", "a"}},
    {"{}", {"1", "'a'"}, {"a"}},
    {"{'title':'x','description':'y','default':3,'examples':[1]}", {"1", "'a'"}, {"a"}},
    /* integers */
    {"{'type':'integer'}",
     {"0", "-1", "120", "999999999999999999"},
     {"-0", "01", "1.0", "1e3", "+1", "1000000000000000000"}},
    {"{'type':'integer','minimum':0}", {"0", "7", "10", "999999999999999999"}, {"-1", "-0"}},
    {"{'type':'integer','minimum':5,'maximum':120}",
     {"5", "9", "10", "99", "100", "119", "120"},
     {"4", "0", "121", "500", "1000", "-5"}},
    {"{'type':'integer','exclusiveMinimum':5,'exclusiveMaximum':7}", {"6"}, {"5", "7"}},
    {"{'type':'integer','minimum':-120,'maximum':-5}", {"-5", "-9", "-10", "-120"}, {"-4", "-121", "5", "0"}},
    {"{'type':'integer','minimum':-3,'maximum':3}", {"-3", "0", "3"}, {"-4", "4", "-0"}},
    {"{'type':'integer','minimum':1.5,'maximum':3.5}", {"2", "3"}, {"1", "4"}},
    {"{'type':'integer','minimum':1,'exclusiveMinimum':1,'maximum':3,'exclusiveMaximum':4}",
     {"2", "3"},
     {"1", "4"}},
    {"{'type':'integer','minimum':998,'maximum':1002}",
     {"998", "999", "1000", "1002"},
     {"997", "1003", "99"}},
    {"{'type':'integer','minimum':123456789012345,'maximum':123456789012345}",
     {"123456789012345"},
     {"123456789012346"}},
    {"{'type':'integer','exclusiveMinimum':1e16,'maximum':10000000000000002}",
     {"10000000000000001", "10000000000000002"},
     {"10000000000000000", "10000000000000003"}},
    {"{'type':'integer','multipleOf':7,'minimum':10,'maximum':30}",
     {"14", "21", "28"},
     {"7", "15", "0", "35"}},
    {"{'type':'integer','multipleOf':5}", {"0", "5", "-10", "123456789012345675"}, {"1", "-3", "12"}},
    {"{'type':'integer','multipleOf':100.0,'minimum':-250}",
     {"-200", "-100", "0", "100", "12300"},
     {"-300", "50", "110"}},
    /* numbers */
    {"{'type':'number'}",
     {"0", "-0", "1.5", "-2e10", "1E-5", "3.25e+01"},
     {"1.", ".5", "01", "1e", "1e999", "NaN"}},
    {"{'type':'number','minimum':0,'maximum':1}",
     {"0", "1", "0.5", "0.000001", "1.0", "1.000000", "0.0"},
     {"-0.1", "1.1", "1.000001", "2", "0.0000001", "5e-1"}},
    {"{'type':'number','exclusiveMinimum':0,'exclusiveMaximum':1}",
     {"0.5", "0.000001", "0.999999"},
     {"0", "1", "0.0", "1.0", "0.000000"}},
    {"{'type':'number','minimum':1.25,'exclusiveMaximum':1.5}",
     {"1.25", "1.3", "1.26", "1.250000", "1.499999", "1.49"},
     {"1.24", "1.2", "1", "1.5", "1.50", "1.249999", "2"}},
    {"{'type':'number','minimum':-1.5,'maximum':2}",
     {"-1.5", "-1.5000", "-0.25", "0", "2", "1.999999", "-1"},
     {"-1.6", "-1.500001", "2.000001", "-2", "-0", "3"}},
    {"{'type':'number','maximum':-10}",
     {"-10", "-10.5", "-100", "-10.000000"},
     {"-9", "-9.999999", "0", "10"}},
    {"{'type':'number','multipleOf':3,'minimum':1.5}", {"3", "6", "300"}, {"0", "1.5", "4"}},
    /* strings */
    {"{'type':'string'}",
     {"''", "'a b'", "'\xC3\xA9\xF0\x9F\x98\x80'", "'\\n\\u0041\\\\\\/'", "'\\ud83d\\ude00'"},
     {"a", "'", "'\n'", "'\\x'", "'\\ud83d'", "'\\ude00'", "'\\ud83da'", "'\x80'"}},
    {"{'type':'string','minLength':2,'maxLength':3}",
     {"'ab'", "'abc'", "'\\n\\\\'", "'\xC3\xA9\\ud83d\\ude00'"},
     {"'a'", "'abcd'", "''"}},
    {"{'type':'string','maxLength':0}", {"''"}, {"'a'"}},
    {"{'type':'string','pattern':'^[a-c]+$'}", {"'a'", "'abc'"}, {"''", "'d'", "'ad'", "'\\u0061'"}},
    {"{'type':'string','pattern':'b'}", {"'b'", "'abc'", "'\\nb\\u0000'"}, {"''", "'ac'"}},
    {"{'type':'string','pattern':'^a|b$'}", {"'a'", "'ax'", "'xb'"}, {"'xa'", "'bx'", "''"}},
    {"{'type':'string','pattern':'^(a|bc){2}$'}", {"'aa'", "'abc'", "'bcbc'"}, {"'a'", "'aaa'"}},
    {"{'type':'string','pattern':'^(?:x(?<n>y)?)*?z$'}", {"'z'", "'xyxz'"}, {"'yz'", "'x'"}},
    {"{'type':'string','pattern':'^\\\\d\\\\w\\\\s\\\\.$'}",
     {"'1_ .'", "'0a\\t.'"},
     {"'a_ .'", "'1- .'", "'1a..'", "'1a\t.'"}},
    {"{'type':'string','pattern':'^\\\\D\\\\W\\\\S$'}",
     {"'a-b'", "'\xE2\x82\xAC!\xC3\xA9'"},
     {"'1-b'", "'aab'", "'a- '", "'\xD9\xA0-b'", "'a\xC3\xA9z'", "'a-\xC2\xA0'"}},
    {"{'type':'string','pattern':'^[^\\\\d\\\\s]$'}",
     {"'a'", "'\xC3\xA9'"},
     {"'1'", "' '", "'\xD9\xA0'", "'\xE2\x80\x83'"}},
    {"{'type':'string','pattern':'^[\\\\w.-]+$'}", {"'a.b-c_1'"}, {"'a b'", "''"}},
    {"{'type':'string','pattern':'^[\\\\]\\\\\\\\^-]$'}", {"']'", "'\\\\'", "'^'", "'-'"}, {"'a'", "'\\'"}},
    {"{'type':'string','pattern':'^\\u0022\\\\x41\\\\u00e9\\\\/\\\\\\\\\\\\n$'}",
     {"'\\'A\xC3\xA9/\\\\\\n'"},
     {"''A'", "'\\'A\xC3\xA9\\/\\\\\\n'"}},
    {"{'type':'string','pattern':'^.$'}",
     {"'a'", "'\\''", "'\xF0\x9F\x98\x80'", "'\\u0001'"},
     {"'\\n'", "''", "'ab'", "'\xE2\x80\xA8'"}},
    {"{'type':'string','pattern':'^\\\\ud83d\\\\ude00{2}$'}",
     {"'\xF0\x9F\x98\x80\xF0\x9F\x98\x80'"},
     {"'\xF0\x9F\x98\x80'"}},
    {"{'type':'string','pattern':'^a{2,3}$','minLength':2,'maxLength':3}", {"'aa'", "'aaa'"}, {"'a'"}},
    {"{'type':'string','format':'date'}",
     {"'2024-02-29'", "'2000-02-29'", "'1999-12-31'"},
     {"'2023-02-29'", "'1900-02-29'", "'2024-04-31'", "'2024-13-01'", "'2024-00-10'", "'0000-01-01'"}},
    {"{'type':'string','format':'date-time'}",
     {"'2024-02-29T23:59:59Z'", "'2024-01-01T00:00:00.25+01:30'"},
     {"'2024-02-29'", "'2024-02-29T24:00:00Z'", "'2024-02-29T23:59:60Z'", "'2024-02-29T23:59:59'"}},
    {"{'type':'string','format':'time'}", {"'00:00:00Z'", "'12:30:00-08:00'"}, {"'12:30Z'", "'12:60:00Z'"}},
    {"{'type':'string','format':'duration'}",
     {"'P3W'", "'P1Y2M3D'", "'PT1H'", "'P1DT2M3S'"},
     {"'P'", "'PT'", "'P1YT'", "'P1S'", "'P1Y3D'"}},
    {"{'type':'string','format':'email'}", {"'a.b@c.org'"}, {"'a.b'", "'@c.org'", "'a@b'", "'a..b@c.org'"}},
    {"{'type':'string','format':'hostname'}",
     {"'a-b.example.org'", "'localhost'"},
     {"'-a.org'", "'a-.org'", "'a_b'", "''"}},
    {"{'type':'string','format':'ipv4'}",
     {"'0.0.0.0'", "'255.249.199.99'"},
     {"'256.0.0.1'", "'1.2.3'", "'01.2.3.4'"}},
    {"{'type':'string','format':'ipv6'}",
     {"'::'", "'::1'", "'1:2:3:4:5:6:7:8'", "'1::8'", "'fe80::1:2'", "'1:2:3:4:5:6::'"},
     {"'1:2'", "':::'", "'1::2::3'", "'12345::'", "'1:2:3:4:5:6:7:8:9'"}},
    {"{'type':'string','format':'uuid'}",
     {"'123e4567-E89b-12d3-a456-426614174000'"},
     {"'123e4567e89b12d3a456426614174000'", "'g23e4567-e89b-12d3-a456-426614174000'"}},
    /* given values; unions */
    {"{'enum':['a',1,null,[1,{'b':2.5}]]}",
     {"'a'", "1", "null", "[1,{'b':2.5}]", "[1, {'b': 2.5}]"},
     {"'b'", "2", "[1]", "[1,{'b':2.50}]"}},
    {"{'type':'string','enum':['a',1,'b']}", {"'a'", "'b'"}, {"1"}},
    {"{'const':{'x':[]}}", {"{'x':[]}", "{\n  'x': []\n}"}, {"{}", "{'x':[ ]}"}},
    {"{'const':'a\\n\\u00e9'}", {"'a\\n\xC3\xA9'"}, {"'a\n\xC3\xA9'"}},
    {"{'enum':[0.1,2.0,1e300]}", {"0.1", "2.0", "1e+300"}, {"0.10", "2"}},
    {"{'type':['string','null']}", {"'a'", "null"}, {"1"}},
    {"{'type':['integer','number']}", {"1", "1.5"}, {"'a'"}},
    {"{'type':['integer','string'],'minimum':3,'maxLength':1}", {"3", "'a'"}, {"2", "'ab'"}},
    {"{'type':'integer','nullable':true}", {"1", "null"}, {"'a'"}},
    {"{'anyOf':[{'type':'integer'},{'type':'array','items':{'type':'null'},'maxItems':1},false]}",
     {"1", "[]", "[null]"},
     {"[null,null]", "'a'"}},
    {"{'allOf':[{'type':'integer'}],'title':'x'}", {"1"}, {"'a'"}},
    {"{'minLength':2}", {"'ab'"}, {"'a'", "1"}},
    /* arrays */
    {"{'type':'array'}",
     {"[]", "[1]", "[1,'a',[]]", "[1, 2]", "[\n 1,\n 2\n]"},
     {"[ ]", "[1,]", "[1 ,2]", "[\n\n1]"}},
    {"{'type':'array','items':{'type':'integer'},'minItems':2,'maxItems':3}",
     {"[1,2]", "[1,2,3]"},
     {"[]", "[1]", "[1,2,3,4]", "['a','b']"}},
    {"{'type':'array','items':{'type':'integer'},'minItems':1}", {"[1]", "[1,2,3,4,5]"}, {"[]"}},
    {"{'type':'array','maxItems':0}", {"[]"}, {"[1]"}},
    {"{'type':'array','items':false}", {"[]"}, {"[1]"}},
    /* objects */
    {"{'type':'object'}",
     {"{}", "{'a':1}", "{'a': {'b': []}, 'a': 2}"},
     {"{ }", "{'a':1,}", "{'a' :1}", "[]"}},
    {"{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'null'}},'required':['a','b'],'"
     "additionalProperties':false}",
     {"{'a':1,'b':null}", "{ 'a': 1, 'b': null }", "{\n\t'a': 1,\n\t'b': null\n}"},
     {"{}", "{'a':1}", "{'b':null,'a':1}", "{'a':1,'b':null,'c':1}"}},
    {"{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'integer'},'c':{'type':'integer'}},'"
     "additionalProperties':false}",
     {"{}", "{'a':1}", "{'b':1}", "{'c':1}", "{'a':1,'c':1}", "{'a':1,'b':1,'c':1}"},
     {"{ }", "{'c':1,'a':1}", "{,'a':1}", "{'a':1,}", "{'a':1,'a':1}"}},
    {"{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'integer'},'c':{'type':'integer'}},'"
     "required':['b']}",
     {"{'b':1}", "{'a':1,'b':1}", "{'b':1,'c':1}", "{'a':1,'b':1,'c':1}"},
     {"{}", "{'a':1}", "{'a':1,'c':1}", "{'b':1,'d':1}"}},
    {"{'properties':{'a':{'type':'integer'}},'additionalProperties':{'type':'null'}}",
     {"{}", "{'a':1}", "{'b':null}", "{'a':1,'b':null,'aa':null,'':null,'\xC3\xA9':null}"},
     {"{'a':null}", "{'b':1}", "{'b':null,'a':1}", "{'a':1,'a':null}", "{'\\u0061':null}"}},
    {"{'properties':{'ab':{},'abc':{},'x\\u0022':{}},'additionalProperties':{'type':'null'}}",
     {"{'a':null}", "{'abd':null}", "{'abcd':null}", "{'x':null}", "{'b':null}"},
     {"{'x\\'':null,'ab':null}"}},
    {"{'required':['z']}", {"{'z':1}", "{'z':1,'a':2}"}, {"{}", "{'a':2}"}},
    {"{'properties':{'a':true},'required':['z'],'additionalProperties':{'type':'integer'}}",
     {"{'z':1}", "{'a':'','z':1,'q':2}"},
     {"{'z':'a'}", "{'a':1}"}},
    /* references */
    {"{'$ref':'#/$defs/a','$defs':{'a':{'type':'integer'}}}", {"1"}, {"'a'"}},
    {"{'$ref':'#/definitions/x~1y~0%25','definitions':{'x/y~%':{'type':'integer'}}}", {"1"}, {"'a'"}},
    {"{'type':'array','items':{'$ref':'#'}}", {"[]", "[[],[[]]]"}, {"[1]"}},
    {"{'anyOf':[{'type':'null'},{'$ref':'#/anyOf/0'}]}", {"null"}, {"1"}},
    {"{'$defs':{'n':{'type':'object','properties':{'v':{'type':'integer'},'next':{'anyOf':[{'$ref':'#/$defs/"
     "n'},{'type':'null'}]}},'required':['v','next']}},'$ref':'#/$defs/n'}",
     {"{'v':1,'next':null}", "{'v':1,'next':{'v':2,'next':null}}"},
     {"{'v':1}", "{'v':1,'next':{}}"}},
};

/* ' for ", with \' left as \". */
static char *quoted(const char *text)
{
    char *out = strdup(text);
    assert_non_null(out);
    for (char *p = out; *p; p++)
        if (*p == '\'') *p = '"';
    return out;
}

static mqa_status parse(const char *schema, const mqa_json_options *options, mqa_grammar **out,
                        mqa_error *err)
{
    char *text = quoted(schema);
    const mqa_status status = mqa_grammar_from_json_schema(text, strlen(text), options, out, err);
    free(text);
    return status;
}

static bool is_sentence(const mqa_matcher *m, const char *text)
{
    char *q = quoted(text);
    const bool out = judge(m, q, strlen(q)) == SENTENCE;
    free(q);
    return out;
}

static void what_schemas_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(meanings); i++) {
        const meaning *x = &meanings[i];
        mqa_grammar *grammar;
        mqa_error err;
        if (parse(x->schema, NULL, &grammar, &err) != MQA_OK) fail_msg("%s\n%s", x->schema, err.message);
        mqa_matcher *m = matcher_of(grammar, bytes_index);
        for (int j = 0; j < 10 && x->sentences[j]; j++)
            if (!is_sentence(m, x->sentences[j])) fail_msg("%s\nrefused: %s", x->schema, x->sentences[j]);
        for (int j = 0; j < 12 && x->others[j]; j++)
            if (is_sentence(m, x->others[j])) fail_msg("%s\naccepted: %s", x->schema, x->others[j]);
        mqa_matcher_destroy(&m);
        mqa_grammar_destroy(&grammar);
    }
}

static void white_space(void **state)
{
    (void)state;
    mqa_json_options options = mqa_json_options_default();
    for (int compact = 0; compact < 2; compact++) {
        mqa_grammar *grammar;
        options.compact = compact;
        assert_int_equal(mqa_grammar_json_object(&options, &grammar, NULL), MQA_OK);
        mqa_matcher *m = matcher_of(grammar, bytes_index);
        assert_true(is_sentence(m, "{'a':[1,{'b':null}]}"));
        assert_int_equal(is_sentence(m, "{ 'a': [\n  1, {\n\t\t'b':null }\n] }"), !compact);
        assert_false(is_sentence(m, "{'a':  1}") || is_sentence(m, "{  'a':1}") ||
                     is_sentence(m, "{\n\n'a':1}"));
        assert_false(is_sentence(m, "{'a' :1}") || is_sentence(m, "{'a':1 ,'b':1}") || is_sentence(m, "[]"));
        char spaces[64] = "{\n";
        for (int n = 0; n < 40; n++) {
            sprintf(spaces + 2 + n, "'a':1}");
            assert_int_equal(is_sentence(m, spaces), !compact && n <= 32);
            spaces[2 + n] = ' ';
        }
        mqa_matcher_destroy(&m);
        mqa_grammar_destroy(&grammar);
    }
}

static const struct {
    const char *schema;
    mqa_status status;
    const char *message; /* a part of it */
} errors[] = {
    {"", MQA_ERR_FORMAT, "schema, line 1, column 0"},
    {"{'a':}", MQA_ERR_FORMAT, "schema, line 1, column 6"},
    {"{'type':'null','type':'null'}", MQA_ERR_FORMAT, "duplicate"},
    {"3", MQA_ERR_FORMAT, "schema, #: a schema is an object"},
    {"{'type':'text'}", MQA_ERR_FORMAT, "#/type: give object, array"},
    {"{'type':[]}", MQA_ERR_FORMAT, "#/type: give object, array"},
    {"{'type':['null',3]}", MQA_ERR_FORMAT, "#/type: give object, array"},
    {"{'properties':{'a':{'type':'x'}}}", MQA_ERR_FORMAT, "#/properties/a/type"},
    {"{'type':'array','items':{'anyOf':[{},{'not':{}}]}}", MQA_ERR_UNSUPPORTED,
     "#/items/anyOf/1/not: this keyword"},
    {"{'oneOf':[]}", MQA_ERR_UNSUPPORTED, "#/oneOf: this keyword"},
    {"{'type':'array','uniqueItems':true}", MQA_ERR_UNSUPPORTED, "#/uniqueItems"},
    {"{'type':'object','patternProperties':{}}", MQA_ERR_UNSUPPORTED, "#/patternProperties"},
    {"{'type':'object','minProperties':1}", MQA_ERR_UNSUPPORTED, "#/minProperties"},
    {"{'if':true}", MQA_ERR_UNSUPPORTED, "#/if"},
    {"{'minLenght':1}", MQA_ERR_UNSUPPORTED, "#/minLenght"},
    {"{'allOf':[{},{}]}", MQA_ERR_UNSUPPORTED, "#/allOf: more than one"},
    {"{'anyOf':[]}", MQA_ERR_FORMAT, "#/anyOf: give an array"},
    {"{'anyOf':{}}", MQA_ERR_FORMAT, "#/anyOf: give an array"},
    {"{'anyOf':[{}],'type':'null'}", MQA_ERR_UNSUPPORTED, "#/type: beside 'anyOf'"},
    {"{'$ref':'#','minimum':3}", MQA_ERR_UNSUPPORTED, "#/minimum: beside '$ref'"},
    {"{'enum':[1],'minimum':3}", MQA_ERR_UNSUPPORTED, "#/minimum: beside 'enum'"},
    {"{'enum':[]}", MQA_ERR_FORMAT, "#/enum: give an array"},
    {"{'enum':3}", MQA_ERR_FORMAT, "#/enum: give an array"},
    {"{'$ref':3}", MQA_ERR_FORMAT, "#/$ref: give a text"},
    {"{'$ref':'#/$defs/a'}", MQA_ERR_FORMAT, "#/$ref: there is no '#/$defs/a'"},
    {"{'$ref':'http://x/y'}", MQA_ERR_FORMAT, "there is no 'http://x/y' in this document"},
    {"{'$ref':'#/$defs/a','$defs':{'a':{'type':'string','minLength':-1}}}", MQA_ERR_FORMAT,
     "#/$defs/a/minLength: give a whole"},
    {"{'type':'string','minLength':1.5}", MQA_ERR_FORMAT, "#/minLength: give a whole"},
    {"{'type':'string','maxLength':'3'}", MQA_ERR_FORMAT, "#/maxLength: give a whole"},
    {"{'type':'string','minLength':100001}", MQA_ERR_BUDGET, "#/minLength: at most 100000"},
    {"{'type':'array','minItems':100001}", MQA_ERR_BUDGET, "#/minItems: at most 100000"},
    {"{'type':'string','format':'regex'}", MQA_ERR_UNSUPPORTED, "#/format: give date-time"},
    {"{'type':'string','format':'date','minLength':3}", MQA_ERR_UNSUPPORTED, "#/format: beside"},
    {"{'type':'string','pattern':'^a+$','maxLength':3}", MQA_ERR_UNSUPPORTED, "#/maxLength: the pattern"},
    {"{'type':'string','pattern':'a','minLength':2}", MQA_ERR_UNSUPPORTED, "#/minLength: the pattern"},
    {"{'type':'string','pattern':3}", MQA_ERR_FORMAT, "#/pattern: give a text"},
    {"{'pattern':'^a(?=b)'}", MQA_ERR_UNSUPPORTED, "#/pattern: character 5: (?"},
    {"{'pattern':'(a)\\\\1'}", MQA_ERR_UNSUPPORTED, "character 5: this escape"},
    {"{'pattern':'\\\\bword'}", MQA_ERR_UNSUPPORTED, "this escape"},
    {"{'pattern':'\\\\p{L}'}", MQA_ERR_UNSUPPORTED, "this escape"},
    {"{'pattern':'a^'}", MQA_ERR_UNSUPPORTED, "'^' is supported only at the ends"},
    {"{'pattern':'(^a)'}", MQA_ERR_UNSUPPORTED, "'^' is supported only at the ends"},
    {"{'pattern':'a$b'}", MQA_ERR_UNSUPPORTED, "'$' is supported only at the ends"},
    {"{'pattern':'(a'}", MQA_ERR_FORMAT, "')' is missing"},
    {"{'pattern':'a)'}", MQA_ERR_FORMAT, "')' without"},
    {"{'pattern':'[a'}", MQA_ERR_FORMAT, "isn't closed"},
    {"{'pattern':'[b-a]'}", MQA_ERR_FORMAT, "runs backwards"},
    {"{'pattern':'[\\\\d-z]'}", MQA_ERR_FORMAT, "a range from or to a class"},
    {"{'pattern':'*a'}", MQA_ERR_FORMAT, "nothing to repeat"},
    {"{'pattern':'a**'}", MQA_ERR_FORMAT, "nothing to repeat"},
    {"{'pattern':'a{x}'}", MQA_ERR_FORMAT, "'{' begins no"},
    {"{'pattern':'a{3,2}'}", MQA_ERR_FORMAT, "at least 3 and at most 2"},
    {"{'pattern':'a{100001}'}", MQA_ERR_BUDGET, "above 100000 times"},
    {"{'pattern':'\\\\ud83dx'}", MQA_ERR_FORMAT, "half a surrogate pair"},
    {"{'type':'integer','minimum':'3'}", MQA_ERR_FORMAT, "#/minimum: give a number"},
    {"{'type':'integer','exclusiveMinimum':true}", MQA_ERR_FORMAT, "#/exclusiveMinimum: give a number"},
    {"{'type':'integer','multipleOf':0}", MQA_ERR_FORMAT, "#/multipleOf: give a number above 0"},
    {"{'type':'integer','multipleOf':0.5}", MQA_ERR_UNSUPPORTED, "#/multipleOf: only whole"},
    {"{'type':'integer','multipleOf':1001}", MQA_ERR_UNSUPPORTED, "#/multipleOf: only whole"},
    {"{'type':'integer','minimum':1000000000000000000}", MQA_ERR_UNSUPPORTED,
     "#/minimum: integers have at most 18"},
    {"{'type':'number','minimum':0.1234567}", MQA_ERR_UNSUPPORTED,
     "#/minimum: for numbers that aren't integers"},
    {"{'type':'number','exclusiveMaximum':10000000000}", MQA_ERR_UNSUPPORTED,
     "#/exclusiveMaximum: for numbers"},
    {"{'properties':[]}", MQA_ERR_FORMAT, "#/properties: give an object"},
    {"{'required':'a'}", MQA_ERR_FORMAT, "#/required: give an array"},
    {"{'required':[1]}", MQA_ERR_FORMAT, "#/required: give an array"},
    {"{'additionalProperties':3}", MQA_ERR_FORMAT, "#/additionalProperties: a schema is"},
    {"{'nullable':3}", MQA_ERR_FORMAT, "#/nullable: give true"},
    /* nothing satisfies them */
    {"false", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'$ref':'#'}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'string','enum':[1]}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'integer','minimum':3,'maximum':2}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'number','exclusiveMinimum':3,'maximum':3}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'integer','multipleOf':10,'minimum':1,'maximum':9}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'string','minLength':3,'maxLength':2}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'array','minItems':3,'maxItems':2}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'object','required':['z'],'additionalProperties':false}", MQA_ERR_FORMAT, "nothing satisfies"},
    {"{'type':'object','properties':{'a':{'$ref':'#'}},'required':['a']}", MQA_ERR_FORMAT,
     "nothing satisfies"},
};

static void what_errors_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        mqa_grammar *grammar;
        mqa_error err = {0};
        const mqa_status status = parse(errors[i].schema, NULL, &grammar, &err);
        if (status != errors[i].status || !strstr(err.message, errors[i].message))
            fail_msg("%s\n%s: %s\nexpected: %s", errors[i].schema, mqa_status_name(status), err.message,
                     errors[i].message);
        assert_null(grammar);
        assert_int_equal(parse(errors[i].schema, NULL, &grammar, NULL), status);
    }
}

static void limits_and_wrong_calls(void **state)
{
    (void)state;
    mqa_grammar *grammar;
    mqa_error err;
    char deep[4000] = "";
    for (int i = 0; i < 70; i++) strcat(deep, "{'type':'array','items':");
    strcat(deep, "{}");
    for (int i = 0; i < 70; i++) strcat(deep, "}");
    assert_int_equal(parse(deep, NULL, &grammar, &err), MQA_ERR_BUDGET);
    assert_non_null(strstr(err.message, "nested more than 64 deep"));

    /* Definitions that use the next one twice: twice as many values each, but not twice the grammar. */
    char doubled[8000] = "{'$ref':'#/$defs/d0','$defs':{";
    for (int i = 0; i < 60; i++)
        sprintf(doubled + strlen(doubled),
                "'d%d':{'anyOf':[{'$ref':'#/$defs/d%d'},{'type':'array','items':{'$ref':'#/$defs/d%d'}}]},",
                i, i + 1, i + 1);
    strcat(doubled, "'d60':{'type':'null'}}}");
    assert_int_equal(parse(doubled, NULL, &grammar, &err), MQA_OK);
    mqa_matcher *m = matcher_of(grammar, bytes_index);
    assert_true(is_sentence(m, "[[null,null],[]]"));
    mqa_matcher_destroy(&m);
    mqa_grammar_destroy(&grammar);

    /* As many optional properties as there may be. */
    char *wide = malloc(400000);
    assert_non_null(wide);
    strcpy(wide, "{'type':'object','properties':{");
    char *end = wide + strlen(wide);
    for (int i = 0; i < 5000; i++) end += sprintf(end, "%s'property%d':{'type':'integer'}", i ? "," : "", i);
    strcpy(end, "},'additionalProperties':false}");
    assert_int_equal(parse(wide, NULL, &grammar, &err), MQA_OK);
    free(wide);
    m = matcher_of(grammar, bytes_index);
    assert_true(is_sentence(m, "{'property3':1,'property4999':2}"));
    assert_false(is_sentence(m, "{'property4999':2,'property3':1}"));
    mqa_matcher_destroy(&m);
    mqa_grammar_destroy(&grammar);

    mqa_json_options options = {0};
    assert_int_equal(mqa_grammar_json_object(&options, &grammar, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "mqa_json_options.struct_size"));
    assert_int_equal(mqa_grammar_from_json_schema(NULL, 0, NULL, &grammar, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_grammar_from_json_schema("{}", 2, NULL, NULL, &err), MQA_ERR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_schemas_mean),
        cmocka_unit_test(white_space),
        cmocka_unit_test(what_errors_say),
        cmocka_unit_test(limits_and_wrong_calls),
    };
    return cmocka_run_group_tests_name("schema", tests, group_setup, group_teardown);
}
