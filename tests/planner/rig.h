/* For tests of the planner: files, and random numbers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_PLANNER_RIG_H
#define TESTS_PLANNER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "planner/planner.h"

#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        mqa_error err_ = {.message = ""};                                                                    \
        mqa_error *const why = &err_;                                                                        \
        const mqa_status status_ = (call);                                                                   \
        if (status_ != MQA_OK) fail_msg("%s: %s", #call, why->message);                                      \
    } while (0)

typedef struct random_state {
    uint64_t at;
} random_state;

static inline int64_t pick(random_state *r, int64_t lo, int64_t hi)
{
    r->at = r->at * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((r->at >> 33) % (uint64_t)(hi - lo + 1));
}

/* The design of a config in tests/planner/data. */
static inline mqa_design design_of(const char *name)
{
    char path[512];
    mqa_design design;
    snprintf(path, sizeof path, "%s/%s.json", MQA_TEST_DATA, name);
    assert_ok(mqa_design_from_file(path, &design, why));
    return design;
}

static inline mqa_machine machine_of(const char *name)
{
    mqa_machine machine;
    assert_ok(mqa_machine_find(name, &machine, why));
    return machine;
}

/* A whole file, terminated; free it. */
static inline char *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *size = fread(text, 1, (1 << 20) - 1, file);
    text[*size] = 0;
    fclose(file);
    return text;
}

#endif
