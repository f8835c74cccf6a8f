/* SPDX-License-Identifier: Apache-2.0 */
#include "programs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TOGETHER = 100 }; /* programs a child runs, as long as all go well */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t random_size(const program_kind *kind)
{
    return kind->header + kind->records * kind->record;
}

static void draw(const program_kind *kind, uint64_t *rng, uint8_t *program)
{
    for (size_t i = 0; i < random_size(kind); i++) program[i] = (uint8_t)next_random(rng);
}

/* n programs of the stream, or the one that is given. */
static int run_all(const program_kind *kind, const uint8_t *program, size_t size, uint64_t rng, int n,
                   bool say_why)
{
    uint8_t drawn[PROGRAM_MAX];
    for (int i = 0; i < n; i++) {
        if (!program) draw(kind, &rng, drawn);
        const char *why = kind->run(program ? program : drawn, program ? size : random_size(kind));
        if (why && say_why) printf("%s\n", why);
        if (why) return 1;
    }
    return 0;
}

static bool go_well(const program_kind *kind, const uint8_t *program, size_t size, uint64_t rng, int n,
                    bool say_why)
{
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0)
        exit(run_all(kind, program, size, rng, n,
                     say_why)); /* by way of the leak checker, where there is one */
    int status;
    if (waitpid(child, &status, 0) != child) abort();
    if (say_why && WIFSIGNALED(status)) printf("died of signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Takes out records, many at a time and then fewer, as long as it still fails. */
static size_t shrink(const program_kind *kind, uint8_t *program, size_t size)
{
    for (size_t n = (size - kind->header) / kind->record; n > 0; n /= 2)
        for (size_t at = kind->header; at + n * kind->record <= size;) {
            uint8_t shorter[PROGRAM_MAX];
            const size_t rest = at + n * kind->record;
            memcpy(shorter, program, at);
            memcpy(shorter + at, program + rest, size - rest);
            if (go_well(kind, shorter, size - n * kind->record, 0, 1, false)) {
                at += n * kind->record;
            } else {
                size -= n * kind->record;
                memcpy(program, shorter, size);
            }
        }
    return size;
}

static void report(const program_kind *kind, int number, uint64_t seed, uint8_t *program)
{
    const size_t size = shrink(kind, program, random_size(kind));
    printf("program %d of seed %llu, made shorter: %s=", number, (unsigned long long)seed, kind->variable);
    for (size_t i = 0; i < size; i++) printf("%02x", program[i]);
    printf("\n");
    go_well(kind, program, size, 0, 1, true);
}

static int given_program(const program_kind *kind, const char *hex)
{
    uint8_t program[PROGRAM_MAX];
    size_t size = 0;
    for (unsigned byte; size < sizeof program && sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        program[size] = (uint8_t)byte;
    const char *why = kind->run(program, size);
    printf("%s\n", why ? why : "goes well");
    return why != NULL;
}

int programs_share(void)
{
    const char *share = getenv("MQA_TEST_SHARE");
    return share && atoi(share) > 1 ? atoi(share) : 1;
}

int programs_main(const program_kind *kind, int n)
{
    if (random_size(kind) > PROGRAM_MAX) abort();
    const char *given = getenv(kind->variable), *from = getenv("MQA_SEED");
    if (given) return given_program(kind, given);
    const uint64_t seed = from ? strtoull(from, NULL, 10) : 1;
    printf("MQA_SEED=%llu, %d programs\n", (unsigned long long)seed, n);
    uint64_t rng = seed;
    for (int i = 0; i < n; i += TOGETHER) {
        const int some = n - i < TOGETHER ? n - i : TOGETHER;
        const bool well = go_well(kind, NULL, 0, rng, some, false);
        for (int j = i; j < i + some; j++) {
            uint8_t program[PROGRAM_MAX];
            draw(kind, &rng, program);
            if (well || go_well(kind, program, random_size(kind), 0, 1, false)) continue;
            report(kind, j, seed, program);
            return 1;
        }
        if (well) continue;
        printf("programs %d to %d of seed %llu fail only together\n", i, i + some - 1,
               (unsigned long long)seed);
        return 1;
    }
    return 0;
}

int programs_fuzz(const program_kind *kind, const uint8_t *program, size_t size)
{
    const char *why = kind->run(program, size);
    if (!why) return 0;
    fprintf(stderr, "%s\n", why);
    abort();
}
