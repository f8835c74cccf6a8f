/* Programs of bytes: what a fuzzer writes, and what a test draws at random.
 *
 * A program is a header and records, an operation each. Any bytes are a program, and a program without some
 * of its records is one too, so that failing ones can be made short.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_BASE_PROGRAMS_H
#define TESTS_BASE_PROGRAMS_H

#include <stddef.h>
#include <stdint.h>

enum { PROGRAM_MAX = 8192 };

typedef struct program_kind {
    const char *variable; /* of the environment: runs the program in it alone, here, for a debugger */
    size_t header, record, records; /* bytes of either; how many records a random program has */
    const char *(*run)(const uint8_t *program, size_t size); /* NULL, or what went wrong (static memory) */
} program_kind;

/* A test's main: n random programs from $MQA_SEED on (1). They run in processes of their own, so that one
 * that crashes is made short too. A failing one is printed as VARIABLE=hex. Returns main's value. */
int programs_main(const program_kind *kind, int n);

/* $MQA_TEST_SHARE, 1 by default: one in so many is enough, where an emulator makes all of them take too long.
 */
int programs_share(void);

/* A fuzz target's LLVMFuzzerTestOneInput. */
int programs_fuzz(const program_kind *kind, const uint8_t *program, size_t size);

#endif
