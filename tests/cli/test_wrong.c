/* Wrong command lines: each ends with exit code 1 or 2 as stated and one line that says what to do.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drive.h"

#define NO_FILE "/nonexistent/model.gguf"

#define PLAN_L4 "plan", "--layers", "2", "--heads", "4", "--embd", "64", "--machine", "L4"

typedef struct wrong_line {
    int code;
    const char *args[16];
    const char *environment;
} wrong_line;

static const wrong_line lines[] = {
    /* the router */
    {2, {NULL}, NULL},
    {2, {""}, NULL},
    {2, {"walk"}, NULL},
    {2, {"--walk"}, NULL},
    {2, {"-m", NO_FILE}, NULL},
    {2, {"help", "walk"}, NULL},
    {2, {"help", "run", "run"}, NULL},
    {2, {"help", "bench", "model", "model"}, NULL},
    {2, {"bench"}, NULL},
    {2, {"bench", "everything"}, NULL},
    {2, {"walk\nand\x1b[31m talk\xff"}, NULL},
    /* the environment */
    {2, {"info"}, "MQA_ISA=sse9"},
    {1, {"info"}, "MQA_ISA=neon"},
    /* options */
    {2, {"run"}, NULL},
    {2, {"run", "--walk"}, NULL},
    {2, {"run", "-z"}, NULL},
    {2, {"run", "-m"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n"}, NULL},
    {2, {"run", "-m", NO_FILE, "-ctk"}, NULL},
    {2, {"run", "-m", NO_FILE, "--json=yes"}, NULL},
    {2, {"run", "-m", NO_FILE, "word"}, NULL},
    {2, {"run", "-m", NO_FILE, "--", "-p"}, NULL},
    {2, {"run", "-m", NO_FILE, "-p", "a", "-f", "b"}, NULL},
    {2, {"run", "-p", "a"}, NULL},
    {2, {"run", "-m", NO_FILE, "-p", "a", "--grammar", "/dev/null", "--json-schema", "/dev/null"}, NULL},
    /* numbers */
    {2, {"run", "-m", NO_FILE, "-n", "many"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", "12x"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", ""}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", " 12"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", "-2"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", "0x10"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", "1.5"}, NULL},
    {2, {"run", "-m", NO_FILE, "-n", "99999999999999999999"}, NULL},
    {2, {"run", "-m", NO_FILE, "-c", "-1"}, NULL},
    {2, {"run", "-m", NO_FILE, "-c", "2147483648"}, NULL},
    {2, {"run", "-m", NO_FILE, "-t", "0"}, NULL},
    {2, {"run", "-m", NO_FILE, "-t", "-4"}, NULL},
    {2, {"run", "-m", NO_FILE, "-t", "4000000000"}, NULL},
    {2, {"run", "-m", NO_FILE, "--temp", "warm"}, NULL},
    {2, {"run", "-m", NO_FILE, "--temp", "-0.1"}, NULL},
    {2, {"run", "-m", NO_FILE, "--temp", "nan"}, NULL},
    {2, {"run", "-m", NO_FILE, "--temp", "1e999"}, NULL},
    {2, {"run", "-m", NO_FILE, "--temp", "0x1p0"}, NULL},
    {2, {"run", "-m", NO_FILE, "--temp", "0.5 "}, NULL},
    {2, {"run", "-m", NO_FILE, "--top-k", "-1"}, NULL},
    {2, {"run", "-m", NO_FILE, "--top-p", "1.01"}, NULL},
    {2, {"run", "-m", NO_FILE, "--min-p", "-1"}, NULL},
    {2, {"run", "-m", NO_FILE, "--seed", "-1"}, NULL},
    /* names */
    {2, {"run", "-m", NO_FILE, "--kv-type", "f8"}, NULL},
    {2, {"run", "-m", NO_FILE, "-ctv", "BF16"}, NULL},
    {2, {"run", "-m", NO_FILE, "--numerics", "slow"}, NULL},
    /* files */
    {1, {"run", "-m", NO_FILE, "-p", "a"}, NULL},
    {1, {"run", "-m", "/", "-p", "a"}, NULL},
    {1, {"run", "-m", "/dev/null", "-p", "a"}, NULL},
    {1, {"run", "-m", NO_FILE, "-f", "/nonexistent/prompt"}, NULL},
    {1, {"run", "-m", NO_FILE, "-f", "/"}, NULL},
    {1, {"run", "-m", NO_FILE, "-p", "a", "--grammar", "/nonexistent/grammar"}, NULL},
    {1, {"run", "-m", NO_FILE, "-p", "a", "--grammar", "/dev/null"}, NULL},
    {1, {"run", "-m", NO_FILE, "-p", "a", "--json-schema", "/dev/null"}, NULL},
    {1, {"info", NO_FILE}, NULL},
    {1, {"info", "/dev/null"}, NULL},
    {1, {"info", "/"}, NULL},
    {1, {"info", "/proc/self/exe"}, NULL},
    {2, {"info", "a", "b"}, NULL},
    {2, {"info", "--tensors"}, NULL},
    {2, {"info", "-m", NO_FILE}, NULL},
    /* the other commands */
    {2, {"tokenize"}, NULL},
    {2, {"tokenize", "-m", NO_FILE, "-p", "a", "-f", "b"}, NULL},
    {2, {"tokenize", "-m", NO_FILE, "--json", "--pieces"}, NULL},
    {1, {"tokenize", "-m", NO_FILE, "-p", "a"}, NULL},
    {2, {"detokenize"}, NULL},
    {2, {"detokenize", "-m", NO_FILE, "1", "x"}, NULL},
    {2, {"detokenize", "-m", NO_FILE, "99999999999"}, NULL},
    {2, {"detokenize", "-m", NO_FILE, "-f", "b", "1"}, NULL},
    {1, {"detokenize", "-m", NO_FILE, "1"}, NULL},
    {2, {"perplexity"}, NULL},
    {2, {"perplexity", "-m", NO_FILE, "-c", "3"}, NULL},
    {1, {"perplexity", "-m", NO_FILE, "-f", "/nonexistent/text"}, NULL},
    {2, {"inspect"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "-p", "a", "-f", "b"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "-w", "0"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "-w", "64,-1"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "--sinks", "65"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "--bins", "8"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "--bins", "100"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "--fold", "median"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "--separator", ""}, NULL},
    {2, {"inspect", "-m", NO_FILE, "-n", "0"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "-c", "100000000"}, NULL},
    {2, {"inspect", "-m", NO_FILE, "--layers", "-1"}, NULL},
    {1, {"inspect", "-m", NO_FILE, "-p", "a"}, NULL},
    {1, {"inspect", "-m", NO_FILE, "-f", "/nonexistent/text"}, NULL},
    {2, {"bench", "model"}, NULL},
    {2, {"bench", "model", "-m", NO_FILE, "-r", "0"}, NULL},
    {2, {"bench", "model", "-m", NO_FILE, "-p", "1,,2"}, NULL},
    {2, {"bench", "model", "-m", NO_FILE, "-p", "1,2,"}, NULL},
    {2, {"bench", "model", "-m", NO_FILE, "-p", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}, NULL},
    {2, {"bench", "model", "-m", NO_FILE, "-p", "0", "-n", "0"}, NULL},
    {1, {"bench", "model", "-m", NO_FILE}, NULL},
    {2, {"bench", "attention", "--heads", "0"}, NULL},
    {2, {"bench", "attention", "--heads", "8", "--kv-heads", "3"}, NULL},
    {2, {"bench", "attention", "--head-dim", "1025"}, NULL},
    {2, {"bench", "attention", "--context", "10", "--queries", "11"}, NULL},
    {2, {"bench", "attention", "--context"}, NULL},
    {2, {"bench", "attention", "--context", "64,0"}, NULL},
    {2, {"bench", "attention", "--context", "64,8", "--queries", "9"}, NULL},
    {2, {"bench", "attention", "--context", "64,32", "--requests", "1"}, NULL},
    {2, {"bench", "attention", "--requests", "70000"}, NULL},
    {2, {"bench", "attention", "--context", "64,32", "--shared", "33"}, NULL},
    {2, {"bench", "attention", "--prefill", "--queries", "2"}, NULL},
    {2, {"bench", "attention", "--window", "0"}, NULL},
    {2, {"bench", "attention", "--head-dim-v", "0"}, NULL},
    {2, {"bench", "attention", "--head-dim-v", "256", "--v-in-k"}, NULL},
    {2, {"bench", "attention", "-ctv", "int8", "--v-in-k"}, NULL},
    {2, {"bench", "attention", "--by-line"}, NULL},
    {1, {"bench", "attention", "--by-line", "--json", "--context", "64"}, NULL},
    {1, {"bench", "attention", "--context", "64", "--dump", "/nonexistent/out"}, NULL},
    {1, {"bench", "attention", "--context", "64", "--dump", "/dev/full"}, NULL},
    {2, {"bench", "roofline", "now"}, NULL},
    /* plans */
    {2, {"plan"}, NULL},
    {2, {"plan", "a", "b"}, NULL},
    {1, {"plan", NO_FILE}, NULL},
    {1, {"plan", "/"}, NULL},
    {1, {"plan", "/dev/null"}, NULL},
    {2, {"plan", NO_FILE, "--layers", "2", "--heads", "2"}, NULL},
    {2, {"plan", "--layers", "0"}, NULL},
    {2, {"plan", "--layers", "2"}, NULL},
    {2, {"plan", "--layers", "2", "--heads", "0", "--embd", "64"}, NULL},
    {2,
     {"plan", "--layers", "2", "--heads", "4", "--kv-heads", "3", "--embd", "64", "--machine", "L4"},
     NULL},
    {2, {"plan", "--layers", "9007199254740991", "--heads", "4", "--embd", "64", "--machine", "L4"}, NULL},
    {2, {PLAN_L4, "--context", "0"}, NULL},
    {2, {PLAN_L4, "--context", "1000000000000000000"}, NULL},
    {2, {PLAN_L4, "--context", "5,"}, NULL},
    {2, {PLAN_L4, "--requests", "0"}, NULL},
    {2, {PLAN_L4, "--requests", "1000000000000000000"}, NULL},
    {1, {PLAN_L4, "--context", "1099511627776", "--requests", "16777216"}, NULL},
    {2, {PLAN_L4, "--context", "10", "--shared", "11"}, NULL},
    {2, {PLAN_L4, "--context", "10", "--generate", "11"}, NULL},
    {2, {PLAN_L4, "--page-tokens", "100"}, NULL},
    {2, {PLAN_L4, "--bandwidth", "nan"}, NULL},
    {2, {PLAN_L4, "--bandwidth", "0"}, NULL},
    {2, {PLAN_L4, "--bandwidth", "-3GB/s"}, NULL},
    {2, {PLAN_L4, "--flops", "many"}, NULL},
    {2, {PLAN_L4, "--memory", "inf"}, NULL},
    {2, {PLAN_L4, "--memory", "2 lots"}, NULL},
    {2, {PLAN_L4, "--weights", "q3"}, NULL},
    {2, {PLAN_L4, "--kv-type", "int2"}, NULL},
    {2, {PLAN_L4, "--designs", "mqa,gqa-5"}, NULL},
    {2, {PLAN_L4, "--designs", "mqa,"}, NULL},
    {2, {PLAN_L4, "--tokens-per-s", "nan"}, NULL},
    {2, {PLAN_L4, "--csv", "--json"}, NULL},
    {2, {PLAN_L4, "--calibrate"}, NULL},
    {2, {"plan", "--layers", "2", "--heads", "4", "--embd", "64", "--machine", "Cray-1"}, NULL},
};

static void wrong_lines(void **state)
{
    (void)state;
    int n_bad = 0;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const wrong_line *line = &lines[i];
        drive_options options = {.environment = line->environment};
        drive_result r = drive(line->args, &options);
        if (!drive_failed_well(line->args, &r)) {
            n_bad++;
        } else if (r.code != line->code) {
            printf("line %zu: exit code %d, not %d: %s", i, r.code, line->code, r.err);
            n_bad++;
        }
        drive_free(&r);
    }
    assert_int_equal(n_bad, 0);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(wrong_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
