/* Random operations on a cache and on a plain model of it.
 *
 * A failing program is made as short as it can be and printed; MQA_CACHE_PROGRAM=… runs that one alone.
 * Programs run in processes of their own, so that one that crashes is made short too.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache_model.h"
#include "rows.h"

enum { PROGRAMS = 150, RECORDS = 120 };
static const size_t SIZE = MODEL_HEADER + RECORDS * MODEL_RECORD;

static uint64_t seed_of_run;

/* Whether the program goes well, in a child. */
static bool goes_well(const uint8_t *program, size_t size, bool say_why)
{
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const char *why = run_model(program, size);
        if (why && say_why) printf("%s\n", why);
        exit(why != NULL); /* by way of the leak checker, where there is one */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (say_why && WIFSIGNALED(status)) printf("died of signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Takes out records, many at a time and then fewer, as long as it still fails. */
static size_t shrink(uint8_t *program, size_t size)
{
    for (size_t n = (size - MODEL_HEADER) / MODEL_RECORD; n > 0; n /= 2)
        for (size_t at = MODEL_HEADER; at + n * MODEL_RECORD <= size;) {
            uint8_t shorter[MODEL_HEADER + RECORDS * MODEL_RECORD];
            const size_t rest = at + n * MODEL_RECORD;
            memcpy(shorter, program, at);
            memcpy(shorter + at, program + rest, size - rest);
            if (goes_well(shorter, size - n * MODEL_RECORD, false)) {
                at += n * MODEL_RECORD;
            } else {
                size -= n * MODEL_RECORD;
                memcpy(program, shorter, size);
            }
        }
    return size;
}

static void random_programs(void **state)
{
    (void)state;
    uint64_t rng = seed_of_run;
    for (int i = 0; i < PROGRAMS; i++) {
        uint8_t program[MODEL_HEADER + RECORDS * MODEL_RECORD];
        for (size_t j = 0; j < SIZE; j++) program[j] = (uint8_t)next_random(&rng);
        if (goes_well(program, SIZE, false)) continue;
        const size_t size = shrink(program, SIZE);
        printf("program %d of seed %llu, made shorter: MQA_CACHE_PROGRAM=", i,
               (unsigned long long)seed_of_run);
        for (size_t j = 0; j < size; j++) printf("%02x", program[j]);
        printf("\n");
        goes_well(program, size, true);
        fail();
    }
}

/* The program of the environment, here, where a debugger sees it. */
static void given_program(const char *hex)
{
    uint8_t program[4096];
    size_t size = 0;
    for (unsigned byte; size < sizeof program && sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        program[size] = (uint8_t)byte;
    const char *why = run_model(program, size);
    printf("%s\n", why ? why : "goes well");
    exit(why != NULL);
}

int main(void)
{
    if (getenv("MQA_CACHE_PROGRAM")) given_program(getenv("MQA_CACHE_PROGRAM"));
    const char *seed = getenv("MQA_SEED");
    seed_of_run = seed ? strtoull(seed, NULL, 10) : 1;
    printf("MQA_SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
    return cmocka_run_group_tests_name("kvcache_random", tests, NULL, NULL);
}
